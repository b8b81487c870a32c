"""Constant ends of sequences: whether those that a processor expects are there, or are put on."""

import logging
import re
from dataclasses import dataclass, field

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths, Processor

PRESENT, ADD = "present", "add"
FLAG = "--set data.adapters="

log = logging.getLogger(__name__)


def check_setting(value: str | None) -> None:
    """Refuse what is neither ``present`` nor ``add`` nor two sequences.

    Raises:
        UserError: Says what is allowed.

    Examples:
        >>> check_setting("acgt,ttt")
        >>> check_setting("add")
    """
    if value not in (None, PRESENT, ADD) and not re.fullmatch("[ACGTNacgtn]*,[ACGTNacgtn]*", value):
        raise UserError(
            f"adapters={value}: expected present, add, or LEFT,RIGHT in letters A, C, G, T, N, "
            "such as ACGT,TTGA"
        )


@dataclass
class ProcessorAdapters:
    """What is done about the ends of sequences that a processor expects.

    Attributes:
        processor: The processor.
        setting: ``"add"`` puts its adapters on, ``"LEFT,RIGHT"`` these; ``"present"`` takes the
            sequences as they are; None, too, but most must begin with the left adapter if the
            processor cuts it off.
        flag: How the setting is given, for messages; empty where it cannot be.
    """

    processor: Processor
    setting: str | None = None
    flag: str = FLAG
    _checked: bool = field(default=False, init=False)

    @property
    def ends(self) -> tuple[Tokens, Tokens]:
        """What is put on, left and right; nothing, if the sequences are taken as they are.

        Raises:
            UserError: If the processor has no adapters that could be added.
        """
        if self.setting in (None, PRESENT):
            return alphabet.encode(""), alphabet.encode("")
        if self.setting != ADD:
            first, last = self.setting.split(",")
            return alphabet.encode(first), alphabet.encode(last)
        left, right = self.processor.left_adapter, self.processor.right_adapter
        if not len(left) + len(right):
            raise UserError(
                f"{self.flag}add: the processor has no adapters. Give them: {self.flag}LEFT,RIGHT"
            )
        return left, right

    @property
    def expected(self) -> tuple[Tokens, Tokens]:
        """What the sequences that the processor is given begin and end with, as far as known."""
        if self.setting in (None, PRESENT):
            return self.processor.left_adapter, self.processor.right_adapter
        return self.ends

    def put_on(self, tokens: Tokens, lengths: Lengths) -> tuple[Tokens, Lengths]:
        """Put the ends on; arguments and result as the tokens and lengths of a chunk."""
        left, right = self.ends
        begin = len(left)
        added = begin + len(right)
        if not added:
            return tokens, lengths
        longer = np.empty((len(tokens), tokens.shape[1] + added), np.uint8)
        longer[:, :begin] = left
        longer[:, begin : begin + tokens.shape[1]] = tokens
        behind = begin + lengths[:, None] + np.arange(len(right))
        np.put_along_axis(longer, behind, np.broadcast_to(right, behind.shape), axis=1)
        return longer, lengths + np.int32(added)

    def check(self, source: object, tokens: Tokens) -> None:
        """Compare the first sequences that there are with what the setting says.

        Args:
            source: Where they come from.
            tokens: (rows, width), before anything is put on.

        Raises:
            UserError: If most lack the adapter that would be cut off, or have it already.
        """
        adapter = self.processor.left_adapter
        if self._checked or not len(tokens) or not len(adapter) or self.setting == PRESENT:
            return
        self._checked = True
        starts = tokens[:, : len(adapter)]
        same = (starts == adapter).all(axis=1) if starts.shape[1] == len(adapter) else np.zeros(1)
        most = np.mean(same) >= 0.5
        letters = alphabet.decode(adapter)
        if self.setting is not None:
            if most:
                raise UserError(
                    f"{source}: adapters are to be put on ({self.flag}{self.setting}), but most "
                    f"sequences begin with {letters} already. Leave the setting out, or take "
                    f"them as they are with {self.flag}present."
                )
        elif not most and self.processor.cuts_adapters:
            raise UserError(
                f"{source}: most sequences do not begin with the adapter {letters}, and the "
                f"processor cuts {len(adapter)} bp off there: bases of your own would be lost. "
                f"{self._remedy}"
            )
        elif not most:
            log.warning(
                "%s: most sequences do not begin with %s, behind which the processor expects them",
                source,
                letters,
            )

    @property
    def _remedy(self) -> str:
        if not self.flag:
            return (
                "Give sequences with their adapters. The command predict puts some on with "
                "--adapters, and evaluate --predictions scores its file."
            )
        return (
            f"{self.flag}add puts the processor's adapters on, {self.flag}LEFT,RIGHT others; if "
            f"your sequences have other ends that may be cut off, {self.flag}present takes them "
            "as they are."
        )
