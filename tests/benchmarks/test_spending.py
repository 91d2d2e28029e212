"""Both orders of trials are played on the same known trials, and graded against the whole grid."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

import spending as bench
from choose.study.grid_points import FIRST_PASS
from simulation.thinned import CLEAN

STUDY = bench.Grade(first=1.0, reached=None, spent=10.0, right=(True,) * 6, false=False)


def study(fixed: float | None, value: float | None, false: bool = False) -> bench.Study:
    graded = replace(STUDY, false=false)
    return bench.Study(
        source="cross-fit",
        seconds=10.0,
        fits=0.5,
        final=True,
        false=False,
        fixed=replace(STUDY, reached=fixed),
        value=replace(graded, reached=value),
    )


def test_both_orders_end_with_the_verdict_of_the_whole_grid() -> None:
    known = bench.world("cross-fit", 0)
    found = bench.compared(known)
    assert found.value.first < found.fixed.first
    for order in (found.fixed, found.value):
        assert order.reached is not None
        assert (
            570.0 < found.fits < order.first <= order.reached <= order.spent <= 1.01 * found.seconds
        )
        assert order.right is not None
        assert len(order.right) == len(bench.SHARES)


def test_jobs_are_in_the_order_of_a_plan() -> None:
    known = bench.world("crowd", 1)
    jobs = bench.jobs_of(known.evidence)
    fast = {c.name for c in known.evidence.candidates if c.cheap}
    slow = [job for job in jobs if job.trial.candidate not in fast]
    assert len(jobs) == len(known.evidence.runs)
    names = {job.trial.candidate for job in slow}
    assert {job.trial.fold for job in slow[: len(names)]} == {0}
    assert {job.trial.candidate for job in slow[: len(names)]} == names
    firsts = [n for n, job in enumerate(slow) if job.part == FIRST_PASS]
    assert firsts == list(range(len(firsts)))


def test_rows_of_a_real_set_are_the_test_rows_of_five_folds() -> None:
    known = bench.real("trec6", 2)
    by_trial = Counter((r.trial.candidate, r.trial.draw) for r in known.evidence.runs)
    assert set(by_trial.values()) == {bench.FOLDS}
    own = [r for r in known.evidence.runs if (r.trial.candidate, r.trial.draw) == ("tfidf", 0)]
    ids = [id for run in own for id in run.asked[CLEAN]]
    assert sorted(ids) == sorted(known.evidence.items.ids)
    assert max(len(r.asked[CLEAN]) for r in own) - min(len(r.asked[CLEAN]) for r in own) <= 1


def test_targets_are_missed_by_slow_orders_and_by_wrong_winners() -> None:
    assert not list(bench.missed([study(4.0, 2.0)]))
    assert "0.75" in next(bench.missed([study(4.0, 3.0)]))
    assert list(bench.missed([study(4.0, None)])), "an order that never gets there"
    wrong = list(bench.missed([study(4.0, 2.0, false=True)]))
    assert wrong == ["wrong family recommended: 1.000, whole grid 0.000"]
    assert bench.ratio([study(4.0, 1.0), study(4.0, 2.0), study(4.0, 4.0)]) == pytest.approx(0.5)


def test_the_table_counts_studies_whose_first_verdict_was_not_the_last() -> None:
    text = "\n".join(bench.lines([study(1.0, 1.0), study(4.0, 2.0)]))
    row = next(line for line in text.splitlines() if line.startswith("all"))
    assert row.split()[10:14] == ["0.75", "0.31", "1", "0.50"]


def test_rows_cost_where_a_model_is_prompted_and_what_an_encoder_has_read_is_cached() -> None:
    world = bench.Costs(known := bench.world("cross-fit", 0))
    by_name = {run.trial.candidate: run for run in known.evidence.runs}
    assert world.of(by_name["prompt"]) == pytest.approx((2.0, 38.0))
    assert world.of(by_name["lora"]) == pytest.approx((570.0, 30.0))
    costs = bench.Costs(known := bench.real("trec6", 2))
    probes = [run for run in known.evidence.runs if run.trial.candidate == "probe"]
    first, again = costs.of(probes[0]), costs.of(probes[1])
    assert first[0] > 0 == again[0]
    assert again[1] > 0 == costs.of(probes[1])[1]
