"""Check a processor's two parts, on the host and in the graph."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args, get_type_hints

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from dream_keras import menu
from dream_keras.config.order import Choice
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Processor
from dream_keras.nn import Tensor
from dream_keras.testing.harness import (
    BlockProblems,
    Report,
    describe_part,
    on_the_menu,
    run_checks,
)

ROWS = 12
LETTERS = 5
"""A, C, G, T and N are what files hold."""


@dataclass
class Case:
    """A processor and rows to test it on."""

    item: menu.MenuEntry
    processor: Processor

    @cached_property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Lengths in bp, (ROWS,), from the shortest to the longest that it takes."""
        shortest = len(self.processor.left_adapter) + 1
        return np.linspace(shortest, self.processor.max_length, ROWS).astype(np.int32)

    @cached_property
    def rows(self) -> Tokens:
        """Sequences as they are read, (ROWS, longest), with zeros behind their ends."""
        shape = (ROWS, self.processor.max_length)
        tokens = np.random.default_rng(0).integers(0, LETTERS, shape).astype(np.uint8)
        return np.where(np.arange(shape[1]) < self.lengths[:, None], tokens, 0).astype(np.uint8)

    @cached_property
    def labels(self) -> npt.NDArray[np.float32]:
        """Labels that every target type can express, (ROWS, 1), in rising order."""
        ranges = [self.processor.label_ranges.get(k, (0, 17)) for k in self.processor.targets]
        lowest, highest = max(r[0] for r in ranges), min(r[1] for r in ranges)
        return np.linspace(lowest, highest, ROWS, dtype=np.float32)[:, None]

    @cached_property
    def ready(self) -> Processor:
        """The processor with what it takes from the training labels."""
        found = self.processor.label_statistics(self.labels)
        own = {name: getattr(self.processor, name) for name in self.item.options}
        return self.item.build(**{**own, **found}) if found else self.processor

    def encoded(self) -> Tokens:
        """Return the encoded rows, made anew, (ROWS, length)."""
        return self.processor.encode(self.rows.copy(), self.lengths)


def check_processor(
    processor: str | type[Processor], *, options: Mapping[str, object] | None = None
) -> Report:
    """Test a processor on artificial rows and explain what is wrong with it.

    Args:
        processor: Its name on the menu, or the class.
        options: Options of the processor, as in a config.

    Returns:
        A report, with the shape of its ``"input"`` to the network and its ``"targets"``.

    Raises:
        BlockProblems: Lists every problem, and what to do about it.
        UserError: If it is not on the menu or cannot be registered, or an option is wrong.

    Examples:
        >>> check_processor("bhi")
        processor "bhi" is fine; input (batch, 110, 4); targets value, label
    """
    with on_the_menu("processor", processor) as item:
        choice = Choice.parse("processor", {"name": item.name, **dict(options or {})})
        built = item.build(**choice.options)
        what = describe_part(item, choice.options)
        # Without these nothing else can be tested.
        if problems := list(_attributes(built)):
            raise BlockProblems(what, problems)
        run_checks(what, item, CHECKS, Case(item, built))
    return Report(
        what,
        {
            "input": f"(batch, {built.length}, {built.channels})",
            "targets": ", ".join(built.targets),
        },
    )


def _attributes(processor: Processor) -> Iterator[str]:
    """Yield attributes that are missing or of the wrong kind."""
    for name in ("length", "channels", "max_length"):
        value = getattr(processor, name, None)
        if not isinstance(value, int) or value < 1:
            yield f"{name} is {value!r}: set it to a whole number, in the class or in __init__"
    targets = getattr(processor, "targets", None)
    if not isinstance(targets, tuple) or not targets:
        yield f'targets is {targets!r}: give a tuple, such as ("value",) with its comma'
    allowed = get_args(get_type_hints(Processor)["strands"])
    if getattr(processor, "strands", None) not in allowed:
        yield (
            f"strands is {getattr(processor, 'strands', None)!r}: expected one of "
            f"{', '.join(allowed)}"
        )
    adapter = getattr(processor, "left_adapter", None)
    if not isinstance(adapter, np.ndarray) or adapter.dtype != np.uint8:
        yield (
            f'left_adapter is {adapter!r}: give tokens, such as alphabet.encode("TGCA"), or '
            'alphabet.encode("") if sequences have none'
        )


def _targets(case: Case) -> Iterator[str]:
    """Yield the target types, if no final block takes any."""
    heads = [entry.head for entry in menu.entries() if entry.head is not None]
    taken = {target_type for head in heads for target_type in head.losses}
    if not taken & set(case.processor.targets):
        yield (
            f"no final block on the menu is trained on {' or '.join(case.processor.targets)}; they "
            f"take {', '.join(sorted(taken))}"
        )


def _encode(case: Case) -> Iterator[str]:
    """Yield what is wrong with encoded rows."""
    given = case.rows.copy()
    encoded = case.processor.encode(given, case.lengths)
    if (problem := _unfit(encoded, case.processor.length)) is not None:
        yield f"encode {problem}"
        return
    if not np.array_equal(given, case.rows):
        yield "encode changes the tokens it is given: work on a copy"
    behind = np.arange(given.shape[1]) >= case.lengths[:, None]
    if not np.array_equal(
        encoded,
        case.processor.encode(np.where(behind, 3, case.rows).astype(np.uint8), case.lengths),
    ):
        yield (
            "encode looks at what stands behind a sequence's end, which is not part of it: use "
            "lengths"
        )
    rows = zip(case.rows, case.lengths, strict=True)
    apart = [case.processor.encode(row[None].copy(), length[None]) for row, length in rows]
    if not np.array_equal(encoded, np.concatenate(apart)):
        yield "encode gives a row something else when it is encoded together with others"


def _views(case: Case) -> Iterator[str]:
    """Yield what is wrong with the views of training and prediction."""
    tokens = case.encoded()
    first, second = (
        case.processor.training_view(tokens, np.random.default_rng(5)) for _ in range(2)
    )
    if (problem := _unfit(first, case.processor.length)) is not None:
        yield f"training_view {problem}"
    elif not np.array_equal(first, second):
        yield (
            "training_view draws something else for the same step, so a resumed run would differ: "
            "take all random numbers from the generator it is given"
        )
    views = case.processor.prediction_views(tokens)
    if not len(views):
        yield "prediction_views gives no view: return (tokens,) for one"
    for view in views:
        if (problem := _unfit(view, case.processor.length)) is not None:
            yield f"prediction_views {problem}"
    if not np.array_equal(tokens, case.encoded()):
        yield "training_view or prediction_views changes the tokens it is given: work on a copy"


def _unfit(tokens: object, length: int) -> str | None:
    """Return what is wrong with encoded rows, if anything."""
    shape, dtype = getattr(tokens, "shape", None), getattr(tokens, "dtype", None)
    if shape == (ROWS, length) and dtype == np.uint8:
        return None
    found = f"{dtype} of shape {shape}" if shape is not None else repr(tokens)
    return f"gives {found} for {ROWS} rows, not uint8 of shape ({ROWS}, {length})"


def _channels(case: Case) -> Iterator[str]:
    """Yield what is wrong with input channels."""
    make, processor = _compiled(case.processor.make_channels), case.processor
    tokens = processor.training_view(case.encoded(), np.random.default_rng(5))
    flags = ops.convert_to_tensor((np.arange(ROWS) % 2).astype(np.uint8))
    strands = np.zeros(ROWS, np.uint8), np.ones(ROWS, np.uint8)
    forward, reverse = (
        make(ops.convert_to_tensor(tokens), ops.convert_to_tensor(strand), flags)
        for strand in strands
    )
    want = (ROWS, processor.length, processor.channels)
    if tuple(forward.shape) != want:
        yield f"make_channels gives shape {tuple(forward.shape)}, not {want}"
        return
    if keras.backend.standardize_dtype(forward.dtype) != "float32":
        yield f"make_channels gives {keras.backend.standardize_dtype(forward.dtype)}, not float32"
    forward, reverse = ops.convert_to_numpy(forward), ops.convert_to_numpy(reverse)
    if not np.isfinite(forward).all():
        yield "make_channels gives numbers that are not finite"
    if processor.predicted_strands == 2 and np.array_equal(forward, reverse):
        yield (
            "make_channels gives the same for both strands although strands is "
            f"{processor.strands}: where strand is 1 it must make channels of the reverse "
            'complement (with data.processor.strand_of), or strands must be "input"'
        )
    if (forward == forward[:1]).all():
        yield "make_channels gives every sequence the same channels"


def _labels(case: Case) -> Iterator[str]:
    """Yield what is wrong with targets, and with the way back to the labels' scale."""
    unknown = set(case.processor.label_statistics(case.labels)) - set(case.item.options)
    if unknown:
        yield (
            f"label_statistics gives {', '.join(sorted(unknown))}: the processor needs options of "
            "these names, with the default None"
        )
        return
    tokens = ops.convert_to_tensor(
        case.ready.training_view(case.encoded(), np.random.default_rng(5))
    )
    for target_type in case.ready.targets:
        make = _compiled(case.ready.make_target, 2)
        target = make(ops.convert_to_tensor(case.labels), tokens, target_type)
        parts = [ops.convert_to_numpy(part) for part in keras.tree.flatten(target)]
        if any(part.shape[:1] != (ROWS,) for part in parts):
            yield (
                f'make_target("{target_type}") gives {" and ".join(str(p.shape) for p in parts)} '
                f"for {ROWS} rows: the first dimension must be the rows"
            )
        elif not all(np.isfinite(part).all() for part in parts):
            yield f'make_target("{target_type}") gives numbers that are not finite'
        elif target_type in ("value", "label"):
            yield from _way_back(case, target_type, parts[0])


def _way_back(case: Case, target_type: str, target: npt.NDArray[np.floating]) -> Iterator[str]:
    """Yield an expression that is in another order than the labels were."""
    perfect = np.repeat(target[:, None].astype(np.float64), 2, axis=1)
    expression = np.asarray(case.ready.to_expression(perfect, target_type))
    if expression.shape != (ROWS, 1):
        yield f"to_expression gives shape {expression.shape} for {ROWS} rows, not ({ROWS}, 1)"
    elif (np.diff(expression[:, 0]) <= 0).any():
        yield (
            f'to_expression("{target_type}") puts a perfect prediction in another order than the '
            "labels: it must undo what make_target does"
        )


def _compiled(function: Callable[..., Tensor], *static: int) -> Callable[..., Tensor]:
    """Return a function as it runs inside the compiled step, where numpy sees no values.

    Args:
        function: The function.
        *static: Numbers of its arguments that are no tensors, from 0.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function, static_argnums=static)
    import tensorflow as tf

    return tf.function(function)


CHECKS: Mapping[str, Callable[[Case], Iterator[str]]] = {
    "comparing its targets with the final blocks'": _targets,
    "encode": _encode,
    "making views": _views,
    "make_channels, inside a compiled function,": _channels,
    "make_target, inside a compiled function,": _labels,
}
