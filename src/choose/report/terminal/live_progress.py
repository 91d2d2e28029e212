"""Progress of a study on stderr: a live bar on a terminal, a line per candidate in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from choose.formatting import DASH, clean, clock, duration, percent, plural
from choose.report.screen_text import literal, shorten
from choose.report.terminal.cost_tables import Sent, traffic_line, traffic_summary
from choose.report.terminal.layout import Encodable
from choose.schema.plan import Job
from choose.schema.words import SCORED, is_share, noun_of, scored
from choose.types import Dataset, Run

CLEAN = ("clean", 0)


@dataclass
class Standing:
    """The first pass of one candidate: its finished runs and their raw accuracy."""

    name: str
    part: str
    planned: int = 0
    ended: int = 0
    failed: int = 0
    right: float = 0
    rows: int = 0
    seconds: float = 0.0
    by_label: dict[str, tuple[int, int]] = field(default_factory=dict)
    noun: str = SCORED["accuracy"]

    @property
    def complete(self) -> bool:
        """Return whether every planned job of the first pass has ended."""
        return self.ended >= self.planned

    @property
    def accuracy(self) -> float | None:
        """Return the raw share of right answers so far; None before the first answer."""
        return self.right / self.rows if self.rows else None

    @property
    def mean_recall(self) -> float | None:
        """Return the mean recall of the labels seen so far; None before the first answer."""
        recalls = [right / rows for right, rows in self.by_label.values()]
        return sum(recalls) / len(recalls) if recalls else None


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
        standing.seconds += run.seconds_spent or 0.0
        if run.error is None and CLEAN in run.answers:
            outputs, ids = run.answers[CLEAN].outputs, run.asked[CLEAN]
            standing.rows += len(ids)
            if scores := run.scores.get(CLEAN):
                standing.right += float(next(iter(scores.values())).sum())
                return standing
            for id, output in zip(ids, outputs, strict=True):
                target = self.targets.get(id, "")
                right, rows = standing.by_label.get(target, (0, 0))
                standing.by_label[target] = right + (output == target), rows + 1
                standing.right += output == target
        return standing


# Columns of the screen.
NAME = 24
BAR = 20


class StatusColumn(ProgressColumn):
    """A column of text that a function returns anew at each refresh."""

    def __init__(self, status: Callable[[], Text]) -> None:
        super().__init__()
        self._status = status

    def render(self, task: Task) -> Text:
        """Return the text."""
        return self._status()


class StudyBar(Progress):
    """A bar with a status, below other lines, in characters that the console can express.

    `done` returns how much of `total` is done, in any unit.
    """

    def __init__(
        self,
        console: Console,
        lines: Callable[[], Iterable[Text]],
        status: Callable[[], Text],
        done: Callable[[], float],
        total: float,
    ) -> None:
        self._lines, self._done, self._total = lines, done, max(total, 1e-9)
        columns = BarColumn(BAR), StatusColumn(status)
        super().__init__(*columns, console=console, transient=True, refresh_per_second=2)
        self.add_task("study", total=self._total)

    def get_renderable(self) -> RenderableType:
        """Return the lines and the bar."""
        for task in self.task_ids:
            self.update(task, completed=min(self._done(), self._total))
        return Encodable(Group(*self._lines(), *self.get_renderables()))


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
        self._said: set[str] = set()
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
            if standing.rows and not standing.complete:
                self._say(_sentence(standing, self._balanced))
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
        refusals: Sequence[str],
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
                self._say(f"Left out: {clean(refusal)}", style="yellow")
            total = len(jobs) if budget is None else budget
            self._bar = StudyBar(self._console, self._lines, self._status, self._done, total)
            self._bar.start()

    def job(self, job: Job, run: Run | None) -> None:
        """Show that a run starts (`run` is None) or has ended."""
        if run is None:
            self._current = job
            return
        self._ended += 1
        self._from_before += self._current is not job
        self._current = None
        name = shorten(clean(job.trial.candidate), NAME)
        if run.error is not None:
            self._say(
                f"{name} failed ({clean(job.part) or 'one run'}, fold {job.trial.fold + 1}): "
                f"{clean(run.error)}",
                style="red",
            )
        standing = self._standings.add(job, run)
        if standing is not None and standing.complete and standing.rows:
            if standing.name not in self._said:
                self._say(_sentence(standing, self._balanced))
            self._said.add(standing.name)

    def deciding(self, why: str) -> None:
        """Show what the next run decides."""
        self._why = why

    def verdict(self, named: str, final: bool, still_open: Sequence[str]) -> None:
        """Say what the verdict is so far: the first one, and each that differs from the last."""
        name = shorten(clean(named), NAME)
        said = f"use {name}" if final else f"{name} is ahead"
        said += f"; still open: {', '.join(still_open)}" if still_open else ""
        if said != self._verdict:
            which = "Verdict" if self._verdict else "First verdict"
            self._say(f"{which} after {duration(self._elapsed())}: {said}.")
        self._verdict = said

    def interrupted(self) -> None:
        """Say at once that the run has ended, since judging takes seconds."""
        self._stop()
        self._say("Interrupted. Judging what has finished; Ctrl-C again leaves at once.")

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
        current = ""
        if self._current is not None:
            part = f"{self._current.trial.candidate}: {self._current.part}"
            current = f" · {clean(self._why or part)}"
        text = literal(f"{done}{current}")
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
