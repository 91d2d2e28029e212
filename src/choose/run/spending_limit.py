"""Consent before requests are sent, what they cost, and shares of --max-usd for first passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import perf_counter
from typing import NamedTuple

from choose.data.scenarios import Pools
from choose.errors import EndpointError, StudyError
from choose.formatting import dollars as money
from choose.models.endpoints.command_session import current_session
from choose.models.endpoints.ledger import Ledger
from choose.models.endpoints.settings import Endpoint
from choose.models.prompting.search_budget import MONEY_SHARE
from choose.progress import TimeLimitReached, time_limit
from choose.run.predict_test_rows import CHUNK, PassCost, allocate, predict
from choose.run.speed_probe import prepare_trial
from choose.schema.costs import dollars
from choose.schema.plan import Job, Spending, TimeForecast, total_usd
from choose.store.store import Store
from choose.strategy import Puts, build
from choose.study.candidates import check_constraints, endpoints_named, endpoints_of
from choose.study.config import Study
from choose.study.grid_points import FIRST_PASS
from choose.study.spending_forecast import SEARCH, bills_of, spending_of
from choose.types import Candidate

Approve = Callable[[Spending], None]


def refuse(spending: Spending) -> None:
    """Refuse to send anything without consent."""
    hosts = ", ".join(sorted({bill.host for bill in spending.bills}))
    requests = sum(bill.requests for bill in spending.bills)
    cost = "at unknown cost" if spending.usd is None else f"for about {money(spending.usd)}"
    passages = any(bill.passages for bill in spending.bills)
    what = "your rows and passages of your documents" if passages else "your rows"
    raise StudyError(
        f"Up to {requests:,} requests with {what} would be sent to {hosts}, {cost}, which needs "
        "your consent. To send them, add --yes."
    )


class Preparation(NamedTuple):
    """The requests that were approved, and the seconds that the first ones took."""

    spending: Spending
    seconds: float


def before_sending(
    study: Study,
    pools: Pools,
    candidates: Sequence[Candidate],
    jobs: Sequence[Job],
    store: Store,
    approve: Approve,
) -> Preparation:
    """Ask for consent to the requests still to be made, then try each endpoint once.

    The time budget holds for the first requests too; the time that consent takes is not counted.

    Raises:
        StudyError: if the study forbids the requests or `approve` refuses them.
        EndpointError: if an endpoint cannot be used at all, or does not answer within the budget.
    """
    check_constraints(study, candidates)
    asking = {c.name for c in candidates if endpoints_of(c, study.endpoints)}
    left = [
        job
        for job in jobs
        if job.trial.candidate in asking and not store.done(job.trial, job.all_views, job.repeats)
    ]
    for candidate in candidates:
        for name in endpoints_of(candidate, study.endpoints) if candidate.name in asking else ():
            current_session().channel(name)  # refuses a missing key, before consent is asked
    spending = spending_of(left, candidates, pools, study.endpoints, study.grid.max_usd)
    if spending.needs_consent:
        approve(spending)
    start, budget = perf_counter(), study.grid.budget_seconds
    with time_limit(inf if budget is None else budget):
        for candidate in candidates:
            if any(job.trial.candidate == candidate.name for job in left):
                _try_endpoint(study, candidate, pools)
    return Preparation(spending, perf_counter() - start)


def _try_endpoint(study: Study, candidate: Candidate, pools: Pools) -> None:
    strategy = build(candidate.strategy, seed=0, **candidate.params)
    if not isinstance(strategy, Puts):
        return
    try:
        strategy.check(pools.dataset.task)
    except TimeLimitReached:
        names = endpoints_of(candidate, study.endpoints)
        hosts = ", ".join(f"{name!r} ({study.endpoints[name].host})" for name in names)
        raise EndpointError(
            f"The endpoint {hosts} did not answer its first request within the time limit of "
            f"{study.grid.budget_seconds:g} s. Check the server, or allow more time with --budget."
        ) from None


@dataclass(frozen=True, slots=True)
class DollarCost:
    """Dollars a row of a first pass, and how many of its rows are paid for already.

    `requests` is the number of requests a row takes, one for each endpoint. `fit` is what the
    requests of a fit cost that are not paid for.
    """

    each: float
    rows: int
    paid: int = 0
    requests: int = 1
    fit: float = 0.0

    @property
    def first_pass(self) -> PassCost:
        """Return what it costs; rows that are paid for count as a credit."""
        return PassCost(self.fit - self.each * self.paid, self.each, self.rows)


@dataclass(frozen=True, slots=True)
class DollarShare:
    """The dollars that a first pass may spend, so that waiting candidates can answer as many rows.

    Attributes:
        spent: dollars spent, or held for failures, when the pass began.
        requests: number of paid answers when it began.
        own: cost of this pass; measured costs correct its price.
        others: candidate -> cost of a waiting pass.
    """

    ledger: Ledger
    spent: float
    requests: int
    own: DollarCost
    others: Mapping[str, DollarCost]

    def covers(self, done: int, more: int) -> bool:
        """Return whether the share pays for `more` rows after the first `done`."""
        ledger, each = self.ledger, self.own.each
        # Rows answered from the cache cost nothing, so they do not show the price.
        if paid := (ledger.requests - self.requests) / self.own.requests:
            before = self.own.paid
            each = (each * before + ledger.committed - self.spent) / (before + paid)
        costs = {name: one.first_pass for name, one in self.others.items()}
        costs[""] = DollarCost(each, self.own.rows, done).first_pass
        left = (ledger.limit or 0.0) - ledger.total
        return each * more <= allocate(costs, left)[""] + 1e-9 * each


@dataclass
class DollarBudget:
    """Divides the dollars among first passes.

    A forecast estimates tokens from the length of a text and ignores hidden reasoning. So each
    waiting candidate predicts its first rows before dollars are divided, to measure their price.
    Answers are cached, so its own first pass does not pay for them again.

    Attributes:
        measured: candidate -> dollars a row; None where predicting failed.
        paid: keys of the trials whose first rows are paid for.
    """

    pools: Pools
    measured: dict[str, float | None] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)

    def share_of(self, job: Job, later: Sequence[Job]) -> DollarShare | None:
        """Return the share of a first pass; None where it costs nothing or nothing is limited.

        `later` first passes on the same fold get a share too.
        """
        session = current_session()
        if session.ledger.limit is None:
            return None
        same = [j for j in later if j.trial.fold == job.trial.fold]
        left = session.ledger.limit - session.ledger.committed
        costs = first_pass_costs([job, *same], self.pools, session.endpoints, left)
        if job.trial.candidate not in costs:
            return None
        if len(costs) > 1 and _affords_first_chunks(costs, left):
            for one in (job, *same):
                self._correct_price(one, costs)
        own = costs.pop(job.trial.candidate)
        ledger = session.ledger
        return DollarShare(ledger, ledger.committed, ledger.requests, own, costs)

    def _correct_price(self, job: Job, costs: dict[str, DollarCost]) -> None:
        name = job.trial.candidate
        if name not in costs:
            return
        if name not in self.measured:
            self.measured[name] = _dollars_a_row(job, self.pools)
            self.paid.add(job.trial.key)
        if (each := self.measured[name]) is not None:
            paid = min(CHUNK, costs[name].rows) if job.trial.key in self.paid else 0
            fit = 0.0 if paid else costs[name].fit
            costs[name] = replace(costs[name], each=each, paid=paid, fit=fit)


def _affords_first_chunks(costs: Mapping[str, DollarCost], left: float) -> bool:
    """Return whether all can pay for their first rows twice, so that none are bought in vain."""
    fits = sum(one.fit for one in costs.values())
    return fits + 2 * CHUNK * sum(one.each for one in costs.values()) <= left


def _dollars_a_row(job: Job, pools: Pools) -> float | None:
    """Return the dollars a row by the server's own token counts; None where they are missing."""
    (endpoint, *more) = endpoints_named(job.trial.params, current_session().endpoints).values()
    try:
        started = prepare_trial(job, pools)
        started.strategy.fit(pools.dataset.task, started.pool)
        answers = predict(started.strategy, started.items[:CHUNK], pools.dataset.task)
    except TimeLimitReached:
        raise
    except Exception:
        return None  # the trial itself will fail and record the error
    if more or endpoint.prices is None:
        return None
    costs = dollars(endpoint.prices, answers.tokens_in, answers.tokens_cached, answers.tokens_out)
    return None if costs is None else float(costs.mean())


def affordable_rows(
    jobs: Sequence[Job], pools: Pools, endpoints: Mapping[str, Endpoint], limit: float
) -> dict[str, int]:
    """Return how many first-pass rows the dollars pay for, by candidate that they do not cover."""
    first = [job for job in jobs if job.part == FIRST_PASS and job.trial.fold == 0]
    costs = first_pass_costs(first, pools, endpoints, limit)
    share = allocate({name: one.first_pass for name, one in costs.items()}, limit)
    rows = {name: int(share[name] / one.each) for name, one in costs.items()}
    return {name: count for name, count in rows.items() if count < costs[name].rows}


def first_pass_costs(
    jobs: Iterable[Job], pools: Pools, endpoints: Mapping[str, Endpoint], left: float = inf
) -> dict[str, DollarCost]:
    """Return the forecast dollars of first passes that cost anything, by candidate.

    Of the dollars that are `left`, a search in a fit spends a share at most.
    """
    costs = {}
    for job in jobs:
        trial = job.trial
        if not endpoints_named(trial.params, endpoints):
            continue
        candidate = Candidate(name=trial.candidate, strategy=trial.strategy, params=trial.params)
        bills = bills_of([job], [candidate], pools, endpoints)
        usd = sum(bill.usd or 0.0 for bill in bills)
        requests = max((bill.requests for bill in bills), default=0)
        asked = max((bill.parts.get(SEARCH, 0) for bill in bills), default=0)
        if usd > 0 and requests > asked:
            each, rows = usd / requests, requests - asked
            fit = min(each * asked, MONEY_SHARE * left)
            costs[trial.candidate] = DollarCost(each, rows, requests=len(bills), fit=fit)
    return costs


def add_prices(
    forecasts: Sequence[TimeForecast],
    jobs: Sequence[Job],
    candidates: Sequence[Candidate],
    pools: Pools,
    endpoints: Mapping[str, Endpoint],
    limit: float | None = None,
) -> list[TimeForecast]:
    """Add tokens and dollars to the forecasts of candidates at endpoints.

    With a `limit` of dollars, also the rows that it pays for.
    """
    by_name = {c.name: c for c in candidates}
    rows = {} if limit is None else affordable_rows(jobs, pools, endpoints, limit)
    return [
        replace(
            _with_prices(one, jobs, by_name[one.candidate], pools, endpoints),
            rows=rows.get(one.candidate, one.rows),
        )
        for one in forecasts
    ]


def _with_prices(
    one: TimeForecast,
    jobs: Sequence[Job],
    candidate: Candidate,
    pools: Pools,
    endpoints: Mapping[str, Endpoint],
) -> TimeForecast:
    own = [job for job in jobs if job.trial.candidate == candidate.name]
    if not endpoints_of(candidate, endpoints):
        return one
    bills = bills_of(own, [candidate], pools, endpoints)
    return replace(
        one,
        read=sum(bill.read for bill in bills),
        written=sum(bill.written for bill in bills),
        usd=total_usd(bills),
    )
