"""All cases of the fuzzer, and the fixed sample that the fast tests run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain

from fuzz.documents import document_cases
from fuzz.files import file_cases, study_file_cases
from fuzz.kinds import kind_cases
from fuzz.runner import Case
from fuzz.settings import environment_cases, flag_cases, key_cases

TABLES = (
    file_cases,
    study_file_cases,
    kind_cases,
    document_cases,
    flag_cases,
    environment_cases,
    key_cases,
)


def all_cases() -> Iterator[Case]:
    return chain.from_iterable(table() for table in TABLES)


def sample(count: int = 60) -> list[Case]:
    """Return cases that start no run of seconds, spread over all tables, always the same."""
    quick = [c for c in all_cases() if c.arguments[0] not in ("check", "compare", "demo")]
    return sorted(
        quick, key=lambda case: hashlib.sha256(case.id.encode("utf-8", "replace")).hexdigest()
    )[:count]
