"""The endpoints of one command, their ledger, and the event loop that runs their requests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from choose.errors import ModelError, did_you_mean
from choose.models.endpoints.ledger import Ledger
from choose.models.endpoints.request_channel import (
    REPEAT,
    ChannelStopped,
    RequestChannel,
    SessionResources,
)
from choose.models.endpoints.retry import RetryPolicy
from choose.models.endpoints.settings import Endpoint
from choose.models.environment_settings import cache_dir
from choose.models.weights.spec import PREFIX
from choose.progress import TimeLimitReached, seconds_left

T = TypeVar("T")


# Seconds to wait for requests in flight after an interruption or the time limit: they are paid for.
DRAIN = 10.0

# The same after Ctrl-C: the user wants to have the terminal back.
SHORT_DRAIN = 0.5

# Seconds to wait for connections to close, which takes none unless the machine is overloaded.
CLOSING = 1.5

# Seconds of one wait in the main thread. polars installs a SIGINT handler that restarts system
# calls, so a longer wait would be woken by the server only, never by Ctrl-C.
SLICE = 0.2

# Seconds between two looks at a name that is being resolved.
_RESOLVER_POLL = 0.002


@dataclass(frozen=True, slots=True)
class Traffic:
    """A live view of a session's requests.

    Attributes:
        planned: most requests, as forecast.
    """

    session: Session
    planned: int

    @property
    def ledger(self) -> Ledger:
        """Return requests, tokens and dollars so far."""
        return self.session.ledger

    @property
    def reused(self) -> int:
        """Return how many questions needed no request of their own."""
        return sum(channel.reused for channel in self.session.channels.values())

    @property
    def earlier(self) -> int:
        """Return how many of them were paid for before this session began."""
        return sum(channel.earlier for channel in self.session.channels.values())

    @property
    def retried(self) -> int:
        """Return how many requests were sent again after a failure."""
        return sum(channel.retried for channel in self.session.channels.values())


class Session:
    """The endpoints of a study, one ledger of money, and one event loop in its own thread.

    The loop has its own thread because notebooks already run one in theirs.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], resources: SessionResources) -> None:
        self.endpoints, self.resources = dict(endpoints), resources
        self.channels: dict[str, RequestChannel] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def ledger(self) -> Ledger:
        """Return the ledger that all endpoints share."""
        return self.resources.ledger

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint's settings.

        Raises:
            ModelError: if the study has no endpoint of that name.
        """
        if name not in self.endpoints:
            known = ", ".join(self.endpoints) or "none"
            raise ModelError(
                f"No endpoint {name!r}.{did_you_mean(name, self.endpoints)} The study file's "
                f"[endpoints.NAME] sections name: {known}; those of a stored study do not count. "
                "Or give --model MODEL with --base-url."
            )
        return self.endpoints[name]

    def channel(self, name: str) -> RequestChannel:
        """Return the channel of an endpoint, made on first use."""
        if name not in self.channels:
            self.channels[name] = RequestChannel(name, self.endpoint(name), self.resources)
        return self.channels[name]

    def traffic(self, planned: int) -> Traffic:
        """Return a live view of the requests, with the forecast of their number."""
        return Traffic(self, planned)

    def run(self, work: Coroutine[Any, Any, T], drain: float = inf) -> T:
        """Run `work` in the event loop and wait for it, until the caller's time limit.

        At the limit nothing more is sent, and requests in flight have `DRAIN` seconds to finish,
        after an interruption `SHORT_DRAIN`, and `drain` at most. Cached answers are returned even
        if no time is left.

        Raises:
            TimeLimitReached: if the limit passed before every request was answered.
        """
        left = 0.0 if self._stopped else seconds_left()
        for channel in self.channels.values():
            channel.stopped = left <= 0
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            if not wait_in_slices(future, left):
                return self._finish_late(future, min(DRAIN, drain))
            return future.result()
        except KeyboardInterrupt:
            self._drain(future, min(SHORT_DRAIN, drain))
            raise
        except ChannelStopped:  # no time was left at the start
            raise TimeLimitReached from None

    def stop(self) -> None:
        """Send nothing more, for whichever thread; requests in flight may still be answered."""
        self._stopped = True
        for channel in self.channels.values():
            self._running().call_soon_threadsafe(channel.stop)

    def close(self) -> None:
        """Close all connections and the loop; give up either after `CLOSING` seconds."""
        if self._loop is None or self._thread is None:
            return
        wait_in_slices(asyncio.run_coroutine_threadsafe(self._finish(), self._loop), CLOSING)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING)
        if not self._thread.is_alive():
            self._loop.close()
        self._loop = None
        for channel in self.channels.values():
            channel.cache.release()

    async def _finish(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in self.channels.values():
            await channel.close()

    def _finish_late(self, future: Future[T], drain: float) -> T:
        self._drain(future, drain)
        try:
            return future.result()
        except (ChannelStopped, CancelledError):
            raise TimeLimitReached from None

    def _drain(self, future: Future[T], seconds: float) -> None:
        for channel in self.channels.values():
            self._running().call_soon_threadsafe(channel.stop)
        try:
            wait_in_slices(future, seconds)
        finally:
            future.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = _new_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="choose-endpoints", daemon=True
            )
            self._thread.start()
        return self._loop


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop that resolves names in daemon threads.

    The threads of asyncio's executor are waited for when the program ends, and a name server that
    does not answer would hold up Ctrl-C for as long as the system asks it again.
    """
    loop = asyncio.new_event_loop()

    async def getaddrinfo(*address: Any, **hints: Any) -> Any:
        resolved = Future[Any]()

        def resolve() -> None:
            try:
                resolved.set_result(socket.getaddrinfo(*address, **hints))
            except (OSError, UnicodeError) as error:
                resolved.set_exception(error)

        threading.Thread(target=resolve, name="choose-resolver", daemon=True).start()
        while not resolved.done():
            await asyncio.sleep(_RESOLVER_POLL)
        return resolved.result()

    loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    return loop


def wait_in_slices(future: Future[Any], seconds: float) -> bool:
    """Wait for a future so that Ctrl-C is heeded; return whether it is done."""
    end = monotonic() + seconds
    while not future.done():
        left = end - monotonic()
        if left <= 0:
            return False
        wait([future], min(left, SLICE))
    return True


_CURRENT: ContextVar[Session | None] = ContextVar("choose_endpoints", default=None)


@contextmanager
def connect_endpoints(
    endpoints: Mapping[str, Endpoint],
    *,
    max_usd: float | None = None,
    study: str = "",
    retry_policy: RetryPolicy | None = None,
    transport: Any = None,
) -> Iterator[Session]:
    """Make endpoints available to every strategy that is built or run inside the block.

    Args:
        endpoints: by the name in ``endpoint:NAME``.
        max_usd: spending limit of the block, in dollars.
        study: names the study; answers of servers on this machine are only reused in it.
        retry_policy: when failed requests are sent again.
        transport: replaces the network, for tests.
    """
    resources = SessionResources(
        ledger=Ledger(max_usd),
        paid=cache_dir() / "paid",
        retry_policy=retry_policy or RetryPolicy(),
        transport=transport,
        study=study,
    )
    session = Session(endpoints, resources)
    token = _CURRENT.set(session)
    try:
        yield session
    finally:
        _CURRENT.reset(token)
        session.close()


@contextmanager
def repeated_requests(repeat: int) -> Iterator[None]:
    """Send requests anew inside the block: a repeat never reuses the answer of another one."""
    token = REPEAT.set(repeat)
    try:
        yield
    finally:
        REPEAT.reset(token)


def current_session() -> Session:
    """Return the session that a strategy runs in; without one, a session without endpoints."""
    session = _CURRENT.get()
    return session or Session({}, SessionResources(ledger=Ledger(), paid=Path("paid")))


def endpoint_digest(spec: str) -> str:
    """Return the digest of the settings that identify the model behind ``endpoint:NAME``."""
    return current_session().endpoint(spec.removeprefix(PREFIX)).digest
