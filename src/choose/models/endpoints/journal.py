"""Answers that were paid for, each on disk before it is counted.

One file an endpoint in the user's cache, one JSON object a line, only ever appended to. It lies
there and not in a study's store so that a new study, after ten labels were corrected for example,
asks nothing again that it asks in the same words. Prompts and texts are not in it, only digests
of the requests; `reuse_days` bounds how long an answer stands in for a model that its provider
may have changed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from choose.errors import ModelError
from choose.models.endpoints.ledger import Usage

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
