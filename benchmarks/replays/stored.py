"""The packed answers of the real sets, read back and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from real_sets.candidates import KINDS
from real_sets.packed import Bits, unpack
from real_sets.packing import FORMAT


@dataclass(frozen=True, eq=False)
class Fitted:
    """The answers of one fit.

    `right` holds a bit for each test row; those of rows that were not asked mean nothing.
    """

    candidate: str
    size: int
    draw: int
    right: Bits
    fit_seconds: float
    ms_per_item: float


@dataclass(frozen=True, eq=False)
class Answered:
    """A set with all that was answered on it.

    Attributes:
        labels: how many labels the task has.
        pool: rows that could be learnt from.
        asked_of_lms: the rows that candidates with a language model answered.
        hashes: SHA-256 by file name.
    """

    name: str
    labels: int
    pool: int
    asked_of_lms: Bits
    hashes: dict[str, str]
    fits: tuple[Fitted, ...]

    @cached_property
    def _places(self) -> dict[tuple[str, int], dict[int, Fitted]]:
        places: dict[tuple[str, int], dict[int, Fitted]] = {}
        for fit in self.fits:
            places.setdefault((fit.candidate, fit.size), {})[fit.draw] = fit
        return places

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Return the pool sizes, ascending."""
        return tuple(sorted({fit.size for fit in self.fits}))

    def fitted(self, candidate: str, size: int) -> dict[int, Fitted]:
        """Return the fits of a candidate to pools of a size, by draw."""
        stands_for_all = KINDS[candidate].any_size
        return self._places.get((candidate, self.sizes[0] if stands_for_all else size), {})


def read_all(folder: Path) -> dict[str, Answered]:
    """Read every packed set of a folder, by name."""
    found = (_answered(json.loads(path.read_text())) for path in sorted(folder.glob("*.json")))
    return {answered.name: answered for answered in found}


def _answered(record: dict[str, Any]) -> Answered:
    if record["format"] != FORMAT:
        raise ValueError(f"Format {record['format']!r} of {record['set']!r} is not {FORMAT}.")
    few = unpack(record["asked_of_lms"], record["rows"])
    return Answered(
        name=record["set"],
        labels=record["labels"],
        pool=record["pool"],
        asked_of_lms=few,
        hashes=record["sha256"],
        fits=tuple(_fitted(fit, few) for fit in record["fits"]),
    )


def _fitted(fit: dict[str, Any], few: Bits) -> Fitted:
    bits = unpack(fit["right"], fit["rows"])
    if not KINDS[fit["candidate"]].every_row:
        spread = np.zeros(len(few), dtype=np.bool_)
        spread[few] = bits
        bits = spread
    return Fitted(
        candidate=fit["candidate"],
        size=fit["size"],
        draw=fit["draw"],
        right=bits,
        fit_seconds=fit["fit_seconds"],
        ms_per_item=fit["ms_per_item"],
    )


def changed(sets: dict[str, Answered], data: Path) -> Iterator[str]:
    """Yield a sentence for each file on this machine that is not the one that was asked."""
    for answered in sets.values():
        for name, known in answered.hashes.items():
            path = data / answered.name / name
            if path.is_file() and sha256(path.read_bytes()).hexdigest() != known:
                yield f"{answered.name}/{name} is not the file whose rows were asked."
