"""One command at a time pays an endpoint; another ends with one line (H9)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from choose.errors import ModelError
from choose.models.endpoints import ledger as module
from choose.models.endpoints.ledger import AnswerCache
from support.chat_server import PRICED, RIGHT, endpoint_session, fitted, right, rows

HOLDS = """
import sys, time
from pathlib import Path
from choose.models.endpoints.ledger import AnswerCache
cache = AnswerCache(Path(sys.argv[1]), 30.0)
cache.hold()
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_command_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "paid" / "account.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[3])}
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout.readline() == b"held\n"
        mine = AnswerCache(path, 30.0)
        with pytest.raises(ModelError, match="Another choose command") as raised:
            mine.hold()
        assert "\n" not in str(raised.value)
        other.send_signal(signal.SIGKILL)
    mine.hold()
    mine.release()


LINES = ["", "5", "[]", "null", '{"when": 1e999}', '{"when": "x"}', '{"key": "k"}', "\udcff"]


@pytest.mark.parametrize("line", [*LINES, "[" * 9**5])
def test_damaged_lines_of_the_cache_are_passed_over(tmp_path: Path, line: str) -> None:
    good = {"key": "good", "content": "a", "finish": "stop", "usage": {"read": "many"}}
    good |= {"seconds": float("nan"), "when": time.time()}
    path = tmp_path / "account.jsonl"
    text = f"{line}\n{json.dumps(good)}\n{line}"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    cache = AnswerCache(path, 30.0)
    assert list(cache.answers) == ["good"]
    assert cache.answers["good"].usage.read is None


def test_a_second_command_ends_with_one_line():
    asked: list[dict[str, Any]] = []
    with endpoint_session(RIGHT, asked=asked, **PRICED):
        fitted().predict(rows(10))
        before = len(asked)
        with (
            endpoint_session(RIGHT, asked=asked, **PRICED),
            pytest.raises(
                ModelError, match="Another choose command is asking the same model there"
            ),
        ):
            fitted().predict(rows(20))
    assert len(asked) == before
    with endpoint_session(RIGHT, asked=asked, **PRICED):
        assert right(fitted().predict(rows(20)), 20)
