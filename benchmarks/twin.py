"""The PyTorch twin's side of the benchmark. Keras computes its channels, on PyTorch."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks import torch_twin
from benchmarks.per_row_loader import batches
from benchmarks.settings import LENGTH, SLIM, Settings

PER_ROW_BATCHES = 20
"""Batches that the per-row loader makes in one repeat."""


class Twin:
    """What the twin can be told to do; each piece of work returns the rows it was."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.gpu = torch.cuda.is_available()
        self.device = torch.device("cuda" if self.gpu else "cpu")
        torch.set_float32_matmul_precision("high")  # TF32 on GPUs, as JAX; nothing on CPUs
        torch.backends.cudnn.allow_tf32 = True
        self.network: Any = None
        random = torch.Generator().manual_seed(0)
        bases = torch.randint(0, 4, (settings.batch, LENGTH), generator=random)
        channels = torch.zeros(settings.batch, 6, LENGTH).scatter_(1, bases[:, None], 1.0)
        self.channels = channels.to(self.device)
        self.target = torch_twin.soft_bins(
            5 + 10 * torch.rand(settings.batch, generator=random)
        ).to(self.device)
        self.works: dict[str, Callable[[], int]] = {
            "peak": self.peak,
            "predict": self.predict,
            "predict_one": self.predict_one,
            "step": self.step,
            "input": self.input,
            "train": self.train,
            "train_per_row": self.train_per_row,
        }

    def facts(self) -> dict[str, Any]:
        """Return the device."""
        return {"device": torch.cuda.get_device_name() if self.gpu else "cpu"}

    def gpu_memory(self) -> float | None:
        """Return the most memory used on the GPU, GiB; None on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.gpu else None

    def _build(self, total_steps: int = 100_000) -> Any:
        if self.network is None:
            widths = SLIM[self.settings.preset][1] if self.settings.slim else {}
            network = torch_twin.build_twin(self.settings.preset, **widths).to(self.device)
            self.optimizer, self.schedule = torch_twin.one_cycle(network, total_steps)
            if self.settings.compiled:
                network.forward = torch.compile(network.forward)
                network.log_probabilities = torch.compile(network.log_probabilities)
            self.network = network
        return self.network

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        low = self.settings.precision == "mixed_bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=low)

    def _wait(self) -> None:
        if self.gpu:
            torch.cuda.synchronize()

    def _steps(self, rows: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> int:
        network, done = self._build().train(), 0
        for channels, target in rows:
            with self._autocast():
                torch_twin.train_step(network, self.optimizer, self.schedule, channels, target)
            done += len(channels)
        self._wait()
        return done

    def peak(self) -> int:
        """Multiply two large matrices; returns operations, not rows."""
        size = 16_384 if self.gpu else 300 if self.settings.slim else 3_000
        low = self.settings.precision == "mixed_bfloat16"
        kind = torch.bfloat16 if low else torch.float32
        matrix = torch.ones(size, size, dtype=kind, device=self.device)
        matrix @ matrix
        self._wait()
        return 2 * size**3

    @torch.inference_mode()
    def _predict(self, batch: torch.Tensor, times: int) -> int:
        network = self._build().eval()
        with self._autocast():
            for _ in range(times):
                network(batch)
        self._wait()
        return times * len(batch)

    def predict(self) -> int:
        """Predict both strands of a batch."""
        return self._predict(self.channels, 2 * self.settings.calls)

    def predict_one(self) -> int:
        """Predict 8 rows one by one, as the published predictor does."""
        return self._predict(self.channels[:1], 8)

    def step(self) -> int:
        """Train on a batch."""
        return self._steps([(self.channels, self.target)] * self.settings.calls)

    def input(self) -> int:
        """Encode training batches row by row."""
        loaded = batches(Path(self.settings.table), self.settings.batch)
        return sum(len(channels) for channels, _ in islice(loaded, PER_ROW_BATCHES))

    def train_per_row(self) -> int:
        """Go from the table to trained weights on the disk, with the per-row loader."""
        loaded = (
            (torch.from_numpy(channels).to(self.device), torch.from_numpy(target).to(self.device))
            for channels, target in batches(Path(self.settings.table), self.settings.batch)
            if len(channels) == self.settings.batch
        )
        with Path(self.settings.table).open() as file:
            rows = sum(1 for _ in file)
        return self._train(2 * rows // self.settings.batch, loaded)

    def train(self) -> int:
        """Go from the table to trained weights on the disk, with our stream."""
        from dream_keras.data.stream import StreamSettings, TrainingStream
        from dream_keras.data.table import load_rows
        from dream_keras.menu.autosome import AutosomeProcessor

        processor = AutosomeProcessor()
        rows = load_rows(self.settings.table, processor)
        stream = TrainingStream(rows, StreamSettings(self.settings.batch, 0, both_strands=True))
        count = stream.rows_per_pass // self.settings.batch

        def loaded() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for tokens, strand, flags, labels, _ in stream.batches(0, count):
                channels = processor.make_channels(tokens, strand, flags)
                target = torch_twin.soft_bins(torch.from_numpy(labels[:, 0]).to(self.device))
                yield channels.to(self.device).transpose(1, 2).contiguous(), target

        return self._train(count, loaded())

    def _train(self, count: int, rows: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> int:
        self._build(count)
        done = self._steps(rows)
        with tempfile.TemporaryDirectory() as folder:
            torch.save(self.network.state_dict(), Path(folder) / "trained.pth")
        return done
