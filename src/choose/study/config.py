"""The study file: every option of a comparison, with its limits, help text and flag."""

import unicodedata
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from choose.errors import did_you_mean
from choose.formatting import clean
from choose.models.endpoints.settings import Endpoint
from choose.models.prompting.prompts import OwnPrompt, read_prompt
from choose.outside_values import Settings, Several, per_month, seconds, share
from choose.schema.study_sections import (
    AnswersSection,
    DataSection,
    Flag,
    RunSection,
    TaskSection,
    option,
)
from choose.tasks.metrics import DEFAULT, METRICS, metrics_of
from choose.tasks.scoring import is_function
from choose.types import FAMILIES, Kind

# Verdicts and families, which --expect names as it does candidates.
RESERVED: tuple[str, ...] = (*get_args(Kind), *FAMILIES)

Rate = Annotated[float, BeforeValidator(share), Field(ge=0, lt=1)]
View = Literal["typos"]
ScenarioKind = Literal["inner", "time", "source", "new-class"]

# The metrics with their kinds of task; one whose name says what it is has no kind to choose in.
_BY_KIND = "; ".join(
    f"{kind}: {', '.join(metrics_of(kind))}"
    for kind in dict.fromkeys(metric.kind for metric in METRICS.values() if metric.help)
)


class Goal(Settings):
    """What counts as good enough, fixed before the run; fractions, so 0.02 is two points."""

    target: Annotated[float | None, BeforeValidator(share), Flag("SHARE")] = option(
        "What is good enough, such as 90%.", gt=0, le=1
    )
    metric: Annotated[str, Flag("NAME")] = option(
        f"Score to decide by; the first of a kind is its default. {_BY_KIND}. What "
        "each is: choose explain NAME. Yours: FILE.py:FUNCTION, which takes (output, targets).",
        default=DEFAULT,
    )
    margin: Annotated[float | None, BeforeValidator(share)] = option(
        "Smallest gain that matters, such as 0.02 or 2%; with 0 any gain that is shown does. "
        "Default: 0.02.",
        ge=0,
        lt=0.5,
    )

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in METRICS and not is_function(name):
            raise ValueError(
                f"{_BY_KIND} (macro-F1 is shown, not optimised); a function of yours is "
                f"FILE.py:FUNCTION.{did_you_mean(name, METRICS)}".removesuffix(".")
            )
        return name


class Constraints(Settings):
    """What no candidate may break: with the first, none runs that does; else none is named."""

    data_may_leave: bool = option("Whether rows may be sent to other machines.", default=True)
    max_ms: Annotated[float | None, Flag("MS")] = option(
        "Most milliseconds that an answer may take: a slower candidate is measured, and never "
        "named.",
        gt=0,
    )
    max_usd_per_1000: Annotated[float | None, Flag("DOLLARS")] = option(
        "Most dollars that 1,000 answers may cost, likewise.", gt=0
    )
    on_premises: Annotated[bool, Flag()] = option(
        "Never name a model that another machine serves: an API, or answers of a hosted model.",
        default=False,
    )


class Costs(Settings):
    """Prices, times and the use that a model is meant for.

    The labels of the study itself count as paid for.
    """

    minutes_per_label: float | None = option("Minutes to label one row.", gt=0)
    hourly_rate: float | None = option("Dollars for an hour of labelling.", ge=0)
    usd_per_hour: Annotated[float | None, Flag("DOLLARS")] = option(
        "Price of an hour of this machine, in dollars.", ge=0
    )
    volume: Annotated[float | None, BeforeValidator(per_month), Flag("N/TIME")] = option(
        "Answers a month, such as 200000 or 5000/day.", gt=0
    )


class Grid(Settings):
    """What varies between trials; a key that is left out means the standard study."""

    seeds: int | None = option(
        "Repetitions of each candidate, each with another seed.", ge=1, le=100
    )
    rounds: int | None = option(
        "Most rounds of the comparison; nothing else follows them. Round 0 has 250 rows to learn "
        "from and 25 to answer, and each next one twice as many.",
        ge=1,
        le=30,
    )
    noise: Several[Rate] | None = option("Rates of added noise in targets, such as [0, 0.1, 0.2].")
    scenarios: Several[ScenarioKind] | None = option(
        "Further scenarios. Default: all that the data allow; [] for none."
    )
    views: Several[View] | None = option("Perturbations of the test rows.")
    wordings: bool | None = option(
        "Whether to measure other wordings and settings; default: if answers are free."
    )
    budget: Annotated[float | None, BeforeValidator(seconds), Flag("TIME")] = option(
        "Time to take: 90s, 10m, 2h (default: 10m). A number alone is seconds.", default=600.0, gt=0
    )
    max_usd: Annotated[float | None, Flag("DOLLARS")] = option(
        "Most dollars that one command may spend at APIs.", gt=0
    )


class Specs(Settings):
    """Model specs by role."""

    model: Annotated[str | tuple[str, ...] | None, Flag("MODEL")] = option(
        "LLM to prompt: openai:gpt-4o-mini, ollama:NAME. Or a hub id (hf:ORG/NAME) or a folder; "
        "repeatable, each is a candidate."
    )
    tune: str | None = option("Model to fine-tune: a hub id or a folder.")
    encoder: str | None = option("Model that embeds texts: a hub id or a folder.")

    @field_validator("model")
    @classmethod
    def _different_models(cls, named: str | tuple[str, ...] | None) -> object:
        if isinstance(named, str) or named is None:
            return named
        if twice := [spec for spec in named if named.count(spec) > 1]:
            raise ValueError(f"{twice[0].removeprefix('endpoint:')!r} is named twice")
        return named if len(named) > 1 else next(iter(named), None)

    @property
    def prompted(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) else self.model or ()


class Models(Specs):
    """Model specs for every candidate that does not name its own, and prompts of the user's."""

    prompt: Annotated[Mapping[str, str], Flag("FILE")] = option(
        "Your own prompt: a text with {text} and {labels}. Or a chat as JSON. It is compared with "
        "the usual one. Repeatable. In a study file: files, or prompts by name.",
        default={},
    )

    @field_validator("prompt", mode="before")
    @classmethod
    def _read(cls, given: object) -> object:
        files = [given] if isinstance(given, str) else given
        if isinstance(files, list | tuple):
            return {PurePath(str(file)).stem: read_prompt(str(file)) for file in files}
        if not isinstance(given, Mapping):
            return given
        return {name: OwnPrompt.read(str(text)).dump() for name, text in given.items()}


class CandidateSection(Specs):
    """A candidate; the name defaults to the strategy's, models to those of the study."""

    strategy: str = option("Name of an installed [strategy](strategies.md).", default=...)
    name: str | None = option("Name in the report.")
    learns_from: Literal["labels", "teacher"] | None = option(
        "With data.teacher_column: whether it learns from the labels or from the teacher's "
        "answers. Default: from the teacher, and fast ones are fitted on labels as well."
    )
    params: Mapping[str, Any] = option("Hyperparameters.", default={})

    @field_validator("name")
    @classmethod
    def _usable_name(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None or name == info.data.get("strategy"):
            return name
        if not clean(name) or clean(name) != name:
            raise ValueError("write a name that can be read, without blanks around it")
        if len(name) > 100:
            raise ValueError("write a name of at most 100 characters")
        if "/" in name or "\\" in name:
            raise ValueError("write a name without slashes and backslashes")
        if unicodedata.normalize("NFKC", name).casefold() in RESERVED:
            raise ValueError(f"it is a word of --expect ({', '.join(RESERVED)}); give another name")
        return name

    @field_validator("params")
    @classmethod
    def _no_seed(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if "seed" in params:
            raise ValueError("'seed' is set by choose for each trial; grid.seeds is their number")
        return params


class Study(Settings):
    """One comparison, as resolved: the study file with the flags laid over it."""

    data: DataSection = DataSection()
    given: AnswersSection = AnswersSection()
    task: TaskSection = TaskSection()
    goal: Goal = Goal()
    constraints: Constraints = Constraints()
    costs: Costs = Costs()
    grid: Grid = Grid()
    run: RunSection = RunSection()
    models: Models = Models()
    endpoints: Mapping[str, Endpoint] = {}
    candidates: tuple[CandidateSection, ...] = ()
