"""The change of a candidate's accuracy between two studies, on the test rows of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from choose.formatting import in_percent, in_points, plural, points
from choose.judge.decision.contenders import relation
from choose.judge.scores.paired_comparison import ASSUMED_SD, estimand_fitted_once
from choose.judge.scores.score_tables import CandidateScores, ScoreTable, StudyScores
from choose.judge.stats.metrics import Codes
from choose.judge.stats.paired import Difference, aligned, holm, paired_difference
from choose.judge.stats.two_way import Mask, answered, row_means
from choose.schema.base import Interval
from choose.schema.decision import Decision
from choose.schema.score_names import amount, is_share, noun_of
from choose.schema.study_changes import Change, Shift
from choose.types import Floats

SAME = "the very same fits"
ROWS = "rows like the common ones"


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two panels and the numbers of their common rows, aligned: row `before[i]` is `after[i]`."""

    first: StudyScores
    second: StudyScores
    before: Codes
    after: Codes

    @property
    def clusters(self) -> list[str] | None:
        """Return the clusters of the common rows, from the second study if it has them."""
        for panel, rows in ((self.second, self.after), (self.first, self.before)):
            if panel.rows.clusters is not None:
                return [panel.rows.clusters[i] for i in rows.tolist()]
        return None


def shifts(
    meeting: Meeting, named: Sequence[tuple[str, str]], margin: float
) -> tuple[tuple[Shift, ...], tuple[str, ...]]:
    """Compare pairs of candidates (first study, second study); list the pairs without a result.

    The p-values of all compared pairs are corrected together (Holm).
    """
    measured, missing = [], []
    for old, new in named:
        shift = _shift(meeting, meeting.first[old], meeting.second[new], margin)
        if shift is None:
            missing.append(f"{new}: no common row was answered in both studies.")
        else:
            measured.append(shift)
    tested = [shift.p for shift in measured if shift.p is not None]
    corrected = iter(holm(tested))
    return tuple(
        shift if shift.p is None else shift.model_copy(update={"p_holm": next(corrected)})
        for shift in measured
    ), tuple(missing)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Mean scores on the rows compared; no difference where nothing had to be estimated.

    `alone` counts the sides that were fitted once though another fit could answer differently.
    """

    before: float
    after: float
    rows: int
    difference: Difference | None = None
    alone: int = 0


def _shift(
    meeting: Meeting, old: CandidateScores, new: CandidateScores, margin: float
) -> Shift | None:
    if old.main is None or new.main is None:
        return None
    y, x = old.main.right[meeting.before], new.main.right[meeting.after]
    both = answered(x) & answered(y)
    if not both.any():
        return None
    if _same(meeting, old.main, new.main):
        scores = row_means(x)[both]
        value = float(np.average(scores, weights=_part(_weights(meeting, both), both)))
        return _record(old, new, _Comparison(value, value, int(both.sum())), margin)
    refitted = _fits(old.main) != _fits(new.main)
    alone = sum(side.repeats and side.repetitions < 2 for side in (old, new)) if refitted else 0
    after, before, complete, _ = aligned(x, y)
    weights = _weights(meeting, complete)
    difference = paired_difference(
        x,
        y,
        meeting.clusters,
        weights,
        assumed=ASSUMED_SD**2 * alone,
        expected=ASSUMED_SD**2,
        graded=meeting.second.rows.graded,
    )
    own = _part(weights, complete)
    means = tuple(float(np.average(side.mean(axis=1), weights=own)) for side in (before, after))
    return _record(
        old, new, _Comparison(means[0], means[1], difference.rows, difference, alone), margin
    )


def _weights(meeting: Meeting, complete: Mask) -> Floats | None:
    """Return (common rows,) the weights of the complete rows in the second study, or None."""
    there = np.zeros(len(meeting.second.rows.targets), dtype=np.bool_)
    there[meeting.after[complete]] = True
    own = meeting.second.rows.weights_on(there)
    return None if own is None else own[meeting.after]


def _part(weights: Floats | None, complete: Mask) -> Floats | None:
    return None if weights is None else weights[complete]


def _record(
    old: CandidateScores, new: CandidateScores, paired: _Comparison, margin: float
) -> Shift:
    gap = paired.difference
    interval = Interval(value=0.0, low=0.0, high=0.0, estimand=SAME)
    if gap is not None:
        about = f"{_about(old, new, gap, paired.alone)}, {ROWS}"
        interval = Interval.of(gap, about)
    return Shift(
        before=old.info.name,
        after=new.info.name,
        accuracy_before=paired.before,
        accuracy_after=paired.after,
        difference=interval,
        p=gap.p if gap else None,
        method=gap.method if gap else SAME,
        rows=paired.rows,
        repetitions=gap.repetitions if gap else (old.repetitions, new.repetitions),
        same_fits=gap is None,
        shown=relation(gap, margin) if gap else "equivalent",
    )


def _about(old: CandidateScores, new: CandidateScores, difference: Difference, alone: int) -> str:
    """Return what varies in the estimand apart from the rows."""
    drawn = old.drawn or new.drawn
    again = "a new pool in either study" if drawn else "retraining in either study"
    if alone:
        return estimand_fitted_once(again)
    return again if max(difference.repetitions) > 1 else "the two fits as they are"


def _same(meeting: Meeting, old: ScoreTable, new: ScoreTable) -> bool:
    """Return whether the same fits gave the same answers to the same rows."""
    x, y = (t.outputs if t.rows.labels else t.right for t in (old, new))
    x, y = x[meeting.before], y[meeting.after]
    # Codes follow the order of the labels, which must therefore be the same too.
    if old.rows.labels != new.rows.labels or _fits(old) != _fits(new) or x.shape != y.shape:
        return False
    return bool(np.array_equal(x, y, equal_nan=True))


def _fits(table: ScoreTable) -> frozenset[str]:
    return frozenset(run.trial.key for run in table.runs)


def same_verdict(before: Decision, after: Decision) -> bool:
    """Return whether both say the same of the same candidate."""
    a, b = before.verdict, after.verdict
    return (a.kind, a.recommended, a.use_meanwhile) == (b.kind, b.recommended, b.use_meanwhile)


def why(
    before: Decision, after: Decision, shifts: Sequence[Shift], changes: Sequence[Change]
) -> tuple[str, ...]:
    """Return what moved the verdict, or what did not move it."""
    return (
        *_chances(before, after),
        *_rule(before, after),
        *_field(before, after),
        *_picks(before, after, shifts),
        *_gates(before, after),
        *_rest(before, after, shifts, changes),
    )


def moved(shift: Shift, noun: str) -> str:
    """Return ``probe went from 70 % to 77 % right: +7.0 points (+2.0 to +12.0)``.

    `noun` is what a score is a percentage of, or the metric's name.
    """
    same = shift.before == shift.after
    name = shift.after if same else f"the pick ({shift.before} before, {shift.after} now)"
    shares = (shift.accuracy_before, shift.accuracy_after)
    start = f"{name} went from {' to '.join(amount(share, noun) for share in shares)}"
    gap = shift.difference
    if shift.same_fits:
        return f"{name} is unchanged at {amount(shift.accuracy_after, noun)}: the very same fits"
    what = f" {noun}" if is_share(noun) else ""
    return f"{start}{what}: {in_points(gap)}"


def metric_of(decision: Decision) -> str:
    """Return the metric of a study."""
    return str(decision.goal["measure"]["metric"])


# A chance that changes by less is not told.
TOLD = 0.05


def _chances(before: Decision, after: Decision) -> Iterator[str]:
    was, now = before.chance, after.chance
    if was is not None and now is not None and abs(was - now) >= TOLD:
        told = f"was {in_percent(was)} and is {in_percent(now)}"
        yield f"The chance that the choice is right {told}."


def _rule(before: Decision, after: Decision) -> Iterator[str]:
    if before.rule != after.rule:
        yield f"The decision rule was version {before.rule} and is version {after.rule}."
    counted = [side.goal["measure"] for side in (before, after)]
    if counted[0] != counted[1]:
        was, now = (measure["metric"] for measure in counted)
        other = " at other costs" if was == now else ""
        yield (
            f"“Right” was counted by {was} and is counted by {now}{other}; figures here are by "
            f"{now}."
        )
    for key, name in (("target", "The target"), ("margin", "The smallest gain that matters")):
        old, new = before.goal.get(key), after.goal.get(key)
        if old != new:
            yield f"{name} was {_share(old)} and is {_share(new)}."


def _share(value: object) -> str:
    return points(value) if isinstance(value, float) else "not set"


def _field(before: Decision, after: Decision) -> Iterator[str]:
    for first, second, there in ((after, before, "first"), (before, after, "second")):
        pick = first.verdict.recommended or first.verdict.use_meanwhile
        if pick not in {c.candidate for c in second.scorecards if c.accuracy}:
            yield f"{pick} was not measured in the {there} study."


def _picks(before: Decision, after: Decision, shifts: Sequence[Shift]) -> Iterator[str]:
    picks = {d.verdict.recommended or d.verdict.use_meanwhile for d in (before, after)}
    for shift in shifts:
        if {shift.before, shift.after} <= picks:
            noun = noun_of(metric_of(after))
            yield f"On the {plural(shift.rows, 'common row')} {moved(shift, noun)}."


def _gates(before: Decision, after: Decision) -> Iterator[str]:
    old = {gate.name: gate.status for gate in before.gates}
    for gate in after.gates:
        if gate.name in old and old[gate.name] != gate.status:
            yield f"The check “{gate.name}” was {old[gate.name]}, is {gate.status}."


def _rest(
    before: Decision, after: Decision, shifts: Sequence[Shift], changes: Sequence[Change]
) -> Iterator[str]:
    if same_verdict(before, after) or any(shift.significant for shift in shifts):
        return
    listed = f" ({plural(len(changes), 'entry')})".replace("entrys", "entries") if changes else ""
    yield (
        "No candidate is shown to have changed on the common rows: the verdict moved with other "
        f"rows, other candidates, chance, or what differs between the studies{listed}."
    )
