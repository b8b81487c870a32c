"""Checks of a block without running it: shapes, names, and building it twice."""

from collections.abc import Iterator

import keras

from dream_keras.testing.case import Case, listed, shape_of
from dream_keras.testing.harness import describe_error


def shapes(case: Case) -> Iterator[str]:
    """Yield what is wrong with the block's outputs as they are built."""
    slot = case.item.slot
    inputs = keras.Input((case.length, case.channels))
    shape = f"(batch, {case.length}, {case.channels})"
    try:
        outputs = case.build(inputs)
    except Exception as error:
        yield f"it cannot be built on {shape}: {describe_error(error, case.item)}"
        return
    tensors = keras.tree.flatten(outputs)
    strange = [type(t).__name__ for t in tensors if not isinstance(t, keras.KerasTensor)]
    if strange or not tensors:
        found = ", ".join(strange) or repr(outputs)
        yield (
            f"it returns {found} instead of a Keras tensor: return what the last layer gives, made "
            "from x with Keras layers and keras.ops alone"
        )
        return
    for tensor in tensors:
        if tensor.shape[0] is not None or None in tensor.shape[1:]:
            yield (
                f"its output is {shape_of(tensor)}: the first dimension must be the batch, left "
                "open, and all others must be numbers known when it is built (no -1 or None in a "
                "Reshape, and a compute_output_shape in a layer of your own)"
            )
    if slot != "final" and (len(tensors) != 1 or len(tensors[0].shape) != 3):
        yield (
            f"its output is {' and '.join(map(shape_of, tensors))}, but the block behind it takes "
            "(batch, length, channels): keep the axis of positions, and return one tensor"
        )
    try:
        keras.Model(inputs, outputs)
    except Exception as error:
        yield (
            f"its layers make no network: {describe_error(error, case.item)} Every layer needs a "
            "name of its own, and the output must come from x."
        )


def surroundings(case: Case) -> Iterator[str]:
    """Yield why no network can be built around the block."""
    try:
        case.network.count_params()
    except Exception as error:
        yield f"no network can be built around it: {describe_error(error, case.item)}"


def names(case: Case) -> Iterator[str]:
    """Yield layers that are not called after their slot."""
    slot = case.item.slot
    odd = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in case.alone.layers[1:]
        if not layer.name.startswith(f"{slot}_")
    ]
    if odd:
        yield (
            f"layers without the slot in front of their names: {listed(odd)}. Say "
            f'name="{slot}_..." in each: by these names weights are told apart in files and in '
            "TensorBoard."
        )


def repeatable(case: Case) -> Iterator[str]:
    """Yield differences between two networks with the block, and weights that they share."""
    inputs = keras.Input((case.length, case.channels))
    again = keras.Model(inputs, case.build(inputs))
    first, second = _weights(case, case.alone), _weights(case, again)
    different = [f"{a} {b}" for a, b in zip(first, second, strict=False) if a != b]
    if different or len(first) != len(second):
        yield (
            "built a second time it has other weights, so what is saved cannot be loaded: "
            f"{listed(different) or f'{len(first)} and {len(second)} weights'}. The layers may "
            "depend on nothing but x and the options: no random numbers, counters or lists that "
            "are changed."
        )
    shared = {id(w) for w in case.alone.weights} & {id(w) for w in again.weights}
    paths = [w.path for w in again.weights if id(w) in shared]
    if paths:
        yield (
            f"two networks share the weights {listed(paths)}: make every layer inside the "
            "function, not outside of it or in a default"
        )


def _weights(case: Case, model: keras.Model) -> list[str]:
    """Return names and shapes of a model's weights; without names where Keras chose them."""
    return [
        f"{w.path if w.path.startswith(case.item.slot) else w.name} {tuple(w.shape)}"
        for w in model.weights
    ]


def static_shapes(case: Case) -> Iterator[str]:
    """Yield layers inside the block whose output has an unknown length."""
    for nodes in case.alone._nodes_by_depth.values():
        for node in nodes:
            for tensor in node.output_tensors:
                if None in tensor.shape[1:]:
                    yield (
                        f"{node.operation.name} gives {shape_of(tensor)}: all dimensions but the "
                        "batch must be known when it is built, which TPUs and XLA need"
                    )
