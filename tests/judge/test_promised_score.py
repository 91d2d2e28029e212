"""Scores promised for more labels: golden values, what a curve tells, coverage on real sets."""

from dataclasses import replace
from math import hypot, log, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import promises
from choose.judge.goal import Rule
from choose.judge.scores.promised_score import (
    FIT_SD,
    MOST_GROWTH,
    Normal,
    labels_for_gain,
    promised_gain,
    promised_score,
    rates_by_others,
)
from choose.judge.verdict import judge
from choose.stats import Estimate
from choose.types import SHARE_READ, Floats
from support import simulated_studies as worlds


def learner(
    main: Floats, pool: int, whole: int, sizes: Any = (), repeats: bool = True, **about: Any
) -> Any:
    tables = {s: SimpleNamespace(right=right[:, None], runs=()) for s, right in dict(sizes).items()}
    facts = {"name": "a", "family": "baseline", "learns": True, "floor": False, "reads": False}
    return SimpleNamespace(
        main=SimpleNamespace(right=main[:, None], runs=()),
        info=SimpleNamespace(**facts | about),
        pool=pool,
        whole=whole,
        sizes=tables,
        by_pool={**tables, pool: None},
        repeats=repeats,
    )


def gain_of(one: Any, *others: Any, learned: int = 0) -> Normal:
    return promised_gain(one, rates_by_others([one, *others])[one.info.name], learned=learned)


SIXTY = np.repeat([1.0, 0.0], [60, 40])
USUAL = Normal(0.16, 0.08**2 + 0.05**2)


def test_labels_that_a_gain_needs() -> None:
    """Golden, by hand: 0.16 of 40 points for as many again; half of it takes 0.4 doublings."""
    one = learner(SIXTY, 1_000, 1_000)
    doublings = log(1 - 0.03 / 0.4) / log(1 - 0.16)
    assert labels_for_gain([one], "a", 0.03) == pytest.approx(1_000 * (2**doublings - 1), abs=50)
    assert labels_for_gain([one], "a", 0.064) == 1_000
    assert labels_for_gain([one], "a", 0.065) is None


def test_each_doubling_removes_the_usual_share_of_errors_where_nothing_else_is_known() -> None:
    """Golden, by hand: 0.16 of 40 points, twice; standard deviations 0.08, 0.05 and 0.02."""
    one = learner(SIXTY, 250, 1_000)
    gain = gain_of(one)
    assert gain.mean == pytest.approx(0.4 * (1 - 0.84**2))
    assert sqrt(gain.variance) == pytest.approx(0.06481, abs=0.00001)
    found = promised_score(Estimate(value=0.6, low=0.5, high=0.7, estimand=""), gain)
    assert found.value == pytest.approx(0.71776)
    assert found.value - (found.low or 0) == pytest.approx(0.16166, abs=0.00001)
    for none in (learner(SIXTY, 1_000, 1_000), learner(SIXTY, 0, 1_000)):
        assert gain_of(none) == (0.0, 0.0)
    assert gain_of(one, learned=1_000) == (0.0, 0.0)
    few = gain_of(learner(SIXTY, 250, 1_000, family="prompting"))
    assert few == (0.0, pytest.approx(0.016**2))
    assert gain_of(learner(SIXTY, 250, 1_000, family="retrieval", reads=True)) == few
    assert gain_of(learner(SIXTY, 250, 4_000)).mean == pytest.approx(0.1593057), "it may stop"


def test_a_fit_cut_short_promises_as_one_that_learned_from_the_rows_that_it_read() -> None:
    cut = learner(SIXTY, 500, 1_000)
    cut.main.runs = (SimpleNamespace(share_read=1.0), SimpleNamespace(share_read=0.5))
    assert gain_of(cut) == gain_of(learner(SIXTY, 250, 1_000))


def flat(rows: int, repeats: bool = True, **about: Any) -> Any:
    """Return one whose score of 0.5 was the same with 250 rows as with 500 of 1,000."""
    right = (np.arange(rows) % 10 < 5).astype(float)
    return learner(right, 500, 1_000, {250: right}, repeats, **about)


def test_its_own_curve_counts_as_far_as_its_rows_tell() -> None:
    """Golden: of endless rows a step tells a rate of 0 as far as steps and two fits vary."""
    few, some, many = (gain_of(flat(rows)) for rows in (20, 100, 10**6))
    assert 0.065 > few.mean > some.mean > many.mean
    step = 0.02**2 + 2 * (FIT_SD / 0.5) ** 2
    assert many.mean == pytest.approx(0.5 * (0.16 * step / (step + USUAL.variance)), abs=1e-5)
    wide = 1 / (1 / step + 1 / USUAL.variance) + 0.02**2
    assert many.variance == pytest.approx(0.25 * wide, rel=1e-4)
    assert gain_of(flat(10**6, repeats=False)).mean < many.mean


def test_curves_of_one_family_tell_as_much_as_one_of_them() -> None:
    held, of_tuned = learner(SIXTY, 250, 4_000, name="held"), {"family": "fine-tuning"}
    one = gain_of(held, flat(1_000, name="b", **of_tuned))
    same = gain_of(held, *(flat(1_000, name=name, **of_tuned) for name in "bcd"))
    assert same == pytest.approx(one)
    assert gain_of(held, flat(1_000, name="b"), flat(1_000, name="c", **of_tuned)).mean < one.mean


def test_a_candidate_without_a_curve_promises_as_others_learned_but_for_references() -> None:
    rows, held = np.arange(1_000) % 10, learner(SIXTY, 250, 4_000, name="held")

    def beside(before: int, now: int, **about: Any) -> Normal:
        few, some = ((rows < n).astype(float) for n in (before, now))
        return gain_of(held, learner(some, 4_000, 4_000, {2_000: few}, name="b", **about))

    alone = gain_of(held)
    assert beside(6, 6).mean < alone.mean < beside(6, 8).mean
    assert beside(6, 8).variance < alone.variance
    assert beside(6, 8, floor=True) == beside(6, 6, learns=False) == alone


def test_who_is_nearly_never_right_does_not_promise_more_than_was_measured() -> None:
    """Six steps of a LoRA on 48 of 250 questions: 2 % of words, and 33 % were promised."""
    nearly_none = np.repeat([1.0, 0.0], [2, 98])
    gain = gain_of(learner(nearly_none, 50, 400))
    assert gain.mean == pytest.approx(0.02 * (MOST_GROWTH**2 - 1))
    assert sqrt(gain.variance) == pytest.approx(hypot(0.095, 0.0225)), "27 points by errors alone"
    assert gain_of(learner(0 * nearly_none, 50, 400)) == (0.0, pytest.approx((3 * 0.02) ** 2))
    study = worlds.study([worlds.retrieval(0.17), worlds.lora(0.02)], 100, 1)
    cut = {"retrieval": {}, "lora": {SHARE_READ: 0.08}}
    runs = tuple(replace(run, shortened=cut[run.trial.candidate]) for run in study.runs)
    verdict = judge(replace(study, runs=runs), Rule()).verdict
    assert verdict.use_meanwhile == "retrieval"
    assert verdict.chance["fine-tuning"] < 0.2, "0.36 by errors alone"


def test_bands_hold_on_the_curves_of_seven_real_sets() -> None:
    """From 100 test rows and pools of 100 and 300 labels the score with 1,000 is foretold."""
    found = [*promises.misses(promises.stored())]
    z = np.array([miss.z for miss in found])
    assert {miss.family for miss in found} == {"baseline", "retrieval", "fine-tuning"}
    assert len({miss.set for miss in found}) == 7
    assert len(z) > 60
    assert np.mean(np.abs(z) < 1.96) >= 0.93
    assert np.abs(np.mean(z)) < 0.3
    assert 0.5 < np.std(z) < 1.2


def test_the_benchmark_passes_over_what_is_no_study(capsys, tmp_path, monkeypatch) -> None:
    """With one choice of figures what is chosen without a set is what is used."""
    monkeypatch.setattr(promises, "TRIED", ((0.16,), (0.08,), (0.08,), (0.1,), (0.02,)))
    assert promises.main(["--stores", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path} is passed over" in told
    used, chosen = ([s[22:] for s in told.splitlines() if s.startswith(w)] for w in ("as", "set"))
    assert used == chosen != []
