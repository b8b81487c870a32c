"""The menu: which processors, first, core and final blocks and trainers there are, by name.

A block is a function on Keras tensors; its keyword arguments are its options. Registering is the
whole interface, for the blocks that ship with the package and for a user's own:

    from dream_keras import menu

    @menu.register("core", "my_core", source="this notebook")
    def my_core(x, out_channels: int = 64, dropout: float = 0.1):
        ...
"""

import contextlib
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType, MappingProxyType
from typing import Any, Literal, TypeVar, get_args

from dream_keras.common.errors import UserError, unknown
from dream_keras.menu.checks import check_head, options_of
from dream_keras.menu.head import Head

Slot = Literal["processor", "first", "core", "final", "trainer"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
BLOCKS: tuple[Slot, ...] = ("first", "core", "final")
"""The slots of a network, from its input to its output."""
ORDER_SLOTS: tuple[Slot, ...] = ("processor", *BLOCKS)
"""The slots that an order fills; a trainer is no part of it."""

PRIX_FIXE = "prix_fixe"
"""The collection of the three winning teams' blocks, which make the 81 orders of Prix Fixe."""

PLUGIN_MODULE = "dream_keras_plugin_"
"""Prefix of the module names of imported plugin files."""

Builder = TypeVar("Builder", bound=Callable[..., object])


class NotOnMenuError(UserError):
    """A name that is not on the menu.

    Attributes:
        what: Slot and name.
    """

    what: str = ""


@dataclass(frozen=True)
class MenuEntry:
    """One processor, block or trainer on the menu.

    Attributes:
        slot: The slot it fills.
        name: Its name in configs.
        build: The function or class that makes it.
        source: Its authors and publication.
        options: Its options with their defaults, read off the signature of ``build``.
        head: For final blocks, their losses and score.
        torch_names: For blocks, patterns that lead from layer names to PyTorch names.
        collection: The set of entries that are combined with each other, such as
            ``"prix_fixe"``; empty for an entry on its own.
        smoke: Largest values of the options that set its size, in a smoke run.
        module: Name of the module that registered it.
        place: File and line where it was registered.
    """

    slot: Slot
    name: str
    build: Callable[..., Any]
    source: str
    options: Mapping[str, object]
    head: Head | None = None
    torch_names: Mapping[str, str] = field(default_factory=dict)
    collection: str = ""
    smoke: Mapping[str, object] = field(default_factory=dict)
    module: str = ""
    place: str = ""

    @property
    def build_function(self) -> Callable[..., object]:
        """The function whose annotations say what type each option has."""
        is_class = isinstance(self.build, type)
        return inspect.getattr_static(self.build, "__init__") if is_class else self.build


_entries: dict[tuple[str, str], MenuEntry] = {}


def register(
    slot: Slot,
    name: str,
    *,
    source: str,
    head: Head | None = None,
    torch_names: Mapping[str, str] | None = None,
    collection: str = "",
    smoke: Mapping[str, object] | None = None,
) -> Callable[[Builder], Builder]:
    """Put a block, processor or trainer on the menu under ``name``.

    Args:
        slot: ``"processor"``, ``"first"``, ``"core"``, ``"final"`` or ``"trainer"``.
        name: The name used in configs.
        source: Where the design comes from.
        head: Required for final blocks: losses and score.
        torch_names: Layer-name patterns (regular expressions, without the slot's prefix) and the
            PyTorch module names they stand for; needed only to import PyTorch weights.
        collection: The set of entries it is combined with, in ``python -m dream_keras.menu
            --orders``; the 81 orders of Prix Fixe are those of ``"prix_fixe"``.
        smoke: Options that set its size, with the largest value that each has in a smoke run
            (``train --smoke``); for a tuple, element by element.

    Registering again replaces what a notebook cell or script has registered, and what a module
    has that is reloaded; anything else keeps its name.

    Raises:
        UserError: If the slot does not exist, the name is taken, a final block has no head, or
            configs could not hold the options, or ``smoke`` names an option that it does not have;
            see ``dream_keras.menu.checks``.

    Examples:
        >>> @register("core", "scaled", source="this example")
        ... def scaled(x, factor: float = 2.0):
        ...     return factor * x
        >>> dict(get("core", "scaled").options)
        {'factor': 2.0}
    """
    if slot not in SLOTS:
        raise unknown("slot", slot, SLOTS)
    if slot == "final":
        check_head(name, head)
    caller = sys._getframe(1)
    module, place = caller.f_globals.get("__name__", ""), _place(caller)

    def add(build: Builder) -> Builder:
        if not module.startswith("dream_keras.menu."):
            load_all()  # what ships with the package keeps its names
        options = options_of(slot, name, build)
        for option in smoke or {}:
            if option not in options:
                raise unknown(f'option of {slot} "{name}" in smoke', option, options)
        entry = MenuEntry(
            slot,
            name,
            build,
            source,
            MappingProxyType(options),
            head,
            dict(torch_names or {}),
            collection,
            dict(smoke or {}),
            module,
            place,
        )
        known = _entries.get((slot, name))
        if known is not None and not _may_replace(known, entry):
            raise UserError(
                f'{slot} "{name}" is on the menu already, registered by {known.place}; '
                f"{place} registers another one. Choose another name, or, if this is a newer "
                "version of the same, restart Python (or the notebook's kernel)."
            )
        _entries[slot, name] = entry
        return build

    return add


def _place(caller: FrameType) -> str:
    """Return file and line of a call, or that it stands in a notebook."""
    if caller.f_globals.get("__name__") == "__main__" and "__file__" not in caller.f_globals:
        return "a notebook cell"
    return f"{caller.f_code.co_filename}:{caller.f_lineno}"


def _may_replace(known: MenuEntry, entry: MenuEntry) -> bool:
    if known.module == "__main__":
        return True  # a cell that is run again, or has become a file
    reloaded = (known.module, known.build.__qualname__) == (entry.module, entry.build.__qualname__)
    return reloaded and not entry.module.startswith(PLUGIN_MODULE)


def from_module(module: str) -> list[MenuEntry]:
    """Return what a module has registered."""
    return [entry for entry in _entries.values() if entry.module == module]


def forget(module: str) -> None:
    """Remove what a module has registered from the menu."""
    for entry in from_module(module):
        remove(entry.slot, entry.name)


def remove(slot: Slot, name: str) -> None:
    """Remove one entry from the menu."""
    del _entries[slot, name]


@contextlib.contextmanager
def all_or_nothing() -> Iterator[None]:
    """Leave the menu as it was if the block of code ends with an error."""
    before = dict(_entries)
    try:
        yield
    except BaseException:
        _entries.clear()
        _entries.update(before)
        raise


def get(slot: Slot, name: str) -> MenuEntry:
    """Return the entry called ``name`` in ``slot``.

    Raises:
        NotOnMenuError: If there is none; the message lists what there is.

    Examples:
        >>> get("core", "bhi").options["kernel_sizes"]
        (9, 15)
    """
    load_all()
    try:
        return _entries[slot, name]
    except KeyError:
        raise not_on_menu(slot, name, names(slot)) from None


def not_on_menu(slot: Slot, name: str, names: Iterable[str]) -> NotOnMenuError:
    """Build the error for a name that is none of those in its slot."""
    error = NotOnMenuError(
        f"{unknown(f'{slot} on the menu', name, names)} One of your own is given with "
        "--plugin FILE or the config's plugins."
    )
    error.what = f'{slot} "{name}"'
    return error


def names(slot: Slot, collection: str | None = None) -> list[str]:
    """Return the names in one slot, sorted; all of them, or those of one collection.

    Examples:
        >>> names("core", collection="prix_fixe")
        ['autosome', 'bhi', 'unlockdna']
    """
    load_all()
    return sorted(
        name
        for (at, name), entry in _entries.items()
        if at == slot and collection in (None, entry.collection)
    )


def entries() -> list[MenuEntry]:
    """Return everything on the menu, slot by slot.

    Examples:
        >>> list(dict.fromkeys(entry.slot for entry in entries()))
        ['processor', 'first', 'core', 'final', 'trainer']
    """
    return [get(slot, name) for slot in SLOTS for name in names(slot)]


def load_all() -> None:
    """Import every file of this folder, which registers what the teams' files hold."""
    package = importlib.import_module("dream_keras.menu")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name != "__main__":
            importlib.import_module(f"{package.__name__}.{module.name}")
