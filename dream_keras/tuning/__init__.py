"""Searches over orders: the space, its trials, and what they show."""
