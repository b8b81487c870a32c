"""Data processors, one file per team."""
