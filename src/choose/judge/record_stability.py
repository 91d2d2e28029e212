"""Parts of the record on drift, a new class, kinds of label noise and abstaining."""

from __future__ import annotations

from choose.judge.frozen import Interval, Record


class Origin(Record):
    """One cut in time: the rows that follow it, asked after two fits on the same number of rows.

    `cut` is the share of the rows that come before, `labels` how many were learnt from (the mean
    over fits), `past` and `any_time` the accuracy after learning from earlier rows and from rows
    of any time, `drop` the second minus the first.
    """

    cut: float
    rows: int
    labels: float
    past: Interval
    any_time: Interval
    drop: Interval


class NewClassPoint(Record):
    """What `examples` rows of a withheld class do.

    `recall` is of that class, `loss` what accuracy on all other classes loses against none of its
    rows, `fit_seconds` what taking them up costs.
    """

    examples: int
    recall: Interval
    recall_rows: int
    loss: Interval | None = None
    loss_rows: int = 0
    fit_seconds: float | None = None


class NewClass(Record):
    """A class withheld from the pool and given back row by row."""

    label: str
    points: tuple[NewClassPoint, ...]


class NoiseKindPoint(Record):
    """What accuracy loses to one kind of label noise at one rate, against clean labels."""

    kind: str
    rate: float
    accuracy: Interval
    loss: Interval


class CoveragePoint(Record):
    """Accuracy on the share of rows on which a candidate is most confident."""

    coverage: float
    accuracy: Interval
