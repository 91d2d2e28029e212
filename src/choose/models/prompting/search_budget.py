"""The budget of a search among prompts: its questions and dollars, counted and limited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from choose.errors import MoneySpent
from choose.models.endpoints.command_session import current_session
from choose.models.prompting.prompts import Prompter
from choose.models.weights.spec import endpoint_name
from choose.progress import as_part
from choose.schema.scorecard import dollars
from choose.types import Answers, Item

# A search at an endpoint spends at most this share of the dollars that are left when it begins.
MONEY_SHARE = 0.25

# Requests between two looks at the dollars, at least.
CHUNK = 8


class SearchStopped(Exception):
    """A search may ask no further question; the message says why, after "because"."""


class SearchBudget:
    """The questions that a search may put to a model, and the dollars that it may spend.

    Attributes:
        most: questions that it may put.
        asked: questions that it has put.
        usd: dollars for their answers; those that were paid for before count too, so that a search
            that is repeated spends nothing more.
        cached_seconds: what cached answers took when they were computed.
    """

    def __init__(self, model: str, most: int, planned: int) -> None:
        self.most, self.planned, self.asked = most, planned, 0
        self.usd, self.cached_seconds, self._started = 0.0, 0.0, perf_counter()
        self.endpoint = endpoint_name(model)
        self._ledger = current_session().ledger
        self._before = self._ledger.committed

    @property
    def seconds(self) -> float:
        """Return the seconds since the search began, with those of cached answers."""
        return perf_counter() - self._started + self.cached_seconds

    @property
    def cost(self) -> str:
        """Return in words how many questions were put, and the seconds or dollars they took."""
        questions = f"{self.asked:,} questions of at most {self.most:,}"
        if self.endpoint is None:
            return f"{questions}, {self.seconds:.0f} s"
        return f"{questions}, ${self.usd:.4f}" if self.usd else questions

    def answers(self, prompter: Prompter, items: Sequence[Item]) -> list[Answers]:
        """Put questions to a prompter, in parts where dollars are limited.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        parts, step = [], max(1, len(items))
        if self.endpoint is not None and self._ledger.limit is not None:
            endpoint = current_session().endpoint(self.endpoint)
            step = max(CHUNK, endpoint.concurrency)
        for first in range(0, len(items), step):
            some = items[first : first + step]
            with self.count(len(some)):
                parts.append(prompter.answer(some))
            self._pay(parts[-1])
        return parts

    @contextmanager
    def count(self, questions: int) -> Iterator[None]:
        """Count questions that are put inside the block, and report progress.

        Raises:
            SearchStopped: if they would exceed a limit.
        """
        self.check(questions)
        try:
            with as_part(self.asked, questions, self.planned, "choosing a prompt"):
                yield
                self.asked += questions
        except MoneySpent:
            raise SearchStopped("--max-usd leaves no room for another request") from None

    def check(self, questions: int) -> None:
        """Raise if so many more questions would exceed a limit.

        Raises:
            SearchStopped: saying which.
        """
        if self.asked + questions > self.most:
            raise SearchStopped(f"it may ask {self.most:,} questions")
        if self.endpoint is None or self._ledger.limit is None:
            return
        left = self._ledger.limit - self._ledger.total
        each = self.usd / self.asked if self.asked else 0.0
        if self.usd + each * questions > MONEY_SHARE * (left + self.usd):
            raise SearchStopped(
                f"it may spend {MONEY_SHARE:.0%} of the dollars that --max-usd left it"
            )

    def _pay(self, answers: Answers) -> None:
        if self.endpoint is None:
            return
        prices = current_session().endpoint(self.endpoint).prices
        counts = answers.tokens_in, answers.tokens_cached, answers.tokens_out
        found = None if prices is None else dollars(prices, *counts)
        if found is None:  # a server that counts no tokens is billed at what was reserved
            self.usd = max(self.usd, self._ledger.committed - self._before)
        else:
            self.usd += float(found.sum())
