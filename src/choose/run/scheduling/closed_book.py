"""Leave closed-book fine-tuning out where answers stand in documents and cannot be memorised.

What an adapter without passages learns are answers that occur in training. Where hardly any test
answer does, and passages add more than the margin, or a candidate that reads is further ahead than
memorising can bring, its fit is wasted time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean

import numpy as np

from choose.corpus import AMONG_OTHERS, CONDITIONS, GOLD, NOTHING, holds
from choose.formatting import in_percent, measured, plural, points, size_in_points
from choose.judge.stats.intervals import Estimate, two_way_interval, wilson
from choose.judge.stats.paired import imaginary
from choose.schema.plan import Job, LeftOut
from choose.strategy import Strategy, find
from choose.tasks.answering import corpus_of
from choose.types import STANDARD, Dataset, Floats, Run

# Rows that two figures share, below which nothing is concluded. Of a slow candidate the first fold
# of five answers 20 rows under controls, some of them without evidence.
FEWEST = 12

# What was retrieved, beside the controls.
RETRIEVED = "clean"

# Scores by candidate and row.
Scores = dict[str, dict[str, float]]


@dataclass
class ClosedBook:
    """What was answered so far with passages and without, and so what tuning without them can win.

    Attributes:
        dataset: the labelled set with its documents.
        margin: smallest gain that matters.
        views: by view of the rows, the scores of candidates that read; fine-tuned ones are none.
        closed: scores of prompted candidates that read nothing.
        found: by candidate that reads and row, whether what it retrieved holds the evidence.
    """

    dataset: Dataset
    margin: float
    views: dict[str, Scores] = field(default_factory=dict)
    closed: Scores = field(default_factory=dict)
    found: dict[str, dict[str, bool]] = field(default_factory=dict)
    _prompted: list[str] = field(default_factory=list)
    _told: bool = False

    def add(self, run: Run) -> None:
        """Count the answers of a run, with its controls; the first answer to a row counts."""
        cls, name = find(run.trial.strategy), run.trial.candidate
        plain = run.error is None and run.trial.scenario == STANDARD and not run.trial.variant
        if not plain or cls.family == "fine-tuning":
            return
        prompted = cls.family in ("prompting", "retrieval")
        if getattr(cls, "reads", False):
            if prompted and name not in self._prompted:
                self._prompted.append(name)
            for view in (RETRIEVED, *CONDITIONS):
                _add(run, view, self.views.setdefault(view, {}))
            self._add_found(run)
        elif prompted:
            _add(run, RETRIEVED, self.closed)

    def _add_found(self, run: Run) -> None:
        answers = run.answers.get((RETRIEVED, 0))
        for id, shown in zip(
            run.asked.get((RETRIEVED, 0), ()), (answers and answers.evidence) or (), strict=False
        ):
            evidence = self.dataset.examples[id].evidence
            hit = any(holds(passage, evidence) for passage in shown)
            self.found.setdefault(run.trial.candidate, {}).setdefault(id, hit)

    def left_out(self, job: Job) -> LeftOut | None:
        """Return why a job's candidate cannot win; None if it may."""
        closed = memorises(find(job.trial.strategy))
        why = (self._passages_add() or self._another_is_ahead()) if closed else None
        if why is None:
            return None
        seen, asked = self._seen
        return LeftOut(
            candidate=job.trial.candidate,
            reason="closed-book",
            text=f"left out, since it reads no passage: {in_percent(seen / asked)} of the answers "
            f"occur in other rows, so that memorising gains about {points(why[0])} at most, where "
            f"{why[1]}.",
        )

    def bounds(self, job: Job) -> tuple[str, ...]:
        """Return what retrieval, reading and memorising can bring, before the first fit.

        It is said once, before a fine-tuned candidate begins, where a prompted candidate that reads
        has answered under all controls, or another one if there is none.
        """
        if self._told or find(job.trial.strategy).family != "fine-tuning":
            return ()
        for name in self._prompted or self.views.get(RETRIEVED, {}):
            by = {view: self.views[view].get(name, {}) for view in (RETRIEVED, *CONDITIONS)}
            ids = [id for id in by[RETRIEVED] if all(id in own for own in by.values())]
            if len(ids) >= FEWEST:
                self._told = True
                return (self._bounds(name, by, ids),)
        return ()

    def _bounds(self, name: str, by: Mapping[str, Mapping[str, float]], ids: list[str]) -> str:
        found, among = ([by[view][id] for id in ids] for view in (RETRIEVED, AMONG_OTHERS))
        retrieval = self._interval(np.subtract(among, found), ids)
        # A better reader gains nothing where the evidence is not in what it reads.
        hits = [self.found.get(name, {}).get(id, True) for id in ids]
        reading = self._interval((1 - np.array(found)) * hits, ids)
        memorised = self._memorised(fmean(by[NOTHING][id] for id in ids))
        return (
            f"Before fine-tuning: on {plural(len(ids), 'row')} {name} scores "
            f"{in_percent(fmean(found))}. Better retrieval can bring "
            f"{size_in_points(retrieval)} at most, a better reader of what is found "
            f"{size_in_points(reading)}, memorised answers about {measured(memorised)}."
        )

    def _passages_add(self) -> tuple[float, str] | None:
        """Return what memorising gains, and what the right passage adds, if that is more."""
        for name in self._prompted:
            without, gold = (self.views[view].get(name, {}) for view in (NOTHING, GOLD))
            ids = [id for id in without if id in gold]
            if len(ids) < FEWEST:
                continue
            knowledge = self._interval(np.array([gold[id] - without[id] for id in ids]), ids)
            most = self._memorised(fmean(without[id] for id in ids))
            if most < self.margin < knowledge.low:
                return most, f"the right passage gains {points(knowledge.value)}"
            return None
        return None

    def _another_is_ahead(self) -> tuple[float, str] | None:
        """Return the same, and which candidate that reads is ahead by more than that."""
        closed = [*self.closed.values()]
        closed += [self.views[NOTHING].get(name, {}) for name in self._prompted]
        # A first part of the rows, of a candidate that ran out of time, says too little.
        least = max(FEWEST, max(map(len, closed), default=0) / 2)
        known = max((s for s in closed if len(s) >= least), key=_mean, default=None)
        if known is None:
            return None
        most = self._memorised(_mean(known))
        reading = self.views.get(RETRIEVED, {})
        for name in sorted(reading, key=lambda name: -_mean(reading[name])):
            ids = [id for id in reading[name] if id in known]
            if len(ids) < FEWEST:
                continue
            lead = self._interval(np.array([reading[name][id] - known[id] for id in ids]), ids)
            # What reads nothing is cheaper, so that it may stay behind by the margin and be used.
            if lead.low > most + self.margin:
                return most, f"{name} is {points(lead.value)} ahead of what is known without one"
            return None
        return None

    def _interval(self, values: Floats, ids: Sequence[str]) -> Estimate:
        documents = [self._document(id) for id in ids]
        return two_way_interval(values, documents, pseudo=imaginary(values[:, None]))

    def _memorised(self, known: float) -> float:
        """Return what memorising gains at most, about: answers that occur in training."""
        return wilson(*self._seen)[1] * (1 - known)

    def _document(self, id: str) -> str:
        evidence = self.dataset.examples[id].evidence
        return evidence[0].document if evidence else id

    @cached_property
    def _seen(self) -> tuple[int, int]:
        """Return how many test rows have an answer of a training row, of how many."""
        answers = {id: example.targets for id, example in self.dataset.examples.items()}
        seen = asked = 0
        for fold in self.dataset.folds:
            known = {text.casefold() for id in fold.pool for text in answers[id]}
            seen += sum(any(t.casefold() in known for t in answers[id]) for id in fold.questions)
            asked += len(fold.questions)
        return seen, max(asked, 1)


def _add(run: Run, view: str, into: Scores) -> None:
    if scores := run.scores.get((view, 0)):
        values = next(iter(scores.values())).tolist()
        pairs = dict(zip(run.asked[view, 0], values, strict=True))
        into[run.trial.candidate] = {**pairs, **into.get(run.trial.candidate, {})}


def _mean(scores: Mapping[str, float]) -> float:
    return fmean(scores.values())


def memorises(cls: type[Strategy]) -> bool:
    """Return whether a strategy is fine-tuned and reads no passage."""
    return cls.family == "fine-tuning" and cls.learns and not getattr(cls, "reads", False)


def closed_book(dataset: Dataset, margin: float) -> ClosedBook | None:
    """Return the rule for a task with documents; None for others."""
    return None if corpus_of(dataset.task) is None else ClosedBook(dataset, margin)
