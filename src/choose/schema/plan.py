"""Records of plans: labelling before data, trials and what did not run, time, requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from choose.outside_values import Settings, per_month, share
from choose.schema.base import Record
from choose.schema.candidate_scorecard import TokenPrices
from choose.types import Candidate, Dataset, Trial

# Shares of rows that exactly one of two candidates gets right: alike, usual, very unlike ones.
DISCORDANCES = (0.1, 0.2, 0.3)
USUAL = 0.2

# Share of training rows in each of five folds; the others are test rows.
TRAINING_SHARE = 0.8


# Test rows of a view other than the clean one; folds together.
VIEW_ROWS = 200

# The parts of a study that compare candidates, and repeat that with other seeds.
COMPARISON, REPETITIONS = "the comparison", "repetitions"


@dataclass(frozen=True, slots=True)
class Job:
    """A trial and the views that it answers besides the clean rows.

    Attributes:
        part: the part of the study, in words.
        view_rows: most rows of another view, folds together.
        ask: how many of the trial's test rows to answer; 0 is all.
    """

    trial: Trial
    views: tuple[str, ...] = ()
    part: str = ""
    view_rows: int = VIEW_ROWS
    ask: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """What candidates do before they are compared again.

    Attributes:
        part: the part of the study, in words.
        rows: training rows that a candidate learns from.
        ask: test rows that it has answered by the end of the round; 0 is all.
        jobs: in the order in which they run.
    """

    number: int
    part: str
    rows: int
    ask: int
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known after a round, or within it.

    Attributes:
        named: the candidate to use by now; None where the judge names none.
        chances: by the member of a family to use, that its family is the one to use.
        scores: by candidate, the mean on the rows that it answered after learning from most.
        rows: by candidate, the test rows that it answered.
        learned: by candidate, the training rows that the fits which answered these have read.
        usable: whether the named candidate does better than every reference.
        ended: whether the round has ended.
    """

    round: Round
    scores: Mapping[str, float]
    named: str | None = None
    chances: Mapping[str, float] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    learned: Mapping[str, int] = field(default_factory=dict)
    usable: bool = True
    ended: bool = True


# Why something did not run, where an advice or a figure depends on it.
Reason = Literal[
    "refused",
    "dropped",
    "too-long",
    "not-needed",
    "out-of-time",
    "out-of-money",
]

_Count = Annotated[int, Field(ge=0, lt=10**9)]


class LeftOut(Record):
    """Something that was planned and not measured.

    Attributes:
        candidate: whose trials these are; empty where they are of none.
        reason: ``refused``: the candidate cannot do this task; ``dropped``: it is unlikely
            to be the one to use; ``too-long``: one fit takes longer than the remaining budget;
            ``not-needed`` for the verdict; ``out-of-time``; ``out-of-money``: --max-usd was used
            up; null where its trials had failed, the user ended the run, or a file cannot be read.
        text: why a candidate was refused, or what cannot be read; else empty.
        trials: how many did not run, by the part of the study.
        answered: test rows after which it was behind; null of one that is beyond a limit.
        seconds: the forecast of one fit; null where no fit was too long.
        learns: rows that this fit would have learned from.
        keeps: rows that its candidate has learned from.
    """

    candidate: str = ""
    reason: Reason | None = None
    text: str = ""
    trials: Mapping[str, _Count] = {}
    answered: _Count | None = None
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    learns: _Count | None = None
    keeps: _Count | None = None


class Three(Record):
    """The same figure if all goes well, as a rule, and to be safe."""

    low: float
    usual: float
    high: float


_Amount = Annotated[float | None, Field(gt=0, lt=1e9)]


class Wishes(Settings):
    """What a founder can say before any row is labelled; shares of 1, so 0.03 is three points.

    Attributes:
        classes: labels; None where not known.
        volume: answers needed a month.
        tokens: of one request.
        prices: of an API.
        usd_per_hour: of the machine that would answer instead.
    """

    classes: int | None = Field(default=None, ge=2, le=10_000)
    gain: float
    target: Annotated[float | None, BeforeValidator(share), Field(gt=0, lt=1)] = None
    minutes_per_label: _Amount = None
    hourly_rate: _Amount = None
    volume: Annotated[_Amount, BeforeValidator(per_month)] = None
    tokens: int | None = Field(default=None, gt=0, lt=10**9)
    prices: TokenPrices | None = None
    usd_per_hour: _Amount = None


class Running(Record):
    """What the answers of a month cost by an API and by a small classifier, and when labels pay.

    Attributes:
        api_usd: dollars a month for the API; null without its prices.
        hours: machine hours a month in which a classifier computes.
        machine_usd: dollars for these hours; null without a price of one.
        months: until the labels that training takes are paid back, counting hours of computing;
            null where that is not known, or never.
    """

    api_usd: float | None
    hours: float
    machine_usd: float | None
    months: float | None = None


class BeforeData(Record):
    """Rows to label, hours and dollars; null where a price was not named.

    `classes` are the labels as stated or assumed; `training_usd` is what the labels cost that
    training takes as a rule.
    """

    wishes: Wishes
    test: Three
    target_rows: int | None
    training: Three
    rows: Three
    minutes_per_label: float
    hours: Three
    usd: Three | None
    classes: int
    training_usd: float | None
    tokens: int
    running: Running | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one endpoint would be sent.

    Attributes:
        requests: distinct ones; fewer where a candidate is dropped or something was paid before.
        read: tokens in, about.
        written: tokens out, about; hidden reasoning, which is not known before, comes on top.
        usd: dollars, about; None without prices.
        rows: rows of the data that are sent, as questions or as demonstrations.
        passages: passages of documents in these requests, at most; equal ones count each time.
    """

    name: str
    host: str
    model: str
    here: bool
    requests: int
    read: int
    written: int
    usd: float | None
    rows: int
    candidates: tuple[str, ...]
    passages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a person confirms before the first request.

    Attributes:
        limit: the most dollars that will be spent, or None.
    """

    bills: tuple[Bill, ...]
    limit: float | None = None

    @property
    def usd(self) -> float | None:
        """Return dollars in all; None where an endpoint has no prices."""
        known = [bill.usd for bill in self.bills]
        return None if None in known else sum(usd for usd in known if usd is not None)


@dataclass(kw_only=True)
class Traffic:
    """Requests to endpoints, tokens and dollars so far; they grow as answers arrive.

    Attributes:
        planned: most requests, as forecast.
        reused: requests answered from the cache, or by an equal request in flight.
        retried: requests sent again after a failure.
        spent: cost of answers by the server's own token counts.
        maybe_billed: worst case of requests that failed after they were sent, and of answers
            without token counts; counts against the limit.
        limit: spending limit, or None.
        unpriced: whether an endpoint without prices answered, so that the cost is unknown.
    """

    planned: int = 0
    requests: int = 0
    reused: int = 0
    retried: int = 0
    read: int = 0
    cached: int = 0
    written: int = 0
    spent: float = 0.0
    maybe_billed: float = 0.0
    limit: float | None = None
    unpriced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The passages that all candidates search, of the `whole`; `budget` seconds allow for all."""

    passages: int
    whole: int
    budget: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a budget reaches if no candidate is left behind; rows are by candidate.

    Attributes:
        learned: rows learned from in the comparison; 0 of a candidate that learns nothing.
        asked: test rows answered there.
        seconds: by round, and by candidate that takes part: None where the budget ends before.
    """

    learned: Mapping[str, int]
    asked: Mapping[str, int]
    seconds: Sequence[Mapping[str, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """The rounds that `compare` would run, in order, with forecasts.

    `stored` of their trials are there already. `measured` tells whether seconds come from these;
    otherwise they are rough constants.
    """

    dataset: Dataset
    candidates: tuple[Candidate, ...]
    refusals: tuple[LeftOut, ...]
    rounds: Sequence[Round]
    budget: float | None
    spending: Spending
    reach: Reach
    stored: int = 0
    measured: bool = False


class DetectableGains(Record):
    """The smallest gain that the test rows can show.

    `independent` is what the rows are worth once clusters of rows that belong together are taken
    to be right or wrong as one (Kish's effective number). `usual` is the gain shown between
    candidates that differ on 20 of 100 rows, null where none can be. `margin_rows` show the margin;
    null for one of 0.
    """

    rows: int
    independent: float
    usual: float | None
    margin: float
    margin_rows: int | None
