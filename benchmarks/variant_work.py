"""What is timed of ``dream_keras.variants``: random SNVs of a random genome, an untrained network.

Needs the genome extra.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.settings import INSERT, Settings
from dream_keras.config.experiment import load_experiment
from dream_keras.config.smoke import shrink
from dream_keras.data.adapters import ADD
from dream_keras.data.alphabet import Tokens
from dream_keras.data.genome import Genome
from dream_keras.data.table import DEFAULTS
from dream_keras.data.variants import read_positions
from dream_keras.interpret.effects import Scorer
from dream_keras.interpret.predictor import Floats, Predictor, View
from dream_keras.interpret.variant_table import write_variants
from dream_keras.interpret.windows import Window, fitting, genome_windows
from dream_keras.model.build import build_network
from dream_keras.runs.prediction import encode_sequences, predict_rows
from dream_keras.runtime.steps import Steps

GENOME, VARIANTS = "genome.fa", "variants.vcf"
STRANDS, ALTERNATIVES = 2, 3
"""Strands that are predicted, and alternative alleles at each position."""


def write_variants_to_score(folder: Path, variants: int, seed: int = 0) -> Path:
    """Write a genome and a VCF with all SNVs at neighbouring positions; return the folder."""
    random = np.random.default_rng(seed)
    positions = variants // ALTERNATIVES
    genome = "".join(random.choice(list("ACGT"), positions + 2 * INSERT))
    (folder / GENOME).write_text(f">chr1\n{genome}\n")
    with (folder / VARIANTS).open("w") as file:
        file.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for at in range(INSERT, INSERT + positions):
            others = ",".join(base for base in "ACGT" if base != genome[at])
            file.write(f"chr1\t{at + 1}\t.\t{genome[at]}\t{others}\t.\t.\t.\n")
    return folder


def views_per_variant() -> float:
    """Return how many sequences must be predicted: its own, and a share of the reference's."""
    return STRANDS * (1 + 1 / ALTERNATIVES)


class TwoEach(Scorer):
    """The naive way: each variant's reference and alternative window, however often they recur."""

    def _predict(
        self, views: Sequence[tuple[list[View], list[View]]]
    ) -> tuple[dict[View, Floats], None]:
        every = [view for pair in views for allele in pair for view in allele]
        return dict(zip(every, self.predictor.each(every), strict=True)), None


class VariantWork:
    """Ways to score the variants of a folder; each returns how many there are."""

    def __init__(self, settings: Settings):
        experiment = load_experiment(settings.preset)
        if settings.slim:
            experiment = shrink(experiment)
        self.folder = Path(settings.table)
        self.processor = experiment.make_processor()
        self.steps = Steps(build_network(experiment.model), self.processor)
        self.predictor = Predictor(self._function)
        self.encoded: Tokens | None = None
        self.variants = 0
        self.works: dict[str, Callable[[], int]] = {
            "variants": lambda: self._write(Scorer),
            "variants, two each": lambda: self._write(TwoEach),
            "variants, network alone": self.network_alone,
        }

    def network_alone(self) -> int:
        """Predict the windows of all variants, which have been made and encoded before."""
        if self.encoded is None:
            windows = list(self._windows())
            asked: list[str] = []

            def keep(sequences: Sequence[str]) -> Floats:
                asked.extend(sequences)
                return np.zeros(len(sequences))

            Scorer(Predictor(keep), "both")(windows)
            self.encoded, self.variants = self._encode(asked), len(windows)
        predict_rows(self.steps, self.encoded)
        return self.variants

    def _write(self, scorer: type[Scorer]) -> int:
        """Do what the command does: read, make windows, predict, write the table."""
        out = self.folder / f"{scorer.__name__}.tsv"
        made = scorer(self.predictor, "both")
        return write_variants(self._windows(), made, out, "timed", progress=False)

    def _windows(self) -> Iterator[Window]:
        genome = Genome(self.folder / GENOME)
        variants = read_positions(self.folder / VARIANTS)
        return fitting(genome_windows(variants, genome, INSERT), 1, None)

    def _encode(self, sequences: Sequence[str]) -> Tokens:
        return encode_sequences(self.processor, sequences, replace(DEFAULTS, adapters=ADD))

    def _function(self, sequences: Sequence[str]) -> Floats:
        return predict_rows(self.steps, self._encode(sequences))
