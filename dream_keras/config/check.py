"""Checks of an experiment that need no Keras, which takes seconds to import.

What depends on the blocks themselves, or on a plugin, is checked when the experiment is read.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from dream_keras.common.errors import UserError, within
from dream_keras.config.experiment import Config, Sections, read_config
from dream_keras.config.order import check_options, name_and_options, slots_of
from dream_keras.config.yaml_file import located
from dream_keras.hub.paths import is_elsewhere
from dream_keras.menu.outline import outline
from dream_keras.menu.plugins import check_plugins, listed
from dream_keras.menu.registry import Slot, not_on_menu


def check_experiment(
    config: Config,
    overrides: Iterable[str] = (),
    settings: Mapping[str, object] | None = None,
    plugins: Iterable[str | Path] = (),
) -> Sections:
    """Refuse what ``load_experiment`` would; return the sections.

    Arguments are those of ``load_experiment``.

    Raises:
        UserError: Names what is wrong.

    Examples:
        >>> try:
        ...     sections = check_experiment("dream_cnn", ["trainer.epoch=3"])
        ... except UserError as error:
        ...     print(str(error).partition(": ")[2].partition(" Allowed")[0])
        unknown option of trainer autosome "epoch". Did you mean "epochs"?
    """
    check_plugins(plugins := listed(plugins))
    path, value, lines = read_config(config, overrides, settings, plugins)
    try:
        return check_sections(value)
    except UserError as error:
        raise located(error, path, lines) from None


def check_sections(value: object) -> Sections:
    """Return the sections of an experiment, with names and options checked.

    Raises:
        UserError: Names what is wrong.
    """
    sections = Sections.parse(value)
    with within("plugins"):
        check_plugins(sections.plugins)
    with within("model"):
        for slot, given in slots_of(sections.model).items():
            with within(slot):
                _check_choice(slot, given, bool(sections.plugins))
    with within("trainer"):
        _check_choice("trainer", sections.trainer, bool(sections.plugins))
    return sections


def _check_choice(slot: Slot, value: object, plugins: bool) -> None:
    """Check a choice, unless a plugin or a notebook's own block may be meant."""
    name, options = name_and_options(slot, value)
    known = outline()
    if (slot, name) in known:
        check_options(slot, name, options, known[slot, name])
    elif not plugins and "keras" not in sys.modules:
        raise not_on_menu(slot, name, [name for at, name in known if at == slot])


def check_files(*paths: str | Path | None) -> None:
    """Refuse a table or prepared folder that is not there.

    Args:
        paths: Of files, ``-`` for standard input, addresses and names of the catalogue, which are
            not looked up, or None.

    Raises:
        UserError: Names it.
    """
    for path in paths:
        if not (path is None or str(path) == "-" or is_elsewhere(path) or Path(path).exists()):
            raise UserError(f"no file {path}")


def check_suite(path: str | Path | None) -> None:
    """Refuse a suite that is not there.

    Raises:
        UserError: Names it.
    """
    if path is not None and not is_elsewhere(path) and not Path(path).exists():
        raise UserError(
            f"the suite {path} does not exist. Give the folder of its data, or its YAML file."
        )
