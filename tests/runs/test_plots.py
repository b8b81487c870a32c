"""The pictures of a training run."""

import io

import numpy as np
import pandas as pd
import pytest


def saved(figure):
    """Draw a figure as it is written to files."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


@pytest.mark.parametrize("tasks", [("expression",), ("liver", "brain")])
def test_predictions_have_a_panel_for_each_task(drawn, random, tasks):
    measured = random.normal(size=(200, len(tasks)))
    measured[:5, -1] = np.nan
    figure = drawn["prediction_figure"](measured + 1, measured, tasks)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    last = f"{tasks[-1]}: " if len(tasks) > 1 else ""
    assert len(titles) == len(tasks)
    assert titles[-1] == f"{last}195 validation rows"
    panel = figure.axes[0]
    shown = panel.collections[0].get_offsets()
    known = np.isfinite(measured[:, 0])
    # Hexagons lie where the points are: predictions to the right, measured values upwards.
    assert abs(shown[:, 0].min() - (measured[known, 0] + 1).min()) < 0.3
    assert abs(shown[:, 1].max() - measured[known, 0].max()) < 0.3
    assert saved(figure).startswith(b"\x89PNG")


def test_the_learning_curve_shows_loss_rate_and_scores(drawn):
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "step": [10, 20, 30],
            "loss": [3.0, 2.0, 1.0],
            "learning_rate": [0.1, 0.2, 0.0],
            "val_pearson": [0.1, 0.5, 0.4],
            "val_spearman": [0.2, 0.4, 0.3],
        }
    )
    figure = drawn["learning_curve"](history, 2)
    loss, rate, score = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(rate.lines[0].get_xydata(), [[10, 0.1], [20, 0.2], [30, 0]])
    assert [line.get_label() for line in score.lines] == ["Pearson r", "Spearman", "best epoch"]
    assert score.lines[2].get_xdata()[0] == 2
    assert saved(figure).startswith(b"\x89PNG")
