"""A damaged file of a store costs the trial that it held, or is one clear line (M6)."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import choose
from choose.errors import StoreError
from choose.schema.plan import LeftOut
from choose.store.store import Store

Edit = Callable[[Path], object]


def write(content: bytes) -> Edit:
    return lambda path: path.write_bytes(content)


def changed(key: str, value: object) -> Edit:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps({**content, key: value}), "utf-8")

    return edit


def table(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Edit:
    return lambda path: change(pl.read_parquet(path)).write_parquet(path)


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    content[-6] ^= 0xFF
    path.write_bytes(content)


def special(path: Path, kind: str) -> None:
    path.unlink()
    {"pipe": os.mkfifo, "folder": Path.mkdir}.get(kind, lambda at: at.symlink_to("/dev/zero"))(path)


ANY: dict[str, Edit] = {
    "empty": write(b""),
    "half": half,
    "zeros": write(bytes(200)),
    "deep": write(b"[" * 9_000),
    "pipe": lambda path: special(path, "pipe"),
    "device": lambda path: special(path, "device"),
}
TRIAL: dict[str, dict[str, Edit]] = {
    "trial.json": {
        **ANY,
        "no views": changed("views", []),
        "text for seconds": changed("fit_seconds", "soon"),
    },
    "clean-0.parquet": {
        **ANY,
        "flipped bits": flipped,
        "foreign ids": table(lambda t: t.with_columns(pl.lit("x").alias("id") + pl.col("id"))),
        "foreign labels": table(lambda t: t.with_columns(pl.lit("x").alias("output"))),
        "removed": Path.unlink,
    },
}
NEEDED: dict[str, dict[str, Edit]] = {
    "study.toml": {**ANY, "goal is a number": write(b"goal = 3\n[grid]\n")},
    "data.json": {**ANY, "foreign rows": changed("folds", [{"pool": ["x"], "questions": ["y"]}])},
    "data.parquet": {**ANY, "flipped bits": flipped, "removed": Path.unlink},
    "grid.json": {**ANY, "candidates are texts": changed("candidates", ["tfidf"])},
}


def cases(table: dict[str, dict[str, Edit]]) -> list[tuple[str, str]]:
    return [(file, name) for file, edits in table.items() for name in edits]


@pytest.fixture
def store(stored_study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored_study, tmp_path / "st"))


def resumed(store: Path, data: str = "") -> choose.Decision:
    """Run the command that made the store again."""
    return choose.compare(
        data or Store(store).study["data"]["path"],
        strategies=["majority", "tfidf"],
        out=store,
        seeds=1,
        noise=(0.0,),
        progress=False,
    )


def trial_of(store: Path) -> Path:
    return min((store / "trials").iterdir())


@pytest.mark.parametrize(("file", "name"), cases(TRIAL))
def test_a_damaged_trial_is_left_out_and_named(store: Path, file: str, name: str) -> None:
    TRIAL[file][name](trial_of(store) / file)
    report = choose.read(store)
    assert report.scorecards
    assert trial_of(store).name in report.model_dump_json()


@pytest.mark.parametrize(("file", "name"), cases(NEEDED))
def test_a_damaged_file_that_is_needed_is_named_in_one_line(store, file, name):
    NEEDED[file][name](store / file)
    with pytest.raises(StoreError, match="choose compare again") as refusal:
        choose.read(store)
    assert "\n" not in str(refusal.value)
    assert str(store / file) in str(refusal.value)


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize(
    "file", ["looks.jsonl", "left_out.json", "decision.json", "decision.state"]
)
def test_a_damaged_record_does_not_stop_a_report(store: Path, file: str, name: str) -> None:
    ANY[name](store / file)
    assert choose.read(store).verdict.kind


@pytest.mark.parametrize(
    ("file", "name"),
    [("trial.json", "empty"), ("clean-0.parquet", "foreign ids"), ("grid.json", "empty")],
)
def test_the_same_command_runs_a_damaged_trial_again(store: Path, file: str, name: str) -> None:
    before = choose.read(store)
    place = store if file in NEEDED else trial_of(store)
    {**TRIAL, **NEEDED}[file][name](place / file)
    after = resumed(store)
    assert (after.pairs, after.left_out) == (before.pairs, before.left_out)


def test_a_study_without_its_settings_is_mended_by_the_same_command(store: Path) -> None:
    """N15: the advice was another --out, though the same one mends it."""
    data = Store(store).study["data"]["path"]
    (store / "study.toml").unlink()
    with pytest.raises(StoreError, match="again with the same data and"):
        choose.read(store)
    assert resumed(store, data).left_out == ()
    assert choose.read(store).verdict.kind


def test_a_huge_file_is_not_read(store: Path) -> None:
    """B1: a file that is mostly a hole takes no disk, and would take all memory."""
    os.truncate(store / "grid.json", 10**12)
    with pytest.raises(StoreError, match="more than"):
        choose.read(store)


def test_a_folder_in_the_place_of_a_file_is_to_be_moved_away(store: Path) -> None:
    """B3: running compare again, as was advised, failed too."""
    special(store / "grid.json", "folder")
    for act in (choose.read, resumed):
        with pytest.raises(StoreError, match=r"grid\.json'.*is a folder\. Move it away"):
            act(store)


def test_what_was_left_out_is_stored_with_its_facts(store: Path) -> None:
    text = "one fit would take about 138 s, more than the remaining budget."
    what = (
        LeftOut(candidate="lora", reason="too-long", text=text, seconds=137.6),
        LeftOut(candidate="rag", reason="out-of-time", text="views.", trials={"views": 5}, rows=7),
    )
    Store(store).leave_out(what)
    assert choose.read(store).left_out == what
    first, _ = json.loads((store / "left_out.json").read_text("utf-8"))
    assert first == {"candidate": "lora", "reason": "too-long", "text": text, "seconds": 137.6}
