"""Core blocks, one file per team."""
