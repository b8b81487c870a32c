"""Checks for user-defined blocks, processors and trainers, in a notebook or in a test.

Each tests what training, prediction and saving need of the part, and explains what is wrong:

    from dream_keras.testing import check_block

    check_block("core", "my_core", options={"width": 16})
"""

from dream_keras.testing.blocks import check_block
from dream_keras.testing.harness import BlockProblems, Report
from dream_keras.testing.processors import check_processor
from dream_keras.testing.trainers import check_trainer

__all__ = ["BlockProblems", "Report", "check_block", "check_processor", "check_trainer"]
