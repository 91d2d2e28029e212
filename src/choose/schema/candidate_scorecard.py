"""The scorecard of a candidate, a part of `decision.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from choose.schema.base import Record
from choose.stats import Estimate
from choose.types import Counts, Floats

# Costs are added up over a year of use.
MONTHS = 12


class Cost(Record):
    """What a candidate costs; dollars are null unless the study file prices them.

    Attributes:
        training_usd: one fit on the study's machine.
        total_usd: a fit, and a year of answers at the study's volume.
        index_seconds: of indexing all documents, after each change of them; null where no index
            was timed.
    """

    fit_seconds: float | None = None
    ms_per_item: float | None = None
    tokens_in: float | None = None
    tokens_out: float | None = None
    usd_per_1k: float | None = None
    artefact_mb: float | None = None
    index_seconds: float | None = None
    training_usd: float | None = None
    total_usd: float | None = None


class Payback(Record):
    """A month of answers by an API and by a candidate of this machine, and when labels are paid.

    Attributes:
        api: the best candidate behind an endpoint, or with answers that were bought.
        own: the best candidate that learned from the labels on this machine.
        api_usd: dollars a month; null without a price or a volume.
        own_usd: the same.
        labels: rows that `own` learns from.
        labels_usd: dollars for labelling them; null where they are not priced.
        months: until what a month saves has paid for the labels; null where not known, or never.
        lost: what `own` scores less than `api`, on the rows of both; null where they share none.
    """

    api: str
    own: str
    api_usd: float | None
    own_usd: float | None
    labels: int
    labels_usd: float | None
    months: float | None
    lost: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """Dollars for a million tokens; None is unpriced, and a cached token then costs what others do.

    Attributes:
        usd_per_million_in: for tokens read.
        usd_per_million_cached: for tokens read that were served from a cached prefix.
        usd_per_million_out: for tokens written.
    """

    usd_per_million_in: float | None = None
    usd_per_million_cached: float | None = None
    usd_per_million_out: float | None = None


def dollars(
    prices: TokenPrices, read: Counts | None, cached: Counts | None, written: Counts | None
) -> Floats | None:
    """Return (n,) dollars of n answers; None where a count or a price that is needed is missing.

    Args:
        prices: of the model.
        read: (n,) tokens read, cached ones included.
        cached: (n,) those of them that were cached; None is none.
        written: (n,) tokens written; None is unknown, which is nothing only if nothing was.
    """
    price, output_price = prices.usd_per_million_in, prices.usd_per_million_out
    if read is None or written is None or price is None:
        return None
    if output_price is None and written.any():
        return None
    from_cache = np.zeros(len(read)) if cached is None else cached
    again = prices.usd_per_million_cached
    again = price if again is None else again
    paid = (read - from_cache) * price + from_cache * again + written * (output_price or 0.0)
    return np.asarray(paid / 1e6, dtype=np.float64)


class PartRecord(Record):
    """Precision, recall and support of one label, or one field of records, over all repetitions.

    `support` counts rows of the label, or right values of the field, by repetition.
    """

    name: str
    precision: float | None
    recall: float | None
    support: int


class TextFigures(Record):
    """What is beside the score of answers that are texts; null where it does not exist.

    Attributes:
        metrics: the other metrics of the task, by name.
        micro_f1: of all values or labels of all rows together, for records and sets of labels.
        macro_f1: the mean of the labels' F1, for sets; labels count that are right or given once.
        fields: of records, or the labels of sets; those with most right values first.
    """

    metrics: Mapping[str, Estimate] = {}
    micro_f1: float | None = None
    macro_f1: float | None = None
    fields: tuple[PartRecord, ...] = ()


class GivenAnswer(Record):
    """The answer of a candidate to a row, null where it is unusable; `raw` is what it wrote.

    `raw` is null where that is the answer itself.
    """

    candidate: str
    output: str | None
    score: float
    raw: str | None = None


class ComparedRow(Record):
    """A test row with its right answer and the first answers of some candidates.

    `accepted` are further right answers.
    """

    id: str
    target: str
    answers: tuple[GivenAnswer, ...]
    accepted: tuple[str, ...] = ()


class Service(Record):
    """What was seen of a model behind an endpoint, on the clean rows.

    Attributes:
        behind: the model as the server calls it, and the server.
        latency_p50: seconds from a request to its answer, half of them; waits for one's turn and
            repeated requests left out.
        latency_p95: the same for 95 of 100.
        unusable: share of the rows that got no answer, a part of one, or what is no label.
    """

    behind: str
    latency_p50: float | None = None
    latency_p95: float | None = None
    unusable: float = 0.0


class SourceLoss(Record):
    """What is lost on one source if no training row is from it, after fits on equally many rows.

    The interval of `loss` holds for all sources at once.
    """

    source: str
    rows: int
    loss: Estimate


class NewClassPoint(Record):
    """What `examples` rows of a withheld class do.

    `recall` is of that class, `loss` what accuracy on all other classes loses against none of its
    rows.
    """

    examples: int
    recall: Estimate
    loss: Estimate | None = None


class NewClass(Record):
    """A class withheld from the pool and given back row by row."""

    label: str
    points: tuple[NewClassPoint, ...]


class NoisePoint(Record):
    """What accuracy loses to one rate of wrong labels.

    `loss` is accuracy with clean labels minus `accuracy`, on the same rows.
    """

    rate: float
    accuracy: Estimate
    loss: Estimate


class Variance(Record):
    """Standard deviation of accuracy by source; a source that was not varied is null.

    `wording` is over wordings of the prompt, `settings` over other settings, each with the
    candidate's own.
    """

    test_rows: float | None = None
    draw: float | None = None
    seed: float | None = None
    wording: float | None = None
    settings: float | None = None


class ViewPoint(Record):
    """What one view of the rows, such as typos in their texts, changes.

    Attributes:
        rows: the rows that were perturbed.
        change: accuracy on them minus accuracy on the same rows as they are, by the same fits.
    """

    view: str
    rows: int
    change: Estimate


class Stability(Record):
    """What happens when the question or the world changes.

    `source_loss` is what is lost on a source that no training row is from, over all `sources`, of
    which the worst comes first.
    """

    temporal_drop: Estimate | None = None
    source_loss: Estimate | None = None
    sources: tuple[SourceLoss, ...] = ()
    new_class: NewClass | None = None
    views: tuple[ViewPoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint(Estimate):
    """Accuracy at a number of labels; all points of a curve are on the same rows (`row_set`)."""

    labels: int


class SettingPoint(Record):
    """Another setting of a candidate, against its own setting on the same rows.

    `wording` tells whether it is another wording of the prompt; `change` is the accuracy of this
    setting minus that of the candidate's own.
    """

    setting: str
    wording: bool = False
    change: Estimate
    rows: int


class Failure(Record):
    """One way in which trials of a candidate failed: so many `trials` of all its `planned` ones."""

    trials: int
    planned: int
    error: str


class Beyond(Record):
    """A limit of the study that a candidate breaks: `most` is allowed, and it takes `value`.

    Both are null where the limit is that no other machine serves the model, or that it ends.
    """

    limit: Literal["ms", "usd", "on-premises", "ends"]
    value: float | None = None
    most: float | None = None


class Scorecard(Record):
    """What was measured of one candidate.

    `accuracy` is the mean of the study's metric, `text` what is beside it where answers are
    texts; `macro_f1`, `per_class` and others that need labels are null there.

    Attributes:
        title: the name for readers, such as "words + logistic regression"; empty if it has none.
        rows: that this candidate answered; accuracies are comparable only at equal `rows`.
        learned: training rows that it learned from; null where it learns from none.
        chosen: whether this is the candidate that is recommended, or to use for now.
        difference: accuracy of this candidate minus the chosen one on `common` rows; null for the
            chosen one, and where the two share no row.
        compared: the two scores of that difference, this candidate's and the chosen one's: on the
            common rows, each trained on equally many.
        common: the rows that both answered.
        won: common rows that this candidate answers better than the chosen one; null for that one.
            Of several runs or graded answers these are sums of the differences of mean scores by
            row, rounded: (won - lost) / common is `difference`, to half a row.
        lost: common rows that it answers worse, likewise.
        beyond: the limits of the study that it breaks, for which it is never named.
    """

    candidate: str
    strategy: str
    family: str
    title: str = ""
    model: str | None = None
    chosen: bool = False
    rows: int = 0
    learned: int | None = None
    repetitions: int = 0
    accuracy: Estimate | None = None
    difference: Estimate | None = None
    compared: tuple[float, float] | None = None
    common: int = 0
    won: int | None = None
    lost: int | None = None
    beyond: tuple[Beyond, ...] = ()
    macro_f1: float | None = None
    per_class: tuple[PartRecord, ...] = ()
    variance: Variance = Variance()
    noise: tuple[NoisePoint, ...] = ()
    stability: Stability = Stability()
    format_valid: float | None = None
    text: TextFigures | None = None
    curve: tuple[CurvePoint, ...] = ()
    settings: tuple[SettingPoint, ...] = ()
    cost: Cost = Cost()
    service: Service | None = None
    errors: tuple[Failure, ...] = ()
