"""Put a task's items to a model behind an endpoint; the counterpart of the local prompter."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from choose.errors import EndpointError, MoneySpent, StrategyError
from choose.models.endpoints.channel import NoAnswer, Stopped
from choose.models.endpoints.handshake import PROBE, Probe, explained, handshake
from choose.models.endpoints.ledger import Paid
from choose.models.endpoints.requests import BYTES_A_TOKEN, Accepts, Message, body_for, worst_of
from choose.models.endpoints.responses import Reader, Row, answers_of
from choose.models.endpoints.retry import Fault
from choose.models.endpoints.session import current
from choose.models.prompting.prompts import Turn, tidy
from choose.models.weights.spec import endpoint_name
from choose.types import Answers, Example, Item, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a model behind an endpoint is asked.

    Attributes:
        model: its spec, ``endpoint:NAME``.
        lay_out: writes the prompt: demonstrations, each with its label, and the question last.
        max_tokens: of one text; the rest is cut off.
        plain: whether the answer is left to the model's own form, without a schema.
    """

    model: str
    lay_out: Callable[[Accepts, Sequence[Turn]], list[Message]]
    max_tokens: int
    plain: bool = False


@dataclass
class Happened:
    """What happened to the rows since the asker was made.

    Attributes:
        cut: ids of texts that were cut.
        failed: the last complaint for each row that got no answer.
        shown: how often how many demonstrations were shown, where not all fitted.
        reused: answers that had been paid for before.
        seconds: what those took when they were asked.
    """

    cut: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    shown: Counter[int] = field(default_factory=Counter)
    reused: int = 0
    seconds: float = 0.0


class Asker:
    """A task before a model behind an endpoint.

    There is no calibration: it would cost a request for each of its rows, and needs the exact
    score of every label.
    """

    calibrates = False

    def __init__(self, manner: Manner, task: Task, shown: Sequence[Example] = ()) -> None:
        self.manner, self.task = manner, task
        self.names = [tidy(name) for name in task.names]
        self.happened = Happened()
        self.shown = [self._turn(example) for example in shown]
        self.session = current()
        self.line = self.session.line(endpoint_name(manner.model) or "")
        self.reader = Reader(task)
        self.accepts: Accepts | None = None

    def greet(self) -> Accepts:
        """Find out what the server takes; asked once for each task and endpoint.

        Raises:
            EndpointError: where nothing can work.
        """
        first = Accepts.at_first(self.line.endpoint, self.names, self.manner.plain)
        probe = Probe(self.names, lambda a: self.manner.lay_out(a, [Turn(PROBE)]), first)
        self.accepts = self.session.run(handshake(self.line, probe))
        return self.accepts

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        """Do nothing."""

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        """Answer the items, each with its own demonstrations, if any, in the order shown.

        Raises:
            EndpointError: if the endpoint cannot be used any more; paid answers are kept.
            MoneySpent: if the next request could cost more than is left.
        """
        own = demonstrations or [()] * len(items)
        accepts, start = self.greet() if items else None, time.time()
        rows: list[Row] = []
        if accepts is not None:
            rows = self.session.run(self._all(accepts, items, own))
        for row in rows:
            if row.paid is not None and row.paid.when < start:
                self.happened.reused += 1
                self.happened.seconds += row.paid.seconds / self.line.endpoint.concurrency
        return answers_of(rows, self.task.labels, self.names, **facts)

    def facts(self) -> dict[str, Any]:
        """Return how it was computed since this asker was made."""
        notes: list[str] = []
        if self.accepts is not None:
            notes += notes_on(self.accepts, self.happened, len(self.shown), self.manner.max_tokens)
        return {"notes": notes, "cached_seconds": self.happened.seconds}

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Refuse: the model is not here to be exported.

        Raises:
            StrategyError: always.
        """
        raise StrategyError(
            f"{self.manner.model!r} is behind an endpoint and cannot be exported. Ask the endpoint "
            "itself, or export a candidate that runs here."
        )

    async def _all(
        self, accepts: Accepts, items: Sequence[Item], own: Sequence[Sequence[Example]]
    ) -> list[Row]:
        """Ask everything at once, as far as the line allows; what is in flight always comes in."""
        asked = [self._row(accepts, i, rows) for i, rows in zip(items, own, strict=True)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        errors = [row for row in found if isinstance(row, BaseException)]
        for error in sorted(errors, key=lambda e: isinstance(e, Stopped)):
            raise error
        rows = [row for row in found if isinstance(row, Row)]
        unheard = sum(row.paid is None and row.status == "empty" for row in rows)
        if 2 * unheard >= len(rows) > 0:
            # A row that breaks a server is a finding; most rows are a server that is down.
            said = next(reversed(self.happened.failed.values()))
            raise EndpointError(
                f"The endpoint {self.line.name!r} ({self.line.endpoint.host}) left {unheard} of "
                f"{len(rows)} requests unanswered ({said}). What was answered is kept; run the "
                "same command again."
            )
        return rows

    async def _row(self, accepts: Accepts, item: Item, rows: Sequence[Example]) -> Row:
        try:
            return await self._answer(accepts, item, [self._turn(row) for row in rows])
        except NoAnswer as failure:
            self.happened.failed[item.id] = str(failure)
            return Row(None, "empty")
        except Fault as fault:
            if fault.kind in ("refused", "rejected", "too-long"):
                self.happened.failed[item.id] = fault.said
                return Row(None, "refused")
            self.line.stop()
            raise EndpointError(explained(self.line, fault)) from None
        except (EndpointError, MoneySpent):
            self.line.stop()
            raise

    async def _answer(self, accepts: Accepts, item: Item, own: list[Turn]) -> Row:
        question, several = self._turn(item), len(self.shown) + len(own)
        count = self._fitting(accepts, question, own)
        while True:
            try:
                paid = await self._ask(accepts, [*self._demonstrations(own, count), question])
            except Fault as fault:
                if fault.kind != "too-long" or not count:
                    raise
                count //= 2
                continue
            if count < several:
                self.happened.shown[count] += 1
            return Row(*self.reader.read(paid), paid)

    async def _ask(self, accepts: Accepts, turns: Sequence[Turn]) -> Paid:
        endpoint = self.line.endpoint
        body = body_for(endpoint, accepts, self.manner.lay_out(accepts, turns), self.names)
        return await self.line.ask(body, worst_of(body))

    def _demonstrations(self, own: Sequence[Turn], count: int) -> list[Turn]:
        """Return as many as are to be shown: the first of the fixed ones, the nearest of others."""
        every = [*self.shown, *own]
        return every[len(every) - count :] if own else every[:count]

    def _fitting(self, accepts: Accepts, question: Turn, own: Sequence[Turn]) -> int:
        """Return how many demonstrations fit the context that the study file states, if it does."""
        count, context = len(self.shown) + len(own), self.line.endpoint.context
        while count and context is not None:
            turns = [*self._demonstrations(own, count), question]
            told = sum(
                len(m["content"].encode("utf-8")) for m in self.manner.lay_out(accepts, turns)
            )
            # Three bytes a token is on the safe side of most tokenisers; messages have a frame.
            if told / 3 + 8 * (len(turns) * 2 + 1) + accepts.room <= context:
                break
            count -= 1
        return count

    def _turn(self, row: Example | Item) -> Turn:
        text, limit = tidy(row.text), self.manner.max_tokens * BYTES_A_TOKEN
        whole = text.encode("utf-8")
        if len(whole) > limit:
            self.happened.cut.add(row.id)
            text = whole[:limit].decode("utf-8", "ignore")
        if isinstance(row, Item):
            return Turn(text)
        return Turn(text, self.task.names[self.task.labels.index(row.target)])


def notes_on(accepts: Accepts, happened: Happened, shown: int, max_tokens: int) -> list[str]:
    """Return the sentences."""
    return list(_notes(accepts, happened, shown, max_tokens))


def _notes(accepts: Accepts, happened: Happened, shown: int, max_tokens: int) -> Iterator[str]:
    if accepts.schema:
        yield "Answers were held to the labels by a JSON schema."
    else:
        yield "Answers were plain text, matched to the labels strictly."
    if not accepts.temperature:
        yield "The temperature could not be set to 0, so answers may differ between repeats."
    if not accepts.odds:
        yield "No log-probabilities were given, so there is no confidence in single answers."
    if happened.cut:
        yield (
            f"{len(happened.cut)} texts were cut to about {max_tokens} tokens "
            f"({max_tokens * 4:,} bytes)."
        )
    if happened.shown:
        rows, fewest, most = happened.shown.total(), min(happened.shown), max(happened.shown)
        fit = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        of = f" of {shown}" if shown else ""
        yield f"The model's context is too small: {fit}{of} demonstrations fit, in {rows} requests."
    if happened.failed:
        said = next(iter(happened.failed.values()))
        yield f"{len(happened.failed)} rows got no answer, which counts as wrong: {said}."
    if happened.reused:
        yield f"{happened.reused} answers had been paid for before and were not asked again."
