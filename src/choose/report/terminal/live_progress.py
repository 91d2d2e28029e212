"""Progress of a study on stderr: a live bar on a terminal, a line per candidate in a log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from statistics import fmean
from time import perf_counter
from types import TracebackType
from typing import NamedTuple, Self

from rich.console import Console
from rich.text import Text

from choose.formatting import DASH, clean, clock, duration, percent, plural
from choose.report.screen_text import literal, shorten
from choose.report.terminal.cost_tables import Sent, traffic_line, traffic_summary
from choose.report.terminal.layout import Encodable, StudyBar
from choose.schema.plan import Job, LeftOut
from choose.schema.score_names import SCORED, is_share, noun_of, scored
from choose.types import Dataset, Run

CLEAN = ("clean", 0)


class Tally(NamedTuple):
    """The clean answers of a run: a label and a score for each row, and how many are to come."""

    seconds: float
    to_come: int = 0
    marks: Sequence[tuple[str, float]] = ()


@dataclass
class Standing:
    """The first pass of one candidate: its finished runs, by trial, and their raw accuracy."""

    name: str
    part: str
    planned: int = 0
    ended: int = 0
    failed: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    noun: str = SCORED["accuracy"]

    @property
    def all_ended(self) -> bool:
        """Return whether every planned job of the first pass has ended."""
        return self.ended >= self.planned

    @property
    def complete(self) -> bool:
        """Return whether they have also answered all their rows."""
        return self.all_ended and not any(one.to_come for one in self.tallies.values())

    @property
    def rows(self) -> int:
        """Return how many rows are answered so far."""
        return sum(len(one.marks) for one in self.tallies.values())

    @property
    def seconds(self) -> float:
        """Return the seconds spent so far."""
        return sum(one.seconds for one in self.tallies.values())

    @property
    def accuracy(self) -> float | None:
        """Return the raw share of right answers so far; None before the first answer."""
        right = sum(mark for one in self.tallies.values() for _, mark in one.marks)
        return right / self.rows if self.rows else None

    @property
    def mean_recall(self) -> float | None:
        """Return the mean recall of the labels seen so far; None before the first answer."""
        by_label = defaultdict[str, list[float]](list)
        for label, mark in (pair for one in self.tallies.values() for pair in one.marks):
            by_label[label].append(mark)
        return fmean(map(fmean, by_label.values())) if by_label else None


@dataclass
class Standings:
    """The first passes of all candidates, in the order in which they were planned."""

    targets: Mapping[str, str]
    of: dict[str, Standing] = field(default_factory=dict)

    @classmethod
    def planned(cls, dataset: Dataset, jobs: Iterable[Job]) -> Standings:
        """Return an empty standing for each candidate; its first part is its first pass."""
        standings = cls({id: example.target for id, example in dataset.examples.items()})
        task = dataset.task
        noun = SCORED["accuracy"] if task.labels else noun_of(task.metrics[0])
        for job in jobs:
            name = job.trial.candidate
            standing = standings.of.setdefault(name, Standing(name, job.part, noun=noun))
            standing.planned += job.part == standing.part
        return standings

    def add(self, job: Job, run: Run) -> Standing | None:
        """Add a run; return the standing if the run belongs to a first pass."""
        standing = self.of.get(job.trial.candidate)
        if standing is None or job.part != standing.part:
            return None
        standing.ended += 1
        standing.failed += run.error is not None
        standing.tallies[run.trial.key] = self._tally(run)
        return standing

    def extend(self, run: Run) -> Standing | None:
        """Count further answers to a first pass that is counted already; return its standing."""
        standing = self.of.get(run.trial.candidate)
        if standing is None or run.error is not None or run.trial.key not in standing.tallies:
            return None
        standing.tallies[run.trial.key] = self._tally(run)
        return standing

    def _tally(self, run: Run) -> Tally:
        marks = list[tuple[str, float]]()
        if run.error is None and CLEAN in run.answers:
            targets = [self.targets.get(id, "") for id in run.asked[CLEAN]]
            right = map(eq, run.answers[CLEAN].outputs, targets)
            scores = run.scores.get(CLEAN)
            values = next(iter(scores.values())).tolist() if scores else map(float, right)
            marks = list(zip(targets, values, strict=True))
        return Tally(run.seconds_spent or 0.0, run.unasked, marks)


# Columns of the screen.
NAME = 24


class LiveProgress:
    """Observer that shows progress; a context manager, which always restores the terminal.

    On a terminal a bar, the current run and the standings of unfinished first passes stay at the
    bottom; elsewhere each candidate gets one line when its first pass ends. Failures always show.
    Accuracy is the raw share of right answers to unperturbed test rows, or the mean recall where
    the study's `metric` is ``balanced``, and provisional. The bar
    counts the time where there is a budget, and the runs where there is none.
    """

    def __init__(self, console: Console | None = None, metric: str = "accuracy") -> None:
        self._balanced = metric == "balanced"
        self._console = console or Console(stderr=True, highlight=False)
        self._budget: float | None = None
        self._standings = Standings({})
        self._bar: StudyBar | None = None
        self._current: Job | None = None
        self._why = ""
        self._planned = self._ended = self._from_before = 0
        self._begun = False
        self._said: dict[str, int] = {}
        self._start = perf_counter()
        self._sent: Sent | None = None
        self._verdict = ""

    def __enter__(self) -> Self:
        """Start the clock."""
        self._start = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bar and print the standings of unfinished candidates."""
        self._stop()
        for standing in self._standings.of.values():
            if not standing.complete:
                self._tell(standing)
        if self._planned and self._console.is_terminal:
            self._say(self._summary(), style="dim")
        if self._sent is not None:
            self._say(traffic_summary(self._sent))

    def sending(self, traffic: Sent) -> None:
        """Show requests to endpoints from now on, and their total at the end."""
        self._sent = traffic

    def noted(self, sentences: Sequence[str]) -> None:
        """Say how the rows were read, or what is known before fine-tuning begins."""
        for sentence in sentences:
            self._say(clean(sentence), style="dim")

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[LeftOut],
        budget: float | None = None,
    ) -> None:
        """Print what will run, and show the bar; `budget` is in seconds."""
        self._budget = budget
        self._standings = Standings.planned(dataset, jobs)
        self._planned, labels = len(jobs), dataset.task.labels
        if self._console.is_terminal:
            self._say(
                f"{clean(dataset.name)}: {plural(len(dataset.examples), 'row')}, "
                f"{plural(len(labels), 'label') if labels else dataset.task.kind}; "
                f"{plural(len(self._standings.of), 'candidate')}, {self._extent()}. "
                "Scores below are provisional.",
                style="dim",
            )
        for refusal in refusals:
            self._say(f"Left out: {clean(refusal.sentence)}", style="yellow")
        if self._console.is_terminal:
            total = len(jobs) if budget is None else budget
            self._bar = StudyBar(self._console, self._lines, self._status, self._done, total)
            self._bar.start()

    def job(self, job: Job, run: Run | None) -> None:
        """Show that a run starts (`run` is None) or has ended."""
        if run is None:
            self._current, self._begun = job, True
            return
        self._ended += 1
        self._from_before += not self._begun
        self._current = None
        name = shorten(clean(job.trial.candidate), NAME)
        if run.error is not None:
            self._say(
                f"{name} failed ({clean(job.part) or 'one run'}, fold {job.trial.fold + 1}): "
                f"{clean(run.error)}",
                style="red",
            )
        standing = self._standings.add(job, run)
        # A terminal shows what is unfinished below, a log has no other place for it.
        shown = self._console.is_terminal and not (standing and standing.complete)
        if standing is not None and standing.all_ended and not shown:
            self._tell(standing)

    def answered(self, run: Run) -> None:
        """Count the rows that a first pass has answered since its run ended."""
        standing = self._standings.extend(run)
        if standing is not None and standing.complete:
            self._tell(standing)

    def _tell(self, standing: Standing) -> None:
        """Print a candidate's score so far, unless it was printed for as many rows."""
        if standing.rows and self._said.get(standing.name) != standing.rows:
            self._say(_sentence(standing, self._balanced))
            self._said[standing.name] = standing.rows

    def deciding(self, why: str) -> None:
        """Show with the next run what its answers decide."""
        self._why = why

    def verdict(
        self, named: str, final: bool, still_open: Sequence[str], unanswered: Sequence[str]
    ) -> None:
        """Say what the verdict is so far: the first one, and each that differs from the last."""
        name = shorten(clean(named), NAME)
        said = f"use {name}" if final else f"{name} is ahead"
        said += f"; still open: {', '.join(still_open)}" if still_open else ""
        waiting = ", ".join(shorten(clean(one), NAME) for one in unanswered)
        said += f"; no answer yet from {waiting}" if waiting else ""
        if said != self._verdict:
            which = "Verdict" if self._verdict else "First verdict"
            self._say(f"{which} after {duration(self._elapsed())}: {said}.")
        self._verdict = said

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, sentence: str, style: str = "") -> None:
        # A terminal wraps in the middle of words; a log has no width.
        wide = not self._console.is_terminal
        self._console.print(Encodable(Text(sentence, style=style)), soft_wrap=wide)

    def _lines(self) -> Iterator[Text]:
        for standing in self._standings.of.values():
            if standing.ended and standing.rows and not standing.complete:
                yield Text(
                    _sentence(standing, self._balanced),
                    style="dim",
                    no_wrap=True,
                    overflow="ellipsis",
                )
        if self._sent is not None:
            line = traffic_line(self._sent, perf_counter() - self._start)
            yield Text(line, no_wrap=True, overflow="ellipsis")

    def _elapsed(self) -> float:
        return perf_counter() - self._start

    def _done(self) -> float:
        return self._ended if self._budget is None else self._elapsed()

    def _extent(self) -> str:
        if self._budget is None:
            return plural(self._planned, "run")
        return f"at most {duration(self._budget)}"

    def _status(self) -> Text:
        elapsed = clock(self._elapsed())
        if self._budget is None:
            done = f"{self._ended} of {plural(self._planned, 'run')} · {elapsed}"
        elif self._elapsed() <= self._budget:
            done = f"{elapsed} of {clock(self._budget)}"
        else:
            done = f"{elapsed}, budget {clock(self._budget)}"
        now = self._why
        if not now and self._current is not None:
            now = f"{self._current.trial.candidate}: {self._current.part}"
        text = literal(f"{done} · {clean(now)}" if now else done)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def _summary(self) -> str:
        before = f", {self._from_before:,} of them reused" if self._from_before else ""
        runs = plural(self._ended, "run")
        took = duration(self._elapsed())
        if self._ended < self._planned and self._budget is None:
            return (
                f"Stopped after {took}: {self._ended:,} of {plural(self._planned, 'run')}{before}."
            )
        return f"Finished in {took}: {runs}{before}."


def _sentence(standing: Standing, balanced: bool) -> str:
    name = shorten(clean(standing.name), NAME)
    score = standing.mean_recall if balanced else standing.accuracy
    noun = SCORED["balanced"] if balanced else standing.noun
    said = f"{percent(score):>5} % {noun}"
    if not is_share(noun):  # a metric that is no percentage
        said = f"{clean(noun)} {DASH}" if score is None else scored(score, clean(noun))
    line = f"{name:<12} {said} on {plural(standing.rows, 'row')} in {duration(standing.seconds)}"
    if not standing.complete:
        line += " so far"
    if standing.failed:
        line += f"; {plural(standing.failed, 'run')} failed"
    return line
