"""Prompting: the answer that a language model finds most likely, without and with examples."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from choose.errors import StrategyError
from choose.models.prompting.base_strategy import PromptedStrategy, prompter_for
from choose.models.prompting.local_prompter import calibration_rows
from choose.models.prompting.prompt_search import (
    FEWEST_ASKED,
    FEWEST_ROWS,
    TOO_SMALL,
    PromptSearch,
    PromptSetting,
    SearchBudget,
    parts_of,
)
from choose.models.prompting.prompts import WORDINGS, OwnPrompt, PromptSettings
from choose.models.saving import read_fitted, write_fitted
from choose.types import Answers, Example, Family, Item, Task


@dataclass(kw_only=True, eq=False)
class Prompt(PromptedStrategy):
    """Zero-shot: instruction and labels or fields, no examples; the pool calibrates only."""

    title: ClassVar[str] = "zero-shot prompt"
    good_for: ClassVar[str] = "labels that a sentence explains; tasks that change often"
    needs: ClassVar[str] = "a language model of several billion parameters (--model)"
    family: ClassVar[Family] = "prompting"
    revision: ClassVar[int] = 13

    def shows(self, task: Task) -> int:
        return 0

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Estimate the calibration, or choose the form, on some training rows and freeze it."""
        shown = self._demonstrations(task, examples)
        self.prompter = prompter_for(self._prompt_settings(), task, examples, shown)
        used = {example.id for example in shown}
        self.prompter.calibrate(calibration_rows([e for e in examples if e.id not in used]))

    def predict(self, items: Sequence[Item]) -> Answers:
        return self.prompter.answer(items)

    def _demonstrations(self, task: Task, examples: Sequence[Example]) -> list[Example]:
        return []


@dataclass(kw_only=True, eq=False)
class OwnPrompted(Prompt):
    """A prompt of yours as it is: a text with places, or a chat."""

    title: ClassVar[str] = "your own prompt"
    good_for: ClassVar[str] = "a prompt that you use already: is it better than the usual one?"
    needs: ClassVar[str] = "--prompt FILE, which names it, and a language model as for prompt"
    revision: ClassVar[int] = 7
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    template: str = field()
    wording: str = field(default=PromptSetting().wording, init=False)

    def __post_init__(self) -> None:
        self.template = checked(self.template)


def checked(template: str) -> str:
    """Return a template in the form of a study."""
    try:
        return OwnPrompt.read(template).dump()
    except ValueError as error:
        raise StrategyError(f"The template cannot be used: {error}.") from error


@dataclass(kw_only=True, eq=False)
class FewShot(Prompt):
    """A few fixed demonstrations, drawn by the seed, the same number from every class."""

    title: ClassVar[str] = "prompt with examples"
    good_for: ClassVar[str] = "conventions that are easier to show than to explain"
    needs: ClassVar[str] = "a language model as for prompt, and a few labelled rows a label"
    revision: ClassVar[int] = 13
    seeded: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        **Prompt.variants,
        "shots=16": {"shots": 16},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {**Prompt.limits, "shots": (0, 1_000)}

    shots: int = 8

    def shows(self, task: Task) -> int:
        if not task.labels:
            return max(0, self.shots)
        return self._rounds(len(task.labels)) * len(task.labels)

    def _demonstrations(self, task: Task, examples: Sequence[Example]) -> list[Example]:
        return self._drawn(task, examples, f"few-shot {self.seed}")

    def _drawn(self, task: Task, examples: Sequence[Example], draw: str) -> list[Example]:
        """Draw about `shots` rows: whole rounds over the classes, one round at least.

        Without labels they are any rows, as frequent as in the pool.
        """
        rng = random.Random(draw)
        if not task.labels:
            return rng.sample(list(examples), min(max(0, self.shots), len(examples)))
        classes: dict[str, list[Example]] = defaultdict(list)
        for example in examples:
            classes[example.target].append(example)
        rounds = self._rounds(len(classes))
        demonstrations = []
        for target in sorted(classes):
            rows = classes[target]
            demonstrations += rng.sample(rows, min(rounds, len(rows)))
        rng.shuffle(demonstrations)
        return demonstrations

    def _rounds(self, classes: int) -> int:
        return max(1, self.shots // max(classes, 1)) if self.shots > 0 else 0

    def _demonstrations_note(self, task: Task) -> str:
        if not task.labels:
            return f"{self.shots} labelled rows, drawn by the seed" if self.shots > 0 else ""
        rounds = self._rounds(len(task.labels))
        return f"{rounds} of each label, drawn by the seed, shuffled" if rounds else ""


# Draws of demonstrations that are compared, and the fewer where questions are few; rows that are
# asked with each setting where the first are compared, at least.
DRAWS, FEW_DRAWS, ENOUGH_ASKED = 8, 3, 24

# How often a search rewrites a prompt from its errors, where questions are many.
REWRITES = 3

# Stands below the prompt in a report.
MAY_DIFFER = (
    "<This is the usual prompt. A fit may choose or write another, as the notes of the study say.>"
)


class Plan(NamedTuple):
    """The questions of a search: rows of each setting, draws of demonstrations, new prompts."""

    asked: int
    draws: int
    rewrites: int

    @property
    def questions(self) -> int:
        return self.asked * settings_of(self.draws, self.rewrites) + self.rewrites


def settings_of(draws: int, rewrites: int = 0) -> int:
    """Return how many settings are compared: the usual one, and one for each change of it."""
    return draws + len(WORDINGS) + rewrites


@dataclass(kw_only=True, eq=False)
class TunedPrompt(FewShot):
    """`prompt` or `few-shot` with examples and wording chosen in `fit`.

    Half of the pool, or fewer rows, are asked with each setting; the others are shown. The best of
    several draws of examples is kept, then the best wording. Then the model rewrites the prompt
    from rows that it got wrong; what gains on others is kept. `calls` limits the questions of a
    search, which starts from `template` where one is given.
    """

    title: ClassVar[str] = "tuned prompt"
    good_for: ClassVar[str] = "prompting at its best, for a model that is worth it"
    needs: ClassVar[str] = "a language model as for prompt, and a few dozen labelled rows"
    revision: ClassVar[int] = 14
    on_request: ClassVar[bool] = True
    starts_from: ClassVar[str] = "prompt"
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    # Where answers are written, a question takes longer than reading labels off.
    kind_settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        kind: {"calls": 300} for kind in PromptedStrategy.kinds[2:]
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        **Prompt.limits,
        "shots": (1, 1_000),
        "calls": (0, 1_000_000),
    }

    calls: int = 1000
    template: str = ""
    # Until a fit has chosen others; `used` is the prompt instead of a wording.
    wording: str = field(default=PromptSetting().wording, init=False)
    used: str | None = field(default=None, init=False)
    calibrate: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self.template = checked(self.template) if self.template else ""

    def asks(self, task: Task, rows: int) -> int:
        return self._plan(rows).questions

    def prompt(self, task: Task) -> str:
        """Return the usual prompt, and that a fit may choose another."""
        return f"{super().prompt(task)}\n\n{MAY_DIFFER}"

    def fit(self, task: Task, examples: Sequence[Example]) -> None:
        """Choose on rows of the pool that no prompt shows; the usual prompt is that of `prompt`."""
        self.wording, self.used, self.searched_seconds = PromptSetting().wording, None, 0.0
        plan = self._plan(len(examples))
        parts = parts_of(task, examples, plan.asked)
        if parts is None:
            least = FEWEST_ASKED * settings_of(FEW_DRAWS)
            self.notes = [TOO_SMALL]
            if self.calls < least:
                self.notes = [
                    f"With calls = {self.calls} no prompt is chosen: comparing takes at least "
                    f"{least} questions. The usual prompt is used."
                ]
            Prompt.fit(self, task, examples)
            return
        names = [f"few-shot {self.seed} {n}" for n in range(plan.draws)]
        search = PromptSearch(
            self._prompt_settings(),
            task,
            examples,
            parts,
            [self._drawn(task, parts.shown, name) for name in names],
            SearchBudget(self.model, self.calls, plan.questions),
        )
        setting = search.run(plan.rewrites)
        self.searched_seconds = search.budget.cached_seconds
        shown = len(search.draws[setting.draw])
        words = [f"the wording {setting.wording!r}", f"{shown or 'no'} examples"]
        if setting.template:
            words[0] = "yours" if setting.template == self.template else "rewritten from its errors"
        self.notes = search.notes(setting, ", ".join(words))
        if setting.template not in ("", self.template):
            self.notes.append(f"As a file for --prompt it reads: {setting.template}")
        if setting == search.usual:
            Prompt.fit(self, task, examples)  # calibrated on more rows than were asked
        else:
            self.wording, self.used = setting.wording, setting.template
            self.prompter = search.prompter(setting)

    def facts(self) -> Mapping[str, Any]:
        facts = dict(super().facts())
        saved = facts["cached_seconds"] + self.searched_seconds
        return {**facts, "notes": [*self.notes, *facts["notes"]], "cached_seconds": saved}

    def save(self, folder: Path) -> None:
        facts, arrays = self.prompter.state()
        own = {"wording": self.wording, "used": self.used, "chosen": self.notes}
        write_fitted(folder, self, {**facts, **own}, arrays)

    def load(self, folder: Path) -> None:
        facts, arrays = read_fitted(folder, self)
        self.wording, self.notes, self.searched_seconds = facts["wording"], facts["chosen"], 0.0
        self.used = facts["used"]
        if self.wording not in WORDINGS or type(self.notes) is not list:
            raise ValueError("the wording or the notes on what was chosen are unknown")
        if self.used:
            OwnPrompt.read(self.used)
        self._restore(facts, arrays)

    def _prompt_settings(self) -> PromptSettings:
        usual = super()._prompt_settings()
        return usual if self.used is None else replace(usual, template=self.used)

    def _plan(self, rows: int) -> Plan:
        """Return the largest search that the questions and rows allow."""
        for draws, rewrites in ((DRAWS, REWRITES), (DRAWS, 0), (FEW_DRAWS, 0)):
            asked = min(rows // 2, (self.calls - rewrites) // settings_of(draws, rewrites))
            enough = ENOUGH_ASKED if draws == DRAWS else FEWEST_ASKED
            if asked >= enough and rows >= FEWEST_ROWS:
                return Plan(asked, draws, rewrites)
        return Plan(0, 0, 0)

    def _demonstrations(self, task: Task, examples: Sequence[Example]) -> list[Example]:
        return []  # the usual prompt is that of `prompt`

    def _demonstrations_note(self, task: Task) -> str:
        return "examples, if any, that the fit chooses"
