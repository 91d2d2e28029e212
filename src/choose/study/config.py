"""The study file: every option of a comparison, written once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from choose.errors import StudyError, did_you_mean
from choose.models.endpoints.settings import Endpoint
from choose.types import FAMILIES


class Section(BaseModel):
    """A frozen section that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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


Rate = Annotated[float, Field(ge=0, lt=1)]


View = Literal["typos", "casing", "spacing", "filler", "contraction"]


NoiseKind = Literal["symmetric", "confused-pair", "class-dependent"]


Metric = Literal["accuracy", "balanced", "cost"]


Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


ScenarioKind = Literal["inner", "time", "new-class"]


class DataSection(Section):
    """Where the labelled rows are and how to read them."""

    path: str | None = None
    test: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    time_column: str | None = None
    group_column: str | None = None
    annotator_column: str | None = None
    test_rows: int | None = Field(default=None, ge=2)
    folds: int | None = Field(default=None, ge=2, le=20)


class TaskSection(Section):
    """What a model is told about the task; names and descriptions by label.

    `out_of_scope` is the label of rows that none of the others fits; models are not told.
    """

    instruction: str | None = None
    names: Mapping[str, str] = {}
    descriptions: Mapping[str, str] = {}
    out_of_scope: str | None = None


class Goal(Section):
    """What counts as good enough, fixed before the run; fractions, so 0.02 is two points.

    `metric` is what "right" means: every row the same (accuracy), every label the same (balanced),
    or what errors cost (cost). `error_costs` are by label, then by the answer given instead; an
    error that it does not name costs 1, and an unusable answer what the dearest error on its label
    does.
    """

    target: float | None = Field(default=None, gt=0, le=1)
    metric: Metric = "accuracy"
    error_costs: Mapping[str, Mapping[str, Cost]] = {}
    margin: float | None = Field(
        default=None, gt=0, lt=0.5, description="else it follows from the prices, or is 0.02"
    )


class Constraints(Section):
    """What no candidate may break; `data_may_leave` is whether rows may go to other machines."""

    data_may_leave: bool = True


class Grid(Section):
    """What is varied; null means the standard study.

    `repeats` is how often an endpoint is asked the same; `max_usd` the most one command may spend.
    """

    seeds: int | None = Field(default=None, ge=1, le=100)
    sizes: tuple[float | int, ...] | None = None
    noise: tuple[Rate, ...] | None = None
    noise_kinds: tuple[NoiseKind, ...] | None = None
    scenarios: tuple[ScenarioKind, ...] | None = None
    views: tuple[View, ...] | None = None
    wordings: bool = True
    thorough: bool = False
    budget_seconds: float | None = Field(default=600.0, gt=0)
    repeats: int = Field(default=1, ge=1, le=20)
    max_usd: float | None = Field(default=None, gt=0)


class Specs(Section):
    """Model specs by role."""

    model: str | None = None
    tune: str | None = None
    encoder: str | None = None


class Models(Specs):
    """Model specs for every candidate that does not name its own.

    `retirement` is the day from which a model cannot be had any more, by candidate or model spec.
    """

    retirement: Mapping[str, date] = {}


class CandidateSection(Specs):
    """A candidate; the name defaults to the strategy's, models to those of the study."""

    strategy: str
    name: str | None = None
    params: Mapping[str, Any] = {}


class Study(Section):
    """One comparison, as resolved: the study file with the flags laid over it."""

    rule: str | None = Field(default=None, description="version of the decision rule")
    data: DataSection = DataSection()
    task: TaskSection = TaskSection()
    goal: Goal = Goal()
    constraints: Constraints = Constraints()
    costs: Costs = Costs()
    grid: Grid = Grid()
    models: Models = Models()
    endpoints: Mapping[str, Endpoint] = {}
    candidates: tuple[CandidateSection, ...] = ()

    @model_validator(mode="after")
    def _counts(self) -> Self:
        """Refuse goals whose figures would not be what they are said to be."""
        if (self.goal.metric == "cost") != bool(self.goal.error_costs):
            raise ValueError(
                "goal.error_costs says what errors cost and goal.metric = 'cost' uses it: give "
                "both or neither"
            )
        if self.goal.metric == "cost" and self.goal.margin is None:
            raise ValueError(
                "goal.margin is missing: with goal.metric = 'cost' it is a share of the dearest "
                "error, for which there is no usual value"
            )
        if self.goal.metric != "accuracy" and self.costs.value_per_right_answer is not None:
            raise ValueError(
                "costs.value_per_right_answer is what a right row is worth, and goal.metric = "
                f"{self.goal.metric!r} counts otherwise; leave one of them out"
            )
        return self

    @property
    def derives(self) -> bool:
        """Return whether the smallest gain that matters will follow from prices."""
        return self.goal.margin is None and self.costs.derives

    @property
    def races(self) -> bool:
        """Return whether a candidate that is far behind may be dropped from a race.

        The bound of a race is one of rows that are right or wrong, each counting the same. And
        where the smallest gain that matters follows from prices, it is not known until costs are
        measured and may be large, so that one who is far behind may still be the one to use.
        """
        return not self.derives and self.goal.metric == "accuracy"
