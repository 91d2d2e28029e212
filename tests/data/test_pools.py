"""Pools are make_split once, shared by plan and run, and bounded in memory."""

from collections import Counter

import pytest

from choose.api.compare import run_study
from choose.api.plan import resolve
from choose.data import scenarios as module
from choose.data.scenarios import Pools, Split, SplitSpec, make_split
from choose.types import STANDARD, Dataset
from support.studies import dataset, write_csv


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Counter[SplitSpec]:
    counts: Counter[SplitSpec] = Counter()

    def counted(rows: Dataset, place: SplitSpec) -> Split:
        counts[place] += 1
        return make_split(rows, place)

    monkeypatch.setattr(module, "make_split", counted)
    return counts


def test_a_plan_and_its_run_draw_each_pool_once(tmp_path, monkeypatch, draws):
    monkeypatch.chdir(tmp_path)
    study = resolve(
        write_csv(tmp_path / "words.csv"),
        overrides={"grid": {"seeds": 2, "noise": [0.0, 0.2]}},
        strategies=["majority", "tfidf"],
    )
    run_study(study, out=tmp_path / "st")
    assert len(draws) > 5
    assert set(draws.values()) == {1}


def test_only_the_pools_used_last_are_kept(draws: Counter[SplitSpec]) -> None:
    data = dataset()
    first, second, third = (SplitSpec(fold, 0, None, STANDARD) for fold in range(3))
    pools = Pools(data, limit=2 * len(data.examples))
    for place in (first, second, first, third, first, second):
        pools.at(place)
    assert draws == {first: 1, second: 2, third: 1}


def test_a_caller_may_reorder_its_pool() -> None:
    pools = Pools(dataset())
    place = SplitSpec(0, 0, None, STANDARD)
    before = list(pools.at(place).pool)
    pools.at(place).pool.reverse()
    assert pools.at(place).pool == before
