"""Records of a comparison of two studies."""

from __future__ import annotations

from choose.schema.base import File, Record
from choose.stats import Estimate
from choose.types import Kind


class Side(Record):
    """One of the two studies, and what it decided."""

    name: str
    fingerprint: str
    kind: Kind
    recommended: str | None
    use_meanwhile: str
    chance: float | None
    headline: str
    answer: str


class CommonRows(Record):
    """The test rows of two studies, and how many are in both.

    Rows meet where text and answer are the same, by id or, where ids moved, by a text that occurs
    once in either study. `changed` rows bear the same id; they are not compared.
    """

    before: int
    after: int
    common: int
    changed: int


class Change(Record):
    """Something that was fixed before the run and differs; null where a study lacks it."""

    what: str
    before: str | None
    after: str | None


class Shift(Record):
    """A candidate in the second study against one in the first, on the test rows of both.

    `difference` is the second minus the first; `p_holm` is corrected for all candidates compared.
    """

    before: str
    after: str
    accuracy_before: float
    accuracy_after: float
    difference: Estimate
    p: float | None
    p_holm: float | None = None
    rows: int

    @property
    def same_fits(self) -> bool:
        """Whether both studies hold the very same fits with the same answers: nothing estimated."""
        return self.p is None

    @property
    def significant(self) -> bool:
        """Whether the candidate changed, at 5 % after Holm's correction over all candidates."""
        return self.p_holm is not None and self.p_holm < 0.05


class Versus(File):
    """The whole comparison of two studies; `metric` is that of the later one."""

    before: Side
    after: Side
    verdict_changed: bool
    rows: CommonRows
    shifts: tuple[Shift, ...]
    changes: tuple[Change, ...] = ()
    margin: float
    metric: str = "accuracy"
