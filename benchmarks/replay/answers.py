"""The stored answers of the real sets: one JSON file a set, without texts and labels."""

from __future__ import annotations

import json
import platform
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.files import write_json, write_text
from choose.run.trial import versions
from replay.candidates import KINDS
from replay.plan import Fit, Place, ends
from replay.sources import Source, read

Bits = npt.NDArray[np.bool_]

FORMAT = 1


def pack(bits: Bits) -> str:
    """Return bits as base64, the first one in the highest bit of the first byte."""
    return b64encode(np.packbits(bits).tobytes()).decode("ascii")


def unpack(text: str, rows: int) -> Bits:
    """Return the first `rows` bits.

    Raises:
        ValueError: if the text holds fewer or more bytes than needed.
    """
    found = np.frombuffer(b64decode(text, validate=True), dtype=np.uint8)
    if len(found) != (rows + 7) // 8:
        raise ValueError(f"{len(found)} bytes do not hold {rows} bits.")
    return np.unpackbits(found, count=rows).astype(np.bool_)


def write_packed(place: Place, fits: Sequence[Fit], folder: Path) -> int:
    """Write a file for each set from its finished fits; return 1 if a set has none."""
    missing = 0
    for name in dict.fromkeys(fit.set for fit in fits):
        source = read(place.data, name)
        records = [r for fit in fits if fit.set == name and (r := place.finished(fit))]
        stale = [r for r in records if r.pop("hashes") != source.hashes]
        if stale or not records:
            missing = 1
            print(f"{name}: {len(stale)} of {len(records)} fits are of other files; not packed")
            continue
        write_text(folder / f"{name}.json", text_of(_head(source, place.rows), records))
        print(f"{name}: {len(records)} fits packed")
    return missing


def restore_packed(place: Place, fits: Sequence[Fit], folder: Path) -> int:
    """Unpack fits into the folder of finished fits; return how many were not there before.

    Skip a set whose files or parts of the rows have changed.
    """
    restored = 0
    for name in dict.fromkeys(fit.set for fit in fits):
        path, source = folder / f"{name}.json", read(place.data, name)
        if not path.is_file():
            continue
        packed = json.loads(path.read_text(encoding="utf-8"))
        head = _head(source, place.rows)
        if any(packed[part] != head[part] for part in ("format", "sha256", "parts")):
            continue
        records = {_cell(record): record for record in packed["fits"]}
        for fit in fits:
            record = records.get((fit.candidate, fit.size, fit.draw, fit.part))
            if fit.set == name and record and not place.path(fit).exists():
                write_json(place.path(fit), {**record, "hashes": source.hashes})
                restored += 1
    return restored


def _cell(record: dict[str, Any]) -> tuple[str, int, int, int]:
    return record["candidate"], record["size"], record["draw"], record.get("part", 0)


def _head(source: Source, rows: Sequence[int]) -> dict[str, Any]:
    last = ends(source.name, rows)
    parts = [set(source.sample(*part)) for part in pairwise([0, *last])]
    return {
        "format": FORMAT,
        "set": source.name,
        "sha256": source.hashes,
        "labels": source.classes,
        "pool": len(source.train),
        "rows": len(source.test),
        "parts": [pack(np.array([row.id in part for row in source.test])) for part in parts],
        "machine": platform.machine(),
        "versions": versions(),
    }


def text_of(head: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """Return the file's text: the head, then one fit a line."""
    lines = ",\n".join("  " + json.dumps(record) for record in records)
    opened = json.dumps(head, indent=1).removesuffix("\n}")
    return f'{opened},\n "fits": [\n{lines}\n ]\n}}\n'


@dataclass(frozen=True, eq=False)
class Fitted:
    """The answers of one fit: for each test row whether it was evaluated, and whether it was right.

    Other programs can only slow a fit down, so the time is the least of any draw.
    """

    candidate: str
    size: int
    draw: int
    asked: Bits
    right: Bits
    fit_seconds: float
    ms_per_item: float


@dataclass(frozen=True, eq=False)
class Answered:
    """A set with all stored fits.

    Attributes:
        labels: how many labels the task has.
        pool: rows that can serve as training rows.
        hashes: SHA-256 by file name.
    """

    name: str
    labels: int
    pool: int
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

    @property
    def rows(self) -> int:
        """Return how many test rows there are."""
        return len(self.fits[0].right)

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
    parts = [unpack(part, record["rows"]) for part in record["parts"]]
    together: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for fit in record["fits"]:
        together.setdefault((fit["candidate"], fit["size"], fit["draw"]), []).append(fit)
    return Answered(
        name=record["set"],
        labels=record["labels"],
        pool=record["pool"],
        hashes=record["sha256"],
        fits=tuple(
            _fitted(fits, parts, _least(fits[0], record["fits"])) for fits in together.values()
        ),
    )


def _least(fit: dict[str, Any], fits: list[dict[str, Any]]) -> dict[str, float]:
    """Return the least times of a candidate on pools of a size."""
    same = [f for f in fits if (f["candidate"], f["size"]) == (fit["candidate"], fit["size"])]
    return {name: min(f[name] for f in same) for name in ("fit_seconds", "ms_per_item")}


def _fitted(fits: list[dict[str, Any]], parts: list[Bits], took: dict[str, float]) -> Fitted:
    """Join the parts of the rows that one fit answered."""
    asked, right = np.zeros_like(parts[0]), np.zeros_like(parts[0])
    for fit in fits:
        rows = _rows(fit, parts)
        asked |= rows
        right[rows] = unpack(fit["right"], fit["rows"])
    return Fitted(
        candidate=fits[0]["candidate"],
        size=fits[0]["size"],
        draw=fits[0]["draw"],
        asked=asked,
        right=right,
        **took,
    )


def _rows(fit: dict[str, Any], parts: list[Bits]) -> Bits:
    kind = KINDS[fit["candidate"]]
    if kind.every_row:
        return np.ones_like(parts[0])
    together: Bits = np.logical_or.reduce(parts)
    return together if kind.at_once else parts[fit["part"]]


def changed(sets: dict[str, Answered], data: Path) -> Iterator[str]:
    """Yield a sentence for each file on this machine that differs from the one evaluated."""
    for answered in sets.values():
        for name, known in answered.hashes.items():
            path = data / answered.name / name
            if path.is_file() and sha256(path.read_bytes()).hexdigest() != known:
                yield f"{answered.name}/{name} is not the file whose rows were asked."
