"""The endpoints of one command: requests, retries, paid answers, one ledger, and the event loop."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from choose.engines.environment_settings import cache_dir
from choose.engines.weights.resolve import weights_digest
from choose.engines.weights.spec import endpoint_name
from choose.errors import EndpointError, ModelError, did_you_mean
from choose.files import digest
from choose.models.endpoints.client import EndpointClient, RequestFault, Retries, RetryPolicy
from choose.models.endpoints.ledger import AnswerCache, Ledger, PaidAnswer, token_cost, worst_case
from choose.models.endpoints.responses import parse_reply
from choose.models.endpoints.settings import PROTOCOL, Endpoint, api_key
from choose.progress import TimeLimitReached, seconds_left

# So many requests in turn that got no answer, however often they were sent, mean a dead server.
_LOST = 3

# Statuses that refuse a key or an account, so that no later request can work.
_REFUSALS = frozenset({401, 402, 403, 429})


class RetriesExhausted(Exception):
    """A request failed as often as the policy allows; other requests may succeed."""


class ChannelStopped(Exception):
    """The channel sends nothing more; requests in flight may still be answered."""


@dataclass
class RequestChannel:
    """An endpoint with its connection and its cache of answers; `concurrency` requests at a time.

    Attributes:
        has_answered: whether the server has answered any request.
        stopped: whether nothing more is sent; requests in flight may still be answered.
        refusal: the answer that refused the key, after which nothing is sent in this session.
        lost: requests in turn that got no answer.
        oversized: faults of answers that were too long to be read, by the key of their request.
        in_flight: tasks by the key of their request, queued ones included.
        accepted: what the server accepts, by what was tried first.
    """

    name: str
    endpoint: Endpoint
    session: Session
    stopped: bool = False
    refusal: RequestFault | None = None
    has_answered: bool = False
    lost: int = 0
    oversized: dict[str, RequestFault] = field(default_factory=dict)
    in_flight: dict[str, asyncio.Task[PaidAnswer]] = field(default_factory=dict)
    accepted: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        endpoint = self.endpoint
        self._api_key = api_key(self.name, endpoint)
        self._client: EndpointClient | None = None
        self._sent: set[asyncio.Task[Any] | None] = set()
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._rng = random.Random()
        study = self.session.study if endpoint.is_local else ""
        account = digest([endpoint.base_url, endpoint.model, study])
        self.cache = AnswerCache(self.session.paid / f"{account[:16]}.jsonl", endpoint.reuse_days)

    async def send(self, body: Mapping[str, Any]) -> PaidAnswer:
        """Return the answer to a request, from the cache if it was paid for before.

        Raises:
            RequestFault: if a retry is pointless.
            RetriesExhausted: if it failed too often.
            ChannelStopped: if the channel was stopped before it was answered.
        """
        key = digest([PROTOCOL, self.endpoint.base_url, dict(body)])
        cached = self.cache.answers.get(key)
        if cached is not None:
            self.session.ledger.reused += 1
            return cached
        task = self.in_flight.get(key)
        if task is None and (fault := self.oversized.get(key, self.refusal)) is not None:
            raise fault
        if task is None and self.stopped:
            raise ChannelStopped
        if task is None:
            task = asyncio.create_task(self._with_retries(key, body))
            self.in_flight[key] = task
            task.add_done_callback(lambda _: self.in_flight.pop(key, None))
        else:
            self.session.ledger.reused += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # `stop` cancelled it in the queue
                raise ChannelStopped from None
            raise

    def stop(self) -> None:
        self.stopped = True
        for task in set(self.in_flight.values()) - self._sent:
            task.cancel()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _with_retries(self, key: str, body: Mapping[str, Any]) -> PaidAnswer:
        async with self._slots:
            self.cache.hold()
            if (paid := self.cache.answers.get(key)) is not None:  # by another command, meanwhile
                self.session.ledger.reused += 1
                return paid
            retries = Retries()
            while not self.stopped:
                try:
                    return await self._pay(key, body)
                except RequestFault as fault:
                    pause = self._pause_after(fault, retries)
                finally:
                    self._sent.discard(asyncio.current_task())
                if not self.stopped:
                    self.session.ledger.retried += 1
                    await asyncio.sleep(pause)
            raise ChannelStopped

    async def _pay(self, key: str, body: Mapping[str, Any]) -> PaidAnswer:
        """Send a request, write the answer to disk, and replace the reservation by the bill."""
        ledger = self.session.ledger
        reserved = await ledger.reserve(token_cost(self.endpoint.prices, worst_case(body)))
        self._sent.add(asyncio.current_task())
        try:
            if self._client is None:
                self._client = EndpointClient(self.endpoint, self._api_key, self.session.transport)
            reply = await self._client.post(body)
        except RequestFault as fault:
            ledger.release(reserved, maybe_billed=fault.may_be_billed)
            if fault.kind == "fatal" and fault.status in _REFUSALS:
                self.refusal = fault
            if fault.kind == "oversized":
                self.oversized[key] = fault
            if fault.kind not in ("wait", "unsure"):
                self.lost = 0
            raise
        except BaseException:  # cancelled after it was sent: the provider may bill it
            ledger.release(reserved, maybe_billed=True)
            raise
        self.has_answered, self.lost = True, 0
        paid = parse_reply(reply, [self._api_key] if self._api_key else ())
        try:
            await asyncio.shield(asyncio.to_thread(self.cache.add, key, paid))
        finally:
            ledger.book(reserved, paid.usage, self.endpoint.prices)
        return paid

    def _pause_after(self, fault: RequestFault, retries: Retries) -> float:
        """Return the seconds until the next attempt, or raise if there is none."""
        if fault.kind not in ("wait", "unsure"):
            raise fault
        # A rate limit is no failure, however often the server reports it.
        rate_limited = fault.status == 429
        retries.failures += not rate_limited
        retries.attempts += 1
        # Few where the server is silent so far.
        alive = self.has_answered and self.lost < _LOST
        if retries.failures >= (self.session.retry_policy.attempts if alive else 3):
            self.lost += 1
            if self.has_answered and self.lost >= _LOST:
                raise EndpointError(
                    f"The endpoint {self.name!r} ({self.endpoint.host}) has stopped answering: "
                    f"{self.lost} requests in turn got no answer. Answers received are cached and "
                    "not paid for again: run the same command when the server is back."
                )
            raise RetriesExhausted(fault.message)
        policy = self.session.retry_policy
        pause = max(policy.pause(retries.attempts, self._rng), fault.retry_after or 0.0)
        if time.monotonic() - retries.started + pause > policy.max_total:
            raise EndpointError(
                f"The endpoint {self.name!r} makes requests wait too long ({fault.message}). "
                "Answers received are cached; run the same command again later."
            ) from None
        return pause


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


@dataclass(eq=False)
class Session:
    """The endpoints of a study, one ledger of money, and one event loop in its own thread.

    The loop has its own thread because notebooks already run one in theirs.

    Attributes:
        endpoints: by the name in ``endpoint:NAME``.
        paid: the folder of paid answers.
        study: names the study to servers on this machine. What they serve can change under one URL
            and one name, so their answers are only reused in the study that requested them.
        transport: replaces the network, for tests.
        started: when the session began, in seconds since 1970.
    """

    endpoints: Mapping[str, Endpoint]
    paid: Path
    ledger: Ledger = field(default_factory=Ledger)
    study: str = ""
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    transport: Any = None
    started: float = field(default_factory=time.time)
    channels: dict[str, RequestChannel] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _stopped: bool = False

    def endpoint(self, name: str) -> Endpoint:
        if name not in self.endpoints:
            known = ", ".join(self.endpoints) or "none"
            raise ModelError(
                f"No endpoint {name!r}.{did_you_mean(name, self.endpoints)} The study file's "
                f"[endpoints.NAME] sections name: {known}; those of a stored study do not count. "
                "Or give --model MODEL with --base-url."
            )
        return self.endpoints[name]

    def channel(self, name: str) -> RequestChannel:
        if name not in self.channels:
            self.channels[name] = RequestChannel(name, self.endpoint(name), self)
        return self.channels[name]

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
                self._drain(future, min(DRAIN, drain))
            return future.result()
        except KeyboardInterrupt:
            self._drain(future, min(SHORT_DRAIN, drain))
            raise
        except (ChannelStopped, CancelledError):
            raise TimeLimitReached from None

    def stop(self) -> None:
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

    def _drain(self, future: Future[T], seconds: float) -> None:
        for channel in self.channels.values():
            self._running().call_soon_threadsafe(channel.stop)
        try:
            wait_in_slices(future, seconds)
        finally:
            future.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_default_executor(_DaemonThreads())
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="choose-endpoints", daemon=True
            )
            self._thread.start()
        return self._loop


class _DaemonThreads(ThreadPoolExecutor):
    """Runs calls, such as those that resolve names, in threads that are not waited for at the end.

    A name server that does not answer would otherwise hold up Ctrl-C for a long time.
    """

    def submit(self, call: Any, /, *args: Any, **options: Any) -> Future[Any]:
        future = Future[Any]()
        future.set_running_or_notify_cancel()  # it cannot be cancelled from here on

        def run() -> None:
            try:
                future.set_result(call(*args, **options))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future


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
    **options: Any,
) -> Iterator[Session]:
    """Make endpoints available to every strategy that is built or run inside the block.

    `max_usd` is its spending limit in dollars; `options` are attributes of a `Session`.
    """
    session = Session(dict(endpoints), cache_dir() / "paid", Ledger(limit=max_usd), **options)
    token = _CURRENT.set(session)
    try:
        yield session
    finally:
        _CURRENT.reset(token)
        session.close()


def current_session() -> Session:
    """Return the session that a strategy runs in; without one, a session without endpoints."""
    return _CURRENT.get() or Session({}, Path("paid"))


def model_digest(spec: str) -> str:
    """Return a digest of a model's weights, or of what identifies the one behind an endpoint."""
    name = endpoint_name(spec)
    return weights_digest(spec) if name is None else current_session().endpoint(name).digest
