"""What trained networks say about sequences: effects, attributions, designs.

Everything here stands on one function, ``predict(sequences) -> (rows, tasks)``.
"""
