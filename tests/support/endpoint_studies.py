"""Studies of a model behind an endpoint, run by the command line as a user would run them."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tomli_w

from choose.conformance import TASK, pool
from choose.store.store import Store
from support.commands import run_command
from support.studies import ONCE, write_csv

KEY_VARIABLE = "BIG_MODEL_KEY"
PRICES = {"usd_per_million_in": 3.0, "usd_per_million_cached": 0.3, "usd_per_million_out": 15.0}

# The words of each label's toy rows.
WORDS = {
    label: {w for e in pool(rows=300) if e.target == label for w in e.text.split()[:3]}
    for label in TASK.labels
}


def words_rule(question: str) -> str:
    text = question.lower()
    counts = {label: sum(word in text for word in words) for label, words in WORDS.items()}
    best = max(counts, key=lambda label: counts[label])
    if hashlib.sha256(text.encode()).digest()[0] < 26:
        return TASK.labels[TASK.labels.index(best) - 1]
    return best


def argv(arguments: Sequence[object]) -> list[str]:
    words = list(map(str, arguments))
    return [*words, "-c", "choose.toml"] if words[0] in ("check", "compare", "plan") else words


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with rows and a study file; every run has a cache of its own beside it."""

    folder: Path
    environment: Mapping[str, str]

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start the command in a process of its own, to be killed."""
        return subprocess.Popen(
            [sys.executable, "-m", "choose", *argv(arguments)],
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        """Run the command to its end in this process."""
        with patch.dict(os.environ, self.environment, clear=True), chdir(self.folder):
            ended, out, err = run_command(*argv(arguments))
        assert ended == code, f"exit {ended}\n{err}\n{out[-2000:]}"
        return out, err

    def compare(self, *arguments: object) -> dict[str, Any]:
        """Compare, confirmed, and return the decision record."""
        out, _ = self.run("compare", "--yes", "--json", "--out", "st", *arguments)
        return dict(json.loads(out))

    def answers(self, candidate: str = "prompt") -> dict[str, tuple[str | None, str]]:
        """Return a candidate's clean answers and their status by row, of the trials that ran."""
        found = {}
        store = Store.open(self.folder / "st")
        for trial in store.grid()[1]:
            if trial.candidate == candidate and (run := store.get(trial)) is not None:
                assert run.error is None, run.error
                given = run.answers["clean", 0]
                rows = zip(given.outputs, given.status, strict=True)
                found |= dict(zip(run.asked["clean", 0], rows, strict=True))
        return found


def bench(folder, url, *, rows=60, endpoint=None, grid=None, secret=None, **sections):
    """Write toy rows and a study of a prompt behind one endpoint, and more sections."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "rows.csv", [(e.text, e.target) for e in pool(seed=3, rows=rows)])
    keyed = {"api_key_env": KEY_VARIABLE} if secret else {}
    described = {"base_url": url, "model": "big-model", **PRICES, **keyed, **(endpoint or {})}
    study = {
        "data": {"path": "rows.csv"},
        "models": {"model": "endpoint:big"},
        "grid": {**ONCE, "budget": 3600, **(grid or {})},
        "candidates": [{"strategy": "prompt"}],
        "endpoints": {"big": described},
    } | sections
    (folder / "choose.toml").write_text(tomli_w.dumps(study), encoding="utf-8")
    keys = {KEY_VARIABLE: secret} if secret else {}
    return Bench(folder, {**os.environ, "CHOOSE_CACHE": str(folder / "cache"), **keys})
