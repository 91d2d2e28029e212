"""Dollars are shared so that all who ask priced endpoints are asked the same number of rows."""

import json
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from choose.conformance import WORDS_OF, pool
from choose.store.store import Store
from support.chat_server import Http, Server, by_words, serving
from support.studies import HELD_OUT, SERVED, compare, write_csv

RIGHT = by_words(WORDS_OF)
WRONG = by_words(
    dict(zip(WORDS_OF, [*list(WORDS_OF.values())[1:], *WORDS_OF.values()], strict=False))
)

PRICES = {"costly": 8.0, "cheap": 1.0, "wordy": 1.0}

# Each of its own family, so that the question stays open for all of them.
STRATEGIES = {"costly": "prompt", "cheap": "retrieval", "wordy": "served"}


def wordy(body: dict[str, object]) -> Http:
    """Answer seven of ten rows rightly, each model its own; one thinks in many tokens.

    The letter before the model's name is one with which all are near each other on any half.
    """
    right = crc32(f"c{body['model']} {body['messages']}".encode()) % 10 < 7
    status, headers, content = (RIGHT if right else WRONG)(body)
    answer = json.loads(content)
    if body["model"] == "wordy":
        answer["usage"] = {"prompt_tokens": 50, "completion_tokens": 350, "total_tokens": 400}
    return status, headers, json.dumps(answer).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(wordy) as running:
        yield running


def write(server: Server, limit: float) -> None:
    rows = [(e.text, e.target) for e in pool(seed=3, rows=300)]
    # Nothing can be learnt from their labels, so that no baseline leaves the models behind.
    others = sorted({label for _, label in rows})
    write_csv(Path("words.csv"), [(text, others[i % 2]) for i, (text, _) in enumerate(rows[:100])])
    write_csv(Path("held_out.csv"), rows[100:])
    ends = (
        SERVED.format(name=name, url=server.url, price=price, strategy=STRATEGIES[name], params="")
        for name, price in PRICES.items()
    )
    Path("choose.toml").write_text(HELD_OUT + f"max_usd = {limit}\n" + "".join(ends))


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "rows"), [(0.06, 50), (1.0, 200)])
def test_dollars_buy_the_same_rows_of_every_candidate_at_any_price(server, limit, rows):
    """costly 8 x 55 tokens, cheap 55, wordy 400 a row: $0.06 pays for 67 rows of each, which is the
    round of 50. The remaining dollars pay for further rows of the cheaper one alone."""
    write(server, limit)
    found = compare(study_file="choose.toml", out="st", approve=lambda spending: None)
    kept = Store.open(found.store)
    runs = [run for trial in kept.grid()[1] if (run := kept.get(trial)) is not None]
    asked = {run.trial.candidate: len(run.asked["clean", 0]) for run in runs}
    assert (asked["costly"], asked["wordy"]) == (rows, rows), asked
    assert rows <= asked["cheap"] <= 200
