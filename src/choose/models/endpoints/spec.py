"""The model spec of an endpoint: ``endpoint:NAME``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "endpoint:"


def endpoint_name(spec: object) -> str | None:
    """Return the name in ``endpoint:NAME``, or None for any other model spec."""
    if not isinstance(spec, str) or not spec.startswith(PREFIX):
        return None
    return spec.removeprefix(PREFIX)


def names_endpoint(params: Mapping[str, Any]) -> bool:
    """Return whether a hyperparameter names an endpoint."""
    return any(endpoint_name(value) is not None for value in params.values())
