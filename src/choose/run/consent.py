"""What comes before the first request: what is forbidden, what is confirmed, what cannot work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from choose.errors import StudyError
from choose.sending import Spending
from choose.store import Store
from choose.strategy import Puts, build
from choose.study.behind import allowed, asked_by
from choose.study.grid import Job
from choose.study.spending import spending_of
from choose.study.study import Study
from choose.types import Candidate, Dataset

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
    dataset: Dataset,
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
    allowed(study, candidates)
    asking = {c.name for c in candidates if asked_by(c, study.endpoints)}
    left = [
        job
        for job in jobs
        if job.trial.candidate in asking and not store.done(job.trial, job.all_views, job.repeats)
    ]
    spending = spending_of(left, candidates, dataset, study.endpoints, study.grid.max_usd)
    if spending.needs_consent:
        approve(spending)
    for candidate in candidates:
        if any(job.trial.candidate == candidate.name for job in left):
            strategy = build(candidate.strategy, seed=0, **candidate.params)
            if isinstance(strategy, Puts):
                strategy.check(dataset.task)
    return spending
