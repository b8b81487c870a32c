"""Trainers, one file per team."""
