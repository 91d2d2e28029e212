"""Parts of the rows: chosen on all but one of them, measured on that one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from choose.judge.metrics import Codes


def deal(rows: int, clusters: Sequence[str] | None, parts: int) -> Codes:
    """Return (rows,) the part of each row; whole clusters are dealt, and chance depends on them."""
    names = np.arange(rows).astype(str) if clusters is None else np.asarray(clusters)
    dealt, place = np.unique(names, return_inverse=True)
    order = np.random.default_rng(len(dealt)).permutation(len(dealt)) % parts
    return np.asarray(order[place], dtype=np.int64)
