"""What a candidate that reads documents loses, and what it answers after facts in them changed.

The controls ask the same fits the same rows with other passages, so that their paired differences
add up to the whole loss. In a drill, facts of the documents were exchanged after training:
candidates that read were asked with the changed documents, others answer as before. Questions of
one document are clustered: intervals are by documents and repetitions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from choose.corpus import AMONG_OTHERS, CONDITIONS, GOLD, NOTHING, holds
from choose.judge.evidence import Evidence, Items, row_set
from choose.judge.scores.paired_comparison import view_tables
from choose.judge.scores.score_tables import (
    ARTEFACT,
    CandidateScores,
    ScoreTable,
    StudyScores,
    estimand_of,
)
from choose.schema.diagnosis import DocumentDrill, DrillOutcome, Gap, GapName, LossSplit
from choose.stats import Estimate
from choose.stats.intervals import skewed_interval, two_way_interval
from choose.stats.two_way import Mask, answered, row_means, whole_rows
from choose.tasks.answering import Answering, abstains
from choose.tasks.document_drill import Drill
from choose.types import CLEAN, Floats, Run

# Resamples of the documents that tell how surely the largest gap is the largest.
RESAMPLES = 2_000

# Rows below which nothing is split.
FEWEST = 8

NAMES: tuple[GapName, ...] = ("reading", "retrieval", "distraction")


@dataclass(frozen=True)
class _Common:
    """Scores on the rows that were answered under every control, in whole repetitions.

    Attributes:
        mask: which of the study's rows these are.
        scores: (n, repetitions) by control; "" is what was retrieved.
        draws: the repetitions.
        documents: the document with the evidence of each row.
        row_set: what the record calls these rows.
    """

    mask: Mask
    scores: Mapping[str, Floats]
    draws: tuple[int, ...]
    documents: tuple[str, ...]
    row_set: str

    def mean(self, control: str) -> Estimate:
        return self._on_these(two_way_interval(self.scores[control], self.documents))

    def gain(self, control: str, over: str) -> Estimate:
        return self.mean_of(self.scores[control] - self.scores[over])

    def mean_of(self, differences: Floats) -> Estimate:
        """Return the mean of (n, repetitions) differences of scores."""
        return self._on_these(skewed_interval(differences, self.documents))

    def _on_these(self, estimate: Estimate) -> Estimate:
        return replace(estimate, estimand=estimand_of(len(self.draws)), row_set=self.row_set)


def loss_splits(evidence: Evidence, scores: StudyScores) -> tuple[LossSplit, ...]:
    """Return the split of each candidate that was asked under every control."""
    found = (_split(evidence, candidate) for candidate in scores.scored)
    return tuple(split for split in found if split is not None)


def missing_evidence(evidence: Evidence) -> tuple[tuple[str, ...], Estimate | None]:
    """Return the questions with an answer that no document is known to hold, and their share.

    The share is of the questions with an answer; null where no evidence is known at all.
    """
    items = evidence.items
    if not items.evidence or not isinstance(evidence.task, Answering):
        return (), None
    pairs = zip(items.ids, items.targets, strict=True)
    asked = [id for id, target in pairs if not abstains(target)]
    missing = [id not in items.evidence for id in asked]
    if not asked:
        return (), None
    share = replace(two_way_interval(np.array(missing, float)), estimand=ARTEFACT)
    return tuple(id for id, one in zip(asked, missing, strict=True) if one), share


def _split(evidence: Evidence, candidate: CandidateScores) -> LossSplit | None:
    if (table := candidate.main) is None or (common := _common(evidence, table)) is None:
        return None
    one = _reads_one(table, common)
    among = common.scores[GOLD if one else AMONG_OTHERS]
    losses: dict[GapName, Floats] = {
        "reading": 1 - common.scores[GOLD],
        "distraction": common.scores[GOLD] - among,
        "retrieval": among - common.scores[""],
    }
    shares = largest_shares({n: row_means(v) for n, v in losses.items()}, common.documents)
    gaps = [
        Gap(name=name, loss=common.mean_of(losses[name]), largest=shares[name])
        for name in NAMES
        if name != "distraction" or not one
    ]
    return LossSplit(
        candidate=candidate.info.name,
        rows=int(common.mask.sum()),
        documents=len(set(common.documents)),
        nothing=common.mean(NOTHING),
        retrieved=common.mean(""),
        gold=common.mean(GOLD),
        among_others=None if one else common.mean(AMONG_OTHERS),
        knowledge=common.gain(GOLD, NOTHING),
        brought=common.gain("", NOTHING),
        gaps=tuple(sorted(gaps, key=lambda gap: -gap.loss.value)),
        **_retrieved(evidence, table),
    )


def _reads_one(table: ScoreTable, common: _Common) -> bool:
    runs = (run for run in table.runs if run.trial.draw in common.draws)
    answers = [a for run in runs if (a := run.answers.get((AMONG_OTHERS, 0))) is not None]
    shown = [passages for one in answers for passages in one.evidence or ()]
    known = all(one.evidence is not None for one in answers)
    return known and bool(shown) and max(map(len, shown)) <= 1


def largest_shares(losses: Mapping[str, Floats], documents: Sequence[str]) -> dict[str, float]:
    """Return in which share of resamples of the documents each mean loss is the largest.

    Losses are (rows,) by name, and each row has its document.
    """
    names, place = np.unique(np.asarray(documents), return_inverse=True)
    sums = np.stack([np.bincount(place, weights=v, minlength=len(names)) for v in losses.values()])
    random = np.random.default_rng(len(names))
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    # Every mean of a resample has the same rows below it, so that sums have the same order.
    winners = np.bincount((counts @ sums.T).argmax(axis=1), minlength=len(losses))
    return {name: float(won / RESAMPLES) for name, won in zip(losses, winners, strict=True)}


def _common(evidence: Evidence, table: ScoreTable) -> _Common | None:
    tables = view_tables(table, controls=True)
    if any(control not in tables for control in CONDITIONS):
        return None
    every = {"": table, **{control: tables[control] for control in CONDITIONS}}
    draws = sorted(set.intersection(*(set(one.draws) for one in every.values())))
    if not draws:
        return None
    scores = {control: one.of_draws(draws) for control, one in every.items()}
    total = np.asarray(sum(scores.values()))
    mask = whole_rows(total, answered(total)) if answered(total).any() else answered(total)
    if mask.sum() < FEWEST:
        return None
    whole = ~np.isnan(total[mask]).any(axis=0)
    ids = [id for id, place in table.rows.index.items() if mask[place]]
    return _Common(
        mask,
        {control: values[mask][:, whole] for control, values in scores.items()},
        tuple(np.array(draws)[whole].tolist()),
        tuple(evidence.items.document_of(id) for id in ids),
        table.rows.row_set(mask),
    )


def _retrieved(evidence: Evidence, table: ScoreTable) -> dict[str, Any]:
    """Return for how many rows with evidence it was among the passages read, and for which not.

    Each row counts once, by its first repetition: retrieval does not depend on the seed.
    """
    shown: dict[str, tuple[str, ...]] = {}
    for run in table.runs:
        passages = zip(run.asked[CLEAN], run.answers[CLEAN].evidence or (), strict=False)
        shown = {**dict(passages), **shown}
    spans = {id: evidence.items.evidence[id] for id in shown if id in evidence.items.evidence}
    if not any(shown[id] for id in spans):
        return {}
    hits = [any(holds(passage, own) for passage in shown[id]) for id, own in spans.items()]
    documents = [evidence.items.document_of(id) for id in spans]
    found = two_way_interval(np.array(hits, dtype=np.float64), documents)
    missed = tuple(id for id, hit in zip(spans, hits, strict=True) if not hit)
    return {"found": replace(found, estimand=ARTEFACT), "missed": missed}


# A candidate gives an answer if it gives so much of it, and less of another one.
GIVEN = 0.5

# Answers by repetition and row.
Outputs = Mapping[int, Mapping[str, str | None]]

# What an answer to a row scores.
Score = Callable[[str, str | None], float]


@dataclass(frozen=True)
class Asked:
    """The answers of a candidate to rows whose facts changed, before and after the change."""

    scores: CandidateScores
    before: Outputs
    after: Outputs

    @property
    def rows(self) -> frozenset[str]:
        """Return the rows that each repetition answered before and after the change."""
        each = [self.before[draw].keys() & self.after[draw].keys() for draw in self.after]
        return frozenset.intersection(*map(frozenset, each))


def document_drill(evidence: Evidence, scores: StudyScores) -> DocumentDrill | None:
    """Return what candidates answered after facts changed; None where no candidate read them."""
    task, rows = evidence.task, evidence.drill
    if rows is None or not isinstance(task, Answering):
        return None
    every = [found for c in scores.scored if (found := _asked(c, rows)) is not None]
    chosen, ids = on_common_rows(every)
    if not any(one.scores.info.reads for one in chosen) or len(ids) < FEWEST:
        return None
    judge = _Judge(evidence.items, task, rows, tuple(sorted(ids)))
    outcomes = [judge.outcome(one) for one in chosen]
    outcomes.sort(key=lambda o: (not o.reads, -o.updated.value, o.candidate))
    return DocumentDrill(
        facts=rows.facts,
        rows=len(judge.ids),
        documents=len(set(judge.documents)),
        outcomes=tuple(outcomes),
    )


def _asked(candidate: CandidateScores, rows: Drill) -> Asked | None:
    if (table := candidate.main) is None:
        return None
    before = _outputs(table.runs, CLEAN, rows)
    after = _outputs(table.runs, (rows.view, 0), rows) if candidate.info.reads else before
    sizes = {draw: len(found.keys() & before[draw].keys()) for draw, found in after.items()}
    most = max(sizes.values(), default=0)
    full = {draw: after[draw] for draw in sorted(sizes) if sizes[draw] == most}
    return Asked(candidate, before, full) if most else None


def _outputs(runs: Sequence[Run], view: tuple[str, int], rows: Drill) -> Outputs:
    found: dict[int, dict[str, str | None]] = {}
    for run in runs:
        if view in run.answers:
            pairs = zip(run.asked[view], run.answers[view].outputs, strict=True)
            own = found.setdefault(run.trial.draw, {})
            own.update((id, output) for id, output in pairs if id in rows.targets)
    return found


def on_common_rows(every: Sequence[Asked]) -> tuple[list[Asked], frozenset[str]]:
    """Return candidates with the rows that all of them answered; those with few rows are left out.

    Candidates that ran out of time do not take more than half of the rows of the others, together.
    """
    chosen: list[Asked] = []
    common: frozenset[str] = frozenset()
    fullest = max((len(one.rows) for one in every), default=0)
    for one in sorted(every, key=lambda one: -len(one.rows)):
        both = common & one.rows if chosen else one.rows
        if len(both) >= max(FEWEST, fullest / 2):
            chosen, common = [*chosen, one], both
    return chosen, common


@dataclass(frozen=True)
class _Judge:
    """How answers to some rows of a drill are scored."""

    items: Items
    task: Answering
    rows: Drill
    ids: Sequence[str]

    @cached_property
    def documents(self) -> list[str]:
        return [self.items.document_of(id) for id in self.ids]

    @cached_property
    def right(self) -> Mapping[str, tuple[str, ...]]:
        targets = dict(zip(self.items.ids, self.items.targets, strict=True))
        return {id: (targets[id], *self.items.accepted.get(id, ())) for id in self.ids}

    def outcome(self, asked: Asked) -> DrillOutcome:
        changed = {id: (self.rows.targets[id],) for id in self.ids}
        clean = self._values(asked, asked.before, self._scored(self.right))
        updated = self._values(asked, asked.after, self._scored(changed))
        stale = self._values(asked, asked.after, self._gives_old)
        return DrillOutcome(
            candidate=asked.scores.info.name,
            family=asked.scores.info.family,
            reads=asked.scores.info.reads,
            clean=self._mean(clean),
            updated=self._mean(updated),
            stale=self._mean(stale),
        )

    def _values(self, asked: Asked, outputs: Outputs, score: Score) -> Floats:
        return np.array([[score(id, outputs[draw][id]) for draw in asked.after] for id in self.ids])

    def _scored(self, targets: Mapping[str, Sequence[str]]) -> Score:
        @cache  # repetitions and candidates often answer alike
        def score(id: str, out: str | None) -> float:
            scores = {} if out is None else self.task.own_scores(out, targets[id])
            return scores.get(self.task.headline, 0.0)

        return score

    def _gives_old(self, id: str, out: str | None) -> float:
        """Return 1 for an answer that gives the old fact and not the new one."""
        old = self.task.nearness(out, self.right[id])
        return float(GIVEN <= old > self.task.nearness(out, [self.rows.targets[id]]))

    def _mean(self, values: Floats) -> Estimate:
        estimate = two_way_interval(values, self.documents)
        return replace(estimate, estimand=estimand_of(values.shape[1]), row_set=row_set(self.ids))
