"""Ways to design inserts: planted motifs, native-like arrays, hard cases, directed evolution.

All functions take and return inserts as tokens, shape (rows, length), without the adapters.
"""

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.yeast import INSERT_LENGTH
from dream_keras.simulate.assay import random_bases, with_adapters
from dream_keras.simulate.expression import noise_free_expression
from dream_keras.simulate.motifs import IUPAC, MOTIF_NUMBER, MOTIFS, Motif

NATIVE_SHARES = (0.323, 0.186, 0.186, 0.305)
"""Shares of A, C, G, T in native yeast promoters (the challenge's native test sequences)."""
ACTIVATORS = tuple(motif for motif in MOTIFS if motif.effect >= 1)
REPRESSORS = tuple(motif for motif in MOTIFS if motif.effect < 0)

EVOLUTION_ROUNDS = 5
"""Rounds of mutation and selection of the high and low sequences."""
EVOLUTION_MUTANTS = 20
"""Single-base mutants tried for each sequence in a round."""


def instance(motif: Motif, rng: np.random.Generator) -> Tokens:
    """Draw one sequence that fits the consensus in every column, shape (width,).

    Examples:
        >>> random = np.random.default_rng(0)
        >>> alphabet.decode(instance(MOTIFS[MOTIF_NUMBER["poly-dA"]], random))
        'AAAAAAAA'
    """
    letters = [IUPAC[letter.upper()] for letter in motif.consensus]
    return alphabet.encode("".join(rng.choice(list(letter)) for letter in letters))


def mutate(site: Tokens, columns: npt.ArrayLike, rng: np.random.Generator) -> Tokens:
    """Replace the bases at ``columns`` by other ones, drawn at random.

    Examples:
        >>> site = alphabet.encode("TTCCAGAA")
        >>> changed = mutate(site, [0, 3], np.random.default_rng(0))
        >>> (changed != site).tolist()
        [True, False, False, True, False, False, False, False]
    """
    mutated = site.copy()
    columns = np.asarray(columns)
    mutated[columns] = (mutated[columns] + rng.integers(1, 4, columns.shape)) % 4
    return mutated


def plant(insert: Tokens, site: Tokens, start: int, strand: int = 1) -> None:
    """Write a site into one insert, in place; ``strand`` -1 writes its reverse complement.

    Examples:
        >>> insert = alphabet.encode("AAAAAA")
        >>> plant(insert, alphabet.encode("CCG"), start=1, strand=-1)
        >>> alphabet.decode(insert)
        'ACGGAA'
    """
    oriented = site if strand > 0 else alphabet.reverse_complement(site)
    insert[start : start + len(site)] = oriented


def native_like(rows: int, rng: np.random.Generator) -> Tokens:
    """Imitate native promoters: AT-rich, with poly-dA:dT tracts, a TATA box, an array of sites."""
    inserts = rng.choice(4, (rows, INSERT_LENGTH), p=NATIVE_SHARES).astype(np.uint8)
    for insert in inserts:
        for _ in range(rng.integers(0, 2)):
            tract = np.full(rng.integers(8, 19), rng.choice([alphabet.A, alphabet.T]), np.uint8)
            _plant_anywhere(insert, tract, rng)
        for _ in range(rng.integers(0, 3)):
            motif = _one_of(REPRESSORS if rng.random() < 0.5 else MOTIFS, rng)
            columns = rng.choice(motif.width, rng.integers(0, 2), replace=False)
            _plant_anywhere(insert, mutate(instance(motif, rng), columns, rng), rng)
        if rng.random() < 0.4:
            _plant_anywhere(insert, instance(MOTIFS[MOTIF_NUMBER["TATA"]], rng), rng, strand=1)
    return inserts


def challenging(rows: int, rng: np.random.Generator) -> tuple[Tokens, list[str]]:
    """Design sequences that stress a model, in turn of four kinds.

    ``saturated``: two or three sites of activators and a TATA box, so that more changes little;
    ``overlapping``: pairs of an activator and a repressor that share bases;
    ``weak``: ten sites with one or two mismatches and none without;
    ``tug_of_war``: three activators against three repressors.

    Returns:
        Inserts, shape (rows, 80), and the kind of each.
    """
    kinds = (_saturated, _overlapping, _weak, _tug_of_war)
    inserts = random_bases((rows, INSERT_LENGTH), rng)
    for row, insert in enumerate(inserts):
        kinds[row % len(kinds)](insert, rng)
    return inserts, [kinds[row % len(kinds)].__name__.lstrip("_") for row in range(rows)]


def _saturated(insert: Tokens, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(2, 4)):
        _plant_anywhere(insert, instance(_one_of(ACTIVATORS, rng), rng), rng)
    _plant_anywhere(insert, instance(MOTIFS[MOTIF_NUMBER["TATA"]], rng), rng, strand=1)


def _overlapping(insert: Tokens, rng: np.random.Generator) -> None:
    for start in (5, 32, 59):
        pair = [instance(_one_of(ACTIVATORS, rng), rng), instance(_one_of(REPRESSORS, rng), rng)]
        if rng.random() < 0.5:
            pair.reverse()
        plant(insert, pair[0], start, _any_strand(rng))
        # The second site takes the last bases of the first one.
        plant(insert, pair[1], start + 5, _any_strand(rng))


def _weak(insert: Tokens, rng: np.random.Generator) -> None:
    for _ in range(10):
        site = instance(_one_of(MOTIFS, rng), rng)
        columns = rng.choice(len(site), rng.integers(1, 3), replace=False)
        _plant_anywhere(insert, mutate(site, columns, rng), rng)


def _tug_of_war(insert: Tokens, rng: np.random.Generator) -> None:
    for slot, side in enumerate([ACTIVATORS, REPRESSORS] * 3):
        plant(insert, instance(_one_of(side, rng), rng), slot * 13, _any_strand(rng))


def _one_of(motifs: tuple[Motif, ...], rng: np.random.Generator) -> Motif:
    return motifs[rng.integers(len(motifs))]


def _any_strand(rng: np.random.Generator) -> int:
    return int(rng.choice([1, -1]))


def _plant_anywhere(
    insert: Tokens, site: Tokens, rng: np.random.Generator, strand: int | None = None
) -> None:
    start = int(rng.integers(0, len(insert) - len(site) + 1))
    plant(insert, site, start, _any_strand(rng) if strand is None else strand)


def evolve(inserts: Tokens, direction: int, rng: np.random.Generator) -> list[Tokens]:
    """Increase (+1) or decrease (-1) the noise-free expression by single-base changes.

    Args:
        inserts: Where to start, shape (rows, 80).
        direction: +1 for higher expression, -1 for lower.
        rng: Source of the mutations.

    Returns:
        The inserts after each round, each of shape (rows, 80); the last are the most evolved.
    """
    rows = len(inserts)
    current = inserts
    score = direction * noise_free_expression(with_adapters(current))
    generations = []
    for _ in range(EVOLUTION_ROUNDS):
        mutants = np.repeat(current, EVOLUTION_MUTANTS, axis=0)
        places = rng.integers(0, mutants.shape[1], len(mutants))
        each = np.arange(len(mutants))
        mutants[each, places] = (mutants[each, places] + rng.integers(1, 4, len(mutants))) % 4
        values = direction * noise_free_expression(with_adapters(mutants))
        values = values.reshape(rows, EVOLUTION_MUTANTS)
        best = values.argmax(axis=1)
        better = values[np.arange(rows), best] > score
        chosen = mutants.reshape(rows, EVOLUTION_MUTANTS, -1)[np.arange(rows), best]
        current = np.where(better[:, None], chosen, current)
        score = np.where(better, values[np.arange(rows), best], score)
        generations.append(current)
    return generations
