"""A study that an earlier version wrote can be reported and resumed.

`tests/fixtures/stored_study` was written at 12a91b7 by
`choose compare tickets.csv -s majority -s tfidf --out stored_study --seeds 1 --sizes 1 --noise 0`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import choose
from choose.api.study_evidence import evidence_of
from choose.run import worker as local
from choose.schema.plan import LeftOut
from choose.store.store import Store

# Since rule 9, a wording is varied only where there is a prompt, and where nothing but a constant
# answer was beaten no chance of being the best is given.
CHANGED = re.compile(r".*(\.variance\.wording|probability_best|expected_regret)")

# The accuracy of cross-fitted folds has wider limits since: they hold the former ones.
WIDER = re.compile(r".*(accuracy|\.curve\.\d+|wordings\.\d+)\.(low|high)")

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(FIXTURES / "tickets.csv", tmp_path)
    return Path(shutil.copytree(FIXTURES / "stored_study", tmp_path / "stored_study"))


def figures(value: Any, path: str = "") -> Iterator[tuple[str, float | bool | None]]:
    """Yield every number, truth value and null of a record with its path; no sentences."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from figures(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from figures(inner, f"{path}.{place}")
    elif not isinstance(value, str):
        yield path, value


def expected() -> dict[str, Any]:
    text = (FIXTURES / "stored_study" / "decision.json").read_text("utf-8")
    return dict(json.loads(text))


def check_same(decision: choose.Decision) -> None:
    before, after = expected(), decision.model_dump(mode="json", by_alias=True)
    for part in ("dataset", "goal", "scorecards", "pairs", "crossings", "overlap", "verdict"):
        old, new = dict(figures(before[part])), dict(figures(after[part]))
        for path, figure in old.items():
            if CHANGED.fullmatch(path):
                continue
            if WIDER.fullmatch(path) and figure is not None:
                sign = 1 if path.endswith("high") else -1
                assert -1e-9 <= sign * (new[path] - figure) < 0.05, path
                continue
            assert new[path] == (pytest.approx(figure, rel=1e-9) if figure is not None else None), (
                path
            )
    # Rule 9 recommends nothing where nothing but a constant answer was beaten.
    assert before["verdict"]["recommended"] == "tfidf"
    assert after["verdict"]["kind"] == "nothing-compared"
    assert after["verdict"]["use_meanwhile"] == before["verdict"]["use_meanwhile"]
    statuses = [[gate["status"] for gate in record["gates"]] for record in (before, after)]
    assert statuses[0] == statuses[1]


def test_its_report_gives_the_same_figures(store: Path) -> None:
    check_same(choose.read(store))


def test_it_resumes_without_running_a_finished_trial(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a finished trial was run again")

    monkeypatch.setattr(local, "run_trials", refuse)
    trials = json.loads((store / "grid.json").read_text("utf-8"))["trials"]
    written = {path: path.stat().st_mtime_ns for path in store.glob("trials/*/*")}
    decision = choose.compare(
        "tickets.csv",
        strategies=["majority", "tfidf"],
        out=store,
        seeds=1,
        sizes=(1.0,),
        noise=(0.0,),
        progress=False,
    )
    assert json.loads((store / "grid.json").read_text("utf-8"))["trials"] == trials
    assert {path: path.stat().st_mtime_ns for path in store.glob("trials/*/*")} == written
    check_same(decision)


def test_facts_that_it_does_not_state_are_those_of_the_installed_strategies(store: Path) -> None:
    grid = json.loads((store / "grid.json").read_text("utf-8"))
    assert all("constant" not in candidate for candidate in grid["candidates"])
    facts = {c.name: (c.constant, c.reference) for c in evidence_of(Store(store)).candidates}
    assert facts == {"majority": (True, True), "tfidf": (False, False)}
    grid["candidates"][0]["strategy"] = "gone"
    (store / "grid.json").write_text(json.dumps(grid), "utf-8")
    assert not evidence_of(Store(store)).candidates[0].constant


def test_candidates_of_an_old_store_carry_readable_names(store: Path) -> None:
    titles = {each.candidate: each.title for each in choose.read(store).standings}
    assert titles == {"tfidf": "words + logistic regression", "majority": "always the same answer"}
    grid = json.loads((store / "grid.json").read_text("utf-8"))
    for candidate in grid["candidates"]:
        candidate["title"] = f"the stored {candidate['name']}"
    (store / "grid.json").write_text(json.dumps(grid), "utf-8")
    titles = {each.candidate: each.title for each in choose.read(store).standings}
    assert titles == {"tfidf": "the stored tfidf", "majority": "the stored majority"}


def test_sentences_on_what_was_left_out_are_still_read(store: Path) -> None:
    """Earlier versions stored them in place of records, and so does their decision.json."""
    said = [
        "tfidf: one fit would take about 138 s, more than the remaining budget.",
        "tfidf: repetitions (10 trials), views (5 trials): the budget was used up.",
        "The run was broken off after 1 of 2 planned trials; the same command continues it",
    ]
    (store / "left_out.json").write_text(json.dumps(said), "utf-8")
    found = choose.read(store)
    assert [one.sentence for one in found.left_out] == said
    assert {(one.candidate, one.reason) for one in found.left_out} == {("", None)}
    assert any("what was left out (3 items)" in step.text for step in found.verdict.steps)
    record = json.loads((store / "decision.json").read_text("utf-8"))
    record["left_out"] = said
    old = choose.Decision.model_validate_json(json.dumps(record))
    assert (old.left_out, old.verdict) == (found.left_out, found.verdict)


def test_what_was_left_out_is_stored_with_its_facts(store: Path) -> None:
    text = "one fit would take about 138 s, more than the remaining budget."
    what = (
        LeftOut(candidate="lora", reason="too-long", text=text, seconds=137.6),
        LeftOut(candidate="rag", reason="out-of-time", text="views.", trials={"views": 5}, rows=7),
        LeftOut(text="The run was broken off"),
    )
    Store(store).leave_out(what)
    assert choose.read(store).left_out == what
    first, _, last = json.loads((store / "left_out.json").read_text("utf-8"))
    assert first == {"candidate": "lora", "reason": "too-long", "text": text, "seconds": 137.6}
    assert last == {"text": "The run was broken off"}
    told = json.loads((store / "decision.json").read_text("utf-8"))["left_out"]
    assert [one["trials"] for one in told] == [{}, {"views": 5}, {}]
    assert [one["seconds"] for one in told] == [137.6, None, None]
