"""The search for LoRA settings: who stops, who wins, and that its choice is what is trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from choose.conformance import TASK, pool, questions
from choose.models.lora.classifier import schedule_for
from choose.models.lora.search import (
    SETTINGS,
    TOO_FEW,
    AdapterSetting,
    _Race,
    _result,
    share_of_steps,
)
from choose.strategy import build
from support import tiny_models as tiny


class Runner:
    """A run that has come somewhere, with its losses on held-out rows."""

    def __init__(self, losses: list[float], step: int = 90) -> None:
        import torch

        self.rung, self.finished, self.best_step = 0, False, step
        self.best_losses, self.best_mean = torch.tensor(losses), sum(losses) / len(losses)
        self.schedule = SimpleNamespace(steps=120)


def race_of(*losses: list[float], step: int = 90) -> _Race:
    runs: list[Any] = [Runner(each, step) for each in losses]
    return _Race(runs)


def test_the_worse_half_stops_at_a_rung_but_never_the_usual_setting() -> None:
    race = race_of(*([mean, mean] for mean in (0.9, 0.2, 0.8, 0.1, 0.5, 0.6)))
    for run in race.runs[:5]:
        run.rung = 1
        race.report()
    assert not race.stopped  # the last has not come there
    race.runs[5].rung = 1
    race.report()
    race.report()
    assert [run.best_mean for run in race.stopped] == [0.6, 0.8]
    assert all(run.finished for run in race.stopped)
    assert not race.runs[0].finished


def test_a_run_that_has_ended_is_not_waited_for() -> None:
    race = race_of(*([mean, mean] for mean in (0.3, 0.2, 0.8)))
    race.runs[2].finished = True
    for run in race.runs[:2]:
        run.rung = 1
        race.report()
    assert race.stopped == [race.runs[2]]


def test_a_setting_wins_by_more_than_a_standard_error() -> None:
    even = [0.5, 0.7, 0.4, 0.6] * 5
    lower = [loss - 0.2 for loss in even]
    race = race_of(even, [loss + 0.1 for loss in even], lower, step=60)
    found = _result(race)
    assert found.setting == AdapterSetting(16, "attention", 3e-3, length=0.5)
    assert "for 50 % of the usual steps was chosen: loss 0.350 on 20 held-out rows" in found.note
    # One row makes all of the difference: no more than a standard error.
    lucky = [0.5 - 0.4, *even[1:]]
    stayed = _result(race_of(even, lucky))
    assert stayed.setting == SETTINGS[0]
    assert "the usual setting stayed: loss 0.550" in stayed.note


def test_a_share_of_the_steps_is_so_many_steps() -> None:
    usual = schedule_for(300, 3, 1e-3)
    assert share_of_steps(SETTINGS[0], 300, TASK) is None
    epochs = share_of_steps(AdapterSetting(4, "all", 1e-3, length=0.5), 300, TASK)
    assert schedule_for(300, 3, 1e-3, epochs).steps == pytest.approx(usual.steps / 2, abs=1)


@pytest.mark.slow
def test_a_small_pool_is_trained_as_lora_trains_it(tmp_path: Path) -> None:
    base = str(tiny.causal_lm(tmp_path / "lm"))
    strategy: Any = build("tuned-lora", seed=0, base=base)
    strategy.fit(TASK, pool(rows=21))
    assert strategy.facts()["notes"][0] == TOO_FEW
    plain: Any = build("lora", seed=0, base=base)
    plain.fit(TASK, pool(rows=21))
    found, wanted = (s.predict(questions()).scores for s in (strategy, plain))
    assert abs(found - wanted).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["causal_lm", "encoder"])
def test_the_setting_that_was_chosen_is_trained(kind: str, tmp_path: Path) -> None:
    base = str(getattr(tiny, kind)(tmp_path / "base"))
    strategy: Any = build("tuned-lora", seed=0, base=base)
    strategy.fit(TASK, pool(rows=66))
    note, schedule, *_ = strategy.facts()["notes"]
    assert note.startswith("Of 6 settings ")
    assert "on 16 held-out rows" in note
    assert f"learning rate {strategy.learning_rate:g}" in schedule
    strategy.save(tmp_path / "saved")
    again: Any = build("tuned-lora", seed=5, base=base)
    again.load(tmp_path / "saved")
    assert (again.rank, again.targets) == (strategy.rank, strategy.targets)
    asked = pool(seed=1, rows=30)
    answers = strategy.predict([e.item() for e in asked])
    right = sum(a == e.target for a, e in zip(answers.outputs, asked, strict=True))
    assert right > 20
    assert (
        abs(again.predict(questions()).scores - strategy.predict(questions()).scores).max() < 1e-3
    )
