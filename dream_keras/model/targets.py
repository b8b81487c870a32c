"""Choice of the target that a network is trained on, from processor and final block."""

from dream_keras.common.errors import UserError
from dream_keras.data.processor import Processor
from dream_keras.model.network import Network


def choose_target_type(network: Network, processor: Processor) -> str:
    """Return the target type that a network is trained on: the first the processor prefers.

    Raises:
        UserError: If there is none, or the final block's outputs do not fit it.
    """
    losses, order = network.head.losses, network.order
    found = next((target for target in processor.targets if target in losses), None)
    if found is None:
        raise UserError(
            f"final block {order.final.name} is trained on {' or '.join(losses)}, but "
            f"processor {order.processor.name} makes {' or '.join(processor.targets)}: choose "
            "another model.final or model.processor"
        )
    processor.check_outputs(network.output, found)
    return found


def check_tasks(network: Network, tasks: int, names: str) -> None:
    """Refuse labels of another number of tasks than the network predicts.

    Args:
        network: The network.
        tasks: Number of the labels of a row.
        names: The columns that they come from, for the message.

    Raises:
        UserError: If the numbers differ.
    """
    if network.tasks != tasks:
        raise UserError(
            f"the final block {network.order.final.name} predicts {network.tasks} values per row, "
            f"but the table gives {tasks} ({names}). Set model.final.tasks={tasks} where the block "
            "has that option (model.final=autosome_regression has), or name other target columns."
        )
