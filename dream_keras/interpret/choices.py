"""What the commands of this folder let users choose from; importing it loads nothing else."""

from typing import Literal, get_args

Method = Literal["ism", "gradient", "integrated_gradients", "shuffled_integrated_gradients"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Ways to attribute a prediction to bases."""
Strand = Literal["+", "-", "both"]
STRANDS: tuple[Strand, ...] = get_args(Strand)
"""Windows as the genome is written, their reverse complements, or the mean of both."""
OnMismatch = Literal["error", "skip", "swap", "keep"]
ON_MISMATCH: tuple[OnMismatch, ...] = get_args(OnMismatch)
"""What is done where the reference allele is not what the genome has."""
