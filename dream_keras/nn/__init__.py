"""Building parts of blocks and trainers: layers, initial weights, losses, optimisers, schedules."""

from collections.abc import Mapping
from typing import Any

Tensor = Any
"""A tensor of the backend, TensorFlow's or JAX's, or a symbolic one of Keras."""
Tensors = Tensor | Mapping[str, Tensor]
"""One tensor, or several by name: what a final block gives, or what it is trained on."""
