"""What documents that change cost each month: an index after every change, answers that are stale.

The share of documents that change is the study file's, or what their dates tell at least: a date is
that of the last change, so that earlier ones are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from choose.corpus import UPDATED
from choose.judge.evidence import Evidence, HasDocuments
from choose.judge.goal import DAYS, Rule
from choose.schema.reading import Churn, ChurnCost, DocumentDrill, DrillOutcome

# Months before the newest date that count; at least so many documents must have dates, and half.
MONTHS, FEWEST = 12.0, 8

# An index is made anew once a day at most.
MOST_INDEXES = DAYS

_SECONDS_OF_A_MONTH = DAYS * 24 * 3600


def document_churn(evidence: Evidence, drills: Sequence[DocumentDrill], rule: Rule) -> Churn | None:
    """Return what changes of documents cost; None where none are known, or nothing was asked."""
    corpus = evidence.task.corpus if isinstance(evidence.task, HasDocuments) else None
    drill = next((drill for drill in drills if drill.kind == UPDATED), None)
    if corpus is None or drill is None:
        return None
    stated = rule.deployment.documents_changed_per_month
    share = monthly_share([d.timestamp for d in corpus.documents]) if stated is None else stated
    if not share:
        return None
    indexes = min(share * len(corpus), MOST_INDEXES)
    return Churn(
        share=share,
        stated=stated is not None,
        documents=len(corpus),
        costs=tuple(_cost(outcome, share, indexes, rule) for outcome in drill.outcomes),
    )


def _cost(outcome: DrillOutcome, share: float, indexes: float, rule: Rule) -> ChurnCost:
    assert outcome.updated is not None
    price, seconds = rule.usd_per_machine_hour, outcome.seconds if outcome.reads else None
    usd = None if price is None or seconds is None else indexes * seconds * price / 3600
    return ChurnCost(
        candidate=outcome.candidate,
        reads=outcome.reads,
        loss=share * (outcome.clean.value - outcome.updated.value),
        index_usd=usd,
    )


def monthly_share(times: Sequence[datetime | None]) -> float | None:
    """Return the share of documents that change in a month, at least, by the dates of all of them.

    It is that of the last 12 months before the newest date, or of the time that dates span. None
    with few dates, or within a month.
    """
    dated = [time.timestamp() for time in times if time is not None]
    if len(dated) < max(FEWEST, len(times) / 2):
        return None
    newest = max(dated)
    months = min(MONTHS, (newest - min(dated)) / _SECONDS_OF_A_MONTH)
    if months < 1:
        return None
    recent = sum(time > newest - months * _SECONDS_OF_A_MONTH for time in dated)
    return recent / len(times) / months
