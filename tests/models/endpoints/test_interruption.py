"""Ctrl-C and the time budget end a command wherever it waits for a server; processes share."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from choose.conformance import TASK
from choose.models.endpoints.command_session import connect_endpoints
from choose.models.endpoints.settings import Endpoint
from choose.progress import TimeLimitReached, time_limit
from support.chat_server import RIGHT, endpoint_session, fitted
from support.serving.faults import Mix
from support.serving.faulty import FaultyServer, Habits
from support.serving.studies import bench, words_rule

WAITS = {
    "handshake": Habits(faults=Mix(1.0, ("endless-events",))),
    "headers": Habits(faults=Mix(1.0, ("endless-head",))),
    "stall": Habits(faults=Mix(1.0, ("stall",))),
    "pause": Habits(faults=Mix(1.0, ("429-minute",))),
    "rows": Habits(seconds=1.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_the_command_soon(tmp_path: Path, wait: str) -> None:
    """H4: polars restarts system calls after a signal, so that Ctrl-C did nothing."""
    with FaultyServer(words_rule, WAITS[wait]) as server:
        study = bench(tmp_path, server.url, rows=60, endpoint={"concurrency": 2})
        process = study.start("compare", "--yes", "--out", "st")
        asked = 4 if wait == "rows" else 1
        until(lambda: len(server.ledger.receipts) >= asked, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        sent = len(server.ledger.receipts)
        _, err = process.communicate(timeout=20)
        took = time.monotonic() - start
    assert process.returncode in (130, 2)
    assert "Traceback" not in err
    assert len(server.ledger.receipts) <= sent + (2 if wait == "rows" else 0)
    assert took < 4, f"{took:.1f} s"  # within two seconds where nothing else runs


def until(met: Callable[[], bool], process: Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_the_budget_holds_for_the_first_request(tmp_path: Path) -> None:
    """H5: a budget of 15 s took 308 s where a server sends bytes without an end."""
    with FaultyServer(words_rule, WAITS["handshake"]) as server:
        study = bench(tmp_path, server.url, grid={"budget_seconds": 2.0})
        start = time.monotonic()
        _, err = study.run("compare", "--yes", "--out", "st", code=2)
        assert time.monotonic() - start < 20
    assert "first request within the time limit of 2 s" in err
    assert len(server.ledger.receipts) == 1


def test_a_second_interruption_is_heeded_while_requests_come_in(monkeypatch):
    calls: list[float] = []

    def pressed(futures: Any, seconds: float) -> Any:
        calls.append(seconds)
        time.sleep(min(seconds, 0.01))
        raise KeyboardInterrupt

    with endpoint_session(RIGHT) as session:
        start = time.monotonic()
        with monkeypatch.context() as patch:
            patch.setattr("choose.models.endpoints.command_session.wait", pressed)
            with pytest.raises(KeyboardInterrupt):
                session.run(asyncio.sleep(30))
        assert time.monotonic() - start < 2
        assert len(calls) == 2
        assert max(calls) <= 0.2


def test_a_name_server_that_hangs_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are no daemons are waited for at the end of the program."""
    hanging, real = threading.Event(), socket.getaddrinfo

    def resolve(host: Any, *more: Any, **hints: Any) -> Any:
        if host != "hangs.example":
            return real(host, *more, **hints)
        hanging.wait(30)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with endpoint_session(RIGHT):
        fitted().check(TASK)  # loads the client, which takes seconds
    end = Endpoint(base_url="http://hangs.example/v1", model="m")
    start = time.monotonic()
    with connect_endpoints({"big": end}), pytest.raises(TimeLimitReached), time_limit(0.3):
        fitted().check(TASK)
    assert time.monotonic() - start < 3
    names = {thread.name for thread in threading.enumerate() if not thread.daemon}
    assert not {name for name in names if "asyncio" in name or "resolver" in name}
    hanging.set()
