"""Which candidates ask an endpoint, and whether asking costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from choose.errors import StudyError
from choose.models.endpoints.settings import Endpoint
from choose.models.endpoints.spec import endpoint_name
from choose.study.study import Study
from choose.types import Candidate


def asked_by(candidate: Candidate, endpoints: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """Return the endpoints that a candidate asks, by name; any hyperparameter may name one."""
    return named_in(candidate.params, endpoints)


def named_in(params: Mapping[str, Any], endpoints: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """Return the endpoints that hyperparameters name, by name."""
    names = map(endpoint_name, params.values())
    return {name: endpoints[name] for name in names if name is not None and name in endpoints}


def costs(candidate: Candidate, endpoints: Mapping[str, Endpoint]) -> bool:
    """Return whether asking more rows costs more: priced, or a server that is not this machine."""
    asked = asked_by(candidate, endpoints).values()
    return any(e.prices is not None or not e.stays_here for e in asked)


def allowed(study: Study, candidates: Iterable[Candidate]) -> None:
    """Refuse what the study forbids or cannot keep, before anything is asked.

    Raises:
        StudyError: if rows would leave where they may not, or a limit of dollars meets a model
            without prices.
    """
    for candidate in candidates:
        for name, endpoint in asked_by(candidate, study.endpoints).items():
            if not study.constraints.data_may_leave and not endpoint.stays_here:
                raise StudyError(
                    f"The candidate {candidate.name!r} would send rows to {endpoint.host}, and "
                    "[constraints] data_may_leave = false forbids it. Take it out with -s, or name "
                    "an endpoint on this machine."
                )
            if study.grid.max_usd is not None and endpoint.prices is None:
                raise StudyError(
                    f"--max-usd cannot be kept: the endpoint {name!r} has no prices. Give "
                    "usd_per_million_in and usd_per_million_out (0 where it is free), or "
                    "--usd-per-million IN,OUT."
                )
