"""Say on stderr what happens while a study runs: much on a terminal, little in a log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from choose.formatting import clean, clock, duration, percent, plural
from choose.report.format import literal, shorten
from choose.report.terminal.cost_tables import Sent, traffic_line, traffic_summary
from choose.report.terminal.layout import Encodable
from choose.types import Dataset, Run, Trial

CLEAN = ("clean", 0)


class Planned(Protocol):
    """A job of the grid, as far as a watcher needs to know it."""

    @property
    def trial(self) -> Trial:
        """Return the trial."""

    @property
    def part(self) -> str:
        """Return which part of the study the job belongs to."""


@dataclass
class Standing:
    """The first pass of one candidate: how much of it has ended, and how well it went."""

    name: str
    part: str
    planned: int = 0
    ended: int = 0
    failed: int = 0
    right: int = 0
    rows: int = 0
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Return whether every planned job of the first pass has ended."""
        return self.ended >= self.planned

    @property
    def accuracy(self) -> float | None:
        """Return the raw share of right answers so far, or None before the first answer."""
        return self.right / self.rows if self.rows else None


@dataclass
class Standings:
    """The first passes of all candidates, in the order in which they were planned."""

    targets: Mapping[str, str]
    of: dict[str, Standing] = field(default_factory=dict)

    @classmethod
    def planned(cls, dataset: Dataset, jobs: Iterable[Planned]) -> Standings:
        """Lay out an empty standing for each candidate: its first part is its first pass."""
        standings = cls({id: example.target for id, example in dataset.examples.items()})
        for job in jobs:
            name = job.trial.candidate
            standing = standings.of.setdefault(name, Standing(name, job.part))
            standing.planned += job.part == standing.part
        return standings

    def add(self, job: Planned, run: Run) -> Standing | None:
        """Count a run in; return the standing if the run belongs to a first pass."""
        standing = self.of.get(job.trial.candidate)
        if standing is None or job.part != standing.part:
            return None
        standing.ended += 1
        standing.failed += run.error is not None
        standing.seconds += run.seconds_spent or 0.0
        if run.error is None and CLEAN in run.answers:
            outputs, asked = run.answers[CLEAN].outputs, run.asked[CLEAN]
            standing.rows += len(asked)
            standing.right += sum(
                output == self.targets.get(id) for id, output in zip(asked, outputs, strict=True)
            )
        return standing


NAME = 24


BAR = 20


class LiveProgress:
    """Hears a study run; a context manager, so that the terminal is always left in order.

    On a terminal a bar, the run in hand and the standings of unfinished first passes stay at the
    bottom; elsewhere each candidate gets one line when its first pass ends. Failures always show.
    Accuracy here is the raw share of right answers to clean questions, and provisional.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._budget: float | None = None
        self._standings = Standings({})
        self._live: Live | None = None
        self._in_hand: Planned | None = None
        self._planned = self._ended = self._from_before = 0
        self._start = perf_counter()
        self._sent: Sent | None = None

    def __enter__(self) -> Self:
        """Start the clock; nothing is shown before the plan stands."""
        self._start = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away and say how far the candidates came that were cut short."""
        self._stop()
        for standing in self._standings.of.values():
            if standing.rows and not standing.complete:
                self._say(_sentence(standing))
        if self._planned and self._console.is_terminal:
            self._say(self._summary(), style="dim")
        if self._sent is not None:
            self._say(traffic_summary(self._sent))

    def sending(self, traffic: Sent) -> None:
        """Show the requests to endpoints from now on, and their sum at the end."""
        self._sent = traffic

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Planned],
        refusals: Sequence[str],
        budget: float | None = None,
    ) -> None:
        """Say what will run, and show the bar against a budget of seconds."""
        self._budget = budget
        self._standings = Standings.planned(dataset, jobs)
        self._planned = len(jobs)
        if self._console.is_terminal:
            self._say(
                f"{clean(dataset.name)}: {plural(len(dataset.examples), 'row')}, "
                f"{plural(len(dataset.task.labels), 'label')}; "
                f"{plural(len(self._standings.of), 'candidate')}, "
                f"{plural(len(jobs), 'run')}. Figures below are provisional.",
                style="dim",
            )
            for refusal in refusals:
                self._say(f"Left out: {clean(refusal)}", style="yellow")
            self._live = Live(
                get_renderable=self._screen,
                console=self._console,
                transient=True,
                refresh_per_second=2,
            )
            self._live.start()

    def job(self, job: Planned, run: Run | None) -> None:
        """Note that a run starts (None) or has ended."""
        if run is None:
            self._in_hand = job
            return
        self._ended += 1
        self._from_before += self._in_hand is not job
        self._in_hand = None
        name = shorten(clean(job.trial.candidate), NAME)
        if run.error is not None:
            self._say(
                f"{name} failed ({clean(job.part) or 'one run'}, fold {job.trial.fold + 1}): "
                f"{clean(run.error)}",
                style="red",
            )
        standing = self._standings.add(job, run)
        if standing is not None and standing.complete and standing.rows:
            self._say(_sentence(standing))

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, sentence: str, style: str = "") -> None:
        self._console.print(Encodable(Text(sentence, style=style)), soft_wrap=True)

    def _screen(self) -> RenderableType:
        traffic = []
        if self._sent is not None:
            line = traffic_line(self._sent, perf_counter() - self._start)
            traffic = [Text(line, no_wrap=True, overflow="ellipsis")]
        return Encodable(Group(*self._pending(), *traffic, self._bar()))

    def _pending(self) -> Iterator[RenderableType]:
        for standing in self._standings.of.values():
            if standing.ended and standing.rows and not standing.complete:
                yield Text(_sentence(standing), style="dim", no_wrap=True, overflow="ellipsis")

    def _bar(self) -> RenderableType:
        spent = clock(perf_counter() - self._start)
        limit = f" of {clock(self._budget)}" if self._budget is not None else ""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=BAR)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        doing = (
            f" · {clean(self._in_hand.trial.candidate)}: {clean(self._in_hand.part)}"
            if self._in_hand is not None
            else ""
        )
        grid.add_row(
            ProgressBar(total=max(1, self._planned), completed=self._ended, width=BAR),
            literal(f"{self._ended} of {self._planned} runs · {spent}{limit}{doing}"),
        )
        return grid

    def _summary(self) -> str:
        before = f", {self._from_before} of them from before" if self._from_before else ""
        return (
            f"{self._ended} of {plural(self._planned, 'run')} done{before}, "
            f"{duration(perf_counter() - self._start)}."
        )


def _sentence(standing: Standing) -> str:
    name = shorten(clean(standing.name), NAME)
    said = (
        f"{name:<12} {percent(standing.accuracy):>5} of 100 right on "
        f"{plural(standing.rows, 'row')}, {duration(standing.seconds)}"
    )
    if not standing.complete:
        said += f" so far; {standing.ended} of {standing.planned} runs"
    if standing.failed:
        said += f"; {plural(standing.failed, 'run')} failed"
    return said
