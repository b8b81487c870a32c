"""Final block of the autosome team: probabilities of the 18 sorting bins."""

import keras

from dream_keras.initializers import AutosomeInitializer
from dream_keras.menu.registry import Head, register
from dream_keras.training.losses import BinDivergence, ExpectedBinError, expected_bin


@register(
    "final",
    "autosome",
    source="Prix Fixe, autosome.org final layers",
    head=Head(
        losses={"bins": BinDivergence, "label": ExpectedBinError},
        expression=expected_bin,
    ),
    torch_names={"bins": "mapper.0"},
)
def autosome(x: keras.KerasTensor, bins: int = 18, silu: bool = False) -> keras.KerasTensor:
    """Convolution of width 1 to one channel per bin, mean over the length, softmax in float32.

    The predicted expression is the mean bin, sum over i of i * p_i.

    Args:
        x: (batch, length, channels).
        bins: Sorting bins; 18 in the yeast experiment.
        silu: Put a SiLU in front of the mean, as the team's own LegNet has it; Prix Fixe has none.

    Returns:
        Probabilities, (batch, bins), float32.
    """
    x = keras.layers.Conv1D(bins, 1, kernel_initializer=AutosomeInitializer(), name="final_bins")(x)
    if silu:
        x = keras.layers.Activation("silu", name="final_silu")(x)
    x = keras.layers.GlobalAveragePooling1D(name="final_mean", dtype="float32")(x)
    return keras.layers.Softmax(name="final_probabilities", dtype="float32")(x)
