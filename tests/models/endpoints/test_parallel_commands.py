"""Commands that run at the same time pay for no question twice and share one limit (H9)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from choose.errors import ModelError, MoneySpent
from choose.models.endpoints import parallel_commands as module
from choose.models.endpoints.answer_cache import AnswerCache
from choose.models.endpoints.parallel_commands import ParallelCommands
from support.chat_server import Http
from support.endpoint_sessions import PRICED, RIGHT, endpoint_session, fitted, right, rows


def claimed(folder: Path, key: str, usd: float = 0.0) -> ParallelCommands:
    """Return another command that has claimed a question."""
    other = ParallelCommands(folder, {"account"})
    asyncio.run(other.exclusively(lambda: other.claim(key, 60.0, usd)))
    return other


def seen(commands: ParallelCommands) -> module.Others:
    return asyncio.run(commands.exclusively(commands.others))


def test_claims_are_seen_until_they_are_released(tmp_path: Path) -> None:
    other, mine = claimed(tmp_path, "k", 0.25), ParallelCommands(tmp_path, {"account"})
    assert seen(mine) == module.Others(frozenset({"k"}), 0.25)
    assert not seen(other).claims
    other.release("k", 0.1)
    assert seen(mine) == module.Others(frozenset(), 0.1)


def test_only_commands_with_a_common_account_count(tmp_path: Path) -> None:
    claimed(tmp_path, "k", 0.25)
    assert seen(ParallelCommands(tmp_path, {"another"})) == module.Others()


def test_what_a_command_spent_counts_for_those_that_ran_at_the_same_time(tmp_path: Path) -> None:
    mine = ParallelCommands(tmp_path, {"account"})
    seen(mine)
    other = claimed(tmp_path, "k", 0.25)
    other.close()
    assert seen(mine) == module.Others(frozenset(), 0.25)
    time.sleep(0.01)
    assert seen(ParallelCommands(tmp_path, {"account"})) == module.Others(), (
        "it ended before this one began"
    )
    mine.close()


def test_nothing_stays_behind(tmp_path: Path) -> None:
    first, second = claimed(tmp_path, "a"), claimed(tmp_path, "b")
    first.close()
    second.close()
    assert not list((tmp_path / "running").glob("*.json"))


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from choose.models.endpoints.parallel_commands import ParallelCommands
commands = ParallelCommands(Path(sys.argv[1]), {"account"})
def claim():
    commands.claim("k", 60.0, 0.5)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(commands.exclusively(claim))
"""


def test_a_killed_command_holds_nothing(tmp_path: Path) -> None:
    """It is killed while it holds every lock; its money may be billed, so that still counts."""
    mine = ParallelCommands(tmp_path, {"account"})
    seen(mine)
    source = str(Path(module.__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": source}
    subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], check=False, timeout=60, env=environment
    )
    start = time.monotonic()
    assert seen(mine) == module.Others(frozenset(), 0.5)
    assert time.monotonic() - start < 1


def test_a_claim_ends_though_its_command_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed(tmp_path, "k")
    later = time.time() + 60 + module._SLACK + 1
    monkeypatch.setattr("choose.models.endpoints.parallel_commands.time.time", lambda: later)
    mine = ParallelCommands(tmp_path, {"account"})
    mine._started = 0.0
    assert not seen(mine).claims


def test_a_lock_that_is_never_released_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    asyncio.run(ParallelCommands(tmp_path).exclusively(lambda: None))
    with FileLock(tmp_path / "running" / "all.lock"), pytest.raises(ModelError, match="holds"):
        asyncio.run(ParallelCommands(tmp_path).exclusively(lambda: None))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"claims": 5}', '{"usd": "nan"}', "[" * 9**5]
)
def test_a_damaged_file_of_another_command_is_passed_over(tmp_path: Path, text: str) -> None:
    mine = ParallelCommands(tmp_path, {"account"})
    seen(mine)
    (tmp_path / "running" / "other.json").write_text(text)
    (tmp_path / "running" / "other.lock").touch()
    assert seen(mine) == module.Others()


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


class Shop:
    """Answers slowly, counts what it is asked, and bills 100 millionths for each answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, body: dict[str, Any]) -> Http:
        self.asked.append(json.dumps(body, sort_keys=True))
        time.sleep(0.002)
        return RIGHT(body)

    @property
    def dollars(self) -> float:
        return len(self.asked) * (50 * 1.0 + 5 * 10.0) / 1e6


def at_once(work: Any, count: int = 2) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_two_sessions_pay_for_no_question_twice() -> None:
    shop, answers = Shop(), []

    def work() -> None:
        with endpoint_session(shop, **PRICED):
            answers.append(right(fitted().predict(rows(60)), 60))

    at_once(work)
    assert answers == [True, True]
    assert len(shop.asked) == len(set(shop.asked)) == 61


def test_two_sessions_share_one_limit() -> None:
    shop, refused = Shop(), []

    def work(first: int) -> None:
        with endpoint_session(shop, max_usd=0.006, **PRICED):
            try:
                fitted().predict(rows(200)[first : first + 100])
            except MoneySpent as error:
                refused.append(str(error))

    starts = iter((0, 100))
    at_once(lambda: work(next(starts)))
    assert len(refused) == 2
    assert 0.003 < shop.dollars <= 0.006
    assert any("other commands" in text for text in refused)
