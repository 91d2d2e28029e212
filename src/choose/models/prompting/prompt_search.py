"""Choose how a model is prompted, on training rows that no prompt shows.

The search is greedy: one thing after another is varied (the demonstrations, then the wording, then
the descriptions), and the best setting so far stays. Questions are counted, and end at stated
limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import hold_out, strata_of
from choose.models.prompting.base_strategy import prompter_for
from choose.models.prompting.local_prompter import (
    Calibration,
    LocalPrompter,
    fit_calibration,
    fit_weighted_calibration,
)
from choose.models.prompting.prompts import WORDINGS, Prompter, PromptSettings
from choose.models.prompting.search_budget import SearchBudget, SearchStopped
from choose.models.prompting.written_descriptions import described
from choose.schema.scorecard import name_of
from choose.types import Counts, Example, Floats, Task

# Rows of a pool, and rows on which settings are compared, at least.
FEWEST_ROWS, FEWEST_ASKED = 20, 10

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
class PromptSetting:
    """A wording, the number of a draw of demonstrations (0: none), and whose descriptions."""

    draw: int = 0
    wording: str = "labels"
    written: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What a setting scores on the rows asked.

    Attributes:
        prompter: what asked.
        scores: the mean score by calibration.
        likelihood: the mean log-probability of the right labels, by which equals are ranked.
        logprobs: (rows, labels) before calibration, where a local model gives them.
    """

    prompter: Prompter
    scores: Mapping[str, float]
    likelihood: Mapping[str, float]
    logprobs: Floats | None = None


class PromptSearch:
    """Compares settings on the same rows.

    Attributes:
        draws: demonstrations, by draw; the first is empty.
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
        self.known: dict[PromptSetting, Measured] = {}
        self.stopped = ""
        self._described: Task | None = None

    def run(self, describe: bool) -> tuple[PromptSetting, str]:
        """Return the best setting and calibration; `describe` lets the model write descriptions."""
        usual = PromptSetting()
        try:
            self.measure(usual)
            for draw in range(1, len(self.draws)):
                self.measure(replace(usual, draw=draw))
            best, _ = self.best()
            for wording in WORDINGS:
                self.measure(replace(best, wording=wording))
            best, _ = self.best()
            if describe:
                self.measure(replace(best, written=True))
        except SearchStopped as stop:
            self.stopped = str(stop)
        return self.best() if self.known else (usual, USUAL)

    def best(self) -> tuple[PromptSetting, str]:
        """Return the setting and the calibration with the highest score; of equals the first."""
        ranks = {
            (setting, how): (round(score, 9), round(found.likelihood[how], 9))
            for setting, found in self.known.items()
            for how, score in found.scores.items()
        }
        return max(ranks, key=ranks.__getitem__)

    def measure(self, setting: PromptSetting) -> Measured:
        """Ask all rows with a setting, once.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        if setting not in self.known:
            settings = replace(self.settings, wording=setting.wording)
            prompter = prompter_for(
                settings, self.task_of(setting.written), self.pool, self.draws[setting.draw]
            )
            if isinstance(prompter, LocalPrompter):
                self.known[setting] = self._scored(prompter)
            else:
                self.known[setting] = self._answered(prompter)
        return self.known[setting]

    def task_of(self, written: bool) -> Task:
        """Return the task, or one with descriptions by the model, which it writes once."""
        if written and self._described is None:
            self._described = described(self.task, self.parts.shown, self.settings, self.budget)
        return self._described or self.task if written else self.task

    def prompter(self, setting: PromptSetting, calibration: str) -> Prompter:
        """Return the prompter of a measured setting, calibrated on all rows that were asked."""
        found = self.known[setting]
        if isinstance(found.prompter, LocalPrompter) and found.logprobs is not None:
            fit = CALIBRATIONS[calibration]
            found.prompter.calibration = fit(found.logprobs, self._truth())
        if hasattr(found.prompter, "cached_seconds"):
            found.prompter.cached_seconds = 0.0  # the search counts them
        return found.prompter

    def notes(self, setting: PromptSetting, described: str) -> list[str]:
        """Return what was chosen, what it and the usual prompt score here, and what that cost."""
        ended = ""
        if self.stopped:
            kept = "the best so far is kept" if self.known else "the usual prompt is used"
            ended = f" It ended early because {self.stopped}: {kept}."
        if not self.known:
            return [
                f"Prompt: {described}.",
                f"The search compared nothing, for {self.budget.cost}.{ended}",
            ]
        best, usual = (max(self.known[one].scores.values()) for one in (setting, PromptSetting()))
        metric = "accuracy" if self.task.labels else name_of(self.task.metrics[0])
        return [
            f"Prompt: {described}.",
            f"The search compared {len(self.known)} settings on {len(self.parts.asked)} training "
            f"rows: {metric} {best:.3f}, too high as the best of several, the usual prompt "
            f"{usual:.3f}, for {self.budget.cost}.{ended}",
        ]

    def _truth(self) -> list[int]:
        return [self.task.labels.index(row.target) for row in self.parts.asked]

    def _scored(self, prompter: LocalPrompter) -> Measured:
        """Score labels with a local model; each calibration is scored on rows it was not fit to."""
        items = [row.item() for row in self.parts.asked]
        with self.budget.count(len(items)):
            logprobs = prompter.score(items).logprobs
        self.budget.cached_seconds += prompter.cached_seconds
        truth, part = np.array(self._truth()), self.parts.clusters % PARTS
        scores, likelihood = {}, {}
        for how, fit in CALIBRATIONS.items():
            found = np.empty_like(logprobs)
            for number in np.unique(part):
                rows = part == number
                found[rows] = fit(logprobs[~rows], truth[~rows].tolist())(logprobs[rows])
            scores[how] = float((found.argmax(axis=1) == truth).mean())
            likelihood[how] = float(found[np.arange(len(truth)), truth].mean())
        return Measured(prompter, scores, likelihood, logprobs)

    def _answered(self, prompter: Prompter) -> Measured:
        """Score answers; what a prompter chooses on these rows suits all settings alike."""
        rows = self.parts.asked
        items = [row.item() for row in rows]
        parts = self.budget.answers(prompter, items)
        seconds = float(prompter.facts()["cached_seconds"])
        if prompter.calibrates:
            with self.budget.count(0):  # these answers are in the cache now
                prompter.calibrate(rows)
                parts = [prompter.answer(items)]
        self.budget.cached_seconds += seconds
        outputs = [output for answers in parts for output in answers.outputs]
        metric = self.task.metrics[0]
        scores = [
            self.task.score(output, row.targets)[metric]
            for output, row in zip(outputs, rows, strict=True)
        ]
        return Measured(prompter, {USUAL: float(np.mean(scores))}, {USUAL: 0.0})
