"""Records of costs: what each candidate costs, and when a costlier one pays off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from choose.schema.base import Interval, Record
from choose.types import Counts, Floats

# Costs are added up over a year of use.
MONTHS = 12


class Cost(Record):
    """What a candidate costs; dollars are null unless the study file prices them.

    Attributes:
        labelling_hours: hours that the labels it learns from take; they are paid for.
        training_usd: one fit on the study's machine.
        total_usd: a fit, and a year of answers at the study's volume.
        base_mb: size of the base model that its artefact needs as well.
        index_seconds: of indexing all documents, after each change of them; null where no index
            was timed.
        missing: what the study file lacks for a total.
    """

    fit_seconds: float | None = None
    ms_per_item: float | None = None
    tokens_in: float | None = None
    tokens_cached: float | None = None
    tokens_out: float | None = None
    usd_per_1k: float | None = None
    artefact_mb: float | None = None
    base_mb: float | None = None
    index_seconds: float | None = None
    labelling_hours: float | None = None
    training_usd: float | None = None
    total_usd: float | None = None
    missing: tuple[str, ...] = ()


class Requests(Record):
    """A number of answers; an end is null where no number is large enough."""

    value: float | None
    low: float | None
    high: float | None


class Breakeven(Record):
    """From how many answers on the candidate that costs more to train pays for itself.

    Attributes:
        a: the candidate that costs more to train.
        b: the other one.
        expected: answers in a year.
        extra_usd: what `a` costs more to train.
        saves_per_1k: dollars that 1,000 answers of `a` cost less; negative where they cost more.
        gain: accuracy of a minus accuracy of b.
        requests: answers from which on `a` pays; 0 where it costs nothing more to train.
        requests_per_month: the same by month of a year.
        probability: that `a` pays within a year.
        net_usd: what `a` brings more than `b` in a year.
    """

    a: str
    b: str
    expected: float
    extra_usd: float
    saves_per_1k: Interval
    gain: Interval
    requests: Requests
    requests_per_month: Requests
    probability: float
    net_usd: Interval


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
        missing: what would make dollars a month known: ``volume``, ``usd_per_million`` of the API,
            ``usd_per_hour`` of the machine.
    """

    api: str
    own: str
    api_usd: float | None
    own_usd: float | None
    labels: int
    labels_usd: float | None
    months: float | None
    missing: tuple[str, ...] = ()


_MILLION = 1e6


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
    input_price, cached_price, output_price = (
        prices.usd_per_million_in,
        prices.usd_per_million_cached,
        prices.usd_per_million_out,
    )
    if read is None or written is None or input_price is None:
        return None
    if output_price is None and written.any():
        return None
    from_cache = np.zeros(len(read)) if cached is None else cached
    cached_price = input_price if cached_price is None else cached_price
    paid = (
        (read - from_cache) * input_price
        + from_cache * cached_price
        + written * (output_price or 0.0)
    )
    return np.asarray(paid / _MILLION, dtype=np.float64)
