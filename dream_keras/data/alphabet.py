"""DNA as uint8 tokens: A 0, C 1, G 2, T 3, N 4.

This is the one place that knows letters. Everything behind the readers works on tokens; what a
model's input channels are called and how they are ordered is the processor's business.
"""

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.uint8]

LETTERS = "ACGTN"
A, C, G, T, N = range(5)
MASK = 5
"""Token of a hidden base (masked-nucleotide training); never found in files."""
END = 6
"""Fills a row after the end of its sequence, for processors that need its length."""
MASKED = 8
"""Added to a token whose base is masked in training and has to be predicted."""
INVALID = 255
"""Token of a byte that is not a letter of the alphabet."""

COMPLEMENT: Tokens = np.array([T, G, C, A, N, MASK, END], np.uint8)
"""Complement of each token: A-T, C-G; N, the mask and the end stay."""

TOKEN_OF_BYTE: Tokens = np.full(256, INVALID, np.uint8)
"""Token of each ASCII byte, upper or lower case."""
for _token, _letter in enumerate(LETTERS):
    TOKEN_OF_BYTE[ord(_letter)] = TOKEN_OF_BYTE[ord(_letter.lower())] = _token

_COMPLEMENT_OF_LETTER = str.maketrans("ACGTN", "TGCAN")
_BYTE_OF_TOKEN = np.frombuffer(LETTERS.encode(), np.uint8)


def encode(sequence: str | bytes) -> Tokens:
    """Translate one sequence to tokens, shape (length,); unknown letters become ``INVALID``.

    Examples:
        >>> encode("ACGTn").tolist()
        [0, 1, 2, 3, 4]
        >>> encode("AXC").tolist()
        [0, 255, 1]
    """
    data = sequence.encode("latin-1", "replace") if isinstance(sequence, str) else sequence
    return TOKEN_OF_BYTE[np.frombuffer(data, np.uint8)]


def decode(tokens: Tokens) -> str:
    """Translate the tokens of one sequence, shape (length,), back to letters.

    Examples:
        >>> decode(np.array([0, 1, 2, 3, 4], np.uint8))
        'ACGTN'
    """
    return _BYTE_OF_TOKEN[tokens].tobytes().decode()


def decode_rows(tokens: Tokens) -> list[str]:
    """Translate equally long sequences, shape (rows, length), back to letters.

    Examples:
        >>> decode_rows(np.array([[0, 1], [2, 3]], np.uint8))
        ['AC', 'GT']
    """
    width = tokens.shape[1]
    text = _BYTE_OF_TOKEN[tokens].tobytes().decode()
    return [text[start : start + width] for start in range(0, len(text), width)]


def reverse_complement(tokens: Tokens) -> Tokens:
    """Return the other strand, read 5' to 3'; the last axis is the position.

    Examples:
        >>> decode(reverse_complement(encode("AACGN")))
        'NCGTT'
    """
    return COMPLEMENT.take(tokens)[..., ::-1]


def reverse_complement_text(sequence: str) -> str:
    """Return the other strand of a sequence in capitals, as text.

    Examples:
        >>> reverse_complement_text("AACGN")
        'NCGTT'
    """
    return sequence.translate(_COMPLEMENT_OF_LETTER)[::-1]
