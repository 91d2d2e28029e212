"""Two studies side by side: known differences, the same study twice, other data, hostile text."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from choose.answers.given import Draw, Given, given_runs
from choose.api.compare_studies import compare_stores
from choose.errors import StoreError
from choose.report.words import what_changed
from choose.schema.decision import Versus
from choose.stats.paired import mcnemar_midp
from choose.store.store import Store
from choose.tasks.labels import Classification
from choose.types import Answers, Dataset, Example, Fold, Run
from support.html import parsed
from support.studies import plain_trial, planned

LABELS = ("no", "yes")
ROWS = 200


def data(rows: int = ROWS, start: int = 0, **changed: Any) -> Dataset:
    """Rows of two labels, all asked; one more is learnt from."""
    rows_ = [
        Example(id=str(i), text=f"text {start + i}", target=LABELS[(start + i) % 2])
        for i in range(rows)
    ]
    examples = {e.id: e for e in [*rows_, Example(id="pool", text="learnt from", target="yes")]}
    examples.update(changed.get("examples", {}))
    return Dataset(
        name=changed.get("name", "made"),
        task=Classification(labels=LABELS, names=LABELS),
        examples=examples,
        folds=(Fold(pool=("pool",), questions=tuple(e.id for e in rows_)),),
        division="held-out",
    )


def stored(folder: Path, wrong: dict[str, set[int]], rows: Dataset | None = None) -> Path:
    """Write a study in which each candidate is wrong on these rows and right elsewhere."""
    rows = rows or data()
    store = Store.create(folder)
    store.begin({"rule": "4", "goal": {"margin": 0.02}, "grid": {}}, rows)
    trials = []
    for name, bad in wrong.items():
        trial = plain_trial(
            name,
            strategy="tfidf",
            params={"who": name, "C": len(bad)},  # which tell fits apart
            train_size=1,
            task="t",
            pool="p",
            questions="q",
        )
        outputs = tuple(
            LABELS[(LABELS.index(rows.examples[id].target) + (int(id) in bad)) % 2]
            for id in rows.asked
        )
        answers = Answers(outputs=outputs, status=("ok",) * len(outputs))
        store.add(
            Run(trial=trial, answers={("clean", 0): answers}, asked={("clean", 0): rows.asked})
        )
        trials.append(trial)
    store.plan(trials, [planned(t.candidate, "tfidf", **t.params) for t in trials])
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """`moves` mends 40 of its 50 errors and makes 10 others; `stays` is the same."""
    before = stored(tmp_path / "a", {"moves": set(range(50)), "stays": set(range(60, 80))})
    after = stored(
        tmp_path / "b",
        {"moves": set(range(10)) | set(range(100, 110)), "stays": set(range(60, 80))},
    )
    return before, after


def test_a_known_difference_is_found_with_its_interval_and_p(pair: tuple[Path, Path]) -> None:
    versus = compare_stores(*pair)
    moves, stays = [s for s in versus.shifts if s.before == s.after]
    assert counts(versus) == (ROWS, ROWS, ROWS, 0)
    assert moves.accuracy_before == pytest.approx(0.75)
    assert moves.accuracy_after == pytest.approx(0.90)
    assert moves.difference.value == pytest.approx(0.15)
    # McNemar's mid-p of 40 rows mended and 10 broken, and Bonett and Price's interval.
    assert moves.p == pytest.approx(mcnemar_midp(40, 10))
    p12, p21, n = 41 / 202, 11 / 202, 202
    half = 1.959964 * ((p12 + p21 - (p12 - p21) ** 2) / n) ** 0.5
    assert moves.difference.low == pytest.approx(p12 - p21 - half, abs=2e-3)
    assert moves.difference.high == pytest.approx(p12 - p21 + half, abs=2e-3)
    assert moves.difference.low > 0
    assert stays.same_fits
    assert versus.verdict_changed
    assert next(c for c in versus.changes if c.what == "candidate.moves.C").before == "50"


def test_the_other_way_round_turns_every_sign(pair: tuple[Path, Path]) -> None:
    there, back = compare_stores(*pair), compare_stores(*reversed(pair))
    values = [[s.difference.value for s in v.shifts if s.before == s.after] for v in (there, back)]
    assert values[0] == pytest.approx([-value for value in values[1]])


def test_the_same_study_twice_differs_in_nothing(pair: tuple[Path, Path]) -> None:
    versus = compare_stores(pair[0], pair[0])
    assert not versus.verdict_changed
    assert not versus.changes
    assert all(s.difference.value == 0 and s.same_fits and s.p is None for s in versus.shifts)


def test_given_answers_are_identical_in_whatever_folds(tmp_path: Path) -> None:
    held_out = data()
    [ids] = [division.questions for division in held_out.folds]
    halves = [Fold(pool=("pool",), questions=part) for part in (ids[::2], ids[1::2])]
    folded = replace(held_out, folds=tuple(halves), division="cross-fit")
    draw = Draw(ids=ids, cells=[LABELS[int(id) % 3 > 0] for id in ids])
    for name, rows in (("a", held_out), ("b", folded)):
        given = given_runs([Given(name="gpt-4o", draws={0: draw}, family="prompting")], rows)
        store = Store.create(tmp_path / name)
        store.begin({"rule": "4", "goal": {"margin": 0.02}, "grid": {}}, rows)
        store.plan([run.trial for run in given.runs], given.candidates)
        for run in given.runs:
            store.add(run)
    versus = compare_stores(tmp_path / "a", tmp_path / "b")
    assert [shift.same_fits for shift in versus.shifts] == [True]
    assert not [change for change in versus.changes if change.what.startswith("candidate.")]


def test_answers_that_moved_under_the_same_fits_are_compared(tmp_path: Path) -> None:
    a = stored(tmp_path / "a", {"one": set(range(20))})
    (shift,) = compare_stores(a, stored(tmp_path / "b", {"one": set(range(20, 40))})).shifts
    assert not shift.same_fits
    assert shift.difference.value == 0
    assert shift.p == pytest.approx(mcnemar_midp(20, 20))


def test_other_data_is_refused_in_one_line(tmp_path: Path, refused: Any) -> None:
    a = stored(tmp_path / "a", {"one": {1}})
    b = stored(tmp_path / "b", {"one": {1}}, data(start=1000))
    with pytest.raises(StoreError, match=r"no row in common.* 200 changed under the same id"):
        compare_stores(a, b)
    refused("report", a, b, "-o", "x.html")
    assert not Path("x.html").exists()


def test_too_few_common_rows_are_refused(tmp_path: Path, refusal: Any) -> None:
    a = stored(tmp_path / "a", {"one": {1}})
    b = stored(tmp_path / "b", {"one": {1}}, data(start=ROWS - 20))
    assert "only 20 rows in common" in refusal(StoreError, compare_stores, a, b)


def test_rows_meet_by_text_where_ids_moved_and_relabelled_rows_do_not(tmp_path: Path) -> None:
    a = stored(tmp_path / "a", {"one": set(range(20))})
    moved = stored(tmp_path / "b", {"one": set(range(20))}, data(start=10))
    assert counts(compare_stores(a, moved)) == (200, 200, 190, 0)
    other = {"7": Example(id="7", text="text 7", target="no")}
    relabelled = stored(tmp_path / "c", {"one": set(range(20))}, data(examples=other))
    assert counts(compare_stores(a, relabelled)) == (200, 200, 199, 1)
    dated = {"7": replace(data().examples["7"], fields={"day": "Monday"})}
    later = stored(tmp_path / "d", {"one": set(range(20))}, data(examples=dated))
    assert counts(compare_stores(a, later)) == (200, 200, 199, 1)


def counts(versus: Versus) -> tuple[int, ...]:
    return tuple(versus.rows.model_dump().values())


def test_candidates_of_one_study_only_are_named(tmp_path: Path) -> None:
    a = stored(tmp_path / "a", {"one": set(range(20)), "old": set(range(30))})
    b = stored(tmp_path / "b", {"one": set(range(20)), "new": set(range(5))})
    versus = compare_stores(a, b)
    changed = {change.what for change in versus.changes}
    assert {"candidate.new.strategy", "candidate.old.strategy"} <= changed
    picked = versus.shifts[0]
    assert (picked.before, picked.after) == ("one", "new")
    assert picked.difference.value == pytest.approx(15 / ROWS)


def test_the_command_prints_writes_and_refuses(pair: tuple[Path, Path], choose: Any) -> None:
    said = choose("report", *pair, "-o", "v.html", "-o", "v.md", "-o", "v.json")
    assert said.code == 0
    assert "The verdict changed" in said.out.replace("\n", " ")
    assert "moves" in Path("v.md").read_text(encoding="utf-8")
    assert not parsed(Path("v.html").read_text(encoding="utf-8")).open
    printed = json.loads(choose("report", *pair, "--json").out)
    assert printed == json.loads(Path("v.json").read_text(encoding="utf-8"))
    assert printed["schema"] == 1
    assert choose("report", *pair, "-o", "v.xml").code == 2
    assert choose("report", *pair, "--fail-under", "0.5").code == 2


def test_the_headline_counts_the_rows_of_the_comparisons(pair: tuple[Path, Path]) -> None:
    """It said "on the 602 common rows" above a table of 120."""
    versus = compare_stores(*pair)
    shift = versus.shifts[0].model_copy(update={"rows": 20, "p_holm": 0.5})
    alone = versus.model_copy(update={"shifts": (shift,)})
    assert what_changed(alone).endswith("No candidate changed significantly on the 20 common rows.")
    both = versus.model_copy(update={"shifts": (shift, shift.model_copy(update={"rows": 50}))})
    assert "on the 20 to 50 common rows" in what_changed(both)
