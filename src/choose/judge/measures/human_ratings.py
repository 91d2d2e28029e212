"""People's ratings of answers: the better candidate by them, and metrics that agree with them.

The difference between two candidates is that of their rated answers, made surer by a metric that
all rows have (PPI++). It is about the fits whose answers were rated: the first repetition. Rows on
which both give the same answer need no rating; they differ by 0. An unusable answer counts as the
worst rating.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

import numpy as np

from choose.files import answer_key
from choose.judge.evidence import Evidence
from choose.judge.scores.score_tables import CLEAN, CandidateScores, StudyScores, scores_in
from choose.judge.stats.paired import holm, paired_difference
from choose.judge.stats.prediction_powered import (
    FEWEST,
    correlation,
    prediction_powered,
    raters_together,
    with_raters,
)
from choose.schema.base import Interval
from choose.schema.text_scores import (
    JUDGE,
    MetricAgreement,
    PeopleRatings,
    RatedPair,
    RatingFigures,
)
from choose.types import Floats

ESTIMAND = "these fits, by people's ratings"

# Fewer rated rows decide nothing: four of four prefer the same side by chance in 1 of 8 cases.
ENOUGH = 10

# The key of an unusable answer.
NO_ANSWER = ""

# By rater.
_Votes = Mapping[str, float]


@dataclass
class _Given:
    """Ratings by row and answer, and preferences by row and both answers."""

    ratings: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    preferences: dict[tuple[str, str, str], dict[str, float]] = field(default_factory=dict)

    @classmethod
    def by(cls, people: PeopleRatings | None) -> _Given:
        """Return what people gave."""
        given = cls()
        for one in people.ratings if people else ():
            given.ratings.setdefault((one.row, one.answer), {})[one.rater] = one.value
        for two in people.preferences if people else ():
            pair = (two.row, two.first, two.second)
            given.preferences.setdefault(pair, {})[two.rater] = two.value
        return given

    @property
    def every(self) -> list[dict[str, float]]:
        """Return what each rater gave, by answer and by pair of answers."""
        return [*self.ratings.values(), *self.preferences.values()]

    @property
    def answers(self) -> set[tuple[str, str]]:
        """Return the answers that were rated or compared, by row."""
        compared = {(row, key) for row, *keys in self.preferences for key in keys}
        return {*self.ratings, *compared} - {(row, NO_ANSWER) for row, _ in compared}

    def rated(self, row: str, answer: str) -> _Votes | None:
        """Return what each rater gave an answer; None for an unusable one, which has the worst."""
        return None if answer == NO_ANSWER else self.ratings.get((row, answer), {})

    def difference(self, row: str, first: str, second: str) -> dict[str, float]:
        """Return by rater how much better the first answer is, from -1 to 1."""
        a, b = self.rated(row, first), self.rated(row, second)
        if a is None or b is None:
            return dict(a or {}) or {who: -value for who, value in (b or {}).items()}
        return {who: a[who] - b[who] for who in a if who in b}

    def preference(self, row: str, first: str, second: str) -> dict[str, float]:
        """Return by rater which answer is better: 1 the first, -1 the second."""
        found = dict(self.preferences.get((row, first, second), {}))
        back = self.preferences.get((row, second, first), {})
        return {**found, **{who: -value for who, value in back.items()}}


def first_answers(candidate: CandidateScores) -> dict[str, str]:
    """Return the digest of a candidate's first answer to each row; empty for an unusable one."""
    return {
        id: NO_ANSWER if output is None else answer_key(id, output)
        for id, output in first_outputs(candidate).items()
    }


def first_outputs(candidate: CandidateScores) -> dict[str, str | None]:
    """Return a candidate's answers to the rows in its first repetition."""
    table = candidate.main
    if table is None:
        return {}
    first = min(table.draws)
    return {
        id: output
        for run in table.runs
        if run.trial.draw == first
        for id, output in zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True)
    }


def rating_figures(
    evidence: Evidence, panel: StudyScores, pick: str, others: Sequence[str]
) -> RatingFigures | None:
    """Return what ratings say of the candidate to use against others; None without any ratings.

    Args:
        evidence: with the ratings.
        panel: the candidates with their scores.
        pick: the candidate to use.
        others: those it is compared with, the deciding one first.
    """
    people, model = evidence.ratings, evidence.model_ratings
    if people is None and model is None:
        return None
    answers = {c.info.name: found for c in panel.scored if (found := first_answers(c))}
    known = {(row, key) for given in answers.values() for row, key in given.items()}
    given = _Given.by(people)
    judged = {(one.row, one.answer): one.value for one in model.ratings} if model else {}
    pairs = [
        both
        for other in others
        if pick in answers and other in answers and other != pick
        if (both := _pair(evidence, panel, (pick, other), given, judged, answers))
    ]
    return RatingFigures(
        scale=people.scale if people else (1.0, 5.0),
        raters=tuple(sorted({who for by in given.every for who in by})),
        answers=len(given.answers),
        unknown=len(given.answers - known),
        same=_same(given),
        means=_means(answers, {key: fmean(by.values()) for key, by in given.ratings.items()}),
        pairs=_adjusted(pairs),
        judge=model.model if model else None,
        judged=_means(answers, judged),
        unusable=model.unusable if model else 0,
    )


def _adjusted(pairs: Sequence[RatedPair]) -> tuple[RatedPair, ...]:
    """Return the pairs with their p-values adjusted together (Holm), where enough rows decide."""
    tested = [pair.p for pair in pairs if pair.rows >= ENOUGH and pair.p is not None]
    adjusted = iter(holm(tested))
    return tuple(
        pair.model_copy(update={"p_holm": next(adjusted) if pair.rows >= ENOUGH else None})
        for pair in pairs
    )


def _same(given: _Given) -> float | None:
    """Return how often two raters give an answer the same rating, or a pair the same preference."""
    alike = [a == b for by in given.every for a, b in combinations(by.values(), 2)]
    return fmean(alike) if alike else None


def _means(
    answers: Mapping[str, Mapping[str, str]], values: Mapping[tuple[str, str], float]
) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for name, by_row in answers.items():
        for key in by_row.items():
            if key in values:
                found[name].append(values[key])
    return {name: fmean(rated) for name, rated in found.items()}


def _pair(
    evidence: Evidence,
    panel: StudyScores,
    names: tuple[str, str],
    given: _Given,
    judged: Mapping[tuple[str, str], float],
    answers: Mapping[str, Mapping[str, str]],
) -> RatedPair | None:
    """Compare two candidates by people, and each metric with them; None with too few ratings."""
    first, second = (answers[name] for name in names)
    common = [row for row in first if row in second]
    differ = [row for row in common if first[row] != second[row]]
    by_row = {row: given.difference(row, first[row], second[row]) for row in differ}
    preferred = not any(by_row.values())
    if preferred:
        by_row = {row: given.preference(row, first[row], second[row]) for row in differ}
    rated = [row for row in differ if by_row[row]]
    if len(rated) < FEWEST:
        return None
    side = _side(panel, rated, differ, by_row, len(common))
    scored = evidence.task.metrics if evidence.task else ()
    metrics = {name: _metric_differences(panel, names, name, side.rows) for name in scored}
    metrics[JUDGE] = _judged_differences(judged, (first, second), side.rows)
    people, together = side.mean(None), raters_together(side.by_rater, side.clusters)
    found = {name: side.agreement(name, values) for name, values in metrics.items() if values}
    decisive = found.get(JUDGE) or next(iter(found.values()), None)  # as `by_people` has it
    return RatedPair(
        a=names[0],
        b=names[1],
        rows=len(rated),
        twice=sum(len(by_row[row]) > 1 for row in rated),
        raters=side.by_rater.shape[1],
        equal=1 - side.share,
        preferred=preferred,
        people=people.interval,
        metrics=tuple(one for one, _ in found.values()),
        together=None if together is None else Interval.of(together),
        p=decisive[1] if decisive else people.p,
    )


class _Mean(NamedTuple):
    """People's difference over all rows, the metric's weight in it, and the effective rows."""

    interval: Interval
    weight: float
    effective: float
    p: float


@dataclass(frozen=True)
class _Side:
    """The rows on which two candidates differ, the rated ones first.

    `share` is theirs of the `common` rows; `clusters` is None where every row is alone.
    """

    rows: tuple[str, ...]
    people: Floats
    by_rater: Floats
    clusters: list[str] | None
    share: float
    common: int

    def mean(self, metric: Mapping[str, float] | None) -> _Mean:
        """Return people's difference over all rows, by their ratings alone or with a metric."""
        n = len(self.people)
        rated, rest, clusters = np.zeros(n), np.zeros(0), self.clusters
        if metric is None:
            clusters = None if clusters is None else clusters[:n]
        else:
            every = np.array([metric[row] for row in self.rows])
            rated, rest = every[:n], every[n:]
        found = prediction_powered(self.people, rated, rest, clusters, power=metric is not None)
        whole = with_raters(found, self.by_rater).in_part(self.share, self.common)
        interval = Interval.of(whole.interval(), ESTIMAND)
        return _Mean(interval, whole.weight, whole.effective, whole.error.p(whole.value))

    def agreement(self, name: str, metric: Mapping[str, float]) -> tuple[MetricAgreement, float]:
        """Compare a metric with people, calibrate it by them, and return that difference's p."""
        n = len(self.people)
        own = np.array([metric[row] for row in self.rows[:n]])
        clusters = self.clusters[:n] if self.clusters else None
        alone = paired_difference(
            np.maximum(own, 0.0), np.maximum(-own, 0.0), clusters, graded=True
        )
        together = correlation(self.people, own, clusters)
        made_surer = self.mean(metric)
        agreement = MetricAgreement(
            metric=name,
            rated=Interval.of(alone, ESTIMAND),
            correlation=None if together is None else Interval.of(together),
            calibrated=made_surer.interval,
            weight=made_surer.weight,
            effective=made_surer.effective,
        )
        return agreement, made_surer.p


def _side(
    panel: StudyScores,
    rated: Sequence[str],
    differ: Sequence[str],
    by_row: Mapping[str, _Votes],
    common: int,
) -> _Side:
    raters = sorted({who for row in rated for who in by_row[row]})
    rows = (*rated, *(row for row in differ if not by_row[row]))
    return _Side(
        rows=rows,
        people=np.array([fmean(by_row[row].values()) for row in rated]),
        by_rater=np.array([[by_row[row].get(who, np.nan) for who in raters] for row in rated]),
        clusters=_clusters(panel, rows),
        share=len(differ) / common,
        common=common,
    )


def _clusters(panel: StudyScores, rows: Sequence[str]) -> list[str] | None:
    clusters = panel.rows.clusters
    return None if clusters is None else [clusters[panel.rows.index[row]] for row in rows]


def _metric_differences(
    panel: StudyScores, names: tuple[str, str], metric: str, rows: Sequence[str]
) -> dict[str, float]:
    first, second = (_scores(panel[name], metric) for name in names)
    return {row: first[row] - second[row] for row in rows}


def _scores(candidate: CandidateScores, metric: str) -> dict[str, float]:
    """Return the stored scores of the first repetition by a metric."""
    table = candidate.main
    assert table is not None
    return {
        id: float(score)
        for run in table.runs
        if run.trial.draw == min(table.draws)
        for id, score in zip(run.asked[CLEAN], scores_in(run, CLEAN, metric), strict=True)
    }


def _judged_differences(
    judged: Mapping[tuple[str, str], float],
    sides: tuple[Mapping[str, str], Mapping[str, str]],
    rows: Sequence[str],
) -> dict[str, float]:
    """Return differences by the model; none if it rated less than half of the rows.

    A row that it did not rate has 0: whatever its score there, calibration makes up for it.
    """
    found = {}
    for row in rows:
        values = [0.0 if side[row] == NO_ANSWER else judged.get((row, side[row])) for side in sides]
        if values[0] is not None and values[1] is not None:
            found[row] = values[0] - values[1]
    return {row: found.get(row, 0.0) for row in rows} if 2 * len(found) >= len(rows) else {}
