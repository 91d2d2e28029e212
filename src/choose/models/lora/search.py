"""Choose rank, targets, rate and length of a LoRA training on rows held out of the pool."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from choose.data.stratify import strata_of, stratified_sample
from choose.models.classical.inner_selection import inner_hold_out
from choose.models.classical.label_set_head import members_of
from choose.models.lora.batching import tokenise
from choose.models.lora.classifier import SET_EPOCHS, AdaptedModel, ClassifierRun, schedule_for
from choose.models.lora.fit import train_together
from choose.models.lora.model import AdapterSpec, Targets
from choose.models.lora.objectives import SetRun, start_from_shares
from choose.models.lora.training_run import Schedule
from choose.tasks.multilabel import Multilabel
from choose.types import Example, Task

if TYPE_CHECKING:
    import torch

# Most rows on which settings are compared; all rows train what is chosen.
SEARCH_ROWS = 600

# Fewer held-out rows say little about a setting.
FEWEST_HELD_OUT = 12
HELD_OUT_SHARE = 0.25

# The shares of the steps at which the worse half of the runs stops (successive halving; Jamieson
# and Talwalkar 2016).
RUNGS = (1 / 3, 2 / 3)


@dataclass(frozen=True, slots=True)
class AdapterSetting:
    """What a search chooses; `length` is the share of the usual number of steps."""

    rank: int
    targets: Targets
    learning_rate: float
    length: float = 1.0

    def __str__(self) -> str:
        """Return the setting in words."""
        where = "all linear layers" if self.targets == "all" else "the attention"
        return (
            f"rank {self.rank} in {where} at learning rate {self.learning_rate:g} for "
            f"{100 * self.length:.0f} % of the usual steps"
        )


# The dropout of `lora`, and below its settings first.
DROPOUT = 0.05
SETTINGS = (
    AdapterSetting(16, "attention", 1e-3),
    AdapterSetting(16, "attention", 3e-4),
    AdapterSetting(16, "attention", 3e-3),
    AdapterSetting(16, "all", 1e-3),
    AdapterSetting(16, "all", 3e-4),
    AdapterSetting(4, "all", 1e-3),
)

# Builds an untrained model for a setting.
Builder = Callable[[AdapterSpec], AdaptedModel]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The setting to train with, and a sentence on how it was found."""

    setting: AdapterSetting
    note: str


TOO_FEW = (
    f"The training rows are too few to choose settings (fewer than {FEWEST_HELD_OUT} can be held "
    "out), so the usual ones were used."
)


def search(
    build: Builder, task: Task, examples: Sequence[Example], limit: int, seed: int
) -> SearchResult:
    """Train the settings side by side on part of the pool and compare them on the rest.

    At each of `RUNGS` the worse half stops. A run counts with its best weights. The usual setting
    stays unless the best has a lower loss on the held-out rows by more than a standard error of the
    paired difference.
    """
    sample = _sample(task, examples)
    held_out = inner_hold_out(task, sample, HELD_OUT_SHARE, seed)
    if len(held_out) < FEWEST_HELD_OUT:
        return SearchResult(SETTINGS[0], TOO_FEW)
    race = _Race()
    held = set(held_out)
    division = [i for i in range(len(sample)) if i not in held], held_out
    for setting in SETTINGS:
        model = build(AdapterSpec(setting.rank, setting.targets, DROPOUT))
        most = min(limit, model.base.max_tokens)
        rows = tokenise(model.base.tokenizer, [e.text for e in sample], most).ids
        schedule = usual_schedule(task, len(division[0]), setting.learning_rate)
        schedule = replace(schedule, validation_rows=len(held_out))
        run: _RacingRun
        if isinstance(task, Multilabel):
            members = members_of(task.choices, [e.target for e in sample])
            start_from_shares(model, members[division[0]])
            run = _RacingSetRun(race, model, rows, members, schedule, seed, division)
        else:
            targets = [task.labels.index(e.target) for e in sample]
            run = _RacingRun(race, model, rows, targets, schedule, seed, division)
        race.runs.append(run)
    train_together(race.runs)
    return _result(race)


def usual_schedule(task: Task, rows: int, learning_rate: float) -> Schedule:
    """Return the schedule of `lora` for labels, or sets of labels."""
    if isinstance(task, Multilabel):
        return schedule_for(rows, len(task.choices), learning_rate, usual=SET_EPOCHS)
    return schedule_for(rows, len(task.labels), learning_rate)


def share_of_steps(setting: AdapterSetting, rows: int, task: Task) -> float | None:
    """Return the epochs that make a setting's share of the usual steps; None for all of them."""
    if setting.length >= 1:
        return None
    usual = usual_schedule(task, rows, setting.learning_rate)
    return setting.length * usual.steps * usual.batch_size / (rows - usual.validation_rows)


def _sample(task: Task, examples: Sequence[Example]) -> list[Example]:
    targets = strata_of(task, examples)
    chosen = set(stratified_sample(list(targets), targets, SEARCH_ROWS, "lora search"))
    return [e for e in examples if e.id in chosen]


def _result(race: _Race) -> SearchResult:
    finalists = [run for run in race.runs if run not in race.stopped]
    place = race.runs.index(min(finalists, key=lambda run: run.best_mean))
    usual, best = race.runs[0], race.runs[place]
    gap = usual.best_losses - best.best_losses
    error = float(gap.std(unbiased=True)) / math.sqrt(len(gap))
    rows = len(gap)
    against = f"loss {best.best_mean:.3f} on {rows} held-out rows"
    if place == 0 or not float(gap.mean()) > error:
        setting, found = SETTINGS[0], "the usual setting stayed"
        against = (
            f"loss {usual.best_mean:.3f} on {rows} held-out rows, the best {best.best_mean:.3f}"
        )
    else:
        setting = replace(SETTINGS[place], length=best.best_step / best.schedule.steps)
        found = f"{setting} was chosen"
        against += f", the usual setting {usual.best_mean:.3f}"
    return SearchResult(setting, f"Of {len(race.runs)} settings {found}: {against}.")


@dataclass
class _Race:
    """Runs that train side by side, and those that were stopped early."""

    runs: list[_RacingRun] = field(default_factory=list)
    stopped: list[_RacingRun] = field(default_factory=list)
    rung: int = 0

    def report(self) -> None:
        """Stop the worse half of the runs once all that are still training have come to a rung.

        The first run, of the usual setting, always goes on: the winner is compared with it.
        """
        left = [run for run in self.runs if run not in self.stopped]
        reached = min((run.rung for run in left if not run.finished), default=0)
        if reached <= self.rung:
            return
        self.rung = reached
        ranked = sorted(left, key=lambda run: run.best_mean)
        for run in ranked[math.ceil(len(ranked) / 2) :]:
            if run is not self.runs[0]:
                run.finished = True
                self.stopped.append(run)


class _RacingRun(ClassifierRun):
    """A run of a search: it records its losses on the held-out rows at its best step."""

    def __init__(self, race: _Race, *args: Any) -> None:
        super().__init__(*args)
        self.race, self.rung = race, 0
        self.rungs = [math.ceil(share * self.schedule.steps) for share in RUNGS]
        self.best_mean, self.best_step = math.inf, 0
        self.best_losses: torch.Tensor = self._unknown()

    def apply_gradients(self) -> None:
        """Update the parameters, and compare the run with the others at a rung."""
        super().apply_gradients()
        if self.step in self.rungs:
            self._validate()
            self.rung += 1
        if self.step in self.rungs or self.finished:
            self.race.report()

    def validation_loss(self) -> float:
        """Return the mean loss of the rows held out, and keep the lowest."""
        rows = [self.all_rows[i] for i in self.validation_indices]
        losses = self.each_loss(self.model.predict_logits(rows), self.validation_indices)
        mean = float(losses.mean())
        if mean < self.best_mean:
            self.best_mean, self.best_step, self.best_losses = mean, self.step, losses
        return mean

    def _unknown(self) -> torch.Tensor:
        import torch

        return torch.full((len(self.validation_indices),), math.inf)


class _RacingSetRun(_RacingRun, SetRun):
    """A run of a search for sets of labels."""
