"""What is known of each candidate while a study runs: what a trial takes, whether any worked."""

from __future__ import annotations

from dataclasses import dataclass, field

from choose.types import Run


@dataclass
class Standing:
    """Candidates by what their trials have shown, those of earlier commands included.

    Attributes:
        cost: seconds that a whole trial took lately.
        failed: who has had a trial that failed.
        worked: who has had one that did not.
    """

    cost: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    worked: set[str] = field(default_factory=set)

    def add(self, run: Run) -> None:
        """Take note of a run."""
        name = run.trial.candidate
        self.cost[name] = max(whole_cost(run), 0.5 * self.cost.get(name, 0.0))
        (self.failed if run.error else self.worked).add(name)

    def only_fails(self, name: str) -> bool:
        """Return whether a candidate has only failed so far, and so has said what it has to say."""
        return name in self.failed and name not in self.worked


def whole_cost(run: Run) -> float:
    """Return the seconds that a trial takes when all its questions are asked."""
    spent, asked = run.seconds_spent or 0.0, len(run.asked.get(("clean", 0), ()))
    asking = min(run.predict_seconds or 0.0, spent)
    return spent + asking * run.unasked / asked if asked else spent
