"""Progress of a study on stderr: a live bar on a terminal, and a line for each round."""

from collections.abc import Sequence
from time import perf_counter
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from choose.formatting import chance, clock, duration, plural
from choose.report.terminal.pages import literal
from choose.report.terminal.plan_page import reach_line, traffic_line, traffic_summary
from choose.report.words import left_out_line, shorten
from choose.schema.decision import LIKELY
from choose.schema.plan import COMPARISON, Job, LeftOut, Reach, Round, Standing, Traffic
from choose.strategy import find
from choose.types import Dataset, Run

# Columns of the screen for a name, and for the bar.
NAME, BAR = 24, 20


class LiveProgress:
    """Observer that shows progress; a context manager, which always restores the terminal.

    A line tells the scores after each round; on a terminal, a bar counts the time. Failures always
    show. Scores are raw means over the rows that a candidate has answered, and provisional.
    """

    def __init__(self, console: Console | None = None, started: float | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._budget: float | None = None
        self._bar: Live | None = None
        self._current: Job | None = None
        self._jobs = self._ended = self._reused = self._round = 0
        self._begun = False
        self._start = started or perf_counter()
        self._traffic: Traffic | None = None
        self._verdict = self._silent = ""
        self._before: Standing | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._jobs and self._console.is_terminal:
            reused = f", {self._reused:,} of them from the store" if self._reused else ""
            took = duration(perf_counter() - self._start)
            self._say(f"Finished in {took}: {plural(self._ended, 'run')}{reused}.", style="dim")
        if self._traffic is not None:
            self._say(traffic_summary(self._traffic))

    def sending(self, traffic: Traffic) -> None:
        """Show requests to endpoints from now on, and their total at the end."""
        self._traffic = traffic

    def noted(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            self._say(sentence, style="dim")

    def planned(
        self,
        dataset: Dataset,
        rounds: Sequence[Round],
        refusals: Sequence[LeftOut],
        budget: float | None = None,
        reach: Reach | None = None,
    ) -> None:
        """Print what will run and what the budget reaches, and show the bar."""
        self._budget = budget
        self._jobs, labels = sum(len(round.jobs) for round in rounds), dataset.task.labels
        names = {job.trial.candidate for round in rounds for job in round.jobs}
        what = plural(len(labels), "label") if labels else dataset.task.kind
        extent = "" if budget is None else f", at most {duration(budget)}"
        if self._console.is_terminal:
            self._say(
                f"{dataset.name}: {plural(len(dataset.examples), 'row')}, {what}; "
                f"{plural(len(names), 'candidate')}{extent}. Scores below are provisional.",
                style="dim",
            )
        if reach is not None and budget is not None:
            jobs = [job.trial for round in rounds for job in round.jobs]
            families = {trial.candidate: find(trial.strategy).family for trial in jobs}
            self._say(reach_line(reach, families, len(dataset.asked), budget), style="dim")
        for refusal in refusals:
            self._say(f"Left out: {left_out_line(refusal)}", style="yellow")
        if self._console.is_terminal:
            self._bar = Live(console=self._console, get_renderable=self._shown, transient=True)
            self._bar.start()

    def job(self, job: Job, run: Run | None) -> None:
        """Show that a run starts (`run` is None) or has ended."""
        if run is None:
            self._current, self._begun = job, True
            return
        self._ended += 1
        self._reused += not self._begun
        self._current = None
        if run.error is not None:
            name = shorten(job.trial.candidate, NAME)
            self._say(
                f"{name} failed ({job.part or 'one run'}, fold {job.trial.fold + 1}): {run.error}",
                style="red",
            )

    def standing(self, standing: Standing) -> None:
        """Say the scores after a round, or once every family has some, and the verdict so far."""
        if standing.ended or self._before is None:
            self._say(round_line(standing, self._before))
            self._before = standing
        if standing.ended:
            self._round, self._current = standing.round.number + 1, None
        silent = ", ".join(name for name, rows in standing.rows.items() if not rows)
        if silent and silent != self._silent:
            self._say(f"No answer yet from {silent}.")
        self._silent = silent
        if standing.named is not None and (said := chances_line(standing)) != self._verdict:
            self._say(f"after {duration(perf_counter() - self._start)}: {said}")
            self._verdict = said

    def _say(self, sentence: str, style: str = "") -> None:
        # A terminal wraps in the middle of words; a log has no width.
        self._console.print(literal(sentence, style), soft_wrap=not self._console.is_terminal)

    def _shown(self) -> RenderableType:
        lines, seconds = [], perf_counter() - self._start
        if self._traffic is not None:
            lines.append(_one_line(traffic_line(self._traffic, seconds)))
        status, done, total = clock(seconds), float(self._ended), float(self._jobs)
        if self._budget is not None:
            status, done, total = f"{status} of {clock(self._budget)}", seconds, self._budget
        if self._current is not None:
            trial, part = self._current.trial, self._current.part
            now = f"round {self._round}" if part == COMPARISON else part
            status += f" · {now} · {trial.candidate} on {plural(trial.train_size, 'row')}"
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(max(total, 1e-9), min(done, total), width=BAR), _one_line(status))
        return Group(*lines, bar)


def _one_line(sentence: str) -> Text:
    text = literal(sentence)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def chances_line(standing: Standing) -> str:
    """Return ``probe, 85 % sure; lora 14 %``, or ``open; chances: lora 54 %, probe 45 %``.

    Where references score more than all others, no chance is said, as a report says none.
    """
    if not standing.usable:
        return "nothing is usable yet"
    likely = [n for n, own in standing.chances.items() if own >= 0.01 or n == standing.named]
    likely.sort(key=lambda name: -standing.chances[name])
    told = [f"{shorten(n, NAME)} {chance(standing.chances[n])}" for n in likely]
    if standing.chances[likely[0]] < LIKELY:
        return f"open; chances: {', '.join(told)}"
    first = f"{shorten(likely[0], NAME)}, {chance(standing.chances[likely[0]])} sure"
    return "; ".join(filter(None, (first, ", ".join(told[1:]))))


def round_line(standing: Standing, before: Standing | None = None) -> str:
    """Return ``round 3: 1,000 rows to learn from, 100 to answer; probe 62, lora 63``.

    Candidates with the rows and the score of `before` took no part, and are left out. Fits of an
    earlier round may have waited until now.
    """
    one, known = standing.round, standing.scores
    late = ", later fits" * (before is not None and one.number < before.round.number)
    now = {(n, score, standing.rows.get(n)) for n, score in known.items()}
    old = {(n, score, before.rows.get(n)) for n, score in before.scores.items()} if before else {}
    order = sorted({name for name, *_ in now.difference(old) or now}, key=lambda n: (-known[n], n))
    scores = ", ".join(
        f"{shorten(n, NAME)} {100 * known[n]:.0f}{_fewer_rows(standing, n)}" for n in order
    )
    size = f"{plural(one.rows, 'row')} to learn from, {one.ask:,} to answer"
    return f"round {one.number}{late}: {size}; {scores}"


def _fewer_rows(standing: Standing, name: str) -> str:
    """Return `` (learned from 250, answered 25)`` where a candidate has fewer than its round."""
    one = standing.round
    learned, rows = standing.learned.get(name, one.rows), standing.rows.get(name, one.ask)
    # Folds differ by a few rows.
    told = [f"learned from {learned:,}"] * (learned < 0.9 * one.rows)
    told += [f"answered {rows:,}"] * (rows < one.ask)
    return f" ({', '.join(told)})" if told else ""
