"""One Keras model from sequences to expression: what ``export`` writes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import keras
import numpy as np
from keras import ops

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.lookup import TOKENS, Lookup, encode_whole, look_up, sequence_lengths
from dream_keras.model.network import Network
from dream_keras.model.portable import portable
from dream_keras.runs.prediction import Floats, predict_rows
from dream_keras.runs.run import Run
from dream_keras.runtime.steps import Steps

Takes = Literal["tokens", "one_hot"]
LETTERS = len(alphabet.LETTERS)
AGREEMENT = 1e-3
"""Largest difference between a model and its run, as a part of the largest prediction. Rounding,
also that of a GPU's short floats, is far below it, and a wrong base at some position far above."""
CHECKED = 32
"""Sequences that a model is checked with."""


def exported_model(run: Run, takes: Takes = "tokens", unrolled: bool = False) -> keras.Model:
    """Build a run's model: flanks, strands, network, average and the labels' units in one.

    It takes the sequences that ``run.predict`` takes, filled up behind their end: tokens A 0, C 1,
    G 2, T 3, N 4, and any other behind the end; or one-hot channels A, C, G, T, of which N and what
    is behind the end have none, so that a sequence cannot end with N. A sequence that is too short
    gets NaN. It computes in float32 whatever the precision of the run.

    Args:
        run: The run; of an ensemble it is the mean of its members.
        takes: ``"tokens"``, (batch, longest), uint8, or ``"one_hot"``, (batch, longest, 4),
            float32.
        unrolled: As for ``portable``.

    Returns:
        A model to the predicted values, (batch, tasks), float32.

    Raises:
        UserError: If the processor cannot be exported, or the model does not predict what the run
            does.
    """
    members = [_Member(member) for member in run.members]
    shortest = max(member.lengths[0] for member in members)
    longest = min(member.lengths[1] for member in members)
    if takes == "tokens":
        inputs = keras.Input((longest,), dtype="uint8", name="tokens")
        tokens = ops.cast(inputs, "int32")
    else:
        inputs = keras.Input((longest, alphabet.N), name="one_hot")
        tokens = _tokens_of(inputs)
    lengths = ops.sum(ops.cast(tokens < LETTERS, "int32"), axis=1)
    values = [
        member.values(tokens, lengths, f"run{n}_", unrolled) for n, member in enumerate(members, 1)
    ]
    mean = sum(values[1:], values[0]) / len(values)
    is_long_enough = ops.expand_dims(lengths, -1) >= shortest
    model = keras.Model(inputs, ops.where(is_long_enough, mean, float("nan")), name="expression")
    _check(model, members, shortest, longest)
    return model


def _tokens_of(one_hot: keras.KerasTensor) -> keras.KerasTensor:
    """Turn one-hot channels into tokens, ``alphabet.END`` behind the last base."""
    is_base = ops.max(one_hot, axis=-1) > 0
    bases_from_here = ops.flip(ops.cumsum(ops.flip(ops.cast(is_base, "int32"), 1), axis=1), 1)
    tokens = ops.where(is_base, ops.cast(ops.argmax(one_hot, axis=-1), "int32"), alphabet.N)
    return ops.where(bases_from_here > 0, tokens, alphabet.END)


@dataclass(frozen=True)
class _Member:
    """One of the runs whose predictions are averaged."""

    run: Run

    @cached_property
    def lengths(self) -> tuple[int, int]:
        """The shortest and the longest sequence, bp."""
        return sequence_lengths(self.run.processor, self.adapters)

    @property
    def adapters(self) -> str | None:
        """The setting ``data.adapters``."""
        return self.run.experiment.data.reading().adapters

    @cached_property
    def steps(self) -> Steps:
        """Prediction with the network in float32."""
        network: Network = self.run.untrained_network("float32")
        network.set_weights(self.run.network.get_weights())
        return Steps(network, self.run.processor)

    def values(
        self, tokens: keras.KerasTensor, lengths: keras.KerasTensor, prefix: str, unrolled: bool
    ) -> keras.KerasTensor:
        """Return the predicted values, (batch, tasks), in the units of the labels.

        Args:
            tokens: (batch, longest), int32.
            lengths: (batch,), int32.
            prefix: Of its layers' names.
            unrolled: As for ``portable``.
        """
        longest = tokens.shape[1]
        tables: Lookup = look_up(self.run.processor, self.adapters, longest)
        reads, positions = tables.places.shape[1:]
        places = _table(tables.places.reshape(longest + 1, -1), f"{prefix}places")(lengths)
        complements = ops.where(tokens < alphabet.N, alphabet.T - tokens, tokens)
        constants = ops.zeros_like(tokens[:, :1]) + np.arange(TOKENS, dtype=np.int32)
        given = ops.concatenate([tokens, complements, constants], axis=1)
        encoded = ops.take_along_axis(given, ops.cast(places, "int32"), axis=1)
        first_rows = TOKENS * np.arange(reads * positions, dtype=np.int32)
        channels = tables.channels.reshape(-1, tables.channels.shape[-1])
        # Keras adds a vector as a bias, which LiteRT has for floats only.
        channels = _table(channels, f"{prefix}channels")(encoded - -first_rows)
        channels = ops.reshape(channels, (-1, positions, channels.shape[-1]))
        values = portable(self.steps.network, f"{prefix}network", unrolled)(channels)
        mean = ops.mean(ops.reshape(values, (-1, reads, values.shape[-1])), axis=1)
        return self.run.processor.in_label_units(mean, self.steps.target_type)

    def predict(self, tokens: alphabet.Tokens, lengths: np.ndarray) -> Floats:
        """Predict sequences as the run does, (rows, tasks)."""
        encoded = encode_whole(self.run.processor, self.adapters, tokens, lengths)
        return predict_rows(self.steps, encoded)


def _table(rows: np.ndarray, name: str) -> keras.layers.Embedding:
    """Return a layer that looks rows up; a float32 holds whole numbers up to 2 ** 24 exactly."""
    layer = keras.layers.Embedding(*rows.shape, trainable=False, dtype="float32", name=name)
    layer.build()
    layer.set_weights([rows])
    return layer


def _check(model: keras.Model, members: list[_Member], shortest: int, longest: int) -> None:
    """Compare a model with the runs' own predictions of random sequences of all lengths."""
    random = np.random.default_rng(0)
    lengths = np.linspace(shortest, longest, CHECKED).astype(np.int32)
    tokens = random.integers(0, LETTERS, (CHECKED, longest)).astype(np.uint8)
    tokens[np.arange(longest) >= lengths[:, None]] = alphabet.END
    tokens[np.arange(CHECKED), lengths - 1] = alphabet.A  # one-hot, an N there would be no end
    wanted = np.mean([member.predict(tokens, lengths) for member in members], axis=0)
    one_hot = model.inputs[0].name == "one_hot"
    inputs = np.eye(TOKENS, alphabet.N, dtype=np.float32)[tokens] if one_hot else tokens
    difference = np.abs(ops.convert_to_numpy(model(inputs)) - wanted).max()
    if not difference <= AGREEMENT * np.abs(wanted).max():
        raise UserError(
            f"{members[0].run.experiment.model.processor.name} cannot be exported: the model "
            f"differs from the run by up to {difference:.2g}. A processor may choose bases only by "
            "their positions, and bring predictions to the labels' units in in_label_units."
        )
