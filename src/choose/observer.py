"""Who hears what happens while a study runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from choose.models.endpoints.session import Traffic
from choose.study.grid import Job
from choose.types import Dataset, Run


class Observer(Protocol):
    """Hears what happens while a study runs."""

    def sending(self, traffic: Traffic) -> None:
        """Requests will go to endpoints; `traffic` counts them as they do."""

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[str],
        budget: float | None,
    ) -> None:
        """The grid stands; nothing has run yet."""

    def job(self, job: Job, run: Run | None) -> None:
        """A job starts (no run) or has ended."""


class Silent:
    """Hears and says nothing."""

    def sending(self, traffic: Traffic) -> None:
        """Ignore the traffic."""

    def planned(
        self,
        dataset: Dataset,
        jobs: Sequence[Job],
        refusals: Sequence[str],
        budget: float | None,
    ) -> None:
        """Ignore the plan."""

    def job(self, job: Job, run: Run | None) -> None:
        """Ignore the job."""
