"""The label audit's part of the record: rows are named by id, and nothing was relabelled."""

from __future__ import annotations

from choose.judge.frozen import Interval, Record


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


class Overlap(Record):
    """Two labels that are taken for each other: suspected rows, of all rows of both."""

    a: str
    b: str
    doubted: int
    rows: int


class NoiseBand(Record):
    """Between which shares the rate of wrong labels lies, under the assumption stated.

    `confident_learning` is that method's own estimate. It counts the auditor's mistakes as wrong
    labels, so it reads too high, except where the wrong labels stand on the hardest rows.
    """

    low: float
    high: float
    confident_learning: float
    assumption: str


class Agreement(Record):
    """How far annotators agree on rows that several of them labelled.

    `pairwise` is the chance that two of them give one label; `alpha` is Krippendorff's, nominal,
    null where all labels given are the same.
    """

    annotators: int
    questions: int
    pairwise: Interval
    alpha: Interval | None


class RelabelGain(Record):
    """What settling the suspected rows would add to a candidate's measured accuracy."""

    candidate: str
    rows: int
    gain: Interval


class Audit(Record):
    """What out-of-fold answers say about the labels.

    `noise` and `ceiling` are null where the auditor is too weak to tell its own mistakes from the
    labels'; `no_estimate` then says why. `net_accuracy` is the auditor's accuracy if its confident
    contradictions are wrong labels. `contradicted` rows are likelier to be another label;
    confident learning counts `suspected` of them as wrong, and as many of the most doubtful are
    worth a look. `suspects` goes on behind those, as far as a person may want to read.
    """

    auditors: tuple[str, ...] = ()
    rows: int = 0
    accuracy: Interval | None = None
    net_accuracy: float | None = None
    noise: NoiseBand | None = None
    no_estimate: str | None = None
    ceiling: Interval | None = None
    contradicted: int = 0
    suspected: int = 0
    suspects: tuple[Suspect, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    agreement: Agreement | None = None
    gain: RelabelGain | None = None
