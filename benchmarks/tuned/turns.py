"""Processes of both sides in turn; what is finished is kept for the same code and machine."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import choose
from choose.files import digest
from choose.models.lora.training import plan
from choose.models.weights.resolve import resolve, weights_digest
from choose.models.weights.spec import DEFAULT_LM
from machine import machine

HERE = Path(__file__).resolve().parent
ROWS, CLASSES, RATE = 300, 6, 1e-3
PACKAGES = ("torch", "transformers", "peft")

# How the peer trains. With lengths grouped, as ours are, a step has 101 tokens with padding, with
# batches at random, as Trainer draws them unasked, 148: the second form tells what that costs.
PEERS = {
    "fp32": {"bf16": False, "grouped": False},
    "fp32 grouped": {"bf16": False, "grouped": True},
    "bf16": {"bf16": True, "grouped": True},
}


class Turns:
    """Processes of either side, one after another; what is finished is kept."""

    def __init__(self, choice: argparse.Namespace, folder: Path) -> None:
        self.folder, self.threads, self.keep = folder, choice.threads, choice.keep
        learnt = plan(ROWS, CLASSES, RATE)
        self.settings = {
            "data": str(choice.data),
            "model": DEFAULT_LM,
            "folder": str(resolve(DEFAULT_LM)),
            "rank": 16,
            "dropout": 0.05,
            "rate": learnt.rate,
            "batch": learnt.batch,
            "plan_steps": learnt.steps,
            "max_tokens": 128,
            "upper": choice.upper,
        }
        kept = self.keep is not None and self.keep.exists()
        self.done: dict[str, Any] = json.loads(self.keep.read_text()) if kept else {}

    def run(self, name: str, side: str, steps: int, seeds: list[int], **how: Any) -> dict[str, Any]:
        """Return what a side found, or had found before in the same way."""
        name = f"{name} {digest([self._way(side), side, steps, seeds, how])[:8]}"
        if name not in self.done:
            self.done[name] = self._run(side, steps=steps, seeds=seeds, **how)
            if self.keep is not None:
                self.keep.write_text(json.dumps(self.done, indent=1))
        found: dict[str, Any] = self.done[name]
        return found

    def _way(self, side: str) -> list[Any]:
        """Return all that a measurement of a side depends on, but for what is asked of it."""
        same = {k: v for k, v in self.settings.items() if k not in ("data", "folder")}
        if side == "peer":
            del same["upper"]
        versions = [version(package) for package in PACKAGES]
        weights = weights_digest(DEFAULT_LM)
        return [same, weights, self.threads, machine(self.threads), versions, sources(side)]

    def _run(self, side: str, **how: Any) -> dict[str, Any]:
        job = self.folder / "job.json"
        job.write_text(json.dumps({**self.settings, **how}), encoding="utf-8")
        count = str(self.threads)
        threads = {"OMP_NUM_THREADS": count, "CHOOSE_THREADS": count, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, HERE / f"{side}.py", job]
        done = subprocess.run(
            command, env={**os.environ, **threads}, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def sources(side: str) -> list[str]:
    """Return the code that a side runs, as far as it is ours."""
    files = [HERE / f"{side}.py", HERE / "pool.py"]
    if side == "ours":
        files += sorted((Path(choose.__file__).parent / "models").rglob("*.py"))
    return [digest(file.read_text(encoding="utf-8")) for file in files]
