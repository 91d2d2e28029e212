"""`check.json`, schema 1: everything that the audit of a labelled set says."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import ConfigDict, Field

from choose.data.balance import Balance
from choose.data.conflicts import Conflicts
from choose.data.languages import Languages
from choose.data.lengths import Lengths
from choose.data.personal import Hint
from choose.data.repeats import Repeats
from choose.judge.change import MixChange, TextChange
from choose.judge.frozen import Record
from choose.judge.reach import Reach
from choose.judge.record_audit import Audit
from choose.models.token_counts import TokenCounts

Status = Literal["good", "look", "unknown"]
IssueKind = Literal[
    "leak", "conflict", "suspected label", "duplicate", "near-duplicate", "rare label", "personal"
]


class Line(Record):
    """What was looked at, whether a person should look too, and what was found."""

    topic: str
    status: Status
    says: str


class Step(Record):
    """Something to do first; `points` of accuracy, out of 1, are at stake at most."""

    says: str
    points: float


class Drift(Record):
    """The earliest third of the dated rows against the latest."""

    early: int
    late: int
    early_from: date
    late_to: date
    labels: MixChange
    texts: TextChange | None
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


class Issue(Record):
    """One row with one thing to look at; `other` is the row it repeats or contradicts."""

    row: str
    kind: IssueKind
    label: str
    suggested: str | None = None
    other: str | None = None
    says: str = ""


class Check(Record):
    """The audit; what could not be measured is null.

    `across` counts test rows that repeat a row to learn from, and is null where there is no test
    file: the division then keeps such rows on one side. `personal` holds counts and nothing that
    was matched. `issues` names rows, never their texts.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    choose: str
    name: str
    fingerprint: str
    rows: int
    left_out: int
    test_rows: int
    division: str
    headline: str
    first: tuple[Step, ...]
    lines: tuple[Line, ...]
    reach: Reach
    balance: Balance
    within: Repeats
    across: Repeats | None
    conflicts: Conflicts
    audit: Audit | None
    lengths: Lengths
    languages: Languages
    tokens: TokenCounts | None
    drift: Drift | None
    personal: tuple[Hint, ...]
    findings: tuple[str, ...]
    issues: tuple[Issue, ...]
    seconds: float

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
