"""Every malformed input is accepted, or refused in one line with nothing written.

The cases are in `fuzz.cases`; what counts as a pass is in `fuzz.runner`.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.cases import PLAN, cases, csv, jsonl, parquet
from fuzz.runner import Case, prepare, run

ALL = list(cases())

# Processes that share the work.
PARTS = 4


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield prepare(Path(folder))


def check(some: Sequence[Case], template: Path) -> set[str]:
    """Run cases and return what came of them; the failures are told together."""
    outcomes = {case.id: run(case, template, template.parent / "work") for case in some}
    failures = [f"{id}: {one.why}" for id, one in outcomes.items() if one.kind == "failed"]
    assert not failures, "\n".join(failures)
    return {one.kind for one in outcomes.values()}


def test_cases_have_names_of_their_own() -> None:
    assert len({case.id for case in ALL}) == len(ALL) >= 100


@pytest.mark.parametrize("part", range(PARTS))
def test_every_input_is_accepted_or_refused_in_one_line(part: int, template: Path) -> None:
    assert check(ALL[part::PARTS], template) == {"accepted", "refused"}


GOOD = {"a.csv": csv().encode(), "a.jsonl": jsonl(), "a.parquet": parquet()}
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), min_size=1, max_size=4
)


@settings(max_examples=20, derandomize=True)
@given(name=st.sampled_from(sorted(GOOD)), edits=EDITS)
def test_a_damaged_file_is_accepted_or_refused(template, name, edits) -> None:
    content = GOOD[name]
    for where, gone, new in edits:
        at = int(where * len(content))
        content = content[:at] + new + content[at + gone :]
    check([Case("edited", name, ("plan", name, *PLAN[2:]), (), {name: content})], template)


def test_a_case_that_names_nothing_fails(template: Path) -> None:
    def outcome(*names: str) -> str:
        case = Case("t", "n", ("report", "nowhere"), names)
        return run(case, template, template.parent / "work").why

    assert "names none of" in outcome("somewhere")
    assert outcome("nowhere") == ""


def test_a_changed_file_fails(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.runner.main", lambda: Path("words.csv").write_bytes(b""))
    found = run(Case("t", "n", ()), template, template.parent / "work")
    assert found.why == "changed ['words.csv']"
