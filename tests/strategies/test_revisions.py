"""Answers that change without a raised revision would let old runs pass for new ones.

After a change that is meant: raise the strategy's revision, then
``WRITE_GOLDEN=1 pytest tests/strategies/test_revisions.py`` and read what changed.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from choose.conformance import questions
from choose.engines.hardware import device_and_dtype as runtime
from choose.strategy import available, find, hyperparameters, kinds
from support.studies import fit_strategy

GOLDEN = Path(__file__).with_name("golden_answers.json")
# Those that answer with labels; what a server answers is not ours to fix.
NAMED = sorted(n for n in available() if n != "served" and "classification" in kinds(n))

# Machines differ in the last digits of a matrix product, and training carries them on.
CLOSE = dict.fromkeys(("lora", "setfit", "full-fine-tuning"), 0.2)

# Of the fits below the one that takes a second or more.
LONG = ("tuned-prompt",)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in NAMED]
)
def test_answers_change_only_with_the_revision(name, model, encoder, monkeypatch):
    monkeypatch.setenv("CHOOSE_DTYPE", "float32")
    monkeypatch.setattr(runtime, "dtype", runtime.dtype.__wrapped__)  # not what was cached before
    models = {"model": model, "base": model, "encoder": encoder}
    params = {role: spec for role, spec in models.items() if role in hyperparameters(name)}
    params |= {"template": "Answer this: {text}"} if name == "own-prompt" else {}
    found = fit_strategy(name, seed=1, **params).predict(questions())
    assert found.scores is not None
    if os.environ.get("WRITE_GOLDEN"):
        known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        scores = np.round(found.scores, 4).tolist()
        known[name] = {"revision": find(name).revision, "scores": scores}
        GOLDEN.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
        return
    golden = json.loads(GOLDEN.read_text())[name]
    assert golden["revision"] == find(name).revision, "write the golden answers anew"
    assert np.allclose(found.scores, golden["scores"], atol=CLOSE.get(name, 0.01)), (
        f"{name} answers otherwise than revision {golden['revision']} did: raise its revision"
    )
