"""Variants per second of ``dream_keras.variants``, beside two predictions for each of them.

    python -m benchmarks.variants [--repeats 5]

All SNVs at neighbouring positions of a genome are scored on both strands: from the VCF file to the
table, as the command does; in the naive way, with one prediction of the reference and one of the
alternative allele for each variant and strand, in the same batches; and by the network alone, whose
inputs have been encoded before. They take turns, and a matrix product among them sets the limit.
Writes its section of ``RESULTS.md``. Needs the extras torch and genome.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.compare import limit, lines
from benchmarks.results import RESULTS, machine, table, write_section
from benchmarks.settings import Settings
from benchmarks.turns import Track, in_turns
from benchmarks.variant_work import views_per_variant, write_variants_to_score
from dream_keras.menu.autosome import AutosomeProcessor

VARIANTS = {"quickstart": 1_536, "dream_cnn": 192}
"""Variants of one repeat: seconds of work."""
NAIVE = "two predictions each"
WHO = {
    "the command": "variants",
    NAIVE: "variants, two each",
    "the network alone": "variants, network alone",
}
HEAD = ("network", "variants", "who", "variants/s", "against two predictions each", "of the limit")


def main(argv: list[str] | None = None) -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--variants", type=int, help="in one repeat (default: seconds of work)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slim", action="store_true", help="tiny networks, to see that it runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    about = machine()
    made: list[list[str]] = []
    for preset in args.presets:
        variants = args.variants or VARIANTS[preset]
        with tempfile.TemporaryDirectory() as folder:
            write_variants_to_score(Path(folder), variants)
            settings = Settings(preset, slim=args.slim, table=folder)
            tracks = [Track(who, "tensorflow", settings, work) for who, work in WHO.items()]
            found = in_turns([*tracks, limit(settings)], args.repeats)
        passes = views_per_variant() * AutosomeProcessor().predicted_strands
        made += lines(settings, f"{variants:,}", found, NAIVE, passes)
        text = [
            f"Variants: {about}. All three SNVs of neighbouring positions, `--strand both`, "
            "windows of 80 bp; TensorFlow, batches of 256 windows, medians of "
            f"{args.repeats} repeats in turns. The limit is {passes:.2f} forward passes per "
            "variant: windows of either strand, with the alternative allele and a third of one "
            "with the reference, each read in both directions. Two predictions each are 8.",
            "",
            *table(HEAD, [row[: len(HEAD)] for row in made]),
        ]
        write_section(args.results, "variants", text)


if __name__ == "__main__":
    main()
