"""Before there is any data: the gains that rows can detect, what to label, and when it pays."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from scipy.special import ndtri

from choose.schema.candidate_scorecard import dollars
from choose.schema.plan import (
    DISCORDANCES,
    TRAINING_SHARE,
    USUAL,
    BeforeData,
    DetectableGains,
    Running,
    Three,
    Wishes,
)
from choose.stats.paired import rows_needed, smallest_detectable_gain
from choose.stats.two_way import independent_rows

POWER = 0.8


def detectable_gains(clusters: Sequence[str], margin: float) -> DetectableGains:
    """Return what rows with these clusters can show; a row that is alone is its own cluster."""
    worth = independent_rows(clusters)
    return DetectableGains(
        rows=len(clusters),
        independent=worth,
        usual=smallest_detectable_gain(worth, USUAL, POWER),
        margin=margin,
        margin_rows=rows_needed(margin, USUAL, POWER) if margin else None,
    )


# Default minutes a label; short texts and few labels take less, contracts far more.
MINUTES = 1.0

# Rows a class to learn from, in the best, the usual and the worst case: a frozen encoder with
# logistic regression got 80 of 100 right among 77 intents with 8 (MTEB, Banking77, all-MiniLM-L6-
# v2); few-shot tuned encoders are called effective from about 20, on the same intents (Loukas et
# al. 2023); a tuned encoder gained 13 points over 8 with 64, on the average of five sets (SetFit).
PER_CLASS = (8, 20, 64)

# Labels of a task of which nothing is said.
CLASSES = 5

# Tokens of a request with a short text, instructions and labels, and of an answer in JSON.
TOKENS, ANSWER_TOKENS = 300, 12

# Seconds in which two cores embed and classify a short text: a frozen encoder took 0.006 to 0.02.
SECONDS = 0.02


def before_data(wishes: Wishes) -> BeforeData:
    """Estimate how many rows to label, for training and for showing a gain.

    Every row is a test row once, predicted by a fit on the other four fifths. So the rows to
    label are the larger of the test rows and 5/4 of the training rows.
    """
    classes = wishes.classes or CLASSES
    test = [rows_needed(wishes.gain, d, POWER) for d in DISCORDANCES]
    training = [each * classes for each in PER_CLASS]
    target = rows_for_target(wishes.target, wishes.gain) if wishes.target is not None else None
    rows = [
        max(asked, target or 0, ceil(learned / TRAINING_SHARE))
        for asked, learned in zip(test, training, strict=True)
    ]
    minutes, rate = wishes.minutes_per_label or MINUTES, wishes.hourly_rate
    usd = None if rate is None else _three([n * minutes / 60 * rate for n in rows])
    learn = None if rate is None else training[1] * minutes / 60 * rate
    return BeforeData(
        wishes=wishes,
        test=_three(test),
        target_rows=target,
        training=_three(training),
        rows=_three(rows),
        minutes_per_label=minutes,
        hours=_three([n * minutes / 60 for n in rows]),
        usd=usd,
        classes=classes,
        training_usd=learn,
        tokens=wishes.tokens or TOKENS,
        running=_running(wishes, learn),
    )


def _running(wishes: Wishes, labels: float | None) -> Running | None:
    """Return what a month of answers costs, where a volume is stated.

    `labels` are the dollars for those that training takes.
    """
    if wishes.volume is None:
        return None
    read, written = (np.array([count]) for count in (wishes.tokens or TOKENS, ANSWER_TOKENS))
    each = None if wishes.prices is None else dollars(wishes.prices, read, None, written)
    api = None if each is None else wishes.volume * float(each[0])
    hours, price = wishes.volume * SECONDS / 3600, wishes.usd_per_hour
    own, months = None if price is None else hours * price, None
    if labels is not None and api is not None and own is not None and api > own:
        months = labels / (api - own)
    return Running(api_usd=api, hours=hours, machine_usd=own, months=months)


def rows_for_target(target: float, gain: float) -> int:
    """Return the rows at which a candidate that truly gets target + gain is shown to reach it.

    A two-sided 5 % test of one share, normal approximation; near 1 the gain is cut to what is left.
    """
    truly = min(target + gain, 1 - (1 - target) / 10)
    z, needed = float(ndtri(0.975)), float(ndtri(POWER))
    root = z * sqrt(target * (1 - target)) + needed * sqrt(truly * (1 - truly))
    return ceil((root / (truly - target)) ** 2)


def _three(values: Sequence[float]) -> Three:
    low, usual, high = values
    return Three(low=low, usual=usual, high=high)
