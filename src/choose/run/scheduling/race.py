"""Early stopping of candidates that can no longer win, and the history of each candidate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from choose.run.first_passes import UnfinishedPasses
from choose.run.scheduling.closed_book import ClosedBook
from choose.run.scheduling.next_trial import early_candidates
from choose.schema.plan import Job, LeftOut
from choose.study.grid_points import FIRST_PASS
from choose.types import Run

# One-sided. A candidate is tested after each of its folds, so the bound must be strict.
CONFIDENCE = 0.999
MIN_COMMON_ROWS = 100

# With fewer clusters, chance alone can put all of them on one side.
MIN_CLUSTERS = 20


@dataclass
class Race:
    """Scores by candidate on clean rows of the first pass, and who is dropped.

    A candidate is dropped when, on at least 100 rows that both answered, worth at least 20
    clusters, the upper 99.9 % bound of its paired difference to a rival lies below minus the
    margin: it can neither win nor be shown to be as good. A candidate with a failed trial cannot
    be chosen, so it is no rival.

    Attributes:
        targets: id -> true label.
        margin: smallest gain that matters, as a share of the rows.
        clusters: id -> group or near-duplicates of a row; other rows are clusters of their own.
        right: candidate -> id -> the score of its answer: where answers are labels, 1 or 0.
        dropped: candidate -> why, also where it was not begun.
    """

    targets: Mapping[str, str]
    margin: float
    clusters: Mapping[str, str] = field(default_factory=dict)
    right: dict[str, dict[str, float]] = field(default_factory=dict)
    dropped: dict[str, LeftOut] = field(default_factory=dict)
    _behind: dict[str, str] = field(default_factory=dict)
    _failed: set[str] = field(default_factory=set)

    def add(self, run: Run) -> tuple[str, ...]:
        """Count the clean answers of a run; return candidates that rejoin: their rival failed."""
        name = run.trial.candidate
        if run.error is not None:
            return self._fail(name)
        rows = self.right.setdefault(name, {})
        answers, ids = run.answers["clean", 0], run.asked["clean", 0]
        if scores := run.scores.get(("clean", 0)):
            rows |= zip(ids, next(iter(scores.values())).tolist(), strict=True)
        else:
            rows |= {
                i: float(o == self.targets[i]) for i, o in zip(ids, answers.outputs, strict=True)
            }
        return ()

    def drops(self, name: str) -> bool:
        """Return whether a candidate is dropped by now, and record why."""
        if name not in self.dropped:
            for rival in self._rivals():
                difference, bound, rows = self._against(name, rival)
                if bound < -self.margin:
                    self._behind[name] = rival
                    self.dropped[name] = LeftOut(
                        candidate=name,
                        reason="dropped",
                        text=f"dropped after {rows} rows, {-100 * difference:.0f} points behind "
                        f"{rival} (at least {-100 * bound:.0f} behind with 99.9 % certainty).",
                    )
                    break
        return name in self.dropped

    def _rivals(self) -> list[str]:
        return [name for name in self.right if name not in self._failed]

    def _fail(self, name: str) -> tuple[str, ...]:
        self._failed.add(name)
        freed = [other for other, rival in self._behind.items() if rival == name]
        for other in freed:
            del self.dropped[other], self._behind[other]
        return tuple(other for other in freed if not self.drops(other))

    def _against(self, name: str, rival: str) -> tuple[float, float, int]:
        """Return the difference on common rows, its upper bound (1 if too few), and their count."""
        mine, theirs = self.right.get(name, {}), self.right[rival]
        common = [id for id in mine if id in theirs]
        if len(common) < MIN_COMMON_ROWS:
            return 0.0, 1.0, len(common)
        gains = [mine[id] - theirs[id] for id in common]
        names = [self.clusters.get(id, id) for id in common]
        return sum(gains) / len(common), upper_bound(gains, names), len(common)


def upper_bound(gains: Sequence[float], clusters: Sequence[str]) -> float:
    """Return the upper 99.9 % bound of a mean of paired differences by row, from -1 to 1.

    Bonett and Price (2012) with one imaginary row for either side, over the sums of clusters, with
    t on one degree of freedom less than the effective number of clusters (Kish): a few large
    clusters may decide the spread. Returns 1 where that number is below 20.
    """
    names, places = np.unique(np.asarray(clusters), return_inverse=True)
    sizes = np.bincount(places)
    rows, count = len(gains), len(names)
    effective = rows**2 / float(sizes @ sizes)
    if effective < MIN_CLUSTERS:
        return 1.0
    center = sum(gains) / (rows + 2)
    deviations = np.bincount(places, weights=gains) - center * sizes
    imaginary = 2 * (1 + center**2)
    correction = count / (count - 1) if count < rows else 1.0
    spread = sqrt(correction * (float(deviations @ deviations) + imaginary)) / (rows + 2)
    return center + float(stdtrit(effective - 1, CONFIDENCE)) * spread


@dataclass
class TrialHistory:
    """Costs and failures of each candidate's trials, including those of earlier commands.

    Attributes:
        race: the early-stopping test.
        racing: whether the test may drop candidates.
        closed_book: the rule for candidates that cannot know what stands in documents.
        fast: candidates that are never dropped: others are compared with them.
        cost: candidate -> seconds of a recent full trial.
        failed: candidates with a failed trial.
        worked: candidates with a successful trial.
        skipped: candidate -> jobs that did not run because it was dropped.
    """

    race: Race
    racing: bool
    closed_book: ClosedBook | None = None
    fast: Collection[str] = ()
    cost: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    worked: set[str] = field(default_factory=set)
    skipped: dict[str, list[Job]] = field(default_factory=dict)

    def add(self, job: Job, run: Run, earlier: bool = False) -> list[Job]:
        """Record a run; return the skipped jobs of candidates that rejoin the race because of it.

        Half the time of a run of an `earlier` command counts: its models and embeddings may be
        cached by now.
        """
        name, rejoined = run.trial.candidate, list[Job]()
        cost = full_trial_seconds(run) * (0.5 if earlier else 1.0)
        self.cost[name] = max(cost, 0.5 * self.cost.get(name, 0.0))
        (self.failed if run.error else self.worked).add(name)
        if self.closed_book is not None:
            self.closed_book.add(run)
        if run.error or job.part == FIRST_PASS:
            for freed in self.race.add(run):
                rejoined += self.skipped.pop(freed, [])
        return rejoined

    def extend(self, run: Run) -> None:
        """Count further answers of a first pass."""
        self.race.add(run)
        if self.closed_book is not None:
            self.closed_book.add(run)

    def early(self, first_jobs: Mapping[str, Job], folds: int, budget: float | None) -> set[str]:
        """Return the fast candidates whose other folds precede the fits of slow ones.

        Without a budget there are none: all folds run, and slow candidates shall answer soon.
        """
        if budget is None:
            return set()
        encoders = {name: job.trial.params.get("encoder") for name, job in first_jobs.items()}
        seconds = {n: (folds - 1) * self.cost[n] for n in self.cost.keys() & {*self.fast}}
        return early_candidates(seconds, encoders, budget)

    def futile(self, job: Job) -> bool:
        """Return whether a job is not worth its time: its candidate only fails or is dropped."""
        name = job.trial.candidate
        slow = name not in self.fast
        # What has answered is compared by its answers.
        fresh = name not in self.worked and name not in self.race.dropped
        rule = self.closed_book if self.racing and fresh else None
        if rule is not None and (found := rule.left_out(job)) is not None:
            self.race.dropped[name] = found
        return self.only_fails(job) or (self.racing and slow and self.race.drops(name))

    def only_fails(self, job: Job) -> bool:
        """Return whether all trials of a job's candidate have failed so far."""
        return job.trial.candidate in self.failed - self.worked

    def skip(self, job: Job) -> None:
        """Record a job that does not run because its candidate is dropped."""
        self.skipped.setdefault(job.trial.candidate, []).append(job)


def full_trial_seconds(run: Run) -> float:
    """Return the seconds that a trial takes when it answers all its test rows."""
    spent, answered = run.seconds_spent or 0.0, len(run.asked.get(("clean", 0), ()))
    predicting = min(run.predict_seconds or 0.0, spent)
    return spent + predicting * run.unasked / answered if answered else spent


@dataclass(frozen=True)
class NextSteps:
    """What the next step of a comparison is worth for its seconds.

    Attributes:
        history: what trials took, and which rows were answered.
        unfinished: first passes with unanswered rows.
        rows: returns the test rows of a job.
    """

    history: TrialHistory
    unfinished: UnfinishedPasses
    rows: Callable[[Job], int]

    def worth(self, names: Collection[str], jobs: Sequence[Job]) -> float:
        """Return the share of the uncertainty left that the next step removes, a second.

        The variance of a comparison falls with the number n of common rows, as 1 / n. The next step
        is twice the rows of what is fitted already, else the next fold of `jobs`, which are in
        their order. It is zero where nothing is left.
        """
        right, cost = self.history.race.right, self.history.cost
        done = max(1, min(len(right.get(name, ())) for name in names))
        own = [job for job in jobs if job.trial.draw == jobs[0].trial.draw]
        folds = {job.trial.fold: self.rows(job) for job in own}
        cut = self.unfinished.of(names)
        if cut:
            fewest = min(one.answered for one in cut)
            more = min(fewest, *(one.run.unasked for one in cut))
            goal = fewest + more
            seconds = sum(one.seconds(max(0, goal - one.answered)) for one in cut)
        elif own:
            fold = own[0].trial.fold
            more = folds[fold]
            seconds = sum(cost.get(j.trial.candidate, 0.0) for j in own if j.trial.fold == fold)
        else:
            return 0.0
        if own and own[0].trial.draw:  # the same rows again, with another seed
            return more / sum(folds.values()) / max(seconds, 1e-9)
        left = sum(folds.values()) + max((one.run.unasked for one in cut), default=0)
        whole = done + max(left, more)
        share = (1 / done - 1 / (done + more)) / (1 / done - 1 / whole)
        return share / max(seconds, 1e-9)
