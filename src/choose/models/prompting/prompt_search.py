"""Choose how a model is prompted, on training rows that no prompt shows.

A setting has a level of each of several factors: a wording, demonstrations, and so on. The usual
setting is compared with settings that differ from it in one factor, and with the combination of the
best levels. What is combined is chosen on one half of the rows and scored on the other, so that no
score is of rows on which its setting was chosen. Questions are counted, and end at stated limits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import hold_out, strata_of
from choose.formatting import plural
from choose.models.classical.inner_selection import (
    FEWEST_ROWS,
    Choice,
    Gained,
    choose_setting,
)
from choose.models.prompting.local_prompter import (
    Calibration,
    LocalPrompter,
    fit_calibration,
    fit_weighted_calibration,
)
from choose.models.prompting.prompts import Prompter, field_types
from choose.models.prompting.search_budget import SearchBudget, SearchStopped
from choose.schema.score_names import name_of
from choose.tasks.multilabel import Multilabel
from choose.tasks.writing import Writing
from choose.types import Answers, Counts, Example, Floats, Task

Setting = tuple[Hashable, ...]

# Rows on which settings are compared, at least.
FEWEST_ASKED = 10

# Parts of the rows for calibrations, which are scored on rows that they were not fitted to; there
# are as many clusters of rows at least.
PARTS = 5

USUAL, FITTED = "as usual", "fitted calibration"

CALIBRATIONS: Mapping[str, Callable[[Floats, Sequence[int]], Calibration]] = {
    USUAL: fit_calibration,
    FITTED: fit_weighted_calibration,
}

TOO_SMALL = (
    f"The training rows are too few to choose a prompt on (it takes {FEWEST_ROWS}, of which "
    f"{FEWEST_ASKED} from {PARTS} groups are held out while rows of two labels are left), so the "
    "usual one is used."
)


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
    held = {*hold_out([e.id for e in pool], strata_of(task, pool), cluster, asked, seed=0)}
    shown, rows = ([e for e in pool if (e.id in held) is so] for so in (False, True))
    few_labels = task.labels and len({e.target for e in shown}) < 2
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(cluster.get(e.id, f"row {e.id}"), len(numbers)) for e in rows]
    if len(rows) < FEWEST_ASKED or len(numbers) < PARTS or few_labels:
        return None
    return Parts(shown, rows, np.array(own))


@dataclass(frozen=True, slots=True)
class Measured:
    """A setting's (rows,) scores, and the log-probabilities of right labels, by calibration.

    `logprobs` are those of all labels before calibration, where a local model gives them.
    """

    scores: Mapping[str, Floats]
    likelihood: Mapping[str, Floats]
    logprobs: Floats | None = None

    @property
    def merit(self) -> Floats:
        """Return (rows,) what levels are ranked by: the likelihood varies less than the score."""
        return self.scores[USUAL] if self.logprobs is None else self.likelihood[FITTED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a search chose; `choice` is None where it could not even measure the usual setting."""

    setting: Setting
    calibration: str = USUAL
    choice: Choice | None = None
    stopped: str = ""
    measured: int = 0


# Chooses a setting by the scores of the rows in these places.
Derive = Callable[[Counts], Setting]

# Returns what asks with a setting, and the demonstrations of each of the rows that are asked.
Ask = Callable[[Setting], tuple[Prompter, Sequence[Sequence[Example]]]]


@dataclass
class PromptSearch:
    """Compares settings on the same rows.

    Attributes:
        usual: the setting that stays unless another is better.
        known: what was measured.
        levels: of each factor, the usual one first.
    """

    task: Task
    parts: Parts
    ask: Ask
    budget: SearchBudget
    usual: Setting
    known: dict[Setting, Measured] = field(default_factory=dict)
    levels: list[Sequence[Hashable]] = field(default_factory=list)

    def run(
        self,
        levels: Callable[[], list[Sequence[Hashable]]],
        derived: Callable[[], Sequence[Derive]],
    ) -> Chosen:
        """Measure the usual setting, then those that `levels` and `derived` give, and choose."""
        columns: list[tuple[str, Setting | Derive, Floats, Floats]] = []
        stopped = ""
        try:
            self._add(columns, self.usual, self.measure(self.usual))
            self.levels = levels()
            for setting in self.changed():
                self._add(columns, setting, self.measure(setting))
            for derive in derived():
                self._add(columns, derive, self._crossed(derive))
        except SearchStopped as stop:
            stopped = str(stop)
        if not columns:
            return Chosen(setting=self.usual, stopped=stopped)
        choice = choose_setting(
            np.stack([column[2] for column in columns]),
            np.stack([column[3] for column in columns]),
            self.parts.clusters,
            lead=0.0,
            learnt=1.0,
        )
        # A lead that is due to the choice alone is none.
        how, found, *_ = columns[choice.index if choice.gain > 0 else 0]
        setting = found(np.arange(len(self.parts.asked))) if callable(found) else found
        measured = len({column[1] for column in columns})
        return Chosen(
            setting=setting, calibration=how, choice=choice, stopped=stopped, measured=measured
        )

    def changed(self) -> list[Setting]:
        """Return the settings that differ from the usual one in one factor."""
        return [
            (*self.usual[:place], level, *self.usual[place + 1 :])
            for place, levels in enumerate(self.levels)
            for level in levels[1:]
        ]

    def merit(self, setting: Setting, places: Counts) -> float:
        """Return how good a measured setting is on some rows."""
        return float(self.known[setting].merit[places].mean())

    def combined(self, places: Counts) -> Setting:
        """Return the best level of each factor on some rows."""
        best = []
        for place, levels in enumerate(self.levels):
            own = [(*self.usual[:place], level, *self.usual[place + 1 :]) for level in levels]
            merits = [self.merit(setting, places) for setting in own]
            best.append(levels[int(np.argmax(merits))])
        return tuple(best)

    def measure(self, setting: Setting) -> Measured:
        """Ask all rows with a setting, once.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        if setting not in self.known:
            prompter, own = self.ask(setting)
            if isinstance(prompter, LocalPrompter):
                self.known[setting] = self._labelled(prompter, own)
            elif prompter.calibrates and (
                isinstance(self.task, Multilabel | Writing) or field_types(self.task)
            ):
                self.known[setting] = self._in_halves(setting)
            else:
                items = [row.item() for row in self.parts.asked]
                self.known[setting] = self._scored(self.budget.answers(prompter, items, own))
                self.budget.cached_seconds += float(prompter.facts()["cached_seconds"])
        return self.known[setting]

    def finished(self, chosen: Chosen) -> Prompter:
        """Return the prompter of what was chosen, calibrated on all rows that were asked."""
        prompter, own = self.ask(chosen.setting)
        if isinstance(prompter, LocalPrompter):
            logprobs = self.measure(chosen.setting).logprobs
            if logprobs is not None:
                fit = CALIBRATIONS[chosen.calibration]
                prompter.calibration = fit(logprobs, self._truth())
        elif prompter.calibrates:
            asked = chosen.setting in self.known
            prompter.calibrate(self.parts.asked, own)
            if asked and hasattr(prompter, "cached_seconds"):
                prompter.cached_seconds = 0.0  # these answers were computed in this fit
        return prompter

    def _add(
        self,
        columns: list[tuple[str, Setting | Derive, Floats, Floats]],
        setting: Setting | Derive,
        measured: Measured,
    ) -> None:
        for how, scores in measured.scores.items():
            columns.append((how, setting, scores, measured.likelihood[how]))

    def _crossed(self, derive: Derive) -> Measured:
        """Return what each half of the rows scores with what is chosen on the other."""
        half = self.parts.clusters % 2
        first, second = (self.measure(derive(np.flatnonzero(half != own))) for own in (0, 1))
        self.measure(derive(np.arange(len(half))))  # its scores calibrate, if it is chosen
        return Measured(
            {how: np.where(half, second.scores[how], first.scores[how]) for how in first.scores},
            {
                how: np.where(half, second.likelihood[how], first.likelihood[how])
                for how in first.scores
            },
            first.logprobs,
        )

    def _truth(self) -> list[int]:
        return [self.task.labels.index(row.target) for row in self.parts.asked]

    def _labelled(self, prompter: LocalPrompter, own: Sequence[Sequence[Example]]) -> Measured:
        items = [row.item() for row in self.parts.asked]
        with self.budget.count(len(items)):
            logprobs = prompter.score(items, own).logprobs
        self.budget.cached_seconds += prompter.cached_seconds
        truth, part = np.array(self._truth()), self.parts.clusters % PARTS
        scores, likelihood = {}, {}
        for how, fit in CALIBRATIONS.items():
            found = np.empty_like(logprobs)
            for number in np.unique(part):
                rows = part == number
                found[rows] = fit(logprobs[~rows], truth[~rows].tolist())(logprobs[rows])
            scores[how] = (found.argmax(axis=1) == truth).astype(np.float64)
            likelihood[how] = found[np.arange(len(truth)), truth]
        return Measured(scores, likelihood, logprobs)

    def _in_halves(self, setting: Setting) -> Measured:
        """Answer each half of the rows with what is calibrated on the other."""
        rows, half = self.parts.asked, self.parts.clusters % 2
        scores, cached = np.zeros(len(rows)), list[float]()
        self.budget.check(len(rows))
        for number in (0, 1):
            prompter, own = self.ask(setting)
            these = np.flatnonzero(half == number).tolist()
            others = np.flatnonzero(half != number).tolist()
            # A part of the questions each: the second time, the answers are those of the first.
            new = number == 0
            with self.budget.count(len(others) if new else 0):
                prompter.calibrate([rows[i] for i in others], [own[i] for i in others if own])
            items = [rows[i].item() for i in these]
            with self.budget.count(len(these) if new else 0):
                answers = prompter.answer(items, [own[i] for i in these if own])
            scores[these] = [
                self._score(output, rows[i])
                for i, output in zip(these, answers.outputs, strict=True)
            ]
            cached.append(float(prompter.facts()["cached_seconds"]))
        self.budget.cached_seconds += cached[0]  # the second time the answers are of the first
        return Measured({USUAL: scores}, {USUAL: np.zeros(len(rows))})

    def _scored(self, parts: Sequence[Answers]) -> Measured:
        outputs = [output for answers in parts for output in answers.outputs]
        scores = np.array(
            [self._score(o, row) for o, row in zip(outputs, self.parts.asked, strict=True)]
        )
        likelihood = np.zeros(len(scores))
        if parts and all(answers.scores is not None for answers in parts):
            every = np.concatenate([a.scores for a in parts if a.scores is not None])
            likelihood = every[np.arange(len(scores)), self._truth()]
        return Measured({USUAL: scores}, {USUAL: np.maximum(likelihood, -100.0)})

    def _score(self, output: str | None, row: Example) -> float:
        return self.task.score(output, row.targets)[self.task.metrics[0]]


def notes_on(chosen: Chosen, described: str, budget: SearchBudget, task: Task) -> list[str]:
    """Return what was chosen, what that gains on rows that it was not chosen on, and its cost."""
    ended = ""
    if chosen.stopped:
        far = plural(chosen.measured, "setting") if chosen.choice else "nothing"
        kept = "the best so far is kept" if chosen.choice else "the usual prompt is used"
        ended = f" It ended early, with {far} compared, because {chosen.stopped}: {kept}."
    choice = chosen.choice
    if choice is None:
        return [f"Prompt: {described}.", f"{budget.gained('nothing')}{ended}"]
    metric = score_of(task)
    gained = gain_note(choice.gained, choice.index > 0, metric, choice.rows, budget)
    return [
        f"Prompt: {described}.",
        gained,
        f"The usual prompt has {metric} {choice.usual:.3f} on these rows; the gain is corrected "
        f"for choosing among {choice.settings}.{ended}",
    ]


def score_of(task: Task) -> str:
    """Return what a task is scored by, as reports name it."""
    return "accuracy" if task.labels else name_of(task.metrics[0])


def gain_note(gained: Gained, changed: bool, metric: str, rows: int, budget: SearchBudget) -> str:
    """Return what a search gained and cost; `changed` tells whether the usual setting did not stay.

    Reports show it beside the candidate.
    """
    said = f"{gained} of {metric}"
    if not changed or gained.value <= 0:
        said = f"nothing that can be shown: {said}"
    elif gained.low <= 0:
        said += ", which may be none,"
    return budget.gained(f"{said} on {rows} held-out training rows")
