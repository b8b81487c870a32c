"""Loops of a compiled program, and what it moves between the chip and its main memory.

The compiler's own account of a program counts the body of a loop once, however often it is run,
and what stays on the chip like what does not. So traffic is counted here, from the text of the
compiled program; operations inside loops are in ``arithmetic``.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

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
"""Instructions that move nothing themselves; a loop's bytes are those of its body."""

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"\b(pred|bf16|token|opaque|[a-z]+\d+\w*)\[([\d,]*)\](?:\{([^{}]*)\})?")
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
        turns: How often its body is run each time it is come to; None if that is not known.
        times: How often it is come to: the turns of the loops around it.
        bytes_per_turn: Bytes its body moves to and from the main memory, inner loops apart.
    """

    name: str
    turns: int | None
    times: int
    bytes_per_turn: float

    @property
    def bytes_moved(self) -> float:
        """Bytes of all its turns; of one, where they are not known."""
        return self.times * (self.turns or 1) * self.bytes_per_turn


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
        """Read what ``compiled.as_text()`` gives."""
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
        """Return the bytes moved to and from the main memory, loops counted with their turns."""
        own = self._bytes_moved(self.entry, None)
        return own + sum(loop.bytes_moved for loop in self.loops())

    def loops(self) -> list[Loop]:
        """Return every loop, outer ones first."""
        return list(self._loops(self.entry, 1))

    def _loops(self, computation: str, times: int) -> Iterator[Loop]:
        for instruction in self.computations.get(computation, {}).values():
            if instruction.operation == "while":
                turns = self._turns(instruction)
                body = instruction.called("body")
                moved = self._bytes_moved(body, turns)
                yield Loop(instruction.name, turns, times, moved)
                yield from self._loops(body, times * (turns or 1))
            elif instruction.operation == "call":
                yield from self._loops(instruction.called("to_apply"), times)

    def _turns(self, loop: Instruction) -> int | None:
        """Return how often a loop's body is run: as the compiler says, or as its condition does.

        A condition that can be read compares a counter, which starts at 0 and goes up by 1 in
        what JAX makes, with a constant.
        """
        if known := re.search(r'known_trip_count":\{"n":"(\d+)"', loop.rest):
            return int(known[1])
        condition = self.computations.get(loop.called("condition"), {})
        compare = next((i for i in condition.values() if i.is_root), None)
        if compare is None or compare.operation not in ("compare", "fusion"):
            return None
        text = compare.rest
        if compare.operation == "fusion":
            inner = self.computations.get(compare.called("calls"), {})
            text = next((i.rest for i in inner.values() if i.operation == "compare"), "")
        constants = [
            int(value[1])
            for name in compare.operands
            if name in condition
            and condition[name].operation == "constant"
            and (value := re.match(r"(\d+)\)", condition[name].rest))
        ]
        return constants[0] if len(constants) == 1 and "direction=LT" in text else None

    def _bytes_moved(self, computation: str, turns: int | None) -> float:
        """Return the bytes that a computation, run once, reads from and writes to main memory.

        Of an array with one entry per turn of the loop, a turn is taken to use its own. Slices are
        fetched without the rest of their array.
        """
        body = self.computations.get(computation, {})
        moved = 0.0
        for instruction in body.values():
            operation = instruction.operation
            if operation in NO_TRAFFIC or "AllocateBuffer" in instruction.rest:
                continue
            # Of a pair start/done, the first is given what is read, the second what is written.
            if not operation.endswith(("-done", "slice-start")):
                read = [body[name].shape for name in instruction.operands if name in body]
                moved += sum(memory_bytes(shape, turns) for shape in read)
            if operation == "slice-done":
                moved += memory_bytes(instruction.shape, turns, on_chip=True)
            elif not operation.endswith("-start"):
                moved += memory_bytes(instruction.shape, turns)
        return moved


def memory_bytes(shape: str, turns: int | None = None, on_chip: bool = False) -> float:
    """Return the bytes of a type's arrays that lie in the main memory.

    Args:
        shape: As in a program's text; ``S(1)`` in a layout and the like are memories on the chip.
        turns: Turns of the loop: an array with as many entries gives one of them.
        on_chip: Count those that lie on the chip as well.
    """
    total = 0.0
    for kind, sides, layout in _ARRAY.findall(shape):
        if "S(" in layout and not on_chip:
            continue
        shape_of = [int(side) for side in sides.split(",") if side]
        if turns and shape_of and shape_of[0] == turns:
            shape_of = shape_of[1:]
        bits = re.search(r"\d+", kind)
        size = BYTES.get(kind) or (int(bits[0]) / 8 if bits else 0)
        total += math.prod(shape_of) * size
    return total


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
