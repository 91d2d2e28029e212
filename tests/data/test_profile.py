"""Facts about rows: repeats and conflicts."""

from choose.check.audit_facts import balance_of, hardly_counted
from choose.data.duplicates import count_duplicates, duplicates_among, index_texts
from choose.types import Example


def rows(*texts: str, targets: str = "") -> list[Example]:
    return [
        Example(id=f"r{i}", text=t, target=label)
        for i, (t, label) in enumerate(zip(texts, targets or "x" * len(texts), strict=True))
    ]


LONG = "the printer on the second floor jams whenever somebody copies more than twenty pages of it"


def test_each_row_counts_once_under_its_closest_likeness() -> None:
    found = rows(
        "where is my card",
        "where is my card",
        "Where is my CARD?!",
        LONG,
        f"{LONG} again",
        "nothing like the others",
    )
    repeats = duplicates_among(found, found, index_texts(found))
    assert [(r.id, r.likeness) for r in repeats] == [
        ("r0", "exact"),
        ("r1", "exact"),
        ("r2", "normalised"),
        ("r3", "near"),
        ("r4", "near"),
    ]
    counts = count_duplicates(repeats)
    assert (counts.exact, counts.normalised, counts.near, counts.all) == (2, 1, 2, 5)
    assert {r.id: r.of for r in repeats}["r4"] == "r3"


def test_across_counts_test_rows_only_and_names_the_pool_row() -> None:
    pool = rows("block my card now", "what is the rate", LONG)
    asked = [
        Example(id="t0", text="Block my card now!", target="x"),
        Example(id="t1", text="fresh", target="x"),
        Example(id="t2", text="fresh", target="x"),
        Example(id="t3", text=f"{LONG} please", target="x"),
    ]
    found = duplicates_among(asked, pool, index_texts([*pool, *asked]))
    assert [(r.id, r.likeness, r.of) for r in found] == [
        ("t0", "normalised", "r0"),
        ("t3", "near", "r2"),
    ]


def test_labels_that_accuracy_hardly_counts() -> None:
    """At 3 % of two labels, 2 % of three; not one of 77 equally common ones, nor four rows."""

    def hidden(**counts: int) -> list[str]:
        rows = [
            Example(id=f"{label}{i}", text="t", target=label)
            for label, n in counts.items()
            for i in range(n)
        ]
        return [count.name for count in hardly_counted(balance_of(rows))]

    assert hidden(fraud=12, no=388) == ["fraud"]
    assert hidden(a=60, b=38, c=8) == ["c"]
    assert hidden(a=30, b=70) == []
    assert hidden(**{f"l{i}": 10 for i in range(77)}) == []
    assert hidden(rare=4, no=396) == []
