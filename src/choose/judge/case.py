"""A decided field, and what gates, sentences and advice need of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from choose.judge.families import Match, match
from choose.judge.growth import contest, opponent
from choose.judge.intervals import smallest_detectable_gain
from choose.judge.record_audit import Audit
from choose.judge.record_failures import Failures, Overlap
from choose.judge.settle import Field, Settlement
from choose.types import Family


@dataclass(frozen=True)
class Case:
    """A decided field, and what several gates need of it."""

    field: Field
    settlement: Settlement
    audit: Audit | None = None
    failures: Failures | None = None
    overlap: Overlap | None = None

    @property
    def name(self) -> str:
        """Return the candidate that is chosen, or used meanwhile."""
        return self.settlement.meanwhile

    @property
    def margin(self) -> float:
        """Return the smallest gain that matters where nothing sets two candidates apart in cost."""
        return self.field.rule.margin

    @cached_property
    def stake(self) -> float:
        """Return the smallest gain that matters in the contest that decides."""
        other = opponent(self.field, self.settlement)
        return self.field.margin(other, self.name) if other else self.margin

    @cached_property
    def detectable(self) -> float | None:
        """Return the gain that is found four times in five, in the contest that decides.

        Repetitions limit it as well as rows do.
        """
        return self._finds(with_luck=True)

    @cached_property
    def detectable_by_rows(self) -> float | None:
        """Return the gain that these rows would find if retraining brought no luck."""
        return self._finds(with_luck=False)

    def _finds(self, with_luck: bool) -> float | None:
        found = contest(self.field, self.settlement)
        if found is None:
            return None
        luck = found.error.second / found.largest**2 if with_luck else 0.0
        gain = smallest_detectable_gain(
            found.independent * found.rows, found.discordance, repetition_variance=luck
        )
        return gain * found.largest if gain is not None else None

    def versus(self, families: Sequence[Family], others: Sequence[Family]) -> Match | None:
        """Compare the best of some families with the best of others."""
        sides = [
            [m for m in self.field.order if m.info.family in part] for part in (families, others)
        ]
        return match(self.field.pairs, sides[0], sides[1])
