"""The gate "keeps up with documents": who may keep facts that changed, against who reads them.

A candidate that reads no documents, or was trained to read them, may give an old fact after one
changed. With a share x of the documents changing from one training to the next, one after another,
x / 2 of the facts are old on average (1 - 1 / 2x where all change before). What that part takes
from its score, over what it takes from a candidate that reads, comes off its lead. The two are
taken as independent though some rows are in both: who knows more has more to lose, so that the
interval is a little wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isinf

from choose.formatting import in_percent, in_points, listed, measured, months, number, plural
from choose.judge.decision.contenders import Contenders, contenders_of
from choose.judge.decision.rule import Case
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.measures.changed_documents import ChangedFacts, changed_facts
from choose.judge.measures.drift_and_new_class import ChangeRate, change_rate
from choose.judge.scores.paired_comparison import compare_changes, interval_of
from choose.judge.scores.score_tables import StudyScores
from choose.judge.stats.intervals import Estimate
from choose.judge.stats.paired import Difference
from choose.judge.stats.two_way import FEW, BehrensFisher
from choose.schema.base import Interval
from choose.schema.decision import Gate, GateStatus, OldFacts
from choose.schema.standings import FamilyResult

NAME = "keeps up with documents"

# Months that a candidate is used without another training where the study says nothing.
YEAR = 12.0


def contenders_for(evidence: Evidence, panel: StudyScores, rule: Rule) -> Contenders:
    """Return the candidates that can be recommended: none that changed facts surely leave behind.

    One that is behind, or gains too little, while no fact is old is ruled out without that.
    """
    contenders = contenders_of(panel, rule)
    readers = {name: _readers(contenders, name) for name in contenders.names}
    if not any(readers.values()):
        return contenders
    test = _Test(contenders, changed_facts(evidence, panel), change_rate(evidence, rule))
    found = tuple(test.worst(name, some) for name, some in readers.items() if some)
    kept = {*contenders.names} - {one.candidate for one in found if one.barred}
    return replace(
        contenders,
        order=tuple(c for c in contenders.order if c.info.name in kept),
        accuracies={name: own for name, own in contenders.accuracies.items() if name in kept},
        old_facts=found,
    )


def _readers(contenders: Contenders, name: str) -> list[str]:
    """Return who reads documents as they are, where a candidate may keep facts that changed."""
    info = contenders.panel[name].info
    if info.constant or (info.reads and info.family != "fine-tuning"):
        return []
    # Two that were trained to read are compared by their scores alone.
    others = [one.info for one in contenders.order if one.info.reads and one.info.name != name]
    return [one.name for one in others if not (info.reads and one.family == "fine-tuning")]


def mean_old(share: float) -> float:
    """Return the mean share of facts that are old from one training to the next.

    Args:
        share: of the documents that change in this time, one after another; may exceed 1.
    """
    return share / 2 if share <= 1 else 1 - 1 / (2 * share)


def changed_at(old: float) -> float:
    """Return the share of documents that changed where so many facts are old on average."""
    return 2 * old if old <= 0.5 else 1 / (2 * (1 - old))


def less(lead: Difference, lost: Difference, old: float) -> Estimate:
    """Return a lead minus a part of what is lost, as if the two had no row in common."""
    a, b = lead.error, lost.error
    first, second = (a.first, old**2 * b.first), (a.second, old**2 * b.second)
    dfs = _joint(first, (a.df_first, b.df_first)), _joint(second, (a.df_second, b.df_second))
    half = BehrensFisher(sum(first), dfs[0], sum(second), dfs[1]).half_width()
    center = lead.center - old * lost.center
    return Estimate(value=lead.value - old * lost.value, low=center - half, high=center + half)


def _joint(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of variances (Satterthwaite 1946)."""
    spread = sum(v**2 / df for v, df in zip(variances, dfs, strict=True) if not isinf(df))
    return sum(variances) ** 2 / spread if spread else inf


@dataclass(frozen=True)
class _Pair:
    """A candidate that may keep old facts against one that reads; None where not measured.

    `needed` is the lead that is to be shown; `enough` one below which the other is to be used.
    """

    lead: Difference | None
    stale: Difference | None
    lost: Difference | None
    left: Estimate | None
    margin: float
    costlier: bool

    def status(self, unchanged: bool) -> GateStatus:
        """Judge the pair, given whether no document changes."""
        if unchanged or (self.stale is not None and self.stale.high <= self.margin):
            return "pass"
        if self.lead is None or self.lost is None or self.stale is None:
            return "unknown"
        # Where nobody knows how often documents change, all facts may be old.
        least = (self.left or less(self.lead, self.lost, 1.0)).low
        if least > (0.0 if self.costlier else -self.margin):
            return "pass"
        surely = self.left is not None and self.stale.low > self.margin
        return "fail" if surely and self.behind(self.left) else "unknown"

    def behind(self, lead: Difference | Estimate | None) -> bool:
        """Return whether a lead shows that the reader is the one to use, as in the verdict."""
        if lead is None or self.costlier:
            return lead is not None and lead.high < self.margin
        return lead.high < 0 and lead.value <= -self.margin


@dataclass(frozen=True)
class _Test:
    """Compares candidates that may keep old facts with those that read documents as they are."""

    contenders: Contenders
    facts: ChangedFacts | None
    rate: ChangeRate | None

    @property
    def time(self) -> float:
        """Return the months from one training to the next, or of use without one."""
        plan = self.contenders.rule.deployment
        return plan.refresh_months or plan.horizon_months or YEAR

    def worst(self, name: str, readers: Sequence[str]) -> OldFacts:
        """Return the comparison with the reader that gains most on a candidate."""
        order: dict[GateStatus, int] = {"fail": 0, "unknown": 1, "pass": 2}
        found = [self._against(name, reader) for reader in readers]
        return min(found, key=lambda one: (not one.barred, order[one.status], _least(one)))

    def _against(self, name: str, reader: str) -> OldFacts:
        pair, rate = self._pair(name, reader), self.rate
        status = pair.status(rate is not None and not rate.share)
        drilled = self.facts if pair.stale is not None else None
        return OldFacts(
            candidate=name,
            reader=reader,
            rows=drilled.count if drilled else 0,
            documents=drilled.documents if drilled else 0,
            stale=interval_of(pair.stale) if pair.stale else None,
            lost=interval_of(pair.lost) if pair.lost else None,
            lead=interval_of(pair.lead) if pair.lead else None,
            share=rate.share if rate else None,
            at_least=rate is not None and not rate.stated,
            months=self.time,
            old=mean_old(rate.share * self.time) if rate else None,
            left=Interval.of(pair.left, "mean of the time until the next training")
            if pair.left
            else None,
            status=status,
            barred=status == "fail" and not pair.behind(pair.lead),
        )

    def _pair(self, name: str, reader: str) -> _Pair:
        contenders, facts = self.contenders, self.facts
        lead, stale, lost, left = contenders.gain(name, reader), None, None, None
        if facts is not None and {name, reader} <= facts.stale.keys():
            stale = compare_changes(facts.stale[name], facts.stale[reader], facts.rows)
            lost = compare_changes(facts.lost[name], facts.lost[reader], facts.rows)
        if lead is not None and lost is not None and self.rate is not None:
            left = less(lead, lost, mean_old(self.rate.share * self.time))
        costlier = name in contenders.costlier(reader)
        return _Pair(lead, stale, lost, left, contenders.margin(name, reader), costlier)


def _least(one: OldFacts) -> float:
    found = one.left or one.lead
    return found.low if found is not None and found.low is not None else 0.0


def _least_lead(one: OldFacts) -> float:
    return one.lead.low if one.lead is not None and one.lead.low is not None else 0.0


def keeps_up(case: Case) -> Gate:
    """Judge whether the candidate to use keeps up with one that reads documents as they are.

    FAIL is about candidates that are not used because they do not.
    """
    if barred := barred_said(case):
        return Gate(name=NAME, status="fail", evidence=barred)
    if (own := case.selection.doubt or case.contenders.may_be_old(case.name)) is not None:
        return Gate(name=NAME, status=own.status, evidence=said(own))
    if case.contenders.panel[case.name].info.reads:
        return Gate(name=NAME, status="pass", evidence=f"{case.name} reads documents as they are.")
    return Gate(name=NAME, status="unknown", evidence=f"{case.name} gives one answer to all rows.")


def barred_said(case: Case) -> str:
    """Say which candidates are not used because facts change; empty if none is barred."""
    barred = sorted(case.contenders.barred.values(), key=lambda one: -_least_lead(one))
    others = [one.candidate for one in barred[1:]]
    more = f" Nor {'is' if len(others) == 1 else 'are'} {listed(others)}, for the same reason."
    return f"{said(barred[0])}{more * bool(others)}" if barred else ""


def said(one: OldFacts) -> str:
    """Say whether a candidate keeps up with documents that change, with the figures."""
    pair = f"{one.candidate} keeps up with {one.reader}"
    begin = f"Whether {pair} is open" if one.status == "unknown" else pair
    if one.share == 0:
        return f"No document changes, as the study says, so that {one.candidate} keeps no old fact."
    if one.stale is None or one.lead is None or one.lost is None:
        return f"Whether {one.candidate} gives old facts once documents change was not measured."
    today = f"{begin}: it is {_place(one.lead)} today"
    if one.share is None or one.left is None:
        often = "how often documents change is not known"
        if one.status == "pass":
            often = "however often documents change"
        return f"{today}; {often}, and {_keeps(one)}{_from(one)}."
    if one.status == "fail":
        today = f"{one.candidate} is not used: it is {_place(one.lead)} {_beside(one)} today"
    return (
        f"{today}, {'but' if one.status == 'fail' else 'and'} {_place(one.left)} over "
        f"{months(one.months)}. {in_percent(one.share)}{' or more' * one.at_least} of the "
        f"documents change in a month, and {_keeps(one)}; without training, its lead is "
        f"{in_points(one.left)} on average."
    )


def _place(lead: Interval) -> str:
    return f"{measured(abs(lead.value))} {'ahead' if lead.value >= 0 else 'behind'}"


def _beside(one: OldFacts) -> str:
    return f"of {one.reader}" if one.lead is not None and one.lead.value >= 0 else one.reader


def _keeps(one: OldFacts) -> str:
    """Say how often the old fact is given once one changed, over how often the reader gives it."""
    assert one.stale is not None
    ends = " to ".join(number(100 * (end or 0.0), 0) for end in (one.stale.low, one.stale.high))
    more = "more" if one.stale.value >= 0 else "fewer"
    return (
        f"it then gives the old answer to {100 * abs(one.stale.value):.0f} of 100 questions {more} "
        f"than {one.reader} ({ends}, {one.rows} asked)"
    )


def _from(one: OldFacts) -> str:
    """Say from how many changes on its lead is gone, where nobody knows how many there are."""
    old = _gone_at(one)
    if one.status == "pass" or old is None:
        return ""
    share = changed_at(old) / one.months
    if share > 1:
        return ""
    return (
        f"; over {months(one.months)} its lead is gone on average if {in_percent(share)} of the "
        "documents or more change in a month (costs.documents_changed_per_month)"
    )


def _gone_at(one: OldFacts) -> float | None:
    """Return the mean share of old facts that takes the whole lead; None if none does."""
    if one.lead is None or one.lost is None or not 0 < one.lead.value < one.lost.value:
        return None
    return one.lead.value / one.lost.value


def may_fall_behind(case: Case) -> Iterator[str]:
    """Yield a clause where facts that change may turn the verdict: for the candidate to use.

    Also for one that is not used because of them, if few fits show that.
    """
    own = None if case.selection.doubt else case.contenders.may_be_old(case.name)
    if own is not None and own.status == "unknown" and matters(case, own):
        yield f"whether {own.candidate} keeps up with {own.reader} as documents change is open"
    for one in case.contenders.barred.values():
        candidate, left = case.contenders.panel[one.candidate], one.left
        if left is None or left.low is None or left.high is None:
            continue
        # A wider interval would have to show the same, as for other comparisons of few fits.
        high = left.high + (left.high - left.low) / 2
        if candidate.repeats and candidate.repetitions < FEW and high > 0:
            runs = plural(candidate.repetitions, "run")
            yield f"after {runs} of {one.candidate}, facts that change bar it by a little only"


def matters(case: Case, one: OldFacts) -> bool:
    """Return whether facts that change may cost a candidate the margin."""
    least = case.contenders.margin(one.candidate, one.reader)
    if one.stale is None or one.cost is None:
        return one.share != 0 and (one.stale is None or one.stale.value > least)
    return min(one.stale.value, one.cost) > least


def trained_more_often(case: Case) -> Iterator[str]:
    """Yield how often a barred candidate must be trained again to stay ahead, as measured."""
    for one in case.contenders.barred.values():
        old = _gone_at(one)
        if old is None or not one.share:
            continue
        time = changed_at(old) / one.share
        if time < one.months:
            yield (
                f"Trained again every {months(time)} or more often (costs.refresh_months), "
                f"{one.candidate} would stay ahead of {one.reader}, as measured."
            )


def barred_families(case: Case) -> list[FamilyResult]:
    """Return the families all of whose members are barred, as changed facts leave them behind."""
    contenders = case.contenders
    return [
        FamilyResult(
            family=contenders.family(name),
            best=name,
            members=(name,),
            difference=interval_of(gain) if (gain := contenders.gain(name, case.name)) else None,
            rows=gain.rows if gain else 0,
            status="barred",
        )
        for name in contenders.barred
        if contenders.family(name) not in contenders.families
    ]
