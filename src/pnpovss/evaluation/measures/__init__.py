"""Numbers from label maps: confusion, regions, intervals. Pure functions of arrays."""
