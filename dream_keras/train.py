"""Train a model, score it on the gold-standard suite and keep everything in a run folder."""

import argparse
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import (
    add_plugin_argument,
    load_backend,
    make_callable,
    python_command,
    run,
)

if TYPE_CHECKING:
    from dream_keras.config.experiment import Experiment
    from dream_keras.training.session import Result

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.train", description=SUMMARY)
    p.add_argument("--config", help="YAML file or name of a built-in config (default: quickstart)")
    p.add_argument(
        "--train", metavar="FILE", help="training table, or folder of prepare (default: simulated)"
    )
    p.add_argument(
        "--validation",
        "--val",
        metavar="FILE",
        help="validation table (default: a held-out tenth)",
    )
    p.add_argument(
        "--split",
        choices=["random", "similarity"],
        help="how a tenth is held out: row by row (default), or whole families of related rows",
    )
    p.add_argument("--suite", metavar="DIR", help="gold-standard suite to score on")
    p.add_argument(
        "--out", metavar="RUN", help="run folder, or gs://... (default: runs/CONFIG-TIME)"
    )
    p.add_argument("--sequence-column", metavar="NAME", help="for tables with a header")
    p.add_argument("--target-column", metavar="NAME", help="for tables with a header")
    p.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        help="change one setting of the config; may be given several times",
    )
    add_plugin_argument(p)
    p.add_argument("--seed", type=int, help="seed of everything random")
    p.add_argument("--smoke", action="store_true", help="shrink to well under a minute")
    p.add_argument("--resume", action="store_true", help="continue the run in --out")
    p.add_argument("--deterministic", action="store_true", help="only deterministic kernels")
    p.add_argument(
        "--strategy",
        metavar="NAME",
        help="devices: auto (default), none (one), mirrored, mirrored:N, multiworker, tpu",
    )
    p.add_argument("--tpu", metavar="ADDRESS", help="TPU for TensorFlow: local, a name or address")
    p.add_argument("--on-bad-row", choices=["fail", "skip"], help="what to do with bad rows")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    result = train(
        args.config,
        train=args.train,
        validation=args.validation,
        split=args.split,
        suite=args.suite,
        out=args.out,
        overrides=args.set,
        plugins=args.plugin,
        sequence_column=args.sequence_column,
        target_columns=args.target_column,
        seed=args.seed,
        smoke=args.smoke,
        resume=args.resume,
        deterministic=args.deterministic,
        strategy=args.strategy,
        tpu=args.tpu,
        on_bad_row=args.on_bad_row,
    )
    if not result.is_chief:
        return
    if result.score:
        from dream_keras.scoring.report import table

        print(table(result.score))
    run = args.out or result.folder
    print(f"\nThe run is in {run}: start with {run}/report.md.")
    print("To look at it in TensorBoard:")
    print(f"  {python_command('tensorboard.main', '--logdir', run)}")
    print("To predict sequences, one a line, then Ctrl-D (or a FASTA file in place of -):")
    print(f"  {python_command('dream_keras.predict', run, '-')}")


def train(
    config: "str | Path | Experiment | None" = None,
    *,
    train: str | Path | None = None,
    validation: str | Path | None = None,
    split: str | None = None,
    suite: str | Path | None = None,
    out: str | Path | None = None,
    sequence_column: str | None = None,
    target_columns: str | Sequence[str] | None = None,
    target_column: str | None = None,
    overrides: Iterable[str] = (),
    plugins: Collection[str | Path] = (),
    seed: int | None = None,
    smoke: bool = False,
    resume: bool = False,
    deterministic: bool = False,
    strategy: str | None = None,
    tpu: str | None = None,
    on_bad_row: str | None = None,
    progress: bool | None = None,
) -> "Result":
    """Train a model, score it, and leave a run folder.

    Args:
        config: A YAML file, the name of a built-in config, or an ``Experiment``; ``quickstart`` by
            default.
        train: Training table, or a folder made by ``dream_keras.prepare``; simulated when neither
            this nor the config names one.
        validation: Validation table; a seeded tenth of the training rows by default.
        split: How the tenth is held out: ``"random"``, or ``"similarity"`` for whole families of
            related rows, see ``dream_keras.data.similarity``.
        suite: Folder of the gold-standard suite to score on.
        out: Run folder; ``runs/<config>-<time>`` by default.
        sequence_column: Header name of the sequences, for tables with a header.
        target_columns: Header name of the measured values, or a list of names, one for each task,
            likewise.
        target_column: The same under its former name.
        overrides: Settings as ``"section.key=value"``, applied to the config in order.
        plugins: Files that put something on the menu; the run folder keeps copies of them.
        seed: Seed of everything random.
        smoke: Shrink the experiment to well under a minute, to see that it runs.
        resume: Continue the run in ``out``.
        deterministic: Use only deterministic kernels, from here on in this process.
        strategy: Devices that share each batch, as ``runtime.strategy``.
        tpu: Where the TPU is, as ``runtime.tpu``.
        on_bad_row: ``"fail"`` or ``"skip"``.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: For anything wrong with the settings, the files or the folder.
    """
    load_backend()
    from dream_keras.common.remote import absolute
    from dream_keras.training.session import run_training

    given = {
        "data.train": train and absolute(train),
        "data.validation": validation and absolute(validation),
        "data.split": split,
        "data.sequence_column": sequence_column,
        "data.target_columns": target_columns or target_column,
        "data.on_bad_row": on_bad_row,
        "trainer.seed": seed,
        "runtime.deterministic": deterministic or None,
        "runtime.strategy": strategy,
        "runtime.tpu": tpu,
        "scoring.suite": suite and absolute(suite),
    }
    return run_training(
        config,
        {key: value for key, value in given.items() if value is not None},
        overrides,
        plugins,
        out=out,
        smoke=smoke,
        resume=resume,
        progress=progress,
    )


make_callable(__name__, train)

if __name__ == "__main__":
    run(main)
