"""What requests to endpoints cost: the ledger of money, and the cache of paid answers on disk."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from choose.errors import ModelError, MoneySpent
from choose.models.endpoints.settings import LIMITS
from choose.outside_values import count, finite
from choose.schema.candidate_scorecard import TokenPrices, dollars
from choose.schema.plan import Traffic


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; None if it did not report them.

    `cached` is part of `read`, and `hidden` (reasoning) is part of `written`.
    """

    read: int | None = None
    cached: int | None = None
    written: int | None = None
    hidden: int | None = None


def token_cost(prices: TokenPrices | None, tokens: Usage) -> float:
    """Return the cost of tokens in dollars; 0 unless input and output have a price."""
    known = (tokens.read, tokens.cached, tokens.written)
    counts = (np.array([number or 0], dtype=np.int64) for number in known)
    cost = None if prices is None else dollars(prices, *counts)
    return 0.0 if cost is None else float(cost[0])


def worst_case(body: Mapping[str, Any]) -> Usage:
    """Return the most tokens a request can cost: one for each byte of input, and all of the output.

    The whole body counts, because servers put fields such as tools into the prompt.
    """
    text = json.dumps(body, ensure_ascii=False)
    limits = [int(body[name]) for name in LIMITS if name in body]
    return Usage(read=len(text.encode("utf-8", "replace")) + 64, written=max(limits))


@dataclass(kw_only=True)
class Ledger(Traffic):
    """Dollars and tokens of a session: spent, possibly billed, and reserved.

    The worst case of a request is reserved before it is sent; the bill replaces it afterwards.
    `reserved` are dollars of the requests in flight.
    """

    reserved: float = 0.0
    in_flight: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def committed(self) -> float:
        return self.spent + self.maybe_billed

    async def reserve(self, usd: float) -> float:
        """Reserve the worst case of a request; wait while others in flight may free money."""
        limit = inf if self.limit is None else self.limit * (1 + 1e-9)
        while self.committed + self.reserved + usd > limit:
            if not self.in_flight:
                held = f", up to ${self.maybe_billed:.4f} may be billed for failed requests"
                raise MoneySpent(
                    f"--max-usd {self.limit:g} leaves no room for another request: "
                    f"${self.spent:.4f} is spent{held * (self.maybe_billed > 0)}, and the next one "
                    f"could cost ${usd:.4f}."
                )
            self._released.clear()
            await self._released.wait()
        self.reserved += usd
        self.in_flight += 1
        return usd

    def book(self, reserved: float, usage: Usage, prices: TokenPrices | None) -> None:
        self.release(reserved)
        self.requests += 1
        self.read += usage.read or 0
        self.cached += usage.cached or 0
        self.written += usage.written or 0
        if prices is None:
            self.unpriced = True
        elif usage.read is None or usage.written is None:
            self.maybe_billed += reserved
        else:
            self.spent += token_cost(prices, usage)

    def release(self, reserved: float, maybe_billed: bool = False) -> None:
        """Cancel a reservation; count it as committed if the request may have been billed."""
        self.in_flight -= 1
        # Rounding errors of float sums must not count as a request in flight.
        self.reserved = max(0.0, self.reserved - reserved) if self.in_flight else 0.0
        if maybe_billed:
            self.maybe_billed += reserved
        self._released.set()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidAnswer:
    """One answer as the server gave it; also a line of the cache, so field names are part of it.

    Attributes:
        content: the text of the answer.
        refusal: the text of a refusal, if the server distinguishes the two.
        finish: why the model stopped.
        seconds: from request to answer.
        when: seconds since the epoch.
    """

    content: str
    finish: str = "stop"
    refusal: str | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    when: float = 0.0


class AnswerCache:
    """Paid answers of one endpoint in a JSON Lines file.

    Any command may read them. One that pays holds a lock until it ends, so that two commands at a
    time pay for no question twice; the system releases the lock however the command ends.
    """

    def __init__(self, path: Path, days: float) -> None:
        self.path, self.days = path, days
        self._writing = threading.Lock()
        self._lock = FileLock(path.with_suffix(".lock"), thread_local=False)
        self.answers: dict[str, PaidAnswer] = {}
        self.refresh()

    def hold(self) -> None:
        """Become the command that pays, and read what earlier ones have paid for."""
        if self._lock.is_locked:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ModelError(
                "Another choose command is asking the same model there. Wait until it has ended, "
                "then run this one again: what it paid for is not paid again."
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error
        self.refresh()

    def release(self) -> None:
        self._lock.release()

    def refresh(self) -> None:
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ModelError(f"Cannot read {self.path}: {error.strerror}.") from error
        for line in lines:
            self._load(line)

    def add(self, key: str, paid: PaidAnswer) -> None:
        """Write an answer to disk, synced, then keep it in memory."""
        row = {"key": key, **asdict(paid)}
        line = json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n"
        try:
            with self._writing:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    size = os.fstat(file).st_size
                    cut_short = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                    os.write(file, ("\n" * cut_short + line).encode("ascii"))
                    os.fsync(file)
                finally:
                    os.close(file)
        except OSError as error:
            raise self._unwritable(error) from error
        self.answers[key] = paid

    def _load(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            when = finite(row["when"])
            if when is not None and time.time() - when <= self.days * 86_400:
                paid = PaidAnswer(
                    content=str(row["content"]),
                    finish=str(row["finish"]),
                    refusal=row.get("refusal"),
                    usage=Usage(**{name: count(number) for name, number in row["usage"].items()}),
                    seconds=finite(row["seconds"], low=0.0) or 0.0,
                    when=when,
                )
                self.answers.setdefault(str(row["key"]), paid)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return  # a line that a crash cut short was never counted; others are damaged

    def _unwritable(self, error: OSError) -> ModelError:
        return ModelError(
            f"Cannot write {self.path}: {error.strerror or error}. Paid answers are "
            "cached there; free some space, or point CHOOSE_CACHE elsewhere."
        )
