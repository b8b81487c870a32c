"""Final blocks, one file per team."""
