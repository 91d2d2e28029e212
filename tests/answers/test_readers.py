"""Files that tools wrote themselves, with mock models; their names give the version."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import choose
from choose.answers.files import read_answers
from choose.answers.given import given_runs, read_set
from choose.api.plan import resolve
from choose.errors import ChooseError, DataError

WRITTEN = Path(__file__).parent / "written"
GOLD = {"r0": "positive", "r1": "negative", "r2": "positive", "r3": "positive", "r4": "negative"}


def written(tool: str) -> str:
    [path] = WRITTEN.glob(f"{tool}*")
    return str(path)


def cells(path: str, **settings: Any) -> dict[str, dict[str, str | None]]:
    file = read_answers(path, **settings)
    ids = file.table["id"].to_list()
    return {
        column: {
            id: file.table[column][i] for i, id in enumerate(ids) if i not in file.unasked[column]
        }
        for column in file.answers
    }


def test_promptfoo_gives_candidates_repeats_costs_and_times() -> None:
    file = read_answers(written("promptfoo"))
    assert file.answers == ("gpt-4o-mini#0", "my-lora#0", "gpt-4o-mini#1", "my-lora#1")
    assert file.table["label"].to_list() == list(GOLD.values())
    found = cells(written("promptfoo"))
    assert [*found["gpt-4o-mini#0"].values()][1] == "Negative"
    assert [*found["gpt-4o-mini#0"].values()][3] == "I would say it depends"
    assert len(found["my-lora#1"]) == 4  # a request failed
    figures = file.figures["gpt-4o-mini#0"]
    assert figures["usd"] == [0.00002] * 5
    assert figures["tokens_in"] == [24] * 5
    assert all(second is not None and 0 < second < 60 for second in figures["seconds"])
    assert "2 requests failed" in file.notes[0]


def test_promptfoo_scores_come_with_a_flag() -> None:
    found = cells(written("promptfoo"), scores=True)
    assert [*found["gpt-4o-mini#0"].values()] == ["1", "1", "1", "0", "1"]


@pytest.mark.parametrize(
    ("form", "draws"), [("json", ("gpt-4o-mini",)), ("eval", ("my-lora#0", "my-lora#1"))]
)
def test_inspect_logs_give_epochs_as_draws(form: str, draws: tuple[str, ...]) -> None:
    file = read_answers(written(f"inspect*.{form}"))
    assert file.answers == draws
    assert dict(zip(file.table["id"], file.table["label"], strict=True)) == GOLD
    assert file.table["text"][1] == "The parcel arrived late again"
    found = cells(file.path)
    assert found[draws[0]]["r0"] == "positive"
    assert ("r4" in found[draws[0]]) is (form == "json")  # a sample with an error has no answer
    assert file.figures[draws[0]]["tokens_in"][0] == 24


def test_lm_eval_samples_give_generated_answers_and_choices() -> None:
    generated = cells(written("lm-eval-generate*/*/samples"))
    assert generated == {"my-lora": dict.fromkeys("01234", "lol")}
    path = written("lm-eval-choice*/*/samples")
    chosen = read_answers(path)
    assert chosen.table["label"].to_list() == list(GOLD.values())
    right = (chosen.table["my-lora"] == chosen.table["label"]).to_list()
    lines = map(json.loads, Path(path).read_text("utf-8").splitlines())
    assert right == [line["acc"] == 1 for line in lines]


def test_batch_outputs_join_by_their_ids(tmp_path: Path) -> None:
    decision = choose.score(
        written("questions"),
        answers=[f"gpt={written('openai')}", f"claude={written('anthropic')}"],
        out=tmp_path / "study",
        progress=False,
    )
    common = {s.candidate: s.rows for s in decision.standings}
    assert common == {"gpt": 4, "claude": 4}  # one failed, one expired
    found = {s.candidate: s.accuracy.value for s in decision.standings if s.accuracy}
    assert found == {"gpt": 1.0, "claude": 1.0}


def test_a_file_of_each_tool_is_judged_in_one_call(tmp_path: Path) -> None:
    for number, tool in enumerate(("promptfoo", "inspect*.json", "inspect*.eval")):
        decision = choose.score(written(tool), out=tmp_path / str(number), progress=False)
        assert decision.dataset.test_rows == 5
        assert all(s.accuracy and s.accuracy.value >= 0.75 for s in decision.standings)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of JSON; of a list to its first two."""
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 2))
    for key in keys:
        yield (*place, key)
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*place, key))


TOOLS = ("promptfoo", "inspect*.json", "lm-eval-ch*/*/s", "lm-eval-g*/*/s", "openai", "anthropic")
OTHER = (None, -1, True, "x", [], {}, [1], {"a": 1}, 10**400, "\ud800")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_of_another_form_is_read_or_refused(tool: str, tmp_path: Path) -> None:
    """Each value of a record was exchanged for others; 6 % of 13,335 were an error of ours."""
    text = Path(written(tool)).read_text("utf-8")
    first, *rest = [text] if text.startswith("{\n") else text.splitlines()
    file = tmp_path / Path(written(tool)).name
    for number, place in enumerate(places(json.loads(first))):
        changed = part = json.loads(first)
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = OTHER[number % len(OTHER)]
        file.write_text("\n".join([json.dumps(changed), *rest]), "utf-8")
        with suppress(ChooseError):
            found = read_set(resolve(str(file)))
            given_runs(found.given, found.dataset)


def test_a_name_of_a_candidate_takes_the_place_of_no_column(tmp_path: Path) -> None:
    log = json.loads(Path(written("inspect*.json")).read_text("utf-8"))
    for name in ("label", ""):
        log["eval"]["model"] = name
        (tmp_path / "log.json").write_text(json.dumps(log))
        [column] = read_answers(str(tmp_path / "log.json")).answers
        assert column == f"{name} answers".strip()


def test_another_version_of_promptfoo_is_refused_in_one_line(tmp_path: Path) -> None:
    old = json.loads(Path(written("promptfoo")).read_text("utf-8"))
    old["results"]["version"] = 2
    (tmp_path / "old.json").write_text(json.dumps(old))
    with pytest.raises(DataError, match="version 2 of promptfoo's results, and version 3 is read"):
        read_answers(str(tmp_path / "old.json"))


def test_a_log_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.eval").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(DataError, match="cannot be read as a log of inspect"):
        read_answers(str(tmp_path / "broken.eval"))
    log = json.loads(Path(written("inspect*.json")).read_text("utf-8"))
    for sample in log["samples"]:
        sample["error"] = {"message": "429"}
    (tmp_path / "failed.json").write_text(json.dumps(log))
    with pytest.raises(DataError, match="every request failed"):
        read_answers(str(tmp_path / "failed.json"))
    monkeypatch.setattr("choose.answers.inspect_log.LARGEST", 100_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_answers(written("inspect*.eval"))
