"""How the dollars of --max-usd are shared among first passes at endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from choose.data.pools import Pools
from choose.errors import StudyError
from choose.models.endpoints.ledger import Ledger
from choose.models.endpoints.session import current_session
from choose.models.endpoints.settings import Endpoint
from choose.progress import TimeLimitReached
from choose.run.probe import prepare_trial
from choose.run.timed_predict import CHUNK, PassCost, allocate, predict
from choose.schema.costs import dollars
from choose.schema.plan import Spending
from choose.store.store import Store
from choose.strategy import Puts, build
from choose.study.candidates import check_constraints, endpoints_named, endpoints_of
from choose.study.config import Study
from choose.study.cost_forecast import bills_of, spending_of
from choose.study.grid import Job
from choose.study.grid_points import FIRST_PASS
from choose.types import Candidate

Approve = Callable[[Spending], None]


def refuse(spending: Spending) -> None:
    """Refuse to send anything, since nobody was asked."""
    hosts = ", ".join(sorted({bill.host for bill in spending.bills}))
    raise StudyError(
        f"Rows would be sent to {hosts}, and nobody has confirmed it. Pass --yes, or in Python "
        "approve=lambda spending: None."
    )


def before_sending(
    study: Study,
    pools: Pools,
    candidates: Sequence[Candidate],
    jobs: Sequence[Job],
    store: Store,
    approve: Approve,
) -> Spending:
    """Have the requests that are still to be made confirmed, then try each endpoint once.

    Raises:
        StudyError: if the study forbids them or nobody confirms them.
        EndpointError: if an endpoint cannot be used at all.
    """
    check_constraints(study, candidates)
    asking = {c.name for c in candidates if endpoints_of(c, study.endpoints)}
    left = [
        job
        for job in jobs
        if job.trial.candidate in asking and not store.done(job.trial, job.all_views, job.repeats)
    ]
    spending = spending_of(left, candidates, pools, study.endpoints, study.grid.max_usd)
    if spending.needs_consent:
        approve(spending)
    for candidate in candidates:
        if any(job.trial.candidate == candidate.name for job in left):
            strategy = build(candidate.strategy, seed=0, **candidate.params)
            if isinstance(strategy, Puts):
                strategy.check(pools.dataset.task)
    return spending


@dataclass(frozen=True, slots=True)
class DollarCost:
    """What a first pass costs in dollars a row, and how many of its rows are paid for already.

    `requests` are those that a row takes, one for each endpoint.
    """

    each: float
    rows: int
    paid: int = 0
    requests: int = 1

    @property
    def need(self) -> PassCost:
        """Return what it takes; what is paid for counts as if it brought its price along."""
        return PassCost(-self.each * self.paid, self.each, self.rows)


@dataclass(frozen=True, slots=True)
class DollarShare:
    """The dollars that a first pass may spend, so that those which wait can be asked as many rows.

    Attributes:
        spent: dollars that were spent, or held for failures, when it began.
        requests: answers that had been paid for.
        own: of the pass itself; what its rows are seen to cost corrects their price.
        others: of those which wait.
    """

    ledger: Ledger
    spent: float
    requests: int
    own: DollarCost
    others: Mapping[str, DollarCost]

    def covers(self, asked: int, more: int) -> bool:
        """Return whether so many more rows, after so many asked, are within its share."""
        ledger, each = self.ledger, self.own.each
        # Rows that are answered from disk cost nothing and tell nothing of the price.
        if paid := (ledger.requests - self.requests) / self.own.requests:
            before = self.own.paid
            each = (each * before + ledger.committed - self.spent) / (before + paid)
        needs = {name: one.need for name, one in self.others.items()}
        needs[""] = DollarCost(each, self.own.rows, asked).need
        left = (ledger.limit or 0.0) - ledger.committed - ledger.reserved
        return each * more <= allocate(needs, left)[""] + 1e-9 * each


@dataclass
class DollarBudget:
    """Deals out the dollars.

    A forecast counts the tokens of a text by its length and knows of no hidden reasoning, so
    everybody who waits is asked its first rows before dollars are shared. What they cost is seen
    then, and as they are kept, its own first pass does not pay for them again.

    Attributes:
        seen: dollars a row by candidate; None where asking failed.
        paid: keys of the trials whose first rows were asked for that.
    """

    pools: Pools
    seen: dict[str, float | None] = field(default_factory=dict)
    paid: set[str] = field(default_factory=set)

    def deal(self, job: Job, later: Sequence[Job]) -> DollarShare | None:
        """Return the purse of a first pass; None where it costs nothing or nothing is limited.

        It is shared with those of the `later` first passes that are on the same fold.
        """
        session = current_session()
        if session.ledger.limit is None:
            return None
        same = [j for j in later if j.trial.fold == job.trial.fold]
        found = first_pass_costs([job, *same], self.pools, session.endpoints)
        if job.trial.candidate not in found:
            return None
        if len(found) > 1 and _affords_first_chunks(
            found, session.ledger.limit - session.ledger.committed
        ):
            for one in (job, *same):
                self._sound(one, found)
        own = found.pop(job.trial.candidate)
        ledger = session.ledger
        return DollarShare(ledger, ledger.committed, ledger.requests, own, found)

    def _sound(self, job: Job, found: dict[str, DollarCost]) -> None:
        name = job.trial.candidate
        if name not in found:
            return
        if name not in self.seen:
            self.seen[name] = _dollars_a_row(job, self.pools)
            self.paid.add(job.trial.key)
        if (each := self.seen[name]) is not None:
            paid = min(CHUNK, found[name].rows) if job.trial.key in self.paid else 0
            found[name] = replace(found[name], each=each, paid=paid)


def _affords_first_chunks(found: Mapping[str, DollarCost], left: float) -> bool:
    """Return whether all could be asked twice the first rows, so that none asks them in vain."""
    return 2 * CHUNK * sum(one.each for one in found.values()) <= left


def _dollars_a_row(job: Job, pools: Pools) -> float | None:
    """Return what its first rows cost by the server's own counts; None where they cannot tell."""
    (endpoint, *more) = endpoints_named(job.trial.params, current_session().endpoints).values()
    try:
        started = prepare_trial(job, pools)
        started.strategy.fit(pools.dataset.task, started.pool)
        found = predict(started.strategy, started.items[:CHUNK], pools.dataset.task)
    except TimeLimitReached:
        raise
    except Exception:
        return None  # the trial itself will fail, and be recorded
    if more or endpoint.prices is None:
        return None
    costs = dollars(endpoint.prices, found.tokens_in, found.tokens_cached, found.tokens_out)
    return None if costs is None else float(costs.mean())


def affordable_rows(
    jobs: Sequence[Job], pools: Pools, endpoints: Mapping[str, Endpoint], limit: float
) -> dict[str, int]:
    """Return rows of the first pass that the dollars reach, of whom they do not reach all."""
    first = [job for job in jobs if job.part == FIRST_PASS and job.trial.fold == 0]
    found = first_pass_costs(first, pools, endpoints)
    share = allocate({name: one.need for name, one in found.items()}, limit)
    rows = {name: int(share[name] / one.each) for name, one in found.items()}
    return {name: count for name, count in rows.items() if count < found[name].rows}


def first_pass_costs(
    jobs: Iterable[Job], pools: Pools, endpoints: Mapping[str, Endpoint]
) -> dict[str, DollarCost]:
    """Return what first passes cost as forecast, by candidate, of those that cost anything."""
    found = {}
    for job in jobs:
        trial = job.trial
        if not endpoints_named(trial.params, endpoints):
            continue
        candidate = Candidate(name=trial.candidate, strategy=trial.strategy, params=trial.params)
        bills = bills_of([job], [candidate], pools, endpoints)
        usd = sum(bill.usd or 0.0 for bill in bills)
        rows = max((bill.requests for bill in bills), default=0)
        if usd > 0 and rows:
            found[trial.candidate] = DollarCost(usd / rows, rows, requests=len(bills))
    return found
