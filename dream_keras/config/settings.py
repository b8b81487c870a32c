"""Settings of an experiment beside its model and trainer."""

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from dream_keras.common.errors import UserError, at_least, within
from dream_keras.common.options import checked, refuse_unknown, renamed
from dream_keras.data.adapters import ADD, PRESENT, check_setting
from dream_keras.data.columns import Columns
from dream_keras.data.split import Part, Split
from dream_keras.data.table import ReadSettings

Settings = TypeVar("Settings")
GAME_TYPE = (
    r"accessibility|expression(_(mRNA|pol1|pol2|pol3|splicing_acceptor|splicing_donor))?"
    r"|(binding|conformation)_.+"
)
"""What a task of the GAME protocol, schema version 1.0, may predict, as a regular expression."""


@dataclass(frozen=True)
class DataSettings:
    """Files and how to read them.

    Attributes:
        train: Training table; None simulates one.
        validation: Validation table; None holds out a tenth of the training rows. With
            ``split_column`` the values of that column, separated by commas.
        test: Table of rows that are scored when training ends, or values of ``split_column``.
        split_column: Column of the training table that says which rows are trained, validated and
            tested on; see ``dream_keras.data.split``.
        weight_column: Column of row weights in the loss.
        error_column: Column of the values' standard errors; a row's weight in the loss is divided
            by error^2 + ``error_floor``^2, and weights are scaled to a mean of 1.
        error_floor: Standard error that no measurement falls below, in the values' units; None
            takes the median of the column.
        max_error: Leave out training and validation rows with a larger standard error.
        sequence_column: Header name of the sequences; None takes the column called seq or
            sequence, or the first one of a table without a header.
        target_columns: Header names of the measured values, one for each task; None takes the only
            other column of numbers, or the second one of a table without a header.
        id_column: Header name of the rows' names, if there are any.
        adapters: Whether sequences have the processor's adapters: ``"add"`` puts these on,
            ``"LEFT,RIGHT"`` others, ``"present"`` takes all sequences as they are; None refuses a
            table whose sequences lack what the processor cuts off.
        on_bad_row: Whether a bad row stops the run or is skipped and listed.
        long_rows: What to do with sequences that are too long for the processor.
        max_length: Longest sequence in bp, if less than the processor takes: what different
            processors are compared on must be the same rows.
        simulated_rows: Training rows of the simulation, when there is no training table.
        simulated_test_rows: Rows of its test table.
        max_rows: Read only this many training rows.
        split: How a tenth is held out: row by row at random, or whole families of related rows.
        split_seed: Seed of the rows that are held out; None takes the trainer's.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    split_column: str | None = None
    sequence_column: str | None = None
    target_columns: tuple[str, ...] | None = None
    id_column: str | None = None
    weight_column: str | None = None
    error_column: str | None = None
    error_floor: float | None = None
    max_error: float | None = None
    adapters: str | None = None
    on_bad_row: Literal["fail", "skip"] = "fail"
    long_rows: Literal["fail", "drop", "crop"] = "fail"
    max_length: int | None = None
    simulated_rows: int = 100_000
    simulated_test_rows: int = 8_000
    max_rows: int | None = None
    split: Literal["random", "similarity"] = "random"
    split_seed: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no table can have."""
        at_least(
            1,
            simulated_rows=self.simulated_rows,
            simulated_test_rows=self.simulated_test_rows,
            max_rows=self.max_rows,
            max_length=self.max_length,
        )
        at_least(
            0,
            error_floor=self.error_floor,
            max_error=self.max_error,
            split_seed=self.split_seed,
        )
        with within("adapters"):
            check_setting(self.adapters)
        if self.split_column and (self.validation is None) != (self.test is None):
            raise UserError(
                f"split_column={self.split_column}: give both its values to validate on "
                "(--validation) and to test on (--test), or neither if it says train, val and test"
            )
        if self.error_column is None and (self.error_floor, self.max_error) != (None, None):
            raise UserError("error_floor and max_error need --error-column, the standard errors")

    @property
    def parts(self) -> Split | None:
        """The parts of the training table, if a column tells them."""
        if self.split_column is None:
            return None
        values = [
            tuple(value.strip() for value in (text or "").split(",") if value.strip())
            for text in (self.validation, self.test)
        ]
        return Split(self.split_column, *values)

    def reading(self, part: Part | None = None) -> ReadSettings:
        """Return how tables are read: sequences alone, or a part of the table to train on."""
        columns = Columns(self.sequence_column, self.target_columns, self.id_column)
        if part is not None:
            columns = dataclasses.replace(
                columns,
                split=self.split_column,
                weight=self.weight_column if part == "train" else None,
                error=self.error_column
                if part == "train" or (part == "validation" and self.max_error is not None)
                else None,
            )
        return ReadSettings(
            columns,
            self.on_bad_row,
            self.long_rows,
            self.max_rows if part != "test" else None,
            self.max_length,
            self.adapters,
            self.parts if part is not None else None,
            part or "train",
            self.max_error,
        )


@dataclass(frozen=True)
class DistillationSettings:
    """Training on the predictions of another run in place of measured values.

    Attributes:
        teacher: The run, or ensemble, that labels the rows; None trains on measured values.
        copies: Copies of each training row, changed as ``augment`` says (``shift`` aside) and
            labelled as changed; none if it switches nothing on.
        unlabelled: Further rows with random inserts, which have the lengths and the shares of bases
            of the training rows'.
        unlabelled_file: Sequences, in a table or FASTA, that are trained on as well.
        measured: Share of the measured value in the label of a training row.
    """

    teacher: str | None = None
    copies: int = 4
    unlabelled: int = 0
    unlabelled_file: str | None = None
    measured: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing, and rows that nobody labels."""
        at_least(0, copies=self.copies, unlabelled=self.unlabelled, measured=self.measured)
        if self.measured > 1:
            with within("measured"):
                raise UserError(f"measured={self.measured}: expected a share between 0 and 1")
        if self.teacher is None and (self.unlabelled or self.unlabelled_file):
            raise UserError("unlabelled rows need a run that labels them: --teacher RUN")


@dataclass(frozen=True)
class RuntimeSettings:
    """How the experiment is computed; nothing here is meant to change its result.

    Attributes:
        precision: Keras dtype policy.
        steps_per_call: Training steps in one call of the compiled function.
        deterministic: Use only deterministic kernels, at some cost in speed.
        strategy: Devices that share each batch: ``"none"`` for one, ``"mirrored"`` for all of the
            machine, ``"mirrored:N"`` for N of them or, without GPUs, N parts of the CPU; ``"tpu"``;
            ``"multiworker"`` for the processes that ``TF_CONFIG`` names; ``"auto"`` for a TPU if
            there is one, else several GPUs, else one device.
        checkpoint_minutes: Time between two checkpoints inside an epoch, beside that after each
            epoch.
        tpu: Where the TPU is, for TensorFlow: ``"local"``, a name or an address; None looks.
    """

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    steps_per_call: int = 1
    deterministic: bool = False
    strategy: str = "auto"
    tpu: str | None = None
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a call without steps, and an unknown strategy."""
        at_least(1, steps_per_call=self.steps_per_call)
        at_least(0, checkpoint_minutes=self.checkpoint_minutes)
        if not re.fullmatch(r"auto|none|tpu|multiworker|mirrored(:[1-9]\d*)?", self.strategy):
            with within("strategy"):
                raise UserError(
                    f"strategy={self.strategy}: expected auto, none, mirrored, mirrored:N, "
                    "multiworker or tpu"
                )


@dataclass(frozen=True)
class ScoringSettings:
    """The gold-standard suite.

    Attributes:
        suite: Folder with the test table and its subsets; None scores simulated runs on the
            simulation's own suite and others not at all.
        part: Which part of the suite is scored; None is private, or all where nothing is public.
    """

    suite: str | None = None
    part: Literal["private", "public", "all"] | None = None


@dataclass(frozen=True)
class GameSettings:
    """What the tasks predict, in the words of the GAME protocol; see docs/serve.md.

    Attributes:
        species: Lower snake case, such as saccharomyces_cerevisiae; None is not served.
        cell_types: Of each task, in their order, or one for all.
        type: What is predicted, such as expression or accessibility.
        scale: Whether the labels are logarithms to the base 2.
        adapters: ``"LEFT,RIGHT"``: put on served sequences that lack them; None takes the
            processor's.
        authors: Of the run.
        publication: Of the run.
    """

    species: str | None = None
    cell_types: tuple[str, ...] = ()
    type: str = "expression"
    scale: Literal["log", "linear"] = "log"
    adapters: str | None = None
    authors: tuple[str, ...] = ()
    publication: str | None = None

    def __post_init__(self) -> None:
        """Refuse what the protocol does not know."""
        if self.species is not None and not re.fullmatch("[a-z]+(_[a-z0-9]+)+", self.species):
            with within("species"):
                raise UserError(
                    f"species={self.species}: expected lower snake case, such as homo_sapiens"
                )
        if self.species is not None and not self.cell_types:
            with within("cell_types"):
                raise UserError("species needs cell_types: one of each task, or one for all")
        if not re.fullmatch(GAME_TYPE, self.type):
            with within("type"):
                raise UserError(
                    f"type={self.type}: expected expression, accessibility, expression_mRNA, "
                    "binding_MOLECULE or another type of the protocol"
                )
        with within("adapters"):
            if self.adapters in (ADD, PRESENT):
                raise UserError(f"adapters={self.adapters}: expected LEFT,RIGHT")
            check_setting(self.adapters)

    def cell_type(self, task: int) -> str:
        """Return the cell type of a task, by its number."""
        return self.cell_types[0 if len(self.cell_types) == 1 else task]


def read_settings(kind: type[Settings], value: object, section: str) -> Settings:
    """Build one section's dataclass from a mapping, every name and type checked.

    Raises:
        UserError: If a name is unknown or a value of the wrong type.

    Examples:
        >>> read_settings(ScoringSettings, {"part": "public"}, "scoring")
        ScoringSettings(suite=None, part='public')
    """
    if value is None:
        return kind()
    if not isinstance(value, Mapping):
        raise UserError(f"{section}: expected a mapping, got {value!r}")
    types_of = typing.get_type_hints(kind)
    value = renamed(value, types_of)
    refuse_unknown(value, types_of, f"setting of {section}")
    return kind(**{name: checked(given, types_of[name], name) for name, given in value.items()})
