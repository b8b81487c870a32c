"""Tiny networks that are trained on regions of a simulated genome."""

import dream_keras

SHORT = [
    "model.processor={name: profile, length: 120, positions: 40, jitter: 10}",
    "model.final={name: profile, positions: 40, kernel_size: 15}",
    "model.first.out_channels=8",
    "trainer.batch_size=16",
    "trainer.steps_per_epoch=4",
    "trainer.epochs=3",
]
BIAS = [*SHORT, "model.core.layers=2"]
MAIN = [*SHORT, "model.core.widths=[8]", "model.core.out_channels=8", "trainer.patience=null"]


def train(config, overrides, regions, out, **settings):
    """Train a run on a regions file."""
    return dream_keras.train(
        config, train=regions, out=out, overrides=overrides, progress=False, **settings
    )
