"""What commands that run at the same time share: questions in flight, and the spending limit."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from filelock import FileLock, Timeout

from choose.errors import ModelError
from choose.untrusted import finite

T = TypeVar("T")

# Seconds between two attempts to get the lock, and until it is given up.
_POLL, _PATIENCE = 0.005, 30.0

# Seconds beyond a request's time limit after which its claim no longer counts.
_SLACK = 30.0


@dataclass(frozen=True, slots=True)
class Others:
    """What the other commands that use the same paid answers have claimed.

    Attributes:
        claims: questions that they have sent and that are not answered yet.
        usd: dollars that they have spent or may still be billed.
    """

    claims: frozenset[str] = frozenset()
    usd: float = 0.0


@dataclass
class ParallelCommands:
    """One command among those that use a folder of paid answers.

    Each command writes its claims and dollars to a file of its own, and holds a lock as long as it
    lives. The system releases the lock however the command ends, so the claims of a command that
    crashed or was killed end with it.

    Attributes:
        folder: the folder of paid answers.
        accounts: the caches of answers that this command uses; only commands that share one count.
    """

    folder: Path
    accounts: set[str] = field(default_factory=set)
    _claims: dict[str, float] = field(default_factory=dict)
    _usd: float = 0.0
    _name: str = field(default_factory=lambda: uuid4().hex)
    _started: float = field(default_factory=time.time)
    _alive: FileLock | None = None

    async def exclusively(self, action: Callable[[], T]) -> T:
        """Do something while no other command reads or writes what it has claimed.

        Raises:
            ModelError: if the folder cannot be written, or another command never releases it.
        """
        end = time.monotonic() + _PATIENCE
        try:
            self._register()
            lock = FileLock(self._path("all.lock"), thread_local=False)
            while True:
                try:
                    lock.acquire(timeout=0)
                    break
                except Timeout:
                    if time.monotonic() > end:
                        raise ModelError(
                            f"Another command holds {self._path('all.lock')} and does nothing. "
                            "End it, then run the same command again."
                        ) from None
                    await asyncio.sleep(_POLL)
            try:
                return action()
            finally:
                lock.release()
        except OSError as error:
            raise ModelError(
                f"Cannot write {self._path('')}: {error.strerror or error}. Paid answers are "
                "cached there; free some space, or point CHOOSE_CACHE elsewhere."
            ) from error

    def others(self) -> Others:
        """Return what other commands have claimed; call it in `exclusively`."""
        claims: set[str] = set()
        usd, now = 0.0, time.time()
        for _, last, lives, facts in self._files():
            if not lives and last < self._started:
                continue  # it ended before this command began, so it had a limit of its own
            accounts, claimed = facts.get("accounts"), facts.get("claims")
            if not isinstance(accounts, list) or self.accounts.isdisjoint(map(str, accounts)):
                continue
            usd += finite(facts.get("usd"), low=0.0) or 0.0
            if lives and isinstance(claimed, dict):
                claims |= {key for key, until in claimed.items() if (finite(until) or 0.0) > now}
        return Others(frozenset(claims), usd)

    def claim(self, key: str, seconds: float, usd: float) -> None:
        """Claim a question for as long as a request takes; `usd` is what is spent or reserved."""
        self._claims[key] = time.time() + seconds + _SLACK
        self.update(usd)

    def release(self, key: str, usd: float) -> None:
        """Give up the claim of a question that is answered, or that failed."""
        self._claims.pop(key, None)
        with suppress(OSError):  # the answer counts all the same, and the claim ends by itself
            self.update(usd)

    def update(self, usd: float) -> None:
        """Write this command's claims and dollars to its file."""
        self._usd = usd
        facts = {
            "started": self._started,
            "accounts": sorted(self.accounts),
            "usd": usd,
            "claims": self._claims,
        }
        target = self._path(f"{self._name}.json")
        temporary = target.with_suffix(".part")
        temporary.write_text(json.dumps(facts), encoding="utf-8")
        temporary.replace(target)

    def close(self) -> None:
        """End this command's claims; its dollars count for commands that still run."""
        if self._alive is None:
            return
        try:
            self._claims.clear()
            self.update(self._usd)
            self._alive.release()
            self._alive = None
            self._sweep()
        except OSError:
            return  # what is left behind belongs to no living command

    def _register(self) -> None:
        if self._alive is None:
            self._path("").mkdir(parents=True, exist_ok=True)
            self._alive = FileLock(self._path(f"{self._name}.lock"), thread_local=False)
            self._alive.acquire(timeout=_PATIENCE)
            self.update(self._usd)
            self._sweep()

    def _files(self) -> Iterator[tuple[Path, float, bool, dict[str, Any]]]:
        """Yield each other command's file, when it was written, if the command runs, and facts."""
        for file in self._path("").glob("*.json"):
            if file.stem == self._name:
                continue
            try:
                facts = json.loads(file.read_text(encoding="utf-8"))
                last, lives = file.stat().st_mtime, _is_held(file.with_suffix(".lock"))
            except (OSError, ValueError, RecursionError):
                continue
            yield file, last, lives, facts if isinstance(facts, dict) else {}

    def _sweep(self) -> None:
        """Delete the files of commands that ended before every running one began."""
        files = list(self._files())
        running = [finite(facts.get("started")) or 0.0 for _, _, lives, facts in files if lives]
        oldest = min([*running, self._started if self._alive else time.time()])
        ended = [(file, last) for file, last, lives, _ in files if not lives]
        if self._alive is None and not running:
            ended.append((self._path(f"{self._name}.json"), 0.0))
        for file, when in ended:
            if when < oldest:
                for suffix in (".json", ".lock", ".part"):
                    file.with_suffix(suffix).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / "running" / name


def _is_held(path: Path) -> bool:
    """Return whether a command holds a lock."""
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
