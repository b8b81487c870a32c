"""Sequences around variants: with the reference and with the alternative allele."""

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import reverse_complement_text
from dream_keras.data.genome import Genome
from dream_keras.data.text import open_text
from dream_keras.data.variants import Variant
from dream_keras.interpret.choices import OnMismatch, Strand
from dream_keras.interpret.predictor import View

OK = "ok"


@dataclass(frozen=True)
class Placed:
    """An allele's surroundings.

    Attributes:
        left: What stands before it.
        right: What stands behind it; more than the window needs, where there is more.
        length: Length of the window; None takes all of it.
    """

    left: str
    right: str
    length: int | None = None

    def sequence(self, allele: str) -> str:
        """Return the window with an allele; the left side stays, the right side fills it up."""
        return (self.left + allele + self.right)[: self.length]


@dataclass(frozen=True)
class Window:
    """A variant and where it stands.

    Attributes:
        variant: The variant, its alleles swapped where that was asked for.
        placed: Its surroundings for each shift; none unless the status is ``ok``.
        status: ``ok``, or why it is not scored.
        warnings: What may be wrong with its score.
        element: The element that contains it; empty without elements.
        reverse: Whether the element stands on the other strand.
    """

    variant: Variant
    placed: tuple[Placed, ...] = ()
    status: str = OK
    warnings: tuple[str, ...] = ()
    element: str = ""
    reverse: bool = False

    def views(self, allele: str, strand: Strand, kept: tuple[int, int] = (0, 0)) -> list[View]:
        """Return the windows with an allele that are predicted, for all shifts and strands.

        Args:
            allele: The allele.
            strand: Which strands.
            kept: Bases at both ends that stay in place in the reverse complement.
        """
        forward = [place.sequence(allele) for place in self.placed]
        ways = {"+": (False,), "-": (True,), "both": (False, True)}[strand]
        return [
            (reverse_complement(sequence, kept), True) if way != self.reverse else (sequence, False)
            for way in ways
            for sequence in forward
        ]


@dataclass(frozen=True)
class Element:
    """A stretch of the genome that was, or would be, measured.

    Attributes:
        name: Its name.
        start: First base, from 0.
        end: Behind its last base.
        reverse: Whether it stands on the other strand.
    """

    name: str
    start: int
    end: int
    reverse: bool


@dataclass(frozen=True)
class Elements:
    """Elements of one chromosome.

    Attributes:
        sorted: By their start.
        starts: Their starts.
        longest: Length of the longest one.
    """

    sorted: Sequence[Element]
    starts: Sequence[int]
    longest: int

    @classmethod
    def of(cls, elements: Iterable[Element]) -> "Elements":
        """Sort elements."""
        ordered = sorted(elements, key=lambda element: (element.start, element.end))
        longest = max(element.end - element.start for element in ordered)
        return cls(ordered, [element.start for element in ordered], longest)

    def around(self, start: int, end: int) -> list[Element]:
        """Return those that contain bases ``start`` to ``end``, the last not included."""
        first = bisect.bisect_left(self.starts, end - self.longest)
        behind = bisect.bisect_right(self.starts, start)
        return [e for e in self.sorted[first:behind] if end <= e.end and start < e.end]


def reverse_complement(sequence: str, kept: tuple[int, int] = (0, 0)) -> str:
    """Return the reverse complement of a sequence, or of what stands between its ends.

    Examples:
        >>> reverse_complement("AACGN")
        'NCGTT'
        >>> reverse_complement("TTAACGNC", (2, 1))
        'TTNCGTTC'
    """
    left, right = kept
    right = max(len(sequence) - right, left)
    turned = reverse_complement_text(sequence[left:right])
    return sequence[:left] + turned + sequence[right:]


def pair_windows(pairs: Iterable[Variant]) -> Iterator[Window]:
    """Yield pairs of whole sequences; what they share at both ends surrounds their alleles."""
    for pair in pairs:
        problem = _bad_letters(pair)
        if problem:
            yield Window(pair, status=problem)
            continue
        left = _shared(pair.ref, pair.alt)
        right = _shared(pair.ref[left:][::-1], pair.alt[left:][::-1])
        ref, alt = (allele[left : len(allele) - right] for allele in (pair.ref, pair.alt))
        place = Placed(pair.ref[:left], pair.ref[len(pair.ref) - right :])
        yield Window(replace(pair, pos=left + 1, ref=ref, alt=alt), (place,))


def _shared(one: str, other: str) -> int:
    """Return how many letters two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def edited_windows(
    edits: Iterable[Variant], sequences: Mapping[str, str], on_mismatch: OnMismatch
) -> Iterator[Window]:
    """Yield given sequences with and without each edit; insertions and deletions change the length.

    Raises:
        UserError: For a reference allele that the sequence does not have, unless it is dealt with.
    """
    for edit in edits:
        sequence = sequences.get(edit.chrom)
        if sequence is None:
            yield Window(edit, status="unknown_sequence")
            continue
        window = _checked(edit, sequence, edit.pos - 1, on_mismatch)
        if window.status == OK:
            at, behind = edit.pos - 1, edit.pos - 1 + len(edit.ref)
            window = replace(window, placed=(Placed(sequence[:at], sequence[behind:]),))
        yield window


def genome_windows(
    variants: Iterable[Variant],
    genome: Genome,
    length: int,
    on_mismatch: OnMismatch = "error",
    shifts: int = 0,
    elements: Mapping[str, Elements] | None = None,
) -> Iterator[Window]:
    """Yield windows of a genome around variants.

    The first reference base stands at index ``length // 2`` of the window, counted from 0; with
    ``shifts`` S also at the S indices before and behind it. With elements, the window is each of
    the elements that contain the whole reference allele, on its strand.

    Args:
        variants: What to look at.
        genome: Where they are.
        length: Of the windows in bp; of no account with elements.
        on_mismatch: What is done about alleles that the genome does not have.
        shifts: Windows on either side.
        elements: By chromosome, named as in the genome; see ``read_elements``.

    Raises:
        UserError: For a reference allele that the genome does not have, unless it is dealt with.
    """
    for variant in variants:
        chrom = genome.find(variant.chrom)
        if chrom is None:
            yield Window(variant, status="unknown_chromosome")
            continue
        end = genome.length(chrom)
        at = variant.pos - 1
        if at < 0 or at + len(variant.ref) > end:
            yield Window(variant, status="outside_chromosome")
            continue
        bases = genome.fetch(chrom, at, at + max(len(variant.ref), len(variant.alt)))
        window = _checked(variant, bases, 0, on_mismatch)
        if window.status != OK:
            yield window
            continue
        if elements is None:
            starts = [at - length // 2 + shift for shift in range(-shifts, shifts + 1)]
            yield _placed(window, genome, chrom, [(start, start + length) for start in starts])
            continue
        there = elements.get(chrom)
        around = there.around(at, at + len(variant.ref)) if there else []
        if not around:
            yield replace(window, status="no_element")
        for element in around:
            found = _placed(window, genome, chrom, [(element.start, element.end)])
            yield replace(found, element=element.name, reverse=element.reverse)


def _placed(window: Window, genome: Genome, chrom: str, spans: Iterable[tuple[int, int]]) -> Window:
    """Return a window with its surroundings, or the reason why there are none."""
    at = window.variant.pos - 1
    behind = at + len(window.variant.ref)
    spare = max(len(window.variant.ref) - len(window.variant.alt), 0)
    places = []
    for start, end in spans:
        if start < 0 or end + spare > genome.length(chrom):
            return replace(window, status="edge_of_chromosome")
        right = genome.fetch(chrom, behind, max(end, behind) + spare)
        places.append(Placed(genome.fetch(chrom, start, at), right, end - start))
    warnings = window.warnings
    if any("N" in place.left + place.right for place in places):
        warnings += ("N_in_window",)
    return replace(window, placed=tuple(places), warnings=warnings)


def fitting(windows: Iterable[Window], shortest: int, longest: int | None) -> Iterator[Window]:
    """Yield windows; those that are too short or too long for the model get that as their status.

    Args:
        windows: The windows.
        shortest: What the model takes, in bp.
        longest: None if there is no limit.
    """
    for window in windows:
        alleles = (window.variant.ref, window.variant.alt)
        lengths = [len(place.sequence(allele)) for place in window.placed for allele in alleles]
        if lengths and min(lengths) < shortest:
            window = replace(window, placed=(), status="too_short")
        elif lengths and longest is not None and max(lengths) > longest:
            window = replace(window, placed=(), status="too_long")
        yield window


def _checked(variant: Variant, bases: str, at: int, on_mismatch: OnMismatch) -> Window:
    """Return a window without surroundings: whether the alleles are usable and the reference fits.

    Args:
        variant: The variant.
        bases: Bases in which it stands.
        at: Where its first base stands in them, from 0.
        on_mismatch: What is done if they do not have it.
    """
    problem = _bad_letters(variant)
    if problem:
        return Window(variant, status=problem)
    if at + len(variant.ref) > len(bases):
        return Window(variant, status="outside_sequence")
    there = bases[at : at + len(variant.ref)]
    if there == variant.ref:
        return Window(variant)
    if on_mismatch == "error":
        raise UserError(
            f"{variant.where}: the reference allele is {variant.ref[:40]}, but there is "
            f"{there[:40]}. Is it the right genome? --ref-mismatch skip leaves such variants out, "
            "swap exchanges the alleles where the alternative one is there, keep puts the given "
            "allele in place."
        )
    if on_mismatch == "keep":
        return Window(variant, warnings=("reference_put_in_place",))
    fits = on_mismatch == "swap" and bases[at : at + len(variant.alt)] == variant.alt
    # An insertion whose alternative allele happens to begin like the genome is no swapped variant.
    if fits and len(variant.ref) == len(variant.alt):
        swapped = replace(variant, ref=variant.alt, alt=variant.ref)
        return Window(swapped, warnings=("alleles_swapped",))
    return Window(variant, status="reference_mismatch")


def _bad_letters(variant: Variant) -> str:
    """Return why alleles cannot be scored; empty if they can."""
    if variant.alt == ".":
        return "no_alternative"
    if re.search(r"[<>\[\]*.]", variant.ref + variant.alt):
        return "symbolic_allele"
    if not re.fullmatch("[ACGTN]*", variant.ref + variant.alt):
        return "other_letters"
    return "same_alleles" if variant.ref == variant.alt else ""


def read_elements(path: str | Path, genome: Genome) -> dict[str, Elements]:
    """Read elements from a BED file: chrom, start, end, and maybe name, score, strand.

    Raises:
        UserError: If a line is none, or names no part of the genome.
    """
    found: dict[str, list[Element]] = {}
    with open_text(path) as file:
        for line, text in enumerate(file, 1):
            content = text.decode("utf-8", "replace").strip()
            words = content.split("\t" if "\t" in content else None)
            if not content or content.startswith(("#", "track", "browser")):
                continue
            if len(words) < 3 or not all(re.fullmatch("[0-9]+", word) for word in words[1:3]):
                raise UserError(f"{path}:{line}: expected chrom, start and end, as in a BED file")
            chrom = genome.find(words[0])
            start, end = int(words[1]), int(words[2])
            if chrom is None or not start < end <= genome.length(chrom):
                raise UserError(f"{path}:{line}: {words[0]}:{start}-{end} is not in the genome")
            name = words[3] if len(words) > 3 else f"{words[0]}:{start}-{end}"
            reverse = len(words) > 5 and words[5] == "-"
            found.setdefault(chrom, []).append(Element(name, start, end, reverse))
    return {chrom: Elements.of(elements) for chrom, elements in found.items()}
