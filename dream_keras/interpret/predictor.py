"""The function that everything in this folder stands on."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.adapters import ADD, PRESENT, ProcessorAdapters, check_setting
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Processor
from dream_keras.data.table import tokenize
from dream_keras.runs.run import Run, load_run

Floats = npt.NDArray[np.float64]
Predict = Callable[[Sequence[str]], npt.ArrayLike]
"""Sequences to predictions, (rows,) or (rows, tasks)."""
View = tuple[str, bool]
"""A sequence, and whether it is the reverse complement of what was asked about."""
Differentiate = Callable[..., tuple[Floats, Floats]]
"""What ``dream_keras.interpret.gradients.Gradients`` computes when called."""
Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True)
class Predictor:
    """Something that predicts sequences.

    Attributes:
        function: Predicts.
        tasks: Names of the tasks.
        name: What it is called in outputs.
        shortest: The shortest sequence that it takes in bp, adapters that it puts on not counted.
        longest: The longest one; None if there is no limit.
        kept: How many bp at both ends belong to the assay's construct: they stay in place in the
            reverse complement and are not shuffled.
        adapters: What it puts on, for outputs.
        flagged: Predicts sequences that are told apart by their strand; None where the function
            does not care.
        reverse_mark: Text in the names of sequences that are reverse complements; empty for none.
        check: Refuses sequences that lack their adapters.
        gradients: Differentiates predictions with respect to bases, as ``Gradients`` does; None
            where that is impossible.
        profiles: Predicts sequences, (rows, tasks), and how their counts are shared among
            positions, (rows, tasks, positions), each as it is written; None where the run predicts
            no profiles.
        simulated: Whether the rows that it was trained on are simulated.
        members: Those whose mean it predicts; empty for a single network.
    """

    function: Predict
    tasks: tuple[str, ...] = ("expression",)
    name: str = "model"
    shortest: int = 1
    longest: int | None = None
    kept: tuple[int, int] = (0, 0)
    adapters: str = "none"
    flagged: Callable[[Sequence[View]], npt.ArrayLike] | None = None
    reverse_mark: str = ""
    check: Callable[[Sequence[str]], None] = lambda sequences: None
    gradients: Differentiate | None = None
    profiles: Callable[[Sequence[str]], tuple[Floats, Floats]] | None = None
    simulated: bool = False
    members: "tuple[Predictor, ...]" = ()

    def __call__(self, sequences: Sequence[str]) -> Floats:
        """Predict sequences as they are, (rows, tasks)."""
        return self.views([(sequence, False) for sequence in sequences])

    def check_named(self, sequences: Mapping[str, str], where: str = "") -> None:
        """Refuse sequences that are too short or too long, or lack their adapters.

        Args:
            sequences: By name.
            where: What comes before the name in a message, such as the file.

        Raises:
            UserError: Names the sequence.
        """
        for name, sequence in sequences.items():
            if not self.shortest <= len(sequence) <= (self.longest or len(sequence)):
                raise UserError(
                    f"{where}{name} has {len(sequence)} bp; the run takes {self.shortest} to "
                    f"{self.longest}, besides the adapters that are put on"
                )
        self.check(list(sequences.values()))

    def each(self, views: Sequence[View]) -> Floats:
        """Predict sequences of either strand with every member, (rows, members, tasks)."""
        return np.stack([member.views(views) for member in self.members or (self,)], axis=1)

    def views(self, views: Sequence[View]) -> Floats:
        """Predict sequences of either strand, (rows, tasks)."""
        if not len(views):
            return np.zeros((0, len(self.tasks)))
        if self.flagged is None:
            values = self.function([sequence for sequence, _ in views])
        else:
            values = self.flagged(views)
        return np.asarray(values, np.float64).reshape(len(views), len(self.tasks))


def run_predictor(
    folder: str | Path, adapters: str | None = None, bare: bool = False, trained: bool = True
) -> Predictor:
    """Return what predicts with a run.

    Args:
        folder: The run folder.
        adapters: Whether the sequences have adapters, as ``data.adapters``; None as in training.
        bare: Whether the sequences are cut from a genome: then the adapters that the processor
            expects are put on, unless ``adapters`` says otherwise.
        trained: False takes a network with fresh weights, as a control.

    Raises:
        UserError: If it is no run, or has no such setting.
    """
    check_setting(adapters)
    run = load_run(folder)
    predictors = [_of_one(member, adapters, bare, trained) for member in run.members]
    return predictors[0] if len(predictors) == 1 else mean_of(predictors, str(folder))


def mean_of(predictors: Sequence[Predictor], name: str) -> Predictor:
    """Return what predicts the mean of several predictors of the same tasks.

    Args:
        predictors: Their other attributes agree, except for the lengths that they take.
        name: What it is called in outputs.
    """
    first = predictors[0]
    differentiated = [each.gradients for each in predictors if each.gradients is not None]

    def gradients(
        bases: npt.NDArray[np.float32], weights: Floats, turned: bool = False
    ) -> tuple[Floats, Floats]:
        found = [each(bases, weights, turned) for each in differentiated]
        values, slopes = zip(*found, strict=True)
        return np.mean(values, axis=0), np.mean(slopes, axis=0)

    def flagged(views: Sequence[View]) -> Floats:
        return np.mean([each.views(views) for each in predictors], axis=0)

    sharing = [each.profiles for each in predictors if each.profiles is not None]

    def profiles(sequences: Sequence[str]) -> tuple[Floats, Floats]:
        values, shares = zip(*(each(sequences) for each in sharing), strict=True)
        return np.mean(values, axis=0), np.mean(shares, axis=0)

    return replace(
        first,
        function=lambda sequences: flagged([(sequence, False) for sequence in sequences]),
        name=name,
        shortest=max(each.shortest for each in predictors),
        longest=min((each.longest for each in predictors if each.longest), default=None),
        flagged=flagged,
        gradients=gradients if len(differentiated) == len(predictors) else None,
        profiles=profiles if len(sharing) == len(predictors) else None,
        members=tuple(predictors),
    )


def _of_one(run: Run, adapters: str | None, bare: bool, trained: bool) -> Predictor:
    """Return what predicts with a run that is no ensemble."""
    from dream_keras.interpret.gradients import Gradients
    from dream_keras.runs.prediction import encode_sequences, predict_profiles, predict_rows
    from dream_keras.runtime.steps import Steps

    processor = run.processor
    steps = run.steps if trained else Steps(run.untrained_network(), processor)
    settings = run.experiment.data.reading()
    setting = adapters or settings.adapters
    if bare and adapters is None and len(processor.left_adapter) and setting in (None, PRESENT):
        setting = ADD
    ends = ProcessorAdapters(processor, setting, flag="").ends
    put_on = sum(map(len, ends))
    # Checked once, on reference sequences: a mutation may well hit the adapter.
    settings = replace(settings, adapters=setting or PRESENT)

    def encode(sequences: Sequence[str]) -> Tokens:
        return encode_sequences(processor, sequences, settings)

    def flagged(views: Sequence[View]) -> Floats:
        tokens = encode([sequence for sequence, _ in views])
        turned = np.array([turned for _, turned in views], np.uint8)
        flags = turned if processor.reverse_mark else None
        return predict_rows(steps, tokens, flags=flags)

    def profiles(sequences: Sequence[str]) -> tuple[Floats, Floats]:
        logits, counts = predict_profiles(steps, encode(sequences))
        return counts, softmax(logits.astype(np.float64), axis=-1)

    def check(sequences: Sequence[str]) -> None:
        if sequences:
            tokens, _ = tokenize(sequences, max(map(len, sequences)))
            ProcessorAdapters(processor, setting, "--adapters ").check("the sequences", tokens)

    kept = (0, 0) if put_on or bare else construct_ends(processor)
    return Predictor(
        lambda sequences: flagged([(sequence, False) for sequence in sequences]),
        run.task_names,
        str(run.folder),
        max(processor.min_length - put_on, 1),
        processor.max_length - put_on,
        kept,
        ",".join(map(alphabet.decode, ends)) if put_on else "none",
        flagged,
        processor.reverse_mark,
        check,
        Gradients(steps, encode),
        profiles if run.is_of_regions else None,
        run.has_simulated_rows,
    )


def construct_ends(processor: Processor) -> tuple[int, int]:
    """Return how many bp at both ends of a whole sequence belong to the assay's construct."""
    fixed = (getattr(processor, "fixed_left", 0), getattr(processor, "fixed_right", 0))
    return (
        max(len(processor.left_adapter), fixed[0]),
        max(len(processor.right_adapter), fixed[1]),
    )


def distinct(items: Iterable[Item]) -> list[Item]:
    """Return items without repetitions, in the order of their first occurrence."""
    return list(dict.fromkeys(items))
