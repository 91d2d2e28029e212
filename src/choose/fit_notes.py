"""What the fits of a study noted of themselves, each thing told once a candidate."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from choose.judge.record_method import Note
from choose.types import Run

# A number that stands by itself; digits in a name are part of it.
_NUMBER = re.compile(r"(?<![\w.])(?<!\d,)\d(?:\d|,(?=\d))*(?:\.\d+)?(?!\w)")
# A server may find new words for each failure.
_MOST = 12


def notes_of(runs: Iterable[Run]) -> Iterator[Note]:
    """Yield what the fits behind each candidate's accuracy noted, notes of one form as one."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for run in runs:
        trial = run.trial
        if trial.variant == "" and trial.scenario.kind == "standard" and not trial.scenario.rate:
            for text in run.notes:
                alike[trial.candidate, tuple(_NUMBER.split(text))].append(text)
    shown: dict[str, int] = defaultdict(int)
    for (candidate, _), texts in alike.items():
        shown[candidate] += 1
        if shown[candidate] <= _MOST:
            yield Note(candidate=candidate, text=merged(texts), fits=len(texts))


def merged(texts: Sequence[str]) -> str:
    """Say once what differs in numbers only, each number that differs as a range."""
    found = [_NUMBER.findall(text) for text in texts]
    ranges = iter([_range(numbers) for numbers in zip(*found, strict=True)])
    return _NUMBER.sub(lambda _: next(ranges), texts[0])


def _range(numbers: Sequence[str]) -> str:
    ordered = sorted(set(numbers), key=lambda number: float(number.replace(",", "")))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
