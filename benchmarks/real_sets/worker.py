"""Work through fits one by one, keep each on disk as soon as it is made, and stop in time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from choose.files import write_json
from choose.strategy import find
from choose.types import Dataset
from real_sets.candidates import KINDS
from real_sets.forecast import Forecast
from real_sets.measure import Fit, measure
from real_sets.packed import unpack
from real_sets.plan import bounds
from real_sets.sources import Source, read


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the sets lie, where finished fits are kept, and where the parts of the rows end."""

    data: Path
    kept: Path
    rows: tuple[int, ...]

    def asked(self, fit: Fit, source: Source) -> tuple[str, ...]:
        """Return the ids of the test rows that are asked."""
        if KINDS[fit.candidate].every_row:
            return tuple(row.id for row in source.test)
        return source.sample(*bounds(fit, self.rows))

    def path(self, fit: Fit) -> Path:
        """Return the file of a fit; to ask it other rows is another fit."""
        first, last = bounds(fit, self.rows)
        few = "" if KINDS[fit.candidate].every_row else f"-{first}-{last}"
        return self.kept / f"{fit.name}{few}.json"

    def finished(self, fit: Fit) -> dict[str, Any] | None:
        """Return the record of a fit that was made before, by the strategy as it is now."""
        try:
            found: dict[str, Any] = json.loads(self.path(fit).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        current = find(KINDS[fit.candidate].strategy).revision
        return found if found["revision"] == current else None


@dataclass
class Worker:
    """One process with its sets; models, embeddings and prompt scores stay in its memory."""

    place: Place
    fits: Sequence[Fit]
    ends: float
    sources: dict[str, Source] = field(default_factory=dict)

    def work(self) -> Iterator[str]:
        """Make what is not yet there and yield a line on each; skip what cannot end in time."""
        forecast = Forecast()
        left = [fit for fit in self.fits if self.place.finished(fit) is None]
        while left:
            fit = left.pop(0)
            source, start = self._source(fit.set), perf_counter()
            expected = self._expected(forecast, fit)
            if start + expected > self.ends:
                yield f"{fit.name}: skipped, about {_minutes(expected)} do not fit"
                continue
            record = self._make(fit, source)
            if isinstance(record, str):
                yield f"{fit.name}: {record}"
                continue
            # Loading a model is no part of a fit, and would make a first one look slow.
            forecast.learn(fit, expected, record["seconds_spent"])
            spent = perf_counter() - start
            rest = sum(self._expected(forecast, other) for other in left)
            yield (
                f"{fit.name}: {_right(record):.3f} right, {spent:.0f} s (expected {expected:.0f}); "
                f"{len(left)} fits left here, about {_minutes(rest)}"
            )

    def _expected(self, forecast: Forecast, fit: Fit) -> float:
        source = self._source(fit.set)
        return forecast.seconds(fit, source, len(self.place.asked(fit, source)))

    def _make(self, fit: Fit, source: Source) -> Mapping[str, Any] | str:
        try:
            record = measure(fit, self._dataset(fit, source), self.ends)
        except Exception as error:  # what a strategy raises stops that fit and no other
            return f"failed: {type(error).__name__}: {error}"
        if record is None:
            return "stopped, the time is over"
        write_json(self.place.path(fit), {**record, "hashes": source.hashes})
        return record

    def _source(self, name: str) -> Source:
        if name not in self.sources:
            self.sources[name] = read(self.place.data, name)
        return self.sources[name]

    def _dataset(self, fit: Fit, source: Source) -> Dataset:
        return source.dataset(self.place.asked(fit, source))


def _right(record: Mapping[str, Any]) -> float:
    bits = unpack(record["right"], record["rows"])
    return float(bits.mean())


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
