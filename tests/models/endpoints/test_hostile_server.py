"""Servers that mean harm: what they send costs little time, memory and money, and keeps no key."""

import json
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from choose.conformance import TASK, questions
from choose.errors import EndpointError, MoneySpent
from support.chat_server import (
    HOSTILE,
    PRICED,
    RIGHT,
    SPELLINGS,
    Http,
    Reply,
    error,
    fitted,
    right,
    rows,
    sent,
    serving,
    session_with,
)

KEY = "Zq7Xv.TOPSEC-RET/88+aa"


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_reply_costs_little_time_and_memory(refusal, fault: str) -> None:
    """H8, M10: a bomb of 1 GB, bodies without an end, and dates beyond all calendars."""
    with serving(RIGHT) as server, session_with(server) as session:
        strategy = fitted()
        strategy.check(TASK)
        HOSTILE[fault](Reply())  # a bomb takes time to pack
        server.cues.append(fault)
        tracemalloc.start()
        start = time.monotonic()
        try:
            if fault == "redirect":
                assert "redirects" in refusal(EndpointError, strategy.predict, questions(1))
            else:
                # N11: an answer that is too long gets no shorter, and would be billed again.
                long = fault in ("endless-body", "gzip-bomb", "deflate-bomb")
                for _ in range(1 + long):
                    assert strategy.predict(questions(1)).status == ("cut" if long else "ok",)
                assert session.ledger.retried == (not long)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert time.monotonic() - start < 6
        assert peak < 60e6
    assert Counter(receipt.fault for receipt in server.receipts)[fault] == 1


def test_an_oversized_answer_leaves_the_tokens_of_others_known() -> None:
    with serving(RIGHT) as server:
        with session_with(server):
            strategy = fitted()
            strategy.check(TASK)
            server.cues.append("endless-body")
            answers = strategy.predict(rows(3))
            assert sorted(answers.status) == ["cut", "ok", "ok"]
            assert sorted(answers.tokens_in > 0) == [False, True, True]
            assert answers.tokens_out is not None
        with session_with(server):  # it was not kept as an answer
            assert right(fitted().predict(rows(3)), 3)


@pytest.mark.parametrize("count", [-(10**9), 10**30, float("nan"), float("inf")])
def test_absurd_token_counts_are_held_as_worst_cases(count: float) -> None:
    usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), count)
    with (
        serving(lambda body: sent('{"label": "tool"}', usage=usage)) as server,
        session_with(server, max_usd=0.02, **PRICED) as session,
    ):
        assert fitted().predict(rows(3)).tokens_in is None
        assert session.ledger.spent == 0
        assert 0 < session.ledger.maybe_billed <= 0.02
        with pytest.raises(MoneySpent):
            fitted().predict(rows(100))
        assert session.ledger.committed <= 0.02


def test_a_key_refused_midway_ends_all_requests() -> None:
    """M11: each later trial sent the refused key again."""
    refused = list[int]()

    def respond(body: dict[str, Any]) -> Http:
        if len(server.receipts) <= 20:
            return RIGHT(body)
        refused.append(1)
        return error(401, "Incorrect API key provided.")

    with serving(respond) as server, key_set() as named:
        with session_with(server, concurrency=2, **named):
            with pytest.raises(EndpointError, match="refuses the key in HOSTILE_KEY"):
                fitted().predict(rows(200))
            settled = -1
            while settled != len(refused):  # until those under way have arrived
                settled = len(refused)
                time.sleep(0.3)
            for _ in range(3):
                with pytest.raises(EndpointError, match="refuses the key"):
                    fitted().predict(rows(200))
            # Answers that are paid for can still be had.
            assert len([r for r in server.paid if r.usage]) == 20
        assert 1 <= settled <= 4  # those under way when the first refusal came
        assert len(refused) == settled


@contextmanager
def key_set() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOSTILE_KEY", KEY)
        yield {"api_key_env": "HOSTILE_KEY"}


PLACES = ("model", "finish_reason", "refusal", "content", "error")


def repeating(place: str, spelled: str) -> Callable[[dict[str, Any]], Http]:
    """Return a server that repeats the key in a field of its answers, or in an error."""

    def respond(body: dict[str, Any]) -> Http:
        if place == "error":
            return error(400, f"bad key {spelled}")
        status, headers, content = RIGHT(body)
        answer = json.loads(content)
        (choice,) = answer["choices"]
        field = {"model": answer, "finish_reason": choice}.get(place, choice["message"])
        field[place] = f"you sent {spelled}"
        return status, headers, json.dumps(answer).encode()

    return respond


# Every spelling once among the fast tests, in all places in turn; the rest among the slow ones.
REPEATED = [
    pytest.param(place, spelling, marks=[pytest.mark.slow] * ((m - n) % len(PLACES) != 0))
    for m, spelling in enumerate(SPELLINGS)
    for n, place in enumerate(PLACES)
]


@pytest.mark.parametrize(("place", "spelling"), REPEATED)
def test_a_key_that_a_server_repeats_is_kept_nowhere(place, spelling, tmp_path):
    """H10: the cache of answers, notes and errors held it."""
    spelled = SPELLINGS[spelling](KEY)
    with (
        serving(repeating(place, spelled)) as server,
        key_set() as named,
        session_with(server, **named),
    ):
        strategy = fitted()
        try:
            said = [repr(strategy.predict(rows(2))), repr(strategy.facts())]
        except EndpointError as error:
            said = [str(error)]
    said += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    said += [json.dumps(text) for text in said]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    for form in (spelled, KEY, json.dumps(spelled)[1:-1], spelled[:12]):
        assert not [text for text in said if form in text]
