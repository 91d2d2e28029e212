"""From evidence to the decision record."""

from dataclasses import asdict
from importlib.metadata import version

from choose.judge.decision.candidate_comparisons import cards_of, families_of, pairs_of, payback_of
from choose.judge.decision.next_steps import steps_of
from choose.judge.decision.remarks import caveats_of, remarks_of
from choose.judge.decision.rule import Case, case_of
from choose.judge.decision.trust_conditions import audit_with_gain, gates_of, rare_labels
from choose.judge.decision.verdict_kind import kind_of
from choose.judge.diagnosis.differing_rows import confusion_of, side_by_side
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.schema.decision import DatasetRecord, Decision, Gate, Verdict
from choose.schema.plan import LeftOut


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
        NothingToJudge: if no candidate answered a single row.
    """
    case = case_of(evidence, rule, left_out)
    candidates, gates = case.candidates, tuple(gates_of(case))
    cards = cards_of(evidence, candidates, case.named)
    return Decision(
        choose=version("choose-llm"),
        rule=rule.version,
        dataset=_dataset(evidence, case),
        goal=asdict(candidates.rule),
        verdict=_verdict(case, gates, looks),
        gates=gates,
        scorecards=cards,
        pairs=pairs_of(case),
        document_drill=case.drill,
        payback=payback_of(candidates, case.named),
        loss_splits=case.splits,
        without_evidence=case.unanswered,
        audit=audit_with_gain(case),
        overlap=case.overlap,
        confusion=confusion_of(candidates, case.named),
        side_by_side=side_by_side(evidence, candidates, cards),
        takeover=case.takeover,
        looks=looks,
        left_out=left_out,
        machine=dict(evidence.machine),
    )


def _verdict(case: Case, gates: tuple[Gate, ...], looks: int) -> Verdict:
    kind = kind_of(case)
    # A candidate is named only where the verdict is to use one.
    recommended = case.named if case.sure and kind in ("adopt", "baseline-is-enough") else None
    return Verdict(
        kind=kind,
        recommended=recommended,
        use_meanwhile=case.named,
        family=case.candidates.family(recommended) if recommended else None,
        chance=case.chances.stated,
        loss=case.chances.loss,
        most=case.chances.most,
        leads=dict(case.chances.leads.items()),
        unmeasured=case.missing,
        usable=case.chances.usable,
        done=case.done,
        caveats=tuple(caveats_of(case, gates, looks)),
        families=families_of(case),
        remarks=tuple(remarks_of(case)),
        steps=steps_of(case, kind),
        rare=rare_labels(case),
    )


def _dataset(evidence: Evidence, case: Case) -> DatasetRecord:
    return DatasetRecord(
        name=evidence.name,
        fingerprint=evidence.fingerprint,
        rows=evidence.rows,
        test_rows=len(evidence.items.ids),
        learnt=case.candidates.scores.training_rows,
        pool=case.candidates.scores.pool,
        labels=evidence.labels,
        division=evidence.division,
        findings=evidence.findings,
    )
