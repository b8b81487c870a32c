"""First blocks, one file per team."""
