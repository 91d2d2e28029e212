"""Figures that are beside each other are of the same rows, in every sentence and table."""

import re
from dataclasses import replace
from functools import cache
from zlib import crc32

import numpy as np
import pytest

from choose.judge.evidence import Evidence
from choose.judge.goal import Measure, Rule
from choose.judge.verdict import judge
from choose.report.candidate_order import rows_noted
from choose.report.html.line_charts import curves, noise
from choose.report.html.page import render_html
from choose.report.markdown import render_markdown
from choose.report.words import headline
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.plan import LeftOut
from choose.schema.scorecard import Scorecard, SettingPoint
from choose.types import Answers, Run, Scenario
from simulation.setting import SimulatedCandidate
from support.decisions import decision
from support.same_rows import figures, unlike_columns, unlike_in_table
from support.simulated_studies import LABELS, POOL, candidate, majority, study

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
    """Return a run's answers with part of them made wrong, to its first rows."""
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
    pair = replace(trial, scenario=Scenario(kind="noise", noise="confused-pair", rate=0.2))
    if trial.fold < 2:
        made.append(replace(run, trial=pair, answers={("clean", 0): changed_answers(run, 0.15)}))
    return made


@cache
def decided(kind: str, seed: int = 0) -> Decision:
    """Return a decision with uneven rows; `kind` names what is different about it."""
    world = uneven(study(players(), ROWS, seed, folds=FOLDS))
    rule = {
        "balanced": Rule(measure=Measure(metric="balanced")),
        "target": Rule(target=0.85),
        "margin": Rule(margin=0.1),
    }.get(kind, Rule())
    if kind == "even":
        world = study(players(), ROWS, seed, folds=FOLDS)
    if kind == "held-out":
        world = study(players(), ROWS, seed)
    return judge(
        world, rule, left_out=(LeftOut(candidate="lora", reason="out-of-time", text="no time."),)
    )


KINDS = ("uneven", "balanced", "target", "margin", "even", "held-out")


@pytest.mark.parametrize("kind", KINDS)
def test_no_column_sets_figures_of_unlike_rows_below_each_other(kind: str) -> None:
    assert unlike_columns(decided(kind)) == []


def test_rows_won_are_those_of_the_fits_that_are_compared() -> None:
    at = {100: 0.7}
    slow = candidate("lora", "fine-tuning", 0.8, 200.0, seeds=1, at=at)
    world = study([majority(), candidate("tfidf", "baseline", 0.79, 0.5, at=at), slow], ROWS, 0)
    part = [r for r in world.runs if r.trial.candidate != "lora" or r.trial.train_size < POOL]
    found = judge(replace(world, runs=tuple(part)), Rule())
    (lora,) = (one for one in found.standings if one.candidate == "lora")
    assert lora.difference
    assert lora.won
    assert lora.lost
    assert (lora.won - lora.lost) / lora.common == pytest.approx(lora.difference.value)


def measured(name: str, value: float, row_set: str, **more: object) -> Scorecard:
    """Return the card of a candidate as it stood in the review's demo."""
    accuracy = Interval(value=value, low=value - 0.033, high=value + 0.031, row_set=row_set)
    rows = int(row_set.partition(":")[0])
    return Scorecard(
        candidate=name, strategy=name, family="baseline", rows=rows, accuracy=accuracy, **more
    )


ALL, FIRST, MOST = "602:50d0476d", "121:f549b6fe", "362:1ea91363"


def demo() -> Decision:
    """Return the record of the review's demo: 602, 121 and 362 rows."""

    def setting(name: str, value: float, change: float) -> SettingPoint:
        own = Interval(value=value, row_set=FIRST)
        return SettingPoint(
            setting=name, accuracy=own, change=Interval(value=change, row_set=FIRST), rows=121
        )

    cards = (
        measured("tfidf", 0.792, ALL),
        measured(
            "probe",
            0.811,
            ALL,
            settings=(setting("regularised", 0.876, -0.008), setting("free", 0.868, -0.016)),
        ),
        measured("lora", 0.801, MOST),
        measured("retrieval", 0.727, FIRST),
    )
    return decision("too-close").model_copy(
        update={"scorecards": cards, "standings": (), "pairs": ()}
    )


def test_a_column_of_unlike_rows_is_found_unless_it_is_marked() -> None:
    """D9: lora stood second with 80.1 on 362 rows, where tfidf has 81.8."""
    table = [["", "% right"], ["probe", "81.1"], ["lora", "80.1"], ["tfidf", "79.2"]]
    (fault,) = unlike_in_table(demo(), table)
    assert fault.startswith("scorecard.accuracy of ['lora'] in column 1")
    marked = [row[:] for row in table]
    marked[2][0] = "lora (362 of 602)"
    assert unlike_in_table(demo(), marked) == []
    assert unlike_in_table(demo(), [row for row in table if row[0] != "lora"]) == []
    other = [row[:] for row in table]
    other[2][0] = "lora (121 of 602)"
    assert unlike_in_table(demo(), other), "a mark of other rows is no mark"


def test_charts_of_a_part_of_the_rows_say_so() -> None:
    """A curve ended at 75 beside 79 % in the table: 120 of 602 rows, which nothing said."""
    found = decided("uneven")
    fold = tuple(
        card.model_copy(
            update={"curve": tuple(p.model_copy(update={"row_set": "120:a"}) for p in card.curve)}
        )
        for card in found.scorecards
    )
    of_curves = curves(found.model_copy(update={"scorecards": fold}))
    assert f"On 120 of {ROWS} test rows." in of_curves.caption
    of_noise, of_whole = noise(found), noise(decided("even"))
    assert "test rows" in of_noise.caption
    assert "test rows" not in of_whole.caption
    whole = decided("even")
    sets = {"tfidf": f"{ROWS}:a", "knn": "240:b", "probe": "120:c", "lora": None}
    noted = rows_noted(whole, sets)
    assert noted == f"Test rows: probe on 120, knn on 240 and tfidf on {ROWS} of {ROWS}."
    assert rows_noted(whole, {"tfidf": f"{ROWS}:a", "lora": None}) == ""


def test_every_measure_of_an_uneven_decision_knows_its_rows() -> None:
    """Were figures without rows, the walk over sentences and tables would see nothing."""
    known = figures(decided("uneven"))
    paths = {figure.path for figure in known}
    assert {
        "scorecard.accuracy",
        "scorecard.macro_f1",
        "scorecard.noise.curve[0.1].accuracy",
        "scorecard.noise.kinds[confused-pair/0.2].loss",
        "scorecard.stability.views[typos].accuracy",
        "scorecard.stability.views[typos].change",
        "scorecard.curve[100].value",
        "scorecard.settings[free].change",
        "pair.difference",
        "standing.difference",
    } <= paths
    tfidf = {f.row_set.split(":")[0] for f in known if f.owners == {"tfidf"}}
    assert len(tfidf) >= 4, "all rows, noise, typos and settings"


def test_scores_of_the_balanced_metric_are_called_mean_recall() -> None:
    """D22: the report said "79 of 100 right" of a mean recall, where 98.8 of 100 were right."""
    found = decided("balanced")
    page, text = render_html(found), render_markdown(found)
    said = headline(found)
    assert "% mean recall" in said
    assert not re.search(r"\d %?( of 100)? (right|correct)\b", said)
    assert "% mean recall" in page
    assert "% mean recall" in text
    assert "% right |" not in text
    assert "% mean recall" not in render_markdown(decided("uneven"))
