"""The one ledger of money: the worst case is set aside before a request, the bill replaces it."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from choose.errors import ModelError, MoneySpent
from choose.schema.costs import TokenPrices, dollars


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as a server counted them; None where it did not say."""

    read: int | None = None
    cached: int | None = None
    written: int | None = None
    hidden: int | None = None


def usd_of(prices: TokenPrices, read: float, cached: float, written: float) -> float:
    """Return what so many tokens cost in dollars, where both ways are priced."""
    counts = (np.array([round(count)], dtype=np.int64) for count in (read, cached, written))
    found = dollars(prices, *counts)
    return 0.0 if found is None else float(found[0])


@dataclass(frozen=True, slots=True)
class Worst:
    """The most tokens that a request can read and write."""

    read: int
    written: int

    def usd(self, prices: TokenPrices | None) -> float:
        """Return the most it can cost; the cached price is never counted on."""
        return usd_of(prices, self.read, 0, self.written) if prices else 0.0


@dataclass
class Ledger:
    """What this run has spent, may have spent and has set aside, in dollars.

    Attributes:
        limit: the most that may be spent, or None.
        spent: what answers cost by the server's own counts.
        unsure: the worst case of requests that broke off or failed after they were sent, and of
            answers without counts; held against the limit, since they may be billed.
        unpriced: whether something was asked that has no price, so that dollars are unknown.
    """

    limit: float | None = None
    spent: float = 0.0
    unsure: float = 0.0
    set_aside: float = 0.0
    in_flight: int = 0
    requests: int = 0
    read: int = 0
    cached: int = 0
    written: int = 0
    unpriced: bool = False
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def committed(self) -> float:
        """Return dollars that are spent, or that failed requests may be billed for."""
        return self.spent + self.unsure

    async def reserve(self, usd: float) -> float:
        """Set the worst case aside; wait for requests in flight where their bills may make room.

        Raises:
            MoneySpent: if the limit leaves no room for it.
        """
        while self.limit is not None and self.committed + self.set_aside + usd > (
            self.limit * (1 + 1e-9)
        ):
            if not self.in_flight:
                raise MoneySpent(
                    f"--max-usd {self.limit:g} leaves no room for another request: "
                    f"${self.spent:.4f} is spent"
                    + (
                        f", up to ${self.unsure:.4f} may be billed for failed requests"
                        * (self.unsure > 0)
                    )
                    + f", and the next one could cost ${usd:.4f}."
                )
            self._freed.clear()
            await self._freed.wait()
        self.set_aside += usd
        self.in_flight += 1
        return usd

    def settle(self, held: float, usage: Usage, prices: TokenPrices | None) -> None:
        """Replace what was set aside by the bill of an answer."""
        self.free(held)
        self.requests += 1
        self.read += usage.read or 0
        self.cached += usage.cached or 0
        self.written += usage.written or 0
        if prices is None:
            self.unpriced = True
        elif usage.read is None or usage.written is None:
            self.unsure += held
        else:
            self.spent += usd_of(prices, usage.read, usage.cached or 0, usage.written)

    def free(self, held: float, unsure: bool = False) -> None:
        """Give back what was set aside for a request that was not, or may have been, billed."""
        self.in_flight -= 1
        # Sums of floats leave a rest, which must not count as a request that may still end.
        self.set_aside = max(0.0, self.set_aside - held) if self.in_flight else 0.0
        if unsure:
            self.unsure += held
        self._freed.set()


DAY = 86_400.0


# One token with its log-probability, and the alternatives to it with theirs.
Alternatives = tuple[tuple[str, float, tuple[tuple[str, float], ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """One answer as it came.

    Attributes:
        content: what the model wrote.
        refusal: what it wrote instead of an answer, where the server tells the two apart.
        finish: why it stopped.
        seconds: from request to answer.
        odds: log-probabilities of its tokens, or None.
        when: seconds since the epoch.
        model: what the server says answered.
    """

    content: str
    finish: str = "stop"
    refusal: str | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    odds: Alternatives | None = None
    when: float = 0.0
    model: str | None = None


class Journal:
    """The file of one endpoint, read once and appended to; safe for several processes."""

    def __init__(self, path: Path, days: float) -> None:
        self.path, self.days = path, days
        self._lock = threading.Lock()
        self.answers: dict[str, Paid] = {}
        self.facts: dict[str, Any] = {}
        for line in self._lines():
            self._take(line)

    def append(self, key: str, paid: Paid) -> None:
        """Put an answer on disk, then hold it; it survives a crash and a power cut.

        Raises:
            ModelError: if it cannot be written.
        """
        self._write({"key": key, **asdict(paid)})
        self.answers[key] = paid

    def note(self, key: str, facts: Mapping[str, Any], when: float) -> None:
        """Put what was found out about the server on disk."""
        self._write({"fact": key, "facts": dict(facts), "when": when})
        self.facts[key] = dict(facts)

    def _lines(self) -> list[str]:
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ModelError(f"Cannot read {self.path}: {error.strerror}.") from error

    def _take(self, line: str) -> None:
        try:
            row = json.loads(line)
            if time.time() - float(row.pop("when")) > self.days * DAY:
                return
            when = float(json.loads(line)["when"])
            if "fact" in row:
                self.facts[str(row["fact"])] = dict(row["facts"])
            else:
                self.answers[str(row.pop("key"))] = _paid(row, when)
        except (ValueError, KeyError, TypeError):  # torn by a crash: it was never counted
            return

    def _write(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n"
        try:
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
                file = os.open(self.path, flags, 0o600)
                try:
                    size = os.fstat(file).st_size
                    torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                    os.write(file, ("\n" * torn + line).encode("ascii"))
                    os.fsync(file)
                finally:
                    os.close(file)
        except OSError as error:
            raise ModelError(
                f"Cannot write {self.path}: {error.strerror or error}. Answers that are paid for "
                "are kept there; free some space, or point CHOOSE_CACHE elsewhere."
            ) from error


def _paid(row: Mapping[str, Any], when: float) -> Paid:
    odds = row.get("odds")
    return Paid(
        content=str(row["content"]),
        finish=str(row["finish"]),
        refusal=row.get("refusal"),
        usage=Usage(**row["usage"]),
        seconds=float(row["seconds"]),
        odds=None if odds is None else tuple((t, p, tuple(map(tuple, o))) for t, p, o in odds),
        when=when,
        model=row.get("model"),
    )
