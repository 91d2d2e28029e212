"""A damaged file of a store costs the trials that it held, or is one clear line (M6).

Each case damages one file of `tests/fixtures/stored_study` in one way.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import choose
from choose.errors import StoreError

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEYS = sorted(path.name for path in (FIXTURES / "stored_study" / "trials").iterdir())

Edit = Callable[[Path], object]


def write(content: bytes) -> Edit:
    return lambda path: path.write_bytes(content)


def changed(key: str, value: object) -> Edit:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({**content, key: value}), "utf-8")

    return edit


def lacking(key: str) -> Edit:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text("utf-8"))
        del content[key]
        path.write_text(json.dumps(content), "utf-8")

    return edit


def table(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Edit:
    return lambda path: change(pl.read_parquet(path)).write_parquet(path)


def share(part: float) -> Edit:
    return lambda path: path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    content[-6] ^= 0xFF
    path.write_bytes(content)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


ANY_FILE: dict[str, Edit] = {
    "empty": write(b""),
    "truncated": share(0.5),
    "not UTF-8": write(b"\xff\xfe\x00{"),
    "zeros": write(bytes(200)),
    "a folder": folder,
}
ANY_JSON: dict[str, Edit] = {
    **ANY_FILE,
    "null": write(b"null"),
    "a list": write(b"[1]"),
    "an object": write(b"{}"),
    "NaN": write(b"NaN"),
    "deep": write(b"[" * 9_000),
}
ANSWERS: dict[str, Edit] = {
    **ANY_FILE,
    "flipped bits": flipped,
    "no rows": table(lambda t: t.head(0)),
    "no ids": table(lambda t: t.drop("id")),
    "no outputs": table(lambda t: t.drop("output")),
    "foreign ids": table(lambda t: t.with_columns(pl.lit("x").alias("id") + pl.col("id"))),
    "repeated ids": table(lambda t: t.with_columns(pl.lit(t["id"][0]).alias("id"))),
    "foreign labels": table(lambda t: t.with_columns(pl.lit("x").alias("output"))),
    "foreign status": table(lambda t: t.with_columns(pl.lit("x").alias("status"))),
    "narrow scores": table(lambda t: t.with_columns(pl.col("scores").list.head(1))),
    "numbers for ids": table(lambda t: t.with_columns(pl.Series("id", range(len(t))))),
    "removed": lambda path: path.unlink(),
}
TRIAL: dict[str, Edit] = {
    **ANY_JSON,
    "views of another kind": changed("views", 3),
    "foreign views": changed("views", [["clean", 0], ["gone", 0]]),
    "no views": changed("views", []),
    "no notes": lacking("notes"),
    "text for seconds": changed("fit_seconds", "soon"),
    "numbers for versions": changed("versions", 1),
}
DECISION: dict[str, Edit] = {
    **ANY_FILE,
    "null": write(b"null"),
    "of a later version": changed("verdict", {"kind": "perhaps", "from": 2030}),
    "without scorecards": lacking("scorecards"),
}
del DECISION["a folder"]  # nothing can be written there; see below
NEEDED: dict[str, dict[str, Edit]] = {
    "study.toml": {
        **ANY_FILE,
        "goal is a number": write(b"goal = 3\n[grid]\n"),
        "margin is a text": write(b"[goal]\nmargin = 'small'\nmetric = 3\n[grid]\n"),
        "costs is a list": write(b"costs = [1]\n[goal]\n[grid]\n"),
    },
    "data.json": {
        **ANY_JSON,
        "no folds": changed("folds", []),
        "foreign rows": changed("folds", [{"pool": ["x"], "questions": ["y"]}]),
        "foreign labels": changed("task", {"labels": ["x"], "names": ["x"], "descriptions": {}}),
    },
    "data.parquet": {
        **ANY_FILE,
        "flipped bits": flipped,
        "no rows": table(lambda t: t.head(0)),
        "no text": table(lambda t: t.drop("text")),
        "removed": lambda path: path.unlink(),
    },
    "grid.json": {
        **ANY_JSON,
        "trials of another kind": changed("trials", [{"candidate": "tfidf"}]),
        "candidates without names": changed("candidates", [{}]),
        "candidates are texts": changed("candidates", ["tfidf"]),
    },
}
EXTRAS: dict[str, dict[str, Edit]] = {
    "looks.jsonl": {**ANY_JSON, "text": write(b"looked\n")},
    "left_out.json": {
        **ANY_JSON,
        "sentences": write(b'["tfidf: the budget was used up."]'),
        "a reason of a later version": write(b'[{"text": "gone", "reason": "later"}]'),
        "endless": write(b'[{"text": "slow", "reason": "too-long", "seconds": Infinity}]'),
        "countless": write(b'[{"text": "many", "trials": {"views": 1' + b"0" * 400 + b"}}]"),
    },
}
COUNT = sum(map(len, (ANSWERS, TRIAL, DECISION, *NEEDED.values(), *EXTRAS.values())))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    shutil.copy(FIXTURES / "tickets.csv", tmp_path)
    return Path(shutil.copytree(FIXTURES / "stored_study", tmp_path / "stored_study"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("undisturbed") / "stored_study"
    return verdict(choose.read(shutil.copytree(FIXTURES / "stored_study", place)))


def verdict(decision: choose.Decision) -> str:
    """Return the figures that a damaged file may not change."""
    parts = {"verdict", "scorecards", "pairs", "gates"}
    return decision.model_dump_json(include=parts)


def resumed(store: Path) -> choose.Decision:
    return choose.compare(
        store.parent / "tickets.csv",
        strategies=["majority", "tfidf"],
        out=store,
        seeds=1,
        sizes=(1.0,),
        noise=(0.0,),
        progress=False,
    )


def test_there_are_at_least_as_many_cases_as_were_tried_by_hand() -> None:
    assert COUNT >= 87


@pytest.mark.parametrize("name", DECISION)
def test_a_damaged_decision_is_judged_again(store: Path, undisturbed: str, name: str) -> None:
    choose.read(store)
    DECISION[name](store / "decision.json")
    assert verdict(choose.read(store)) == undisturbed


@pytest.mark.parametrize("name", ANY_FILE)
def test_a_damaged_state_of_the_decision_is_written_anew(
    store: Path, undisturbed: str, name: str
) -> None:
    choose.read(store)
    if name != "a folder":
        ANY_FILE[name](store / "decision.state")
    assert verdict(choose.read(store)) == undisturbed


@pytest.mark.parametrize(("file", "name"), [(f, n) for f in EXTRAS for n in EXTRAS[f]])
def test_damaged_looks_and_notes_do_not_stop_a_report(store: Path, file: str, name: str) -> None:
    EXTRAS[file][name](store / file)
    if (store / file).is_dir() and file == "looks.jsonl":
        with pytest.raises(StoreError, match=r"looks\.jsonl"):
            choose.read(store)
    else:
        assert choose.read(store).verdict.kind


@pytest.mark.parametrize(("file", "name"), [(f, n) for f in NEEDED for n in NEEDED[f]])
def test_a_damaged_file_that_is_needed_is_named_in_one_line(
    store: Path, file: str, name: str
) -> None:
    NEEDED[file][name](store / file)
    with pytest.raises(StoreError, match="choose compare again") as refusal:
        choose.read(store)
    assert "\n" not in str(refusal.value)
    assert str(store) in str(refusal.value)


@pytest.mark.parametrize("name", [*TRIAL, *ANSWERS])
def test_a_damaged_trial_is_left_out_and_named(store: Path, name: str) -> None:
    file = "trial.json" if name in TRIAL else "clean-0.parquet"
    (TRIAL | ANSWERS)[name](store / "trials" / KEYS[0] / file)
    report = choose.read(store)
    assert report.scorecards
    assert KEYS[0] in report.model_dump_json()


REPEATED = ["trial.json: empty", "clean-0.parquet: no rows", "clean-0.parquet: foreign ids"]
MENDED = ["grid.json: empty", "data.json: truncated", "data.parquet: zeros", "study.toml: zeros"]


@pytest.mark.parametrize("case", REPEATED + MENDED)
def test_the_same_command_mends_a_store(store: Path, undisturbed: str, case: str) -> None:
    file, name = case.split(": ")
    edits = {"trial.json": TRIAL, "clean-0.parquet": ANSWERS, **NEEDED}[file]
    place = store / "trials" / KEYS[0] if case in REPEATED else store
    edits[name](place / file)
    resumed(store)
    mended = json.loads(verdict(choose.read(store)))
    for part in ("kind", "recommended", "use_meanwhile"):
        assert mended["verdict"][part] == json.loads(undisturbed)["verdict"][part]
    assert not any(KEYS[0] in text for text in mended["gates"])


def special(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("file", [*NEEDED, *EXTRAS, "decision.json", "decision.state"])
def test_a_pipe_or_device_in_a_store_is_never_waited_for(store: Path, file: str, kind: str) -> None:
    """B1: a report hung on a pipe, and took all memory on a device."""
    if file.startswith("decision"):
        choose.read(store)
    special(store / file, kind)
    if file in NEEDED:
        with pytest.raises(StoreError, match="pipe or device"):
            choose.read(store)
    else:
        assert choose.read(store).verdict.kind


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("file", ["trial.json", "clean-0.parquet"])
def test_a_pipe_or_device_costs_the_trial_it_held(store: Path, file: str, kind: str) -> None:
    """B1."""
    special(store / "trials" / KEYS[0] / file, kind)
    report = choose.read(store)
    assert report.scorecards
    assert KEYS[0] in report.model_dump_json()


def test_a_huge_file_is_not_read(store: Path) -> None:
    """B1: a file that is mostly a hole takes no disk, and would take all memory."""
    os.truncate(store / "grid.json", 10**12)
    with pytest.raises(StoreError, match="more than"):
        choose.read(store)


def test_a_folder_in_the_place_of_a_file_is_to_be_moved_away(store: Path) -> None:
    """B3: running compare again, as was advised, failed too."""
    folder(store / "grid.json")
    for act in (choose.read, resumed):
        with pytest.raises(StoreError, match=r"grid\.json'.*is a folder\. Move it away"):
            act(store)
    (store / "grid.json").rmdir()
    folder(store / "trials" / KEYS[0] / "clean-0.parquet")
    assert "it is a folder" in (text := resumed_report(store)), text


def resumed_report(store: Path) -> str:
    """Return the refusal or the decision of the next run."""
    try:
        return resumed(store).model_dump_json()
    except StoreError as error:
        return str(error)
