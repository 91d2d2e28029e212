"""What weighs beside the answer, and what could make the comparison itself misleading.

Codes with names and figures. Few runs, few rows answered and clusters are variance, which the
chance of a family counts. What no distribution of these scores knows is a caveat.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np

from choose.judge.decision.candidates import Candidates
from choose.judge.decision.rule import NEARLY_ALL, Case
from choose.judge.decision.trust_conditions import (
    LABELS_CLEAN_ENOUGH,
    TASK_STABLE,
    may_hide_success,
)
from choose.judge.evidence import strong
from choose.judge.goal import USUAL_MARGIN
from choose.judge.measures.costs import answer_ms
from choose.judge.measures.scorecard import drop_of, losses_by_source
from choose.judge.scores.promised_score import rows_read, rows_seen
from choose.schema.decision import POSSIBLE, Caveat, Gate, Remark, RemarkCode
from choose.stats.paired import rows_needed
from choose.stats.two_way import independent_rows, row_means

_TARGET: dict[str, RemarkCode] = {"met": "target-met", "missed": "target-missed"}


def remarks_of(case: Case) -> Iterator[Remark]:
    """Yield what weighs beside the answer first, then what would change it."""
    if (target := _TARGET.get(case.target)) is not None:
        yield Remark(code=target, names=(case.named,), share=case.candidates.rule.target)
    yield from _searched(case)
    yield from _other_source(case)


def _searched(case: Case) -> Iterator[Remark]:
    """Yield what each search for a prompt gains over where it starts, on the test rows."""
    scores = case.candidates.scores
    scored = {c.info.name for c in scores.scored}
    for info in (c.info for c in scores.scored if c.info.starts in scored):
        if (gain := case.candidates.gain(info.name, info.starts)) is not None:
            names, value = (info.name, info.starts), gain.estimate()
            yield Remark(code="searched", names=names, value=value, rows=gain.rows)


def _other_source(case: Case) -> Iterator[Remark]:
    """Yield what the named candidate loses on a source that it has not seen, with the worst one."""
    candidate = case.candidates.scores[case.named]
    loss, sources = drop_of(candidate, "source"), losses_by_source(candidate)
    if loss is not None and sources:
        yield Remark(
            code="other-source",
            names=(case.named,),
            what=sources[0].source,
            share=-sources[0].loss.value,
            value=loss.negated().estimate(),
            rows=loss.rows,
        )


# Below this number of test rows, intervals themselves are rough.
ROUGH = 100

# Test rows worth fewer clusters of one size tell nothing of how groups or documents differ.
FEW_CLUSTERS = 2

# A smaller share of the test rows that were in the training file is not spoken of.
LEAKED = 0.05

# Where one of these gates fails, a right comparison may still be the wrong decision.
_SOUND = (LABELS_CLEAN_ENOUGH, TASK_STABLE)

PROMPTED = ("prompting", "retrieval")


def caveats_of(case: Case, gates: Sequence[Gate], looks: int) -> Iterator[Caveat]:
    """Yield what no chance counts, the most serious first."""
    candidates = case.candidates
    rows = candidates.scores.rows
    if candidates.rule.agreement:
        yield _agreement(case)
    if (nearest := candidates.nearest) is not None:
        yield Caveat(code="none-within", names=(nearest,))
    yield from _limits_unknown(case)
    if warned := tuple(c.info.name for c in candidates.scores.candidates if c.info.warning):
        yield Caveat(code="may-have-seen", names=warned)
    if failed := tuple(g.name for g in gates if g.name in _SOUND and g.status == "fail"):
        yield Caveat(code="check-failed", names=failed)
    yield from _division(case, LEAKED * len(rows.targets))
    yield from _part_of_labels(case)
    if (shift := case.shift) is not None:
        yield Caveat(code="shift", names=(shift.label,), shares=(shift.training, shift.test))
    if may_hide_success(case):
        yield Caveat(code="labels-hide-success")
    if rows.one_cluster:
        yield Caveat(code="few-clusters", rows=len(rows.targets))
    elif rows.clusters is not None and independent_rows(rows.clusters) < FEW_CLUSTERS:
        yield Caveat(code="few-clusters", rows=max(Counter(rows.clusters).values()))
    if len(rows.targets) < ROUGH:
        yield Caveat(code="few-rows", rows=len(rows.targets))
    if blind := [*_no_evidence(candidates)]:
        yield from blind
    elif case.family not in PROMPTED and (small := small_models(candidates)):
        yield Caveat(code="small-model", names=small)
    if case.target == "open":
        yield Caveat(code="target-open")
    if names := tuple(c.info.name for c in candidates.scores.candidates if c.errors):
        yield Caveat(code="failed", names=names)
    if asked := {c.info.family for c in candidates.scores.candidates}:
        left = tuple(f for f in candidates.question if f not in {*asked, *case.missing})
        if left:
            yield Caveat(code="not-asked", names=left)
    if looks > 1:
        yield Caveat(code="looks", rows=looks)


def _division(case: Case, least: float) -> Iterator[Caveat]:
    """Yield test rows whose label no training row has, and those that were in both files."""
    if (unseen := sum(case.unseen.values())) and unseen >= least:
        yield Caveat(code="unseen-labels", rows=unseen, whole=len(case.unseen))
    if case.leaked and case.leaked >= least:
        yield Caveat(code="leak", rows=case.leaked)


def _agreement(case: Case) -> Caveat:
    """Return whose answers are taken for right, and on how many rows the named candidate differs.

    Only there a right answer tells the two apart; `whole` such rows show a gain of the margin.
    """
    main = case.candidates.scores[case.named].main
    assert main is not None
    scores = row_means(main.right)
    told, apart = int(np.isfinite(scores).sum()), int((scores < 0.5).sum())
    needed = rows_needed(case.margin or USUAL_MARGIN, apart / told) if apart else 0
    names, whole = (case.candidates.rule.agreement, case.named), ceil(needed * apart / max(told, 1))
    return Caveat(code="agreement", names=names, rows=apart, whole=whole)


def _limits_unknown(case: Case) -> Iterator[Caveat]:
    rule, named = case.candidates.rule, case.candidates.scores[case.named]
    if rule.max_ms is not None and answer_ms(named) is None:
        yield Caveat(code="ms-unknown", names=(case.named,))
    info = named.info
    if rule.on_premises and info.given and info.family in PROMPTED and not info.hosted:
        yield Caveat(code="host-unknown", names=(case.named,))
    if rule.max_usd_per_1k is not None and case.candidates.costs[case.named].usd_per_1k is None:
        yield Caveat(code="usd-unknown", names=(case.named,))


def _part_of_labels(case: Case) -> Iterator[Caveat]:
    """Yield which members in question have read few of the rows, and what all may bring them.

    Those are the members to use of families, and others that may be the one, the likeliest family
    first. Left out are those to which more rows promise nothing, and families that are out of the
    question unless time cut their fits short. First comes that a part of the passages was searched,
    last which labels the smallest part lacks: of each the draw takes a row, if it takes that many.
    """
    if (found := case.candidates.scores.searched) is not None:
        yield Caveat(code="part-of-documents", rows=found.passages, whole=found.whole)
    candidates, chance = case.candidates, case.chances.families
    asked = dict.fromkeys((*candidates.best.values(), *case.promising))
    every, parts = candidates.scores.rows.labels, dict[str, int]()
    for name in sorted(asked, key=lambda name: -chance.get(candidates.family(name), 0.0)):
        one, likely = candidates.scores[name], chance.get(candidates.family(name), 1.0) >= POSSIBLE
        few = rows_read(one.pool, one.main) < NEARLY_ALL * (one.whole if likely else one.pool)
        if few and case.gains[name].mean > 0:
            parts[name] = rows_seen(one.pool, one.main)
            yield Caveat(
                code="part-of-labels",
                names=(name,),
                rows=parts[name],
                whole=one.whole,
                promised=case.promised.get(name) if likely else None,
            )
    taught = len(every) - len(case.unseen)
    if (least := min(parts.values(), default=taught)) < taught:
        names = tuple(name for name, rows in parts.items() if rows == least)
        yield Caveat(code="labels-not-drawn", names=names, rows=taught - least, whole=len(every))


def small_models(candidates: Candidates) -> tuple[str, ...]:
    """Return the models that were prompted if all of them are small."""
    prompted = [m.info for m in candidates.order if m.info.family in PROMPTED]
    small = {info.model for info in prompted if info.model}
    return () if any(map(strong, prompted)) else tuple(sorted(small))


def _no_evidence(candidates: Candidates) -> Iterator[Caveat]:
    """Yield prompted families whose small model is not shown to beat guessing: no evidence.

    Figures are those of the nearest reference that it is not shown to beat.
    """
    for family, best in candidates.best.items() if small_models(candidates) else ():
        prompted = family in PROMPTED and candidates.scores[best].info.model
        if prompted and (unbeaten := candidates.unbeaten(best)):
            leads = (candidates.gain(best, floor) for floor in unbeaten)
            least = min(filter(None, leads), key=lambda lead: lead.value, default=None)
            rows, both = (least.rows, least.scores) if least else (None, None)
            yield Caveat(code="no-evidence", names=(family,), rows=rows, shares=both)
