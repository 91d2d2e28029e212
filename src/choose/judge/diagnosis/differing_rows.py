"""Rows that candidates get wrong together, and rows on which the named one and others differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from choose.judge.decision.candidates import Candidates
from choose.judge.evidence import Evidence
from choose.judge.scores.score_tables import ARTEFACT, MISSING, CandidateScores
from choose.schema.candidate_scorecard import ComparedRow, GivenAnswer, Scorecard
from choose.schema.diagnosis import Confusion, Doubtful, ErrorOverlap
from choose.stats.intervals import two_way_interval
from choose.stats.two_way import Mask, row_means
from choose.tasks.ranking import Ranking
from choose.types import CLEAN, Codes, Floats

# Doubtful rows that the record lists; `wrong_in_all` counts them all.
LISTED = 200

# Differences of scores below this are none.
EQUAL = 1e-9

# Candidates that answered a smaller share of the rows would leave too few in common.
ANSWERED = 0.5


class _Common(NamedTuple):
    """Candidates on the rows that all of them answered: `right` is (candidates, rows)."""

    among: tuple[CandidateScores, ...]
    complete: Mask
    right: Mask

    @property
    def wrong_in_all(self) -> Mask:
        return np.asarray(~self.right.any(axis=0), dtype=np.bool_)


def overlap_of(candidates: Candidates) -> ErrorOverlap | None:
    """Return how errors overlap on common rows.

    None with fewer than two candidates, and where answers are no labels, so that few are equal.
    """
    common = _common(candidates) if candidates.scores.rows.labels else None
    if common is None:
        return None
    rows, right_in_any = candidates.scores.rows, (~common.wrong_in_all).astype(np.float64)
    reached = two_way_interval(right_in_any, rows.clusters_of(common.complete))
    return ErrorOverlap(
        candidates=tuple(c.info.name for c in common.among),
        rows=int(common.complete.sum()),
        wrong_in_all=int(common.wrong_in_all.sum()),
        doubtful=_doubtful(candidates, common),
        oracle=replace(reached, estimand=ARTEFACT, row_set=rows.row_set(common.complete)),
    )


def _common(candidates: Candidates) -> _Common | None:
    # Those that do anything but give every row the same answer.
    given = ((c, c.main.outputs) for c in candidates.order if c.main is not None)
    readers = [c for c, outputs in given if len(np.unique(outputs[outputs >= 0])) > 1]
    among = tuple(c for c in readers if np.isnan(_row_scores(c)).mean() <= 1 - ANSWERED)
    if len(among) < 2:
        return None
    scores = np.stack([_row_scores(c) for c in among])
    answered = np.asarray(~np.isnan(scores).any(axis=0), dtype=np.bool_)
    return _Common(among, answered, scores[:, answered] >= 0.5) if answered.any() else None


def _row_scores(candidate: CandidateScores) -> Floats:
    assert candidate.main is not None
    table = candidate.main
    exact = table.outputs == table.rows.targets[:, None]
    return row_means(np.where(table.outputs == MISSING, np.nan, exact.astype(np.float64)))


def _doubtful(candidates: Candidates, common: _Common) -> tuple[Doubtful, ...]:
    rows, place = candidates.scores.rows, np.flatnonzero(common.complete)[common.wrong_in_all]
    ids, targets = list(rows.index), rows.targets[place]
    votes = np.zeros((len(place), len(rows.labels)), dtype=np.int64)
    for candidate in common.among:
        assert candidate.main is not None
        answers = first_answers(candidate.main.outputs[place])
        usable = np.flatnonzero(answers >= 0)
        votes[usable, answers[usable]] += 1
    agree = votes.max(axis=1, initial=0)
    return tuple(
        Doubtful(
            id=ids[place[i]],
            label=rows.labels[targets[i]],
            instead=rows.labels[votes[i].argmax()] if agree[i] else None,
            agree=int(agree[i]),
        )
        for i in np.argsort(-agree, kind="stable")[:LISTED].tolist()
    )


def first_answers(outputs: Codes) -> Codes:
    first = (outputs != MISSING).argmax(axis=1)
    return np.asarray(outputs[np.arange(len(outputs)), first], dtype=np.int64)


def confusion_of(candidates: Candidates, name: str) -> tuple[Confusion, ...]:
    """Return how many rows of each label got which answer of a candidate; none without labels."""
    rows, table = candidates.scores.rows, candidates.scores[name].main
    if not rows.labels or table is None:
        return ()
    names = dict(enumerate(rows.labels))
    answers = first_answers(table.outputs)
    asked = answers != MISSING
    counts = Counter(zip(rows.targets[asked].tolist(), answers[asked].tolist(), strict=True))
    return tuple(
        Confusion(label=names[label], answer=names.get(answer), rows=counts[label, answer])
        for label, answer in sorted(counts, key=lambda pair: (pair[0], -counts[pair], pair[1]))
    )


# Rows side by side that the record lists.
MOST_ROWS = 30

# Candidates beside each other, and characters of an answer in the record.
MOST_CANDIDATES, MOST_CHARACTERS = 4, 2_000

# Further right answers of a row that the record lists.
MOST_ACCEPTED = 5


def side_by_side(
    evidence: Evidence, candidates: Candidates, cards: Sequence[Scorecard]
) -> tuple[ComparedRow, ...]:
    """Return test rows on which the named candidate and its nearest rivals differ.

    The largest differences to the nearest rival come first, those for and those against the
    named one in turn.
    """
    ids, names = list(candidates.scores.rows.index), _beside(candidates, cards)
    task, right = evidence.task, evidence.targets

    def shown(text: str, target: str) -> str:
        return (task.shown(text, target) if isinstance(task, Ranking) else text)[:MOST_CHARACTERS]

    return tuple(
        ComparedRow(
            id=ids[place],
            target=shown(right[ids[place]], right[ids[place]]),
            accepted=tuple(
                text[:MOST_CHARACTERS]
                for text in evidence.items.accepted.get(ids[place], ())[:MOST_ACCEPTED]
            ),
            answers=tuple(
                given.model_copy(
                    update={"output": given.output and shown(given.output, right[ids[place]])}
                )
                for name in names
                if (given := given_answer(candidates.scores[name], ids[place]))
            ),
        )
        for place in _scored_apart(candidates, names)[:MOST_ROWS]
    )


def _scored_apart(candidates: Candidates, names: Sequence[str]) -> list[int]:
    """Return the places of rows on which the first two candidates score differently."""
    tables = [candidates.scores[name].main for name in names]
    if len(tables) < 2 or any(table is None for table in tables):
        return []
    ours, theirs = (row_means(table.right) for table in tables[:2] if table)
    ahead = np.nan_to_num(ours - theirs)
    for_it, against = np.argsort(-ahead, kind="stable"), np.argsort(ahead, kind="stable")
    sides = for_it[ahead[for_it] > EQUAL].tolist(), against[ahead[against] < -EQUAL].tolist()
    return [place for pair in zip_longest(*sides) for place in pair if place is not None]


def _beside(candidates: Candidates, cards: Sequence[Scorecard]) -> list[str]:
    """Return the named candidate, its nearest rival, and the best of the other families.

    Where only floors answered beside it, the nearest of these is the rival.
    """
    named = [card.candidate for card in cards if card.chosen]
    order = [card.candidate for card in cards if card.difference is not None]
    readers = [name for name in order if name not in candidates.floors]
    best = candidates.best.values()
    others = [name for name in (*(readers or order)[:1], *best) if name not in named]
    return [*named, *dict.fromkeys(others)][:MOST_CANDIDATES]


def given_answer(candidate: CandidateScores, id: str) -> GivenAnswer | None:
    """Return the first answer of a candidate to a row, None where it was not evaluated."""
    table, name = candidate.main, candidate.info.name
    assert table is not None
    runs = [run for run in table.runs if id in run.asked[CLEAN]]
    if not runs:
        return None
    run = min(runs, key=lambda run: run.trial.draw)
    place = run.asked[CLEAN].index(id)
    answers = run.answers[CLEAN]
    output = answers.outputs[place]
    raw = answers.raw[place] if answers.raw is not None else None
    return GivenAnswer(
        candidate=name,
        output=None if output is None else output[:MOST_CHARACTERS],
        score=float(table.right[table.rows.index[id], table.draws.index(run.trial.draw)]),
        raw=None if raw is None else raw[:MOST_CHARACTERS],
    )
