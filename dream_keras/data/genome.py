"""A genome in a FASTA file, read by position."""

import re
from pathlib import Path

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.hub.paths import local_copy

_OTHERS = re.compile("[^ACGT]")
BLOCK = 2048
"""Bases read at a time: neighbouring windows then cost the file one access."""


class Genome:
    r"""Chromosomes by name; ``1`` is found as ``chr1`` and the other way round.

    Args:
        path: FASTA, plain or bgzipped, or a name of the catalogue. An index is written beside it
            unless there is one.

    Raises:
        UserError: If the file, or pyfaidx, is missing.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "two.fa").write_text(">chr1\nACGTTT\n")
        ...     genome = Genome(Path(folder, "two.fa"))
        ...     genome.find("1"), genome.length("chr1"), genome.fetch("chr1", 1, 4)
        ('chr1', 6, 'CGT')
    """

    def __init__(self, path: str | Path):
        try:
            import pyfaidx
        except ImportError:
            raise UserError('a genome needs pyfaidx: pip install "dream-keras[genome]"') from None
        path = local_copy(path)
        if not path.is_file():
            raise UserError(f"no file {path}")
        try:
            self._fasta = pyfaidx.Fasta(str(path), as_raw=True, sequence_always_upper=True)
        except ImportError as error:  # pyfaidx reads bgzip with Biopython
            raise UserError(f"{path} is compressed: {reason(error)}") from error
        except (OSError, ValueError, pyfaidx.FastaIndexingError) as error:
            raise UserError(f"{path}: not a readable FASTA file: {reason(error)}") from error
        self.path = path
        self._lengths = {record.name: len(record) for record in self._fasta}
        self._block = ("", 0, "")

    @property
    def chroms(self) -> list[str]:
        """Names of the chromosomes, as in the file."""
        return list(self._lengths)

    def find(self, chrom: str) -> str | None:
        """Return the name that a chromosome has in the file; None if it is not there."""
        other = chrom.removeprefix("chr") if chrom.startswith("chr") else f"chr{chrom}"
        return next((name for name in (chrom, other) if name in self._lengths), None)

    def length(self, chrom: str) -> int:
        """Return the length of a chromosome in bp; its name as in the file."""
        return self._lengths[chrom]

    def tokens(self, chrom: str) -> Tokens:
        """Return a whole chromosome, (length,); its name as in the file, other letters as N."""
        tokens = alphabet.encode(str(self._fasta[chrom][:]))
        tokens[tokens == alphabet.INVALID] = alphabet.N
        return tokens

    def fetch(self, chrom: str, start: int, end: int) -> str:
        """Return bases ``start`` to ``end``, counted from 0, the last not included.

        In capitals; letters other than A, C, G and T are N.
        """
        end = min(end, self._lengths[chrom])  # pyfaidx refuses more where the file is bgzipped
        name, first, bases = self._block
        if name != chrom or not first <= start <= end <= first + len(bases):
            first = max(start - BLOCK // 4, 0)
            behind = min(max(end, first + BLOCK), self._lengths[chrom])
            bases = _OTHERS.sub("N", str(self._fasta[chrom][first:behind]))
            self._block = (chrom, first, bases)
        return bases[start - first : end - first]
