"""Figures beside each other are of the same rows: `Estimate.row_set` names these.

How a page marks a candidate that answered fewer rows is in the approved pages (`many-rows-left`).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from zlib import crc32

import numpy as np
import pytest

from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.report.blocks import learning_curve, rows_noted
from choose.schema.candidate_scorecard import Scorecard
from choose.schema.decision import Decision
from choose.schema.plan import LeftOut
from choose.stats import Estimate
from choose.types import SHARE_READ, Answers, Run, Scenario
from simulation.setting import SimulatedCandidate
from support.simulated_studies import LABELS, POOL, candidate, majority, study


def beside(card: Scorecard) -> Iterator[tuple[str, Estimate]]:
    """Yield the figures of a card by the column, chart or list in which they are."""
    for point in card.noise:
        yield f"noise {point.rate}", point.accuracy
        yield f"noise {point.rate}", point.loss
    for view in card.stability.views:
        yield view.view, view.change
    for size in card.curve if card.curve[1:] else ():  # a point alone is not drawn
        yield "curve", size
    for setting in card.settings:
        yield f"settings of {card.candidate}", setting.change


ROWS, FOLDS = 600, 5


def players() -> list[SimulatedCandidate]:
    """Return candidates of every family, two of them classifiers that cannot be told apart."""
    noisy = {0.1: 0.77, 0.2: 0.73}
    at = {50: 0.6, 100: 0.7, 200: 0.76}
    lm = {"model": "SmolLM2-135M"}
    return [
        majority(),
        candidate("tfidf", "baseline", 0.79, 0.5, at=at, noisy=noisy),
        candidate("probe", "baseline", 0.81, 2.0, at=at, noisy=noisy),
        candidate("prompt", "prompting", 0.5, 30.0, **lm),
        candidate("retrieval", "retrieval", 0.72, 60.0, **lm),
        candidate("lora", "fine-tuning", 0.8, 200.0, seeds=1, **lm),
    ]


def changed_answers(run: Run, wrong: float, rows: int | None = None) -> Answers:
    rng = np.random.default_rng(crc32(f"{run.trial.candidate} {run.trial.fold} {wrong}".encode()))
    outputs = [
        LABELS[(LABELS.index(str(said)) + 1) % len(LABELS)] if rng.random() < wrong else said
        for said in run.answers["clean", 0].outputs[:rows]
    ]
    return Answers(outputs=tuple(outputs), status=("ok",) * len(outputs))


def uneven(world: Evidence) -> Evidence:
    """Let a budget end: models answered one fold or three, noise, views and settings some."""
    done = {"prompt": 1, "retrieval": 1, "lora": 3}
    noise_done = {("tfidf", 0.1): 3, ("probe", 0.2): 4, ("majority", 0.1): 2}
    runs: list[Run] = []
    for run in world.runs:
        trial = run.trial
        where = trial.candidate, trial.scenario.rate
        if trial.fold >= done.get(trial.candidate, FOLDS):
            continue
        if trial.scenario.kind == "noise" and trial.fold >= noise_done.get(where, FOLDS):
            continue
        runs += _with_conditions(run)
    return replace(world, runs=tuple(runs))


def _with_conditions(run: Run) -> list[Run]:
    trial, cheap = run.trial, run.trial.candidate in ("tfidf", "probe")
    main = trial.scenario.kind == "standard" and trial.train_size == POOL
    if not cheap or not main:
        return [run]
    made = [run]
    if trial.fold < 4:
        asked = {**run.asked, ("typos", 0): run.asked["clean", 0][:40]}
        typos = {("typos", 0): changed_answers(run, 0.06, 40)}
        made = [replace(run, asked=asked, answers={**run.answers, **typos})]
    # Settings were measured on other folds: of tfidf on three, of probe on the first.
    if trial.fold < (3 if trial.candidate == "tfidf" else 1):
        for name, wrong in (("regularised", 0.02), ("free", 0.1)):
            answers = {("clean", 0): changed_answers(run, wrong)}
            made.append(replace(run, trial=replace(trial, variant=name), answers=answers))
    more = replace(trial, scenario=Scenario(kind="noise", rate=0.3))
    if trial.fold < 2:
        made.append(replace(run, trial=more, answers={("clean", 0): changed_answers(run, 0.15)}))
    return made


@cache
def decided(kind: str, seed: int = 0) -> Decision:
    """Return a decision with uneven rows; `kind` names what is different about it."""
    world = uneven(study(players(), ROWS, seed, folds=FOLDS))
    rule = Rule(metric="balanced") if kind == "balanced" else Rule()
    if kind == "even":
        world = study(players(), ROWS, seed, folds=FOLDS)
    if kind == "held-out":
        world = study(players(), ROWS, seed)
    return judge(world, rule, left_out=(LeftOut(candidate="lora", reason="out-of-time"),))


@pytest.mark.parametrize("kind", ["uneven", "balanced", "even", "held-out"])
def test_figures_beside_each_other_are_of_the_same_rows(kind: str) -> None:
    """A part that covers half as many rows as the largest, or fewer, may keep its own."""
    found = defaultdict(set)
    for card in decided(kind).scorecards:
        for where, figure in beside(card):
            found[where].add(figure.row_set)
    counts = {where: sorted(int(s.split(":")[0]) for s in sets) for where, sets in found.items()}
    assert {"noise 0.1", "noise 0.2", "curve"} <= counts.keys()
    for where, rows in counts.items():
        assert all(count <= rows[-1] / 2 for count in rows[:-1]), (where, rows)
    if kind == "uneven":
        assert {"noise 0.3", "typos", "settings of tfidf", "settings of probe"} <= counts.keys()
        assert len({rows[-1] for rows in counts.values()}) >= 4, "noise, typos, settings and sizes"


@pytest.mark.parametrize(("metric", "seeds"), [("accuracy", 1), ("accuracy", 3), ("balanced", 2)])
def test_rows_won_less_those_lost_are_the_difference(metric: str, seeds: int) -> None:
    """148:185 of 1,451 rows, which is 2.5 points, was printed beside 3.4."""
    at = {100: 0.7}
    slow = candidate("lora", "fine-tuning", 0.8, 200.0, seeds=seeds, at={100: 0.5})
    world = study([majority(), candidate("tfidf", "baseline", 0.79, 0.5, at=at), slow], ROWS, 0)
    part = [r for r in world.runs if r.trial.candidate != "lora" or r.trial.train_size < POOL]
    found = judge(replace(world, runs=tuple(part)), Rule(metric=metric))
    (lora,) = (one for one in found.scorecards if one.candidate == "lora")
    assert lora.difference
    assert lora.won
    assert lora.lost
    half = pytest.approx(lora.difference.value, abs=0.51 / lora.common)
    assert (lora.won - lora.lost) / lora.common == half


def test_a_larger_fit_that_was_cut_short_takes_no_place_of_one_that_read_more() -> None:
    """A LoRA had 88 % after 500 rows and 76 % after a third of its steps on 1,000."""
    slow = candidate("lora", "fine-tuning", 0.7, 200.0, seeds=1, at={100: 0.8})
    world = study([majority(), candidate("tfidf", "baseline", 0.79, 0.5), slow], ROWS, 0)
    for share, pool in ((0.9 * 100 / POOL, 100), (1.1 * 100 / POOL, POOL)):
        runs = [
            replace(run, shortened={SHARE_READ: share}) if run.trial.train_size == POOL else run
            for run in world.runs
        ]
        (lora,) = study_scores(replace(world, runs=tuple(runs))).candidates[-1:]
        assert (lora.info.name, lora.pool, lora.drawn) == ("lora", pool, pool < POOL)
        assert [*lora.sizes] == ([] if pool < POOL else [100])


def test_a_member_is_named_for_what_was_measured_and_not_for_what_it_promises() -> None:
    """setfit, 75 % right after 250 rows, was named before lora, 81 % right after all of them."""
    setfit = candidate("setfit", "fine-tuning", 0.9, 100.0, seeds=1, at={100: 0.77})
    lora = candidate("lora", "fine-tuning", 0.82, 200.0, seeds=1, at={100: 0.77})
    world = study([majority(), candidate("tfidf", "baseline", 0.6, 0.5), lora, setfit], ROWS, 0)
    part = [r for r in world.runs if r.trial.candidate != "setfit" or r.trial.train_size < POOL]
    assert judge(replace(world, runs=tuple(part)), Rule()).named == "lora"


def test_charts_of_a_part_of_the_rows_say_so() -> None:
    found = decided("uneven")
    fold = tuple(
        card.model_copy(update={"curve": tuple(replace(p, row_set="120:a") for p in card.curve)})
        for card in found.scorecards
    )
    chart = next(learning_curve(found.model_copy(update={"scorecards": fold})))
    assert f"On 120 of {ROWS} test rows." in chart.caption
    whole = decided("even")
    noted = rows_noted(whole, [f"{ROWS}:a", "240:b", "120:c", None])
    assert noted == f"On 120 to {ROWS} of {ROWS} test rows."
    assert rows_noted(whole, [f"{ROWS}:a", None]) == ""
