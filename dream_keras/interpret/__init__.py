"""What trained networks say about sequences: effects of variants.

Everything here stands on one function, ``predict(sequences) -> (rows, tasks)``.
"""
