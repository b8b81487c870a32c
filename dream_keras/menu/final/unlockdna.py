"""Final block of the UnlockDNA team: expression, and the nucleotides that were masked."""

import keras

from dream_keras.initializers import Start, dense_start
from dream_keras.menu.registry import Head, register
from dream_keras.training.losses import ExpressionError, MaskedError, expression_output


@register(
    "final",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA final layers",
    head=Head(
        losses={"masked": MaskedError, "value": ExpressionError}, expression=expression_output
    ),
    torch_names={"expression": "expression_dense", "nucleotides": "nucleotide_dense"},
)
def unlockdna(
    x: keras.KerasTensor,
    num_projectors: int = 32,
    nucleotides: int = 5,
    sequence_length: int | None = None,
    dropout: float = 0.2,
    start: Start = "torch",
) -> dict[str, keras.KerasTensor]:
    """Expression from the first positions, nucleotide logits for the last ones.

    Args:
        x: (batch, length, channels).
        num_projectors: Leading positions whose values are averaged.
        nucleotides: Classes of the logits: 5 (A, C, G, T, N), or 6 with the mask.
        sequence_length: Trailing positions that get logits; all positions when None.
        dropout: Before the expression's dense layer; 0.2 as published, 0.1 in the team's own
            Proformer.
        start: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in Proformer.

    Returns:
        ``"expression"``, (batch, 1), and ``"nucleotides"``, (batch, sequence_length,
        nucleotides), both float32.
    """
    length, width = x.shape[1:]
    averaged, kept = min(num_projectors, length), sequence_length or length
    y = keras.layers.Cropping1D((0, length - averaged), name="final_projectors")(x)
    y = keras.layers.Dropout(dropout, name="final_dropout")(y)
    y = keras.layers.Dense(
        1, **dense_start(start, width), name="final_expression", dtype="float32"
    )(y)
    y = keras.layers.GlobalAveragePooling1D(name="final_mean", dtype="float32")(y)
    z = keras.layers.Cropping1D((length - kept, 0), name="final_sequence")(x)
    z = keras.layers.Dense(
        nucleotides, **dense_start(start, width), name="final_nucleotides", dtype="float32"
    )(z)
    return {"expression": y, "nucleotides": z}
