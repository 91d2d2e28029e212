"""Every row with something to look at, the worst first within each kind."""

from __future__ import annotations

from collections.abc import Iterator

from choose.check.looked import Looked
from choose.check.record import Issue


def issues_of(looked: Looked) -> tuple[Issue, ...]:
    """List the rows; texts are not in it."""
    label = {e.id: e.target for e in looked.all}
    return (
        *_leaks(looked, label),
        *_conflicts(looked),
        *_suspects(looked),
        *_repeats(looked, label),
        *_rare(looked),
        *(
            Issue(row=id, kind="personal", label=label[id], says=kind)
            for id, kind in looked.personal
        ),
    )


def _leaks(looked: Looked, label: dict[str, str]) -> Iterator[Issue]:
    for repeat in looked.across or ():
        yield Issue(
            row=repeat.id,
            kind="leak",
            label=label[repeat.id],
            other=repeat.of,
            says=repeat.likeness,
        )


def _conflicts(looked: Looked) -> Iterator[Issue]:
    for same in looked.torn:
        for row in same:
            other = next(e for e in same if e.target != row.target)
            yield Issue(
                row=row.id,
                kind="conflict",
                label=row.target,
                suggested=other.target,
                other=other.id,
                says="the same text under another label",
            )


def _suspects(looked: Looked) -> Iterator[Issue]:
    found = looked.audit
    for rank, suspect in enumerate(found.suspects if found else ()):
        assert found is not None
        sure = "doubted strongly" if rank < found.suspected else "doubted"
        yield Issue(
            row=suspect.id,
            kind="suspected label",
            label=suspect.label,
            suggested=suspect.suggested,
            says=f"{sure} (log odds {suspect.score:.1f})",
        )


def _repeats(looked: Looked, label: dict[str, str]) -> Iterator[Issue]:
    for repeat in looked.within:
        yield Issue(
            row=repeat.id,
            kind="near-duplicate" if repeat.likeness == "near" else "duplicate",
            label=label[repeat.id],
            other=repeat.of,
            says=repeat.likeness,
        )


def _rare(looked: Looked) -> Iterator[Issue]:
    few = set(looked.balance.few)
    for e in looked.all:
        if e.target in few:
            yield Issue(row=e.id, kind="rare label", label=e.target, says="fewer than 5 rows")
