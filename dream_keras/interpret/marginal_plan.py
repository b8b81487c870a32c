"""Where motifs are put, and which differences of predictions are reported."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Literal, NamedTuple

from dream_keras.common.errors import UserError, at_least
from dream_keras.interpret.motif_file import Motif

Kind = Literal["position", "orientation", "copies", "spacing"]
KINDS: tuple[Kind, ...] = ("position", "orientation", "copies", "spacing")
POINTS = 20
"""Positions and spacings on a curve by default, at most."""
MOST_COPIES = 4
"""Copies by default, as far as they fit."""
GAP = 10
"""Bases between neighbouring copies by default."""
DIFFERENCE = "+ minus -"
"""Strand of the difference of the two orientations."""
STRANDS = ((False, "+"), (True, "-"))


class Site(NamedTuple):
    """A motif in its place.

    Attributes:
        motif: Its number.
        start: Its first base in the insert, from 0.
        reverse: Whether it is the reverse complement.
    """

    motif: int
    start: int
    reverse: bool


Construct = tuple[Site, ...]
"""Sites that are inserted together."""


@dataclass(frozen=True)
class Row:
    """One number that is reported.

    Attributes:
        kind: ``"position"``, ``"orientation"``, ``"copies"`` or ``"spacing"``.
        motif: Name of the motif.
        second: Name of the motif behind it, for ``"spacing"``.
        position: First base of the first motif in the insert, from 1; None for the mean of all.
        strand: ``"+"``, ``"-"`` or their difference; of two motifs both, such as ``"+-"``.
        copies: How many motifs are inserted.
        spacing: Bases between neighbours; None for a single motif.
        terms: Its value is the sum of the effects of these constructs, each with its factor.
    """

    kind: Kind
    motif: str
    strand: str
    terms: tuple[tuple[float, Construct], ...]
    second: str = ""
    position: int | None = None
    copies: int = 1
    spacing: int | None = None


def plan(
    motifs: Sequence[Motif],
    insert: int,
    positions: Sequence[int] | None = None,
    copies: Sequence[int] | None = None,
    gap: int = GAP,
    pairs: bool = False,
    spacings: Sequence[int] | None = None,
) -> list[Row]:
    """Return what is reported about motifs in an insert.

    Args:
        motifs: The motifs.
        insert: Its length in bp.
        positions: First bases of a motif, from 1; None takes at most ``POINTS`` of all that fit.
        copies: Numbers of copies; None takes 1 to ``MOST_COPIES``, as far as they fit.
        gap: Bases between neighbouring copies.
        pairs: Whether two motifs are inserted together: all ordered pairs of different ones, or a
            single one with itself.
        spacings: Bases between the two; None takes at most ``POINTS`` of all that fit.

    Raises:
        UserError: If something does not fit into the insert.

    Examples:
        >>> from dream_keras.interpret.motif_file import letters_motif
        >>> rows = plan([letters_motif("TGACTCA")], 20, positions=[1, 14], copies=[1])
        >>> [(row.kind, row.position, row.strand) for row in rows][:4]
        [('position', 1, '+'), ('position', 14, '+'), ('position', 1, '-'), ('position', 14, '-')]
    """
    at_least(0, gap=gap)
    if spacings is not None and not pairs:
        raise UserError("--spacings belong to --pairs-of-motifs: give both")
    rows: list[Row] = []
    for number, motif in enumerate(motifs):
        if motif.width > insert:
            raise UserError(
                f"motif {motif.name} has {motif.width} bp; the insert it is put into has {insert}"
            )
        rows += _single(number, motif, insert, positions)
        rows += _copies(number, motif, insert, copies, gap)
    if pairs:
        numbers = range(len(motifs))
        for first, second in permutations(numbers, 2) if len(motifs) > 1 else [(0, 0)]:
            rows += _pair(motifs, first, second, insert, spacings)
    return sorted(rows, key=lambda row: KINDS.index(row.kind))


def read_range(value: str | Sequence[int] | None, option: str, lowest: int) -> list[int] | None:
    """Return the numbers of an option: ``START-END``, ``START-END:STEP`` or one number.

    Args:
        value: As given; numbers stay as they are, None stays None.
        option: Its name, for messages.
        lowest: The lowest number that makes sense.

    Raises:
        UserError: If it is none.

    Examples:
        >>> read_range("1-10:4", "positions", 1)
        [1, 5, 9]
    """
    if value is None:
        return None
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9})(?:\s*:\s*(\d{1,9}))?)?\s*", value)
        start, end, step = found.groups() if found else ("0", "0", "0")
        if not found or step == "0":
            raise UserError(f"--{option} {value}: expected START-END, START-END:STEP or a number")
        numbers = list(range(int(start), int(end or start) + 1, int(step or 1)))
    else:
        numbers = list(value)
    if not numbers:
        raise UserError(f"--{option} {value}: there is no number in it")
    if min(numbers) < lowest:
        raise UserError(f"--{option} {value}: the lowest is {lowest}")
    return numbers


def _thinned(count: int, start: int) -> range:
    """Return at most ``POINTS`` of some consecutive numbers, at regular steps."""
    return range(start, start + count, -(-count // POINTS))


def _single(
    number: int, motif: Motif, insert: int, positions: Sequence[int] | None
) -> Iterator[Row]:
    """Yield the effects of one motif by position, and their mean for each orientation."""
    fitting = insert - motif.width + 1
    if positions is None:
        positions = _thinned(fitting, 1)
    for position in positions:
        if not 1 <= position <= fitting:
            raise UserError(
                f"--positions {position}: motif {motif.name} has {motif.width} bp and fits at 1 "
                f"to {fitting} of the insert, which has {insert} bp"
            )
    means = []
    for reverse, strand in STRANDS:
        sites: list[Construct] = [(Site(number, place - 1, reverse),) for place in positions]
        for position, site in zip(positions, sites, strict=True):
            yield Row("position", motif.name, strand, ((1.0, site),), position=position)
        means.append(tuple((1 / len(sites), site) for site in sites))
    for (_, strand), terms in zip(STRANDS, means, strict=True):
        yield Row("orientation", motif.name, strand, terms)
    opposite = tuple((-share, site) for share, site in means[1])
    yield Row("orientation", motif.name, DIFFERENCE, means[0] + opposite)


def _copies(
    number: int, motif: Motif, insert: int, copies: Sequence[int] | None, gap: int
) -> Iterator[Row]:
    """Yield the effects of several copies at regular spacing, in the middle of the insert."""
    step = motif.width + gap
    fitting = (insert + gap) // step
    if copies is None:
        copies = range(1, min(MOST_COPIES, fitting) + 1)
    for count in copies:
        if not 1 <= count <= fitting:
            raise UserError(
                f"--copies {count}: {count} copies of motif {motif.name} with {gap} bp between "
                f"them have {count * step - gap} bp, the insert has {insert}. --gap sets what is "
                "between them"
            )
    for reverse, strand in STRANDS:
        for count in copies:
            start = (insert - (count * step - gap)) // 2
            sites = tuple(Site(number, start + at * step, reverse) for at in range(count))
            yield Row(
                "copies",
                motif.name,
                strand,
                ((1.0, sites),),
                position=start + 1,
                copies=count,
                spacing=gap if count > 1 else None,
            )


def _pair(
    motifs: Sequence[Motif],
    first: int,
    second: int,
    insert: int,
    spacings: Sequence[int] | None,
) -> Iterator[Row]:
    """Yield the interaction of two motifs, by spacing and orientations.

    It is the effect of both minus the sum of the effects of each alone at the same place; the two
    stand in the middle of the insert.
    """
    names = [motifs[number].name for number in (first, second)]
    widths = [motifs[number].width for number in (first, second)]
    room = insert - sum(widths)
    if room < 0:
        raise UserError(
            f"--pairs-of-motifs: {names[0]} and {names[1]} have {sum(widths)} bp together, the "
            f"insert has {insert}"
        )
    if spacings is None:
        spacings = _thinned(room + 1, 0)
    for spacing in spacings:
        if not 0 <= spacing <= room:
            raise UserError(
                f"--spacings {spacing}: {names[0]} and {names[1]} leave {room} bp of the insert, "
                f"which has {insert}"
            )
    for (one, strand), (other, second_strand) in product(STRANDS, STRANDS):
        for spacing in spacings:
            start = (room - spacing) // 2
            left = Site(first, start, one)
            right = Site(second, start + widths[0] + spacing, other)
            yield Row(
                "spacing",
                names[0],
                strand + second_strand,
                ((1.0, (left, right)), (-1.0, (left,)), (-1.0, (right,))),
                names[1],
                start + 1,
                2,
                spacing,
            )
