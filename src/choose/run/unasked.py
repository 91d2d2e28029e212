"""Time that is left at the end goes to rows that a share of it did not reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import perf_counter

from choose.data.scenarios import drawn, place_of
from choose.run.asking import CHUNK, Deadline, ask_until
from choose.run.fitting import Fitted, cached_seconds
from choose.study.grid import Job
from choose.types import Dataset, Run


@dataclass(frozen=True, slots=True)
class Cut:
    """A first pass that was not asked all its rows, with what was fitted if it may be asked on."""

    job: Job
    run: Run
    fitted: Fitted | None

    @property
    def asked(self) -> int:
        """Return how many rows it was asked."""
        return len(self.run.asked["clean", 0])

    @property
    def chunk(self) -> float:
        """Return the seconds that a few more rows take."""
        return CHUNK * (self.run.predict_seconds or 0.0) / self.asked


@dataclass
class Unasked:
    """First passes that were cut, by the trial's key."""

    dataset: Dataset
    cut: dict[str, Cut] = field(default_factory=dict)

    def note(self, job: Job, run: Run, fitted: Fitted | None) -> None:
        """Remember a trial that left rows unasked, or forget one that has been asked all."""
        self.cut.pop(run.trial.key, None)
        if run.unasked:
            self.cut[run.trial.key] = Cut(job, run, fitted)

    def ask_on(self, left: Callable[[], float], hopeless: Callable[[Job], bool]) -> Iterator[Run]:
        """Yield runs with more rows than they had, whoever has fewest first, while time is left."""
        spent: set[str] = set()
        while True:
            going = [c for key, c in self.cut.items() if c.fitted is not None and key not in spent]
            fit = [cut for cut in going if cut.chunk < left() and not hopeless(cut.job)]
            if not fit:
                return
            cut = min(fit, key=lambda c: c.asked)
            try:
                run = self._more(cut, left())
            except Exception:
                run = cut.run  # a failure now: what it had answered before stands
            if run.unasked == cut.run.unasked:
                spent.add(run.trial.key)
                continue
            self.note(cut.job, run, cut.fitted)
            yield run

    def _more(self, cut: Cut, left: float) -> Run:
        assert cut.fitted is not None
        trial, strategy, run = cut.job.trial, cut.fitted.strategy, cut.run
        rows = drawn(self.dataset, place_of(trial, self.dataset))
        questions = [self.dataset.examples[id].item() for id in rows.questions]
        start, before = perf_counter(), cached_seconds(strategy)
        deadline = Deadline(share=start, end=start + left, least=0)
        asked, found = ask_until(
            strategy, questions, self.dataset, deadline, run.answers["clean", 0]
        )
        spent = perf_counter() - start
        alone = spent + cached_seconds(strategy) - before
        return replace(
            run,
            answers={**run.answers, ("clean", 0): found},
            asked={**run.asked, ("clean", 0): tuple(item.id for item in asked)},
            predict_seconds=(run.predict_seconds or 0.0) + alone,
            seconds_spent=(run.seconds_spent or 0.0) + spent,
            seconds_alone=None if run.seconds_alone is None else run.seconds_alone + alone,
            unasked=len(questions) - len(asked),
        )
