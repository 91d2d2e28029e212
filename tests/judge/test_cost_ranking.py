"""Several tasks on one base, in sums done by hand."""

from dataclasses import replace

import pytest

from choose.judge.measures.cost_sheet import serving
from choose.judge.scores.score_tables import study_scores
from support.priced_studies import rule, world


def runs(adapter: float | None = 4.0, base: float | None = 300.0):
    lora = study_scores(world(rows=200))["lora"]
    return [replace(run, artefact_mb=adapter, base_mb=base) for run in lora.main.runs]


def test_tasks_share_the_base():
    found = serving(runs(), rule(tasks=10, machine_gb=1.0))
    assert (found.on_one_base_mb, found.one_each_mb) == (340, 3040)
    # Three models of 304 MB fit a machine of 1,000 MB, so ten take four machines.
    assert (found.machines, found.machines_one_each) == (1, 4)
    assert (found.usd_per_hour, found.usd_per_hour_one_each) == pytest.approx((3.6, 14.4))


@pytest.mark.parametrize("facts", [{"adapter": None}, {"base": None}])
def test_what_was_not_measured_is_null(facts):
    assert serving(runs(**facts), rule(tasks=10)) is None


def test_without_a_number_of_tasks_or_a_machine_there_is_less_to_say():
    assert serving(runs(), rule()) is None
    found = serving(runs(), rule(tasks=10))
    assert (found.machines, found.usd_per_hour) == (None, None)
    small = serving(runs(), rule(tasks=10, machine_gb=0.32))
    assert (small.machines, small.machines_one_each) == (None, 10)
    unpriced = serving(runs(), replace(rule(tasks=2, machine_gb=1), usd_per_machine_hour=None))
    assert (unpriced.machines, unpriced.usd_per_hour) == (1, None)
