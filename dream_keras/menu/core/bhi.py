"""Core block of the BHI team: a bidirectional LSTM followed by two convolutions side by side."""

import keras

from dream_keras.layers import TorchLSTM, parallel_convs
from dream_keras.menu.registry import register


@register(
    "core",
    "bhi",
    source="Prix Fixe, BHI core layers",
    torch_names={"lstm": "lstm", r"branch(\d+)_conv": r"conv_list.\1.conv"},
)
def bhi(
    x: keras.KerasTensor,
    out_channels: int = 320,
    units: int = 320,
    kernel_sizes: tuple[int, ...] = (9, 15),
    branch_dropout: float = 0.2,
    dropout: float = 0.5,
) -> keras.KerasTensor:
    """Bidirectional LSTM, then convolutions with ReLU and dropout side by side, then dropout.

    Args:
        x: (batch, length, channels).
        out_channels: Filters of the convolutions in all; 320 as published.
        units: Of the LSTM, per direction; 320 as published.
        kernel_sizes: One convolution each; 9 and 15 as published.
        branch_dropout: After each convolution; 0.2 as published.
        dropout: At the end; 0.5 as published.

    Returns:
        (batch, length, out_channels).
    """
    lstm = TorchLSTM(units, return_sequences=True, name="core_lstm_direction")
    x = keras.layers.Bidirectional(lstm, name="core_lstm")(x)
    x = parallel_convs(x, out_channels, tuple(kernel_sizes), branch_dropout, "core")
    return keras.layers.Dropout(dropout, name="core_dropout")(x)
