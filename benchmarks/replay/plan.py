"""Which fits are gathered, in which order, where they are saved, and how long they will take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from choose.engines.lora.answer_tuning import answer_schedule
from choose.engines.lora.classifier import schedule_for as schedule
from choose.strategy import find
from replay.candidates import KINDS, RECORD_KINDS, Kind
from replay.sources import RECORD_SETS, Source, kinds_of

SIZES = (100, 300, 1000)

SMALLEST, MIDDLE = SIZES[0], SIZES[1]

# A record has several values, so fewer rows teach what as many labels do.
RECORD_SIZES = (30, 100, 300, 1000)

CHEAP_DRAWS, DRAWS = 5, 2

CHEAP, CHEAP_WITH_RECORDS = (
    tuple(name for name, kind in kinds.items() if kind.every_row) for kinds in (KINDS, RECORD_KINDS)
)

LM_LORA = "lora on the LM"

# Test rows of candidates with a model to tune or prompt, in parts, since an interrupted fit leaves
# nothing. Clauses are four times as long as the texts of other sets, and their labels six
# times as many. A record takes twenty passes of the model or more, where a label takes one.
ROWS = (300, 800)

MOST = {"cuad_clauses": 400, **dict.fromkeys(RECORD_SETS, 400)}

Cell = tuple[str, int, int, int]

# Seconds on one core of a busy AMD EPYC with AVX-512: a pass of the LM, over a token, over a pair
# of tokens; training on a token of an encoder and of the LM; fast candidates on a row.
PASS, TOKEN, PAIR = 0.06, 0.0017, 1e-6

TRAINED = {"lora": 0.00013, "lora on the LM": 0.0017}

CHEAP_ROW = {"tfidf": 0.003, "probe": 0.012}

CALIBRATED, LABEL_TOKENS = 64, 3

# Seconds on one core of the same machine to train on a row with a record, and to write a record.
LEARNT = 0.15

WRITTEN = {"prompt": 0.5, "few-shot": 0.5, "retrieval": 0.6, "lora": 0.4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A candidate to fit to the first `size` rows of a draw of a set's pool.

    `part` is the part of the test rows to predict; the fit is repeated for another part.
    """

    set: str
    candidate: str
    size: int
    draw: int
    part: int = 0

    @property
    def kind(self) -> Kind:
        """Return the candidate."""
        return kinds_of(self.set)[self.candidate]

    @property
    def name(self) -> str:
        """Return the stem of its file."""
        return f"{self.set}-{self.candidate.replace(' ', '_')}-{self.size}-{self.draw}"


def rounds(draws: int, parts: int) -> Iterator[list[Cell]]:
    """Yield (candidate, size, draw, part) of a set with labels, round by round.

    First fast candidates, with as many draws as slow ones. Then for each draw every candidate at
    the middle size on all parts of the rows, since a study uses only rows that all its candidates
    answered, and the other sizes. Last more draws of fast candidates, then LoRA on the LM.
    """
    yield _cheap(range(draws))
    for draw in range(draws):
        for part in range(parts):
            # More draws of zero-shot prompting only calibrate again: its scores are cached.
            zero_shot = [] if draw else [("prompt", SMALLEST, n, part) for n in range(draws)]
            yield [*zero_shot, *_middle(draw, part)]
        for part in range(parts):
            yield _others(draw, part)
    yield _cheap(range(draws, CHEAP_DRAWS))
    yield [(LM_LORA, MIDDLE, draw, 0) for draw in range(draws)]


def record_rounds(draws: int, parts: int) -> Iterator[list[Cell]]:
    """Yield (candidate, size, draw, part) of a set with records, round by round.

    First all draws of fast candidates. Then for each draw fine-tuning and retrieval at two sizes on
    the first part of the rows, and prompts; then the other parts, and the other sizes.
    """
    smallest, *others = RECORD_SIZES
    yield _cheap(range(CHEAP_DRAWS), RECORD_SIZES, CHEAP_WITH_RECORDS)
    for draw in range(draws):
        for size in (smallest, MIDDLE):
            yield [("lora", size, draw, 0), ("retrieval", size, draw, 0)]
        yield [("prompt", smallest, draw, 0), ("few-shot", MIDDLE, draw, 0)]
        for part in range(1, parts):
            yield [("retrieval", size, draw, part) for size in (MIDDLE, smallest)]
            yield [("prompt", smallest, draw, part), ("few-shot", MIDDLE, draw, part)]
        for size in (n for n in others if n != MIDDLE):
            yield [("lora", size, draw, 0)]
            yield [("retrieval", size, draw, part) for part in range(parts)]


def _cheap(draws: range, sizes: Sequence[int] = SIZES, names: Sequence[str] = CHEAP) -> list[Cell]:
    return [(name, size, draw, 0) for draw in draws for size in sizes for name in names]


def _middle(draw: int, part: int) -> list[Cell]:
    cells = [("lora", MIDDLE), ("few-shot", SMALLEST), ("retrieval", MIDDLE)]
    return [(name, size, draw, part) for name, size in cells if _asked(name, part)]


def _others(draw: int, part: int) -> list[Cell]:
    sizes = [size for size in reversed(SIZES) if size != MIDDLE]
    names = [name for name in ("lora", "retrieval") if _asked(name, part)]
    return [(name, size, draw, part) for size in sizes for name in names]


def _asked(name: str, part: int) -> bool:
    return part == 0 or not KINDS[name].at_once


def plan(sets: Sequence[str], draws: int = DRAWS, rows: Sequence[int] = ROWS) -> list[Fit]:
    """Return all fits in their order; sets with labels come first."""
    return [
        Fit(set=name, candidate=candidate, size=size, draw=draw, part=part)
        for of_records, find_rounds in ((False, rounds), (True, record_rounds))
        for cells in find_rounds(draws, len(rows))
        for name in sets
        if (name in RECORD_SETS) == of_records
        for candidate, size, draw, part in cells
    ]


def ends(name: str, rows: Sequence[int]) -> list[int]:
    """Return where each part of a set's test rows ends."""
    return [min(last, MOST.get(name, last)) for last in rows]


def bounds(fit: Fit, rows: Sequence[int]) -> tuple[int, int]:
    """Return the first test row of a fit and the one after the last."""
    last = ends(fit.set, rows)
    if fit.kind.at_once:
        return 0, last[-1]
    return (last[fit.part - 1] if fit.part else 0), last[fit.part]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Folders of the sets and of finished fits, and where the parts of the test rows end."""

    data: Path
    kept: Path
    rows: tuple[int, ...]

    def asked(self, fit: Fit, source: Source) -> tuple[str, ...]:
        """Return the ids of a fit's test rows."""
        if fit.kind.every_row:
            return tuple(row.id for row in source.test)
        return source.sample(*bounds(fit, self.rows))

    def path(self, fit: Fit) -> Path:
        """Return the file of a fit; the same fit has another file for other test rows."""
        first, last = bounds(fit, self.rows)
        few = "" if fit.kind.every_row else f"-{first}-{last}"
        return self.kept / f"{fit.name}{few}.json"

    def finished(self, fit: Fit) -> dict[str, Any] | None:
        """Return the record of a finished fit of the strategy's current revision, or None."""
        try:
            found: dict[str, Any] = json.loads(self.path(fit).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        current = find(fit.kind.strategy).revision
        return found if found["revision"] == current else None


class Forecast:
    """Forecast the seconds of a fit from earlier fits, the latest of which weigh most."""

    def __init__(self) -> None:
        self.expected, self.spent = 0.0, 0.0

    def seconds(self, fit: Fit, source: Source, rows: int) -> float:
        """Return the expected seconds of a fit that predicts this many rows."""
        return work(fit, source, rows) * self._pace()

    def learn(self, fit: Fit, expected: float, spent: float) -> None:
        """Update the forecast with a finished fit; fast candidates are ignored."""
        if not fit.kind.every_row:
            self.expected = self.expected / 2 + expected / self._pace()
            self.spent = self.spent / 2 + spent

    def _pace(self) -> float:
        return self.spent / self.expected if self.expected else 1.0


def work(fit: Fit, source: Source, rows: int) -> float:
    """Return the seconds that a fit takes on the machine the constants are from."""
    tokens = 1.4 * source.words + 12
    if fit.kind.every_row:
        asked_before = fit.draw > 0 or fit.size > SMALLEST
        return CHEAP_ROW.get(fit.candidate, 0.0) * (fit.size + (0 if asked_before else rows))
    if source.metric:
        return _writing(fit, rows)
    if fit.candidate in TRAINED:
        plan = schedule(fit.size, source.classes, 1e-3)
        return TRAINED[fit.candidate] * tokens * (plan.steps * plan.batch_size + rows / 4)
    known = fit.candidate == "prompt" and fit.draw > 0
    return (CALIBRATED + (0 if known else rows)) * _pass(fit, source, tokens)


def _writing(fit: Fit, rows: int) -> float:
    """Return the seconds of a fit that writes records."""
    if fit.candidate == "lora":
        plan = answer_schedule(fit.size, 2e-3)
        return LEARNT * plan.steps * plan.batch_size + WRITTEN["lora"] * rows
    return WRITTEN[fit.candidate] * (CALIBRATED + rows)


def _pass(fit: Fit, source: Source, tokens: float) -> float:
    """Return the seconds of one prompt; fixed demonstrations are cached but attended to."""
    read = tokens * (1 + fit.kind.neighbours) + LABEL_TOKENS * source.classes
    cached = tokens * max(8, source.classes) if fit.candidate == "few-shot" else 0.0
    return PASS + TOKEN * read + PAIR * read * (read + cached)
