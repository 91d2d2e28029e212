"""Compare two stored studies: common test rows, differing settings, paired differences."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from choose.api.compare import decide
from choose.api.study_evidence import evidence_of, method_of, rule_of, settings
from choose.errors import StoreError
from choose.files import digest
from choose.judge.evidence import GIVEN
from choose.judge.scores.paired_comparison import ASSUMED_SD
from choose.judge.scores.score_tables import CandidateScores, ScoreTable, StudyScores, study_scores
from choose.report.words import answer, headline
from choose.schema.decision import Change, CommonRows, Decision, Shift, Side, Versus
from choose.stats import Estimate
from choose.stats.paired import Difference, aligned, holm, paired_difference
from choose.stats.two_way import Mask, answered, row_means
from choose.store.store import Store
from choose.study.find_study_folder import flat
from choose.types import Codes, Dataset, Floats


def differences(
    before: Store, first: Decision, after: Store, second: Decision
) -> tuple[Change, ...]:
    """Return differing data, settings, prices, models, prompts and versions, in that order."""
    old, new = _facts(before, first), _facts(after, second)
    return tuple(
        Change(what=what, before=old.get(what), after=new.get(what))
        for what in {**new, **old}
        if old.get(what) != new.get(what)
    )


def _facts(store: Store, decision: Decision) -> dict[str, str]:
    data = decision.dataset
    planned, trials = store.grid()
    candidates: dict[str, dict[str, Any]] = {
        one["name"]: {"strategy": one["strategy"], **one["params"]} for one in planned
    }
    for trial in trials:
        # Of answers that exist, weights are the answers of one fold.
        weights = None if trial.strategy == GIVEN else trial.weights or None
        known = {"revision": trial.revision, "weights": weights}
        candidates.setdefault(trial.candidate, {}).update(known)
    for prompt in method_of(store).prompts:
        setting = f" ({prompt.setting})" if prompt.setting else ""
        candidates[prompt.candidate][f"prompt{setting}"] = prompt.text
    whole = {
        "data": {
            "fingerprint": data.fingerprint,
            "labels": ", ".join(store.dataset.task.labels),
            "labelled rows": data.rows,
            "test rows": data.test_rows,
            "division": data.division,
        },
        "study": settings(store.study),
        "candidate": candidates,
        "version": {"decision rule": decision.rule, **decision.machine},
    }
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in flat(whole)}


# With fewer common rows, an interval on a difference covers nearly every possible value.
MIN_COMMON_ROWS = 30


def compare_stores(before: str | Path, after: str | Path) -> Versus:
    """Compare two stored studies in pairs, on their common test rows, without running a model.

    Raises:
        StoreError: if either folder is no study, or fewer than 30 rows are common.
    """
    stores = [Store.open(Path(path)) for path in (before, after)]
    was, now = map(decide, stores)
    first, second = (store.dataset for store in stores)
    rows, pairs = match_rows(first, second)
    if rows.common < MIN_COMMON_ROWS:
        raise StoreError(_too_few(str(stores[0].path), str(stores[1].path), rows))
    common = _common_scores(stores[0], stores[1], pairs)
    old, new = ([c.info.name for c in side.scored] for side in (common.first, common.second))
    named = [(name, name) for name in new if name in old]
    pair = was.named, now.named
    if pair[0] in old and pair[1] in new and pair not in named:
        named.insert(0, pair)
    sides = [summary_of(decision) for decision in (was, now)]
    verdicts = {(side.kind, side.recommended, side.use_meanwhile) for side in sides}
    return Versus(
        choose=version("choose-llm"),
        before=sides[0],
        after=sides[1],
        verdict_changed=len(verdicts) > 1,
        rows=rows,
        shifts=shifts(common, named),
        changes=differences(stores[0], was, stores[1], now),
        margin=float(now.goal["margin"]),
        metric=str(now.goal["metric"]),
    )


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two studies and the numbers of their common rows, aligned: row `before[i]` is `after[i]`."""

    first: StudyScores
    second: StudyScores
    before: Codes
    after: Codes

    @property
    def clusters(self) -> list[str] | None:
        """Return the clusters of the common rows, from the second study if it has them."""
        for scores, rows in ((self.second, self.after), (self.first, self.before)):
            if scores.rows.clusters is not None:
                return [scores.rows.clusters[i] for i in rows.tolist()]
        return None


def shifts(meeting: Meeting, named: Sequence[tuple[str, str]]) -> tuple[Shift, ...]:
    """Compare pairs of candidates (first study, second study) that answered some common row.

    The p-values of all compared pairs are corrected together (Holm).
    """
    pairs = (_shift(meeting, meeting.first[old], meeting.second[new]) for old, new in named)
    measured = [shift for shift in pairs if shift is not None]
    corrected = iter(holm([shift.p for shift in measured if shift.p is not None]))
    return tuple(
        shift if shift.p is None else shift.model_copy(update={"p_holm": next(corrected)})
        for shift in measured
    )


def _shift(meeting: Meeting, old: CandidateScores, new: CandidateScores) -> Shift | None:
    if old.main is None or new.main is None:
        return None
    y, x = old.main.right[meeting.before], new.main.right[meeting.after]
    both = answered(x) & answered(y)
    if not both.any():
        return None
    name, later = old.info.name, new.info.name
    if _same(meeting, old.main, new.main):  # nothing is estimated
        weights = None if (all_of := _weights(meeting, both)) is None else all_of[both]
        value = float(np.average(row_means(x)[both], weights=weights))
        none = Estimate(value=0.0, low=0.0, high=0.0, estimand="same-fits")
        scores = {"accuracy_before": value, "accuracy_after": value}
        return Shift(
            before=name, after=later, difference=none, p=None, rows=int(both.sum()), **scores
        )
    gap = _difference(meeting, old, new, refitted=_fits(old.main) != _fits(new.main))
    now, was = gap.scores
    return Shift(
        before=name,
        after=later,
        accuracy_before=was,
        accuracy_after=now,
        difference=gap.estimate(),
        p=gap.p,
        rows=gap.rows,
    )


def _difference(
    meeting: Meeting, old: CandidateScores, new: CandidateScores, *, refitted: bool
) -> Difference:
    assert old.main is not None
    assert new.main is not None
    x, y = new.main.right[meeting.after], old.main.right[meeting.before]
    alone = sum(side.repeats and side.repetitions < 2 for side in (old, new)) if refitted else 0
    gap = paired_difference(
        x,
        y,
        meeting.clusters,
        _weights(meeting, aligned(x, y)[2]),
        assumed=ASSUMED_SD**2 * alone,
        expected=ASSUMED_SD**2,
        graded=meeting.second.rows.graded,
    )
    again = "new-pools-in-either" if old.drawn or new.drawn else "refits-in-either"
    about = again if max(gap.repetitions) > 1 else "fits"
    return replace(gap, estimand=f"{again}:{ASSUMED_SD}" if alone else about)


def _weights(meeting: Meeting, complete: Mask) -> Floats | None:
    """Return (common rows,) the weights of the complete rows in the second study, or None."""
    there = np.zeros(len(meeting.second.rows.targets), dtype=np.bool_)
    there[meeting.after[complete]] = True
    own = meeting.second.rows.weights_on(there)
    return None if own is None else own[meeting.after]


def _same(meeting: Meeting, old: ScoreTable, new: ScoreTable) -> bool:
    """Return whether the same fits gave the same answers to the same rows."""
    x, y = (t.outputs if t.rows.labels else t.right for t in (old, new))
    x, y = x[meeting.before], y[meeting.after]
    # Codes follow the order of the labels, which must therefore be the same too.
    if old.rows.labels != new.rows.labels or _fits(old) != _fits(new) or x.shape != y.shape:
        return False
    return bool(np.array_equal(x, y, equal_nan=True))


def _fits(table: ScoreTable) -> frozenset[str]:
    """Return the keys of the fits; answers that exist come of none, in whatever folds."""
    return frozenset(run.trial.key for run in table.runs if run.trial.strategy != GIVEN)


def _common_scores(before: Store, after: Store, pairs: Sequence[tuple[str, str]]) -> Meeting:
    metric = rule_of(after.study, after.dataset.task).metric
    one, two = (study_scores(evidence_of(store), metric) for store in (before, after))
    return Meeting(
        one,
        two,
        np.array([one.rows.index[a] for a, _ in pairs], dtype=np.int64),
        np.array([two.rows.index[b] for _, b in pairs], dtype=np.int64),
    )


def summary_of(decision: Decision) -> Side:
    verdict = decision.verdict
    return Side(
        name=decision.dataset.name,
        fingerprint=decision.dataset.fingerprint,
        kind=verdict.kind,
        recommended=verdict.recommended,
        use_meanwhile=verdict.use_meanwhile,
        chance=decision.chance,
        headline=headline(decision),
        answer=answer(decision),
    )


def match_rows(first: Dataset, second: Dataset) -> tuple[CommonRows, list[tuple[str, str]]]:
    """Count the test rows of both studies, and pair the ids of the common ones.

    Rows meet where text and label are the same, by id or, where ids moved, by a text that occurs
    once in either study.
    """
    old, new = _contents(first), _contents(second)
    pairs = [(id, id) for id in old if old[id] == new.get(id)]
    met = {id for id, _ in pairs}
    alone, other = _once(old, met), _once(new, met)
    pairs += [(id, other[content]) for content, id in alone.items() if content in other]
    matched = {id for pair in pairs for id in pair}
    changed = sum(id in new and id not in matched for id in old)
    return CommonRows(before=len(old), after=len(new), common=len(pairs), changed=changed), pairs


def _contents(dataset: Dataset) -> dict[str, str]:
    """Return digests of the test rows by id; rows without a text are alike by id alone."""
    rows = [(id, dataset.examples[id]) for id in dataset.asked]
    return {id: digest([row.input if row.text else id, row.target]) for id, row in rows}


def _once(contents: Mapping[str, str], met: set[str]) -> dict[str, str]:
    counts = Counter(contents.values())
    return {c: id for id, c in contents.items() if counts[c] == 1 and id not in met}


def _too_few(before: str, after: str, rows: CommonRows) -> str:
    common = f"only {rows.common} rows" if rows.common else "no row"
    changed = f"; {rows.changed} changed under the same id" if rows.changed else ""
    return (
        f"{before!r} ({rows.before} test rows) and {after!r} ({rows.after}) have {common} in "
        f"common, with the same text and answer{changed}; a comparison needs {MIN_COMMON_ROWS}. "
        "Name two studies of the same test rows, or report each alone."
    )
