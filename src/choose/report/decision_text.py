"""Sentences and rows that every form of a report shares: the verdict, the data, errors, labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from choose.formatting import (
    chance,
    clean,
    per_100,
    percent,
    plural,
    points,
    size_in_points,
    span,
)
from choose.report.score_words import AGREEMENT, Words, is_share, noun_of, scored, words_of
from choose.report.screen_text import shorten
from choose.schema.base import ABOUT, Interval
from choose.schema.decision import DatasetRecord, Decision, Note
from choose.schema.diagnosis import Audit, LabelOverlap
from choose.schema.scorecard import Needed

DIVISIONS = {
    "cross-fit": "compare predicts each row with a model that was not trained on it",
    "held-out": "compare trains on one part of the rows and tests on the other",
}

LIMITS = (
    "No label was changed: only a person can tell a wrong label from a hard row. Languages are "
    "guessed from scripts and common words; names and postal addresses are not searched for."
)

# What an interval covers, by its estimand.
COVERS = {
    "this artefact": "the choice of test rows, not retraining",
    "retraining on this pool": "the choice of test rows and retraining on the same training pool",
}
COVERS_BOTH = "the choice of test rows, and after several runs retraining on the same training pool"


# In place of a text.
PERSONAL = "(not shown: it may hold personal data)"

OVERLAPS = 3

LABEL_WIDTH = 28


def quantity(facts: Mapping[str, Any], key: str) -> float | None:
    """Return a number from a mapping without a schema, or None."""
    value = facts.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def score_noun(goal: Mapping[str, Any]) -> str:
    """Return what a score of a study is a percentage of: ``right``, ``mean recall``."""
    if teacher := goal.get("agreement"):
        return f"{AGREEMENT} {clean(teacher)}"
    return noun_of((goal.get("measure") or {}).get("metric", "accuracy"))


def score_head(goal: Mapping[str, Any]) -> str:
    """Return the head of a column of scores: ``% right``, or ``100 x chrF``."""
    noun = score_noun(goal)
    return f"% {noun}" if is_share(noun) else f"100 x {clean(noun)}"


def found_head(decision: Decision) -> str:
    """Return the head of a column on rows of a new label, or on rows that fill a new field."""
    return "% found" if decision.dataset.labels else score_head(decision.goal)


def others_named(decision: Decision) -> str:
    """Return what rows without a new label, or without a new field, are called."""
    return "the other labels" if decision.dataset.labels else "rows without it"


def words_in(decision: Decision) -> Words:
    """Return the words for answers that are labels, or texts."""
    metric = (decision.goal.get("measure") or {}).get("metric", "accuracy")
    words = words_of(decision.dataset.labels, metric)
    if decision.goal.get("agreement"):
        words = replace(words, score=score_noun(decision.goal))
    return replace(words, local=bool(decision.goal.get("on_premises")))


def goal_line(goal: Mapping[str, Any]) -> str:
    """Return the target and the margin of a study; empty without either."""
    parts = []
    if (target := quantity(goal, "target")) is not None:
        noun = score_noun(goal)
        least = f"{per_100(target)} % {noun}" if is_share(noun) else scored(target, noun)
        parts.append(f"at least {least}")
    if (margin := quantity(goal, "margin")) is not None:
        parts.append(f"smallest gain that matters: {points(margin)}{_priced(goal)}")
    return "; ".join(parts)


def _priced(goal: Mapping[str, Any]) -> str:
    if goal.get("margin_from") != "derived":
        return ""
    return ", and for a more expensive candidate the gain that covers its price"


def division_line(data: DatasetRecord) -> str:
    """Return the number of test rows, and how they were separated from training rows."""
    tested = plural(data.test_rows, "test row")
    if data.division == "cross-fit":
        how = "each predicted by a model that was not trained on it (cross-fit)"
    else:
        how = f"none of them used for training ({clean(data.division)})"
    return f"{tested}, {how}{pool_note(data)}"


def pool_note(data: DatasetRecord) -> str:
    """Say how much of its pool a study trained on, to be added to a sentence; empty for all."""
    if data.learnt is None or data.pool is None or data.learnt >= data.pool:
        return ""
    what = "labels" if data.labels else "rows"
    return f"; trained on {data.learnt:,} of the {data.pool:,} {what} of the training pool"


def looks_line(decision: Decision) -> str:
    """Say how often these test rows were judged, and what follows from several times."""
    if decision.looks <= 1:
        return "These test rows have been judged once."
    return (
        f"These test rows have been judged {decision.looks} times with different settings or "
        "goals. Each additional look makes a winner by chance more likely."
    )


def coverage_line(decision: Decision) -> str:
    """Say what the intervals of the scorecards cover; empty where there are none."""
    return covered_by(card.accuracy for card in decision.scorecards)


def covered_by(intervals: Iterable[Interval | None]) -> str:
    """Say what these intervals cover; empty where no estimand is known."""
    estimands = {
        clean(interval.estimand) for interval in intervals if interval and interval.estimand
    }
    about = next((a for a in ABOUT.values() if all(e.endswith(f"; {a}") for e in estimands)), "")
    covered = {estimand.removesuffix(f"; {about}") for estimand in estimands}
    parts = sorted(COVERS.get(estimand, estimand) for estimand in covered)
    said = COVERS_BOTH if covered == COVERS.keys() else "; ".join(parts)
    figures = f"Figures are about {about}. " if about else ""
    return f"{figures}Intervals cover {said}." if parts else ""


def noted(note: Note) -> str:
    """Return a note, with the number of training runs that made it where there are several."""
    return note.text if note.fits == 1 else f"{note.text} ({plural(note.fits, 'fit')})"


def fit_notes(decision: Decision) -> tuple[str, ...]:
    """Return what fits noted, with the candidate."""
    notes = decision.method.notes if decision.method else ()
    return tuple(f"{note.candidate}: {noted(note)}" for note in notes)


def with_span(interval: Interval) -> str:
    """Return a share in percent with its interval: ``82.0 % (79.1 to 84.9)``."""
    return f"{percent(interval.value)} % ({span(interval)})"


def forecast_lines(decision: Decision) -> Iterator[str]:
    """Yield how many labels each candidate needs, where a learning curve tells."""
    for forecast in decision.forecasts:
        if parts := [_needed(one) for one in (forecast.target, forecast.margin) if one]:
            yield f"{clean(forecast.candidate)}: {'; '.join(parts)}."


def _needed(needed: Needed) -> str:
    what = f"{per_100(needed.accuracy)} %" if needed.accuracy is not None else ""
    what = what or f"a gain of {points(needed.gain or 0.0)}"
    sure = f"{chance(needed.probability)} probability"
    if needed.labels is None:
        return f"{what} not within {needed.within:,} ({sure} that it is)"
    return f"{what} from about {needed.labels.value:,.0f} ({sure} within {needed.within:,})"


def label_sentences(audit: Audit) -> Iterator[str]:
    """Yield the findings of the label audit, a sentence each."""
    if audit.noise is not None and audit.ceiling is not None:
        noise = audit.noise
        yield (
            f"Between {per_100(noise.low)} % and {per_100(noise.high)} % of the labels may be "
            f"wrong. (Confident learning estimates {per_100(noise.confident_learning)} %, but "
            "counts the auditing model's own mistakes.) On labels like these, perfect answers "
            f"would score {span(audit.ceiling)} %. The low end takes wrong labels to be at least "
            "as frequent on hard rows as on easy ones; the high end misses those that follow a "
            "rule which the auditor learned."
        )
    if audit.gain is not None:
        gain = audit.gain
        yield (
            f"Correcting the {plural(gain.rows, 'most doubted row')} would add about "
            f"{size_in_points(gain.gain)} to the accuracy of {gain.candidate}."
        )
    yield from map(_label_overlap, audit.overlaps[:OVERLAPS])


def _label_overlap(pair: LabelOverlap) -> str:
    names = f"{shorten(clean(pair.a), LABEL_WIDTH)} and {shorten(clean(pair.b), LABEL_WIDTH)}"
    return f"{names} are confused: {plural(pair.doubted, 'doubted row')} of {pair.rows:,}."


def suspects_note(audit: Audit) -> str:
    """Say how the doubted labels were selected."""
    accuracy = f" ({percent(audit.accuracy.value)} % accurate)" if audit.accuracy else ""
    first = f"; check these {audit.suspected:,} first" if audit.suspected else ""
    return (
        f"The cross-validated answers of {' + '.join(audit.auditors)}{accuracy} disagree with "
        f"{plural(audit.contradicted, 'label')}{first}."
    )
