"""Which target a network is trained on: where processor and final block meet."""

from dream_keras.common.errors import UserError
from dream_keras.data.processor import BINS, Processor
from dream_keras.model.network import Network


def target_kind(network: Network, processor: Processor) -> str:
    """Return the kind of target a network is trained on: the first the processor prefers.

    Raises:
        UserError: If there is none, or the final block's outputs do not fit it.
    """
    head, outputs = network.head, network.output
    kind = next((kind for kind in processor.targets if kind in head.losses), None)
    order = network.order
    if kind is None:
        raise UserError(
            f"final block {order.final.name} is trained on {' or '.join(head.losses)}, but "
            f"processor {order.processor.name} makes {' or '.join(processor.targets)}: choose "
            "another model.final or model.processor"
        )
    expression = head.expression(outputs)
    if len(expression.shape) != 1:
        raise UserError(
            f"the final block predicts {expression.shape[-1]} values per row; training and "
            "prediction take one. Set its number of tasks to 1."
        )
    if kind == "bins" and outputs.shape[-1] != BINS:
        raise UserError(
            f"the final block has {outputs.shape[-1]} bins, the processor's target {BINS}: set "
            f"model.final.bins to {BINS}"
        )
    if kind == "masked" and outputs["nucleotides"].shape[1] > processor.length:
        raise UserError(
            f"the final block predicts the bases of {outputs['nucleotides'].shape[1]} positions, "
            f"the input has {processor.length}: set model.final.sequence_length to "
            f"{processor.length}"
        )
    return kind
