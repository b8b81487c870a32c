"""Simulate the whole experiment and write it as the official files."""

import dataclasses
import json
import logging
import operator
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.common.remote import CACHE_VARIABLE, cache
from dream_keras.data import alphabet, yeast
from dream_keras.data.alphabet import Tokens
from dream_keras.simulate import assay, scan
from dream_keras.simulate.expression import expression_and_sites
from dream_keras.simulate.motifs import MOTIFS
from dream_keras.simulate.suite_design import FEWEST_ROWS, design_suite
from dream_keras.simulate.suite_files import write_suite
from dream_keras.simulate.truth import FOLDER, ArrayWriter, array_path

log = logging.getLogger(__name__)

VERSION = 1
"""Raised whenever the same arguments give other files."""
MANIFEST = "simulation.json"
TRAIN_PER_VAL = 9
"""Training rows per validation row (official: 6,065,325 and 673,933)."""

_CHUNK = 16_384
LARGEST_SEED = 2**63 - 1
_TRAIN, _VAL, _TEST, _PLASMID, _SORTER = range(5)
"""Streams of random numbers, so that no part depends on the size of the others."""


def write_simulation(
    out: Path | str, train_rows: int, test_rows: int, seed: int, progress: bool = True
) -> Path:
    """Write a simulated experiment; ``dream_keras.simulate`` says what the arguments mean."""
    arguments = {
        "train_rows": integer("train_rows", train_rows, 1, 2**32 - 1),
        "test_rows": integer("test_rows", test_rows, FEWEST_ROWS, 2**32 - 1),
        "seed": integer("seed", seed, 0, LARGEST_SEED),
    }
    manifest = {"simulation": VERSION, **arguments}
    return write_once(out, manifest, lambda folder: _write_all(folder, manifest, progress))


def write_once(out: Path | str, manifest: dict[str, int], write: Callable[[Path], None]) -> Path:
    """Have a simulation's folder written, unless it is there; it appears only when complete.

    Args:
        out: The folder.
        manifest: What the files depend on; ``write`` puts it in them as ``MANIFEST``.
        write: Writes all files into an empty folder.

    Raises:
        UserError: If ``out`` holds something else or cannot be written.
    """
    out = Path(out)
    target = out.expanduser().resolve()
    partial = None
    try:
        if _is_there(target, manifest):
            log.info("%s holds this simulation already", out)
            return out
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: processes of several machines may share the cache.
        partial = Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{target.name}-", dir=target.parent))
        partial.chmod(0o755)
        write(partial)
        _put_in_place(partial, target, manifest)
    except OSError as error:
        in_cache = target.is_relative_to(cache().expanduser().resolve())
        remedy = f"set {CACHE_VARIABLE} to" if in_cache else "choose"
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}). Free some space, or {remedy} "
            "another folder."
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return out


def integer(name: str, value: int, least: int, most: int) -> int:
    """Return a whole number within its range, or refuse it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UserError(f"{name} must be a whole number, not {value!r}.") from None
    if not least <= number <= most:
        raise UserError(f"{name} = {number} is out of range: allowed are {least} to {most}.")
    return number


def _is_there(target: Path, manifest: dict[str, int]) -> bool:
    """Whether the target holds this simulation; an empty or missing folder does not.

    Raises:
        UserError: If it holds anything else.
    """
    if not target.exists():
        return False
    if not target.is_dir():
        raise UserError(f"{target} is a file. Name a folder that does not exist yet.")
    if not any(target.iterdir()):
        return False
    try:
        found = json.loads((target / MANIFEST).read_text())
    except (OSError, ValueError):
        found = None
    if found == manifest:
        return True
    what = "holds files that are not a simulation"
    if isinstance(found, dict):
        what = "holds another simulation (" + ", ".join(f"{k} {v}" for k, v in found.items()) + ")"
    raise UserError(f"{target} {what}. Name another folder, or remove this one.")


def _put_in_place(partial: Path, target: Path, manifest: dict[str, int]) -> None:
    try:
        partial.rename(target)  # An empty folder in its place is replaced.
    except OSError:
        if not _is_there(target, manifest):  # Another process may have been faster.
            raise


def _write_all(folder: Path, manifest: dict[str, int], progress: bool) -> None:
    seed, train = manifest["seed"], manifest["train_rows"]
    val = max(1, round(train / TRAIN_PER_VAL))
    (folder / FOLDER).mkdir()
    weights = assay.bin_weights(assay.generator(seed, _SORTER))
    with tqdm(
        total=train + val, unit="rows", unit_scale=True, delay=2, disable=None if progress else True
    ) as bar:
        _write_library(folder, "train", train, (seed, _TRAIN), weights, bar)
        _write_library(folder, "val", val, (seed, _VAL), weights, bar)
    _write_test(folder, manifest["test_rows"], seed)
    write_json(folder / "plasmid.json", _plasmid(assay.generator(seed, _PLASMID)))
    motifs = [
        {**dataclasses.asdict(motif), "matrix": motif.matrix.round(6).tolist()} for motif in MOTIFS
    ]
    write_json(folder / FOLDER / "motifs.json", motifs)
    write_json(folder / MANIFEST, manifest)


def write_json(path: Path, content: object) -> None:
    """Write something as JSON."""
    path.write_text(json.dumps(content, indent=1))


def _write_library(
    folder: Path,
    split: str,
    rows: int,
    stream: tuple[int, int],
    weights: npt.NDArray[np.float64],
    bar: tqdm,
) -> None:
    """Write ``train.txt`` or ``val.txt`` and its truth, a chunk at a time."""
    with (
        (folder / f"{split}.txt").open("w", newline="\n") as table,
        ArrayWriter(array_path(folder, split, "expression"), np.float32) as expressions,
        ArrayWriter(array_path(folder, split, "sites"), scan.SITE) as all_sites,
    ):
        for chunk, start in enumerate(range(0, rows, _CHUNK)):
            rng = assay.generator(*stream, chunk)
            tokens, lengths = assay.random_library(min(_CHUNK, rows - start), rng)
            expression, sites = _library_truth(tokens, lengths)
            labels = assay.sorted_labels(expression, weights, rng)
            texts, fill = alphabet.decode_rows(tokens), tokens.shape[1] - lengths
            table.write(
                "".join(
                    f"{text[skip:]}\t{label:.15g}\n"
                    for text, skip, label in zip(texts, fill.tolist(), labels.tolist(), strict=True)
                )
            )
            sites["row"] += start
            expressions.append(expression)
            all_sites.append(sites)
            bar.update(len(tokens))


def _library_truth(
    tokens: Tokens, lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.void]]:
    """Expression and sites of right-aligned rows; positions count in the rows as written.

    Nearly all rows are no longer than designed; only the others need the whole width.
    """
    width = tokens.shape[1]
    usual = assay.with_adapters(np.empty((0, yeast.INSERT_LENGTH), np.uint8)).shape[1]
    expression, found = np.empty(len(tokens)), []
    for rows, frame in (
        (np.flatnonzero(lengths <= usual), usual),
        (np.flatnonzero(lengths > usual), width),
    ):
        expression[rows], sites = expression_and_sites(tokens[rows, width - frame :])
        sites["row"] = rows[sites["row"]]
        sites["position"] -= (frame - lengths[sites["row"]]).astype(np.uint8)
        found.append(sites)
    joined = np.concatenate(found)
    return expression, joined[np.argsort(joined["row"], kind="stable")]


def _write_test(folder: Path, rows: int, seed: int) -> None:
    rng = assay.generator(seed, _TEST)
    suite = design_suite(rows, rng)
    expression, sites = expression_and_sites(assay.with_adapters(suite.inserts))
    write_suite(folder, suite, assay.deep_measurement(expression, rng), rng)
    with ArrayWriter(array_path(folder, "test", "expression"), np.float32) as file:
        file.append(expression)
    with ArrayWriter(array_path(folder, "test", "sites"), scan.SITE) as file:
        file.append(sites)


def _plasmid(rng: np.random.Generator) -> str:
    """A plasmid with the real flanks of the insert and random bases elsewhere."""
    before = yeast.LEFT_FLANK + yeast.LEFT_ADAPTER
    after = yeast.RIGHT_ADAPTER + yeast.RIGHT_FLANK
    upstream = yeast.INSERT_START - len(before)
    rest = yeast.PLASMID_LENGTH - yeast.INSERT_START - yeast.INSERT_LENGTH - len(after)
    adapters = (yeast.LEFT_ADAPTER, yeast.RIGHT_ADAPTER)
    while True:
        backbone = alphabet.decode(rng.integers(0, 4, upstream + rest, np.uint8))
        insert = "N" * yeast.INSERT_LENGTH
        plasmid = backbone[:upstream] + before + insert + after + backbone[upstream:]
        if all(plasmid.count(adapter) == 1 for adapter in adapters):
            return plasmid
