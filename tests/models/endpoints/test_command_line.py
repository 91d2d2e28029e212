"""`choose compare` against an endpoint: consent, limits, resume, and no key anywhere."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from choose.cli.console import ask_consent
from choose.conformance import WORDS_OF
from choose.errors import StudyError
from choose.schema.plan import Bill, Spending
from choose.store.store import Store
from support.chat_server import RIGHT, Http, Server, error, failing, sent, serving
from support.endpoint_studies import bench
from support.studies import write_csv

KEY = "sk-this-must-never-be-written-4711"
QUICK = ("--set", "seeds=1", "--set", "noise=0")

Run = Callable[..., tuple[int, str, str]]


def numbers(rows: int) -> list[tuple[str, str]]:
    """Return rows whose labels no words tell, so that a model that knows the rule stays ahead."""
    return [(f"parcel {i}", list(WORDS_OF)[i % 3]) for i in range(rows)]


def by_remainder(body: dict[str, Any]) -> Http:
    """Answer `numbers` right."""
    found = re.findall(r"parcel (\d+)", body["messages"][-1]["content"])
    return sent(json.dumps({"label": list(WORDS_OF)[int(found[-1]) % 3 if found else 0]}))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(RIGHT) as running:
        yield running


pytestmark = pytest.mark.usefixtures("data")


def card(store: Path, name: str) -> dict[str, Any]:
    record = json.loads((store / "decision.json").read_text())
    return next(c for c in record["scorecards"] if c["candidate"] == name)


@pytest.mark.slow
def test_a_model_by_flags_is_compared_end_to_end(choose, server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    flags = ["--model", "gpt-x", "--base-url", server.url, "--set", "api_key_env=MY_KEY"]
    code, out, err = choose(
        "compare", "words.csv", "-s", "prompt", *QUICK, *flags,
        "--usd-per-million", "1,2", "--max-usd", "1", "--yes", "--out", "st",
        *[flag for name in ("r.html", "r.md", "r.json") for flag in ("-o", name)],
    )  # fmt: skip
    assert code == 0
    full = choose("report", "st", "--full")[1]
    assert "requests to 127.0.0.1" in err
    assert "60 rows of the data" in err
    assert "Endpoints:" in err
    found = card(tmp_path / "st", "prompt")
    assert found["accuracy"]["value"] == 1.0
    assert found["service"]["latency_p50"] > 0
    assert found["service"]["latency_p95"] >= found["service"]["latency_p50"]
    assert found["cost"]["tokens_in"] == 50
    assert found["cost"]["usd_per_1k"] == pytest.approx(1000 * (50 * 1 + 5 * 2) / 1e6)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    everywhere = [f for f in tmp_path.rglob("*") if f.is_file()]
    assert len(everywhere) > 10
    for file in everywhere:
        assert KEY.encode() not in file.read_bytes(), file
    assert KEY not in out + err + full


def test_a_plan_says_what_would_be_sent_and_sends_nothing(choose: Run, server: Server) -> None:
    flags = ["-s", "prompt", *QUICK, "--model", "gpt-x", "--base-url", server.url]
    prices = ["--usd-per-million", "1,2", "--max-usd", "1"]
    code, out, _ = choose("plan", "words.csv", *flags, *prices)
    said = " ".join(out.split())
    assert code == 0
    assert "Requests to endpoints" in said
    assert "gpt-x: up to 60 requests to 127.0.0.1" in said
    assert "about $" in said
    assert "No more than $1.00 is spent" in said
    _, text, _ = choose("plan", "words.csv", *flags, *prices, "--json")
    found = json.loads(text)["sending"]
    assert found["endpoints"][0]["requests"] == 60
    assert 0 < found["usd"] < found["max_usd"] == 1
    _, text, _ = choose("plan", "words.csv", *flags, "--json")
    assert json.loads(text)["sending"]["usd"] is None
    assert json.loads(choose("plan", "words.csv", "-s", "tfidf", "--json")[1])["sending"] is None
    assert not server.asked


def test_without_a_terminal_nothing_is_sent_unless_yes_is_said(choose, server, tmp_path):
    bench(tmp_path, server.url)
    code, out, err = choose("compare", "-c", "choose.toml", "--out", "st")
    assert code == 2
    assert out == ""
    assert "about $" in err
    assert "Error: Nothing was sent:" in err
    assert not server.asked
    assert not (tmp_path / "st").exists()


def test_a_server_on_this_machine_without_prices_is_used_without_asking(choose, server):
    flags = ["--model", "gpt-x", "--base-url", server.url, "--out", "st"]
    assert choose("compare", "words.csv", "-s", "prompt", *QUICK, *flags).code == 0
    assert server.asked


class Terminal:
    """Standard input or error of a person at a terminal."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


SPENDING = Spending(
    bills=(
        Bill(
            name="big",
            host="api.example",
            model="m\x1b[31m",
            here=False,
            requests=10,
            read=1000,
            written=100,
            usd=None,
            rows=10,
            candidates=("prompt",),
        ),
    ),
    limit=2.5,
)


@pytest.mark.parametrize("agreed", [True, False])
def test_at_a_terminal_a_person_is_asked(refusal, agreed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Terminal(sys.stdin))
    monkeypatch.setattr(sys, "stderr", Terminal(sys.stderr))
    monkeypatch.setattr("typer.confirm", lambda *a, **k: agreed)
    if agreed:
        ask_consent(SPENDING, yes=False)
    else:
        assert "you declined" in refusal(StudyError, ask_consent, SPENDING, yes=False)
    said = capsys.readouterr().err
    assert "up to 10 requests to api.example" in said
    assert "dollars unknown: it has no prices" in said
    assert "No more than $2.50 is spent" in said
    assert "\x1b[31m" not in said


def test_data_that_may_not_leave_goes_to_a_server_on_this_machine_alone(choose, server, tmp_path):
    command = ("compare", "-c", "choose.toml", "--out", "st", "--yes")
    bench(tmp_path, "https://api.example/v1", constraints={"data_may_leave": False})
    code, _, err = choose(*command)
    assert code == 2
    assert "data_may_leave = false forbids it" in err
    assert "api.example" in err
    assert not (tmp_path / "st").exists()
    bench(tmp_path, server.url, constraints={"data_may_leave": False})
    assert choose(*command)[0] == 0


def test_an_endpoint_that_cannot_work_stops_the_command_before_anything(tmp_path):
    with serving(lambda body: error(401, f"bad key {KEY}")) as server:
        out, err = bench(tmp_path, server.url, secret=KEY).run("compare", "--yes", code=2)
    assert out == ""
    assert "refuses the key in BIG_MODEL_KEY" in err
    assert len([line for line in err.splitlines() if line.startswith("Error")]) == 1
    assert KEY not in err
    assert "Traceback" not in err
    assert not (tmp_path / ".choose").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-s", "served"], "needs model"),
        (["-s", "served", "--model", "x/y"], "write endpoint:NAME"),
        (["--base-url", "http://x/v1"], "--base-url needs --model"),
        (["--set", "api_key_env=X"], "api_key_env needs --model PROVIDER:MODEL"),
        (["--model", "endpoint:nowhere"], "No endpoint 'nowhere'"),
        (["--model", "m", "--base-url", "x"], "write it as https://HOST/v1"),
        (
            ["--model", "m", "--base-url", "http://x/v1", "--set", f"api_key_env={KEY}"],
            "not the key itself",
        ),
        (["--model", "m", "--base-url", "http://x/v1", "--max-usd", "1"], "--max-usd 1 cannot"),
        (["--model", "m", "--base-url", "http://x/v1", "--usd-per-million", "1"], "is not a price"),
        (
            ["--model", "m", "--base-url", "http://x/v1", "--set", "api_key_env=UNSET_"],
            "is not set",
        ),
    ],
)
def test_flags_that_make_no_endpoint(refused, arguments: list[str], says: str) -> None:
    strategy = [] if "-s" in arguments else ["-s", "prompt"]
    err = refused("compare", "words.csv", *strategy, *arguments, "--out", "st", "--yes")
    assert says in err
    assert KEY not in err
    assert not Path("st").exists()


def test_dollars_run_out_and_the_next_run_goes_on_where_it_stopped(choose, server, tmp_path):
    study = bench(tmp_path, server.url)
    study.compare("--max-usd", "0.005")
    assert "max-usd was used up" in " ".join(choose("report", "st", "--full")[1].split())
    assert 5 < len(server.asked) < 61
    out, _ = study.run("compare", "--out", "st", "--yes", "--max-usd", "1")
    assert len(server.asked) == 61  # one to try the connection, and no row twice
    assert card(tmp_path / "st", "prompt")["rows"] == 60
    assert "max-usd" not in out
    _, err = study.run("compare", "--out", "st")  # a finished study asks and confirms nothing
    assert "requests" not in err
    assert len(server.asked) == 61


@pytest.mark.slow
def test_a_served_model_is_compared_as_it_is_with_a_warning(choose, server, tmp_path):
    served = {
        "strategy": "served",
        "name": "in-house",
        "model": "endpoint:big",
        "params": {"system": "You know what to do."},
    }
    found = bench(tmp_path, server.url, candidates=[served]).compare()
    assert [m["role"] for m in server.asked[-1]["messages"]] == ["system", "user"]
    assert server.asked[-1]["messages"][0]["content"] == "You know what to do."
    assert "response_format" not in server.asked[-1]
    assert card(tmp_path / "st", "in-house")["accuracy"]["value"] == 1.0
    assert any(
        "in-house: The served model may have been trained on these very rows" in finding
        for finding in found["dataset"]["findings"]
    )
    full = " ".join(choose("report", "st", "--full")[1].split())
    assert "may have been trained on these very rows" in full


@pytest.mark.parametrize("status", [401, 200])
def test_a_trial_that_fails_midway_is_a_recorded_failure(tmp_path, status):
    told = {"error": {"message": f"key {KEY} expired", "code": 401}}
    with serving(failing((status, {}, json.dumps(told).encode()), after=30)) as server:
        out, err = bench(tmp_path, server.url).run("compare", "--yes", "--out", "st")
    found = card(tmp_path / "st", "prompt")
    assert any("refuses a request without a key" in e["error"] for e in found["errors"])
    # M11: only requests in flight meet the refusal, in whichever trial.
    assert len(server.asked) <= 30 + 8
    assert KEY not in out + err
    for file in (tmp_path / "st").rglob("*.json"):
        assert KEY not in file.read_text()


@pytest.mark.slow
def test_priced_rows_are_spared_off_the_main_comparison(choose: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "words.csv", numbers(90))
    grid = ["--set", "seeds=1", "--set", "noise=0.2", "--set", "wordings=true"]
    with serving(by_remainder) as server:
        priced = ["--model", "m", "--base-url", server.url, "--usd-per-million", "1,2", "--yes"]
        code, _, _ = choose("compare", "words.csv", "-s", "few-shot", *grid, *priced, "--out", "st")
    assert code == 0
    asked: dict[str, set[str]] = {}
    _, trials = Store(tmp_path / "st").grid()
    for trial in trials:
        if trial.candidate == "few-shot" and (run := Store(tmp_path / "st").get(trial)):
            place = trial.variant or trial.scenario.kind
            asked.setdefault(place, set()).update(run.asked["clean", 0])
            assert {view for view, _ in run.asked} == {"clean"}
    assert len(asked.pop("standard")) == len(asked.pop("noise")) == 90
    # Other wordings are tried in one of five folds.
    assert {len(rows) for rows in asked.values()} == {18}
    assert len(asked) >= 3
