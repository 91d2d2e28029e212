"""A whole study by the command line that Ctrl-C ends.

Kills, two writers and stores that cannot be written are the crash tests of `benchmarks/crashes.py`.
"""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.ray_nodes import wait_for
from support.studies import write_csv

pytestmark = pytest.mark.slow(seconds=14)

GRID = ("-s", "tfidf", "--set", "seeds=3", "--set", "noise=0,0.1,0.2,0.3")


def test_ctrl_c_ends_at_once_and_keeps_what_is_finished(choose: Any, tmp_path: Path) -> None:
    data, store = write_csv(tmp_path / "words.csv"), tmp_path / "st"
    # A shell that runs tests in the background has Ctrl-C ignored, and children inherit that.
    process = subprocess.Popen(
        [sys.executable, "-m", "choose", "compare", data, *GRID, "--out", store],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: len([*store.glob("trials/*/trial.json")]) >= 12 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 3
    assert (process.returncode, out) == (130, "")
    assert err.endswith(
        f"Interrupted. The finished trials are stored: choose report {store} judges them, and the "
        "same command goes on.\n"
    )
    record = json.loads(choose("report", store, "--json").out)
    assert record["left_out"]
    again = json.loads(choose("compare", data, *GRID, "--out", store, "--json").out)
    assert again["left_out"] == []
    assert again["looks"] == 1
