"""The model spec of an endpoint: ``endpoint:NAME``."""

from __future__ import annotations

PREFIX = "endpoint:"


def endpoint_name(spec: object) -> str | None:
    """Return the name in ``endpoint:NAME``, or None for any other model spec."""
    if not isinstance(spec, str) or not spec.startswith(PREFIX):
        return None
    return spec.removeprefix(PREFIX)
