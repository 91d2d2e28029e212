"""Every malformed input is accepted, or refused in one line with nothing written.

The cases are rows of tables: files and their readers in `fuzz.files`; flags, environment variables
and keys of the study file, with their bad values, in `fuzz.settings`. A new kind of file, command,
variable or bad value is one more row; new flags and keys are found by themselves. What counts as a
pass is in `fuzz.runner`. The fast tests run a fixed sample, the slow ones every case; counts
without pytest: ``cd tests && python -m fuzz``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.cases import TABLES, all_cases, sample
from fuzz.documents import document_cases
from fuzz.files import QUICK, file_cases, jsonl, parquet, rows, study_file_cases
from fuzz.kinds import kind_cases
from fuzz.runner import Case, prepare, run
from fuzz.settings import environment_cases, flag_cases, key_cases

# Parts of each table, so that several processes share the work.
PARTS = 8


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield prepare(Path(folder))


def check(cases: Sequence[Case], template: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    failures = []
    for case in cases:
        outcome = run(case, template, template.parent / "work")
        counts[outcome.kind] += 1
        if outcome.kind == "failed":
            failures.append(f"{case.id}: {outcome.why}")
    assert not failures, "\n".join(failures)
    return counts


def test_there_are_hundreds_of_cases_with_names_of_their_own() -> None:
    names = [case.id for case in all_cases()]
    assert len(names) >= 500
    assert len(set(names)) == len(names)


def test_a_sample_is_accepted_or_refused_in_one_line(template: Path) -> None:
    counts = check(sample(), template)
    assert counts["accepted"]
    assert counts["refused"] >= 10


def check_part(table: Callable[[], Iterator[Case]], part: int, template: Path) -> None:
    counts = check(list(table())[part::PARTS], template)
    label = f"{table.__name__} {part + 1} of {PARTS}"
    sys.stdout.write(f"\n{label}: tried {counts.total()}, {dict(counts)}\n")


# A class each, since pytest-xdist gives a class to one process.


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize("part", range(PARTS))
class TestFiles:
    @pytest.mark.parametrize("table", [file_cases, study_file_cases], ids=lambda t: t.__name__)
    def test_every_file_is_accepted_or_refused_in_one_line(self, table, part, template) -> None:  # type: ignore[no-untyped-def]
        check_part(table, part, template)


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize("part", range(PARTS))
class TestFlags:
    @pytest.mark.parametrize("table", [flag_cases, environment_cases], ids=lambda t: t.__name__)
    def test_every_flag_is_accepted_or_refused_in_one_line(self, table, part, template) -> None:  # type: ignore[no-untyped-def]
        check_part(table, part, template)


@pytest.mark.slow(seconds=5)
@pytest.mark.parametrize("part", range(PARTS))
class TestKeys:
    def test_every_key_is_accepted_or_refused_in_one_line(self, part: int, template: Path) -> None:
        check_part(key_cases, part, template)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
class TestDocuments:
    def test_all_documents_are_accepted_or_refused_in_one_line(
        self, part: int, template: Path
    ) -> None:
        check_part(document_cases, part, template)


def test_every_table_is_tried() -> None:
    tried = {file_cases, study_file_cases, flag_cases, environment_cases, key_cases, kind_cases}
    assert set(TABLES) == {*tried, document_cases}


GOOD = {"a.csv": rows().encode(), "a.jsonl": jsonl(), "a.parquet": parquet()}
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), min_size=1, max_size=4
)


def edited(content: bytes, edits: Sequence[tuple[float, int, bytes]]) -> bytes:
    """Replace a few bytes at some places by others."""
    for where, gone, new in edits:
        at = int(where * len(content))
        content = content[:at] + new + content[at + gone :]
    return content


def damaged_file(name: str, edits: Sequence[tuple[float, int, bytes]], template: Path) -> None:
    content = edited(GOOD[name], edits)
    arguments = ("plan", name, *QUICK, "--no-forecast")
    check([Case("edited", name, arguments, (), {name: content})], template)


@settings(max_examples=8, derandomize=True)
@given(name=st.sampled_from(sorted(GOOD)), edits=EDITS)
def test_a_damaged_file_is_accepted_or_refused(template, name, edits) -> None:  # type: ignore[no-untyped-def]
    damaged_file(name, edits, template)


@pytest.mark.slow
@settings(max_examples=400)
@given(name=st.sampled_from(sorted(GOOD)), edits=EDITS)
def test_many_damaged_files_are_accepted_or_refused(template, name, edits) -> None:  # type: ignore[no-untyped-def]
    damaged_file(name, edits, template)


def test_a_case_that_writes_warns_or_prints_too_much_fails(template: Path) -> None:
    def outcome(*arguments: str, names: tuple[str, ...] = ()) -> str:
        return run(Case("t", "n", arguments, names), template, template.parent / "work").why

    assert "names none of" in outcome("report", "nowhere", names=("somewhere",))
    assert outcome("report", "nowhere", names=("nowhere",)) == ""
    assert os.environ.get("CHOOSE_CACHE") != str(template.parent / "cache")


def test_a_changed_file_is_noticed_and_the_next_case_finds_it_as_it_was(
    template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil() -> None:
        words = Path("words.csv")
        words.write_bytes(bytes(words.stat().st_size))
        Path("new").write_bytes(b"")

    work = template.parent / "work"
    monkeypatch.setattr("fuzz.runner.main", spoil)
    for files in ({}, {}, {"words.csv": b"text,label"}):
        found = run(Case("t", "n", (), (), files), template, work)
        assert found.why == "changed ['words.csv']"
    monkeypatch.setattr("fuzz.runner.main", lambda: None)
    assert (
        run(Case("t", "n", (), (), {"words.csv": b"", "test.csv": b""}), template, work).why == ""
    )
    assert (work / "test.csv").read_bytes() == (template / "test.csv").read_bytes()
    assert {p.name for p in work.iterdir()} == {p.name for p in template.iterdir()}
