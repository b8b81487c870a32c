"""The menu: which processors, first, core and final blocks and trainers there are, by name.

A block is a function on Keras tensors; its keyword arguments are its options. Registering is the
whole interface, for the blocks that ship with the package and for a user's own::

    from dream_keras import menu

    @menu.register("core", "my_core", source="this notebook")
    def my_core(x, out_channels: int = 64, dropout: float = 0.1):
        ...
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

from dream_keras.errors import UserError, unknown

Slot = Literal["processor", "first", "core", "final", "trainer"]
SLOTS: tuple[Slot, ...] = get_args(Slot)

_FOLDER_OF_SLOT = {
    "processor": "processors",
    "first": "first",
    "core": "core",
    "final": "final",
    "trainer": "trainers",
}

Builder = TypeVar("Builder", bound=Callable[..., Any])


@dataclass(frozen=True)
class Head:
    """What training and scoring must know of a final block.

    Attributes:
        losses: For each kind of target the block can be trained on (``"bins"``: probabilities of
            the 18 sorting bins; ``"value"``: one number per task), the loss, called with
            ``(target, outputs)`` and returning one value per row.
        expression: Turns the block's outputs into the predicted expression, shape (batch,) or
            (batch, tasks).
    """

    losses: Mapping[str, Callable[..., Any]]
    expression: Callable[[Any], Any]


@dataclass(frozen=True)
class Item:
    """One thing on the menu.

    Attributes:
        slot: The slot it fills.
        name: Its name in configs.
        build: The function or class that makes it.
        source: Who designed it and where that is written down.
        options: Its options with their defaults, read off the signature of ``build``.
        head: For final blocks, their losses and score.
        torch_names: For blocks, patterns that lead from layer names to PyTorch names.
    """

    slot: Slot
    name: str
    build: Callable[..., Any]
    source: str
    options: Mapping[str, Any]
    head: Head | None = None
    torch_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def build_function(self) -> Callable[..., Any]:
        """The function whose annotations say what type each option has."""
        return vars(self.build)["__init__"] if isinstance(self.build, type) else self.build


_items: dict[tuple[str, str], Item] = {}


def register(
    slot: Slot,
    name: str,
    *,
    source: str,
    head: Head | None = None,
    torch_names: Mapping[str, str] | None = None,
) -> Callable[[Builder], Builder]:
    """Put a block, processor or trainer on the menu under ``name``.

    Args:
        slot: ``"processor"``, ``"first"``, ``"core"``, ``"final"`` or ``"trainer"``.
        name: The name used in configs.
        source: Where the design comes from.
        head: Required for final blocks: losses and score.
        torch_names: Layer-name patterns (regular expressions, without the slot's prefix) and the
            PyTorch module names they stand for; needed only to import PyTorch weights.

    Raises:
        UserError: If the slot does not exist, the name is taken, or a final block has no head.
    """
    if slot not in SLOTS:
        raise unknown("slot", slot, SLOTS)
    if slot == "final" and head is None:
        raise UserError(f'final block "{name}" needs head=Head(losses=..., expression=...)')

    def add(build: Builder) -> Builder:
        known = _items.get((slot, name))
        if known is not None and known.build.__qualname__ != build.__qualname__:
            raise UserError(f'{slot} "{name}" is on the menu already: choose another name')
        parameters = inspect.signature(build).parameters.values()
        options = {p.name: p.default for p in parameters if p.default is not p.empty}
        _items[slot, name] = Item(
            slot, name, build, source, MappingProxyType(options), head, dict(torch_names or {})
        )
        return build

    return add


def get(slot: Slot, name: str) -> Item:
    """Return the item called ``name`` in ``slot``.

    Raises:
        UserError: If there is none; the message lists what there is.
    """
    load_all()
    try:
        return _items[slot, name]
    except KeyError:
        raise unknown(f"{slot} on the menu", name, names(slot)) from None


def names(slot: Slot) -> list[str]:
    """Return the names in one slot, sorted."""
    load_all()
    return sorted(name for at, name in _items if at == slot)


def items() -> list[Item]:
    """Return everything on the menu, slot by slot."""
    return [get(slot, name) for slot in SLOTS for name in names(slot)]


def load_all() -> None:
    """Import every file of the menu's folders, which registers what they hold."""
    for folder in _FOLDER_OF_SLOT.values():
        package = importlib.import_module(f"dream_keras.menu.{folder}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
