"""The results of a run in the formats of other tools; one file per format, all in one table."""
