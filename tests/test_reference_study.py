"""A stored study with the default models: answers before and after a change are the same.

`test_revisions.py` holds every strategy to stored answers on tiny models; this one holds the
product's own defaults to them. An answer that changes on purpose raises its strategy's revision:
then run with WRITE_REFERENCE=1.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from choose.api import compare
from choose.models.specs import DEFAULT_ENCODER
from choose.store import Store
from choose.strategy import find

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parent / "reference_study.json"
SHORT = {"max_tokens": 48}

# Answers on the edge between two labels depend on the processor; training takes many steps there.
OTHER, TRAINED = 1, 3

STUDY = {
    "data": {"test_rows": 24},
    "grid": {
        "seeds": 1,
        "sizes": [120],
        "noise": [],
        "views": [],
        "scenarios": [],
        "wordings": False,
        "budget_seconds": None,
    },
    "models": {"tune": DEFAULT_ENCODER},
    "candidates": [
        {"strategy": "tfidf"},
        {"strategy": "probe"},
        {"strategy": "knn"},
        {"strategy": "prompt", "params": SHORT},
        {"strategy": "few-shot", "params": SHORT},
        {"strategy": "retrieval", "params": SHORT},
        {"strategy": "lora", "params": SHORT},
    ],
}


def test_the_answers_of_the_default_models_are_those_that_are_stored(tmp_path: Path) -> None:
    compare("sample:tickets", overrides=STUDY, out=tmp_path / "store")
    found = answers(Store.open(tmp_path / "store"))
    if os.environ.get("WRITE_REFERENCE"):
        lines = (f" {json.dumps(name)}: {json.dumps(each)}" for name, each in found.items())
        REFERENCE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    stored = json.loads(REFERENCE.read_text())
    assert list(found) == list(stored)
    for name, each in found.items():
        assert each["revision"] == stored[name]["revision"], f"{name}: WRITE_REFERENCE=1"
        before = stored[name]["answers"]
        assert each["answers"].keys() == before.keys(), "other rows are asked"
        changed = [id for id, answer in each["answers"].items() if answer != before[id]]
        assert len(changed) <= (TRAINED if name == "lora" else OTHER), (name, changed)


def answers(store: Store) -> dict[str, dict[str, object]]:
    """Return the answers of each candidate by row, those of the first repetition."""
    found: dict[str, dict[str, object]] = {}
    for trial in store.grid()[1]:
        run = store.get(trial)
        if run is None or trial.draw or trial.candidate == "majority":
            continue
        assert run.error is None, run.error
        asked = run.asked["clean", 0]
        found[trial.candidate] = {
            "revision": find(trial.strategy).revision,
            "answers": dict(zip(asked, run.answers["clean", 0].outputs, strict=True)),
        }
    return dict(sorted(found.items()))
