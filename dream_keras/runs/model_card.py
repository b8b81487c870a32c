"""Model cards: what a run predicts, how well, and how to use it, with the hub's front matter."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml

from dream_keras.common.files import write_text
from dream_keras.common.tables import markdown
from dream_keras.data.lookup import sequence_lengths
from dream_keras.hub.catalogue import named
from dream_keras.hub.huggingface import HUB, repository, without_folder
from dream_keras.runs.description import describe_input, describe_network, describe_output
from dream_keras.runs.run import Run
from dream_keras.scoring.region_card import METRICS
from dream_keras.simulate.truth import SIMULATED

CARD = "MODEL.md"
CITATION = (
    "Rafi et al., A community effort to optimize sequence-based deep learning models of gene "
    "regulation, Nature Biotechnology, 2024, doi:10.1038/s41587-024-02414-w (the challenge and the "
    "networks); dream_keras (this implementation)."
)
NAMES = {"pearson_score": "Pearson Score", "spearman_score": "Spearman Score", **METRICS}
"""What scores are called."""
POOR = 0.5
"""Subsets are listed as limits where r^2 is below this share of the best subset's."""
PACKAGES = ("dream_keras", "python", "keras", "tensorflow", "jax", "numpy")
"""Whose versions are listed."""
TAGS = ("biology", "genomics", "dna", "dream_keras")


def write_card(run: Run) -> None:
    """Write ``MODEL.md`` into a run's folder, from its other files."""
    write_text(run.folder.path / CARD, model_card(run))


def model_card(run: Run, address: str | None = None, **front: object) -> str:
    """Describe a run: input, output, architecture, training, score and limits, in Markdown.

    Args:
        run: A trained run or an ensemble; its scores are those of ``metrics.json``.
        address: Where it is published on the hub; None names its folder.
        **front: Further keys of the front matter, such as ``license``.

    Examples:
        ``model_card(load_run("runs/mine"), license="mit")``
    """
    name = run.folder.path.name
    metrics = run.folder.read_json("metrics.json")
    simulated = SIMULATED if run.has_simulated_rows else ""
    head = yaml.safe_dump({**front, **_front_matter(run, metrics)}, sort_keys=False)
    sections = {
        "Input": describe_input(run.processor, run.experiment),
        "Output": describe_output(run.experiment, run.task_names),
        "Use": _use(run, address),
        "Network": _networks(run),
        "Training": _training(run),
        "Score": _score(metrics),
        "Limits": _limits(metrics, run),
        "Citation": [CITATION],
    }
    lines = [f"---\n{head}---", "", f"# {name}{simulated}"]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join([*lines, ""])


def _front_matter(run: Run, metrics: Mapping[str, Any]) -> dict[str, object]:
    """Return the keys that the hub reads, but for the licence."""
    front: dict[str, object] = {
        "library_name": "keras",
        "tags": [*TAGS, *filter(None, [run.experiment.game.species])],
        "datasets": [_data_name(run)],
        "metrics": ["pearsonr", "spearmanr"],
    }
    origin = run.experiment.init_from
    if origin is not None and origin.startswith(HUB):
        front["base_model"] = repository(origin)[0]
    if metrics:
        found = [{"type": kind, "name": NAMES[kind], "value": v} for kind, v in _main(metrics)]
        front["model-index"] = [
            {
                "name": run.folder.path.name,
                "results": [
                    {
                        "task": {"type": "other", "name": "prediction from DNA sequence"},
                        "dataset": {"type": "other", "name": _scored_on(metrics)},
                        "metrics": found,
                    }
                ],
            }
        ]
    return front


def _main(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the main scores of a suite, or of regions what the network alone predicts."""
    if "scores" in metrics:
        return list(metrics["scores"]["network"].items())
    return [(kind, metrics[kind]) for kind in ("pearson_score", "spearman_score")]


def _scored_on(metrics: Mapping[str, Any]) -> str:
    """Return the name of a suite, or of a regions file and its part."""
    if "scores" in metrics:
        return f"{without_folder(metrics['source'])}, part {metrics['part']}"
    return str(metrics.get("suite") or "suite")


def _data_name(run: Run) -> str:
    """Return the set that a run is trained on, or the name of its table: no path of a machine."""
    train = run.experiment.data.train
    if run.experiment.weights_from is not None:
        return "unknown"
    if train is None:
        return "simulated"
    found = named(train)
    return found[0].name if found is not None else without_folder(train)


def _use(run: Run, address: str | None) -> list[str]:
    """Return how the run is loaded and used, in four lines."""
    shortest, longest = sequence_lengths(run.processor, run.experiment.data.reading().adapters)
    keras_alone = (
        "",
        f'`keras.saving.load_model("{address}")` loads it without this package as one model, from '
        "tokens (A 0, C 1, G 2, T 3, N 4, any other behind the end) to predictions.",
    )
    return [
        "```python",
        "import dream_keras",
        "",
        f'run = dream_keras.from_preset("{address or run.folder.path.name}")',
        f"print(run.predict([sequence]))  # a string of {shortest:,} to {longest:,} letters",
        "```",
        *(keras_alone if address else ()),
    ]


def _networks(run: Run) -> list[str]:
    """Describe the network, or those of an ensemble."""
    from dream_keras.model.summary import Survey

    members = run.members
    first = members[0]
    found = Survey().order(first.experiment.model, first.processor.length, first.processor.channels)
    described = describe_network(first.experiment, found)
    if len(members) == 1:
        return described
    alike = all(other.experiment.model == first.experiment.model for other in members)
    of = "This is one of them" if alike else f"They differ; this is {first.folder.path.name}"
    return [f"The mean of {len(members)} networks. {of}:", "", *described]


def _training(run: Run) -> list[str]:
    """Describe rows, budget and validation, as a list."""
    first = run.members[0]
    if first.experiment.weights_from is not None:
        return ["- Published weights, converted; how they were trained is not recorded here."]
    found = first.folder.read_json("environment.json")
    trainer = first.experiment.make_trainer()
    rows = found.get("rows", {})
    counted = f", {rows['training']:,} rows, {rows['validation']:,} validated on" if rows else ""
    lines = [f"- Data: {_data_name(run)}{counted}."]
    if (origin := run.experiment.init_from) is not None:
        lines.append(f"- Started from the weights of {without_folder(origin)}.")
    if (teacher := run.experiment.distillation.teacher) is not None:
        lines.append(f"- Distilled: the labels are predictions of {without_folder(teacher)}.")
    path = first.folder.path / "history.csv"
    if path.exists():
        history = pd.read_csv(path)
        is_r = trainer.best == "pearson"
        scores = history["val_pearson"] if is_r else -history[f"val_{trainer.best}"]
        best = history.iloc[int(scores.to_numpy().argmax())]  # the epoch whose weights are kept
        steps = int(history["step"].iloc[-1])
        lines.append(
            f"- Budget: {len(history)} epochs, {steps:,} steps of {trainer.batch_size:,} rows; "
            f"trainer {first.experiment.trainer.name}, seed {trainer.seed}."
        )
        lines.append(
            f"- Validation: Pearson r {best['val_pearson']:.4f}, "
            f"Spearman {best['val_spearman']:.4f} (epoch {int(best['epoch'])})."
        )
    if versions := found.get("versions", {}):
        used = [f"{name} {versions[name]}" for name in PACKAGES if name in versions]
        lines.append(f"- Versions: {', '.join(used)}.")
    return lines


def _score(metrics: Mapping[str, Any]) -> list[str]:
    """Return the table of scores with their intervals."""
    if not metrics:
        return ["Not scored."]
    if "scores" in metrics:
        return region_score(metrics)
    intervals = metrics.get("bootstrap", {})
    rows = []
    for name, subset in metrics["subsets"].items():
        ends = intervals.get("subsets", {}).get(name, {})
        row: dict[str, object] = {"subset": name, "rows or pairs": subset["n"]}
        for kind, head in (("pearson", "Pearson r"), ("spearman", "Spearman ρ")):
            row[head] = _with_ends(subset[kind], ends.get(kind))
        rows.append(row)
    scores = ", ".join(
        f"{NAMES[kind]} **{_with_ends(value, intervals.get(kind))}**"
        for kind, value in _main(metrics)
    )
    level = f" With {100 * intervals['level']:g} % bootstrap intervals." if intervals else ""
    suite = f"{_scored_on(metrics)}, {metrics['part']} part."
    return [f"{suite}{level}", "", markdown(pd.DataFrame(rows)), "", f"{scores}."]


def region_score(metrics: Mapping[str, Any]) -> list[str]:
    """Return the table of scores on regions, of each predictor, and the baselines.

    Args:
        metrics: What ``RegionCard.to_dict`` returns, with intervals.
    """
    intervals = metrics["intervals"]
    rows = [
        {"metric": METRICS[kind]}
        | {
            who: _with_ends(scores[kind], intervals.get(who, {}).get(kind))
            for who, scores in metrics["scores"].items()
        }
        for kind in METRICS
    ]
    baselines = metrics["baselines"].items()
    known = [f"{name.replace('_', ' ')} {_with_ends(value, None)}" for name, value in baselines]
    return [
        f"{_scored_on(metrics)}, {metrics['regions']:,} regions. With 95 % bootstrap intervals.",
        "",
        markdown(pd.DataFrame(rows)),
        "",
        f"Baselines: {', '.join(known)}.",
    ]


def _with_ends(value: float | None, ends: list[float] | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "")


def _limits(metrics: Mapping[str, Any], run: Run) -> list[str]:
    """List where predictions are poor, and the range of the labels."""
    lines = []
    defined = {
        name: subset["r2"]
        for name, subset in metrics.get("subsets", {}).items()
        if subset["r2"] is not None and not math.isnan(subset["r2"])
    }
    poor = {name: r2 for name, r2 in defined.items() if r2 < POOR * max(defined.values())}
    if poor:
        named_poor = ", ".join(f"{name} ({r2:.2f})" for name, r2 in poor.items())
        lines.append(
            f"- Least reliable on: {named_poor}; r² in brackets, {max(defined.values()):.2f} on "
            "the best subset."
        )
    rows = run.members[0].folder.read_json("environment.json").get("rows", {})
    for task, low, high in zip(
        run.task_names, rows.get("lowest", ()), rows.get("highest", ()), strict=False
    ):
        lines.append(
            f"- Training values of {task} reach from {low:g} to {high:g}; predictions beyond are "
            "extrapolated."
        )
    if run.has_simulated_rows:
        lines.append("- Trained on simulated data: of no use for real sequences.")
    lines.append(
        "- Sequences unlike the training rows, and other cells, conditions and assays, are not "
        "covered by these scores."
    )
    return lines
