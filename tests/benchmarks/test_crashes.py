"""The crash tests run, in a small number, with the slow tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A second process would run the undisturbed studies again, on the core that a worker has.
FEW = ("--quick", "--jobs", "1")


@pytest.mark.slow(seconds=70)
def test_no_crash_loses_a_trial_or_changes_a_decision() -> None:
    """A few kills, full disks, read-only stores, two writers, clocks and damaged stores."""
    command = [sys.executable, str(ROOT / "benchmarks" / "crashes.py"), *FEW]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env={**os.environ, **path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 cases lost" in done.stdout
