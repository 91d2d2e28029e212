"""Validation rows: as many as scheduled, stratified, and reported in the notes."""

import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from choose.conformance import TASK, pool
from choose.engines.lora import classifier as schedule
from choose.engines.lora import fit
from choose.engines.lora.classifier import split_validation
from choose.engines.lora.training_run import Schedule
from choose.strategy import build
from choose.tasks.labels import Classification
from support import tiny_models as tiny


def divided(sizes: list[int], held_out: int, seed: int = 0) -> tuple[Counter[int], list[int]]:
    """Return how many of each class are checked, and the places."""
    targets = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    learnt, checked = split_validation(targets, held_out, random.Random(seed))
    assert sorted([*learnt, *checked]) == list(range(len(targets)))
    return Counter(targets[place] for place in checked), checked


@pytest.mark.parametrize(
    ("sizes", "held_out"),
    [([8] * 200, 160), ([251, 749, 500], 150), ([2] * 800, 160), ([9, 1591], 160)],
)
def test_as_many_are_held_out_as_were_planned(sizes: list[int], held_out: int) -> None:
    counts, checked = divided(sizes, held_out)
    assert len(checked) == held_out
    for kind, size in enumerate(sizes):
        assert abs(counts[kind] - size * held_out / sum(sizes)) < 1
        assert counts[kind] < size


def test_every_class_keeps_a_row_to_learn_from() -> None:
    counts, checked = divided([1] * 1000 + [2] * 300, 160)
    assert len(checked) == 160
    assert not any(counts[kind] for kind in range(1000))
    assert max(counts.values()) == 1
    assert divided([1] * 1600, 160)[1] == []


def test_chance_decides_which_rows_are_held_out() -> None:
    first, second = (divided([8] * 200, 160, seed)[1] for seed in (1, 2))
    assert first != second
    assert divided([8] * 200, 160, 1)[1] == first


@pytest.mark.slow
@pytest.mark.parametrize(("distinct", "note"), [(False, "checked on 3 rows"), (True, "no early")])
def test_the_note_names_the_rows_that_were_really_held_out(distinct, note, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "EARLY_STOPPING_MIN_ROWS", 10)
    strategy = build("lora", seed=0, base=str(tiny.causal_lm(tmp_path)))
    rows, task = pool(rows=30), TASK
    if distinct:  # each class has one row, so that none can be spared
        names = tuple(f"class {i}" for i in range(len(rows)))
        task = Classification(labels=names, names=names)
        rows = [replace(row, target=name) for row, name in zip(rows, names, strict=True)]
    strategy.fit(task, rows)
    assert note in strategy.facts()["notes"][0]


@pytest.mark.parametrize(
    ("aim", "left", "steps"),
    # 197 steps of a second are left; 16 steps read 128 rows.
    [(200, 600, 200), (100, 600, 103), (2, 600, 16), (2, 50, 6), (0, 0, 4)],
)
def test_a_training_is_shortened_to_its_aim_but_reads_some_rows(aim, left, steps, monkeypatch):
    monkeypatch.setattr(fit, "seconds_to_aim", lambda: aim)
    monkeypatch.setattr(fit, "seconds_left", lambda: left)
    ends = list[int]()
    run: Any = SimpleNamespace(
        step=3, rows=range(250), schedule=Schedule(200, 8, 1e-3, 0), finished=False
    )
    run.shorten = ends.append
    fit.shorten([run], 1.0, 197.0)
    assert ends == [steps]
