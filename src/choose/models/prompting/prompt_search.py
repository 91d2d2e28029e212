"""Choose how a model is prompted, on training rows that no prompt shows.

The search is greedy: one thing after another is varied (the demonstrations, then the wording), and
the best setting so far stays. Then the model rewrites the prompt from rows that it got wrong, and
what gains on the other rows is kept (as GEPA does, Agrawal et al. 2025). Questions are counted,
and end at stated limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from choose.data.duplicates import clusters_of, index_texts
from choose.data.stratify import hold_out, strata_of
from choose.formatting import plural
from choose.models.prompting.base_strategy import prompter_for
from choose.models.prompting.local_prompter import (
    Calibration,
    LocalPrompter,
    fit_calibration,
    fit_weighted_calibration,
)
from choose.models.prompting.own_prompts import LABELS, OwnPrompt
from choose.models.prompting.prompts import (
    WORDINGS,
    Prompter,
    PromptSettings,
    as_own,
    single_line,
    wording_of,
)
from choose.models.prompting.search_budget import SearchBudget, SearchStopped
from choose.schema.scorecard import name_of
from choose.tasks.writing import Writing
from choose.types import Counts, Example, Floats, Item, Task

# Rows of a pool, and rows on which settings are compared, at least.
FEWEST_ROWS, FEWEST_ASKED = 20, 10

# Parts of the rows for calibrations, which are scored on rows that they were not fitted to; there
# are as many clusters of rows at least.
PARTS = 5

# Rows with wrong answers that a model sees when it rewrites a prompt, and characters of each part.
SHOWN_ERRORS, ROW_LENGTH = 6, 240

# Words of a prompt that is rewritten, and tokens of what is shown with it, at most.
PROMPT_WORDS, PAGE_TOKENS = 250, 2_048

_BETTER = (
    "Below are a prompt for a language model and texts that the model answered wrongly with it. "
    f"Write a better prompt: keep what is right, add what the errors show in general, and keep "
    f"{LABELS} where the possible answers belong. Write the prompt and nothing else."
)

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
    """A wording or a prompt instead, and the number of a draw (0: none)."""

    draw: int = 0
    wording: str = "labels"
    template: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a setting scores on the rows asked.

    Attributes:
        prompter: what asked.
        scores: (rows,) by calibration.
        likelihood: the mean log-probability of the right labels, by which equals are ranked.
        outputs: the answers, by calibration.
        logprobs: (rows, labels) before calibration, where a local model gives them.
    """

    prompter: Prompter
    scores: Mapping[str, Floats]
    likelihood: Mapping[str, float]
    outputs: Mapping[str, Sequence[str | None]]
    logprobs: Floats | None = None


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

    def run(self, rewrites: int) -> tuple[PromptSetting, str]:
        """Return the best setting and calibration; the model rewrites the prompt so often."""
        best: tuple[PromptSetting, str] | None = None
        try:
            self.measure(self.usual)
            for draw in range(1, len(self.draws)):
                self.measure(replace(self.usual, draw=draw))
            setting, _ = self.best()
            for wording in WORDINGS:
                self.measure(replace(setting, wording=wording, template=""))
            best = self.best()
            for _ in range(rewrites):
                best = self.rewrite(best)
        except SearchStopped as stop:
            self.stopped = str(stop)
        return best or (self.best() if self.known else (self.usual, USUAL))

    def best(self) -> tuple[PromptSetting, str]:
        """Return the setting and the calibration with the highest score; of equals the first."""
        ranks = {
            (setting, how): (round(float(scores.mean()), 9), round(found.likelihood[how], 9))
            for setting, found in self.known.items()
            for how, scores in found.scores.items()
        }
        return max(ranks, key=ranks.__getitem__)

    def rewrite(self, best: tuple[PromptSetting, str]) -> tuple[PromptSetting, str]:
        """Return a prompt that the model rewrote from errors; the best one if that gains nothing.

        Errors are those of every other cluster of rows; the gain is that on the rows between.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        setting, how = best
        found, others = self.known[setting], self.parts.clusters % 2 == 1
        wrong = np.flatnonzero((found.scores[how] < 1) & ~others).tolist()
        if not wrong or not others.any():
            return best
        usual = as_own(self.task, wording_of(self.task, setting.wording))
        prompt = OwnPrompt.read(setting.template) if setting.template else usual
        errors = [(self.parts.asked[place], found.outputs[how][place]) for place in wrong]
        # Another part of them each time.
        errors = [*errors[self.rewritten * SHOWN_ERRORS :], *errors][:SHOWN_ERRORS]
        try:
            new = rewritten(prompt, errors, self.settings, self.budget)
        except ValueError:  # no prompt
            return best
        self.rewritten += 1
        changed = replace(setting, template=new.dump())
        measured = self.measure(changed).scores
        again = max(measured, key=lambda name: float(measured[name][others].mean()))
        if float((measured[again] - found.scores[how])[others].mean()) <= 0:
            return best
        self.kept += 1
        return changed, again

    def measure(self, setting: PromptSetting) -> Measured:
        """Ask all rows with a setting, once.

        Raises:
            SearchStopped: if that would exceed a limit.
        """
        if setting not in self.known:
            settings = replace(self.settings, wording=setting.wording, template=setting.template)
            prompter = prompter_for(settings, self.task, self.pool, self.draws[setting.draw])
            if isinstance(prompter, LocalPrompter):
                self.known[setting] = self._scored(prompter)
            else:
                self.known[setting] = self._answered(prompter)
        return self.known[setting]

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
        ended = ""
        if self.stopped:
            kept = "the best so far is kept" if self.known else "the usual prompt is used"
            ended = f" It ended early because {self.stopped}: {kept}."
        if not self.known:
            return [
                f"Prompt: {described}.",
                f"The search compared nothing, for {self.budget.cost}.{ended}",
            ]
        best, usual = (
            max(float(scores.mean()) for scores in self.known[one].scores.values())
            for one in (setting, self.usual)
        )
        rewriting = ""
        if self.rewritten:
            times = plural(self.rewritten, "time")
            rewriting = (
                f" The model rewrote the prompt {times} from rows that it got wrong; {self.kept} "
                "gained on others."
            )
        metric = "accuracy" if self.task.labels else name_of(self.task.metrics[0])
        return [
            f"Prompt: {described}.",
            f"The search compared {len(self.known)} settings on {len(self.parts.asked)} training "
            f"rows: {metric} {best:.3f}, too high as the best of several, the usual prompt "
            f"{usual:.3f}, for {self.budget.cost}.{ended}{rewriting}",
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
        scores, likelihood, outputs = {}, {}, {}
        for how, fit in CALIBRATIONS.items():
            found = np.empty_like(logprobs)
            for number in np.unique(part):
                rows = part == number
                found[rows] = fit(logprobs[~rows], truth[~rows].tolist())(logprobs[rows])
            scores[how] = np.asarray(found.argmax(axis=1) == truth, dtype=np.float64)
            likelihood[how] = float(found[np.arange(len(truth)), truth].mean())
            outputs[how] = [self.task.labels[code] for code in found.argmax(axis=1)]
        return Measured(prompter, scores, likelihood, outputs, logprobs)

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
        return Measured(prompter, {USUAL: np.array(scores)}, {USUAL: 0.0}, {USUAL: outputs})


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
    budget.cached_seconds += float(prompter.facts()["cached_seconds"])
    ((output, raw),) = zip(answers.outputs, answers.raw or answers.outputs, strict=True)
    return prompt.rewritten((output or raw or "").strip().strip("`").strip())
