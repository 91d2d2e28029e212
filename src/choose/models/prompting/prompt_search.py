"""Choose how a model is prompted, on training rows that no prompt shows.

The search is greedy: one thing after another is varied (the demonstrations, then the wording), and
the best setting so far stays. Then the model rewrites the prompt from rows that it got wrong, and
what gains on the other rows is kept (as GEPA does, Agrawal et al. 2025). Questions are counted,
and end at stated limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import hold_out, strata_of
from choose.engines.weights.spec import endpoint_name
from choose.errors import MoneySpent
from choose.formatting import plural
from choose.models.endpoints.request_session import current_session
from choose.models.prompting.base_strategy import prompter_for
from choose.models.prompting.endpoint_prompter import ExamplesTooLong
from choose.models.prompting.prompts import (
    LABELS,
    WORDINGS,
    OwnPrompt,
    PromptSettings,
    as_own,
    single_line,
    wording_of,
)
from choose.progress import as_part
from choose.schema.candidate_scorecard import dollars
from choose.tasks.metrics import DEFAULT, metric_of
from choose.tasks.writing import Writing
from choose.types import Answers, Counts, Example, Floats, Item, Status, Task

if TYPE_CHECKING:
    from choose.models.prompting.base_strategy import Prompter

# Rows of a pool, and rows on which settings are compared, at least.
FEWEST_ROWS, FEWEST_ASKED = 20, 10

# Clusters of these rows, at least.
FEWEST_CLUSTERS = 5

# Rows with wrong answers that a model sees when it rewrites a prompt, and characters of each part.
SHOWN_ERRORS, ROW_LENGTH = 6, 240

# Words of a prompt that is rewritten, and tokens of what is shown with it, at most.
PROMPT_WORDS, PAGE_TOKENS = 250, 2_048

_BETTER = (
    "Below are a prompt for a language model and texts that the model answered wrongly with it. "
    f"Write a better prompt: keep what is right, add what the errors show in general, and keep "
    f"{LABELS} where the possible answers belong. Write the prompt and nothing else."
)

TOO_SMALL = (
    f"The training rows are too few to choose a prompt on (it takes {FEWEST_ROWS}, of which "
    f"{FEWEST_ASKED} from {FEWEST_CLUSTERS} groups are held out while rows of two labels are "
    "left), so the usual one is used."
)


# A search at an endpoint spends at most this share of the dollars that are left when it begins.
MONEY_SHARE = 0.25

# Questions between two looks at the dollars, at least.
PART = 8


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
    def cost(self) -> str:
        """Return in words how many questions were put, and the seconds or dollars they took."""
        questions = f"{self.asked:,} questions of at most {self.most:,}"
        if self.endpoint is None:
            return f"{questions}, {perf_counter() - self._started + self.cached_seconds:.0f} s"
        return f"{questions}, ${self.usd:.4f}" if self.usd else questions

    def answers(self, prompter: Prompter, rows: Sequence[Example | Item]) -> list[Answers]:
        """Put questions to a prompter, in parts where dollars are limited.

        It first calibrates on them where they are labelled.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        step = max(1, len(rows))
        if self.endpoint is not None and self._ledger.limit is not None:
            step = max(PART, current_session().endpoint(self.endpoint).concurrency)
        starts = range(0, len(rows), step)
        parts = [self._part(prompter, rows[start : start + step]) for start in starts]
        self.cached_seconds += float(prompter.facts()["cached_seconds"])
        return parts

    def _part(self, prompter: Prompter, rows: Sequence[Example | Item]) -> Answers:
        self._check(len(rows))
        before = self._ledger.requests
        labelled = [row for row in rows if isinstance(row, Example)]
        items = [row.item() if isinstance(row, Example) else row for row in rows]
        try:
            with as_part(self.asked, len(rows), self.planned, "choosing a prompt"):
                if labelled:
                    prompter.calibrate(labelled)
                answers = prompter.answer(items)
        except ExamplesTooLong:  # with other settings they may fit
            nothing: tuple[Status, ...] = tuple("refused" for _ in rows)
            answers = Answers(outputs=(None,) * len(rows), status=nothing)
        except MoneySpent:
            self.asked += min(len(rows), self._ledger.requests - before)
            self.usd = max(self.usd, self._ledger.committed - self._before)
            raise SearchStopped("--max-usd leaves no room for another request") from None
        self.asked += len(rows)
        if self.endpoint is not None:
            self._pay(answers, self.endpoint)
        return answers

    def _check(self, questions: int) -> None:
        if self.asked + questions > self.most:
            raise SearchStopped(f"it may ask {self.most:,} questions")
        if self.endpoint is None or self._ledger.limit is None:
            return
        left = self._ledger.limit - self._ledger.committed - self._ledger.reserved
        if self.usd * (1 + questions / max(1, self.asked)) > MONEY_SHARE * (left + self.usd):
            raise SearchStopped(
                f"it may spend {MONEY_SHARE:.0%} of the dollars that --max-usd left it"
            )

    def _pay(self, answers: Answers, endpoint: str) -> None:
        prices = current_session().endpoint(endpoint).prices
        counts = answers.tokens_in, answers.tokens_cached, answers.tokens_out
        found = None if prices is None else dollars(prices, *counts)
        if found is None:  # a server that counts no tokens is billed at what was reserved
            self.usd = max(self.usd, self._ledger.committed - self._before)
        else:
            self.usd += float(found.sum())


class Parts(NamedTuple):
    """A pool in two parts: rows to show, and rows on which prompts are compared.

    `clusters` has the number of the cluster of each row that is asked; near-duplicates and rows of
    a group share a cluster, and a part.
    """

    shown: list[Example]
    asked: list[Example]
    clusters: Counts


def parts_of(task: Task, pool: Sequence[Example], asked: int) -> Parts | None:
    """Divide a pool, evenly in the task's classes; None where it is too small."""
    if len(pool) < FEWEST_ROWS or asked < FEWEST_ASKED:
        return None
    cluster = clusters_of(pool, index_texts(pool))
    held = {*hold_out([e.id for e in pool], strata_of(task, pool), cluster, asked)}
    shown, rows = ([e for e in pool if (e.id in held) is so] for so in (False, True))
    few_labels = task.labels and len({e.target for e in shown}) < 2
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(cluster.get(e.id, f"row {e.id}"), len(numbers)) for e in rows]
    if len(rows) < FEWEST_ASKED or len(numbers) < FEWEST_CLUSTERS or few_labels:
        return None
    return Parts(shown, rows, np.array(own))


@dataclass(frozen=True, slots=True)
class PromptSetting:
    """A wording or a prompt instead, and the number of a draw (0: none)."""

    draw: int = 0
    wording: str = "labels"
    template: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What answered the rows asked with a setting, (rows,) its scores, and its answers."""

    prompter: Prompter
    scores: Floats
    outputs: Sequence[str | None]


class PromptSearch:
    """Compares settings on the same rows.

    Attributes:
        draws: demonstrations, by draw; the first is empty.
        usual: where the search begins.
        rewritten: prompts that the model wrote from errors, and how many of them were kept.
        known: what was measured, in order; the usual setting first.
        stopped: why the search ended early; empty if it did not.
    """

    def __init__(
        self,
        settings: PromptSettings,
        task: Task,
        pool: Sequence[Example],
        parts: Parts,
        draws: Sequence[Sequence[Example]],
        budget: SearchBudget,
    ) -> None:
        self.settings, self.task, self.pool, self.parts = settings, task, pool, parts
        self.draws, self.budget = [(), *draws], budget
        self.usual = PromptSetting(template=settings.template)
        self.known: dict[PromptSetting, Measured] = {}
        self.rewritten = self.kept = 0
        self.stopped = ""

    def run(self, rewrites: int) -> PromptSetting:
        """Return the best setting; the model rewrites the prompt so often."""
        best: PromptSetting | None = None
        try:
            self.measure(self.usual)
            for draw in range(1, len(self.draws)):
                self.measure(replace(self.usual, draw=draw))
            setting = self.best()
            for wording in WORDINGS:
                self.measure(replace(setting, wording=wording, template=""))
            best = self.best()
            for _ in range(rewrites):
                best = self.rewrite(best)
        except SearchStopped as stop:
            self.stopped = str(stop)
        return best or (self.best() if self.known else self.usual)

    def best(self) -> PromptSetting:
        means = {one: round(float(found.scores.mean()), 9) for one, found in self.known.items()}
        return max(means, key=means.__getitem__)

    def rewrite(self, best: PromptSetting) -> PromptSetting:
        """Return a prompt that the model rewrote from errors; the best one if that gains nothing.

        Errors are those of every other cluster of rows; the gain is that on the rows between.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        found, others = self.known[best], self.parts.clusters % 2 == 1
        wrong = np.flatnonzero((found.scores < 1) & ~others).tolist()
        if not wrong or not others.any():
            return best
        usual = as_own(self.task, wording_of(self.task, best.wording))
        prompt = OwnPrompt.read(best.template) if best.template else usual
        errors = [(self.parts.asked[place], found.outputs[place]) for place in wrong]
        # Another part of them each time.
        errors = [*errors[self.rewritten * SHOWN_ERRORS :], *errors][:SHOWN_ERRORS]
        try:
            new = rewritten(prompt, errors, self.settings, self.budget)
        except ValueError:  # no prompt
            return best
        self.rewritten += 1
        changed = replace(best, template=new.dump())
        if float((self.measure(changed).scores - found.scores)[others].mean()) <= 0:
            return best
        self.kept += 1
        return changed

    def measure(self, setting: PromptSetting) -> Measured:
        """Ask all rows with a setting, once.

        What a prompter chooses on labelled rows it chooses on these, which suits all settings
        alike.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        if setting in self.known:
            return self.known[setting]
        settings = replace(self.settings, wording=setting.wording, template=setting.template)
        prompter = prompter_for(settings, self.task, self.pool, self.draws[setting.draw])
        rows, metric = self.parts.asked, self.task.metrics[0]
        answered = self.budget.answers(prompter, rows)
        outputs = [output for part in answered for output in part.outputs]
        pairs = zip(outputs, rows, strict=True)
        scores = np.array([self.task.score(out, row.targets)[metric] for out, row in pairs])
        self.known[setting] = Measured(prompter, scores, outputs)
        return self.known[setting]

    def prompter(self, setting: PromptSetting) -> Prompter:
        found = self.known[setting].prompter
        if hasattr(found, "cached_seconds"):
            found.cached_seconds = 0.0  # the search counts them
        return found

    def notes(self, setting: PromptSetting, described: str) -> list[str]:
        ended = ""
        if self.stopped:
            kept = "the best so far is kept" if self.known else "the usual prompt is used"
            ended = f" It ended early because {self.stopped}: {kept}."
        if not self.known:
            return [
                f"Prompt: {described}.",
                f"The search compared nothing, for {self.budget.cost}.{ended}",
            ]
        best, usual = (float(self.known[one].scores.mean()) for one in (setting, self.usual))
        rewriting = ""
        if self.rewritten:
            times = plural(self.rewritten, "time")
            rewriting = (
                f" The model rewrote the prompt {times} from rows that it got wrong; {self.kept} "
                "gained on others."
            )
        metric = metric_of(DEFAULT if self.task.labels else self.task.metrics[0]).name
        return [
            f"Prompt: {described}.",
            f"The search compared {len(self.known)} settings on {len(self.parts.asked)} training "
            f"rows: {metric} {best:.3f}, too high as the best of several, the usual prompt "
            f"{usual:.3f}, for {self.budget.cost}.{ended}{rewriting}",
        ]


def rewritten(
    prompt: OwnPrompt,
    errors: Sequence[tuple[Example, str | None]],
    settings: PromptSettings,
    budget: SearchBudget,
) -> OwnPrompt:
    """Return a prompt as the model rewrites it from rows that were answered wrongly.

    Raises:
        SearchStopped: if the question would exceed a limit.
        ValueError: if what it writes is no prompt.
    """
    lines = ["The prompt:", prompt.instruction, "The errors:"]
    for row, output in errors:
        fields = "".join(f"{single_line(n)}: {single_line(v)}. " for n, v in row.fields.items())
        lines += [
            f"- {(fields + single_line(row.text))[:ROW_LENGTH]}",
            f"  answered: {single_line(output or 'nothing')[:ROW_LENGTH]}",
            f"  right: {single_line(row.target)[:ROW_LENGTH]}",
        ]
    # The limit of new tokens follows from the length of what is expected.
    sample = Example(id="length", text="", target="word " * PROMPT_WORDS)
    prompter = prompter_for(
        replace(settings, wording="bare", template="", calibrate=False, max_tokens=PAGE_TOKENS),
        Writing(instruction=_BETTER),
        [sample],
    )
    (answers,) = budget.answers(prompter, [Item(id="page 0", text="\n".join(lines))])
    ((output, raw),) = zip(answers.outputs, answers.raw or answers.outputs, strict=True)
    return prompt.rewritten((output or raw or "").strip().strip("`").strip())
