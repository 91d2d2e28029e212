"""The endpoints of one command: who may be asked, and the loop in which they are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from choose.errors import ModelError, did_you_mean
from choose.models.endpoints.channel import REPEAT, Line, Means, Stopped
from choose.models.endpoints.ledger import Ledger
from choose.models.endpoints.retry import Patience
from choose.models.endpoints.settings import Endpoint
from choose.models.hardware.environment import cache_dir
from choose.models.weights.spec import PREFIX
from choose.progress import TimeLimitReached, seconds_left

T = TypeVar("T")


# What is in flight when a person interrupts or the time is over has been paid for; so many seconds
# it may take to come in.
DRAIN = 10.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of a session, as they stand whenever it is looked at.

    Attributes:
        planned: requests at most, as forecast.
    """

    session: Session
    planned: int

    @property
    def ledger(self) -> Ledger:
        """Return requests, tokens and dollars so far."""
        return self.session.ledger

    @property
    def reused(self) -> int:
        """Return how many answers had been paid for before."""
        return sum(line.reused for line in self.session.lines.values())

    @property
    def retried(self) -> int:
        """Return how many requests were put again after a failure."""
        return sum(line.retried for line in self.session.lines.values())


class Session:
    """Every endpoint of a study, one ledger of money, one loop in a thread of its own.

    The loop has its own thread so that notebooks, which run one already, can use it too.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], means: Means) -> None:
        self.endpoints, self.means = dict(endpoints), means
        self.lines: dict[str, Line] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def ledger(self) -> Ledger:
        """Return the one ledger."""
        return self.means.ledger

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint's settings.

        Raises:
            ModelError: if the study has none of that name.
        """
        if name not in self.endpoints:
            known = ", ".join(self.endpoints) or "none"
            raise ModelError(
                f"No endpoint {name!r}.{did_you_mean(name, self.endpoints)} The study file's "
                f"[endpoints.NAME] sections name: {known}. Or give --model MODEL with --base-url."
            )
        return self.endpoints[name]

    def line(self, name: str) -> Line:
        """Return the line to an endpoint, opened once."""
        if name not in self.lines:
            self.lines[name] = Line(name, self.endpoint(name), self.means)
        return self.lines[name]

    def traffic(self, planned: int) -> Traffic:
        """Return a view of what is sent, of at most so many requests."""
        return Traffic(self, planned)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and wait for it, until the caller's time limit.

        When that time is over, or at an interruption, nothing more is asked; what is in flight may
        come in. Answers that were paid for before are given even where no time is left.

        Raises:
            OutOfTime: if the time was over before everything was asked and answered.
        """
        left = seconds_left()
        for line in self.lines.values():
            line.stopped = left <= 0
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result(None if left == inf else min(left, threading.TIMEOUT_MAX))
        except KeyboardInterrupt:
            self._drain(future)
            raise
        except TimeoutError:
            return self._late(future)
        except Stopped:  # there was no time from the beginning
            raise TimeLimitReached from None

    def close(self) -> None:
        """Close all connections and the loop."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(DRAIN)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DRAIN)
        self._loop.close()
        self._loop = None

    async def _finish(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for line in self.lines.values():
            await line.close()

    def _late(self, future: Future[T]) -> T:
        self._drain(future)
        try:
            return future.result()
        except (Stopped, CancelledError):
            raise TimeLimitReached from None

    def _drain(self, future: Future[T]) -> None:
        for line in self.lines.values():
            self._running().call_soon_threadsafe(line.stop)
        try:
            wait([future], DRAIN)
        finally:
            future.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="choose-endpoints", daemon=True
            )
            self._thread.start()
        return self._loop


_CURRENT: ContextVar[Session | None] = ContextVar("choose_endpoints", default=None)


@contextmanager
def connected(
    endpoints: Mapping[str, Endpoint],
    *,
    max_usd: float | None = None,
    study: str = "",
    patience: Patience | None = None,
    transport: Any = None,
) -> Iterator[Session]:
    """Make endpoints known to every strategy that is built or run inside the block.

    Args:
        endpoints: by the name in ``endpoint:NAME``.
        max_usd: the most that may be spent inside the block.
        study: names the study; answers of servers on this machine are reused in it only.
        patience: how long failures are borne with.
        transport: replaces the network, for tests.
    """
    means = Means(
        ledger=Ledger(max_usd),
        folder=cache_dir() / "paid",
        patience=patience or Patience(),
        transport=transport,
        study=study,
    )
    session = Session(endpoints, means)
    token = _CURRENT.set(session)
    try:
        yield session
    finally:
        _CURRENT.reset(token)
        session.close()


@contextmanager
def repeated(repeat: int) -> Iterator[None]:
    """Ask endpoints anew inside the block: a repeat never takes the answer of another one."""
    token = REPEAT.set(repeat)
    try:
        yield
    finally:
        REPEAT.reset(token)


def current() -> Session:
    """Return the session that a strategy runs in; outside of any, one that knows no endpoint."""
    session = _CURRENT.get()
    return session or Session({}, Means(ledger=Ledger(), folder=Path("paid")))


def endpoint_digest(spec: str) -> str:
    """Return what identifies the model behind ``endpoint:NAME``."""
    return current().endpoint(spec.removeprefix(PREFIX)).digest
