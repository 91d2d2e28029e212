"""From evidence to the decision record."""

from __future__ import annotations

from importlib.metadata import version
from itertools import combinations
from typing import Any

from choose.errors import StudyError
from choose.judge.decision.break_even import breakevens, payback_of
from choose.judge.decision.caveats import caveats_of
from choose.judge.decision.chance import chances_of
from choose.judge.decision.contenders import Contenders, contenders_of
from choose.judge.decision.label_gates import audit_with_gain, rare_labels
from choose.judge.decision.remarks import remarks_of
from choose.judge.decision.rule import Case, label_shift, select
from choose.judge.decision.steps import steps_of
from choose.judge.decision.verdict_gates import gates_of
from choose.judge.decision.verdict_kind import kind_of
from choose.judge.diagnosis.cascade import takeover_of
from choose.judge.diagnosis.error_overlap import confusion_of, disagreement_of, overlap_of
from choose.judge.diagnosis.label_audit import audit_labels
from choose.judge.diagnosis.loss_split import loss_splits, missing_evidence
from choose.judge.diagnosis.suspect_values import side_by_side, suspect_values
from choose.judge.evidence import Evidence
from choose.judge.goal import RULE, Rule
from choose.judge.measures.build_scorecard import accuracy, scorecard
from choose.judge.measures.changed_documents import document_drill
from choose.judge.measures.robustness import common_rows
from choose.judge.measures.text_metrics import (
    EQUAL,
    literal_fields,
    long_answers,
    text_figures,
)
from choose.judge.scores.family_comparison import FamilyComparison, pair_records
from choose.judge.scores.paired_comparison import common_pool, side_at
from choose.judge.scores.score_tables import WHOLE, CandidateScores, StudyScores, study_scores
from choose.judge.stats.two_way import row_means
from choose.schema.base import Interval, with_population
from choose.schema.decision import DatasetRecord, Decision, Gate, Pair, Verdict
from choose.schema.diagnosis import Distilled
from choose.schema.plan import LeftOut
from choose.schema.scorecard import Scorecard
from choose.schema.standings import FamilyResult, Standing
from choose.types import Family

__all__ = ["RULE", "judge"]


def judge(
    evidence: Evidence, rule: Rule, *, looks: int = 1, left_out: tuple[LeftOut, ...] = ()
) -> Decision:
    """Decide from the facts of finished trials alone; the same facts give the same decision.

    Args:
        evidence: the facts of finished trials.
        rule: what the study fixed before it ran.
        looks: grids judged on these test rows so far, including this one.
        left_out: what was planned but not measured.

    Raises:
        StudyError: if no candidate answered a single row.
    """
    if not (scores := study_scores(evidence, rule.measure)).scored:
        raise StudyError(_nothing(scores))
    contenders = contenders_of(scores, rule)
    case = _case(evidence, contenders, left_out)
    gates = gates_of(case)
    standings = standings_of(contenders, case.name)
    decision = Decision(
        choose=version("choose-llm"),
        rule=rule.version,
        dataset=_dataset(evidence, scores),
        goal=contenders.rule.record(),
        verdict=_verdict(case, gates, looks),
        gates=gates,
        scorecards=_scorecards(evidence, contenders),
        standings=standings,
        pairs=_pairs(case),
        document_drill=case.drill,
        payback=payback_of(contenders, case.name),
        **_rows_to_read(evidence, case, standings),
        **_outlook(contenders),
        takeover=case.takeover,
        looks=looks,
        left_out=left_out,
        machine=dict(evidence.machine),
    )
    return with_population(decision, evidence.about)


def _outlook(contenders: Contenders) -> dict[str, Any]:
    """Return the parts of the record on labels, a teacher, and when costs are earned back."""
    return {
        "distilled": distilled_of(contenders),
        "forecasts": tuple(contenders.curves.forecasts.values()),
        "breakeven": breakevens(contenders),
    }


def _case(
    evidence: Evidence,
    contenders: Contenders,
    left_out: tuple[LeftOut, ...],
) -> Case:
    labels = audit_labels(evidence)
    chances = chances_of(contenders)
    selection = select(contenders, chances)
    overlap = overlap_of(contenders)
    splits = loss_splits(evidence, contenders.panel)
    unanswered, missing = missing_evidence(evidence)
    written = evidence.task is not None and evidence.task.kind == "writing"
    return Case(
        contenders,
        chances,
        selection,
        audit=labels,
        overlap=overlap,
        splits=splits,
        without_evidence=missing,
        written=written,
        left_out=left_out,
        unanswered=unanswered,
        drill=document_drill(evidence, contenders.panel),
        takeover=takeover_of(contenders),
        long_answers=long_answers(evidence),
        shift=label_shift(evidence.pool.targets, evidence.items.targets)
        if evidence.labels
        else None,
        leaked=evidence.leaked,
        unseen=evidence.unseen,
    )


def _scorecards(evidence: Evidence, contenders: Contenders) -> tuple[Scorecard, ...]:
    costs, rule, literal = contenders.costs, contenders.rule, literal_fields(evidence)
    common = common_rows(candidates := contenders.panel.candidates)
    return tuple(
        scorecard(c, costs[c.info.name].record, rule, common).model_copy(
            update={"text": text_figures(evidence, c, literal)}
        )
        for c in candidates
    )


def _nothing(scores: StudyScores) -> str:
    errors = [f"{c.info.name}: {c.errors[0]}" for c in scores.candidates if c.errors]
    why = f" First failure: {errors[0]}" if errors else " No trial has finished yet."
    return (
        f"No candidate answered a single row, so there is nothing to judge.{why} "
        "Run choose compare again with the same --out; finished trials are kept."
    )


def _verdict(case: Case, gates: tuple[Gate, ...], looks: int) -> Verdict:
    kind = kind_of(case)
    # A candidate is named only where the verdict is to use one.
    recommended = case.selection.chosen if kind in ("adopt", "baseline-is-enough") else None
    return Verdict(
        kind=kind,
        recommended=recommended,
        use_meanwhile=case.name,
        family=case.contenders.family(recommended) if recommended else None,
        chance=dict(case.chances.families.items()),
        loss=case.chances.loss,
        leads=dict(case.chances.leads.items()),
        unmeasured=case.missing,
        usable=case.usable,
        done=case.done,
        caveats=caveats_of(case, gates, looks),
        families=families_of(case),
        remarks=remarks_of(case),
        steps=steps_of(case, gates),
        rare=rare_labels(case),
    )


def _pairs(case: Case) -> tuple[Pair, ...]:
    """Declare the comparisons of families, and that of the member named with the nearest other."""
    contenders = case.contenders
    declared = [
        match
        for first, second in combinations(contenders.families, 2)
        if (match := contenders.versus(second, first))
    ]
    if case.beside and (gain := contenders.gain(case.beside, case.name)):
        declared.append(FamilyComparison(case.beside, case.name, gain))
    return pair_records(contenders.pairs, declared)


def _dataset(evidence: Evidence, scores: StudyScores) -> DatasetRecord:
    return DatasetRecord(
        name=evidence.name,
        fingerprint=evidence.fingerprint,
        rows=evidence.rows,
        test_rows=len(evidence.items.ids),
        learnt=scores.training_rows,
        pool=scores.pool,
        labels=evidence.labels,
        division=evidence.division,
        findings=evidence.findings,
        personal=None if evidence.personal is None else len(evidence.personal),
    )


def _rows_to_read(
    evidence: Evidence, case: Case, standings: tuple[Standing, ...]
) -> dict[str, Any]:
    """Return the parts of the record that list rows, and which of these hold personal data."""
    audit, overlap = audit_with_gain(case), case.overlap
    disagreement = disagreement_of(case.contenders, standings)
    ids = [row.id for row in audit.suspects] if audit else []
    ids += [row.id for row in overlap.doubtful] if overlap else []
    ids += [row.id for row in disagreement.listed] if disagreement else []
    return {
        "loss_splits": case.splits,
        "without_evidence": case.unanswered,
        "audit": audit,
        "overlap": overlap,
        "disagreement": disagreement,
        "confusion": confusion_of(case.contenders, case.name),
        "suspect_values": suspect_values(evidence, literal_fields(evidence)),
        "side_by_side": side_by_side(evidence, case.contenders, standings),
        "personal": tuple(id for id in dict.fromkeys(ids) if id in (evidence.personal or ())),
    }


def families_of(case: Case) -> tuple[FamilyResult, ...]:
    """Return every family of the question: the named one first, then by their lead over it."""
    known, best = case.contenders.families, case.members

    def behind(family: Family) -> tuple[bool, float]:
        gain = case.contenders.gain(best[family], case.name)
        return best[family] != case.name, -gain.value if gain else 1.0

    order = sorted(known, key=behind)
    measured = [FamilyResult(family=f, best=best[f], members=known[f]) for f in order]
    missing = [FamilyResult(family=family) for family in case.missing if family not in known]
    return (*measured, *missing)


def standings_of(contenders: Contenders, chosen: str) -> tuple[Standing, ...]:
    """Return a standing for each candidate, ranked by its difference to the chosen one.

    Candidates that share no row with the chosen one come last, then those beyond a limit.
    """
    standings = [_standing(contenders, c, chosen) for c in contenders.panel.candidates]
    return tuple(sorted(standings, key=_rank))


def _rank(standing: Standing) -> tuple[bool, bool, float]:
    if standing.chosen:
        return False, False, 0.0
    gap = standing.difference
    return bool(standing.beyond), gap is None, -gap.value if gap else 0.0


def _standing(contenders: Contenders, candidate: CandidateScores, chosen: str) -> Standing:
    name, cost = candidate.info.name, contenders.costs[candidate.info.name].record
    pair = contenders.gain(name, chosen) if name != chosen and candidate.main else None
    rows = int(candidate.main.complete.sum()) if candidate.main else 0
    return Standing(
        candidate=name,
        family=candidate.info.family,
        title=candidate.info.title,
        chosen=name == chosen,
        accuracy=accuracy(candidate),
        difference=Interval.of(pair) if pair else None,
        compared=pair.scores if pair else None,
        common=rows if name == chosen else pair.rows if pair else 0,
        rows=rows,
        ms_per_answer=cost.ms_per_item,
        usd_per_1k=cost.usd_per_1k,
        beyond=contenders.beyond.get(name, ()),
        **_rows_won(contenders.panel[chosen], candidate),
    )


def distilled_of(contenders: Contenders) -> Distilled | None:
    """Return what learning from the teacher brings; None where no candidate did."""
    panel, levels = contenders.panel, contenders.levels
    taught = [c for c in contenders.order if c.info.taught and not c.info.floor]
    teacher = next((c for c in panel.scored if c.info.teaches), None)
    if not taught:
        return None
    top = max(levels[c.info.name] for c in taught) - contenders.rule.margin
    one = next(c for c in taught if levels[c.info.name] >= top)
    labels = next((c for c in panel.scored if _same_but_labels(c, one)), None)
    name = one.info.name
    pool = common_pool(labels, one) if labels and labels.main else None
    if pool == WHOLE and labels and labels.pool != one.pool:
        pool = None  # all labels against fewer answers
    brings = contenders.gain(labels.info.name, name) if labels and pool else None
    return Distilled(
        teacher=teacher.info.name if teacher else "",
        taught=name,
        rows=one.pool,
        score=contenders.accuracies[name],
        teacher_score=accuracy(teacher) if teacher else None,
        labels_bring=Interval.of(brings) if brings else None,
        compared=brings.scores if brings else None,
        learned=(one.pool if pool == WHOLE else pool or 0) if brings else 0,
    )


def _same_but_labels(candidate: CandidateScores, taught: CandidateScores) -> bool:
    own, other = candidate.info, taught.info
    return not own.taught and (own.strategy, own.model) == (other.strategy, other.model)


def _rows_won(chosen: CandidateScores, other: CandidateScores) -> dict[str, int]:
    """Return on how many common rows another scores higher and lower, where both learned alike."""
    if other is chosen or (pool := common_pool(other, chosen)) is None:
        return {}
    theirs, own = side_at(other, pool).table, side_at(chosen, pool).table
    ahead = row_means(theirs.right) - row_means(own.right)
    return {"won": int((ahead > EQUAL).sum()), "lost": int((ahead < -EQUAL).sum())}
