"""The pages of docs/models, one for each built-in config, from the configs and their networks.

``python tests/save_model_pages.py`` (``make models``) writes them; a test compares them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from dream_keras import menu
from dream_keras.common.tables import markdown
from dream_keras.config.experiment import CONFIGS, Experiment, load_experiment
from dream_keras.hub.catalogue import sets
from dream_keras.model.summary import Found, Survey
from dream_keras.runs.description import describe_input, describe_network, describe_output

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "models"
NOT_EDITED = "<!-- Written by `make models` from the config and its network. -->"
EXAMPLE = 230
"""Input length, bp, that networks are shown with whose length is the training table's."""


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page's file and text: one for each config, and a table of all."""
    survey, rows = Survey(), []
    for config in [*sorted(CONFIGS.glob("*.yaml")), *sorted(CONFIGS.glob("tasks/*.yaml"))]:
        experiment, is_example = load_experiment(config), False
        if not experiment.model.processor.build("processor").length:
            settings = {"model.processor.length": EXAMPLE}
            experiment, is_example = load_experiment(config, settings=settings), True
        processor = experiment.make_processor()
        found = survey.order(experiment.model, processor.length, processor.channels)
        about, commands, remarks = header(config)
        yield (
            FOLDER / f"{config.stem}.md",
            page(config.stem, experiment, found, about, commands, remarks, is_example),
        )
        rows.append(
            {
                "config": f"[{config.stem}]({config.stem}.md)",
                "what": about.rstrip("."),
                "input": f"{processor.length} x {processor.channels}"
                + (" (length of your table)" if is_example else ""),
                "weights": found.parameters,
                "million multiply-adds": round(found.multiply_adds / 1e6),
            }
        )
    lines = ["# Models", "", NOT_EDITED, "", "The built-in configs, each with a page of its own:"]
    yield FOLDER / "README.md", "\n".join([*lines, "", markdown(pd.DataFrame(rows)), ""])


def header(config: Path) -> tuple[str, list[str], list[str]]:
    """Return what the comment at the top of a config says: in a sentence, commands and remarks."""
    comment = re.match("(?:#.*\n)+", config.read_text("utf-8"))
    assert comment is not None, config
    text = re.sub("^# ?", "", comment[0], flags=re.MULTILINE)
    title, _, rest = text.partition("\n\n")
    about, *more = re.split(r"(?<=\.)\s(?=[A-Z])", title, maxsplit=1)
    pattern = re.compile(r"^  +(python -m (?:.*\\\n)*.*)\n", flags=re.MULTILINE)
    remarks = re.split(r"(?<=\.)\n(?=[A-Z])", pattern.sub("", rest).strip())
    remarks = [" ".join(remark.split()) for remark in (*more, *remarks)]
    return " ".join(about.split()), pattern.findall(rest), remarks


def page(
    name: str,
    experiment: Experiment,
    found: Found,
    about: str,
    commands: list[str],
    remarks: list[str],
    is_example: bool,
) -> str:
    """Return the page of a config."""
    processor, trainer = experiment.make_processor(), experiment.make_trainer()
    tasks = experiment.data.target_columns or task_names(experiment)
    steps = trainer.steps_per_epoch
    epoch = f"{steps:,} steps" if steps else "all rows"
    weights = [entry.name for entry in sets().values() if entry.preset == name]
    example = [f"Shown with {EXAMPLE} bp; the length is that of your table.", ""]
    published = [
        "## Published weights",
        "",
        *(f'`dream_keras.from_preset("{entry}")` fetches and converts them.' for entry in weights),
        "",
    ]
    lines = [
        *(f"# {name}", "", NOT_EDITED, "", about, "", "```", *commands, "```", ""),
        *(f"- {remark}" for remark in remarks),
        *("", "## Input", "", *(example if is_example else ())),
        *(*describe_input(processor, experiment), ""),
        *("## Output", "", *describe_output(experiment, tasks), ""),
        *("## Network", "", *describe_network(experiment, found), ""),
        *("## Trainer", ""),
        f"`{experiment.trainer.name}`: at most {trainer.epochs:,} epochs of {epoch}, "
        f"{trainer.batch_size:,} rows per step, rate {trainer.learning_rate:g}.",
        *("", *(published if weights else ())),
    ]
    return re.sub("\n{3,}", "\n\n", "\n".join(lines))


def task_names(experiment: Experiment) -> tuple[str, ...]:
    """Return names of as many tasks as the final block has, where the config names none."""
    final = experiment.model.final
    options = {**menu.get("final", final.name).options, **final.options}
    tasks = int(str(options.get("tasks", 1)))
    return ("expression",) if tasks == 1 else tuple(f"task{n + 1}" for n in range(tasks))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in pages():
        path.write_text(text, "utf-8")
        print(path.name)
