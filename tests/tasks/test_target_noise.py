"""Noise in targets that are records or texts: nested, paired, from other rows of the pool."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from choose.corpus import Span
from choose.data.noise_injection import noisy
from choose.errors import StudyError
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.extraction import Extraction, as_text, parse
from choose.tasks.target_noise import IN_DOCUMENT, OF_ANSWERS, OF_RECORDS, OF_TEXTS
from choose.tasks.writing import Writing
from choose.types import Example

TASK = Extraction(fields={"people": "number", "day": "date", "items": "list", "name": "text"})


def pool(rows: int = 200) -> list[Example]:
    found = []
    for i in range(rows):
        record: dict[str, object] = {"items": [f"{i} bolts", f"{i % 9} nuts"]}
        if i % 2:
            record["people"] = i
        if i % 3:
            record["day"] = f"2025-03-{i % 28 + 1:02d}"
        if i % 5 == 0:
            record["name"] = f"Ann {i}"
        found.append(Example(id=f"r{i}", text=f"t{i}", target=as_text(record)))
    return found


def changed(rate: float, kind: str, rows: list[Example] | None = None) -> dict[str, str]:
    rows = rows or pool()
    after = noisy(rows, TASK, kind, rate, seed=1, donors=pool())
    assert [e.id for e in after] == [e.id for e in rows]
    return {a.id: a.target for b, a in zip(rows, after, strict=True) if a.target != b.target}


@pytest.mark.parametrize("kind", OF_RECORDS)
def test_more_noise_disturbs_a_superset_in_the_same_way(kind: str) -> None:
    few, many = changed(0.1, kind), changed(0.3, kind)
    assert few.items() <= many.items()
    assert 10 <= len(few) <= 30
    assert 45 <= len(many) <= 75
    assert changed(0.0, kind) == {}
    part = pool()[:50]
    assert changed(0.3, kind, part) == {
        id: target for id, target in many.items() if id in {e.id for e in part}
    }


@pytest.mark.parametrize("kind", OF_RECORDS)
def test_each_kind_changes_what_its_name_says(kind: str) -> None:
    before = {e.id: parse(e.target) for e in pool()}
    known = [parse(e.target) for e in pool()]
    for id, target in changed(0.5, kind).items():
        old, new = before[id], parse(target)
        differ = {n for n in old.keys() | new.keys() if old.get(n) != new.get(n)}
        if kind == "symmetric":
            assert new in known
            continue
        [name] = differ
        if kind == "value-dropped":
            assert name not in new or len(new[name]) == len(old[name]) - 1
        elif kind == "value-invented":
            assert name not in old
            assert any(record.get(name) == new[name] for record in known)
        elif kind == "value-swapped":
            assert old.keys() == new.keys()
            assert any(record.get(name) == new[name] for record in known)
        else:
            assert old.keys() == new.keys()
            assert len(json.dumps(old[name])) == len(json.dumps(new[name]))
            assert type(old[name]) is type(new[name])


def test_the_rows_disturbed_are_the_same_for_every_seed_of_a_strategy_and_differ_by_draw() -> None:
    rows = pool()
    one, again = (noisy(rows, TASK, "symmetric", 0.2, seed=1) for _ in range(2))
    assert one == again
    assert one != noisy(rows, TASK, "symmetric", 0.2, seed=2)


def test_texts_are_swapped_or_get_another_number() -> None:
    task = Writing()
    rows = [Example(id=str(i), text="t", target=f"Took {i + 10} pills of M8") for i in range(100)]
    rows.append(Example(id="none", text="t", target="Took no pills"))
    for kind in OF_TEXTS:
        after = noisy(rows, task, kind, 0.9, seed=0)
        differ = [(b, a) for b, a in zip(rows, after, strict=True) if a.target != b.target]
        assert len(differ) > 70
        if kind == "number-changed":
            assert all(a.target.endswith("pills of M8") for _, a in differ)
            assert after[-1] == rows[-1]


def test_answers_are_swapped_truncated_or_get_another_number() -> None:
    rows = [Example(id=str(i), text="t", target=f"the {i} of May") for i in range(10, 90)]
    rows += [Example(id=f"n{i}", text="t", target=NO_ANSWER) for i in range(20)]
    rows.append(Example(id="one", text="t", target="May"))
    for kind in OF_ANSWERS.keys() - {IN_DOCUMENT}:
        after = noisy(rows, Answering(), kind, 0.99, seed=0)
        differ = [(b, a) for b, a in zip(rows, after, strict=True) if a.target != b.target]
        assert len(differ) > 70
        if kind == "symmetric":
            assert {a.target for _, a in differ} <= {row.target for row in rows}
            assert any(b.target == NO_ANSWER for b, _ in differ)
            continue
        assert after[80:] == rows[80:]  # nothing to cut off, and no number
        for before, now in differ:
            words = before.target.split()
            if kind == "truncated":
                kept = now.target.split()
                assert 0 < len(kept) < len(words)
                assert kept in (words[: len(kept)], words[-len(kept) :])
            else:
                assert sum(a != b for a, b in zip(words, now.target.split(), strict=True)) == 1


def test_answers_are_swapped_within_their_document() -> None:
    rows = [
        Example(id=f"{d}-{n}", text="?", target=f"{d} {n}", evidence=(Span(d, 0, 1),))
        for d in "abcdefgh"
        for n in range(10)
    ]
    rows += [Example(id="alone", text="?", target="z 1", evidence=(Span("z", 0, 1),))]
    rows += [Example(id="nowhere", text="?", target="none")]
    half, most = (noisy(rows, Answering(), IN_DOCUMENT, rate, seed=0) for rate in (0.5, 0.95))
    for after in (half, most):
        assert after[-2:] == rows[-2:]
        assert all(new.target[0] == old.target[0] for old, new in zip(rows, after, strict=True))
    changed = [
        {old.id: new.target for old, new in zip(rows, after, strict=True) if old != new}
        for after in (half, most)
    ]
    assert changed[0].items() <= changed[1].items()  # nested
    assert 28 <= len(changed[0]) <= 52 <= len(changed[1])
    # Donors differ: no answer of a document replaces most of the others.
    assert max(Counter(changed[1].values()).values()) <= 6


def test_an_unknown_kind_of_noise_is_refused_with_those_of_the_task() -> None:
    with pytest.raises(StudyError, match=r"No label noise 'value-droped'. Did you mean"):
        noisy(pool(), TASK, "value-droped", 0.1, seed=0)
    with pytest.raises(StudyError, match="Allowed: symmetric, number-changed"):
        noisy(pool(), Writing(), "confused-pair", 0.1, seed=0)


def test_accepted_answers_of_a_disturbed_row_go_too() -> None:
    rows = [Example(id=str(i), text="t", target=f"a {i}", accepted=(f"b {i}",)) for i in range(50)]
    for row, after in zip(rows, noisy(rows, Writing(), "symmetric", 0.5, seed=0), strict=True):
        assert after.accepted == (row.accepted if after.target == row.target else ())
