"""The change of a candidate's accuracy between two studies, on the test rows of both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from choose.judge.evidence import GIVEN
from choose.judge.scores.paired_comparison import ASSUMED_SD
from choose.judge.scores.score_tables import CandidateScores, ScoreTable, StudyScores
from choose.schema.decision import Shift
from choose.stats import Estimate
from choose.stats.paired import Difference, aligned, holm, paired_difference
from choose.stats.two_way import Mask, answered, row_means
from choose.types import Codes, Floats


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two studies and the numbers of their common rows, aligned: row `before[i]` is `after[i]`."""

    first: StudyScores
    second: StudyScores
    before: Codes
    after: Codes

    @property
    def clusters(self) -> list[str] | None:
        """Return the clusters of the common rows, from the second study if it has them."""
        for scores, rows in ((self.second, self.after), (self.first, self.before)):
            if scores.rows.clusters is not None:
                return [scores.rows.clusters[i] for i in rows.tolist()]
        return None


def shifts(meeting: Meeting, named: Sequence[tuple[str, str]]) -> tuple[Shift, ...]:
    """Compare pairs of candidates (first study, second study) that answered some common row.

    The p-values of all compared pairs are corrected together (Holm).
    """
    pairs = (_shift(meeting, meeting.first[old], meeting.second[new]) for old, new in named)
    measured = [shift for shift in pairs if shift is not None]
    tested = [shift.p for shift in measured if shift.p is not None]
    corrected = iter(holm(tested))
    return tuple(
        shift if shift.p is None else shift.model_copy(update={"p_holm": next(corrected)})
        for shift in measured
    )


def _shift(meeting: Meeting, old: CandidateScores, new: CandidateScores) -> Shift | None:
    if old.main is None or new.main is None:
        return None
    y, x = old.main.right[meeting.before], new.main.right[meeting.after]
    both = answered(x) & answered(y)
    if not both.any():
        return None
    name, later = old.info.name, new.info.name
    if _same(meeting, old.main, new.main):  # nothing is estimated
        weights = None if (all_of := _weights(meeting, both)) is None else all_of[both]
        value = float(np.average(row_means(x)[both], weights=weights))
        none = Estimate(value=0.0, low=0.0, high=0.0, estimand="same-fits")
        scores = {"accuracy_before": value, "accuracy_after": value}
        return Shift(
            before=name, after=later, difference=none, p=None, rows=int(both.sum()), **scores
        )
    gap = _difference(meeting, old, new, refitted=_fits(old.main) != _fits(new.main))
    now, was = gap.scores
    return Shift(
        before=name,
        after=later,
        accuracy_before=was,
        accuracy_after=now,
        difference=gap.estimate(),
        p=gap.p,
        rows=gap.rows,
    )


def _difference(
    meeting: Meeting, old: CandidateScores, new: CandidateScores, *, refitted: bool
) -> Difference:
    """Return the difference with what its interval is about."""
    assert old.main is not None
    assert new.main is not None
    x, y = new.main.right[meeting.after], old.main.right[meeting.before]
    alone = sum(side.repeats and side.repetitions < 2 for side in (old, new)) if refitted else 0
    gap = paired_difference(
        x,
        y,
        meeting.clusters,
        _weights(meeting, aligned(x, y)[2]),
        assumed=ASSUMED_SD**2 * alone,
        expected=ASSUMED_SD**2,
        graded=meeting.second.rows.graded,
    )
    again = "new-pools-in-either" if old.drawn or new.drawn else "refits-in-either"
    about = again if max(gap.repetitions) > 1 else "fits"
    return replace(gap, estimand=f"{again}:{ASSUMED_SD}" if alone else about)


def _weights(meeting: Meeting, complete: Mask) -> Floats | None:
    """Return (common rows,) the weights of the complete rows in the second study, or None."""
    there = np.zeros(len(meeting.second.rows.targets), dtype=np.bool_)
    there[meeting.after[complete]] = True
    own = meeting.second.rows.weights_on(there)
    return None if own is None else own[meeting.after]


def _same(meeting: Meeting, old: ScoreTable, new: ScoreTable) -> bool:
    """Return whether the same fits gave the same answers to the same rows."""
    x, y = (t.outputs if t.rows.labels else t.right for t in (old, new))
    x, y = x[meeting.before], y[meeting.after]
    # Codes follow the order of the labels, which must therefore be the same too.
    if old.rows.labels != new.rows.labels or _fits(old) != _fits(new) or x.shape != y.shape:
        return False
    return bool(np.array_equal(x, y, equal_nan=True))


def _fits(table: ScoreTable) -> frozenset[str]:
    """Return the keys of the fits; answers that exist come of none, in whatever folds."""
    return frozenset(run.trial.key for run in table.runs if run.trial.strategy != GIVEN)
