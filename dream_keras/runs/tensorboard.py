"""TensorBoard events of a run, written without TensorFlow."""

import io
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams_v2
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from dream_keras.menu.registry import BLOCKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dream_keras.model.network import Network


class EventWriter:
    """Writes scalars, pictures, text and the model's graph.

    Args:
        folder: The run's TensorBoard folder.
        resumed_at: Step at which an interrupted run is resumed; TensorBoard drops earlier events
            beyond it.
    """

    def __init__(self, folder: Path, resumed_at: int | None = None):
        self._file = EventFileWriter(str(folder), flush_secs=10)
        if resumed_at is not None:
            log = SessionLog(status=SessionLog.START)
            self._file.add_event(Event(wall_time=time.time(), step=resumed_at, session_log=log))

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write one number per name."""
        for name, value in values.items():
            self._add(scalar_pb(name, float(value)), step)

    def text(self, name: str, markdown: str, step: int = 0) -> None:
        """Write a text, shown as Markdown."""
        self._add(text_pb(name, markdown), step)

    def picture(self, name: str, figure: "Figure", step: int) -> None:
        """Write a figure as a picture."""
        width, height = (round(inches * figure.dpi) for inches in figure.get_size_inches())
        png = io.BytesIO()
        figure.savefig(png, format="png")
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png.getvalue()
        )
        self._add(Summary(value=[Summary.Value(tag=name, image=image)]), step)

    def graph(self, network: "Network") -> None:
        """Write the network's layers as a graph, grouped by slot."""
        graph = layer_graph(network)
        self._file.add_event(Event(wall_time=time.time(), graph_def=graph.SerializeToString()))

    def search(
        self, answers: Mapping[str, Sequence[str | float] | None], metrics: Iterable[str]
    ) -> None:
        """Write the questions of a search, for the HParams tab.

        Args:
            answers: For each question its answers, or None if it is for a number of a range.
            metrics: Names of scalars that each trial writes.
        """
        asked = [
            hparams_v2.HParam(name, hparams_v2.Discrete(list(values)) if values else None)
            for name, values in answers.items()
        ]
        named = [hparams_v2.Metric(name) for name in metrics]
        self._add(hparams_v2.hparams_config_pb(asked, named), 0)

    def trial(
        self,
        answers: Mapping[str, str | float],
        name: str,
        started: float,
        ended: float,
        completed: bool,
    ) -> None:
        """Write a trial's answers and how it ended, for the HParams tab; times since 1970."""
        self._add(hparams_v2.hparams_pb(dict(answers), name, started), 0)
        status = api_pb2.STATUS_SUCCESS if completed else api_pb2.STATUS_FAILURE
        info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended)
        data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
        end = Summary()
        plugin = metadata.create_summary_metadata(data).SerializeToString()
        value = end.value.add(tag=metadata.SESSION_END_INFO_TAG)
        value.metadata.MergeFromString(plugin)
        value.tensor.MergeFromString(metadata.NULL_TENSOR.SerializeToString())
        self._add(end, 0)

    def flush(self) -> None:
        """Write buffered events."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def _add(self, summary: Summary, step: int) -> None:
        # Protocol buffers of the plugins and of ours may be different classes of one message.
        same = Summary.FromString(summary.SerializeToString())
        self._file.add_event(Event(wall_time=time.time(), step=step, summary=same))


def layer_graph(network: "Network") -> GraphDef:
    """Return a graph with one node per layer, called ``slot/layer``.

    TensorFlow's own graph has thousands of nodes and exists on that backend only; this one has
    the layers of the model.
    """
    graph = GraphDef()
    for operation in network.operations:
        node = graph.node.add()
        node.name = _node_name(operation.name)
        node.op = type(operation).__name__
        for inbound in operation._inbound_nodes:
            node.input.extend(_node_name(tensor.operation.name) for tensor in inbound.parent_nodes)
        shape = getattr(operation.output, "shape", None) or ""
        node.attr["output_shape"].s = str(shape).encode()
        weights = getattr(operation, "weights", [])
        node.attr["weights"].i = sum(math.prod(weight.shape) for weight in weights)
    return graph


def _node_name(name: str) -> str:
    slot, _, rest = name.partition("_")
    return f"{slot}/{rest}" if slot in BLOCKS else name
