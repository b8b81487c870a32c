"""Sequences and measured values: readers, encoding, batches, simulation."""
