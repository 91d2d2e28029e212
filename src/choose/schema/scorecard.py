"""The scorecard of a candidate, as part of `decision.json`."""

from __future__ import annotations

from choose.schema.base import Interval, Record
from choose.schema.costs import Cost


class Service(Record):
    """What was seen of a model behind an endpoint, on the clean rows.

    Attributes:
        behind: the model as the server calls it, and the server.
        latency_p50: seconds from a request to its answer, half of them; waits for one's turn and
            repeated requests left out.
        latency_p95: the same for 95 of 100.
        concurrency: requests in flight at once meanwhile.
        cached_share: of the tokens read, those that a prefix cache served.
        refused: share of the rows that the server or the model would not answer.
        empty: share without an answer.
        cut: share whose answer was cut off.
        off_list: share answered with what is no label.
        instability: share of rows whose answer differs between repeated predictions.
        repeats: number of predictions of each of these rows.
        repeated_rows: number of rows predicted repeatedly.
    """

    behind: str
    latency_p50: float | None = None
    latency_p95: float | None = None
    concurrency: int | None = None
    cached_share: float | None = None
    refused: float = 0.0
    empty: float = 0.0
    cut: float = 0.0
    off_list: float = 0.0
    instability: float | None = None
    repeats: int = 1
    repeated_rows: int = 0


class Origin(Record):
    """One cut in time: the later rows, predicted after two fits on equally many rows.

    `cut` is the share of the rows that come before, `labels` the number of training rows (the
    mean over fits), `past` and `any_time` the accuracy after training on earlier rows and on rows
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


class LabelRecord(Record):
    """Precision, recall and support of one label, over all repetitions of a candidate."""

    label: str
    precision: float | None
    recall: float | None
    support: int


class Variance(Record):
    """Standard deviation of accuracy by source; a source that was not varied is null."""

    test_rows: float | None = None
    draw: float | None = None
    seed: float | None = None
    wording: float | None = None


class Overfit(Record):
    """Accuracy on training rows against accuracy on test rows."""

    train: float | None = None
    test: float | None = None
    gap: float | None = None


class NoisePoint(Record):
    """Accuracy at a rate of label noise added to the pool."""

    rate: float
    accuracy: Interval


class Noise(Record):
    """Sensitivity to added label noise: change of accuracy for each 10 points of it."""

    slope: Interval | None = None
    area: float | None = None
    breakdown: float | None = None
    curve: tuple[NoisePoint, ...] = ()
    kinds: tuple[NoiseKindPoint, ...] = ()


class ViewPoint(Record):
    """One view of the rows: shares of answers unchanged, and unchanged and right, against clean."""

    view: str
    agreement: float
    accuracy: float
    consistent_and_correct: float
    rows: int


class Stability(Record):
    """What happens when the question or the world changes."""

    agreement: float | None = None
    temporal_drop: Interval | None = None
    new_class_recall: float | None = None
    old_class_loss: float | None = None
    origins: tuple[Origin, ...] = ()
    new_class: NewClass | None = None
    views: tuple[ViewPoint, ...] = ()


class CurvePoint(Record):
    """Accuracy at a number of labels."""

    labels: int
    value: float
    low: float | None = None
    high: float | None = None


class Scorecard(Record):
    """What was measured of one candidate."""

    candidate: str
    strategy: str
    family: str
    model: str | None = None
    rows: int = 0
    repetitions: int = 0
    accuracy: Interval | None = None
    macro_f1: Interval | None = None
    per_class: tuple[LabelRecord, ...] = ()
    variance: Variance = Variance()
    churn: float | None = None
    overfit: Overfit = Overfit()
    noise: Noise = Noise()
    stability: Stability = Stability()
    out_of_scope_recall: float | None = None
    format_valid: float | None = None
    calibration_error: float | None = None
    selective: tuple[CoveragePoint, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    cost: Cost = Cost()
    service: Service | None = None
    errors: tuple[str, ...] = ()
