"""Predict what mutations do: alternative minus reference allele, for each variant."""

import argparse
import sys
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

from dream_keras.common.cli import (
    add_adapters_argument,
    add_plugin_argument,
    load_backend,
    make_callable,
    run,
)
from dream_keras.common.errors import UserError, at_least, unknown
from dream_keras.interpret.choices import ON_MISMATCH, STRANDS, OnMismatch, Strand

CHECKED = 100
"""Variants in whose windows the adapters are looked for."""
SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.variants", description=SUMMARY)
    p.add_argument("run", metavar="RUN", help="run folder whose model predicts")
    p.add_argument(
        "--pairs", metavar="TABLE", help="columns ref and alt: whole sequences; id if there is one"
    )
    p.add_argument(
        "--sequences", metavar="FILE", help="FASTA or table of named sequences, with --edits"
    )
    p.add_argument(
        "--edits", metavar="TABLE", help="columns id (of a sequence), pos (from 1), ref, alt"
    )
    p.add_argument(
        "--vcf", metavar="FILE", help="VCF, or a table with chrom, pos (from 1), ref, alt"
    )
    p.add_argument("--genome", metavar="FASTA", help="genome of --vcf")
    p.add_argument(
        "--elements",
        metavar="BED",
        help="score each variant in the elements that contain it, on their strand",
    )
    p.add_argument(
        "--window",
        type=int,
        metavar="BP",
        help="bases around a variant, its first at index BP // 2 (default: what the run takes)",
    )
    p.add_argument(
        "--shifts",
        type=int,
        default=0,
        metavar="S",
        help="average windows moved by -S to S bp (default: 0)",
    )
    p.add_argument(
        "--strand",
        choices=STRANDS,
        default="+",
        help="windows as they are, their reverse complements, or the mean of both (default: +)",
    )
    p.add_argument(
        "--ref-mismatch",
        choices=ON_MISMATCH,
        default="error",
        help="where the reference allele is not there: stop (default), leave out, exchange the "
        "alleles if the other one is, or put it in place",
    )
    p.add_argument("--zero-based", action="store_true", help="positions of tables begin at 0")
    p.add_argument(
        "--null",
        type=int,
        default=0,
        metavar="N",
        help="p against N shuffles of each variant's surroundings (default: none)",
    )
    p.add_argument("--seed", type=int, default=0, help="seed of the shuffles (default: 0)")
    add_adapters_argument(p, otherwise="; put on windows of a genome")
    p.add_argument("--out", "-o", metavar="FILE", required=True, help="table to write, or .vcf")
    p.add_argument("--resume", action="store_true", help="go on with a table that was broken off")
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = vars(parser().parse_args(argv))
    out = args.pop("out")
    args["plugins"] = args.pop("plugin")
    number = variants(args.pop("run"), out, **args)
    print(f"{number:,} variants in {out}", file=sys.stderr)


def variants(
    run: str | Path,
    out: str | Path,
    *,
    pairs: str | Path | None = None,
    sequences: str | Path | None = None,
    edits: str | Path | None = None,
    vcf: str | Path | None = None,
    genome: str | Path | None = None,
    elements: str | Path | None = None,
    window: int | None = None,
    shifts: int = 0,
    strand: Strand = "+",
    ref_mismatch: OnMismatch = "error",
    zero_based: bool = False,
    null: int = 0,
    seed: int = 0,
    adapters: str | None = None,
    resume: bool = False,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> int:
    """Predict what variants do, and write a table: ``docs/variants.md`` explains its columns.

    Args:
        run: Run folder.
        out: Table to write, tab-separated; or ``.vcf`` or ``.vcf.gz``: then the variants of ``vcf``
            are written there too, with the numbers in their INFO, and the table beside it.
        pairs: Table of reference and alternative sequences.
        sequences: FASTA or table of named sequences, with ``edits``.
        edits: Table of edits of these: id, pos, ref, alt.
        vcf: VCF file or table of positions, with ``genome``.
        genome: FASTA file.
        elements: BED file; variants are scored in the elements that contain them.
        window: Bases around a variant; None is the longest sequence that the run takes.
        shifts: Windows moved by up to this many bp to either side are averaged.
        strand: ``"+"``, ``"-"`` or ``"both"``.
        ref_mismatch: ``"error"``, ``"skip"``, ``"swap"`` or ``"keep"``.
        zero_based: Whether positions of tables begin at 0.
        null: Shuffles of each variant's surroundings to compare with.
        seed: Seed of the shuffles.
        adapters: As ``data.adapters``; None as in training, but windows of a genome get those
            that the processor expects.
        resume: Go on with a table that was broken off.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The number of rows: one for each variant, or for each variant in each of its elements.

    Raises:
        UserError: If run, input or settings cannot be used.
    """
    from dream_keras.interpret.annotated_vcf import SUFFIXES, annotate, check_writable, table_of
    from dream_keras.interpret.variant_source import open_source
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.run import check_run

    check_run(run)
    check_plugins(plugins := listed(plugins))
    at_least(0, shifts=shifts, null=null)
    if strand not in STRANDS:
        raise unknown("strand", strand, STRANDS)
    if ref_mismatch not in ON_MISMATCH:
        raise unknown("ref_mismatch", ref_mismatch, ON_MISMATCH)
    given = {"pairs": pairs, "sequences": sequences, "edits": edits, "vcf": vcf}
    given |= {"genome": genome, "elements": elements}
    source = open_source(given, zero_based, window, shifts)
    inputs, out = list(source.files.values()), Path(out)
    annotated = out.name.endswith(SUFFIXES)
    table = table_of(out) if annotated else out
    _check_output(out, table, inputs)
    if annotated and (ref_mismatch == "swap" or not source.can_be_annotated):
        raise UserError(
            f"{out}: a VCF file is written of a VCF file, without --elements and --ref-mismatch "
            "swap. Give the output another name for a table."
        )
    check_writable(out)
    load_backend()
    from dream_keras.interpret.effects import Scorer
    from dream_keras.interpret.predictor import run_predictor
    from dream_keras.interpret.variant_table import write_variants

    load_plugins(plugins)
    predictor = run_predictor(run, adapters, bare=genome is not None)
    windows, place = source.windows(predictor, ref_mismatch)
    begin = list(islice(windows, CHECKED))
    ok = [each for each in begin if each.placed]
    predictor.check([each.placed[0].sequence(each.variant.ref) for each in ok])
    said = {
        "model": predictor.name,
        "input": ",".join(f"{file.name}:{file.stat().st_size}" for file in inputs),
        "delta": "alt_pred - ref_pred in units of the training labels",
        **place,
        "strand": strand,
        "adapters put on": predictor.adapters,
        "ref_mismatch": ref_mismatch,
        **({"zero_based": True} if zero_based else {}),
        **({"null": null, "seed": seed} if null else {}),
    }
    # Also finds bad rows before anything is predicted. A variant has a row for each element.
    total = None if elements else sum(1 for _ in source.variants())
    number = write_variants(
        chain(begin, windows),
        Scorer(predictor, strand, null, seed),
        table,
        "dream_keras.variants; " + "; ".join(f"{key}={value}" for key, value in said.items()),
        resume,
        progress=progress,
        total=total,
    )
    if annotated and vcf is not None:
        annotate(vcf, table, out)
    return number


def _check_output(out: Path, table: Path, inputs: "list[Path]") -> None:
    """Refuse an output that cannot be written, before anything is predicted."""
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out}: the folder {out.parent} does not exist")
    for file in {out, table}:
        if file.is_dir():
            raise UserError(f"{file} is a folder; give the name of a file")
        if any(file.resolve() == given.resolve() for given in inputs):
            raise UserError(f"{file} is one of the inputs; give the output another name")
    if table.suffix == ".gz":
        raise UserError(f"{out}: tables are written plain: leave .gz out")


make_callable(__name__, variants)

if __name__ == "__main__":
    run(main)
