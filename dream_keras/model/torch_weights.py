"""Import of published PyTorch weights, in which every entry must be used, and their export."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.menu.registry import BLOCKS

if TYPE_CHECKING:
    import keras

    from dream_keras.model.network import Network

Array = npt.NDArray[np.generic]

IGNORED = (
    r".*\.num_batches_tracked",
    r"first\.pos_embedding\.weight",
    r"first\.expression_embedding\.(weight|bias)",
    r"final\.bins",
)
"""Entries of published files that no forward pass learns from: PyTorch's counters, two tables that
the UnlockDNA first block owns but leaves out, and the buffer of bin numbers, 0 to 17, that the
autosome final block takes its mean with."""
WRAPPERS = ("model_state_dict", "state_dict", "model")
"""Keys under which training loops save a state dict beside other things."""
PARALLEL = "module."
"""What ``DataParallel`` puts in front of each name."""


class _Layout(NamedTuple):
    """How an array of a file becomes a weight, and back."""

    turn: Callable[[Array], Array]
    back: Callable[[Array], Array]


@dataclass(frozen=True)
class _Entry:
    """One weight, and the PyTorch entry it comes from."""

    name: str
    variable: "keras.Variable"
    layout: _Layout


_same = _Layout(lambda array: array, lambda array: array)
_transposed = _Layout(np.transpose, np.transpose)
"""(out, in) to (in, out); (out, in / groups, k) to (k, in / groups, out)."""
_depthwise = _Layout(lambda array: array.transpose(2, 0, 1), lambda array: array.transpose(1, 2, 0))
"""(channels, 1, k) to (k, channels, 1)."""
_of_each_task = _Layout(lambda array: array.squeeze(axis=1), lambda array: array[:, None])
"""(tasks, 1, out) to (tasks, out)."""


def _entries(layer: "keras.Layer", name: str) -> Iterator[_Entry]:
    """List the weights of one layer under the PyTorch module name ``name``."""
    import keras

    from dream_keras.nn import layers

    if isinstance(layer, keras.layers.Bidirectional):
        for direction, end in ((layer.forward_layer, ""), (layer.backward_layer, "_reverse")):
            cell = direction.cell
            yield _Entry(f"{name}.weight_ih_l0{end}", cell.kernel, _transposed)
            yield _Entry(f"{name}.weight_hh_l0{end}", cell.recurrent_kernel, _transposed)
            if isinstance(direction, layers.TorchLSTM):
                yield _Entry(f"{name}.bias_ih_l0{end}", cell.input_bias, _same)
                yield _Entry(f"{name}.bias_hh_l0{end}", cell.recurrent_bias, _same)
            else:  # Keras's own has one bias, the sum of those two
                yield _Entry(f"{name}.bias_l0{end}", cell.bias, _same)
    elif isinstance(layer, layers.SelfAttention):
        yield _Entry(f"{name}.in_proj_weight", layer.in_kernel, _transposed)
        yield _Entry(f"{name}.in_proj_bias", layer.in_bias, _same)
        yield _Entry(f"{name}.out_proj.weight", layer.out_kernel, _transposed)
        yield _Entry(f"{name}.out_proj.bias", layer.out_bias, _same)
    elif isinstance(layer, keras.layers.BatchNormalization):
        yield _Entry(f"{name}.weight", layer.gamma, _same)
        yield _Entry(f"{name}.bias", layer.beta, _same)
        yield _Entry(f"{name}.running_mean", layer.moving_mean, _same)
        yield _Entry(f"{name}.running_var", layer.moving_variance, _same)
    elif isinstance(layer, keras.layers.LayerNormalization):
        yield _Entry(f"{name}.weight", layer.gamma, _same)
        yield _Entry(f"{name}.bias", layer.beta, _same)
    elif isinstance(layer, layers.AddEmbedding):
        yield _Entry(f"{name}.weight", layer.embedding, _same)
    elif isinstance(layer, keras.layers.EinsumDense):  # a dense layer for each task
        yield _Entry(f"{name}.weight", layer.kernel, _same)
        yield _Entry(f"{name}.bias", layer.bias, _of_each_task)
    elif isinstance(layer, keras.layers.DepthwiseConv1D):
        yield _Entry(f"{name}.weight", layer.kernel, _depthwise)
    else:
        layout = _kmer_windows(layer) if name.endswith("kmer_dense") else _transposed
        yield _Entry(f"{name}.weight", layer.kernel, layout)
        if getattr(layer, "use_bias", False):
            yield _Entry(f"{name}.bias", layer.bias, _same)


def _kmer_windows(layer: "keras.Layer") -> _Layout:
    """Turn the dense layer over flattened windows, (out, k * in), into a kernel (k, in, out)."""
    shape = tuple(layer.kernel.shape)
    return _Layout(
        lambda array: array.T.reshape(shape) if array.ndim == 2 else array,
        lambda array: array.reshape(-1, shape[-1]).T,
    )


def _all_entries(network: "Network") -> Iterator[_Entry]:
    entries: dict[str, menu.MenuEntry] = {
        slot: menu.get(slot, getattr(network.order, slot).name) for slot in BLOCKS
    }
    for layer in network.layers:
        if not layer.weights:
            continue
        slot, _, ours = layer.name.partition("_")
        for pattern, theirs in entries[slot].torch_names.items():
            match = re.fullmatch(pattern, ours)
            if match:
                yield from _entries(layer, f"{slot}.{match.expand(theirs)}")
                break
        else:
            raise UserError(
                f"{slot} block {entries[slot].name} has no PyTorch name for its "
                f'layer "{ours}": add it to torch_names where the block is registered'
            )


def load_torch_weights(network: "Network", state_dict: Mapping[str, npt.ArrayLike]) -> None:
    """Copy PyTorch weights into a network.

    Args:
        network: What ``build_network`` returned.
        state_dict: PyTorch names (``first.*``, ``core.*``, ``final.*``, or all of them without
            the slot, as of networks that were not published in slots) and arrays or tensors, in
            PyTorch's layout: convolutions (out, in / groups, k), dense (out, in). It may be
            wrapped, ``{"model_state_dict": ...}``, or saved from ``DataParallel``.

    Raises:
        UserError: If an entry is unknown, missing or of the wrong shape; the message names them
            and nothing has been copied.

    Examples:
        Entries that are missing are named:

        >>> from dream_keras import build_network, load_experiment
        >>> from dream_keras.config.smoke import shrink
        >>> network = build_network(shrink(load_experiment("dream_cnn")).model, 20, 4)
        >>> try:
        ...     load_torch_weights(network, {})
        ... except UserError as error:
        ...     print(str(error).splitlines()[1].strip())
        missing: first.conv_list.0.conv.weight
    """
    arrays = {name: _to_numpy(value) for name, value in _unwrapped(state_dict).items()}
    entries = list(_all_entries(network))
    if arrays and not any(name.partition(".")[0] in BLOCKS for name in arrays):
        entries = [replace(entry, name=entry.name.partition(".")[2]) for entry in entries]
    wanted = {entry.name for entry in entries}
    problems = [f"missing: {entry.name}" for entry in entries if entry.name not in arrays]
    problems += [
        f"unknown: {name}"
        for name in arrays
        if name not in wanted and not any(re.fullmatch(ignored, name) for ignored in IGNORED)
    ]
    values: list[tuple[keras.Variable, Array]] = []
    for entry in entries:
        if entry.name not in arrays:
            continue
        array, wanted_shape = arrays[entry.name], tuple(entry.variable.shape)
        try:
            value = entry.layout.turn(array)
        except ValueError:  # it has another number of axes
            value = array
        if value.shape != wanted_shape:
            problems.append(
                f"misshapen: {entry.name} is {array.shape}, which does not give the "
                f"{wanted_shape} that is needed"
            )
        values.append((entry.variable, value))
    if problems:
        shown = "\n  ".join(problems[:10])
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise UserError(
            f"these weights do not fit this network ({len(problems)} entries):\n  {shown}{more}\n"
            "Check that preset, length and channels are those the weights were trained with."
        )
    for variable, value in values:
        variable.assign(value)


def torch_weights(network: "Network") -> dict[str, Array]:
    """Return a network's weights under the published names, in PyTorch's layout.

    ``load_torch_weights`` takes them back to the last bit. What no forward pass learns from
    (``IGNORED``) is left out, so PyTorch's own ``load_state_dict`` wants ``strict=False``.

    Args:
        network: What ``build_network`` returned.

    Examples:
        >>> from dream_keras import build_network, load_experiment
        >>> from dream_keras.config.smoke import shrink
        >>> network = build_network(shrink(load_experiment("dream_cnn")).model, 20, 4)
        >>> torch_weights(network)["first.conv_list.0.conv.weight"].shape
        (12, 4, 9)
    """
    import keras

    return {
        entry.name: entry.layout.back(keras.ops.convert_to_numpy(entry.variable))
        for entry in _all_entries(network)
    }


def _unwrapped(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a state dict without what it is wrapped in."""
    for key in WRAPPERS:
        if isinstance(content.get(key), Mapping):
            content = content[key]
    if content and all(str(name).startswith(PARALLEL) for name in content):
        return {name.removeprefix(PARALLEL): value for name, value in content.items()}
    return content


def _to_numpy(value: Any) -> Array:
    """Return an array or a PyTorch tensor, on any device, as numpy."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _torch(what: str) -> ModuleType:
    try:
        import torch
    except ImportError:
        raise UserError(
            f'{what} a PyTorch file needs PyTorch: pip install "dream-keras[torch]"'
        ) from None
    return torch


def write_checkpoint(network: "Network", path: Path) -> None:
    """Write a network's weights as a PyTorch file that holds a state dict; see ``torch_weights``.

    Raises:
        UserError: If PyTorch is not installed, or a block has no PyTorch names.
    """
    torch = _torch("writing")
    weights = torch_weights(network).items()
    torch.save({name: torch.from_numpy(array.copy()) for name, array in weights}, path)


def read_checkpoint(path: Path) -> dict[str, Array]:
    """Read the state dict of a PyTorch file; only weights, no code in the file is run.

    Raises:
        UserError: If PyTorch is not installed, or the file is missing or no such file.
    """
    torch = _torch("reading")
    if not path.is_file():
        raise UserError(f"no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types of error
        raise UserError(f"{path} is not a PyTorch file of plain weights: {reason(error)}") from None
    content = _unwrapped(content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(hasattr(v, "detach") for v in content.values()):
        raise UserError(f"{path} holds no state dict (names and tensors)")
    return {name: _to_numpy(value) for name, value in content.items()}
