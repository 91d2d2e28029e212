"""The answer on one screen: the families, every candidate against the chosen one, and the steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from choose.schema.base import Command, Interval, Record

StepKind = Literal[
    "check-labels",
    "fix-documents",
    "fix-retrieval",
    "fix-format",
    "evaluate-rest",
    "label-more",
    "add-candidate",
    "stronger-model",
    "more-runs",
    "metric",
    "cascade",
]


class FamilyResult(Record):
    """One family of the question.

    Attributes:
        best: the member to use, of least expected loss; null where none was measured.
        members: the measured members that read the text, the cheapest first.
    """

    family: str
    best: str | None = None
    members: tuple[str, ...] = ()


class Beyond(Record):
    """A limit of the study that a candidate breaks: `most` is allowed, and it takes `value`.

    Both are null where the limit is that no other machine serves the model, or that it ends.
    """

    limit: Literal["ms", "usd", "on-premises", "ends"]
    value: float | None = None
    most: float | None = None


class Standing(Record):
    """A candidate against the chosen one, on the rows that both answered.

    Attributes:
        title: the name for readers, such as "words + logistic regression"; empty if it has none.
        chosen: whether this is the candidate that is recommended or used in the interim.
        accuracy: on all rows that this candidate answered; comparable only at equal `rows`.
        difference: accuracy of this candidate minus the chosen one on `common` rows; null for the
            chosen one, and where the two share no row.
        compared: the two scores of that difference, this candidate's and the chosen one's: on the
            common rows, each trained on equally many.
        common: the rows that both answered.
        rows: the rows that this candidate answered.
        ms_per_answer: milliseconds per answer, null where not measured.
        usd_per_1k: dollars per 1,000 answers, null without prices.
        won: common rows that this candidate answers better than the chosen one; null for that one.
        lost: common rows that it answers worse.
        beyond: the limits of the study that it breaks, for which it is never named.
    """

    candidate: str
    family: str
    title: str = ""
    chosen: bool = False
    accuracy: Interval | None = None
    difference: Interval | None = None
    compared: tuple[float, float] | None = None
    common: int = 0
    rows: int = 0
    ms_per_answer: float | None = None
    usd_per_1k: float | None = None
    won: int | None = None
    lost: int | None = None
    beyond: tuple[Beyond, ...] = ()


StepCode = Literal[
    "add",
    "add-baseline",
    "begin",
    "begin-paid",
    "conflicts",
    "cut",
    "documents",
    "doubted",
    "finish",
    "finish-paid",
    "finish-rows",
    "labels-for-gain",
    "labels-for-target",
    "rare-label",
    "repeat",
    "repeat-late",
    "repeat-paid",
    "retrieval",
    "separate",
    "still-rising",
    "stronger",
    "takeover",
    "too-few",
    "unreadable",
]


class Step(Record):
    """Something to do next, the most valuable first; `report.words` says it.

    Attributes:
        code: what is to be done, and why; those that end in ``-paid`` need money, not time.
        names: candidates; questions without documents; parts of the study that were left out.
        rows: by candidate the test rows that it lacks an answer to.
        again: candidates that the same command repeats too.
        slow: the slowest candidate that has not begun; a fit of it takes `seconds`.
        paid: whether the command takes a higher --max-usd as well.
        count: rows, answers or items that it is about; for ``separate``, rows for an even chance;
            for ``stronger``, rows that were answered, if not all; for ``repeat``, runs so far.
        total: of which `count` are a part; for ``separate``, rows for a chance of 80 %; for
            ``still-rising``, labels now.
        share: a score to reach, a gain, or the share of the uncertainty that is due to runs.
        labels: more labels that are needed; `high` is null where it is not known.
        gained: what the last labels gained.
        value: the accuracy it is expected to add, with its interval; null where not known.
        minutes: of a person's or the machine's time, at most; null where not known.
        whole: minutes of all that was left out, where that takes longer.
        chance: of the family that is named after these minutes, as expected now; null where that is
            not known.
        removes: the loss that the minutes, or the rows, are expected to remove.
        usd: what these cost.
        command: what to type; null where nothing is to be typed.
    """

    kind: StepKind
    code: StepCode
    names: tuple[str, ...] = ()
    rows: Mapping[str, int] = {}
    again: tuple[str, ...] = ()
    slow: str | None = None
    seconds: float | None = None
    paid: bool = False
    count: int | None = None
    total: int | None = None
    share: float | None = None
    labels: Interval | None = None
    gained: Interval | None = None
    value: Interval | None = None
    minutes: float | None = None
    whole: float | None = None
    chance: float | None = None
    removes: float | None = None
    usd: float | None = None
    command: Command | None = None


# Labels are lopsided where one has at most this share of the rows and this part of an even share,
# or another more than the last share.
RARE, PART_OF_EVEN, DOMINANT = 0.15, 0.3, 0.7


class RareFigure(Record):
    """How well one candidate finds a rare label.

    Attributes:
        rows: test rows of the label that it answered, the same row once.
        found: how many of them it got right, on average over its `runs`.
        recall: the share, with a Wilson interval.
        precision: share of its answers with this label that are right; null if it never gave it.
    """

    candidate: str
    rows: int
    found: float
    recall: Interval
    precision: float | None = None
    runs: int = 1


class RareLabel(Record):
    """A label that accuracy hardly sees: missing all its rows costs a few points at most.

    Attributes:
        share: of the test rows.
        figures: one for each candidate, the chosen one first, then those that find most.
    """

    label: str
    rows: int
    share: float
    figures: tuple[RareFigure, ...] = ()

    @property
    def answered(self) -> int | None:
        """Return how many rows each figure is of; None if these differ, or there is no figure."""
        return next(iter(found)) if len(found := {one.rows for one in self.figures}) == 1 else None
