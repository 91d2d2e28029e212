"""The part of the decision on errors: what kind they are, and how candidates' errors overlap."""

from __future__ import annotations

from choose.schema.base import Interval, Record


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
    """Between which shares the rate of wrong labels lies.

    `confident_learning` is that method's own estimate. It counts the auditor's mistakes as wrong
    labels, so it reads too high, except where the wrong labels occur on the hardest rows.
    """

    low: float
    high: float
    confident_learning: float


class RelabelGain(Record):
    """What settling the suspected rows would add to a candidate's measured accuracy."""

    candidate: str
    rows: int
    gain: Interval


class WeakAuditor(Record):
    """Accuracies of an auditor that cannot tell wrong labels from its own mistakes.

    `least` it has if its confident disagreements are right, `by_chance` a guess; below `needed` its
    disagreements do not tell which labels are wrong.
    """

    least: float
    by_chance: float
    needed: float


class Audit(Record):
    """What out-of-fold answers say about the labels.

    `net_accuracy` is the auditor's accuracy if its confident contradictions are wrong labels.
    `contradicted` rows are likelier to be another label; `suspected` of them are worth a look, and
    `suspects` lists these, the most doubtful first. Where the auditor is too weak to tell its own
    mistakes from the labels', these are empty, `noise` and `ceiling` null, and `weak` says how
    far.
    """

    auditors: tuple[str, ...] = ()
    rows: int = 0
    accuracy: Interval | None = None
    net_accuracy: float | None = None
    noise: NoiseBand | None = None
    weak: WeakAuditor | None = None
    ceiling: Interval | None = None
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


class Cascade(Record):
    """A cheap candidate that answers where it is sure, and a strong one for the rest.

    `threshold` holds the lowest and highest confidence from which on the cheap one answers, over
    the parts of the rows; each was chosen on the other parts. Costs are for 1,000 answers.
    `over_chosen` is the gain over the candidate that the verdict names, on the same rows.
    """

    cheap: str
    strong: str
    rows: int
    threshold: tuple[float, float]
    accuracy: Interval
    sent_on: Interval
    over_cheap: Interval
    over_strong: Interval
    chosen: str | None = None
    over_chosen: Interval | None = None
    seconds_per_1k: float | None = None
    usd_per_1k: float | None = None
    strong_seconds_per_1k: float | None = None
    strong_usd_per_1k: float | None = None


class Confusion(Record):
    """Test rows of one label that got the same answer, by each row's first answer.

    `answer` is null where it was unusable.
    """

    label: str
    answer: str | None
    rows: int


class DifferingRow(Record):
    """A row that two candidates answer differently; null is an unusable answer."""

    id: str
    label: str
    chosen: str | None
    rival: str | None


class Disagreement(Record):
    """The rows that the chosen candidate and its rival answer differently.

    Attributes:
        chosen: the candidate that is recommended or used in the interim.
        rival: the best candidate of another family that may be better than it, by the paired
            difference; else of its own family; else the nearest one.
        rows: the rows that both answered; a row counts with the first answer of each.
        differing: the rows among them with two different answers.
        only_chosen_right: of the differing rows, those that only the chosen candidate gets right;
            where answers are no labels, those whose answer by it scores higher.
        only_rival_right: those that only the rival gets right, or answers better.
        listed: differing rows, first those that only the chosen one gets right, then those of the
            rival, then those that both get wrong; evenly spread if not all are listed; none where
            answers are no labels.
    """

    chosen: str
    rival: str
    rows: int
    differing: int
    only_chosen_right: int
    only_rival_right: int
    listed: tuple[DifferingRow, ...] = ()


class ErrorOverlap(Record):
    """Which rows candidates get wrong together; a candidate's row is right if most fits say so.

    Attributes:
        candidates: those compared, without any that gives every row the same answer.
        wrong_in_all: rows that all get wrong; `doubtful` lists them, most agreed first.
        oracle: share of the rows that at least one gets right.
        both_wrong: rows that the best cheap and the best strong candidate both get wrong.
        both_expected: how many that would be if their errors had nothing to do with each other.
    """

    candidates: tuple[str, ...]
    rows: int
    wrong_in_all: int
    doubtful: tuple[Doubtful, ...] = ()
    oracle: Interval
    cheap: str | None = None
    strong: str | None = None
    both_wrong: int | None = None
    both_expected: float | None = None
    only_cheap_wrong: int | None = None
    only_strong_wrong: int | None = None
    cascade: Cascade | None = None
