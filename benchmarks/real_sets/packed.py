"""Right and wrong answers as text: eight rows a byte, in base64."""

from __future__ import annotations

from base64 import b64decode, b64encode

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]


def pack(bits: Bits) -> str:
    """Return bits as base64, the first one in the highest place of the first byte."""
    return b64encode(np.packbits(bits).tobytes()).decode("ascii")


def unpack(text: str, rows: int) -> Bits:
    """Return the first `rows` bits.

    Raises:
        ValueError: if there are not as many.
    """
    found = np.frombuffer(b64decode(text, validate=True), dtype=np.uint8)
    if len(found) != (rows + 7) // 8:
        raise ValueError(f"{len(found)} bytes do not hold {rows} bits.")
    return np.unpackbits(found, count=rows).astype(np.bool_)
