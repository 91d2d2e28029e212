"""A server that fails: the same answers, nothing paid twice, no key in any output."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from choose.models.endpoints.handshake import PROBE_TEXT
from choose.run.requests import FIRST_ANSWERS
from support.chat_server import RIGHT, Mix, Server, counting, endpoint_session, serving
from support.endpoint_studies import bench, words_rule

pytestmark = pytest.mark.slow(seconds=8)

# Words do better than the server, which is left behind once it has answered so many rows.
ASKED = FIRST_ANSWERS


def test_faults_change_no_answer_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    with serving(counting(words_rule)) as quiet:
        calm = bench(tmp_path / "calm", quiet.url, rows=250)
        calm.compare()
    with serving(counting(words_rule), Mix(0.2, seed=5), seconds=0.02) as server:
        stormy = bench(tmp_path / "stormy", server.url, rows=250, endpoint={"timeout": 2.0})
        record = stormy.compare()
    assert len(stormy.answers()) == ASKED
    assert stormy.answers() == calm.answers()
    assert sum(receipt.fault is not None for receipt in server.receipts) > ASKED / 10
    assert server.paid_twice == []
    assert server.peak <= 8
    same_tokens(record, server, ASKED)


def same_tokens(record: dict[str, Any], server: Server, rows: int) -> None:
    """Compare what the report says with the server's account, but for the first request."""
    paid = [receipt for receipt in server.paid if PROBE_TEXT not in receipt.question]
    [cost] = [card["cost"] for card in record["scorecards"] if card["candidate"] == "prompt"]
    assert len(paid) == rows
    assert cost["tokens_in"] * rows == pytest.approx(sum(r.usage["prompt_tokens"] for r in paid))
    assert cost["tokens_out"] * rows == pytest.approx(
        sum(r.usage["completion_tokens"] for r in paid)
    )


def test_a_kill_repays_nothing(tmp_path: Path) -> None:
    with serving(counting(words_rule), seconds=0.05) as server:
        study = bench(tmp_path, server.url, rows=120)
        process = study.start("compare", "--yes", "--json", "--out", "st")
        until(lambda: len(server.paid) >= 40, process)
        server.gate.clear()
        time.sleep(2)  # what is paid reaches the disk; what is asked now is held back
        before = len(server.paid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        server.gate.set()
        record = study.compare()
        assert 40 <= before < ASKED
        assert server.paid_twice == []
    assert len(study.answers()) == ASKED
    same_tokens(record, server, ASKED)


WAITS = {
    "handshake": (Mix(1.0, ("endless-events",)), 0.0),
    "headers": (Mix(1.0, ("endless-head",)), 0.0),
    "stall": (Mix(1.0, ("stall",)), 0.0),
    "pause": (Mix(1.0, ("429-minute",)), 0.0),
    "rows": (None, 1.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_the_command_soon(tmp_path: Path, wait: str) -> None:
    """Polars restarts system calls after a signal, so that Ctrl-C did nothing."""
    with serving(RIGHT, *WAITS[wait]) as server:
        study = bench(tmp_path, server.url, rows=60, endpoint={"concurrency": 2})
        process = study.start("compare", "--yes", "--out", "st")
        asked = 4 if wait == "rows" else 1
        until(lambda: len(server.receipts) >= asked, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        sent = len(server.receipts)
        _, err = process.communicate(timeout=20)
        took = time.monotonic() - start
    assert process.returncode in (130, 2)
    assert "Traceback" not in err
    assert len(server.receipts) <= sent + (2 if wait == "rows" else 0)
    assert took < 4, f"{took:.1f} s"  # within two seconds where nothing else runs


def until(met: Callable[[], bool], process: Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not met():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_the_budget_holds_for_the_first_request(tmp_path: Path) -> None:
    with serving(RIGHT, *WAITS["handshake"]) as server:
        study = bench(tmp_path, server.url, grid={"budget": 2.0})
        start = time.monotonic()
        _, err = study.run("compare", "--yes", "--out", "st", code=2)
        assert time.monotonic() - start < 20
    assert "first request within the time limit of 2 s" in err
    assert len(server.receipts) == 1


def test_a_second_interruption_is_heeded_while_requests_come_in(monkeypatch):
    calls: list[float] = []

    def pressed(futures: Any, seconds: float) -> Any:
        calls.append(seconds)
        time.sleep(min(seconds, 0.01))
        raise KeyboardInterrupt

    with endpoint_session(RIGHT) as session:
        start = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr("choose.models.endpoints.request_session.wait", pressed)
            with pytest.raises(KeyboardInterrupt):
                session.run(asyncio.sleep(30))
        assert time.monotonic() - start < 2
        assert len(calls) == 2
        assert max(calls) <= 0.2


STALLED = """
import socket, time
def stalled(host, *more, real=socket.getaddrinfo, **hints):
    if "hangs.example" not in str(host):  # bytes, of some clients
        return real(host, *more, **hints)
    time.sleep(12)
    raise socket.gaierror("no answer")
socket.getaddrinfo = stalled
from choose.conformance import TASK
from choose.models.endpoints.request_session import connect_endpoints
from choose.models.endpoints.settings import Endpoint
from choose.progress import TimeLimitReached, time_limit
from choose.strategy import build
import httpx2
with connect_endpoints({"big": Endpoint(base_url="http://hangs.example/v1", model="m")}):
    try:
        with time_limit(1.5):
            build("prompt", seed=0, model="endpoint:big").check(TASK)
    except TimeLimitReached:
        print("ends", flush=True)
"""


def test_a_process_ends_while_a_name_server_hangs() -> None:
    with Popen([sys.executable, "-c", STALLED], stdout=PIPE) as program:
        assert program.stdout.readline() == b"ends\n"
        start = time.monotonic()
        assert program.wait(30) == 0
    assert time.monotonic() - start < 6
