"""One endpoint's traffic: each request is asked until it is answered, and once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from choose.errors import EndpointError
from choose.files import digest
from choose.models.endpoints.client import Wire
from choose.models.endpoints.ledger import Journal, Ledger, Paid, Worst
from choose.models.endpoints.responses import paid_from
from choose.models.endpoints.retry import Breaker, Fault, GivenUp, Pace, Patience, Trouble
from choose.models.endpoints.settings import PROTOCOL, Endpoint, key_of

# Which time the same question is asked; part of what an answer is kept under.
REPEAT: ContextVar[int] = ContextVar("choose_endpoint_repeat", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all endpoints of a session share.

    Attributes:
        study: names the study to servers of this machine. What they serve changes under one URL
            and one name, so an answer is only reused in the study that it was given for.
    """

    ledger: Ledger
    folder: Path
    patience: Patience = field(default_factory=Patience)
    transport: Any = None
    study: str = ""


class NoAnswer(Exception):
    """A request failed as often as it may; other requests may do better."""


class Stopped(Exception):
    """Nothing more is asked; what is in flight may still come in."""


@dataclass
class Line:
    """An endpoint with its connection, its pace, its breaker and the answers it was paid for.

    Attributes:
        reused: answers that were on disk or in memory already.
        retried: requests that were put again, by the server's words.
        heard: whether the server has answered anything yet.
        stopped: whether nothing more is asked; what is on its way may still come in.
        inflight: requests by their key, those that wait for their turn among them.
    """

    name: str
    endpoint: Endpoint
    means: Means
    reused: int = 0
    retried: int = 0
    stopped: bool = False
    heard: bool = False
    inflight: dict[str, asyncio.Task[Paid]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the key and the journal; connect to nothing."""
        endpoint = self.endpoint
        self._key = key_of(self.name, endpoint)
        self._wire: Wire | None = None
        self._sent: set[asyncio.Task[Any] | None] = set()
        self._places = asyncio.Semaphore(endpoint.concurrency)
        self._chance = random.Random()
        self.pace = Pace(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self.breaker = Breaker(max(10, 2 * endpoint.concurrency))
        study = self.means.study if endpoint.stays_here else ""
        account = digest([endpoint.base_url, endpoint.model, study])
        self.journal = Journal(self.means.folder / f"{account[:16]}.jsonl", endpoint.reuse_days)

    @property
    def keys(self) -> list[str]:
        """Return what must be in no text."""
        return [self._key] if self._key else []

    def key(self, body: Mapping[str, Any]) -> str:
        """Identify a request: where it goes, all it holds, and which repeat of it this is."""
        return digest([PROTOCOL, self.endpoint.base_url, dict(body), REPEAT.get()])

    async def ask(self, body: Mapping[str, Any], worst: Worst) -> Paid:
        """Return the answer to a request, from disk if it was paid for before.

        Raises:
            Fault: if asking again is pointless.
            NoAnswer: if it failed too often.
            EndpointError: if the server is given up.
            MoneySpent: if the worst case does not fit what is left.
            Stopped: if it was not answered and nothing more is sent.
        """
        key = self.key(body)
        known = self.journal.answers.get(key)
        if known is not None:
            self.reused += 1
            return known
        task = self.inflight.get(key)
        if task is None and self.stopped:
            raise Stopped
        if task is None:
            task = asyncio.create_task(self._in_turn(key, body, worst))
            self.inflight[key] = task
            task.add_done_callback(lambda _: self.inflight.pop(key, None))
        else:
            self.reused += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # it waited for its turn when all was stopped
                raise Stopped from None
            raise

    def stop(self) -> None:
        """Ask nothing more, and end what waits for anything but an answer; call it in the loop."""
        self.stopped = True
        for task in set(self.inflight.values()) - self._sent:
            task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        if self._wire is not None:
            await self._wire.close()

    async def _in_turn(self, key: str, body: Mapping[str, Any], worst: Worst) -> Paid:
        async with self._places:
            trouble = Trouble(self.means.patience)
            while not self.stopped:
                try:
                    return await self._attempt(key, body, worst)
                except GivenUp:
                    raise self._given_up() from None
                except Fault as fault:
                    pause = self._pause_after(fault, trouble)
                if not self.stopped:
                    self.retried += 1
                    await asyncio.sleep(pause)
            raise Stopped

    async def _attempt(self, key: str, body: Mapping[str, Any], worst: Worst) -> Paid:
        async with self.breaker.passage():
            await self.pace.turn(worst.read / 4 + worst.written)
            held = await self.means.ledger.reserve(worst.usd(self.endpoint.prices))
            task = asyncio.current_task()
            self._sent.add(task)
            try:
                return await self._paid(key, body, held)
            finally:
                self._sent.discard(task)

    async def _paid(self, key: str, body: Mapping[str, Any], held: float) -> Paid:
        """Send it and keep the answer; the bill takes the place of what was `held`."""
        ledger = self.means.ledger
        try:
            if self._wire is None:
                self._wire = Wire(self.endpoint, self._key, self.means.transport)
            reply = await self._wire.post(body)
        except Fault as fault:
            ledger.free(held, unsure=fault.may_be_billed)
            self._judge(fault)
            raise
        except BaseException:  # cancelled on the way: it may have been answered and billed
            ledger.free(held, unsure=True)
            raise
        self.heard = True
        self.breaker.answered()
        self.pace.learn(reply.headers)
        paid = paid_from(reply)
        try:
            await asyncio.shield(asyncio.to_thread(self.journal.append, key, paid))
        finally:
            ledger.settle(held, paid.usage, self.endpoint.prices)
        return paid

    def _pause_after(self, fault: Fault, trouble: Trouble) -> float:
        """Return how long to wait before the same request again, or raise what ends it."""
        if fault.kind not in ("wait", "unsure"):
            raise fault
        # Being told to slow down is no failure, however often one is told.
        limited = fault.status == 429
        trouble.failures += not limited
        trouble.turns += 1
        if trouble.failures >= self._bearable(fault):
            raise NoAnswer(fault.said) from None
        pause = max(trouble.patience.pause(trouble.turns, self._chance), fault.pause or 0.0)
        if time.monotonic() - trouble.since + pause > trouble.patience.longest:
            raise EndpointError(
                f"The endpoint {self.name!r} makes us wait too long ({fault.said}). What was "
                "answered is kept; run the same command again later."
            ) from None
        if limited:
            self.pace.hold(pause)
        return pause

    def _bearable(self, fault: Fault) -> int:
        """Return how many failures end a request: few while the server has answered nothing."""
        most = self.means.patience.attempts
        if self.heard:
            return most
        return min(most, 3 if fault.unreachable else 5)

    def _judge(self, fault: Fault) -> None:
        if fault.kind in ("wait", "unsure") and fault.status != 429:
            self.breaker.failed()
        else:
            self.breaker.answered()

    def _given_up(self) -> EndpointError:
        return EndpointError(
            f"The endpoint {self.name!r} ({self.endpoint.host}) answers nothing any more; it was "
            f"tried again {len(self.breaker.pauses)} times. What was answered is kept and not "
            "paid for again: run the same command when it is back."
        )
