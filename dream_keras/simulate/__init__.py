"""A simulated random-promoter experiment, written as the official files, with its truth.

What it models and what it does not: docs/simulator.md.
"""

from pathlib import Path

from dream_keras.common.cli import make_callable

TRAIN_ROWS = 100_000
TEST_ROWS = 8_000


def simulate(
    out: Path | str,
    train_rows: int = TRAIN_ROWS,
    test_rows: int = TEST_ROWS,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Simulate the random-promoter experiment and write the official files and the truth.

    The same arguments give the same bytes. The test table and everything about it depend on
    ``test_rows`` and ``seed`` only.

    Args:
        out: Folder to create; it appears only when complete. If it holds the same simulation
            already, nothing is done.
        train_rows: Rows of ``train.txt``; ``val.txt`` gets a ninth as many, at least one.
        test_rows: Rows of the test table, at least 600.
        seed: A number, 0 or more.
        progress: Whether to show a progress bar on a terminal when it takes long.

    Returns:
        The folder.

    Raises:
        UserError: If an argument is out of range, or ``out`` holds something else or cannot be
            written.
    """
    from dream_keras.simulate.writer import write_simulation

    return write_simulation(out, train_rows, test_rows, seed, progress)


make_callable(__name__, simulate)
