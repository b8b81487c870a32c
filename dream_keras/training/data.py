"""The training rows of a run, streamed and checked."""

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.data.processor import Processor
from dream_keras.data.region_rows import RegionRows
from dream_keras.data.region_stream import RegionStream
from dream_keras.data.regions import RegionSettings
from dream_keras.data.sharded_stream import ShardedStream
from dream_keras.data.shards import ShardedRows
from dream_keras.data.stream import Stream, StreamSettings, TrainingStream
from dream_keras.data.table import Rows


def make_stream(
    rows: Rows | ShardedRows, settings: StreamSettings, regions: RegionSettings
) -> Stream:
    """Stream rows from memory or from the disk."""
    if isinstance(rows, RegionRows):
        return RegionStream(rows, settings, regions)
    if isinstance(rows, ShardedRows):
        return ShardedStream(rows, settings)
    return TrainingStream(rows, settings)


def check_labels(rows: Rows | ShardedRows, processor: Processor, target_type: str) -> None:
    """Refuse constant labels, and labels that the target cannot express.

    Raises:
        UserError: Names the label, or the range of the labels and the final block for other
            measurements.
    """
    for column in rows.labels.T:
        if (least := np.nanmin(column)) == np.nanmax(column):
            raise UserError(f"all training labels are {least:g}: there is nothing to learn")
    lowest, highest = processor.label_ranges.get(target_type, (-np.inf, np.inf))
    smallest, largest = float(np.nanmin(rows.labels)), float(np.nanmax(rows.labels))
    if smallest < lowest or largest > highest:
        raise UserError(
            f"the labels run from {smallest:g} to {largest:g}, but this order is trained on "
            f"sorting bins {lowest:g} to {highest:g}. For other measurements choose a final block "
            "for values: --set model.final=autosome_regression"
        )


def check_validation(validation: Rows) -> None:
    """Refuse rows that no correlation can be computed on.

    Raises:
        UserError: If a task has fewer than two labels, or they do not differ.
    """
    for column in validation.labels.T:
        known = column[np.isfinite(column)]
        if len(known) < 2 or known.min() == known.max():
            raise UserError(
                f"{len(known)} validation rows with labels that do not differ have no "
                "correlation, so no epoch could be called the best. Give more rows with --val or "
                "--train; of a genome, other folds."
            )
