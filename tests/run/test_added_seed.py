"""What one more draw of a pool of known texts costs a cheap candidate: a second at most."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from choose.conformance import pool
from choose.store.store import Store
from support.studies import compare, write_csv

pytestmark = pytest.mark.slow

STUDY = {
    "data": {"test_rows": 200},
    "grid": {
        "seeds": 4,
        "sizes": [240],
        "noise": [],
        "views": [],
        "scenarios": [],
        "budget_seconds": None,
    },
}


def test_an_added_draw_of_what_is_cheap_costs_a_second_at_most(tmp_path: Path) -> None:
    rows = [(e.text, e.target) for e in pool(seed=3, rows=500)]
    data = write_csv(tmp_path / "rows.csv", rows)
    out = tmp_path / "store"
    compare(data, overrides=STUDY, strategies=["tfidf", "probe", "knn"], out=out)
    store = Store.open(out)
    spent: dict[str, list[float]] = {}
    for trial in store.grid()[1]:
        run = store.get(trial)
        assert run is not None
        assert run.seconds_spent is not None
        if trial.draw:
            spent.setdefault(trial.candidate, []).append(run.seconds_spent)
    assert {"tfidf", "probe", "knn"} <= set(spent)
    for name, seconds in spent.items():
        assert median(seconds) <= 1.0, (name, seconds)
