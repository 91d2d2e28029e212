"""The part of the decision on models that read documents: where their answers lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from choose.schema.base import Interval, Record, above_0
from choose.types import Family

# A gap is named as the largest if it is so in this share of resamples of the documents.
SURELY = 0.8

# Retrieval matters beside a larger loss if it costs this part of what is reached without it.
MATTERS = 0.2

GapName = Literal["reading", "retrieval", "distraction", "format"]


class Gap(Record):
    """What a reading candidate loses for one cause: a mean of paired differences of scores.

    `largest` is the share of resamples of the documents in which it is the largest of the three
    losses that are left; that of ``format``, in which it is larger than each of them.
    """

    name: GapName
    loss: Interval
    largest: float


class Retrieved(Record):
    """How high the passages that a candidate retrieved have the evidence.

    Attributes:
        rows: rows with evidence.
        k: passages that were read.
        first: share of rows whose first passage holds evidence.
        any: share of rows of which some passage that was read does.
        reciprocal_rank: mean of one over the rank of the first such passage, 0 without one.
        ndcg: mean of the normalised discounted cumulative gain.
        left: score that a reader gains which is right wherever the evidence was read, and as now
            elsewhere: the mean over these rows; null where no row was scored.
        missed: the others.
        low: of these, rows whose evidence is among the first 50 passages found, but ranked too low
            to be read; null where it is not known.
        ranked_low: their share of all rows, for which better ranks are enough.
        not_found: the share of the rest of `missed`, whose evidence is not among these passages.
    """

    rows: int
    k: int
    first: Interval
    any: Interval
    reciprocal_rank: float
    ndcg: float
    left: float | None = None
    missed: tuple[str, ...] = ()
    low: tuple[str, ...] | None = None
    ranked_low: Interval | None = None
    not_found: Interval | None = None


class LossSplit(Record):
    """What a candidate that reads documents loses, by cause, on the same rows under controls.

    1 - as written = (1 - ceiling) + (ceiling - gold) + (gold - among others) + (among others -
    retrieved) + (retrieved - as written): labels in doubt, reading, distraction, retrieval, format.

    Attributes:
        candidate: whose answers they are.
        rows: rows that were answered under every control.
        documents: documents with the evidence of these rows; questions of one are clustered.
        nothing: the score without a passage.
        retrieved: the score with what was retrieved.
        gold: the score with the passage that holds the evidence.
        among_others: the score with others that were retrieved behind it; null where one is read.
        knowledge: `gold` minus `nothing`: the most that retrieval can add for this model.
        brought: `retrieved` minus `nothing`.
        gaps: what is lost still, the largest first; without distraction where one passage is read.
            Reading counts up to 1, so that labels in doubt are a part of it.
        ceiling: the share of the rows whose label is not doubted, which is what a perfect reader
            reaches for certain; null where no two independent candidates could doubt one.
        to_ceiling: `ceiling` minus `gold`: reading without labels in doubt.
        shortened: what answers without the question's words gain with it; null if left as written.
        as_written: the score with what was retrieved of answers as the model wrote them; null where
            no form of answers changes one, and with a metric of the user's.
        format: what the chosen form of answers gains over that, without training; exactly 0 where
            none changes an answer, null where it is not known.
        found: how well passages were retrieved; null where it is not known.
        best_reader: the other candidate with the highest score with the right passage, null where
            none was given it; `reader_gain` is what it scores more, on rows that both answered.
    """

    candidate: str
    rows: int
    documents: int
    nothing: Interval
    retrieved: Interval
    gold: Interval
    among_others: Interval | None
    knowledge: Interval
    brought: Interval | None = None
    gaps: tuple[Gap, ...]
    ceiling: Interval | None = None
    to_ceiling: Interval | None = None
    shortened: Interval | None = None
    as_written: Interval | None = None
    format: Gap | None = None
    found: Retrieved | None = None
    best_reader: str | None = None
    reader_gain: Interval | None = None

    def gap(self, name: GapName) -> Gap:
        """Return the gap of that name; of reading and retrieval there always is one."""
        return next(gap for gap in self.gaps if gap.name == name)

    @property
    def passages(self) -> Literal["help", "right one helps", "mislead", "not shown"]:
        """Return what passages do for this model, as far as is shown; else ``not shown``."""
        if (self.knowledge.high or 0.0) < 0:
            return "mislead"
        if not above_0(self.knowledge):
            return "not shown"
        return "right one helps" if self.brought and not above_0(self.brought) else "help"

    @property
    def most(self) -> GapName | Literal["nothing", "open", "retrieval first"]:
        """Return by what most is lost; ``open`` where that is not sure.

        ``retrieval first``: by reading, but better passages are the gain that is shown.
        """
        first = self.gaps[0]
        if not first.loss.value > 0:
            return "nothing"
        if first.largest < SURELY or not above_0(first.loss):
            return "open"
        return "retrieval first" if self.retrieval_next else first.name

    @property
    def retrieval_part(self) -> float:
        """Return the part of the score with the right passage that retrieval surely loses."""
        loss, reached = self.gap("retrieval").loss, (self.among_others or self.gold).value
        return loss.value / reached if reached and above_0(loss) else 0.0

    @property
    def retrieval_next(self) -> bool:
        """Return whether better passages are the gain that is shown, though reading loses more.

        It is where they would bring back a good part of what is reached with the right passage,
        and no other candidate that was given it too, if one was, surely gains as much as that.
        """
        gain, loss = self.reader_gain, self.gap("retrieval").loss.value
        beaten = gain is not None and above_0(gain) and gain.value >= loss
        return not beaten and self.gaps[0].name == "reading" and self.retrieval_part >= MATTERS

    @property
    def reading_alone(self) -> float | None:
        """Return what a perfect reader gains that is right wherever evidence was read."""
        return None if self.found is None else self.found.left


def best_first(splits: Sequence[LossSplit], candidate: str) -> list[LossSplit]:
    """Return the splits, that of a candidate first, then by what is reached."""
    return sorted(splits, key=lambda s: (s.candidate != candidate, -s.retrieved.value))


class DrillOutcome(Record):
    """What a candidate answers after facts in the documents changed, without training again.

    Attributes:
        candidate: whose answers they are.
        family: its family.
        reads: whether it read the changed documents; others answer as before.
        clean: the score on the same rows before the change.
        updated: the score against the answers after the change.
        lost: `clean` minus `updated`, paired.
        stale: share of answers that give the old fact still, and not the new one.
    """

    candidate: str
    family: Family
    reads: bool
    clean: Interval
    updated: Interval
    lost: Interval
    stale: Interval


class DocumentDrill(Record):
    """Facts that were exchanged in the documents after training, and what candidates answer then.

    Attributes:
        facts: places of the documents that changed.
        rows: test rows that this concerns and that every candidate listed answered.
        documents: documents with the evidence of these rows; questions of one are clustered.
        outcomes: candidates that read first, those with the highest scores first.
    """

    facts: int
    rows: int
    documents: int
    outcomes: tuple[DrillOutcome, ...]
