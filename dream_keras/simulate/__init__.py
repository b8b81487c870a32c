"""A simulated random-promoter experiment, written as the official files, with its truth.

What it models and what it does not: docs/simulator.md.
"""

from pathlib import Path

from dream_keras.common.cli import make_callable

TRAIN_ROWS = 100_000
TEST_ROWS = 8_000
GENOME_BP = 3_000_000


def simulate(
    out: Path | str,
    train_rows: int = TRAIN_ROWS,
    test_rows: int = TEST_ROWS,
    seed: int = 0,
    progress: bool = True,
    genome: bool = False,
    bp: int = GENOME_BP,
) -> Path:
    """Simulate the random-promoter experiment and write the official files and the truth.

    The same arguments give the same bytes. The test table and everything about it depend on
    ``test_rows`` and ``seed`` only. With ``genome`` it is an ATAC-seq experiment on a genome
    instead; see ``simulate_genome``.

    Args:
        out: Folder to create; it appears only when complete. If it holds the same simulation
            already, nothing is done.
        train_rows: Rows of ``train.txt``; ``val.txt`` gets a ninth as many, at least one.
        test_rows: Rows of the test table, at least 600.
        seed: A number, 0 or more.
        progress: Whether to show a progress bar on a terminal when it takes long.
        genome: Simulate a genome with ATAC-seq counts.
        bp: Its length.

    Returns:
        The folder.

    Raises:
        UserError: If an argument is out of range, or ``out`` holds something else or cannot be
            written.
    """
    if genome:
        return simulate_genome(out, bp, seed)
    from dream_keras.simulate.writer import write_simulation

    return write_simulation(out, train_rows, test_rows, seed, progress)


def simulate_genome(out: Path | str, bp: int = GENOME_BP, seed: int = 0) -> Path:
    """Simulate a genome and ATAC-seq counts on it, and write the files of an experiment.

    There are ``genome.fa``, counts of two replicates as bigWig, peaks and GC-matched regions
    without as narrowPeak, chromosome folds as JSON, ``regions.yaml``, which names them, and the
    truth: expected cuts with and without the enzyme's bias, its preferences, and bound sites. The
    same arguments give the same sequences and counts.

    Args:
        out: Folder to create; it appears only when complete. If it holds the same simulation
            already, nothing is done.
        bp: Length of the genome, 200,000 or more; of three chromosomes, which are trained,
            validated and tested on, the first has 60 %.
        seed: A number, 0 or more.

    Returns:
        The folder.

    Raises:
        UserError: If an argument is out of range, ``out`` holds something else or cannot be
            written, or pybigtools is missing.
    """
    from dream_keras.simulate.genome import write_genome

    return write_genome(out, bp, seed)


make_callable(__name__, simulate)
