"""Checks of a block, processor or trainer when it is registered."""

import inspect
import typing
from collections.abc import Callable, Mapping

import yaml

from dream_keras.common.errors import UserError
from dream_keras.common.options import checked, is_supported
from dream_keras.data.processor import Processor
from dream_keras.menu.head import Head
from dream_keras.menu.trainer import Trainer

BASES: dict[str, type] = {"processor": Processor, "trainer": Trainer}
"""Slots that take classes, and what their classes are made from."""
ALLOWED_TYPES = (
    "int, float, str, bool, Literal[...] of these, tuple[int, ...] and the like, "
    "each also with | None"
)


def options_of(slot: str, name: object, build: Callable[..., object]) -> dict[str, object]:
    """Read the options and their defaults off what is to be registered.

    Args:
        slot: Its slot.
        name: Its name in configs.
        build: A function for a block, a class for a processor or trainer.

    Raises:
        UserError: If a config could not name it, or could not hold its options.
    """
    if not isinstance(name, str) or not name.isidentifier() or yaml.safe_load(name) != name:
        raise UserError(
            f"a {slot} cannot be called {name!r}: configs need a name of letters, digits and _ "
            "that is no YAML word such as true or null"
        )
    what = f'{slot} "{name}"'
    if slot in BASES:
        _check_class(what, slot, build)
        parameters = list(inspect.signature(build).parameters.values())
    else:
        parameters = _parameters_after_the_tensor(what, name, build)
    function = inspect.getattr_static(build, "__init__") if slot in BASES else build
    try:
        annotations = typing.get_type_hints(function)
    except Exception as error:
        raise UserError(f"{what}: its annotations cannot be read: {error}") from None
    for parameter in parameters:
        _check_option(what, parameter, annotations)
    return {p.name: p.default for p in parameters}


def check_head(name: str, head: Head | None) -> None:
    """Refuse a final block whose losses or score could not be used.

    Raises:
        UserError: If there is no head, or something in it is of the wrong kind.
    """
    import keras

    what = f'final block "{name}"'
    if head is None:
        raise UserError(
            f"{what} needs head=menu.Head(losses=..., expression=...): its loss for each target "
            "type, and how its outputs become values, (batch, tasks)"
        )
    if not isinstance(head.losses, Mapping) or not head.losses:
        raise UserError(
            f'{what}: head.losses must map target types ("bins", "label", "value", "masked") '
            f"to losses, got {head.losses!r}"
        )
    for target_type, loss in head.losses.items():
        if not isinstance(loss, type) or not issubclass(loss, keras.losses.Loss):
            raise UserError(
                f'{what}: head.losses["{target_type}"] must be a class made from '
                "keras.losses.Loss, such as keras.losses.Huber (the class itself, without "
                f"brackets), got {loss!r}"
            )
        try:
            loss(reduction="none")
        except TypeError as error:
            raise UserError(
                f'{what}: {loss.__name__}, its loss for "{target_type}", must take the keyword '
                f"reduction and hand it on to keras.losses.Loss: {error}"
            ) from None
    if not callable(head.expression):
        raise UserError(
            f"{what}: head.expression must be a function of the block's outputs, got "
            f"{head.expression!r}"
        )


def _check_class(what: str, slot: str, build: Callable[..., object]) -> None:
    base = BASES[slot]
    if not isinstance(build, type) or not issubclass(build, base):
        raise UserError(
            f"{what}: expected a class made from {base.__module__}.{base.__name__}, got {build!r}"
        )
    missing = sorted(build.__abstractmethods__)  # type: ignore[attr-defined]
    if missing:
        raise UserError(f"{what}: class {build.__name__} must define {', '.join(missing)}")
    if slot == "trainer" and "__dataclass_fields__" not in vars(build):
        raise UserError(
            f"{what}: put @dataclasses.dataclass(frozen=True, kw_only=True) between "
            f"@menu.register(...) and class {build.__name__}"
        )


def _parameters_after_the_tensor(
    what: str, name: str, build: Callable[..., object]
) -> list[inspect.Parameter]:
    if not inspect.isfunction(build):
        raise UserError(
            f"{what}: a block is a function of a tensor, got {build!r}. Put what you have into "
            f"one: def {name}(x, ...): return ..."
        )
    parameters = list(inspect.signature(build).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    tensor = parameters[0] if parameters else None
    if tensor is None or tensor.kind not in positional or tensor.default is not tensor.empty:
        raise UserError(
            f"{what}: the function's first parameter must be the tensor, (batch, length, "
            f"channels), without a default: def {build.__name__}(x, ...)"
        )
    return parameters[1:]


def _check_option(what: str, option: inspect.Parameter, annotations: Mapping[str, object]) -> None:
    what = f"{what}: option {option.name}"
    if option.kind not in (option.POSITIONAL_OR_KEYWORD, option.KEYWORD_ONLY):
        raise UserError(f"{what} is not a single keyword: name every option, with its default")
    if option.name == "name":
        raise UserError(f"{what} needs another name: configs use the key for another purpose")
    if option.default is option.empty:
        raise UserError(f"{what} has no default: write {option.name}: int = 8, for example")
    annotation = annotations.get(option.name)
    if option.name not in annotations:
        kind = type(option.default).__name__
        raise UserError(f"{what} has no type: write {option.name}: {kind} = {option.default!r}")
    if not is_supported(annotation):
        raise UserError(
            f"{what} is a {inspect.formatannotation(annotation)}, which configs cannot hold. "
            f"Allowed: {ALLOWED_TYPES}."
        )
    try:
        checked(option.default, annotation, option.name)
    except UserError as error:
        raise UserError(f"{what}: its default does not fit its type. {error}") from None
