"""The design of the test suite: which sequences are in it, and which subsets they form.

Sizes follow the official suite (71,103 rows); a subset never has fewer than ``SMALLEST`` members,
half of them private, so that its correlation is meaningful in a small suite too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.yeast import INSERT_LENGTH, LEFT_ADAPTER
from dream_keras.simulate import designs
from dream_keras.simulate.assay import random_bases, with_adapters
from dream_keras.simulate.expression import motif_sites
from dream_keras.simulate.motifs import MOTIFS

Integers = npt.NDArray[np.int64]

OFFICIAL_ROWS = 71_103
OFFICIAL_SIZES = {
    **{"random": 6_349, "yeast": 964, "challenging": 1_981, "high": 968, "low": 997},
    **{"motif_perturbation": 3_527, "motif_tiling": 2_653, "SNVs": 44_340},
}
"""Members (pairs in the last three) of the official subsets."""
SMALLEST = 60
"""Fewest members of a subset; at least half of these are public and half private."""
FEWEST_ROWS = 600
"""Fewest rows of a test table: eight smallest subsets and the sequences that pairs refer to."""
PUBLIC_SHARE = 0.12
"""Share of each subset on the public leaderboard (official: 13 % of all positions)."""
SNV_SHARE = 0.85
"""Share of single-nucleotide mutants among the rows that no other subset claims; the rest are
half-evolved sequences, from which mutants are made (official: about the same)."""
SNV_IN_SITE = 0.5
"""Share of the single-base changes that are placed inside a motif site."""
PERTURBED_BACKGROUNDS, TILED_BACKGROUNDS = 10, 3
"""Random sequences into which motifs are put (official numbers)."""
TILED_MOTIFS = 5
"""Fewest motifs slid along each background (official: 6), unless every bp of a slide is used."""
PERTURBED_STARTS = (20, 48)
"""Position of a perturbed motif in the insert."""


@dataclass(frozen=True)
class Suite:
    """A test suite, its rows sorted by sequence as in the official table.

    Attributes:
        inserts: All rows, shape (rows, 80).
        tags: What each row is.
        singles: Positions of the members of each single subset, shape (members,).
        pairs: Positions of alternative and reference of each pair, shape (pairs, 2).
        public_singles: The public ones among ``singles``.
        public_pairs: The public ones among ``pairs``.
        public: Whether a position is on the public leaderboard, shape (rows,).
    """

    inserts: Tokens
    tags: list[str]
    singles: dict[str, Integers]
    pairs: dict[str, Integers]
    public_singles: dict[str, Integers]
    public_pairs: dict[str, Integers]
    public: npt.NDArray[np.bool_]


@dataclass
class _Draft:
    """The suite under construction: distinct inserts, numbered in the order they are added."""

    inserts: list[Tokens] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    numbers: dict[bytes, int] = field(default_factory=dict)

    def add(self, insert: Tokens, tag: str) -> tuple[int, bool]:
        """Return the number of an insert and whether it is new."""
        number = self.numbers.setdefault(insert.tobytes(), len(self.inserts))
        new = number == len(self.inserts)
        if new:
            self.inserts.append(insert)
            self.tags.append(tag)
        return number, new

    def add_all(self, inserts: Tokens, tags: list[str], limit: int | None = None) -> Integers:
        """Add the new ones among ``inserts`` until ``limit``; return their numbers."""
        numbers: list[int] = []
        for insert, tag in zip(inserts, tags, strict=True):
            if len(numbers) == limit:
                break
            number, new = self.add(insert, tag)
            if new:
                numbers.append(number)
        return np.array(numbers, np.int64)


def design_suite(rows: int, rng: np.random.Generator) -> Suite:
    """Design a test suite of exactly ``rows`` distinct sequences.

    Args:
        rows: Number of sequences, at least ``FEWEST_ROWS``.
        rng: Source of all choices.
    """
    sizes = {
        name: max(SMALLEST, round(rows * size / OFFICIAL_ROWS))
        for name, size in OFFICIAL_SIZES.items()
    }
    draft = _Draft()
    singles, half_evolved = _single_subsets(draft, sizes, rng)
    backgrounds = singles["random"][:PERTURBED_BACKGROUNDS]
    pairs = {
        "motif_perturbation": _perturbations(draft, backgrounds, sizes["motif_perturbation"], rng),
        "motif_tiling": _tilings(
            draft, backgrounds[:TILED_BACKGROUNDS], sizes["motif_tiling"], rng
        ),
    }
    left = rows - len(draft.inserts)
    parents = _half_evolved(draft, half_evolved, left - round(left * SNV_SHARE), rng)
    sources = np.concatenate([singles["random"], singles["yeast"], parents])
    pairs["SNVs"] = _snvs(draft, sources, rows - len(draft.inserts), rng)
    return _publish(draft, singles, pairs, parents, rng)


def _single_subsets(
    draft: _Draft, sizes: dict[str, int], rng: np.random.Generator
) -> tuple[dict[str, Integers], Tokens]:
    """Fill the five single subsets; also return the sequences halfway through evolution."""

    def add(inserts: Tokens, name: str) -> Integers:
        tags = [f"{name}{number}" for number in range(len(inserts))]
        return draft.add_all(inserts, tags, sizes.get(name))

    spare = 1.1
    singles = {
        "random": add(random_bases((int(sizes["random"] * spare), INSERT_LENGTH), rng), "random"),
        "yeast": add(designs.native_like(int(sizes["yeast"] * spare), rng), "yeast"),
    }
    hard, kinds = designs.challenging(int(sizes["challenging"] * spare), rng)
    tags = [f"{kind}{number}" for number, kind in enumerate(kinds)]
    singles["challenging"] = draft.add_all(hard, tags, sizes["challenging"])
    halfway = []
    for name, direction in (("high", 1), ("low", -1)):
        founders = random_bases((int(sizes[name] * spare), INSERT_LENGTH), rng)
        generations = designs.evolve(founders, direction, rng)
        singles[name] = add(generations[-1], name)
        halfway += [founders, *generations[:-1]]
    return singles, np.concatenate(halfway)


def _perturbations(
    draft: _Draft, backgrounds: Integers, count: int, rng: np.random.Generator
) -> Integers:
    """Insert, change and shuffle motifs at fixed places of a few backgrounds, (count, 2)."""
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count:
        background = backgrounds[len(pairs) % len(backgrounds)]
        motif = MOTIFS[rng.integers(len(MOTIFS))]
        strand, start = int(rng.choice([1, -1])), int(rng.choice(PERTURBED_STARTS))
        site, change = designs.instance(motif, rng), rng.integers(-1, 4)
        if change < 0:
            site, form = rng.permutation(site), "shuffled"
        else:
            columns = np.sort(rng.choice(motif.width, change, replace=False))
            site = designs.mutate(site, columns, rng)
            form = ".".join(f"{c}{alphabet.LETTERS[site[c]]}" for c in columns) or "intact"
        insert = draft.inserts[background].copy()
        designs.plant(insert, site, start, strand)
        name = motif.name + (".RC" if strand < 0 else "")
        number, new = draft.add(insert, f"{draft.tags[background]}_{name}_{form}_{start}")
        if new:
            pairs.append((number, int(background)))
    return np.array(pairs)


def _tilings(
    draft: _Draft, backgrounds: Integers, count: int, rng: np.random.Generator
) -> Integers:
    """Slide one instance of a motif along a background, then the next motif, (count, 2)."""
    pairs: list[tuple[int, int]] = []
    step = max(1, round(TILED_MOTIFS * TILED_BACKGROUNDS * INSERT_LENGTH / count))
    for background, insert, tag in _slides(draft, backgrounds, step, rng):
        if len(pairs) == count:
            break
        number, new = draft.add(insert, tag)
        if new:
            pairs.append((number, background))
    return np.array(pairs)


def _slides(
    draft: _Draft, backgrounds: Integers, step: int, rng: np.random.Generator
) -> Iterator[tuple[int, Tokens, str]]:
    """Yield background, changed insert and tag, every ``step`` bp, one motif after the other."""
    while True:
        for motif_number in rng.permutation(len(MOTIFS)):
            motif, strand = MOTIFS[motif_number], int(rng.choice([1, -1]))
            site = designs.instance(motif, rng)
            name = motif.name + (".RC" if strand < 0 else "")
            for background in map(int, backgrounds):
                for start in range(0, INSERT_LENGTH - motif.width + 1, step):
                    insert = draft.inserts[background].copy()
                    designs.plant(insert, site, start, strand)
                    yield background, insert, f"{draft.tags[background]}_{name}_{start}"


def _half_evolved(
    draft: _Draft, candidates: Tokens, count: int, rng: np.random.Generator
) -> Integers:
    order = rng.permutation(len(candidates))
    return draft.add_all(candidates[order], [f"evolving{number}" for number in order], count)


def _snvs(draft: _Draft, sources: Integers, count: int, rng: np.random.Generator) -> Integers:
    """Change one base of sequences that are in the suite, (count, 2)."""
    inserts = np.stack([draft.inserts[number] for number in sources])
    sites = motif_sites(with_adapters(inserts))
    bounds = np.searchsorted(sites["row"], [np.arange(len(sources)), np.arange(len(sources)) + 1])
    pairs: list[tuple[int, int]] = []
    while len(pairs) < count:
        row = rng.integers(len(sources))
        place = int(rng.integers(INSERT_LENGTH))
        first, last = bounds[:, row]
        if last > first and rng.random() < SNV_IN_SITE:
            site = sites[rng.integers(first, last)]
            offset = rng.integers(MOTIFS[site["motif"]].width)
            place = int(site["position"]) + int(offset) - len(LEFT_ADAPTER)
        if not 0 <= place < INSERT_LENGTH:
            continue  # That base of the site belongs to an adapter.
        mutant = designs.mutate(inserts[row], place, rng)
        source = int(sources[row])
        tag = f"{draft.tags[source]}_{place}{alphabet.LETTERS[mutant[place]]}"
        number, new = draft.add(mutant, tag)
        if new:
            pairs.append((number, source))
    return np.array(pairs)


def _publish(
    draft: _Draft,
    singles: dict[str, Integers],
    pairs: dict[str, Integers],
    parents: Integers,
    rng: np.random.Generator,
) -> Suite:
    """Choose the public part and number the rows by the order of their sequences.

    A pair can be public only if its reference is, and all public pairs put both members into the
    public part, so the lists of single subsets are their members there, as in the official files.
    """
    public = np.zeros(len(draft.inserts), bool)
    for name in ("motif_perturbation", "motif_tiling"):
        public[pairs[name][:, 1]] = True
    for members in (*singles.values(), parents):
        hidden = rng.permutation(members[~public[members]])
        missing = _public_count(len(members)) - (len(members) - len(hidden))
        public[hidden[: max(missing, 0)]] = True
    chosen = {}
    for name, both in pairs.items():
        allowed = rng.permutation(np.flatnonzero(public[both[:, 1]]))
        chosen[name] = np.sort(allowed[: _public_count(len(both))])
    for name, rows in chosen.items():
        public[pairs[name][rows]] = True
    inserts = np.stack(draft.inserts)
    order = np.lexsort(inserts.T[::-1])
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return Suite(
        inserts=inserts[order],
        tags=[draft.tags[number] for number in order],
        singles={name: np.sort(position[members]) for name, members in singles.items()},
        pairs={name: position[both] for name, both in pairs.items()},
        public_singles={
            name: np.sort(position[members[public[members]]]) for name, members in singles.items()
        },
        public_pairs={name: position[pairs[name][rows]] for name, rows in chosen.items()},
        public=public[order],
    )


def _public_count(members: int) -> int:
    return max(SMALLEST // 2, round(members * PUBLIC_SHARE))
