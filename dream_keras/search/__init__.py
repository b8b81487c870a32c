"""Search a space of orders from the menu, each trained on equal terms."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import load_backend, make_callable
from dream_keras.common.errors import UserError, unknown
from dream_keras.hub.paths import absolute

if TYPE_CHECKING:
    from dream_keras.search.record import SearchResult


def search(
    space: str | Path | None = None,
    *,
    tuner: str | None = None,
    objective: str | None = None,
    max_trials: int | None = None,
    budget_minutes: float | None = None,
    repeats: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    role: str | None = None,
    chief: str | None = None,
    overrides: Iterable[str] = (),
    train: str | Path | None = None,
    validation: str | Path | None = None,
    suite: str | Path | None = None,
    seed: int | None = None,
    smoke: bool = False,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "SearchResult":
    """Search a space of orders, each trained on equal terms, and write a folder of results.

    Trials run in child processes, so a script that calls this needs the usual
    ``if __name__ == "__main__":``.

    Args:
        space: A YAML file or the name of a built-in space.
        tuner: ``"grid"``, ``"random"``, ``"bayesian"`` or ``"hyperband"``.
        objective: ``"val_pearson"``, ``"pearson_score"`` or ``"spearman_score"``.
        max_trials: Trials at most.
        budget_minutes: Start no trial later than this.
        repeats: Runs of each trial, with different seeds.
        out: The search's folder; ``runs/search-<space>-<time>`` by default.
        resume: Continue the search in ``out``; finished trials are not repeated.
        role: ``"chief"`` hands out trials over the network, ``"worker"`` runs them.
        chief: ``HOST:PORT`` where the chief is.
        overrides: Settings as ``"section.key=value"``.
        train: Training table, as for ``train``.
        validation: Validation table.
        suite: Folder of the gold-standard suite.
        seed: First seed of every trial.
        smoke: Three small trials, to test that it runs.
        plugins: Files that put more on the menu.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: For anything wrong with the space, the settings, the files or the folder.
    """
    changes: dict[str, object] = {
        "search.tuner": tuner,
        "search.objective": objective,
        "search.max_trials": max_trials,
        "search.budget_minutes": budget_minutes,
        "search.repeats": repeats,
        "search.seed": seed,
        "data.train": train and absolute(train),
        "data.validation": validation and absolute(validation),
        "scoring.suite": suite and absolute(suite),
    }
    from dream_keras.menu.plugins import listed

    settings = {key: value for key, value in changes.items() if value is not None}
    overrides, plugins = list(overrides), listed(plugins)
    if role not in (None, "chief", "worker"):
        raise unknown("role", role, ("chief", "worker"))
    if (role is None) != (chief is None):
        raise UserError("--role chief|worker and --chief HOST:PORT go together")
    if role != "worker":
        _check(space, settings, overrides, plugins, out, resume)
    load_backend()
    from dream_keras.search.session import run_search

    return run_search(
        space,
        settings,
        overrides,
        plugins,
        out=out,
        resume=resume,
        role=role,
        chief=chief,
        smoke=smoke,
        progress=progress,
    )


def _check(
    space: str | Path | None,
    settings: Mapping[str, object],
    overrides: Iterable[str],
    plugins: Iterable[str | Path],
    out: str | Path | None,
    resume: bool,
) -> None:
    """Refuse what can be seen to be wrong before Keras is imported."""
    from dream_keras.search.plan import check_plan, check_resumable

    if resume:
        check_resumable(out)
    elif space is None:
        raise UserError("a search needs --space: a YAML file or the name of a built-in space")
    else:
        check_plan(space, overrides, settings, plugins)


make_callable(__name__, search)
