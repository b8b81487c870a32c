"""What trained networks say about sequences: effects of variants and of inserted motifs.

Everything here stands on one function, ``predict(sequences) -> (rows, tasks)``.
"""
