"""Our side of the benchmark, on Keras's backend."""

import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.settings import LENGTH, SLIM, Settings
from dream_keras.common.cli import load_backend


class Ours:
    """What our networks can be told to do; each piece of work returns the rows it was."""

    def __init__(self, settings: Settings):
        load_backend()
        import keras

        from dream_keras.data.stream import Batch
        from dream_keras.menu.autosome import AutosomeProcessor
        from dream_keras.runtime.strategy import make_strategy

        keras.config.set_dtype_policy(settings.precision)
        self.settings = settings
        self.processor = AutosomeProcessor()
        self.strategy = make_strategy(settings.strategy)
        self.steps: Any = None
        self.scored: Any = None
        random = np.random.default_rng(0)
        self.tokens = random.integers(0, 4, (settings.batch, LENGTH)).astype(np.uint8)
        labels = random.uniform(5, 15, (settings.batch, 1)).astype(np.float32)
        none = np.zeros(settings.batch, np.uint8)
        weights = np.ones(settings.batch, np.float32)
        self.batch = Batch(self.tokens, none, none, labels, weights)
        self.works: dict[str, Callable[[], int]] = {
            "predict": self.predict,
            "step": self.step,
            "read": self.read,
            "input": self.input,
            "epoch": self.epoch,
            "train": self.train,
            "variants": lambda: self.variants("variants"),
            "variants, two each": lambda: self.variants("variants, two each"),
            "variants, network alone": lambda: self.variants("variants, network alone"),
        }

    def variants(self, way: str) -> int:
        """Score the variants of the folder, in one of the ways of ``VariantWork``."""
        from benchmarks.variant_work import VariantWork

        if self.scored is None:
            self.scored = VariantWork(self.settings)
        return self.scored.works[way]()

    def facts(self) -> dict[str, Any]:
        """Return the device, and the operations of a forward pass per row, 2 per multiply-add."""
        from dream_keras.model.summary import multiply_adds

        return {
            "device": self.strategy.devices[0],
            "flops": 2 * multiply_adds(self._build().network),
        }

    def gpu_memory(self) -> float | None:
        """Return the most memory used on the GPU, GiB; None where it is not known."""
        import keras

        if keras.backend.backend() != "jax":
            return None
        import jax

        found = jax.devices()[0].memory_stats() or {}
        return found["peak_bytes_in_use"] / 2**30 if "peak_bytes_in_use" in found else None

    def _build(self, total_steps: int = 100_000) -> Any:
        if self.steps is None:
            from dream_keras import menu
            from dream_keras.config.experiment import preset
            from dream_keras.model.build import build_network
            from dream_keras.runtime.steps import Steps

            order = preset(self.settings.preset).plain()
            for slot, options in (
                SLIM[self.settings.preset][0].items() if self.settings.slim else ()
            ):
                name = order[slot] if isinstance(order[slot], str) else order[slot]["name"]
                order[slot] = {"name": name, **options}
            with self.strategy.scope():
                optimizer = menu.get("trainer", "autosome").build().optimizer(total_steps)
                self.steps = Steps(build_network(order), self.processor, optimizer)
        return self.steps

    def predict(self) -> int:
        """Predict both strands of a batch."""
        for _ in range(self.settings.calls):
            self._build().predict(self.tokens)
        return 2 * self.settings.batch * self.settings.calls

    def step(self) -> int:
        """Train on a batch."""
        self._build().train([self.batch] * self.settings.calls)
        return self.settings.batch * self.settings.calls

    def read(self) -> int:
        """Read and encode the table, or open the prepared folder, and draw the first pass."""
        from dream_keras.config.experiment import load_experiment
        from dream_keras.data.sharded_stream import ShardedStream
        from dream_keras.data.shards import open_shards
        from dream_keras.data.stream import Stream, StreamSettings, TrainingStream
        from dream_keras.data.table import load_rows

        path = Path(self.settings.table)
        settings = StreamSettings(self.settings.batch, both_strands=True)
        self.stream: Stream
        if path.is_dir():
            given = load_experiment(self.settings.preset).processor_settings()
            self.stream = ShardedStream(open_shards(path, self.processor, given), settings)
        else:
            self.stream = TrainingStream(load_rows(path, self.processor), settings)
        self.stream.batch(0)
        return self.stream.rows_per_pass // 2

    def input(self) -> int:
        """Stream training batches, at most 2,000, without training."""
        steps = min(2_000, self.stream.rows_per_pass // self.settings.batch)
        return sum(len(batch.labels) for batch in self.stream.batches(0, steps))

    def epoch(self) -> int:
        """Train on every row once, in both strands."""
        count = self.stream.rows_per_pass // self.settings.batch
        steps = self._build(count)
        batches = self.stream.batches(0, count)
        # Whole calls only: one of another number of steps would be compiled anew.
        for _ in range(count // self.settings.calls):
            steps.train(list(islice(batches, self.settings.calls)))
        return count // self.settings.calls * self.settings.calls * self.settings.batch

    def train(self) -> int:
        """Go from the table to trained weights on the disk: read, build, compile, train, save."""
        self.read()
        rows = self.epoch()
        with tempfile.TemporaryDirectory() as folder:
            self.steps.network.save_weights(Path(folder) / "trained.weights.h5")
        return rows
