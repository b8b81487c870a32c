"""Tables in Markdown."""

import numpy as np
import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown, numbers rounded, without a final line break.

    Examples:
        >>> print(markdown(pd.DataFrame({"subset": ["random"], "n": [12000], "r": [0.81234]})))
        | subset | n | r |
        |---|---|---|
        | random | 12,000 | 0.8123 |
    """

    def text(value: object) -> str:
        if isinstance(value, (float, np.floating)):
            # Rounding errors of sums that are 0 would look like results.
            return "" if np.isnan(value) else f"{round(float(value), 9) + 0.0:.4g}"
        return f"{value:,}" if isinstance(value, (int, np.integer)) else str(value)

    rows = [list(table.columns), *(map(text, row) for row in table.itertuples(index=False))]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(table.columns))
    return "\n".join(lines)
