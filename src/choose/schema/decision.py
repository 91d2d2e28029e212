"""`decision.json`, schema 1: the verdict with its evidence, and the comparison of two studies."""

from collections.abc import Mapping
from typing import Any, Literal

from choose.schema.base import Command, File, Record
from choose.schema.candidate_scorecard import ComparedRow, Payback, Scorecard
from choose.schema.diagnosis import (
    Audit,
    Confusion,
    DocumentDrill,
    ErrorOverlap,
    LossSplit,
    Takeover,
)
from choose.schema.plan import LeftOut
from choose.stats import Estimate
from choose.types import Kind

# From these chances on a family is called sure, and likely; below, the question is open. A family,
# or a member, with less than the last one keeps no question open and is not spoken of.
SURE, LIKELY, POSSIBLE = 0.95, 0.80, 0.02

# So little is expected to be lost that no further minute is worth it.
SMALL_LOSS = 0.005


class PromptText(Record):
    """What a candidate says to its model; `setting` names the variant, "" for its own setting."""

    candidate: str
    setting: str
    text: str


class Note(Record):
    """What `fits` fits of a candidate noted, in the numbers of the first."""

    candidate: str
    text: str
    fits: int


class Method(Record):
    """Prompts, notes, and the study's settings as a study file (TOML).

    Attributes:
        prompts: of the candidates that ask a model in words, as installed in the same revision.
        notes: of the fits behind the accuracies: calibration, cut texts, stopping, failed requests.
        settings: without folders of the machine and without passwords in addresses.
    """

    prompts: tuple[PromptText, ...] = ()
    notes: tuple[Note, ...] = ()
    settings: str = ""


GateStatus = Literal["pass", "fail", "unknown"]


class Pair(Record):
    """The paired difference in accuracy of two candidates, a minus b.

    `p_holm` is null for pairs that were not declared: those of the members to use of two families,
    and of the two nearest of one. `breakeven` is the answers from which on the one that costs more
    to train is the cheaper one; null where it never is, always is, or is not priced.
    """

    a: str
    b: str
    difference: Estimate
    p: float | None
    p_holm: float | None
    method: str
    rows: int
    breakeven: float | None = None


GateCode = Literal["alone", "decided", "detects", "detects-none", "drift", "labels", "sources"]


class Gate(Record):
    """A condition of the verdict with what it was judged on.

    Attributes:
        code: what was found.
        names: candidates, the first of which it is about.
        count: rows; for ``labels``, rows whose text has two labels.
        total: of which `count` are a part.
        share: a gain that is detected.
        limit: what it is held against.
        value: a difference or a change.
    """

    name: str
    status: GateStatus
    code: GateCode
    names: tuple[str, ...] = ()
    count: int | None = None
    total: int | None = None
    share: float | None = None
    limit: float | None = None
    value: Estimate | None = None


RemarkCode = Literal["target-met", "target-missed", "searched", "other-source"]


class Remark(Record):
    """What weighs beside the answer, or would change it.

    Attributes:
        code: ``target-met``, ``target-missed``: a candidate, for certain (`share`: the target);
            ``searched``: what a search for a prompt changes (`value`) from the second, where it
            starts; ``other-source``: what a candidate changes by (`value`) on a source that no
            training row is from, `what` being the worst of them (`share` there).
        names: candidates.
        value: a difference, on `rows` unless said otherwise.
    """

    code: RemarkCode
    names: tuple[str, ...] = ()
    what: str = ""
    share: float | None = None
    value: Estimate | None = None
    rows: int | None = None


CaveatCode = Literal[
    "agreement",
    "few-rows",
    "few-clusters",
    "part-of-documents",
    "part-of-labels",
    "labels-not-drawn",
    "failed",
    "small-model",
    "no-evidence",
    "may-have-seen",
    "labels-hide-success",
    "target-open",
    "looks",
    "shift",
    "leak",
    "unseen-labels",
    "check-failed",
    "not-asked",
    "none-within",
    "ms-unknown",
    "usd-unknown",
    "host-unknown",
]


class Caveat(Record):
    """What could make the comparison itself misleading, which no chance counts.

    Attributes:
        code: ``few-rows`` and ``few-clusters``: test rows, or rows of the largest cluster (`rows`);
            ``part-of-documents``: all searched `rows` of the `whole` passages;
            ``part-of-labels``: a member of the table, or that may be the one to use, which learned
            from `rows` of the `whole` training rows; ``labels-not-drawn``: `rows` of the `whole`
            labels have a training row, but none in such a part; ``failed``; ``small-model``: models
            that were prompted; ``no-evidence``: a family whose small model is not shown to beat
            guessing, which says nothing of it (`shares`: the two scores, on `rows`);
            ``may-have-seen``: candidates whose model may know the test rows;
            ``labels-hide-success``, ``target-open``; ``looks``: how often these rows were judged
            (`rows`); ``shift``: a label that is far more, or less, common among the test rows
            (`shares`: of training and test rows); ``leak``: test rows that the training file held
            too (`rows`); ``unseen-labels``: `whole` labels without a training row, on `rows` test
            rows; ``check-failed``: a gate; ``not-asked``: families that the study leaves out;
            ``agreement``: the named one's answers are taken for right ones; ``none-within``: the
            candidate that is nearest to the limits, which all break; ``ms-unknown``,
            ``usd-unknown``, ``host-unknown``: the named candidate may break a limit, as its time,
            its price or who serves it is not known.
        names: candidates, models, families or gates.
        promised: the score that such a member promises with all training rows, where that is the
            margin more; null where its range says nothing.
    """

    code: CaveatCode
    names: tuple[str, ...] = ()
    rows: int | None = None
    shares: tuple[float, float] | None = None
    whole: int | None = None
    promised: Estimate | None = None


StepKind = Literal[
    "check-labels",
    "fix-documents",
    "fix-retrieval",
    "evaluate-rest",
    "label-more",
    "add-candidate",
    "stronger-model",
    "more-runs",
    "metric",
    "cascade",
]


class FamilyResult(Record):
    """One family of the question.

    Attributes:
        best: the member to use, of least expected loss; null where none was measured.
        members: the measured members that read the text, the cheapest first.
        shares: by member the part of the family's chance in which it is the best of the family;
            what is missing to 1 is of members without an answer. Empty without a chance.
        usable: whether `best` is more likely than not to beat every reference, and none scores more
            by the margin.
    """

    family: str
    best: str | None = None
    members: tuple[str, ...] = ()
    shares: Mapping[str, float] = {}
    usable: bool = True


StepCode = Literal[
    "add",
    "add-baseline",
    "all-passages",
    "begin",
    "begin-paid",
    "conflicts",
    "documents",
    "doubted",
    "finish",
    "finish-paid",
    "finish-rows",
    "rare-label",
    "repeat",
    "repeat-late",
    "repeat-paid",
    "retrieval",
    "separate",
    "still-rising",
    "stronger",
    "takeover",
    "too-few",
]


class Step(Record):
    """Something to do next, the most valuable first; `report.words` says it.

    Attributes:
        code: what is to be done, and why; those that end in ``-paid`` need money, not time.
        names: candidates; questions without documents; parts of the study that were left out; for
            ``stronger``, the best prompted one, or "", and whose score a model has to beat; for
            ``finish-rows``, those to name.
        rows: by candidate the test rows that it lacks an answer to.
        paid: whether the command takes a higher --max-usd as well.
        count: rows, answers or items that it is about; for ``separate``, rows for an even chance;
            for ``stronger``, rows that were answered, if not all; for ``repeat``, runs so far; for
            ``finish-rows``, training rows that one has not learned from, at most.
        total: of which `count` are a part; for ``separate``, rows for a chance of 80 %; for
            ``all-passages``, all of them; for
            ``still-rising``, rows that its fits have read (`count`: by the earlier ones).
        share: a score to reach, or the share of the uncertainty that is due to runs.
        gained: what the last labels gained.
        labels: about how many more promise the margin; null where as many again promise less.
        value: the accuracy it is expected to add, with its interval; null where not known.
        minutes: of a person's or the machine's time, at most; null where not known.
        whole: minutes of all that was left out, where that takes longer.
        chance: of the family that is named after these minutes, as expected now; null where that is
            not known.
        removes: the loss that the minutes, or the rows, are expected to remove.
        usd: what these cost.
        command: what to type; null where nothing is to be typed.
    """

    kind: StepKind
    code: StepCode
    names: tuple[str, ...] = ()
    rows: Mapping[str, int] = {}
    paid: bool = False
    count: int | None = None
    total: int | None = None
    share: float | None = None
    gained: Estimate | None = None
    labels: int | None = None
    value: Estimate | None = None
    minutes: float | None = None
    whole: float | None = None
    chance: float | None = None
    removes: float | None = None
    usd: float | None = None
    command: Command | None = None


# Labels are lopsided where one has at most this share of the rows and this part of an even share,
# or another more than the last share.
RARE, PART_OF_EVEN, DOMINANT = 0.15, 0.3, 0.7


class RareLabel(Record):
    """A label that accuracy hardly sees: missing all its rows costs a few points at most.

    Attributes:
        rows: test rows of the label.
        share: of the test rows.
        answered: rows of the label that the named candidate answered.
        found: how many of these each candidate got right, on average over its runs; the named one
            first, then those that find most. Who answered fewer rows is left out.
        missed: whether the named one surely finds less of it than of all rows, by over the margin.
    """

    label: str
    rows: int
    share: float
    answered: int
    found: Mapping[str, float] = {}
    missed: bool = False


class Verdict(Record):
    """What to use, the chance that it is right, and what would change it.

    Attributes:
        recommended: the candidate to use where that is sure; else null.
        use_meanwhile: the candidate to use now.
        chance: by family, the cheapest first, the chance that it is the one to use, given all
            answers: its best member leads each cheaper family by the margin, and no costlier one
            leads it by more. What is missing to 1 is the chance that none does better than
            guessing.
        loss: the score expected to be given up by using the named family now.
        most: the score given up in 95 of 100 cases at most: by how much a choice that is too close
            to call can be wrong.
        leads: by other family how far it leads the named one, where it is the one to use.
        unmeasured: families of the study of which nothing was measured; their chance is the prior.
        usable: whether the named candidate is more likely than not to beat every reference, and
            none scores more by the margin; where none is usable, the one of highest expected score
            is named.
        done: whether the choice is sure and less than the margin is left to gain (1 less the middle
            of its interval).
        caveats: what no chance counts, the most serious first.
        families: every family of the question, the named one first.
        remarks: what weighs beside the answer, then what would change it.
        steps: what to do next, the most valuable first.
        rare: labels that accuracy hardly sees, the rarest first; empty where the metric sees them.
    """

    kind: Kind
    recommended: str | None
    use_meanwhile: str
    family: str | None
    chance: Mapping[str, float] = {}
    loss: float = 0.0
    most: float = 0.0
    leads: Mapping[str, float] = {}
    unmeasured: tuple[str, ...] = ()
    usable: bool = True
    done: bool = False
    caveats: tuple[Caveat, ...] = ()
    families: tuple[FamilyResult, ...] = ()
    remarks: tuple[Remark, ...] = ()
    steps: tuple[Step, ...] = ()
    rare: tuple[RareLabel, ...] = ()


class DatasetRecord(Record):
    """The labelled set of the study.

    `about` is what figures on questions about documents are about; null without documents.
    `learnt` is the number of training rows of the compared fits, out of a training pool of `pool`
    rows; the largest of the folds.
    """

    name: str
    fingerprint: str
    rows: int
    test_rows: int
    labels: tuple[str, ...]
    division: str
    findings: tuple[str, ...] = ()
    learnt: int | None = None
    pool: int | None = None


class Decision(File):
    """The whole decision record.

    Attributes:
        scorecards: the named candidate first, then by their difference to it; those that share no
            row with it come last, then those beyond a limit.
        confusion: of the candidate to use, where answers are labels; label by label, the largest
            first.
        side_by_side: rows on which candidates differ.
        loss_splits: of candidates that read documents: what they lose, by cause.
        without_evidence: questions with an answer that no document is known to hold.
        document_drill: what candidates answer after facts in the documents changed; null without.
        payback: dollars a month by an API and on this machine; null unless both were measured.
        left_out: what was planned and not measured.
    """

    rule: str
    dataset: DatasetRecord
    goal: Mapping[str, Any]
    verdict: Verdict
    gates: tuple[Gate, ...]
    scorecards: tuple[Scorecard, ...]
    pairs: tuple[Pair, ...]
    overlap: ErrorOverlap | None = None
    takeover: Takeover | None = None
    confusion: tuple[Confusion, ...] = ()
    side_by_side: tuple[ComparedRow, ...] = ()
    loss_splits: tuple[LossSplit, ...] = ()
    without_evidence: tuple[str, ...] = ()
    document_drill: DocumentDrill | None = None
    payback: Payback | None = None
    looks: int
    left_out: tuple[LeftOut, ...] = ()
    audit: Audit | None = None
    method: Method | None = None
    machine: Mapping[str, Any] = {}

    @property
    def named(self) -> str:
        return self.verdict.recommended or self.verdict.use_meanwhile

    @property
    def card(self) -> Scorecard | None:
        return next((c for c in self.scorecards if c.candidate == self.named), None)

    @property
    def family(self) -> str:
        return self.card.family if self.card else ""

    @property
    def chance(self) -> float | None:
        """Return the chance that this family is the one to use; None where none can be said.

        None is usable, or a single family was asked about.
        """
        verdict = self.verdict
        asked = {*verdict.unmeasured} <= verdict.chance.keys()
        return verdict.chance.get(self.family) if verdict.usable and asked else None


# A comparison of two studies.


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
