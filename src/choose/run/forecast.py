"""What a candidate has answered, and what its next jobs will take: as the last ones, or roughly."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import log, sqrt
from typing import NamedTuple

from choose.run.budget import Budget
from choose.run.trial import Limits, answers
from choose.schema.plan import COMPARISON, Job, Reach, Reason, Round
from choose.strategy import Strategy, find
from choose.types import CLEAN, Dataset, Family, Run

# Pools of folds are as large within this share of their rows.
ALIKE = 0.95

# Seconds of a fit on 250 rows of 100 characters, and of an answer, that are assumed of a candidate
# before any were measured; and of one that is tuned to write what is no label, whatever a row has.
FAST = (0.1, 0.002)
SLOW: Mapping[Family, tuple[float, float]] = {
    "baseline": (5.0, 0.05),
    "prompting": (3.0, 0.15),
    "retrieval": (8.0, 0.3),
    "fine-tuning": (8.0, 0.005),
}
WRITES = (120.0, 0.1)

# What is prompted learns from a few rows however many there are; what retrieves indexes all.
GROWTH: Mapping[Family, float] = {"prompting": 0.0, "retrieval": 0.5}

# An answer of every family is aimed at by this share of the budget, and so many seconds: the first
# verdict comes a little later.
FIRST_SHARE, FIRST_SECONDS = 0.16, 30.0

# The first rows, which the likeliest member of every family answers before it can be left behind.
FIRST_ANSWERS = 100

# Share of the seconds of a candidate's first request in which its fit should end, and the most of
# these; a candidate of the first verdict has a few seconds at least.
FIT_OF_SHARE, FIRST_FIT, LEAST_SECONDS = 0.6, 20.0, 3.0

# Share of the remaining time that a fit cut short may take, at least, when it is made again early;
# how often a whole one usually reads its rows; and how many texts written at a time save time.
EARLY_SHARE, PASSES, TOGETHER = 2 / 3, 2, 25

# Share of the time that other candidates leave in which the fit of a candidate should end, and how
# many times its forecast it may take in any case: what is repeated must not be made shorter.
SLOW_SHARE, FAST_SHARE, SLOWER = 0.7, 0.05, 1.3


@dataclass
class Pace:
    """What a candidate took.

    Attributes:
        growth: power of the rows by which a fit grows, until two fits have told it.
        fits: rows -> seconds of its fit on them, or what one that was cut short would have taken.
        answer: seconds of each of its latest answers; None before the first.
        dollars: what each of its latest answers cost.
    """

    growth: float = 1.0
    fits: dict[int, float] = field(default_factory=dict)
    answer: float | None = None
    dollars: float = 0.0

    def add(self, run: Run) -> None:
        self.growth = GROWTH.get(find(run.trial.strategy).family, 1.0)
        if run.fit_seconds is not None:
            self.fits[run.trial.train_size] = run.fit_seconds / run.share_read
        if count := len(run.asked.get(CLEAN, ())):
            self.answer = (run.predict_seconds or 0.0) / count

    def fit(self, rows: int) -> float | None:
        """Return the seconds of a fit as the last two grew; None before the first."""
        if not self.fits:
            return None
        *before, last = sorted(self.fits)
        power = self.growth
        if before and min(self.fits[before[-1]], self.fits[last]) > 0:
            grown = log(self.fits[last] / self.fits[before[-1]]) / log(last / before[-1])
            power = min(1.5, max(0.0, grown))
        return self.fits[last] * float((rows / max(1, last)) ** power)

    def seconds_anew(self, rows: int, had: int) -> float:
        """Return the forecast of rows by a new fit, where the last answered so many.

        Texts that are written at a time take far less than a few did, up to `TOGETHER`.
        """
        return (self.answer or 0.0) * rows * min(1.0, sqrt(had / TOGETHER))

    def fit_seconds(self, job: Job) -> float:
        """Return the forecast of a job's fit."""
        return self.fit(job.trial.train_size) or 0.0

    def answer_seconds(self, job: Job, dataset: Dataset, had: int = 0) -> float:
        """Return the forecast of what a job asks beyond the `had` rows that are answered."""
        rows = len(dataset.folds[min(job.trial.fold, len(dataset.folds) - 1)].questions)
        clean = max(0, (job.ask or job.trial.scenario.ask or rows) - had)
        views = len(job.views) * min(rows, job.view_rows // len(dataset.folds))
        return (self.answer or 0.0) * (clean + views)


class Needed(NamedTuple):
    """The forecast of some jobs: seconds of each fit, and of all answers; dollars."""

    fits: Sequence[float]
    answers: float
    dollars: float

    @property
    def seconds(self) -> float:
        return sum(self.fits) + self.answers


@dataclass(eq=False)
class State:
    """What is known of a candidate in a run.

    Attributes:
        whole: its jobs that learn from all rows and answer all.
        runs: by trial key.
        pace: what they took.
        last: by fold, its latest job of the comparison.
        held: whether it keeps these fits, since others would not end in time.
        behind: whether it cannot be the one to use, and answers on with these fits all the same.
        out: whether it takes part no more; `why` is None where it failed.
    """

    name: str
    cls: type[Strategy]
    dataset: Dataset
    whole: Sequence[Job] = ()
    runs: dict[str, Run] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    last: dict[int, Job] = field(default_factory=dict)
    held: bool = False
    behind: bool = False
    out: bool = False
    why: Reason | None = None

    @property
    def slow(self) -> bool:
        return not self.cls.cheap

    @property
    def family(self) -> Family:
        return self.cls.family

    @property
    def rows(self) -> int:
        """Return how many test rows its latest fits have answered."""
        return sum(map(self.had, self.last.values()))

    @property
    def learned(self) -> int:
        """Return how many training rows its latest fits have read, at most."""
        return max((self.runs[j.trial.key].rows_read for j in self.last.values()), default=0)

    def had(self, job: Job) -> int:
        """Return how many test rows of a job are answered."""
        run = self.runs.get(job.trial.key)
        return len(run.asked.get(CLEAN, ())) if run else 0

    def has_ended(self, job: Job) -> bool:
        """Return whether all that a job asks is answered, or it failed."""
        run = self.runs.get(job.trial.key)
        return run is not None and (run.error is not None or answers(job, run))

    def add(self, job: Job, run: Run) -> None:
        self.runs[run.trial.key] = run
        if run.error is not None:
            if not self.last:
                self.leave(None)
            return
        self.pace.add(run)
        before = self.last.get(job.trial.fold, job)
        if job.part == COMPARISON and before.trial.train_size <= job.trial.train_size:
            self.last[job.trial.fold] = job

    def leave(self, why: Reason | None) -> None:
        """Take part no more."""
        self.out, self.why = True, why

    def needed(self, jobs: Sequence[Job]) -> Needed:
        """Return the forecast of some jobs; of the first nothing is known."""
        if self.pace.answer is None:
            return Needed([0.0] * len(jobs), 0.0, 0.0)
        kept = {job.trial.key for job in self.last.values()}
        fits = [0.0 if job.trial.key in kept else self.pace.fit_seconds(job) for job in jobs]
        seconds = sum(self.pace.answer_seconds(job, self.dataset, self.had(job)) for job in jobs)
        more = sum(max(0, job.ask - self.had(job)) for job in jobs)
        return Needed(fits, seconds, self.pace.dollars * more)

    @property
    def rest(self) -> float:
        """Return the seconds that a slow candidate needs for all rows of the comparison."""
        more = [job for job in self.whole if not self.has_ended(job)]
        asks = self.slow and self.last and not (self.out or self.held)
        return self.needed(more).seconds if asks and more else 0.0


def limits_of(
    state: State,
    needed: Needed,
    others: Mapping[State, float],
    *,
    budget: Budget,
    lacking: Set[Family],
    first: bool,
) -> Limits:
    """Return the limits of a request of a candidate.

    The first verdict waits for a candidate of every slow family: those `lacking` any answer share
    its seconds, and rows that take longer are answered after it. All other candidates share the
    remaining time, at first among families `lacking` their first rows; in the `first` round rows
    take all that others leave.

    What is `needed` are the seconds of the request; `others` wait, and need so many.
    """
    left, slow = budget.left(), {other for other in (state, *others) if other.slow}
    families = {other.family for other in slow}
    if not state.slow or budget.seconds is None:
        return Limits(left, FAST_SHARE * left)
    if state.last:
        after = left - sum(others.values())
        fit = max(SLOW_SHARE * max(after, left / 2), SLOWER * max(needed.fits))
        share = left / len(families & lacking if state.family in lacking else families)
        return Limits(left if any(needed.fits) else max(share, first * after), fit)
    share, hard = left / len(slow), left
    if waited_for := families & lacking:
        verdict = min(FIRST_SHARE * budget.seconds, FIRST_SECONDS)
        share = max(min(LEAST_SECONDS, share), (verdict - budget.elapsed) / len(waited_for))
        # The last of them leaves time for those that wait.
        hard = left / len(waited_for) if len(waited_for) > 1 or len(slow) == 1 else 0.6 * left
    return Limits(hard, min(FIT_OF_SHARE * share, FIRST_FIT), share)


def _assumed(cls: type[Strategy], dataset: Dataset) -> Pace:
    """Return the pace of a candidate before it is measured, by the root of a row's characters.

    Fits of what is tuned to write are assumed to take as long whatever these are: it may read
    passages, too.
    """
    fit, answer = FAST if cls.cheap else SLOW[cls.family]
    rows = dataset.examples.values()
    longer = (sum(len(row.input) + len(row.target) for row in rows) / (100 * len(rows))) ** 0.5
    fit *= longer
    if cls.family == "fine-tuning" and not dataset.task.labels:
        fit, answer = WRITES
    return Pace(GROWTH.get(cls.family, 1.0), fits={250: fit}, answer=answer * longer)


def paces_of(runs: Iterable[Run]) -> dict[str, Pace]:
    """Return what candidates took."""
    paces = dict[str, Pace]()
    for run in runs:
        paces.setdefault(run.trial.candidate, Pace()).add(run)
    return paces


Row = dict[str, float | None]


def reach(
    rounds: Sequence[Round],
    dataset: Dataset,
    *,
    budget: float,
    paces: Mapping[str, Pace],
    stored: Iterable[Run] = (),
) -> Reach:
    """Forecast what a budget reaches, with the paces of candidates that were measured.

    First fits of slow ones are cut; one is made again, and kept. `stored` runs are free.
    """
    left, learned, made = budget, dict[str, int](), {run.trial.key: run for run in stored}
    kept = dict[str, str]()
    known = _known(rounds, paces, dataset)
    asked, table = {n: dict[str, int]() for n in known}, [Row() for _ in rounds]
    for round, row, job in _in_turn(rounds, table):
        trial, name, compared = job.trial, job.trial.candidate, round.part == COMPARISON
        key = kept.get(name, trial.key) if compared else trial.key
        (cls, pace), own, run = known[name], asked[name], made.get(key)
        had = own.get(key, len(run.asked.get(CLEAN, ())) if run else 0) if compared else 0
        fit, answers = 0.0 if had else pace.fit_seconds(job), pace.answer_seconds(job, dataset, had)
        first, tuned = name not in learned, cls.family == "fine-tuning" and compared
        again = tuned and fit > left and not (first or kept or trial.fold)
        needed = _cut(fit, answers, left, budget, first=first and not cls.cheap, again=again)
        spent = row.get(name, 0.0)
        if needed + answers > left or spent is None or (name in kept and trial.fold):
            row[name] = None
            continue
        left, row[name] = left - needed - answers, spent + needed + answers
        if compared and key not in own:
            read = min(1.0, (PASSES if tuned else 1) * needed / fit) if fit else 1.0
            trained = cls.learns * (run.rows_read if run else int(read * trial.train_size))
            if ALIKE * trained > learned.get(name, 0):  # answers after other pools are others
                own.clear()
            learned[name] = max(learned.get(name, 0), trained)
            kept |= {name: key} if again else {}
        if compared:
            own[key] = max(job.ask, had)
    return Reach(learned=learned, asked={n: sum(asked[n].values()) for n in asked}, seconds=table)


def _cut(
    fit: float, answers: float, left: float, budget: float, *, first: bool, again: bool
) -> float:
    """Return the seconds of a fit: the first of a slow candidate is cut, and one made again."""
    if first:
        return min(fit, FIRST_FIT, FIRST_SHARE * budget / 2)
    return max(0.0, min(EARLY_SHARE * left, left - answers)) if again else fit


def _known(
    rounds: Sequence[Round], paces: Mapping[str, Pace], dataset: Dataset
) -> dict[str, tuple[type[Strategy], Pace]]:
    classes = {job.trial.candidate: find(job.trial.strategy) for r in rounds for job in r.jobs}
    return {n: (cls, paces.get(n) or _assumed(cls, dataset)) for n, cls in classes.items()}


def _in_turn(rounds: Sequence[Round], table: Sequence[Row]) -> list[tuple[Round, Row, Job]]:
    """Return jobs with their rounds and rows of a table; after round 0 fast ones come first."""
    jobs = [(r, row, job) for r, row in zip(rounds, table, strict=True) for job in r.jobs]
    return sorted(
        jobs,
        key=lambda j: (
            j[0].number > 0 and not (j[0].part == COMPARISON and find(j[2].trial.strategy).cheap)
        ),
    )
