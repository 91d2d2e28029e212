"""How the chosen candidate will be used: volume, value, time, and the work that goes into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

# A month in days: the mean of the Gregorian calendar.
DAYS = 30.436875


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a study says of the time after it; None is not said, and leaves dollars unknown.

    Attributes:
        value_per_right_answer: dollars that a right answer is worth more than a wrong one.
        volume_per_month: answers asked for in a month.
        horizon_months: over how long costs and value are added up.
        start: the day on which use begins, as an ISO date.
        engineer_rate: dollars for an hour of engineering.
        engineer_hours: hours to build, by candidate or by family; the candidate's own count first.
        new_labels: rows to be labelled before the build; those of the study are paid for.
        refresh_months: how often it is built again on newer data; None is never.
        refresh_labels: rows to be labelled for each refresh.
        refresh_hours: engineer hours of each refresh, as in `engineer_hours`.
        tasks: tasks that one base is to serve.
        machine_gb: memory of the machine whose hour is priced.
    """

    value_per_right_answer: float | None = None
    volume_per_month: float | None = None
    horizon_months: float | None = None
    start: str | None = None
    engineer_rate: float | None = None
    engineer_hours: Mapping[str, float] = field(default_factory=dict)
    new_labels: int = 0
    refresh_months: float | None = None
    refresh_labels: int | None = None
    refresh_hours: Mapping[str, float] = field(default_factory=dict)
    tasks: int | None = None
    machine_gb: float | None = None

    def refreshes(self, months: float) -> int:
        """Return the refreshes within so many months; none is due on the last day."""
        if self.refresh_months is None:
            return 0
        # A hair's breadth, so that 12 months of 30.4 days hold what 12 months hold.
        return max(ceil(months / self.refresh_months - 1e-9) - 1, 0)


UNSAID = Deployment()


def hours_of(hours: Mapping[str, float], name: str, family: str) -> float | None:
    """Return a candidate's hours, by its name or else its family; None where neither is given."""
    return hours.get(name, hours.get(family))
