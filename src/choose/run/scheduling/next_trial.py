"""The jobs that wait, and which trial is worth most for the question that is still open.

Every candidate answers once, and fast ones the rest of their rows: before the first answers of slow
ones, where that takes little of the budget. Then the trials of the families that are still in
contention come first: the pair whose next step removes most of what may change, for each second
that it takes. It answers more rows of what has been fitted, then its trials run fold by fold, so
that every comparison stays on the same rows and is the next part of the same balanced order. Before
them, the fit of a named candidate that reads documents answers with other passages, and with
changed ones. Then come other trials of fast candidates, and what the checks of the named candidate
need, and the parts that the study names in its settings. When the verdict is final, the rest is not
run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from typing import NamedTuple

from choose.judge.decision.open_question import Comparison, OpenQuestion
from choose.run.run_records import GroupRequest
from choose.schema.plan import REPETITIONS, Job
from choose.study.grid_points import CONTROLS, DRILLS, FIRST_PASS
from choose.types import Family, Run


@dataclass
class Flight:
    """A request under way, the places of its jobs in the order, and what has ended of it."""

    request: GroupRequest
    places: Sequence[int]
    ended: dict[str, Run] = field(default_factory=dict)

    @property
    def missing(self) -> list[Job]:
        """Return the jobs that were to run and have not ended."""
        jobs = self.request.jobs if self.request.begins else ()
        return [job for job in jobs if job.trial.key not in self.ended]


class WaitingJobs:
    """Jobs by their place in the order, and the answers that are there already.

    Several jobs may need the same trial: one that adds views, or another candidate's.

    Attributes:
        at: the jobs by place, in order.
        first_jobs: candidate -> its first job in the order, whether or not it waits.
        lost: trial key -> how often a worker did not survive it.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.at: dict[int, Job] = {}
        self.lost: Counter[str] = Counter()
        self.first_jobs: dict[str, Job] = {}
        self._firsts: list[int] = []
        self._places = count()
        self._same: dict[str, list[int]] = defaultdict(list)
        self._answered: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for job in jobs:
            self.append(job)

    @property
    def first_places(self) -> list[int]:
        """Return the places where the first job of a candidate still waits, in order."""
        return [place for place in self._firsts if place in self.at]

    def early_places(self, has_room: Callable[[Job], bool], early: Collection[str]) -> list[int]:
        """Return these places, and those of controls that were planned before the last of them.

        Controls tell whether an adapter that reads nothing is worth its fit. Those that would take
        the time of fits come later. All first passes of `early` candidates come before.
        """
        firsts = self.first_places
        last = max(firsts, default=-1)
        before = ((p, job) for p, job in self.at.items() if job.part == CONTROLS and p < last)
        controls = (place for place, job in before if has_room(job))
        passes = [place for place, job in self.at.items() if job.part == FIRST_PASS]
        folds = [place for place in passes if self.at[place].trial.candidate in early]
        return [*folds, *sorted({*firsts, *controls} - {*folds})]

    def needs_fit(self, job: Job) -> bool:
        """Return whether another job waits that asks the fit of its trial how it reads."""
        places = (place for place in self._same[job.trial.key] if place in self.at)
        return any(self.at[p].part in ALWAYS and self.at[p] is not job for p in places)

    def append(self, job: Job) -> None:
        """Let a job wait after all others."""
        place = next(self._places)
        self.at[place] = job
        if self.first_jobs.setdefault(job.trial.candidate, job) is job:
            self._firsts.append(place)
        self._same[job.trial.key].append(place)

    def put_back(self, jobs: Sequence[tuple[int, Job]]) -> None:
        """Let jobs wait again in their places, because their worker did not survive them."""
        self.at = dict(sorted([*self.at.items(), *jobs]))
        self.lost.update(job.trial.key for _, job in jobs)

    def exchange(self, jobs: Sequence[Job]) -> None:
        """Put some waiting jobs, in this order, into the places that they have now."""
        places = [place for place, job in self.at.items() if job in jobs]
        self.at.update(zip(places, jobs, strict=True))

    def take_batch(self, place: int, most: int, barred: Callable[[Job], bool]) -> dict[int, Job]:
        """Take a job and those right after it of the same candidate and part, at most `most`.

        A trial that is among them already, or is `barred`, ends the batch. One that a worker did
        not survive is a batch alone: together they may take too much memory.
        """
        first = self.at.pop(place)
        batch, keys = {place: first}, {first.trial.key}
        most = 1 if self.lost[first.trial.key] else most
        for number, job in self.at.items():
            if number < place:
                continue
            same = (job.trial.candidate, job.part) == (first.trial.candidate, first.part)
            if not same or len(batch) >= most or job.trial.key in keys or barred(job):
                break
            if self.lost[job.trial.key]:
                break
            batch[number] = job
            keys.add(job.trial.key)
        for number in batch.keys() & self.at.keys():
            del self.at[number]
        return batch

    def served(self, run: Run) -> list[tuple[Job, Run]]:
        """Take and return the jobs that a run answers as well, each with the run as its own."""
        if run.error is not None or run.unasked:
            return []
        self._answered[run.trial.key] |= run.answers.keys()
        places = [p for p in self._same[run.trial.key] if p in self.at and self.answers(self.at[p])]
        jobs = [self.at.pop(place) for place in places]
        return [(job, replace(run, trial=job.trial)) for job in jobs]

    def answers(self, job: Job) -> bool:
        """Return whether its trial has answered all that a job asks."""
        wanted = {(view, 0) for view in job.all_views}
        wanted |= {("clean", repeat) for repeat in range(job.repeats)}
        return self._answered[job.trial.key] >= wanted


# Share of the budget in which fast candidates answer their other rows before slow ones are fitted.
EARLY_SHARE = 0.15

# Parts that are about reading documents, not about which family is the one to use, and what their
# answers decide.
READING = {
    CONTROLS: "what it loses by retrieval and by reading",
    DRILLS: "whether it gives old facts once documents change",
}
ALWAYS = tuple(READING)

# Parts whose trials answer the study's own rows as the candidates are compared.
COMPARED = (FIRST_PASS, REPETITIONS)


def early_candidates(
    seconds: Mapping[str, float], encoders: Mapping[str, str | None], budget: float
) -> set[str]:
    """Return the fast candidates that answer their other rows before slow ones are fitted.

    They are the cheapest ones, while all of them together take little of the budget: so a small
    budget answers all rows of these, however long the fits take. Texts that were embedded for one
    candidate cost others with its encoder nothing.

    Args:
        seconds: by candidate, what its first passes take besides the first of them.
        encoders: by candidate, the model that embeds its texts; None or absent without one.
        budget: of the run, in seconds.
    """
    least: dict[str, float] = {}
    for name, own in seconds.items():
        encoder = encoders.get(name) or f"none of {name}"
        least[encoder] = min(own, least.get(encoder, own))
    costs = {name: least[encoders.get(name) or f"none of {name}"] for name in seconds}
    left, early = EARLY_SHARE * budget, set[str]()
    for name in sorted(costs, key=lambda name: (costs[name], name)):  # the same in every process
        left -= costs[name]
        early |= {name} if left >= 0 else set()
    return early


@dataclass(frozen=True, slots=True)
class Now:
    """What the scheduler is told: the seconds since the run began, and what is still open.

    Without an open question, jobs run in the order in which they were planned.
    """

    elapsed: float = 0.0
    question: OpenQuestion | None = None


# Returns the share of what is uncertain about some candidates that their next step removes for each
# second that it takes; their jobs are in the order in which they run.
Worth = Callable[[Collection[str], Sequence[Job]], float]


class Choice(NamedTuple):
    """What may run next.

    Attributes:
        place: of a job in the order; None where only rows are meant.
        why: what the answers decide, in words.
        rows_of: candidates whose unfinished first passes answer more rows before that.
    """

    place: int | None
    why: str = ""
    rows_of: Collection[str] = ()


class TrialOrder:
    """The order of the jobs that wait, most valuable first.

    Attributes:
        fast: candidates that are fitted in seconds.
        folds: how many folds the study has.
        baseline: what the family of cheap candidates is called in a sentence.
        stated: parts that run whichever candidate is named.
    """

    def __init__(
        self,
        fast: Collection[str],
        folds: int = 1,
        baseline: str = "a cheap classifier",
        stated: Collection[str] = (),
    ) -> None:
        self.fast, self.folds, self.baseline, self.stated = fast, folds, baseline, stated

    def planned(
        self,
        waiting: Mapping[int, Job],
        firsts: Iterable[int],
        rows: Choice,
        crowds: Callable[[Job], bool],
    ) -> Iterator[Choice]:
        """Yield the jobs in their order, without a question; at last rows that were not answered.

        Args:
            waiting: the jobs by place.
            firsts: the places of those that come before all others.
            rows: the choice of more rows of any first pass.
            crowds: tells whether a job would leave little time for the rows of others, which
                then come first.
        """
        for place in chain(firsts, waiting):
            yield Choice(place, rows_of=rows.rows_of if crowds(waiting[place]) else ())
        yield rows

    def choices(
        self,
        waiting: Mapping[int, Job],
        question: OpenQuestion,
        worth: Worth,
        fitted: Callable[[Job], bool] = lambda _: False,
    ) -> Iterator[Choice]:
        """Yield the jobs that are worth running, the first one first.

        Args:
            waiting: the jobs by place.
            question: what is open.
            worth: of the next step of some candidates.
            fitted: tells whether a job needs no fit, and few more answers to clean rows.
        """
        compared: dict[str, list[int]] = {}
        for place, job in waiting.items():
            if job.part in COMPARED:
                compared.setdefault(job.trial.candidate, []).append(place)
        # All others are compared with fast candidates, whose trials take seconds.
        for place, job in waiting.items():
            if job.part in COMPARED and job.trial.candidate in self.fast:
                yield Choice(place)
        yield from self._reading(waiting, question.named, fitted)
        yield from self._deciding(waiting, compared, question, worth)
        yield from map(Choice, self._of(waiting, self.fast))
        # What reading loses is reported for every candidate that reads, whichever family wins, and
        # changes at a service wherever the study asks for them; by fits that are there at first.
        also = [place for place, job in waiting.items() if job.part in ALWAYS or job.repeats > 1]
        yield from map(Choice, sorted(also, key=lambda place: not fitted(waiting[place])))
        yield Choice(None, rows_of=(*question.candidates, *question.near))
        yield from map(Choice, self._of(waiting, question.candidates))
        yield from (Choice(place) for name in question.near for place in compared.get(name, ()))
        yield from (Choice(place) for place, job in waiting.items() if job.part in self.stated)
        if not question.final:
            yield from map(Choice, waiting)

    def _reading(
        self, waiting: Mapping[int, Job], name: str, fitted: Callable[[Job], bool]
    ) -> Iterator[Choice]:
        """Yield how the fits that a candidate has read documents: what it loses, then old facts."""
        for part, why in READING.items():
            for place, job in waiting.items():
                if job.part == part and job.trial.candidate == name and fitted(job):
                    yield Choice(place, f"{self._place_of(job)}: {why}")

    def _deciding(
        self,
        waiting: Mapping[int, Job],
        compared: Mapping[str, list[int]],
        question: OpenQuestion,
        worth: Worth,
    ) -> Iterator[Choice]:
        """Yield the next trial of each open comparison, that of most change a second first."""

        def place_of(place: int) -> tuple[int, int, int]:
            trial = waiting[place].trial
            return trial.draw, trial.fold, place

        def pair(one: Comparison) -> list[int]:
            # Only rows that both answered are compared, so both go on together.
            names = (one.candidate, question.named)
            return sorted((p for n in names for p in compared.get(n, ())), key=place_of)

        def rate(one: Comparison) -> float:
            jobs = [waiting[place] for place in pair(one)]
            return one.change * worth((one.candidate, question.named), jobs)

        for one in sorted(question.open, key=rate, reverse=True):
            families = [self._called(family) for family in (one.family, question.family)]
            decides = f"between {families[0]} and {families[1]}"
            if one.floor:
                decides = f"whether {question.named} beats {one.candidate}"
            yield Choice(None, f"decides {decides}", (one.candidate, question.named))
            for place in pair(one):
                yield Choice(place, f"{self._place_of(waiting[place])}: decides {decides}")

    @staticmethod
    def _of(waiting: Mapping[int, Job], names: Iterable[str]) -> Iterator[int]:
        wanted = set(names)
        return (place for place, job in waiting.items() if job.trial.candidate in wanted)

    def _called(self, family: Family) -> str:
        return self.baseline if family == "baseline" else family

    def _place_of(self, job: Job) -> str:
        """Return ``lora, fold 4 of 5``, with the repetition where it is not the first."""
        trial = job.trial
        fold = f", fold {trial.fold + 1} of {self.folds}" if self.folds > 1 else ""
        again = f", repetition {trial.draw + 1}" if trial.draw else ""
        return f"{trial.candidate}{fold}{again}"
