"""Train a model, score it on the gold-standard suite and keep everything in a run folder."""

import argparse
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dream_keras.common.cli import (
    add_column_arguments,
    add_plugin_argument,
    load_backend,
    make_callable,
    python_command,
    run,
)
from dream_keras.common.errors import UserError, at_least
from dream_keras.common.remote import is_remote
from dream_keras.hub.paths import absolute, is_elsewhere

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from dream_keras.config.experiment import Config, Experiment
    from dream_keras.data.memory import MemoryTable
    from dream_keras.runs.cross_validation import CrossValidation
    from dream_keras.scoring.card import ScoreCard
    from dream_keras.scoring.region_card import RegionCard
    from dream_keras.training.session import Result

log = logging.getLogger(__name__)

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.train", description=SUMMARY)
    p.add_argument("--config", help="YAML file or name of a built-in config (default: quickstart)")
    p.add_argument(
        "--train",
        metavar="FILE",
        help="training table, regions file, or folder of prepare (default: simulated)",
    )
    p.add_argument(
        "--validation",
        "--val",
        metavar="FILE",
        help="validation table (default: a held-out tenth), or values of --split-column",
    )
    p.add_argument(
        "--test",
        metavar="FILE",
        help="table of rows to score when training ends, or values of --split-column",
    )
    p.add_argument(
        "--split-column",
        metavar="NAME",
        help="column that says which rows are trained, validated and tested on: the values given "
        "with --validation and --test, or the words train, val and test",
    )
    p.add_argument(
        "--cross-validate",
        action="store_true",
        help="train a run for each value of --split-column, which it is tested on",
    )
    p.add_argument(
        "--members",
        metavar="N",
        type=int,
        help="train an ensemble: N runs with seeds from --seed on, the same rows held out",
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
    p.add_argument("--from", metavar="RUN", help="start from the weights of this run")
    p.add_argument(
        "--teacher", metavar="RUN", help="train on what this run or ensemble predicts of the rows"
    )
    p.add_argument(
        "--unlabelled",
        metavar="N|FILE",
        help="also on N random sequences, or on those of a file, with --teacher",
    )
    p.add_argument(
        "--bias",
        metavar="RUN",
        help="bias model that is joined to the network, frozen, in training",
    )
    p.add_argument(
        "--freeze", metavar="SLOTS", help="slots that are not trained, with --from: first,core"
    )
    p.add_argument(
        "--lora", metavar="RANK", type=int, help="train first and core by low-rank updates only"
    )
    add_column_arguments(p)
    p.add_argument("--weight-column", metavar="NAME", help="column of row weights in the loss")
    p.add_argument(
        "--error-column", metavar="NAME", help="column of standard errors: weights 1/(error^2+s^2)"
    )
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
    given = vars(parser().parse_args(argv))
    given |= {"overrides": given.pop("set"), "plugins": given.pop("plugin")}
    given["init_from"] = given.pop("from")
    if given.pop("cross_validate"):
        if given.pop("members") is not None:
            raise UserError("--members and --cross-validate: choose one")
        _report_folds(given)
        return
    if (members := given.pop("members")) is not None:
        if given["out"] is None:
            raise UserError("--members needs --out")
        from dream_keras.ensemble import report

        report(train_ensemble(given.pop("config"), members, **given), given["out"])
        return
    result = train(given.pop("config"), **given)
    if not result.is_chief:
        return
    if result.score:
        from dream_keras.scoring.report import table

        print(table(result.score))
    run = given["out"] or result.folder
    print(f"\nThe run is in {run}: start with {run}/report.md.")
    print("To look at it in TensorBoard:")
    print(f"  {python_command('tensorboard.main', '--logdir', run)}")
    print("To predict sequences, one a line, then Ctrl-D (or a FASTA file in place of -):")
    print(f"  {python_command('dream_keras.predict', run, '-')}")


def _report_folds(given: dict[str, Any]) -> None:
    """Run a cross-validation and print its scores."""
    for option in ("validation", "test", "split", "suite"):
        if given.pop(option) is not None:
            raise UserError(f"--{option} and --cross-validate: each fold is tested on in turn")
    for option in ("train", "out", "split_column"):
        if given[option] is None:
            name = option.replace("_", "-")
            raise UserError(f"--cross-validate needs --{name}")
    result = cross_validate(given.pop("config"), given.pop("train"), **given)
    print(result.summary.to_string(index=False, float_format="{:.4f}".format))
    print(f"\nThe runs, predictions.tsv and report.md are in {result.folder}.")


def train_ensemble(
    config: "Config | Experiment | None",
    members: int,
    *,
    out: str | Path,
    seed: int | None = None,
    resume: bool = False,
    **settings: Any,
) -> "ScoreCard | RegionCard | None":
    """Train runs with several seeds and make an ensemble of them.

    All hold out the same rows. Runs that are finished are taken as they are with ``resume``, others
    continue.

    Args:
        config: As for ``train``.
        members: Number of runs, 2 or more.
        out: The ensemble's folder; the runs are in it, ``seed-<seed>``.
        seed: Of the first run, and of the rows that are held out; the others' follow it. None is 0.
        resume: Go on with the ensemble in ``out``.
        **settings: Other arguments of ``train``.

    Returns:
        The score of the ensemble, or None without a suite.

    Raises:
        UserError: If ``out`` is there already without ``resume``, or whatever ``train`` raises.
    """
    from dream_keras.runs.folder import open_folder

    at_least(2, members=members)
    folder, first = open_folder(out), seed or 0
    if not resume:
        folder.check_new()
    overrides = [f"data.split_seed={first}", *settings.pop("overrides", ())]
    runs = [folder.path / f"seed-{first + number}" for number in range(members)]
    for number, path in enumerate(runs):
        log.info("member %d of %d", number + 1, members)
        train(
            config,
            out=path,
            seed=first + number,
            resume=resume and path.exists(),
            overrides=overrides,
            **settings,
        )
    from dream_keras.runs.ensemble import make_ensemble

    folder.config.unlink(missing_ok=True)  # of an ensemble of fewer
    return make_ensemble(runs, out, settings.get("progress"))


def cross_validate(
    config: "Config | Experiment | None",
    table: str | Path,
    *,
    split_column: str,
    out: str | Path,
    resume: bool = False,
    **settings: Any,
) -> "CrossValidation":
    """Train a run for each fold of a table, and score each on its own fold.

    The fold behind the one that is tested on validates, in the order of the folds. Runs that are
    finished are taken as they are with ``resume``, others continue.

    Args:
        config: As for ``train``.
        table: The table.
        split_column: Column of the folds, 3 or more.
        out: Folder of the runs, ``fold-<value>``, with ``predictions.tsv`` (out of fold) and
            ``report.md``.
        resume: Go on with the cross-validation in ``out``.
        **settings: Other arguments of ``train``.

    Raises:
        UserError: If the table has too few folds, ``out`` is there already without ``resume``, or
            whatever ``train`` raises.
    """
    from dream_keras.data.columns import Columns
    from dream_keras.runs.cross_validation import collect, find_folds

    folder = Path(out)
    if folder.exists() and not resume:
        raise UserError(f"{folder} exists: resume with --resume, or choose another --out")
    sequence_column = settings.get("sequence_column")
    folds = find_folds(table, Columns(sequence_column, (), split=split_column))
    runs = {fold: folder / f"fold-{fold.replace(os.sep, '_')}" for fold in folds}
    for number, (fold, path) in enumerate(runs.items()):
        log.info("fold %s, %d of %d", fold, number + 1, len(folds))
        train(
            config,
            train=table,
            split_column=split_column,
            validation=folds[(number + 1) % len(folds)],
            test=fold,
            out=path,
            resume=resume and path.exists(),
            **settings,
        )
    return collect(folder, runs)


def train(
    config: "Config | Experiment | None" = None,
    *,
    train: "str | Path | pd.DataFrame | None" = None,
    validation: "str | Path | pd.DataFrame | None" = None,
    sequences: Sequence[str] | None = None,
    targets: "npt.ArrayLike | None" = None,
    validation_sequences: Sequence[str] | None = None,
    validation_targets: "npt.ArrayLike | None" = None,
    test: str | Path | None = None,
    split: str | None = None,
    split_column: str | None = None,
    suite: str | Path | None = None,
    out: str | Path | None = None,
    init_from: str | Path | None = None,
    freeze: str | Sequence[str] | None = None,
    lora: int | None = None,
    bias: str | Path | None = None,
    teacher: str | Path | None = None,
    unlabelled: int | str | Path | None = None,
    sequence_column: str | None = None,
    target_columns: str | Sequence[str] | None = None,
    target_column: str | None = None,
    id_column: str | None = None,
    weight_column: str | None = None,
    error_column: str | None = None,
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
        config: A YAML file, the name of a built-in config, what such a file holds, or an
            ``Experiment``; ``quickstart`` by default.
        train: Training table, a regions file (``*.yaml``, of a genome), a folder made by
            ``dream_keras.prepare``, or a DataFrame; simulated when neither this, nor
            ``sequences``, nor the config gives rows.
        validation: Validation table or DataFrame; a seeded tenth of the training rows by default.
            With ``split_column`` the values of that column, separated by commas.
        sequences: Training rows in memory instead of ``train``: a list of sequences, (rows,).
        targets: Their measured values, (rows,) or (rows, tasks); NaN where one of several is
            missing. The run folder keeps rows given in memory as a table.
        validation_sequences: Validation rows, likewise.
        validation_targets: Their measured values.
        test: Table of rows to score when training ends, or values of ``split_column``.
        split: How the tenth is held out: ``"random"``, or ``"similarity"`` for whole families of
            related rows, see ``dream_keras.data.similarity``.
        split_column: Column that says which rows are trained, validated and tested on.
        suite: Folder of the gold-standard suite to score on.
        out: Run folder; ``runs/<config>-<time>`` by default.
        init_from: Run folder whose weights training starts from, as far as they fit. Without
            ``config`` its model, trainer and runtime are taken too.
        freeze: Slots whose weights are then not trained: ``"first,core"``, or a list.
        lora: Then train first and core layers only by updates of this rank, as
            ``trainer.lora_rank``.
        bias: Run of a bias model (``bpnet_bias``): in training its predictions of profile and
            counts are joined to those of the network, so that this learns the rest.
        teacher: Run or ensemble whose predictions of the rows are trained on in place of their
            measured values, which still validate.
        unlabelled: With it, a number of random sequences, or a file of sequences, to train on
            besides.
        sequence_column: Header name of the sequences, in tables and DataFrames; by default the
            column called seq or sequence, or the first one of a table without a header.
        target_columns: Header name of the measured values, or a list of names, one for each task;
            by default the only other column of numbers. Also names the tasks of ``targets``.
        target_column: The same under its former name.
        id_column: Header name of the rows' names.
        weight_column: Header name of the rows' weights in the loss.
        error_column: Header name of the values' standard errors, which weigh the rows; see
            ``data.error_floor``.
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
    from dream_keras.config.completion import without_rows
    from dream_keras.data.memory import TRAIN, VALIDATION, in_memory
    from dream_keras.menu.plugins import listed
    from dream_keras.runs.run import check_run, run_folder

    columns = target_columns or target_column
    names = (columns,) if isinstance(columns, str) else tuple(columns or ())
    tables = in_memory(
        {"train": train, "validation": validation},
        {"train": (sequences, targets), "validation": (validation_sequences, validation_targets)},
        sequence_column,
        names,
    )
    for table in tables.values():
        sequence_column, names = table.sequence_column, table.target_columns
    given = {
        "data.train": _place(train, TRAIN, tables),
        "data.validation": _place(validation, VALIDATION, tables),
        "data.test": _place(test, "", tables),
        "data.split": split,
        "data.split_column": split_column,
        "data.sequence_column": sequence_column,
        "data.target_columns": names or None,
        "data.id_column": id_column,
        "data.weight_column": weight_column,
        "data.error_column": error_column,
        "data.on_bad_row": on_bad_row,
        "trainer.seed": seed,
        "trainer.freeze": freeze.split(",") if isinstance(freeze, str) else freeze,
        "trainer.lora_rank": lora,
        "init_from": init_from and absolute(init_from),
        "regions.bias": bias and absolute(bias),
        "distillation.teacher": teacher and absolute(teacher),
        **_unlabelled(unlabelled),
        "runtime.deterministic": deterministic or None,
        "runtime.strategy": strategy,
        "runtime.tpu": tpu,
        "scoring.suite": suite and absolute(suite),
    }
    settings = {key: value for key, value in given.items() if value is not None}
    overrides, plugins = list(overrides), listed(plugins)
    if init_from is not None and config is None and not resume:
        check_run(init_from)
        config = without_rows(run_folder(init_from).config)
    for other in (teacher, bias):
        if other is not None and not resume:
            check_run(other)
    _check(config, overrides, settings, plugins, out, resume)
    load_backend()
    from dream_keras.training.session import run_training

    return run_training(
        config,
        settings,
        overrides,
        plugins,
        tables,
        out=out,
        smoke=smoke,
        resume=resume,
        progress=progress,
    )


def _place(given: object, kept: str, tables: "Mapping[str, MemoryTable]") -> str | None:
    """Return where a table is or will be; what is no file may be a value of a column."""
    if kept in tables:
        return kept
    if given is None or not (is_elsewhere(str(given)) or Path(str(given)).exists()):
        return None if given is None else str(given)
    return absolute(str(given))


def _unlabelled(given: int | str | Path | None) -> dict[str, object]:
    """Return the setting of unlabelled rows: a number, or a file."""
    if given is None or isinstance(given, int) or str(given).isdecimal():
        return {"distillation.unlabelled": None if given is None else int(str(given))}
    return {"distillation.unlabelled_file": absolute(given)}


def _check(
    config: "Config | Experiment | None",
    overrides: Iterable[str],
    settings: Mapping[str, object],
    plugins: Collection[str | Path],
    out: str | Path | None,
    resume: bool,
) -> None:
    """Refuse what can be seen to be wrong before Keras is imported."""
    from dream_keras.config.check import check_experiment, check_files, check_suite
    from dream_keras.config.experiment import DEFAULT_CONFIG
    from dream_keras.data.memory import TRAIN, VALIDATION
    from dream_keras.runs.folder import RunFolder
    from dream_keras.runs.run import check_run

    files = [settings.get(key) for key in ("data.train", "scoring.suite")]
    if resume:
        if out is None:
            raise UserError("--resume needs --out RUN: the folder of the run to continue")
        check_run(out)
        if isinstance(config, str | Path | Mapping):
            check_experiment(config, overrides, settings)
        elif config is None and not is_remote(out):
            check_experiment(Path(out) / "config.yaml", overrides, settings)
    else:
        if out is not None and not is_remote(out) and "TF_CONFIG" not in os.environ:
            RunFolder(Path(out)).check_new()  # of several workers the first one makes it
        if config is None or isinstance(config, str | Path | Mapping):
            sections = check_experiment(config or DEFAULT_CONFIG, overrides, settings, plugins)
            data = sections.data
            files = [data.train, sections.scoring.suite]
            if data.split_column is None:
                files = [data.validation, data.test, *files]
            files = [sections.distillation.unlabelled_file, *files]
    *tables, suite = (None if file in (None, TRAIN, VALIDATION) else str(file) for file in files)
    check_files(*tables)
    check_suite(suite)


make_callable(__name__, train)

if __name__ == "__main__":
    run(main)
