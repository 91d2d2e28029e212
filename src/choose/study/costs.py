"""The prices of a study: nothing is built in, and what is missing stays unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated

from pydantic import Field

from choose.errors import StudyError, did_you_mean
from choose.study.section import Section
from choose.types import FAMILIES

Price = Annotated[float, Field(ge=0)]


class Costs(Section):
    """Prices, times and the use that a model is meant for.

    Hours are by family ("baseline", "prompting", "retrieval", "fine-tuning") or by candidate, whose
    own figure counts first. The labels of the study itself are taken as paid for.
    """

    minutes_per_label: float | None = Field(default=None, gt=0)
    hourly_rate: float | None = Field(default=None, ge=0)
    qa_share: float = Field(
        default=0.0, ge=0, le=1, description="share of the labels that are given twice, as a check"
    )
    usd_per_machine_hour: float | None = Field(default=None, ge=0)
    machine_gb: float | None = Field(default=None, gt=0, description="memory of that machine")
    value_per_right_answer: float | None = Field(
        default=None, gt=0, description="dollars that an avoided error is worth"
    )
    volume_per_month: float | None = Field(default=None, gt=0)
    horizon_months: float | None = Field(default=None, gt=0, le=600)
    start: date | None = Field(default=None, description="first day of use; the day of the run")
    engineer_rate: float | None = Field(default=None, ge=0)
    engineer_hours: Mapping[str, Price] = {}
    new_labels: int = Field(default=0, ge=0, description="to be bought before it is built")
    refresh_months: float | None = Field(default=None, gt=0)
    refresh_labels: int | None = Field(default=None, ge=0)
    refresh_hours: Mapping[str, Price] = {}
    tasks: int | None = Field(default=None, ge=1, description="tasks that one base is to serve")

    @property
    def derives(self) -> bool:
        """Return whether the smallest gain that matters can follow from prices."""
        known = (self.value_per_right_answer, self.volume_per_month, self.horizon_months)
        return None not in known


def check_names(
    costs: Costs,
    retirement: Mapping[str, date],
    names: Sequence[str],
    specs: Sequence[str],
) -> None:
    """Refuse prices of candidates and dates of models that the study does not have.

    Raises:
        StudyError: naming the key and what is allowed.
    """
    families: tuple[str, ...] = FAMILIES
    for key, hours in (
        ("engineer_hours", costs.engineer_hours),
        ("refresh_hours", costs.refresh_hours),
    ):
        for name in _strange(hours, [*families, *names]):
            raise StudyError(_sentence(f"costs.{key}", name, [*families, *names]))
    for name in _strange(retirement, [*names, *specs]):
        raise StudyError(_sentence("models.retirement", name, [*names, *specs]))
    for name, day in retirement.items():
        if costs.start is not None and day <= costs.start:
            raise StudyError(
                f"models.retirement has {name!r} retired on {day}, before use starts on "
                f"{costs.start} (costs.start). Leave that model out, or correct the date."
            )


def _strange(given: Mapping[str, object], known: Sequence[str]) -> Iterator[str]:
    return (name for name in given if name not in known)


def _sentence(key: str, name: str, known: Sequence[str]) -> str:
    return (
        f"{key} names {name!r}, which this study does not have.{did_you_mean(name, known)} "
        f"Allowed: {', '.join(dict.fromkeys(known))}."
    )
