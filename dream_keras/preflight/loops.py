"""Loops of a compiled program, their operations, and what it moves to and from the main memory.

The compiler's own account of a program counts the body of a loop once, however often it is run,
and what stays on the chip like what does not. So traffic, and the operations that a loop's other
trips add, are counted here, from the text of the compiled program.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax

BYTES = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16}
"""Bytes of one element, for types whose name does not say how many bits it has."""
NO_TRAFFIC = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "while",
    "conditional",
    "call",
    "after-all",
    "opt-barrier",
    "iota",
    "partition-id",
    "replica-id",
}
"""Instructions that move nothing themselves; bytes of loops and calls are those of their bodies."""

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"\b(pred|bf16|token|opaque|[a-z]+\d+\w*)\[([\d,]*)\](?:\{([^{}]*)\})?")
_WINDOW = {"size": 1, "stride": 1, "lhs_dilate": 1, "rhs_dilate": 1, "pad": 0}
"""What a convolution's window says of each spatial side, and what holds where it does not."""
_NAME = re.compile(r"%([\w.\-]+)")


@dataclass(frozen=True)
class Instruction:
    """One line of a compiled program.

    Attributes:
        name: Its result's name.
        shape: Its result's type, with the layout.
        operation: What it does.
        operands: Names of what it takes.
        rest: All that stands behind them.
        is_root: Whether it is its computation's result.
    """

    name: str
    shape: str
    operation: str
    operands: tuple[str, ...]
    rest: str
    is_root: bool = False

    def called(self, role: str) -> str:
        """Return the name of the computation that it uses as ``role``, or an empty string."""
        found = re.search(rf"\b{role}=%?([\w.\-]+)", self.rest)
        return found[1] if found else ""


@dataclass(frozen=True)
class Loop:
    """A loop of a compiled program.

    Attributes:
        name: Its name.
        trip_count: How often its body is run each time it is come to; None if that is not known.
        times: How often it is come to: the trips of the loops around it.
        bytes_per_trip: Bytes its body moves to and from the main memory, inner loops apart.
        flops_per_trip: Operations of its body's matrix products and convolutions, inner loops
            apart.
    """

    name: str
    trip_count: int | None
    times: int
    bytes_per_trip: float
    flops_per_trip: float

    @property
    def total_trips(self) -> int:
        """Turns in the whole program; where they are not known, one each time."""
        return self.times * (self.trip_count or 1)

    @property
    def bytes_moved(self) -> float:
        """Bytes of all its trips."""
        return self.total_trips * self.bytes_per_trip


@dataclass
class Program:
    """A compiled program's text, read.

    Attributes:
        computations: Instructions of each computation, by their names.
        entry: The name of the computation it starts with.
    """

    computations: dict[str, dict[str, Instruction]] = field(default_factory=dict)
    entry: str = ""

    @classmethod
    def read(cls, text: str) -> "Program":
        """Parse the output of ``compiled.as_text()``."""
        program = cls()
        current: dict[str, Instruction] = {}
        for line in text.splitlines():
            if head := _COMPUTATION.match(line):
                current = program.computations.setdefault(head[1], {})
                program.entry = head[1] if line.startswith("ENTRY") else program.entry
            elif (body := _INSTRUCTION.match(line)) and (read := _read(*body.groups())):
                current[read.name] = read
        return program

    def bytes_moved(self) -> float:
        """Return the bytes moved to and from the main memory, loops counted trip by trip."""
        own = self._bytes_moved(self.entry, None)
        return own + sum(loop.bytes_moved for loop in self.loops())

    @property
    def is_lower_bound(self) -> bool:
        """Whether something is left out: an unknown trip count, a choice between branches."""
        instructions = (i for body in self.computations.values() for i in body.values())
        unknown = any(loop.trip_count is None for loop in self.loops())
        return unknown or any(i.operation == "conditional" for i in instructions)

    def repeated_flops(self) -> float:
        """Return the operations of all trips but the first, which the compiler counts itself."""
        return sum((loop.total_trips - 1) * loop.flops_per_trip for loop in self.loops())

    def loops(self) -> list[Loop]:
        """Return every loop, outer ones first."""
        return list(self._loops(self.entry, 1))

    def _loops(self, computation: str, times: int) -> Iterator[Loop]:
        for instruction in self.computations.get(computation, {}).values():
            if instruction.operation == "while":
                trip_count, _ = self._counted(computation, instruction)
                body = instruction.called("body")
                moved, flops = self._bytes_moved(body, trip_count), self._flops(body)
                yield Loop(instruction.name, trip_count, times, moved, flops)
                yield from self._loops(body, times * (trip_count or 1))
            elif instruction.operation == "call":
                yield from self._loops(instruction.called("to_apply"), times)

    def _counted(self, around: str, loop: Instruction) -> tuple[int | None, int]:
        """Return how often a loop's body is run, and where in its state its counter stands.

        The compiler may say it. Else the condition has to ask whether a counter, which starts at
        0 and goes up by 1, is less than a limit that the body leaves alone. What cannot be read
        gives None and -1.

        Args:
            around: The computation that the loop stands in.
            loop: The loop.
        """
        known = re.search(r'known_trip_count":\{"n":"(\d+)"', loop.rest)
        trip_count, counter = self._condition(around, loop)
        return (int(known[1]) if known else trip_count), counter

    def _condition(self, around: str, loop: Instruction) -> tuple[int | None, int]:
        """Read a loop's trip count, and the place of its counter, off its condition."""
        compared = self._compared(loop.called("condition"))
        counter = _place(self._find(*compared[0])) if compared else None
        state = self._find(around, loop.operands[0])
        if counter is None or state is None or state.operation != "tuple":
            return None, -1
        start = self._value(around, state.operands[counter])
        if start != 0 or not self._goes_up_by_one(loop.called("body"), counter):
            return None, -1
        carried = _place(self._find(*compared[1]))
        if carried is None:
            return self._value(*compared[1]), counter
        if not self._keeps(loop.called("body"), carried):
            return None, counter
        return self._value(around, state.operands[carried]), counter

    def _compared(self, condition: str) -> list[tuple[str, str]]:
        """Return what a condition asks to be less than what: computations, and names in them."""
        root, inside = self._root(condition), condition
        fusion = root if root and root.operation == "fusion" else None
        if fusion:
            inside = fusion.called("calls")
            root = self._root(inside)
        if root is None or root.operation != "compare" or "direction=LT" not in root.rest:
            return []
        places = []
        for name in root.operands:
            given = self._find(inside, name)
            number = _number(given) if given and given.operation == "parameter" else None
            if fusion and number is not None:
                places.append((condition, fusion.operands[number]))
            else:
                places.append((inside, name))
        return places

    def _goes_up_by_one(self, body: str, place: int) -> bool:
        """Return whether a loop's body adds 1 to a part of its state."""
        given = self._given(body, place)
        if given is None or given.operation != "add":
            return False
        parts = [self._find(body, name) for name in given.operands]
        while any(part and part.operation == "copy" for part in parts):
            parts = [
                self._find(body, part.operands[0]) if part and part.operation == "copy" else part
                for part in parts
            ]
        return {_place(part) for part in parts} == {place, None} and 1 in map(_number, parts)

    def _keeps(self, body: str, place: int) -> bool:
        """Return whether a loop's body passes a part of its state on as it is."""
        given = self._given(body, place)
        if given is None or _place(given) != place:
            return False
        source = self._find(body, given.operands[0])
        return source is not None and source.operation == "parameter"

    def _given(self, body: str, place: int) -> Instruction | None:
        """Return what a loop's body makes of a part of its state."""
        root = self._root(body)
        if root is None or root.operation != "tuple":
            return None
        return self._find(body, root.operands[place])

    def _value(self, around: str, name: str) -> int | None:
        """Return a number that is known before the program is run: a constant, a trip count."""
        given = self._find(around, name)
        if given is None or given.operation == "constant":
            return _number(given)
        if given.operation in ("copy", "bitcast"):
            return self._value(around, given.operands[0])
        loop = self._find(around, given.operands[0]) if _place(given) is not None else None
        if loop and loop.operation == "while":
            trip_count, counter = self._counted(around, loop)
            return trip_count if counter == _place(given) else None
        return None

    def _find(self, computation: str, name: str) -> Instruction | None:
        return self.computations.get(computation, {}).get(name)

    def _root(self, computation: str) -> Instruction | None:
        return next((i for i in self.computations.get(computation, {}).values() if i.is_root), None)

    def _flops(self, computation: str) -> float:
        """Return the operations of a computation's products and convolutions, loops apart."""
        body = self.computations.get(computation, {})
        total = 0.0
        for instruction in body.values():
            if instruction.operation == "convolution":
                total += convolution_flops(instruction, body)
            elif instruction.operation == "dot":
                total += dot_flops(instruction, body)
            elif instruction.operation in ("fusion", "call"):
                role = "calls" if instruction.operation == "fusion" else "to_apply"
                total += self._flops(instruction.called(role))
        return total

    def _bytes_moved(self, computation: str, trip_count: int | None) -> float:
        """Return the bytes that a computation, run once, reads from and writes to main memory.

        Of an array with one entry per trip of the loop, a trip is taken to use its own. Slices are
        fetched without the rest of their array.
        """
        body = self.computations.get(computation, {})
        moved = 0.0
        for instruction in body.values():
            operation = instruction.operation
            if operation == "call":
                moved += self._bytes_moved(instruction.called("to_apply"), trip_count)
            if operation in NO_TRAFFIC or "AllocateBuffer" in instruction.rest:
                continue
            # Of a pair start/done, the first is given what is read, the second what is written.
            if not operation.endswith(("-done", "slice-start")):
                read = [body[name].shape for name in instruction.operands if name in body]
                moved += sum(memory_bytes(shape, trip_count) for shape in read)
            if operation == "slice-done":
                moved += memory_bytes(instruction.shape, trip_count, on_chip=True)
            elif not operation.endswith("-start"):
                moved += memory_bytes(instruction.shape, trip_count)
        return moved


def convolution_flops(instruction: Instruction, body: dict[str, Instruction]) -> float:
    """Return 2 per multiplication and addition of a convolution, padding and gaps left out.

    Matrix products are convolutions, too, in a program compiled for a TPU; those of a batch have
    windows most of which are padding.

    Args:
        instruction: The convolution.
        body: The computation it stands in.
    """
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.rest)
    if not labels:
        raise ValueError(f"a convolution without dim_labels: {instruction.rest}")
    shapes = [*(body[name].shape for name in instruction.operands), instruction.shape]
    rows, kernel, out = (
        dict(zip(letters, _sides(shape), strict=True))
        for letters, shape in zip(labels.groups(), shapes, strict=True)
    )
    found = re.search(r"window=\{([^}]*)\}", instruction.rest)
    window = dict(pair.split("=") for pair in found[1].split()) if found else {}
    products = out["b"] * out["f"] * kernel["i"]
    for side, letter in enumerate(sorted(filter(str.isdigit, rows))):
        size, stride, gap, spread, before = (
            int(window[key].split("x")[side].split("_")[0]) if key in window else default
            for key, default in _WINDOW.items()
        )
        # Of the places that the window's taps come to, those inside count, and of them each
        # ``gap``-th: between two entries stand gap - 1 zeros.
        reach = (rows[letter] - 1) * gap
        starts = (position * stride - before for position in range(out[letter]))
        places = (start + tap * spread for start in starts for tap in range(size))
        products *= sum(0 <= place <= reach and place % gap == 0 for place in places)
    return 2.0 * products


def dot_flops(instruction: Instruction, body: dict[str, Instruction]) -> float:
    """Return 2 per multiplication and addition of a matrix product."""
    found = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.rest)
    left = _sides(body[instruction.operands[0]].shape)
    summed = [left[int(side)] for side in found[1].split(",") if side] if found else []
    return 2.0 * math.prod(_sides(instruction.shape)) * math.prod(summed)


def memory_bytes(shape: str, trip_count: int | None = None, on_chip: bool = False) -> float:
    """Return the bytes of a type's arrays that lie in the main memory.

    Args:
        shape: As in a program's text; ``S(1)`` in a layout and the like are memories on the chip.
        trip_count: Trips of the loop: an array with as many entries gives one of them.
        on_chip: Count those that lie on the chip as well.
    """
    total = 0.0
    for kind, sides, layout in _ARRAY.findall(shape):
        if "S(" in layout and not on_chip:
            continue
        shape_of = [int(side) for side in sides.split(",") if side]
        if trip_count and shape_of and shape_of[0] == trip_count:
            shape_of = shape_of[1:]
        bits = re.search(r"\d+", kind)
        size = BYTES.get(kind) or (int(bits[0]) / 8 if bits else 0)
        total += math.prod(shape_of) * size
    return total


def _place(instruction: Instruction | None) -> int | None:
    """Return which part of a tuple an instruction takes; None if it does something else."""
    if instruction is None or instruction.operation != "get-tuple-element":
        return None
    found = re.search(r"index=(\d+)", instruction.rest)
    return int(found[1]) if found else None


def _number(instruction: Instruction | None) -> int | None:
    """Return a constant's value, or a parameter's number."""
    if instruction is None or instruction.operation not in ("constant", "parameter"):
        return None
    found = re.match(r"(\d+)\)", instruction.rest)
    return int(found[1]) if found else None


def _sides(shape: str) -> list[int]:
    """Return the sides of a type's first array."""
    found = _ARRAY.search(shape)
    return [int(side) for side in found[2].split(",") if side] if found else []


def _read(root: str | None, name: str, text: str) -> Instruction | None:
    """Read an instruction from its name and what stands to the right of its ``=``."""
    end = _closing(text, 0) + 1 if text.startswith("(") else text.find(" ")
    found = re.match(r"\s*([\w\-]+)\(", text[end:])
    if not found:
        return None
    start = end + found.end() - 1
    close = _closing(text, start)
    operands = tuple(_NAME.findall(text[start:close]))
    rest = text[start + 1 :]
    return Instruction(name, text[:end], found[1], operands, rest, bool(root))


def _closing(text: str, start: int) -> int:
    """Return where the bracket opened at ``start`` is closed."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    return len(text)


def operations(compiled: "jax.stages.Compiled") -> float:
    """Return the operations that XLA counts in a compiled program, bodies of loops once."""
    costs = compiled.cost_analysis()
    # Before JAX 0.5 it is a list of one.
    return float((costs[0] if isinstance(costs, list) else costs)["flops"])
