"""The part of the decision on errors: what kind they are, and how candidates' errors overlap."""

from collections.abc import Sequence
from typing import Literal

from choose.schema.base import Record
from choose.stats import Estimate
from choose.types import Family


class Suspect(Record):
    """A row whose label the auditor doubts, for a person to look at.

    `score` is the natural logarithm of how many times likelier the auditor finds the suggested
    label than the given one. `agree` of `answered` candidates answer the suggestion themselves.
    """

    id: str
    label: str
    suggested: str
    score: float
    agree: int
    answered: int


class LabelOverlap(Record):
    """Two labels that are taken for each other: suspected rows, of all rows of both."""

    a: str
    b: str
    doubted: int
    rows: int


class NoiseBand(Record):
    """Between which shares the rate of wrong labels lies; what it is in between is not known."""

    low: float
    high: float


class RelabelGain(Record):
    """What settling the suspected rows would add to a candidate's measured accuracy."""

    candidate: str
    rows: int
    gain: Estimate


class WeakAuditor(Record):
    """Accuracies beside an auditor that cannot tell wrong labels from its own mistakes.

    A guess has `by_chance`; below `needed` its disagreements do not tell which labels are wrong.
    """

    by_chance: float
    needed: float


class Audit(Record):
    """What out-of-fold answers say about the labels.

    `contradicted` rows are likelier to be another label; `suspected` of them are worth a look, and
    `suspects` lists these, the most doubtful first. Where the auditor is too weak to tell its own
    mistakes from the labels', these are empty, `noise` is null, and `weak` says how
    far.
    """

    auditors: tuple[str, ...] = ()
    rows: int = 0
    accuracy: Estimate | None = None
    noise: NoiseBand | None = None
    weak: WeakAuditor | None = None
    contradicted: int = 0
    suspected: int = 0
    suspects: tuple[Suspect, ...] = ()
    overlaps: tuple[LabelOverlap, ...] = ()
    gain: RelabelGain | None = None

    @property
    def doubted(self) -> tuple[Suspect, ...]:
        """Return the labels to check, the most doubtful first: the one list that is shown."""
        return self.suspects[: self.suspected]


class Doubtful(Record):
    """A row that every candidate gets wrong, and the label that most of them give instead."""

    id: str
    label: str
    instead: str | None
    agree: int


class Confusion(Record):
    """Test rows of one label that got the same answer, by each row's first answer.

    `answer` is null where it was unusable.
    """

    label: str
    answer: str | None
    rows: int


class Takeover(Record):
    """What share of a language model's rows a cheap candidate can take over, by its confidence.

    The cheap one answers rows of which it is at least `threshold` sure, the model the others.

    Attributes:
        rows: that tested it, none of which chose what was tried.
        most: the share of all rows that may be lost against the model alone.
        threshold: null where no share is shown to be safe; then `share` and `lost` are null too.
        share: of the rows that the cheap one takes, with an exact interval.
        lost: score of the model alone minus that of both; `high` is an exact bound, 95 % sure.
        strong_usd_per_1k: what 1,000 answers of the model cost; null without its price.
        saved_usd_per_1k: of which are saved.
    """

    cheap: str
    strong: str
    rows: int
    most: float
    threshold: float | None = None
    share: Estimate | None = None
    lost: Estimate | None = None
    strong_usd_per_1k: float | None = None
    saved_usd_per_1k: float | None = None


class ErrorOverlap(Record):
    """Which rows candidates get wrong together; a candidate's row is right if most fits say so.

    Attributes:
        candidates: those compared, without any that gives every row the same answer.
        wrong_in_all: rows that all get wrong; `doubtful` lists them, most agreed first.
        oracle: share of the rows that at least one gets right.
    """

    candidates: tuple[str, ...]
    rows: int
    wrong_in_all: int
    doubtful: tuple[Doubtful, ...] = ()
    oracle: Estimate


# A gap is named as the largest if it is so in this share of resamples of the documents.
SURELY = 0.8

# Retrieval matters beside a larger loss if it costs this part of what is reached without it.
MATTERS = 0.2

GapName = Literal["reading", "retrieval", "distraction"]


class Gap(Record):
    """What a reading candidate loses for one cause: a mean of paired differences of scores.

    `largest` is the share of resamples of the documents in which it is the largest.
    """

    name: GapName
    loss: Estimate
    largest: float


class LossSplit(Record):
    """What a candidate that reads documents loses, by cause, on the same rows under controls.

    1 - retrieved = (1 - gold) + (gold - among others) + (among others - retrieved): reading,
    distraction, retrieval.

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
        gaps: what is lost, the largest first; without distraction where one passage is read.
            Reading counts up to 1, so that wrong labels are a part of it.
        found: share of rows with evidence for which a passage that was read holds it; null where
            that is not known.
        missed: the other rows.
    """

    candidate: str
    rows: int
    documents: int
    nothing: Estimate
    retrieved: Estimate
    gold: Estimate
    among_others: Estimate | None
    knowledge: Estimate
    brought: Estimate | None = None
    gaps: tuple[Gap, ...]
    found: Estimate | None = None
    missed: tuple[str, ...] = ()

    def gap(self, name: GapName) -> Gap:
        """Return the gap of that name; of reading and retrieval there always is one."""
        return next(gap for gap in self.gaps if gap.name == name)

    @property
    def passages(self) -> Literal["help", "right one helps", "mislead", "not shown"]:
        """Return what passages do for this model, as far as is shown; else ``not shown``."""
        if (self.knowledge.high or 0.0) < 0:
            return "mislead"
        if not self.knowledge.above_0:
            return "not shown"
        return "right one helps" if self.brought and not self.brought.above_0 else "help"

    @property
    def most(self) -> GapName | Literal["nothing", "open", "retrieval first"]:
        """Return by what most is lost; ``open`` where that is not sure.

        ``retrieval first``: by reading, but better passages are the gain that is shown.
        """
        first = self.gaps[0]
        if not first.loss.value > 0:
            return "nothing"
        if first.largest < SURELY or not first.loss.above_0:
            return "open"
        return "retrieval first" if self.retrieval_next else first.name

    @property
    def retrieval_part(self) -> float:
        """Return the part of the score with the right passage that retrieval surely loses."""
        loss, reached = self.gap("retrieval").loss, (self.among_others or self.gold).value
        return loss.value / reached if reached and loss.above_0 else 0.0

    @property
    def retrieval_next(self) -> bool:
        """Return whether better passages are the gain that is shown, though reading loses more.

        It is where they would bring back a good part of what is reached with the right passage.
        """
        return self.gaps[0].name == "reading" and self.retrieval_part >= MATTERS


def best_first(splits: Sequence[LossSplit], candidate: str) -> list[LossSplit]:
    return sorted(splits, key=lambda s: (s.candidate != candidate, -s.retrieved.value))


class DrillOutcome(Record):
    """What a candidate answers after facts in the documents changed, without training again.

    Attributes:
        candidate: whose answers they are.
        family: its family.
        reads: whether it read the changed documents; others answer as before.
        clean: the score on the same rows before the change.
        updated: the score against the answers after the change.
        stale: share of answers that give the old fact still, and not the new one.
    """

    candidate: str
    family: Family
    reads: bool
    clean: Estimate
    updated: Estimate
    stale: Estimate


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
