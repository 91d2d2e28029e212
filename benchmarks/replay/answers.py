"""The stored answers of the real sets: one JSON file a set, without texts and labels."""

from __future__ import annotations

import json
import platform
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
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
from choose.types import Floats
from replay.candidates import KINDS, RECORD_KINDS, Kind
from replay.plan import Fit, Place, ends
from replay.sources import Source, read

Bits = npt.NDArray[np.bool_]

# A file of bits, whether each answer is right; and one of scores in [0, 1], which names the metric.
FORMAT, SCORES_FORMAT = 1, 2


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


def pack_scores(scores: Floats) -> str:
    """Return scores in [0, 1] as base64 of compressed half-precision floats.

    These are off by 0.00025 at most; 0, 0.5 and 1 are exact.

    Raises:
        ValueError: if a score is missing or outside [0, 1]; rows without an answer are left out.
    """
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("A score is not a number from 0 to 1.")
    return b64encode(zlib.compress(scores.astype("<f2").tobytes(), 9)).decode("ascii")


def unpack_scores(text: str, rows: int) -> Floats:
    """Return the scores of `rows` rows.

    Raises:
        ValueError: if the text holds fewer or more, or they are not from 0 to 1.
    """
    found = np.frombuffer(zlib.decompress(b64decode(text, validate=True)), dtype="<f2")
    if len(found) != rows or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"{len(found)} numbers are not the scores from 0 to 1 of {rows} rows.")
    return found.astype(np.float64)


def scores_of(record: Mapping[str, Any]) -> Floats:
    """Return the score of each answer of one record: 1 or 0 where it is stored as right or wrong.

    Raises:
        ValueError: if the record holds fewer or more than it says.
    """
    if "scores" in record:
        return unpack_scores(record["scores"], record["rows"])
    return unpack(record["right"], record["rows"]).astype(np.float64)


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
    scored = {} if source.metric is None else {"metric": source.metric}
    return {
        "format": SCORES_FORMAT if scored else FORMAT,
        "set": source.name,
        **scored,
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
    """The answers of one fit: for each test row its score, which is NaN where it was not evaluated.

    Other programs can only slow a fit down, so the time is the least of any draw.
    """

    candidate: str
    size: int
    draw: int
    scores: Floats
    fit_seconds: float
    ms_per_item: float

    @property
    def asked(self) -> Bits:
        """Return which test rows were evaluated."""
        return ~np.isnan(self.scores)


@dataclass(frozen=True, eq=False)
class Answered:
    """A set with all stored fits.

    Attributes:
        labels: how many labels the task has; 0 where answers are records.
        pool: rows that can serve as training rows.
        hashes: SHA-256 by file name.
        metric: what scores between 0 and 1 are of; None where an answer is right or wrong.
    """

    name: str
    labels: int
    pool: int
    hashes: dict[str, str]
    fits: tuple[Fitted, ...]
    metric: str | None = None

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """Return the candidates that can be stored, by name."""
        return kinds_by(self.metric)

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
        return len(self.fits[0].scores)

    def fitted(self, candidate: str, size: int) -> dict[int, Fitted]:
        """Return the fits of a candidate to pools of a size, by draw."""
        stands_for_all = self.kinds[candidate].any_size
        return self._places.get((candidate, self.sizes[0] if stands_for_all else size), {})


def kinds_by(metric: str | None) -> Mapping[str, Kind]:
    """Return the candidates, by name, of answers with such scores; None is of labels."""
    return KINDS if metric is None else RECORD_KINDS


def read_all(folder: Path) -> dict[str, Answered]:
    """Read every packed set of a folder, by name."""
    found = (_answered(json.loads(path.read_text())) for path in sorted(folder.glob("*.json")))
    return {answered.name: answered for answered in found}


def _answered(record: dict[str, Any]) -> Answered:
    if record["format"] not in (FORMAT, SCORES_FORMAT):
        raise ValueError(
            f"Format {record['format']!r} of {record['set']!r} is not {FORMAT} or {SCORES_FORMAT}."
        )
    kinds = kinds_by(metric := record.get("metric"))
    parts = [unpack(part, record["rows"]) for part in record["parts"]]
    together: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for fit in record["fits"]:
        together.setdefault((fit["candidate"], fit["size"], fit["draw"]), []).append(fit)
    return Answered(
        name=record["set"],
        labels=record["labels"],
        pool=record["pool"],
        hashes=record["sha256"],
        metric=metric,
        fits=tuple(
            _fitted(fits, parts, kinds[fits[0]["candidate"]], _least(fits[0], record["fits"]))
            for fits in together.values()
        ),
    )


def _least(fit: dict[str, Any], fits: list[dict[str, Any]]) -> dict[str, float]:
    """Return the least times of a candidate on pools of a size."""
    same = [f for f in fits if (f["candidate"], f["size"]) == (fit["candidate"], fit["size"])]
    return {name: min(f[name] for f in same) for name in ("fit_seconds", "ms_per_item")}


def _fitted(
    fits: list[dict[str, Any]], parts: list[Bits], kind: Kind, took: dict[str, float]
) -> Fitted:
    """Join the parts of the rows that one fit answered."""
    scores = np.full(len(parts[0]), np.nan)
    for fit in fits:
        scores[_rows(fit, parts, kind)] = scores_of(fit)
    return Fitted(
        candidate=fits[0]["candidate"],
        size=fits[0]["size"],
        draw=fits[0]["draw"],
        scores=scores,
        **took,
    )


def _rows(fit: dict[str, Any], parts: list[Bits], kind: Kind) -> Bits:
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
