"""Copies of networks that are made of Keras's own layers where these compute the same."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras
from keras import ops

from dream_keras.nn.layers import BatchNormalization, GroupedConv1D, TorchLSTM

if TYPE_CHECKING:
    from dream_keras.model.network import Network


def portable(network: "Network", name: str, unrolled: bool = False) -> keras.Model:
    """Copy a network for prediction, from channels to the values of its tasks.

    Of this package's layers, batch normalisation, the LSTM and the grouped convolution become
    Keras's own. Initial weights, which prediction does not need, are left to Keras.

    Args:
        network: The network.
        name: Name of the copy.
        unrolled: Write an LSTM out step by step instead of as a loop.

    Returns:
        From (batch, length, channels) to (batch, tasks), float32.
    """
    copied: list[tuple[keras.Layer, keras.Layer]] = []

    def clone(layer: keras.Operation) -> keras.Operation:
        if isinstance(layer, GroupedConv1D) or not isinstance(layer, keras.Layer):
            return layer  # ``call`` puts others in its place, or it has no weights
        copied.append((layer, _same(layer, unrolled)))
        return copied[-1][1]

    def call(layer: keras.Operation, *args: object, **kwargs: object) -> object:
        if isinstance(layer, GroupedConv1D):
            return _depthwise(layer, *args)
        args, kwargs = keras.tree.map_structure(_constant, (args, kwargs))
        return layer(*args, **kwargs)

    values = network.values(network.output)
    copy = keras.models.clone_model(
        keras.Model(network.input, values, name=name), clone_function=clone, call_function=call
    )
    for old, new in copied:
        new.set_weights(_weights(old))
    return copy


def foreign_modules(model: keras.Model) -> list[str]:
    """Return the modules of layers that are not Keras's own, those of models in it as well."""
    layers = model._flatten_layers(include_self=False)
    modules = {type(layer).__module__ for layer in layers}
    return sorted(name for name in modules if name.partition(".")[0] != "keras")


def _constant(value: object) -> object:
    """Return a tensor as an array: ONNX's converter takes tensors for inputs of the model."""
    is_constant = ops.is_tensor(value) and not isinstance(value, keras.KerasTensor)
    return ops.convert_to_numpy(value) if is_constant else value


def _same(layer: keras.Layer, unrolled: bool) -> keras.Layer:
    """Return a layer that computes the same, Keras's own if there is one, with fresh weights."""
    if isinstance(layer, keras.layers.Bidirectional) and isinstance(layer.forward_layer, TorchLSTM):
        inner = layer.forward_layer
        lstm = keras.layers.LSTM(
            inner.units, return_sequences=inner.return_sequences, unroll=unrolled
        )
        return keras.layers.Bidirectional(lstm, merge_mode=layer.merge_mode, name=layer.name)
    made: Callable[..., keras.Layer] = type(layer).from_config
    if isinstance(layer, BatchNormalization):
        made = keras.layers.BatchNormalization.from_config
    config = layer.get_config()
    own = ("unbiased",) if isinstance(layer, BatchNormalization) else ()
    kept = {k: v for k, v in config.items() if not k.endswith("_initializer") and k not in own}
    return made(kept)


def _weights(layer: keras.Layer) -> list[object]:
    """Return a layer's weights as ``_same`` of it takes them."""
    if isinstance(layer, keras.layers.Bidirectional) and isinstance(layer.forward_layer, TorchLSTM):
        cells = [side.cell for side in (layer.forward_layer, layer.backward_layer)]
        return [w for cell in cells for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    return layer.get_weights()


def _depthwise(layer: GroupedConv1D, x: keras.KerasTensor) -> keras.KerasTensor:
    """Apply a grouped convolution as depthwise ones; see ``GroupedConv1D``."""
    terms = []
    for turn in range(layer.channels_per_group):
        name = f"{layer.name}_turn{turn}"
        conv = keras.layers.DepthwiseConv1D(
            layer.kernel_size, padding="same", use_bias=False, name=name
        )
        terms.append(conv(layer.turned(x, turn)))
        conv.set_weights([ops.convert_to_numpy(layer.turned_kernel(turn))])
    return sum(terms[1:], terms[0])
