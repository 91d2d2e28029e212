"""Spare the time of candidates that can no longer win, on a bound that is declared beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

from choose.types import Run

# One side, 99.9 %: a candidate is looked at after each of its folds, so the bound must be strict.
Z = 3.09
ROWS = 100


@dataclass
class Race:
    """Who is right where, on clean rows of the first pass, and who is out.

    A candidate is out when, on at least 100 rows that both answered, the upper 99.9 % bound of its
    paired difference to another candidate lies below minus the margin: it can neither win nor be
    shown to be as good. The interval is Bonett and Price's (2012) for paired proportions.
    """

    targets: Mapping[str, str]
    margin: float
    right: dict[str, dict[str, bool]] = field(default_factory=dict)
    out: dict[str, str] = field(default_factory=dict)

    def add(self, run: Run) -> None:
        """Count the clean answers of a run."""
        if run.error is not None:
            return
        rows = self.right.setdefault(run.trial.candidate, {})
        answers, asked = run.answers["clean", 0], run.asked["clean", 0]
        for id, output in zip(asked, answers.outputs, strict=True):
            rows[id] = output == self.targets[id]

    def drop(self, name: str) -> bool:
        """Return whether a candidate is out by now, and remember why."""
        if name not in self.out:
            for rival in self.right:
                difference, bound, rows = self._against(name, rival)
                if rows >= ROWS and bound < -self.margin:
                    self.out[name] = (
                        f"dropped after {rows} rows, {-100 * difference:.0f} points behind {rival} "
                        f"(at least {-100 * bound:.0f} behind with 99.9 % certainty)"
                    )
                    break
        return name in self.out

    def _against(self, name: str, rival: str) -> tuple[float, float, int]:
        mine, theirs = self.right.get(name, {}), self.right[rival]
        common = [id for id in mine if id in theirs]
        if not common:
            return 0.0, 1.0, 0
        gained = sum(mine[id] and not theirs[id] for id in common)
        lost = sum(theirs[id] and not mine[id] for id in common)
        p, q = (gained + 1) / (len(common) + 2), (lost + 1) / (len(common) + 2)
        spread = sqrt((p + q - (p - q) ** 2) / (len(common) + 2))
        return (gained - lost) / len(common), p - q + Z * spread, len(common)
