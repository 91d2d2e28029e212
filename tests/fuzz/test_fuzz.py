"""Every malformed input is accepted, or refused in one line with nothing written.

The cases are in `fuzz.cases`; what counts as a pass is in `fuzz.runner`.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing.parametric import series

from fuzz.cases import PLAN, cases, csv, jsonl, parquet
from fuzz.runner import Case, prepare, run
from support.commands import run_command

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


ROWS = 12

# Types of dates and times over numbers, of which few are dates of a calendar.
TIMES = [
    pl.Date,
    pl.Time,
    *(kind(unit) for kind in (pl.Datetime, pl.Duration) for unit in ("ms", "us", "ns")),
    pl.Datetime("us", "Europe/Berlin"),
]


@st.composite
def extreme_times(draw: st.DrawFn) -> pl.Series:
    """Draw a column of dates, times or durations up to the ends of their numbers, maybe nested."""
    kind = draw(st.sampled_from(TIMES))
    bits, low = (31, None) if kind == pl.Date else (63, 0 if kind == pl.Time else None)
    last = 86_399_999_999_999 if kind == pl.Time else 2**bits - 1
    number = st.one_of(st.none(), st.integers(-(2**bits) if low is None else low, last))
    numbers = draw(st.lists(number, min_size=ROWS, max_size=ROWS))
    column = pl.Series("", numbers, dtype=pl.Int32 if bits == 31 else pl.Int64).cast(kind)
    for _ in range(draw(st.integers(0, 2))):
        as_list = pl.select(pl.concat_list(pl.lit(column))).to_series()
        column = draw(st.sampled_from([column.to_frame("when").to_struct(""), as_list]))
    return column


COLUMNS = st.one_of(
    series(min_size=ROWS, max_size=ROWS, allow_null=True, excluded_dtypes=[pl.Object]),
    extreme_times(),
)
KINDS = st.sampled_from(
    ["", "classification", "multilabel", "extraction", "writing", "answering", "ranking"]
)


@settings(max_examples=40, derandomize=True)
@given(label=COLUMNS, other=COLUMNS, kind=KINDS)
def test_a_parquet_file_of_any_type_is_accepted_or_refused_in_one_line(label, other, kind):
    texts = [f"Text number {i} of {i * 7919}" for i in range(ROWS)]
    table = pl.DataFrame({"text": texts, "label": label, "timestamp": other})
    with TemporaryDirectory() as folder:
        table.write_parquet(f"{folder}/rows.parquet")
        named = ("--kind", kind) if kind else ()
        code, _, err = run_command("check", f"{folder}/rows.parquet", *named)
    assert "report this" not in err
    assert code == 0 or (code, err.count("\n"), err[:7]) == (2, 1, "Error: "), err
