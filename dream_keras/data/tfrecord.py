"""TFRecord framing without TensorFlow: length, its checksum, payload, its checksum.

The checksums are CRC-32C. TensorBoard has a writer too, but its checksum runs byte by byte in
Python, at about 5 MB/s; here all parts of a payload run side by side in numpy.
"""

import struct
from functools import lru_cache

import numpy as np
import numpy.typing as npt

HEADER, FOOTER = 12, 4
"""Bytes before and after a payload."""
_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bits reversed (RFC 3720, section 12.1)."""
_MASK = 0xA282EAD8
"""Added to rotated checksums (TensorFlow, tsl/lib/hash/crc32c.h)."""

Words = npt.NDArray[np.uint32]


def frame(payload: bytes) -> bytes:
    """Return one record around a payload of at least 4 bytes."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc32c(length)),
            payload,
            struct.pack("<I", masked_crc32c(payload)),
        )
    )


def masked_crc32c(data: bytes) -> int:
    """Return the checksum as TFRecord files hold it."""
    checksum = crc32c(data)
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return (rotated + _MASK) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of at least 4 bytes.

    The data are cut into equal lanes that advance together; neighbours are then joined two by
    two: crc(a + b) is crc(b) and crc(a) moved on by as many zero bytes as b has.
    """
    lanes = 2 << len(data).bit_length() // 2
    width = -(-len(data) // lanes)
    padded = np.zeros(lanes * width, np.uint8)  # zeros in front change nothing
    start = len(padded) - len(data)
    padded[start:] = np.frombuffer(data, np.uint8)
    padded[start : start + 4] ^= 0xFF  # stands for the initial value of all ones
    state = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, width).T):
        state = _TABLE[(state ^ column) & 0xFF] ^ state >> 8
    move = _zeros(width)
    while len(state) > 1:
        state = _apply(move, state[::2]) ^ state[1::2]
        move = _apply(move, move)
    return int(state[0]) ^ 0xFFFFFFFF


def _table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


_TABLE = _table()
_BITS = np.arange(32, dtype=np.uint32)


@lru_cache
def _zeros(count: int) -> Words:
    """Return what ``count`` zero bytes make of each single bit, (32,)."""
    move: Words = np.left_shift(1, _BITS, dtype=np.uint32)
    for _ in range(count):
        move = _TABLE[move & 0xFF] ^ move >> 8
    return move


def _apply(move: Words, state: Words) -> Words:
    """Apply a linear map, given by the images of the single bits, to each word of ``state``."""
    bits = state[:, None] >> _BITS & 1
    return np.bitwise_xor.reduce(bits * move, axis=1)
