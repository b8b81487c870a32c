"""Leaderboards: an SQLite file of submissions, and the static web page made of it."""
