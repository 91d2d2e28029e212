"""Prompting and retrieval with a prompt that is chosen on training rows."""

from __future__ import annotations

import random
import textwrap
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from choose.models.classical.inner_selection import FEWEST_ROWS, Choice
from choose.models.prompting.base_strategy import PromptedStrategy, prompter_for
from choose.models.prompting.local_prompter import LocalPrompter, calibration_rows
from choose.models.prompting.prompt_search import (
    FEWEST_ASKED,
    FITTED,
    TOO_SMALL,
    USUAL,
    Chosen,
    Parts,
    PromptSearch,
    Setting,
    notes_on,
    parts_of,
)
from choose.models.prompting.prompts import WORDINGS, Prompter, PromptSettings
from choose.models.prompting.search_budget import SearchBudget
from choose.models.prompting.written_descriptions import described, writes
from choose.models.retrieval.reading import in_order
from choose.models.saving import read_fitted, write_fitted
from choose.models.tfidf_logistic import TfidfFeatures
from choose.models.weights.spec import DEFAULT_LM
from choose.types import Counts, Example, Task
from choose_strategies.prompting import FewShot

# Rows that are asked with each setting where more demonstrations are to be tried, at least.
ENOUGH_ASKED = 24

# Share of the questions that descriptions of labels may take.
DESCRIBING = 0.2

# Questions of a search where answers are written, which takes longer than reading labels off.
_WRITTEN = {"calls": 300}


# Stands below the prompt in a report.
MAY_DIFFER = (
    "<This is the usual prompt. A fit may choose another wording and descriptions, as the notes of "
    "the study say.>"
)


class Plan(NamedTuple):
    """The questions of a search.

    Attributes:
        asked: rows that each setting is asked.
        settings: settings, those counted that only the combination needs.
        writes: questions for descriptions.
        whole: whether everything is tried that can be.
    """

    asked: int
    settings: int
    writes: int
    whole: bool

    @property
    def questions(self) -> int:
        """Return how many questions it takes at most."""
        return self.asked * self.settings + self.writes if self.asked else 0


class ChosenPrompt(PromptedStrategy):
    """Base of strategies whose prompt is chosen inside `fit`.

    The last two factors of a setting are the wording and whether descriptions are those that the
    model wrote; a subclass has the others.
    """

    calibrate = True
    wording = "labels"
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "extraction": _WRITTEN,
        "writing": _WRITTEN,
        "answering": _WRITTEN,
    }
    # Settings that are measured with few questions, and with many; three are for a combination.
    counts: tuple[int, int]

    calls: int
    choice: Choice | None
    notes: list[str]

    def asks(self, task: Task, rows: int) -> int:
        """Return the most questions that a fit on so many rows puts to the model."""
        return self._plan(task, rows).questions

    def facts(self) -> Mapping[str, Any]:
        """Return threads, number type, notes, and what cached work had cost."""
        facts = dict(super().facts())
        saved = facts["cached_seconds"] + self.searched_seconds
        return {**facts, "notes": [*self.notes, *facts["notes"]], "cached_seconds": saved}

    def _plan(self, task: Task, rows: int) -> Plan:
        written = writes(task)
        some = written if written <= DESCRIBING * self.calls else 0
        few, many = self.counts
        for whole, settings, count in ((True, many, some), (False, few, some), (False, few, 0)):
            settings -= count == 0
            asked = min(rows // 2, (self.calls - count) // settings)
            if asked >= (ENOUGH_ASKED if whole else FEWEST_ASKED) and rows >= FEWEST_ROWS:
                return Plan(asked, settings, count, whole)
        return Plan(0, 0, 0, False)

    def prompt(self, task: Task) -> str:
        """Return the usual prompt, and that a fit may choose another."""
        return f"{super().prompt(task)}\n\n{MAY_DIFFER}"

    def _prompt_settings(self) -> PromptSettings:
        wording = getattr(self, "chosen_wording", self.wording)
        return PromptSettings(
            model=self.model,
            wording=wording,
            calibrate=self.calibrate,
            max_tokens=self.max_tokens,
        )

    def _search(self, task: Task, examples: Sequence[Example]) -> _Search | None:
        """Return a search that has not begun; None, with a note, where the pool is too small."""
        self.choice, self.notes, self.searched_seconds = None, [TOO_SMALL], 0.0
        self.chosen_wording = self.wording
        plan = self._plan(task, len(examples))
        least = FEWEST_ASKED * (self.counts[0] - 1)
        if self.calls < least:
            self.notes = [
                f"With calls = {self.calls} no prompt is chosen: comparing takes at least {least} "
                "questions. The usual prompt is used."
            ]
        parts = parts_of(task, examples, plan.asked)
        return None if parts is None else _Search(self, task, examples, plan, parts)

    def _keep(
        self, search: _Search, chosen: Chosen, examples: str, fit_usual: Callable[[], None]
    ) -> None:
        """Take over what was chosen."""
        self.chosen_wording, written = str(chosen.setting[-2]), bool(chosen.setting[-1])
        if chosen.setting == search.search.usual and chosen.calibration == USUAL:
            fit_usual()  # calibrated on more rows than were asked
        else:
            self.prompter = search.search.finished(chosen)
        words = [f"the wording {self.chosen_wording!r}", examples]
        words += ["descriptions that the model wrote"] * written
        words += [FITTED] * (chosen.calibration == FITTED)
        self.choice, self.searched_seconds = chosen.choice, search.budget.cached_seconds
        self.notes = notes_on(chosen, ", ".join(words), search.budget, search.task)
        if written:
            self.notes.append(_quoted(search.task_of(True)))

    def _saved(self) -> dict[str, Any]:
        return {"wording": self.chosen_wording, "chosen": self.notes}

    def _load_choice(self, facts: Mapping[str, Any]) -> None:
        self.chosen_wording, self.notes = facts["wording"], facts["chosen"]
        if self.chosen_wording not in WORDINGS or type(self.notes) is not list:
            raise ValueError("the wording or the notes on what was chosen are unknown")
        self.choice, self.searched_seconds = None, 0.0


def _quoted(task: Task) -> str:
    """Return a few of the descriptions of a task, for a note."""
    texts = list(task.descriptions.items())[:3] or [("instruction", task.instruction or "")]
    each = ((name, textwrap.shorten(text, 90, placeholder="…").rstrip(".")) for name, text in texts)
    some = [f"{name}: {text}" for name, text in each]
    return f"The model wrote, {'; '.join(some)}."


class _Search:
    """A search for a strategy: the rows, the budget, and tasks with and without descriptions."""

    def __init__(
        self,
        strategy: ChosenPrompt,
        task: Task,
        pool: Sequence[Example],
        plan: Plan,
        parts: Parts,
    ) -> None:
        self.strategy, self.task, self.pool, self.plan, self.parts = (
            strategy,
            task,
            pool,
            plan,
            parts,
        )
        self.budget: SearchBudget = SearchBudget(strategy.model, strategy.calls, plan.questions)
        self.search: PromptSearch
        self._described: Task | None = None

    def begin(self, ask: Any, usual: Setting) -> PromptSearch:
        """Return the search, which puts questions by `ask` and begins with the usual setting."""
        self.search = PromptSearch(self.task, self.parts, ask, self.budget, usual)
        return self.search

    def settings(self, wording: Hashable) -> PromptSettings:
        """Return the settings of a prompt with a wording."""
        own = self.strategy
        return PromptSettings(
            model=own.model, wording=str(wording), calibrate=True, max_tokens=own.max_tokens
        )

    def prompter(
        self, wording: Hashable, written: Hashable, shown: Sequence[Example] = ()
    ) -> Prompter:
        """Return what asks with a wording, descriptions and fixed demonstrations."""
        return prompter_for(self.settings(wording), self.task_of(written), self.pool, shown)

    def task_of(self, written: Hashable) -> Task:
        """Return the task, or one with descriptions by the model, which it writes once."""
        if not written:
            return self.task
        if self._described is None:
            settings = self.settings("labels")
            self._described = described(self.task, self.parts.shown, settings, self.budget)
        return self._described

    def wordings(self) -> list[Sequence[Hashable]]:
        """Return the levels of the last two factors."""
        usual = self.strategy.wording
        others = [name for name in WORDINGS if name != usual]
        return [[usual, *others], [False, True] if self.plan.writes else [False]]


class Shown(NamedTuple):
    """Demonstrations: what they are, in words, and the ids of their rows, in order."""

    name: str
    ids: tuple[str, ...]


NOTHING = Shown("no examples", ())


class TunedPrompt(ChosenPrompt, FewShot):
    """`prompt` or `few-shot` with wording, descriptions, examples and calibration chosen in `fit`.

    Half of the pool, or fewer rows, are asked with each setting; the others are shown. Examples are
    those of `few-shot`, typical rows of each label, rows that the model finds hard, and mixtures of
    these by how much each improves answers (their influence). Descriptions of labels or fields are
    given or written by the model. `calls` limits the questions of a search.
    """

    title: ClassVar[str] = "tuned prompt"
    good_for: ClassVar[str] = "prompting at its best, for a model that is worth it"
    needs: ClassVar[str] = "a language model as for prompt, and a few dozen labelled rows"
    takes: ClassVar[str] = "hundreds of requests a fit (calls); then as prompt or few-shot"
    revision: ClassVar[int] = 5
    on_request: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "shots": (1, 1_000),
        "calls": (0, 1_000_000),
        "max_tokens": (1, 1_000_000),
    }
    # Usual, wordings 2, described, drawn, typical, hard, and rows for what is hard; then six
    # mixtures and what follows from them.
    counts = (8 + 3, 8 + 6 + 6)

    def __init__(
        self,
        *,
        seed: int,
        model: str = DEFAULT_LM,
        shots: int = 8,
        calls: int = 1000,
        max_tokens: int = 256,
    ) -> None:
        self.seed, self.model, self.shots = seed, model, shots
        self.calls, self.max_tokens = calls, max_tokens

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose on rows of the pool that no prompt shows; the usual prompt is that of `prompt`."""
        found = self._search(task, examples)
        if found is None:
            self._usual(task, examples)
            return
        rows = {row.id: row for row in found.parts.shown}

        def ask(setting: Setting) -> tuple[Prompter, Sequence[Sequence[Example]]]:
            shown, wording, written = setting
            some = [rows[id] for id in shown.ids] if isinstance(shown, Shown) else []
            return found.prompter(wording, written, some), ()

        search = found.begin(ask, (NOTHING, self.wording, False))
        sets = _Examples(self, found)
        chosen = search.run(lambda: [sets.levels(), *found.wordings()], sets.derived)
        shown = chosen.setting[0]
        assert isinstance(shown, Shown)
        name = f"{len(shown.ids)} {shown.name}" if shown.ids else shown.name
        self._keep(found, chosen, name, lambda: self._usual(task, examples))

    def save(self, folder: Path) -> None:
        """Write the task, the examples that are shown, the calibration and what was chosen."""
        facts, arrays = self.prompter.state()
        write_fitted(folder, self, {**facts, **self._saved()}, arrays)

    def load(self, folder: Path) -> None:
        """Restore the fitted strategy from a folder."""
        facts, arrays = read_fitted(folder, self)
        self._load_choice(facts)
        self._restore(facts, arrays)

    def _usual(self, task: Task, examples: Sequence[Example]) -> None:
        """Fit as `prompt` does."""
        self.prompter = prompter_for(self._prompt_settings(), task, examples)
        self.prompter.calibrate(calibration_rows(examples))

    def _demonstrations_note(self, task: Task) -> str:
        return "examples, if any, that the fit chooses"


class _Examples:
    """Sets of examples for `tuned-prompt`, in pairs of a typical and a hard row of one label."""

    def __init__(self, strategy: TunedPrompt, found: _Search) -> None:
        self.strategy, self.found = strategy, found
        self.pairs: list[tuple[Example, Example]] = []
        self.mixed: dict[Shown, tuple[int, ...]] = {}

    def levels(self) -> list[Hashable]:
        """Return no examples, those of `few-shot`, and the sets of this search."""
        found, strategy = self.found, self.strategy
        rows = found.parts.shown[:MOST_SHOWN]
        drawn = strategy._demonstrations(found.task, rows)
        self.pairs = self._pairs(rows)
        patterns = mixtures(len(self.pairs))
        if not found.plan.whole:
            patterns = {name: patterns[name] for name in ("typical examples", "hard examples")}
        self.mixed = {self._set(name, bits): bits for name, bits in patterns.items()}
        names = tuple(row.id for row in drawn)
        return [NOTHING, Shown("examples drawn by the seed", names), *self.mixed]

    def derived(self) -> list[Any]:
        """Return what is chosen by the scores of some rows: by influence, and the combination."""
        return [self.by_influence, self.combined] if self.found.plan.whole else [self.combined]

    def by_influence(self, places: Counts) -> Setting:
        """Return the usual prompt with the row of each pair that answers are better with.

        The influence of a row is the mean merit of the sets that show it less that of the others
        (Nguyen and Wong 2023, arXiv 2302.11042); each row is in half of the sets.
        """
        _, *rest = self.found.search.usual
        return (self._influential(places), *rest)

    def combined(self, places: Counts) -> Setting:
        """Return the best levels; for the sets of pairs, the rows of the highest influence."""
        shown, *rest = self.found.search.combined(places)
        if shown in self.mixed and self.found.plan.whole:
            shown = self._influential(places)
        return (shown, *rest)

    def _influential(self, places: Counts) -> Shown:
        search = self.found.search
        _, *rest = search.usual
        merits = np.array([search.merit((shown, *rest), places) for shown in self.mixed])
        signs = 2 * np.array(list(self.mixed.values())) - 1
        return self._set("examples of the highest influence", (merits @ signs > 0).astype(int))

    def _set(self, name: str, bits: Sequence[int]) -> Shown:
        """Return one row of each pair, in an order that the seed decides."""
        rows = [pair[bit].id for pair, bit in zip(self.pairs, bits, strict=True)]
        random.Random(f"few-shot {self.strategy.seed}").shuffle(rows)
        return Shown(name, tuple(dict.fromkeys(rows)))

    def _pairs(self, rows: Sequence[Example]) -> list[tuple[Example, Example]]:
        task, shots = self.found.task, self.strategy.shots
        classes: dict[str, list[Example]] = defaultdict(list)
        for row in rows:
            classes[row.target if task.labels else ""].append(row)
        each = self.strategy._rounds(len(classes)) if task.labels else shots
        hard = self._hardest(rows)
        pairs = []
        for label in sorted(classes):
            typical = _typical(classes[label], each)
            mine = {row.id for row in classes[label]} - {row.id for row in typical}
            own = [row for row in hard if row.id in mine]
            # A label with few rows has no others.
            pairs += [(row, (own + typical)[i]) for i, row in enumerate(typical)]
        return pairs

    def _hardest(self, rows: Sequence[Example]) -> list[Example]:
        """Ask rows as usual and return them, those that are hard to decide first.

        Those are the rows whose label is nearest to being as likely as another, and not those of
        which the model is sure and wrong: these are often labelled wrongly.
        """
        found, task = self.found, self.found.task
        asked = in_order(rows)[: found.plan.asked]
        prompter, _ = found.search.ask(found.search.usual)
        items = [row.item() for row in asked]
        if isinstance(prompter, LocalPrompter):
            with found.budget.count(len(items)):
                scores = prompter.score(items).logprobs
            scores = scores - scores.mean(axis=0)
        else:
            parts = found.budget.answers(prompter, items)
            outputs = [output for part in parts for output in part.outputs]
            scores = None
            if parts and all(part.scores is not None for part in parts):
                scores = np.concatenate([p.scores for p in parts if p.scores is not None])
        found.budget.cached_seconds += float(prompter.facts()["cached_seconds"])
        if scores is not None and scores.shape[1] > 1:
            own = np.array([task.labels.index(row.target) for row in asked])
            right = scores[np.arange(len(asked)), own]
            scores = scores.copy()
            scores[np.arange(len(asked)), own] = -np.inf
            margins = np.abs(right - scores.max(axis=1))
        else:
            metric = task.metrics[0]
            margins = np.array(
                [
                    task.score(output, row.targets)[metric]
                    for output, row in zip(outputs, asked, strict=True)
                ]
            )
        return [asked[i] for i in np.argsort(margins, kind="stable")]


def mixtures(pairs: int) -> dict[str, tuple[int, ...]]:
    """Return which row of each pair eight sets show: the first in half of them.

    The effects of every fourth pair are estimated together, and apart from those of the others (a
    Hadamard matrix of order 4, and its complement).
    """
    ways: dict[str, Callable[[int], int]] = {
        "": lambda i: 0,
        "mixed examples": lambda i: i % 2,
        "mixed pairs of examples": lambda i: i // 2 % 2,
        "crossed examples": lambda i: (i % 2 + i // 2) % 2,
    }
    sets = {name: tuple(way(i) for i in range(pairs)) for name, way in ways.items()}
    others = {f"other {name}": tuple(1 - bit for bit in bits) for name, bits in sets.items()}
    names = {"": "typical examples", "other ": "hard examples"}
    return {names.get(name, name): bits for name, bits in {**sets, **others}.items()}


# Rows among which examples are sought.
MOST_SHOWN = 1_000


def _typical(rows: Sequence[Example], count: int) -> list[Example]:
    """Return rows that together are most like all others, by their words (facility location)."""
    features = TfidfFeatures("words", "characters")
    matrix = features.fit([row.input or " " for row in rows])
    similar = np.round((matrix @ matrix.T).toarray(), 6)
    chosen: list[int] = []
    covered = np.zeros(len(rows))
    for _ in range(min(count, len(rows))):
        gains = np.maximum(similar, covered[:, None]).sum(axis=0)
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        covered = np.maximum(covered, similar[:, chosen[-1]])
    return [rows[i] for i in chosen]
