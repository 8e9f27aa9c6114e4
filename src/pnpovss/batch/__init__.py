"""Photos in, files out: the job that the command line and others share."""
