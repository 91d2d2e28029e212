"""The cache of paid answers on disk."""

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

from filelock import FileLock, Timeout

from choose.errors import ModelError
from choose.models.endpoints.ledger import TokenLogprobs, Usage
from choose.untrusted import count, finite

# Seconds that a command waits for another one that asks the same endpoint, and between two looks.
_PATIENCE, _POLL = 10.0, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidAnswer:
    """One answer as the server gave it; also a line of the cache, so field names are part of it.

    Attributes:
        content: the text of the answer.
        refusal: the text of a refusal, if the server distinguishes the two.
        finish: why the model stopped.
        seconds: from request to answer.
        odds: log-probabilities of the tokens with their alternatives, or None.
        when: seconds since the epoch.
        model: the name of the model according to the server.
    """

    content: str
    finish: str = "stop"
    refusal: str | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    odds: TokenLogprobs | None = None
    when: float = 0.0
    model: str | None = None


class AnswerCache:
    """Paid answers of one endpoint in a JSON Lines file.

    Any command may read them. One that pays holds a lock until it ends, so that two commands at a
    time pay for no question twice; the system releases the lock however the command ends.
    """

    def __init__(self, path: Path, days: float) -> None:
        self.path, self.days = path, days
        self._writing, self._read_to = threading.Lock(), 0
        self._lock = FileLock(path.with_suffix(".lock"), thread_local=False)
        self.answers: dict[str, PaidAnswer] = {}
        self.facts: dict[str, Any] = {}
        self.refresh()

    async def hold(self) -> None:
        """Become the command that pays, and read what earlier ones have paid for.

        Raises:
            ModelError: if another command does not end within seconds, or the folder cannot be
                written.
        """
        end = time.monotonic() + _PATIENCE
        while not self._lock.is_locked:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock.acquire(timeout=0)
                self.refresh()
            except Timeout:
                if time.monotonic() > end:
                    raise ModelError(
                        "Another choose command is asking the same model there. Wait until "
                        "it has ended, then run this one again: what it paid for is not paid "
                        "again."
                    ) from None
                await asyncio.sleep(_POLL)
            except OSError as error:
                raise self._unwritable(error) from error

    def release(self) -> None:
        self._lock.release()

    def refresh(self) -> None:
        """Read what was appended since the last time, by this command or another.

        Raises:
            ModelError: if the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._read_to:  # it was replaced
                    self._read_to = 0
                file.seek(self._read_to)
                whole, newline, _ = file.read(size - self._read_to).rpartition(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise ModelError(f"Cannot read {self.path}: {error.strerror}.") from error
        self._read_to += len(whole) + len(newline)
        for line in whole.splitlines():
            self._load(line)

    def add(self, key: str, paid: PaidAnswer) -> None:
        """Write an answer to disk, synced, then keep it in memory.

        Raises:
            ModelError: if it cannot be written.
        """
        self._write({"key": key, **asdict(paid)})
        self.answers[key] = paid

    def add_facts(self, key: str, facts: Mapping[str, Any], when: float) -> None:
        """Write what the server accepts to disk."""
        self._write({"fact": key, "facts": dict(facts), "when": when})
        self.facts[key] = dict(facts)

    def _load(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            when = finite(row["when"])
            if when is None or time.time() - when > self.days * 86_400:
                return
            if "fact" in row:
                self.facts[str(row["fact"])] = dict(row["facts"])
            elif row["key"] not in self.answers:
                self.answers[str(row["key"])] = _paid(row, when)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return  # a line that a crash cut short was never counted; others are damaged

    def _write(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=True, separators=(",", ":")) + "\n"
        try:
            with self._writing:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
                file = os.open(self.path, flags, 0o600)
                try:
                    size = os.fstat(file).st_size
                    cut_short = size > 0 and os.pread(file, 1, size - 1) != b"\n"
                    os.write(file, ("\n" * cut_short + line).encode("ascii"))
                    os.fsync(file)
                finally:
                    os.close(file)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ModelError:
        return ModelError(
            f"Cannot write {self.path}: {error.strerror or error}. Paid answers are "
            "cached there; free some space, or point CHOOSE_CACHE elsewhere."
        )


def _paid(row: Mapping[str, Any], when: float) -> PaidAnswer:
    odds = row.get("odds")
    return PaidAnswer(
        content=str(row["content"]),
        finish=str(row["finish"]),
        refusal=row.get("refusal"),
        usage=Usage(**{name: count(number) for name, number in row["usage"].items()}),
        seconds=finite(row["seconds"], low=0.0) or 0.0,
        odds=None if odds is None else tuple((t, p, tuple(map(tuple, o))) for t, p, o in odds),
        when=when,
        model=row.get("model"),
    )
