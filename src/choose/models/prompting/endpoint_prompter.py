"""Prompts to a model behind an endpoint; the counterpart of the local prompter."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from choose.engines.weights.spec import endpoint_name
from choose.errors import EndpointError, MoneySpent, StrategyError
from choose.models.endpoints.client import RequestFault
from choose.models.endpoints.handshake import (
    BYTES_PER_TOKEN,
    PROBE_TEXT,
    AnswerFormat,
    Capabilities,
    Message,
    fault_message,
    handshake,
    request_body,
)
from choose.models.endpoints.ledger import PaidAnswer
from choose.models.endpoints.request_session import (
    ChannelStopped,
    RetriesExhausted,
    current_session,
)
from choose.models.endpoints.responses import LabelParser, RowAnswer, collect_answers, visible_text
from choose.models.prompting.prompts import Turn, judged_answer, lines_of, single_line
from choose.tasks.multilabel import Multilabel
from choose.types import Answers, Example, Item, Status, Task


class ExamplesTooLong(EndpointError):
    """A server refuses most prompts as too long for its context, with the examples they show."""


class EndpointPrompter:
    """Predicts the answers of a task with a model behind an endpoint.

    There is no calibration: it needs the probability of every label, which servers do not give.

    Its spec is ``endpoint:NAME``. `messages` lays out a prompt: demonstrations, each with its
    label, and the test row last. `plain` requests no JSON schema.

    Attributes:
        cut_ids: texts that were cut.
        overfull: rows that were refused as too long with the demonstrations before them.
        failed: the last error for each row that got no answer, by id.
        reused: answers that an earlier command had paid for.
        cached_seconds: what answers took that were not requested again.
    """

    def __init__(
        self,
        model: str,
        task: Task,
        shown: Sequence[Example] = (),
        *,
        messages: Callable[[Capabilities, Sequence[Turn]], list[Message]],
        max_tokens: int,
        answer: AnswerFormat,
        plain: bool = False,
    ) -> None:
        self.model, self.task, self.messages = model, task, messages
        self.max_tokens, self.plain = max_tokens, plain
        self.names = [single_line(name) for name in task.names]
        self.format = answer
        self.cut_ids, self.overfull, self.failed = set[str](), set[str](), dict[str, str]()
        self.reused, self.cached_seconds = 0, 0.0
        self.shown = [self._turn(example) for example in shown]
        self.session = current_session()
        self.channel = self.session.channel(endpoint_name(model) or "")
        self.parser = LabelParser(task)
        self.accepts: Capabilities | None = None

    def connect(self) -> Capabilities:
        """Find out what the server accepts; cached for each task and endpoint."""
        work = handshake(
            self.channel,
            self.format,
            messages=lambda accepts: self.messages(accepts, [Turn(PROBE_TEXT)]),
            first=Capabilities.initial(self.channel.endpoint, self.format, self.plain),
        )
        self.accepts = self.session.run(work, drain=0.1)
        return self.accepts

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        """Do nothing."""

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        """Predict each item, after its own demonstrations, if any, in the order given."""
        own = demonstrations or [()] * len(items)
        accepts, start = self.connect() if items else None, time.time()
        rows: list[RowAnswer] = []
        if accepts is not None:
            rows = self.session.run(self._predict_all(accepts, items, own))
        for row in rows:
            if row.paid is not None and row.paid.when < start:
                self.reused += row.paid.when < self.session.started
                self.cached_seconds += row.paid.seconds / self.channel.endpoint.concurrency
        facts["raw"] = tuple(
            row.paid.content if row.paid and row.status != "ok" else None for row in rows
        )
        return collect_answers(rows, **facts)

    def facts(self) -> dict[str, Any]:
        notes = [] if self.accepts is None else [*self._notes(self.accepts)]
        return {"notes": notes, "cached_seconds": self.cached_seconds}

    def _notes(self, accepts: Capabilities) -> Iterator[str]:
        labels = self.task.labels or isinstance(self.task, Multilabel)
        what = "labels" if labels else "fields" if self.format.schema else ""
        if accepts.schema:
            yield f"Answers were held to the {what} by a JSON schema."
        elif what:
            yield f"Answers were plain text, matched to the {what} strictly."
        if not accepts.temperature:
            yield "The temperature could not be set to 0, so answers may differ between repeats."
        if self.cut_ids:
            size = f"{self.max_tokens} tokens ({self.max_tokens * BYTES_PER_TOKEN:,} bytes)"
            yield f"Texts cut to about {size}: {len(self.cut_ids)}."
        if self.failed:
            reason = next(iter(self.failed.values()))
            yield f"{len(self.failed)} rows got no answer, which counts as wrong: {reason}."
        if self.reused:
            yield f"{self.reused} answers were paid for by earlier runs and not requested again."

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Refuse: a model behind an endpoint cannot be exported."""
        raise StrategyError(
            f"{self.model!r} is behind an endpoint and cannot be exported. Send requests to "
            "the endpoint itself, or export a candidate that runs on this machine."
        )

    async def _predict_all(
        self, accepts: Capabilities, items: Sequence[Item], own: Sequence[Sequence[Example]]
    ) -> list[RowAnswer]:
        """Send everything at once; the channel bounds what is in flight, and waits for it."""
        requests = [self._row(accepts, i, rows) for i, rows in zip(items, own, strict=True)]
        results = await asyncio.gather(*requests, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in sorted(errors, key=lambda e: isinstance(e, ChannelStopped)):
            raise error
        rows = [result for result in results if isinstance(result, RowAnswer)]
        overfull = sum(item.id in self.overfull for item in items)
        missing = overfull + sum(row.paid is None and row.status == "empty" for row in rows)
        if 2 * missing >= len(rows) > 0:
            # One row that breaks a server is a finding; most rows mean that the server is down.
            reason = next(reversed(self.failed.values()))
            advice, kind = "run the same command again.", EndpointError
            if 2 * overfull >= missing:
                advice = "the prompts do not fit its context: show fewer examples or shorter texts."
                kind = ExamplesTooLong
            raise kind(
                f"The endpoint {self.channel.name!r} ({self.channel.endpoint.host}) left {missing} "
                f"of {len(rows)} requests unanswered ({reason}). Answers received are cached; "
                f"{advice}"
            )
        return rows

    async def _row(
        self, accepts: Capabilities, item: Item, demonstrations: Sequence[Example]
    ) -> RowAnswer:
        turns = [*self.shown, *map(self._turn, demonstrations), self._turn(item)]
        messages = self.messages(accepts, turns)
        body = request_body(self.channel.endpoint, accepts, messages, self.format)
        try:
            paid = await self.channel.send(body)
            return RowAnswer(*self._parsed(paid), paid)
        except RetriesExhausted as failure:
            self.failed[item.id] = str(failure)
            return RowAnswer(None, "empty")
        except RequestFault as fault:
            if fault.kind in ("refused", "rejected", "oversized"):
                self.failed[item.id] = fault.message
                if fault.too_long and turns[1:]:
                    self.overfull.add(item.id)
                return RowAnswer(None, "cut" if fault.kind == "oversized" else "refused")
            self.channel.stop()
            raise EndpointError(fault_message(self.channel, fault)) from None
        except (EndpointError, MoneySpent):
            self.channel.stop()
            raise

    def _parsed(self, paid: PaidAnswer) -> tuple[str | None, Status]:
        if self.task.labels:
            return self.parser.parse(paid)
        text, problem = visible_text(paid)
        if problem is not None:
            return None, problem
        return judged_answer(self.task, text, cut=paid.finish == "length")

    def _turn(self, row: Example | Item) -> Turn:
        limit, parts = self.max_tokens * BYTES_PER_TOKEN, []
        for part in (row.text, *row.fields.values()):
            encoded = self._tidy(part).encode("utf-8")
            if len(encoded) > limit:
                self.cut_ids.add(row.id)
            parts.append(encoded[:limit].decode("utf-8", "ignore"))
        answer = None
        if isinstance(row, Example):
            labels = self.task.labels
            answer = self.names[labels.index(row.target)] if labels else self._tidy(row.target)
        return Turn(parts[0], answer, tuple(zip(row.fields, parts[1:], strict=True)))

    def _tidy(self, text: str) -> str:
        return single_line(text) if self.task.labels else lines_of(text)
