"""Plain PyTorch twins of the three DREAM networks: parity oracle and speed yardstick.

Written from the paper's description (Rafi et al., doi 10.1038/s41587-024-02414-w) the way its
models are written: ``nn.Conv1d(groups=...)``, ``nn.LSTM``, ``nn.MultiheadAttention``. Weight names
equal those of the published PyTorch models. Layout is PyTorch's: ``(batch, channels, length)``.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

BINS = 18
"""Fluorescence bins of the cell sorter; a label is a mean bin, 0 to 17."""
BIN_SD = 0.5
"""Standard deviation of the normal distribution a label is smeared with (team autosome)."""
BIN_SHIFT = 0.5
"""Its mean lies this far above the label: in the middle of the unit-wide bin (team autosome)."""


def initialise_autosome(module: nn.Module) -> None:
    """Draw an autosome block's weights: conv N(0, sqrt(2/(k*out))), dense N(0, 0.001), biases 0.

    ``out`` is not divided by the groups of a grouped convolution, as in the team's code.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv1d):
            nn.init.normal_(
                part.weight, 0, math.sqrt(2 / (part.kernel_size[0] * part.out_channels))
            )
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, 0.001)
        if isinstance(part, nn.Conv1d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def conv_bn_silu(inputs: int, outputs: int, kernel: int, groups: int = 1) -> list[nn.Module]:
    """Convolution without bias, batch normalisation, SiLU."""
    conv = nn.Conv1d(inputs, outputs, kernel, padding="same", groups=groups, bias=False)
    return [conv, nn.BatchNorm1d(outputs), nn.SiLU()]


class AutosomeFirst(nn.Module):
    """Team autosome's first layers: ``(batch, channels, length) -> (batch, outputs, length)``."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*conv_bn_silu(channels, outputs, 7))
        initialise_autosome(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        return self.block(x)


class BhiConv(nn.Module):
    """One branch of team BHI: convolution with bias, ReLU, dropout."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding="same")
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, inputs, length) -> (batch, outputs, length)``."""
        return self.dropout(F.relu(self.conv(x)))


class BhiFirst(nn.Module):
    """Team BHI's first layers: kernels 9 and 15 side by side, half of the filters each."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv_list = nn.ModuleList(
            BhiConv(inputs, outputs // 2, kernel, dropout) for kernel in (9, 15)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, inputs, length) -> (batch, outputs, length)``."""
        return torch.cat([branch(x) for branch in self.conv_list], dim=1)


class BhiCore(BhiFirst):
    """Team BHI's core: bidirectional LSTM, then the same pair of convolutions, then dropout."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        dropout: float = 0.2,
        last_dropout: float = 0.5,
    ) -> None:
        super().__init__(2 * hidden, outputs, dropout)
        self.lstm = nn.LSTM(inputs, hidden, bidirectional=True, batch_first=True)
        self.last_dropout = nn.Dropout(last_dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, inputs, length) -> (batch, outputs, length)``."""
        sequence, _ = self.lstm(x.transpose(1, 2))
        return self.last_dropout(super().forward(sequence.transpose(1, 2)))


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the channels' means over the length."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, squeezed), nn.SiLU(), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, length)``, unchanged in shape."""
        return x * self.fc(x.mean(dim=2)).unsqueeze(2)


class AutosomeCore(nn.Module):
    """Team autosome's core (LegNet): ``(batch, inputs, length) -> (batch, outputs, length)``."""

    def __init__(self, inputs: int, sizes: Sequence[int], outputs: int) -> None:
        super().__init__()
        widths = [inputs, *sizes, outputs]
        self.seqextractor = nn.ModuleDict()
        for i, (before, size) in enumerate(itertools.pairwise(widths)):
            wide = 4 * size
            self.seqextractor[f"inv_res_blc{i}"] = nn.Sequential(
                *conv_bn_silu(before, wide, 1),
                *conv_bn_silu(wide, wide, 7, groups=wide // 2),
                SqueezeExcite(wide, before // 4),
                *conv_bn_silu(wide, before, 1),
            )
            self.seqextractor[f"resize_blc{i}"] = nn.Sequential(*conv_bn_silu(2 * before, size, 7))
        self.steps = len(widths) - 1
        initialise_autosome(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the steps; each joins its input and its branch before the resizing convolution."""
        for i in range(self.steps):
            branch = self.seqextractor[f"inv_res_blc{i}"](x)
            x = self.seqextractor[f"resize_blc{i}"](torch.cat([x, branch], dim=1))
        return x


class FeedForward(nn.Module):
    """Half of a macaron: layer norm, dense 4*d, SwiGLU, dense d, dropout after both."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(width, eps=1e-6)
        self.linear1 = nn.Linear(width, 4 * width, bias=False)
        self.linear2 = nn.Linear(2 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, length, width)``, unchanged in shape."""
        value, gate = self.linear1(self.layernorm(x)).chunk(2, dim=-1)
        return self.dropout(self.linear2(self.dropout(value * F.silu(gate))))


class Conformer(nn.Module):
    """One layer of team UnlockDNA's core, ``(batch, length, width)``, unchanged in shape."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ff1 = FeedForward(width, dropout)
        self.layernorm1 = nn.LayerNorm(width, eps=1e-6)
        self.conv = nn.Sequential(
            nn.Conv1d(width, width, 15, padding="same", groups=width, bias=False),
            nn.Conv1d(width, width, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.layernorm2 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ff2 = FeedForward(width, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feed-forward half, convolution, attention, feed-forward half."""
        x = x + 0.5 * self.ff1(x)
        normed = self.layernorm1(x)
        x = x + normed + self.conv(normed.transpose(1, 2)).transpose(1, 2)
        x = self.layernorm2(x)  # the stream itself is normalised here, not only the branch
        x = x + self.attn(x, x, x, need_weights=False)[0]
        return x + 0.5 * self.ff2(x)


class UnlockDnaCore(nn.Module):
    """Team UnlockDNA's core (Proformer): learned positions, then conformer layers."""

    # Dropout 0.1 as in the team's own code.
    def __init__(
        self, width: int, length: int, layers: int = 4, heads: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Conformer(width, heads, dropout) for _ in range(layers))
        self.pos_embedding = nn.Embedding(length, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, width, length)``, unchanged in shape."""
        x = x.transpose(1, 2) + self.pos_embedding.weight
        for block in self.blocks:
            x = block(x)
        return x.transpose(1, 2)


class AutosomeFinal(nn.Module):
    """Team autosome's final layers: a distribution over the bins and its expected value."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.mapper = nn.Sequential(nn.Conv1d(inputs, BINS, 1))
        # A buffer that state dicts hold, as the published block has it.
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32))
        initialise_autosome(self)

    def log_probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, inputs, length) -> (batch, 18)``, log of the bins' probabilities."""
        return F.log_softmax(self.mapper(x).mean(dim=2), dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, inputs, length) -> (batch,)``, the expected bin."""
        return self.log_probabilities(x).exp() @ self.bins


class Twin(nn.Module):
    """First, core and final layers in a row."""

    def __init__(self, first: nn.Module, core: nn.Module, final: AutosomeFinal) -> None:
        super().__init__()
        self.first = first
        self.core = core
        self.final = final

    def log_probabilities(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, length) -> (batch, 18)``, log of the bins' probabilities."""
        return self.final.log_probabilities(self.core(self.first(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, length) -> (batch,)``, the expected bin."""
        return self.final(self.core(self.first(x)))


def dream_cnn(
    channels: int,
    first: int = 320,
    sizes: Sequence[int] = (128, 128, 64, 64, 64),
    outputs: int = 64,
) -> Twin:
    """DREAM-CNN: BHI first, autosome core, autosome final."""
    return Twin(
        BhiFirst(channels, first), AutosomeCore(first, sizes, outputs), AutosomeFinal(outputs)
    )


def dream_rnn(channels: int, first: int = 320, hidden: int = 320, outputs: int = 320) -> Twin:
    """DREAM-RNN: BHI first, BHI core, autosome final."""
    return Twin(BhiFirst(channels, first), BhiCore(first, hidden, outputs), AutosomeFinal(outputs))


def dream_attn(
    channels: int, length: int, first: int = 256, layers: int = 4, heads: int = 4
) -> Twin:
    """DREAM-Attn: autosome first, UnlockDNA core, autosome final."""
    return Twin(
        AutosomeFirst(channels, first),
        UnlockDnaCore(first, length, layers, heads),
        AutosomeFinal(first),
    )


def build_twin(
    preset: str, length: int = 150, channels: int = 6, *, dropout: bool = True, **widths: Any
) -> Twin:
    """Build the twin of a preset.

    Args:
        preset: ``dream_cnn``, ``dream_rnn`` or ``dream_attn``.
        length: Input length in bp; only ``dream_attn`` depends on it.
        channels: Input channels.
        dropout: False sets every dropout rate to 0, for step-by-step comparisons.
        **widths: Sizes other than the paper's; see the function named like the preset.
    """
    builders: dict[str, Callable[..., Twin]] = {
        "dream_cnn": dream_cnn,
        "dream_rnn": dream_rnn,
        "dream_attn": functools.partial(dream_attn, length=length),
    }
    twin = builders[preset](channels, **widths)
    if not dropout:
        for part in twin.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
    return twin


def soft_bins(labels: torch.Tensor) -> torch.Tensor:
    """Smear labels over the bins: ``(batch,) -> (batch, 18)``, rows sum to 1.

    Normal(label + 0.5, sd 0.5) integrated over (-inf, 1], (1, 2], ..., (17, inf).
    """
    edges = torch.arange(1, BINS, dtype=torch.float64, device=labels.device)
    below = torch.special.ndtr((edges - (labels.double()[:, None] + BIN_SHIFT)) / BIN_SD)
    zero, one = torch.zeros_like(below[:, :1]), torch.ones_like(below[:, :1])
    return torch.cat([zero, below, one], dim=1).diff(dim=1).float()


def one_cycle(
    model: nn.Module, steps: int, max_rate: float = 0.005
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """Build team autosome's optimiser and schedule for ``steps`` training steps.

    AdamW decays every weight by 0.01; the rate rises over 30 % of the steps from ``max_rate`` / 25
    and falls to a 10,000th of that, while beta1 goes 0.95, 0.85, 0.95 against it.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=max_rate / 25, weight_decay=0.01, eps=1e-8)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_rate, total_steps=steps, pct_start=0.3, div_factor=25, final_div_factor=1e4
    )
    return optimizer, schedule


def train_step(
    model: Twin,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    x: torch.Tensor,
    probabilities: torch.Tensor,
) -> torch.Tensor:
    """Do one training step and return its loss, a scalar: KL divergence, mean over the batch.

    ``x`` is ``(batch, channels, length)``, ``probabilities`` the soft bins, ``(batch, 18)``.
    """
    optimizer.zero_grad()
    loss = F.kl_div(model.log_probabilities(x), probabilities, reduction="batchmean")
    loss.backward()
    optimizer.step()
    schedule.step()
    return loss.detach()
