"""Where variants come from: files that belong together, and windows around what they hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dream_keras.common.errors import UserError
from dream_keras.config.check import check_files
from dream_keras.data.genome import Genome
from dream_keras.data.variants import (
    Variant,
    is_vcf,
    read_edits,
    read_named_sequences,
    read_pairs,
    read_positions,
)
from dream_keras.interpret.choices import OnMismatch
from dream_keras.interpret.predictor import Predictor
from dream_keras.interpret.windows import (
    Window,
    edited_windows,
    fitting,
    genome_windows,
    pair_windows,
    read_elements,
)

WAYS = (("pairs",), ("sequences", "edits"), ("vcf", "genome"))
"""Options whose files belong together."""


@dataclass(frozen=True)
class Source:
    """Variants and how their windows are made.

    Attributes:
        files: By the name of their option: those of one of ``WAYS``, and maybe ``elements``.
        zero_based: Whether positions of tables begin at 0.
        window: Bases around a variant in a genome; None is the longest that the run takes.
        shifts: Windows of a genome moved by up to this many bp to either side are averaged.
        genome: The genome, opened.
    """

    files: Mapping[str, Path]
    zero_based: bool
    window: int | None
    shifts: int
    genome: Genome | None

    @property
    def can_be_annotated(self) -> bool:
        """Whether there is a row of the table for each allele of a VCF file."""
        return "vcf" in self.files and "elements" not in self.files and is_vcf(self.files["vcf"])

    def variants(self) -> Iterator[Variant]:
        """Read the variants."""
        if "pairs" in self.files:
            return read_pairs(self.files["pairs"])
        if "edits" in self.files:
            return read_edits(self.files["edits"], self.zero_based)
        return read_positions(self.files["vcf"], self.zero_based)

    def windows(
        self, predictor: Predictor, on_mismatch: OnMismatch
    ) -> tuple[Iterator[Window], dict[str, object]]:
        """Return the windows that are predicted, and what is said of them in outputs.

        Args:
            predictor: Predicts them.
            on_mismatch: What is done about reference alleles that are not there.

        Raises:
            UserError: If it does not take windows of that length.
        """
        said: dict[str, object] = {"window": "whole sequences"}
        if "pairs" in self.files:
            windows = pair_windows(self.variants())
        elif self.genome is None:
            sequences = read_named_sequences(self.files["sequences"])
            windows = edited_windows(self.variants(), sequences, on_mismatch)
        elif "elements" in self.files:
            said = {"window": "elements"}
            around = read_elements(self.files["elements"], self.genome)
            windows = genome_windows(self.variants(), self.genome, 0, on_mismatch, elements=around)
        else:
            length = _window_length(predictor, self.window, self.shifts)
            said = {"window": f"{length} bp", "index": length // 2, "shifts": self.shifts}
            windows = genome_windows(self.variants(), self.genome, length, on_mismatch, self.shifts)
        return fitting(windows, predictor.shortest, predictor.longest), said


def open_source(
    given: Mapping[str, str | Path | None], zero_based: bool, window: int | None, shifts: int
) -> Source:
    """Return variants as a source.

    Args:
        given: Files by the name of their option; None where there is none.
        zero_based: As ``Source``, like the others.
        window: Bases around a variant.
        shifts: Windows on either side.

    Raises:
        UserError: If files are missing, cannot be read or do not belong together.
    """
    files = {name: Path(file) for name, file in given.items() if file is not None}
    ways = [way for way in WAYS if any(name in files for name in way)]
    shown = {way: " and ".join(f"--{name}" for name in way) for way in WAYS}
    if len(ways) != 1:
        raise UserError(f"give variants in one of these ways: {', '.join(shown.values())}")
    if any(name not in files for name in ways[0]):
        raise UserError(f"{shown[ways[0]]} belong together: give both")
    elements, placed = "elements" in files, window is not None or shifts > 0
    if (elements or placed) and "genome" not in files:
        raise UserError("--elements, --window and --shifts need a genome: --vcf and --genome")
    if elements and placed:
        raise UserError("--elements are the windows: leave out --window and --shifts")
    check_files(*files.values())
    if Path("-") in files.values():
        raise UserError("variants are read twice: give files instead of standard input (-)")
    genome = Genome(files["genome"]) if "genome" in files else None
    return Source(files, zero_based, window, shifts, genome)


def _window_length(predictor: Predictor, window: int | None, shifts: int) -> int:
    """Return the length of a genome's windows, within what the run takes.

    Raises:
        UserError: If the run does not take it, or shifted windows would miss the variant.
    """
    shortest, longest = predictor.shortest, predictor.longest
    assert longest is not None
    length = longest if window is None else window
    if not shortest <= length <= longest:
        raise UserError(
            f"--window {window}: the run takes {shortest} to {longest} bp, besides the adapters "
            "that are put on"
        )
    if shifts > (length - 1) // 2:
        raise UserError(
            f"--shifts {shifts}: at most {(length - 1) // 2}, or windows of {length} bp would not "
            "contain the variant"
        )
    return length
