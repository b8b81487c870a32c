"""Motifs: as IUPAC letters, or as matrices in files of MEME's motif format, as JASPAR writes them.

Format: "MEME Motif Format" in the documentation of the MEME suite.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, unknown
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.text import open_text
from dream_keras.hub.catalogue import find
from dream_keras.simulate.motifs import IUPAC

Floats = npt.NDArray[np.float64]

TOLERANCE = 0.01
"""How far the probabilities of a column may be from a sum of 1, as files round them."""
MATRIX = "letter-probability matrix:"
ROW = "expected the probabilities of A, C, G and T"


@dataclass(frozen=True, eq=False)
class Motif:
    """A motif.

    Attributes:
        name: Its name.
        matrix: Probabilities of A, C, G and T, (width, 4).
    """

    name: str
    matrix: Floats

    @property
    def width(self) -> int:
        """Its length in bp."""
        return len(self.matrix)

    def draw(self, count: int, random: np.random.Generator) -> Tokens:
        """Draw sites from the probabilities, (count, width).

        Examples:
            >>> sites = letters_motif("WGG").draw(4, np.random.default_rng(1))
            >>> alphabet.decode_rows(sites)
            ['TGG', 'TGG', 'TGG', 'AGG']
        """
        edges = np.cumsum(self.matrix, axis=1)
        edges /= edges[:, -1:]
        drawn = random.random((count, self.width, 1))
        return (drawn >= edges[:, :-1]).sum(axis=2).astype(np.uint8)

    def most_probable(self) -> "Motif":
        """Return the motif with the most probable base alone in each column; of several the first.

        Examples:
            >>> Motif("a", np.array([[0.1, 0.2, 0.3, 0.4]])).most_probable().matrix.tolist()
            [[0.0, 0.0, 0.0, 1.0]]
        """
        return replace(self, matrix=np.eye(4)[self.matrix.argmax(axis=1)])


def letters_motif(letters: str, name: str | None = None) -> Motif:
    """Return a motif of IUPAC letters, of whose bases each has the same probability.

    Args:
        letters: Such as ``"TGASTCA"``.
        name: Its name; None takes the letters.

    Raises:
        UserError: If a letter is none of IUPAC's, or there are none.

    Examples:
        >>> letters_motif("CS").matrix.tolist()
        [[0.0, 1.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]]
    """
    if not re.fullmatch(f"[{''.join(IUPAC)}]+", letters.upper()):
        raise UserError(f'motif "{letters}": expected bases or IUPAC letters: {", ".join(IUPAC)}')
    allowed = (alphabet.encode(IUPAC[letter]) for letter in letters.upper())
    matrix = [np.isin(range(4), bases) / len(bases) for bases in allowed]
    return Motif(letters.upper() if name is None else name, np.array(matrix))


def read_motifs(given: Iterable[str | Path], consensus: bool = False) -> list[Motif]:
    """Return motifs as they are named on the command line.

    Args:
        given: Each IUPAC letters, ``NAME=LETTERS``, a file in MEME format or a name of the
            catalogue, or ``FILE:NAME`` for one motif of it.
        consensus: Take the most probable bases of the matrices of files.

    Raises:
        UserError: If one is none of these, if two have the same name, or there are none.

    Examples:
        >>> [(motif.name, motif.width) for motif in read_motifs(["TGASTCA", "Reb1=YYACCCGG"])]
        [('TGASTCA', 7), ('Reb1', 8)]
    """
    found: list[Motif] = []
    for each in given:
        name, equals, letters = str(each).rpartition("=")
        file, colon, one = str(each).rpartition(":")
        matrices: Sequence[Motif] = ()
        if _is_file(each):
            matrices = read_meme(each)
        elif colon and _is_file(file):
            matrices = [_named(file, one)]
        elif isinstance(each, Path) or (not equals and re.search(r"[/\\.:]", str(each))):
            raise UserError(f"no file {each}")
        elif equals and not name.strip():
            raise UserError(f"motif {each}: expected NAME=LETTERS")
        else:
            found.append(letters_motif(letters.strip(), name.strip() or None))
        found += [motif.most_probable() for motif in matrices] if consensus else matrices
    if not found:
        raise UserError("no motif: give letters, NAME=LETTERS or a file in MEME format")
    names = [motif.name for motif in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'two motifs are called "{name}": give them other names')
    return found


def _is_file(path: str | Path) -> bool:
    return Path(path).is_file() or find(path) is not None


def read_meme(path: str | Path) -> list[Motif]:
    """Read the motifs of a file in MEME format: names and letter-probability matrices.

    A motif is called by its identifier and its other name, if it has one.

    Raises:
        UserError: If the file is none, or holds other letters than A, C, G and T or a column whose
            probabilities do not sum to 1.
    """
    with open_text(path) as file:
        lines = [line.decode("utf-8", "replace").strip() for line in file]
    first = next((at for at, line in enumerate(lines) if line), 0)
    if not lines[first].startswith("MEME version"):
        raise UserError(f'{path}:{first + 1}: expected "MEME version", as a file in MEME format')
    starts = [at for at, line in enumerate(lines) if line.split()[:1] == ["MOTIF"]]
    for at, line in enumerate(lines[: min(starts, default=None)]):
        if line.startswith("ALPHABET") and not re.fullmatch(r"ALPHABET\s*=\s*ACGT", line):
            raise UserError(f"{path}:{at + 1}: {line[:40]}: expected ALPHABET= ACGT")
    if not starts:
        raise UserError(f"{path}: no motif in it, which would begin with MOTIF and its name")
    ends = [*starts[1:], len(lines)]
    return [_motif(path, lines, at, end) for at, end in zip(starts, ends, strict=True)]


def _named(path: str, name: str) -> Motif:
    """Return the motif of a file that has a name: the identifier, the other one, or both."""
    motifs = read_meme(path)
    fitting = [motif for motif in motifs if name in (motif.name, *motif.name.split(" "))]
    if not fitting:
        words = {word for motif in motifs for word in motif.name.split(" ")}
        raise unknown(f"motif of {path}", name, words)
    if len(fitting) > 1:
        names = ", ".join(motif.name for motif in fitting)
        raise UserError(f"{path}: several motifs are called {name}: {names}")
    return fitting[0]


def _motif(path: str | Path, lines: Sequence[str], start: int, end: int) -> Motif:
    """Read the motif whose lines are ``start`` to ``end``, from 0, the last not included."""
    words = lines[start].split()[1:3]
    if not words:
        raise UserError(f"{path}:{start + 1}: a motif without a name")
    inside = range(start + 1, end)
    head = next((at for at in inside if lines[at].startswith(MATRIX)), None)
    if head is None:
        raise UserError(f'{path}:{start + 1}: motif {words[0]} has no "{MATRIX}"')
    settings = dict(re.findall(r"(\w+)\s*=\s*(\S+)", lines[head]))
    if settings.get("alength", "4") != "4":
        raise UserError(f"{path}:{head + 1}: alength= {settings['alength']}: expected 4 letters")
    rows: list[list[float]] = []
    behind = head + 1
    while behind < end and re.match(r"[-+]?\.?[0-9]", lines[behind]):
        rows.append(_row(f"{path}:{behind + 1}", lines[behind]))
        behind += 1
    wanted = settings.get("w", str(len(rows)))
    if not rows or wanted != str(len(rows)):
        raise UserError(
            f"{path}:{behind + (behind < end)}: motif {words[0]} has {len(rows)} rows"
            + (f" of w= {wanted}" if "w" in settings else "")
            + f"; {ROW} in each"
        )
    matrix = np.array(rows)
    return Motif(" ".join(words), matrix / matrix.sum(axis=1, keepdims=True))


def _row(where: str, line: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != 4 or not all(0 <= value <= 1 for value in values):
        raise UserError(f'{where}: "{line[:40]}": {ROW}')
    if abs(sum(values) - 1) > TOLERANCE:
        raise UserError(f"{where}: the probabilities sum to {sum(values):.4g} instead of 1")
    return values
