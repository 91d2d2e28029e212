"""A stored study with the default models: answers before and after a change are the same.

`test_revisions.py` holds every strategy to stored answers on tiny models; this one holds the
product's own defaults to them. An answer that changes on purpose raises its strategy's revision:
then run with WRITE_REFERENCE=1.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from choose.api.plan import plan_trials, read_study, resolve
from choose.conformance import pool
from choose.engines.weights.spec import DEFAULT_ENCODER
from choose.run.trial import run_trials
from support.studies import ONCE, write_csv

pytestmark = pytest.mark.slow(seconds=62)

TESTS = Path(__file__).parents[1]
REFERENCE = Path(__file__).parent / "reference_study.json"
SHORT = {"max_tokens": 48}

# Log-probabilities may be off by so much in nats from processor to processor, where training takes
# many steps by more.
ROUNDED, TRAINED = 0.05, 0.5

STUDY = {
    "grid": {**ONCE, "noise": []},
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
    found = studied(tmp_path)
    if os.environ.get("WRITE_REFERENCE"):
        lines = (f" {json.dumps(name)}: {json.dumps(each)}" for name, each in found.items())
        REFERENCE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    stored = json.loads(REFERENCE.read_text())
    assert list(found) == list(stored)
    for name, each in found.items():
        assert each["revision"] == stored[name]["revision"], f"{name}: WRITE_REFERENCE=1"
        apart = np.abs(np.array(each["scores"]) - np.array(stored[name]["scores"])).max()
        assert apart <= (TRAINED if name == "lora" else ROUNDED), (name, apart)


def studied(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the answers of a process of its own, in the number type that every machine has."""
    rows = [(e.text, e.target) for e in pool(seed=5, rows=144)]
    learnt = write_csv(folder / "learnt.csv", rows[:120])
    asked = write_csv(folder / "asked.csv", rows[120:])
    study = folder / "choose.toml"
    study.write_text(tomli_w.dumps({**STUDY, "data": {"path": str(learnt), "test": str(asked)}}))
    done = subprocess.run(
        [sys.executable, __file__, study],
        env={**os.environ, "CHOOSE_DTYPE": "float32", "PYTHONPATH": str(TESTS)},
        check=True,
        stdout=subprocess.PIPE,
        timeout=900,
    )
    return json.loads(done.stdout)


def answers(study_file: Path) -> dict[str, dict[str, Any]]:
    """Return the log-probabilities of each candidate by its first fit, in the order of row ids.

    No fit has a time to end in, since a slow machine would then make fewer steps than a fast one.
    The order in which rows are asked is not part of an answer.
    """
    read = read_study(resolve(study_file=study_file), None)
    found: dict[str, dict[str, Any]] = {}
    for job in plan_trials(read.study, read.pools).jobs:
        if job.trial.candidate == "majority":
            continue
        run = next(run_trials([job], read.pools)).run
        scores = run.answers["clean", 0].scores
        rounded = np.maximum(scores[np.argsort(run.asked["clean", 0])], -20.0).round(3).tolist()
        found[job.trial.candidate] = {"revision": job.trial.revision, "scores": rounded}
    return dict(sorted(found.items()))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answers(Path(sys.argv[1]))))
