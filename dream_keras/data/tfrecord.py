"""TFRecord framing without TensorFlow: length, its checksum, payload, its checksum."""

import struct

import google_crc32c

HEADER, FOOTER = 12, 4
"""Bytes before and after a payload."""
_MASK = 0xA282EAD8
"""Added to rotated checksums (TensorFlow, tsl/lib/hash/crc32c.h)."""


def frame(payload: bytes) -> bytes:
    """Return one record around a payload."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, _checksum(length), payload, _checksum(payload)))


def _checksum(data: bytes) -> bytes:
    """Return the masked CRC-32C of data as a record holds it."""
    checksum = google_crc32c.value(data)
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _MASK) & 0xFFFFFFFF)
