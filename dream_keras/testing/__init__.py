"""Checks for blocks, processors and trainers of one's own, in a notebook or in a test.

Each runs what training, prediction and saving will ask of the part, and says in words what is
wrong with it::

    from dream_keras.testing import check_block

    check_block("core", "my_core", options={"width": 16})
"""

from dream_keras.testing.blocks import check_block
from dream_keras.testing.harness import BlockProblems, Report
from dream_keras.testing.processors import check_processor
from dream_keras.testing.trainers import check_trainer

__all__ = ["BlockProblems", "Report", "check_block", "check_processor", "check_trainer"]
