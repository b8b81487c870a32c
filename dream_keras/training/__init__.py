"""Runs: engine, losses, optimisers, run folders, prediction."""
