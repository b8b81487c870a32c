"""A simulated random-promoter experiment, written as the official files, with its truth.

What it models and what it does not: docs/simulator.md.
"""

from dream_keras.data.simulation.assay import deep_scale
from dream_keras.data.simulation.expression import motif_sites, noise_free_expression, occupancy
from dream_keras.data.simulation.motifs import MOTIFS, Motif
from dream_keras.data.simulation.truth import Truth, read_truth
from dream_keras.data.simulation.writer import simulate

__all__ = [
    "MOTIFS",
    "Motif",
    "Truth",
    "deep_scale",
    "motif_sites",
    "noise_free_expression",
    "occupancy",
    "read_truth",
    "simulate",
]
