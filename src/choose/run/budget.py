"""The budget of a command, and consent before requests are sent."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from time import perf_counter

from choose.data.scenarios import Pools
from choose.errors import EndpointError, StudyError
from choose.formatting import dollars as money
from choose.models.endpoints.request_session import current_session
from choose.progress import TimeLimitReached, time_limit
from choose.run.trial import answers
from choose.schema.plan import Job, Spending
from choose.store.store import Store
from choose.strategy import Puts, build
from choose.study.candidates import check_constraints, endpoints_of
from choose.study.config import Study
from choose.study.spending_forecast import spending_of
from choose.types import Candidate

Approve = Callable[[Spending], None]


@dataclass
class Budget:
    """The seconds and dollars of one command; None is no limit.

    Attributes:
        closing: share of the seconds in which the study is judged and its page written.
        started: `perf_counter` when the command began.
        waited: seconds that do not count, such as those of consent.
        spent: dollars so far.
    """

    seconds: float | None = None
    dollars: float | None = None
    closing: float = 0.0
    started: float = field(default_factory=perf_counter)
    waited: float = 0.0
    spent: float = 0.0

    @property
    def elapsed(self) -> float:
        return perf_counter() - self.started - self.waited

    def left(self, reserve: float = 0.0) -> float:
        """Return the seconds left to run trials beyond a share of all; infinite without a limit."""
        if self.seconds is None:
            return inf
        return max(0.0, (1 - self.closing - reserve) * self.seconds - self.elapsed)

    def fits(self, seconds: float, *, dollars: float = 0.0, reserve: float = 0.0) -> bool:
        """Return whether work ends in time, leaves a share of the seconds, and can be paid."""
        return seconds <= self.left(reserve) and self.pays(dollars)

    def pays(self, dollars: float = 0.0) -> bool:
        """Return whether dollars are left, and as many as these."""
        return self.dollars is None or self.spent + dollars < self.dollars

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the seconds inside the block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.waited += perf_counter() - start


def refuse(spending: Spending) -> None:
    hosts = ", ".join(sorted({bill.host for bill in spending.bills}))
    requests = sum(bill.requests for bill in spending.bills)
    cost = "at unknown cost" if spending.usd is None else f"for about {money(spending.usd)}"
    passages = any(bill.passages for bill in spending.bills)
    what = "your rows and passages of your documents" if passages else "your rows"
    raise StudyError(
        f"Up to {requests:,} requests with {what} would be sent to {hosts}, {cost}, which needs "
        "your consent. To send them, add --yes."
    )


def before_sending(
    study: Study,
    pools: Pools,
    *,
    candidates: Sequence[Candidate],
    jobs: Sequence[Job],
    store: Store,
    approve: Approve,
    budget: Budget,
) -> Spending:
    """Ask for consent to the requests still to be made, then try each endpoint once.

    The time budget holds for the first requests too; the time that consent takes is not counted.

    Raises:
        StudyError: if the study forbids the requests or `approve` refuses them.
        EndpointError: if an endpoint cannot be used at all, or does not answer within the budget.
    """
    check_constraints(study, candidates)
    asking = {c.name for c in candidates if endpoints_of(c, study.endpoints)}
    asked = [(job, store.get(job.trial)) for job in jobs if job.trial.candidate in asking]
    left = [job for job, run in asked if run is None or not answers(job, run)]
    for candidate in candidates:
        for name in endpoints_of(candidate, study.endpoints):
            current_session().channel(name)  # refuses a missing key, before consent is asked
    spending = spending_of(left, candidates, pools, study.endpoints, study.grid.max_usd)
    # Rows leave the machine, or the study may cost money.
    if any(not bill.here or bill.usd is not None for bill in spending.bills):
        with budget.paused():
            approve(spending)
    for candidate in candidates:
        if any(job.trial.candidate == candidate.name for job in left):
            _try_endpoint(study, candidate, pools, seconds=budget.left())
    return spending


def _try_endpoint(study: Study, candidate: Candidate, pools: Pools, *, seconds: float) -> None:
    strategy = build(candidate.strategy, seed=0, **candidate.params)
    try:
        with time_limit(seconds):
            if isinstance(strategy, Puts):
                strategy.check(pools.dataset.task)
    except TimeLimitReached:
        names = endpoints_of(candidate, study.endpoints)
        hosts = ", ".join(f"{name!r} ({study.endpoints[name].host})" for name in names)
        raise EndpointError(
            f"The endpoint {hosts} did not answer its first request within the time limit of "
            f"{study.grid.budget:g} s. Check the server, or allow more time with --budget."
        ) from None
