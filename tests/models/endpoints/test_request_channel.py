"""Retries, limits, answers paid for once by one command at a time, servers that stop answering."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from choose.conformance import TASK, questions
from choose.errors import EndpointError, ModelError, MoneySpent
from choose.models.endpoints import ledger as module
from choose.models.endpoints.handshake import Capabilities, label_format, request_body
from choose.models.endpoints.ledger import AnswerCache, Ledger, worst_case
from choose.models.endpoints.settings import Endpoint
from choose.progress import TimeLimitReached, time_limit
from choose.types import Item
from support.chat_server import (
    PASSING,
    PRICED,
    RIGHT,
    Http,
    Mix,
    as_response,
    asked_of,
    broken,
    endpoint_session,
    error,
    failing,
    fitted,
    right,
    rows,
    serving,
    session_with,
)

# Dollars of one request that the model worked on, as the server counts its tokens.
COST = (50 * 1.0 + 5 * 10.0) / 1e6


@pytest.mark.parametrize(
    ("base_url", "url", "organisation"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions", "ours"),
        ("https://h/v1?v=1", "https://h/v1/chat/completions?v=1", None),
        ("https://api.openai.com.h/v1", "https://api.openai.com.h/v1/chat/completions", None),
    ],
)
def test_where_a_request_goes_and_what_its_headers_say(base_url, url, organisation, monkeypatch):
    for name in ("A_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "ours")
    settings = {"base_url": base_url, "api_key_env": "A_KEY", "api_key_header": "api-key"}
    seen: list[Any] = []

    def handle(request: Any) -> Any:
        seen.append(request)
        return as_response(RIGHT, request)

    with endpoint_session(RIGHT, **settings) as session:
        session.transport.handler = handle
        fitted().predict(questions(1))
    assert str(seen[-1].url) == url
    headers = seen[-1].headers
    names = ("api-key", "authorization", "openai-organization", "openai-project")
    assert [headers.get(name) for name in names] == ["ours", None, organisation, organisation]


def test_an_organisation_that_no_header_can_carry_is_named(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "two\nlines")
    with (
        endpoint_session(RIGHT, base_url="https://api.openai.com/v1"),
        pytest.raises(ModelError, match="OPENAI_ORG_ID cannot be sent"),
    ):
        fitted().predict(questions(1))


# Faults that take no time to pass.
FAULTS = [kind for kind in PASSING if kind not in ("429-after", "stall", "drip")]


def test_a_fifth_of_faults_changes_no_answer_and_pays_for_nothing_twice() -> None:
    with serving(RIGHT, Mix(0.2, FAULTS)) as server, session_with(server, **PRICED) as session:
        assert right(fitted().predict(rows(120)), 120)
        assert server.paid_twice == []
        assert session.ledger.requests == len(server.paid)
        assert session.ledger.read == 50 * len(server.paid)
        assert session.ledger.spent == pytest.approx(COST * len(server.paid))
        assert session.ledger.retried > 10


def test_the_same_question_is_asked_once_even_at_the_same_time() -> None:
    with asked_of(RIGHT) as asked:
        answers = fitted().predict([Item(id=f"r{i}", text="a ripe plum") for i in range(30)])
    assert set(answers.outputs) == {"fruit"}
    assert len(asked) == 2  # the first one tries the connection


def test_what_was_paid_for_is_not_asked_again_by_another_process() -> None:
    asked: list[dict[str, Any]] = []
    with endpoint_session(RIGHT, asked=asked):
        first = fitted().predict(questions())
    count = len(asked)
    with endpoint_session(lambda body: error(500, "down"), asked=asked) as session:
        strategy = fitted()
        again = strategy.predict(questions())
        assert session.ledger.requests == 0
        assert session.ledger.spent == 0
        assert any("paid for by earlier runs" in note for note in strategy.facts()["notes"])
        assert strategy.facts()["cached_seconds"] > 0
    assert len(asked) == count
    assert again.outputs == first.outputs
    assert (again.latency == first.latency).all()


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"model": "other"}, True),
        ({"base_url": "https://elsewhere.example/v1"}, True),
        ({"extra_body": {"seed": 1}}, True),
        ({"max_output_tokens": 50}, True),
        ({"reuse_days": 0}, True),
        ({"api_key_env": "ANOTHER", "concurrency": 1, **PRICED}, False),
    ],
)
def test_another_model_url_or_parameter_and_old_answers_are_asked_anew(changed, anew, monkeypatch):
    asked: list[dict[str, Any]] = []
    monkeypatch.setenv("ANOTHER", "key")
    for more in ({}, changed):
        with endpoint_session(RIGHT, asked=asked, **more):
            fitted().predict(questions(3))
    assert len(asked) == (8 if anew else 4)


def journal(folder: Path) -> Path:
    (found,) = (folder / "cache" / "paid").glob("*.jsonl")
    return found


def test_a_torn_line_is_skipped_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    with endpoint_session(RIGHT, asked=asked):
        fitted().predict(questions(3))
    path = journal(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])  # the last answer was being written when the power went
    with endpoint_session(RIGHT, asked=asked):
        fitted().predict(questions(5))
    assert len(asked) == 4 + 3
    with endpoint_session(RIGHT, asked=asked):
        fitted().predict(questions(5))
    assert len(asked) == 7
    assert path.stat().st_mode & 0o077 == 0


def test_the_journal_holds_no_text_of_the_rows(tmp_path: Path) -> None:
    with endpoint_session(RIGHT):
        fitted("few-shot").predict([Item(id="q", text="unmistakable plum sentence")])
    assert "unmistakable" not in journal(tmp_path).read_text()


def test_an_answer_is_on_disk_before_it_is_counted(tmp_path, monkeypatch):
    kept, book = list[int](), Ledger.book

    def noted(self: Ledger, *paid: Any) -> None:
        kept.append(len(journal(tmp_path).read_text().splitlines()))
        book(self, *paid)

    monkeypatch.setattr(Ledger, "book", noted)
    with endpoint_session(RIGHT, concurrency=1):
        fitted().predict(questions(3))
    assert len(kept) == 4
    assert all(lines >= count for count, lines in enumerate(kept, 1))


def test_the_limit_of_dollars_is_never_passed_and_what_is_paid_is_kept() -> None:
    asked: list[dict[str, Any]] = []
    # A request costs 100 millionths and 1,200 at worst.
    with endpoint_session(RIGHT, asked=asked, max_usd=0.005, **PRICED) as session:
        with pytest.raises(MoneySpent, match="max-usd 0\\.005"):
            fitted().predict(rows(200))
        assert 0 < session.ledger.spent <= 0.005
        assert session.ledger.reserved == 0
        first = len(asked)
    with endpoint_session(RIGHT, asked=asked, max_usd=0.5, **PRICED):
        assert right(fitted().predict(rows(200)), 200)
    assert len(asked) == 201
    assert first > 20
    with endpoint_session(RIGHT, max_usd=0.000_1, **PRICED) as session:
        with pytest.raises(MoneySpent):  # the worst case is set aside before a request goes
            fitted().predict(rows(201)[200:])
        assert session.ledger.requests == 0


def test_retry_after_is_honoured() -> None:
    times: list[float] = []

    def respond(body: dict[str, Any]) -> Http:
        times.append(time.monotonic())
        return error(429, "wait", **{"retry-after": "0.3"}) if len(times) == 2 else RIGHT(body)

    with endpoint_session(respond, concurrency=1):
        fitted().predict(questions(2))
    assert times[2] - times[1] >= 0.3


def test_a_server_that_wants_too_long_a_wait_ends_the_trial() -> None:
    limited = error(429, "daily limit", **{"retry-after": "86400"})
    with (
        endpoint_session(failing(limited, after=2), concurrency=1),
        pytest.raises(EndpointError, match="wait too long"),
    ):
        fitted().predict(questions(5))


def test_a_dead_server_is_given_up_and_the_candidate_can_go_on_later() -> None:
    asked: list[dict[str, Any]] = []
    dead = failing(error(503, "down"), after=11)
    with endpoint_session(dead, asked=asked, concurrency=2) as session:
        with pytest.raises(EndpointError, match="has stopped answering"):
            fitted().predict(rows(100))
        assert len(asked) < 60
        with pytest.raises(EndpointError):
            fitted().predict(rows(100))
        assert len(asked) < 70
        session.transport.handler = lambda request: as_response(RIGHT, request)
        assert right(fitted().predict(rows(100)), 100)


def test_one_row_that_always_breaks_the_server_is_a_finding_and_no_failure() -> None:
    def respond(body: dict[str, Any]) -> Http:
        if "poison" in body["messages"][-1]["content"]:
            return error(500, "boom")
        return RIGHT(body)

    with endpoint_session(respond):
        strategy = fitted()
        answers = strategy.predict([*rows(20), Item(id="bad", text="poison plum")])
        notes = " ".join(strategy.facts()["notes"])
    assert answers.status[-1] == "empty"
    assert answers.outputs[-1] is None
    assert set(answers.status[:-1]) == {"ok"}
    assert "1 rows got no answer, which counts as wrong: HTTP 500: boom" in notes


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    with serving(RIGHT, seconds=0.01) as server, session_with(server, concurrency=3):
        fitted().predict(questions(15))
    assert server.peak == 3


def test_an_interruption_lets_paid_answers_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    async def slowly(request: Any) -> Any:
        asked.append(json.loads(request.content))
        if len(asked) > 1:
            await asyncio.sleep(0.2)
        return as_response(RIGHT, request)

    with endpoint_session(RIGHT, concurrency=4) as session:
        session.transport.handler = slowly
        strategy = fitted()

        pressed: list[bool] = []

        def interrupted(futures: Any, seconds: float) -> Any:
            """Behave like a wait until a person presses Ctrl-C once with requests in flight."""
            if len(asked) >= 5 and not pressed:
                pressed.append(True)
                raise KeyboardInterrupt
            return wait(futures, min(seconds, 0.001))

        with monkeypatch.context() as patch:
            patch.setattr("choose.models.endpoints.request_session.wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                strategy.predict(rows(50))
        assert session.ledger.requests == len(asked) == 1 + 4
        assert session.ledger.reserved == 0
        with pytest.raises(TimeLimitReached), time_limit(0.0):
            strategy.predict(rows(60))
        assert session.ledger.requests == len(asked) == 1 + 4


def test_a_server_that_drips_is_cut_off_at_the_timeout() -> None:
    with serving(RIGHT) as server, session_with(server, timeout=0.2, **PRICED) as session:
        strategy = fitted()
        strategy.check(TASK)
        server.cues.append("drip")
        assert set(strategy.predict(questions(1)).status) == {"ok"}
        assert session.ledger.spent == pytest.approx(2 * COST)
        assert session.ledger.maybe_billed > 0
    assert [receipt.fault for receipt in server.receipts] == [None, "drip", None]


FILTERED = "The response was filtered: content_filter"
TOO_LONG = "This model's maximum context length is 64 tokens"


class Gateway:
    """Fails the first time that a question is put, when the model has worked on it already."""

    def __init__(self, failure: Callable[[], Http]) -> None:
        self.failure, self.seen, self.billed = failure, set[str](), 0.0

    def __call__(self, body: dict[str, Any]) -> Http:
        self.billed += COST
        question = body["messages"][-1]["content"]
        if "row" not in question or question in self.seen:
            return RIGHT(body)
        self.seen.add(question)
        return self.failure()


@pytest.mark.parametrize("status", [408, 500, 502, 504, 520, 521, 522, 523, 524])
def test_a_gateway_that_fails_after_the_work_cannot_bill_more_than_the_limit(refusal, status):
    gateway = Gateway(lambda: error(status, "upstream request timeout"))
    with endpoint_session(gateway, max_usd=0.003, **PRICED) as session:
        said = refusal(MoneySpent, lambda: fitted().predict(rows(100)))
        assert COST < gateway.billed <= session.ledger.committed <= 0.003
        assert "may be billed for failed requests" in said
    # With more money it goes on, and a failure is tried again as before.
    with endpoint_session(gateway, max_usd=6.0, **PRICED) as session:
        assert right(fitted().predict(rows(15)), 15)
        assert session.ledger.retried > 5


@pytest.mark.parametrize(
    "failure",
    [error(400, FILTERED), error(400, TOO_LONG), error(422, FILTERED)],
    ids=["filtered", "too long", "filtered, 422"],
)
def test_a_text_that_is_turned_down_after_it_was_read_counts_against_the_limit(failure):
    gateway = Gateway(lambda: failure)
    with endpoint_session(gateway, max_usd=0.003, **PRICED) as session:
        with pytest.raises(MoneySpent):
            fitted().predict(rows(100))
        assert COST < gateway.billed <= session.ledger.committed <= 0.003
    with endpoint_session(gateway, max_usd=6.0, **PRICED):
        gateway.seen.clear()
        assert set(fitted().predict(rows(5)).status) == {"refused"}


def unconnected() -> Http:
    raise broken("ConnectError")


@pytest.mark.parametrize(
    "failure",
    [
        lambda: error(429, "slow down", **{"retry-after": "0.01"}),
        lambda: error(503, "overloaded"),
        lambda: error(529, "overloaded"),
        unconnected,
    ],
    ids=["429", "503", "529", "no connection"],
)
def test_what_was_turned_away_at_the_door_is_not_held(failure: Callable[[], Http]) -> None:
    with endpoint_session(Gateway(failure), max_usd=0.1, **PRICED) as session:
        assert right(fitted().predict(rows(20)), 20)
        assert session.ledger.retried >= 20
        assert session.ledger.maybe_billed == 0


def test_a_body_that_is_not_read_is_not_held() -> None:
    gateway = Gateway(lambda: error(413, "entity too large"))
    with endpoint_session(gateway, max_usd=0.1, **PRICED) as session:
        assert set(fitted().predict(rows(5)).status) == {"refused"}
        assert session.ledger.maybe_billed == 0


TOOLS = [
    {"type": "function", "function": {"name": f"f{i}", "description": "It does this. " * 40}}
    for i in range(20)
]


def test_the_worst_case_reads_all_that_is_sent_and_writes_the_larger_limit_of_the_body() -> None:
    with asked_of(RIGHT, extra_body={"tools": TOOLS}) as asked:
        fitted().predict(rows(1))
    for body in asked:
        worst = worst_case(body)
        assert worst.read >= len(json.dumps(body, ensure_ascii=False).encode()) > 10_000
        assert worst.written == body["max_tokens"]
    extra = {"max_tokens": 9, "max_completion_tokens": 700}
    end = Endpoint(base_url="https://h/v1", model="m", extra_body=extra)
    accepts = Capabilities.initial(end, label_format(TASK.names))
    assert worst_case(request_body(end, accepts, [], label_format(TASK.names))).written == 700


HOLDS = """
import sys, time
from pathlib import Path
from choose.models.endpoints.ledger import AnswerCache
cache = AnswerCache(Path(sys.argv[1]), 30.0)
cache.hold()
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_command_holds_nothing(refusal, tmp_path: Path) -> None:
    path = tmp_path / "paid" / "account.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[3])}
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout.readline() == b"held\n"
        mine = AnswerCache(path, 30.0)
        assert "Another choose command" in refusal(ModelError, mine.hold)
        other.send_signal(signal.SIGKILL)
    mine.hold()
    mine.release()


LINES = ["", "5", "[]", "null", '{"when": 1e999}', '{"when": "x"}', '{"key": "k"}', "\udcff"]


@pytest.mark.parametrize("line", [*LINES, "[" * 9**5])
def test_damaged_lines_of_the_cache_are_passed_over(tmp_path: Path, line: str) -> None:
    good = {"key": "good", "content": "a", "finish": "stop", "usage": {"read": "many"}}
    good |= {"seconds": float("nan"), "when": time.time()}
    path = tmp_path / "account.jsonl"
    path.write_bytes(f"{line}\n{json.dumps(good)}\n{line}".encode("utf-8", "surrogateescape"))
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
