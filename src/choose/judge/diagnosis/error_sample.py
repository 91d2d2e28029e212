"""The rows on which errors are classified, the candidates that answered them, and the criteria.

Fine-tuned candidates take no part, so that the result is the same before and after they run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log2

import numpy as np

from choose.judge.evidence import CandidateInfo, Evidence
from choose.judge.scores.out_of_fold import OutOfFold, out_of_fold, out_of_folds, targets
from choose.judge.scores.score_tables import MISSING
from choose.judge.stats.intervals import wilson
from choose.judge.stats.metrics import Codes, confusion
from choose.judge.stats.two_way import Mask
from choose.types import Floats

JURORS = 3

# Bits of entropy from which on retrieved labels disagree: 3 to 2 has 0.97, 4 to 1 has 0.72.
MIXED = 0.9

# Labels overlap if each is taken for the other more often than this, for certain.
OVERLAP = 0.1

AGREE = 2


@dataclass(frozen=True)
class CandidateAnswers:
    """Out-of-fold answers of a candidate, aligned with the rows of the sample.

    Attributes:
        outputs: (n,) codes of the first repetition's answers, `UNUSABLE` or `MISSING`.
        scores: (n, labels) probabilities, NaN for rows without a prediction; None without scores.
        evidence: ids retrieved by row.
    """

    info: CandidateInfo
    outputs: Codes
    scores: Floats | None
    evidence: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ErrorSample:
    """The rows, the candidate whose errors are classified, and the others' answers to these rows.

    Attributes:
        target_of: label codes by id of every row, retrieved ones included.
        supervised_right: (n,) whether most runs of the supervised candidate are right; None
            without one, and where the subject is a baseline, which the labels train already.
        repeat_accuracy: (n,) share of the subject's other runs and settings that are right, or
            None where it answered only once.
    """

    ids: tuple[str, ...]
    targets: Codes
    labels: int
    target_of: Mapping[str, int]
    subject: CandidateAnswers
    others: tuple[CandidateAnswers, ...]
    supervised: CandidateAnswers | None
    supervised_right: Mask | None
    repeat_accuracy: Floats | None

    @property
    def wrong(self) -> Mask:
        """Return (n,) which rows the subject gets wrong."""
        return np.asarray(self.subject.outputs != self.targets, dtype=np.bool_)

    @cached_property
    def jurors(self) -> tuple[CandidateAnswers, ...]:
        """Return up to three other candidates, with different models where possible."""
        ranked = sorted(self.others, key=lambda candidate: -self._ahead(candidate))
        first: dict[str, CandidateAnswers] = {}
        for candidate in ranked:
            first.setdefault(candidate.info.model or candidate.info.strategy, candidate)
        chosen = list(first.values())
        chosen += [candidate for candidate in ranked if candidate not in chosen]
        return tuple(chosen[:JURORS])

    def _ahead(self, candidate: CandidateAnswers) -> float:
        """Return the accuracy of a candidate minus the subject's on the rows that it answered."""
        answered = candidate.outputs != MISSING
        gap = (candidate.outputs == self.targets) - (~self.wrong).astype(np.float64)
        return float(gap[answered].mean()) if answered.any() else -1.0


def error_sample(evidence: Evidence) -> ErrorSample | None:
    """Return the answers of the best prompted candidate, else the best baseline, and of the others.

    None if no candidate has out-of-fold predictions.
    """
    infos = {info.name: info for info in evidence.candidates if info.family != "fine-tuning"}
    first = {name: oof for name in infos if (oof := out_of_fold(evidence, name)) is not None}
    reading = [name for name, oof in first.items() if len(np.unique(oof.outputs)) > 1]
    prompted = [n for n in first if infos[n].family in ("prompting", "retrieval")]
    subject = _best(first, prompted) or _best(first, reading) or _best(first, list(first))
    if subject is None:
        return None
    trained = [n for n in reading if infos[n].family == "baseline" and n != subject]
    supervised = _best(first, trained)
    predicted = set(first[supervised].ids) if supervised else set(first[subject].ids)
    ids = tuple(id for id in first[subject].ids if id in predicted)
    if not ids:
        return None
    code = {label: i for i, label in enumerate(evidence.labels)}
    target_of = {id: code[target] for id, target in targets(evidence).items()}
    answers = {
        name: _aligned(infos[name], first[name], ids, len(code)) for name in {subject, *reading}
    }
    goals = np.array([target_of[id] for id in ids], dtype=np.int64)
    return ErrorSample(
        ids=ids,
        targets=goals,
        labels=len(code),
        target_of=target_of,
        subject=answers[subject],
        others=tuple(answers[name] for name in reading if name != subject),
        supervised=answers[supervised] if supervised else None,
        supervised_right=_mostly_right(evidence, supervised, ids, goals)
        if supervised and infos[subject].family != "baseline"
        else None,
        repeat_accuracy=_repeat_accuracy(evidence, subject, ids, goals),
    )


def right_in(evidence: Evidence, name: str, ids: Sequence[str], goals: Codes) -> Mask | None:
    """Return (n,) whether most runs of a candidate are right; None unless it answered all ids."""
    predictions = out_of_fold(evidence, name)
    if predictions is None or not set(ids) <= set(predictions.ids):
        return None
    return _mostly_right(evidence, name, ids, goals)


def _best(first: Mapping[str, OutOfFold], names: Sequence[str]) -> str | None:
    """Return the most accurate candidate, each against the one with most rows on common rows."""
    if not names:
        return None
    most = max(names, key=lambda name: len(first[name].ids))
    usual = dict(zip(first[most].ids, first[most].right.tolist(), strict=True))

    def ahead(name: str) -> float:
        rows = zip(first[name].ids, first[name].right.tolist(), strict=True)
        gaps = [int(right) - int(usual[id]) for id, right in rows if id in usual]
        return float(np.mean(gaps)) if gaps else -1.0

    return max(names, key=ahead)


def _aligned(
    info: CandidateInfo, predictions: OutOfFold, ids: Sequence[str], labels: int
) -> CandidateAnswers:
    place, there = _places(predictions, ids)
    outputs = np.full(len(ids), MISSING, dtype=np.int64)
    outputs[there] = predictions.outputs[place]
    scores = None
    if predictions.scores is not None:
        scores = np.full((len(ids), labels), np.nan)
        scores[there] = predictions.scores[place]
    seen = dict(zip(predictions.ids, predictions.evidence, strict=True))
    return CandidateAnswers(info, outputs, scores, tuple(seen.get(id, ()) for id in ids))


def _places(predictions: OutOfFold, ids: Sequence[str]) -> tuple[Codes, Codes]:
    row = {id: i for i, id in enumerate(predictions.ids)}
    there = [i for i, id in enumerate(ids) if id in row]
    return np.array([row[ids[i]] for i in there], dtype=np.int64), np.array(there, dtype=np.int64)


def _share_right(runs: Sequence[OutOfFold], ids: Sequence[str], goals: Codes) -> Floats:
    """Return (n,) the share of these runs that are right, NaN where none has an answer."""
    right, answers = np.zeros(len(ids)), np.zeros(len(ids))
    for predictions in runs:
        place, there = _places(predictions, ids)
        right[there] += predictions.outputs[place] == goals[there]
        answers[there] += 1
    return np.where(answers > 0, right / np.maximum(answers, 1), np.nan)


def _mostly_right(evidence: Evidence, name: str, ids: Sequence[str], goals: Codes) -> Mask:
    found = out_of_folds(evidence, name)
    runs = [predictions for (_, variant), predictions in found.items() if not variant]
    return np.asarray(_share_right(runs, ids, goals) >= 0.5, dtype=np.bool_)


def _repeat_accuracy(
    evidence: Evidence, name: str, ids: Sequence[str], goals: Codes
) -> Floats | None:
    found = out_of_folds(evidence, name)
    runs = [predictions for setting, predictions in found.items() if setting != (0, "")]
    if not runs:
        return None
    return np.nan_to_num(_share_right(runs, ids, goals), nan=0.0)


def rows_with_ids(sample: ErrorSample, suspects: Collection[str]) -> Mask:
    """Return (n,) which rows have one of these ids."""
    return np.array([id in suspects for id in sample.ids], dtype=np.bool_)


def agreed_otherwise(sample: ErrorSample) -> Mask | None:
    """Return rows for which two of three jurors agree on another label."""
    if len(sample.jurors) < AGREE:
        return None
    return np.asarray(_other_votes(sample).max(axis=1) >= AGREE, dtype=np.bool_)


def jurors_split(sample: ErrorSample) -> Mask | None:
    """Return rows for which jurors give both the label and the subject's answer."""
    if len(sample.jurors) < 2:
        return None
    outputs = np.stack([candidate.outputs for candidate in sample.jurors])
    for_label = (outputs == sample.targets).any(axis=0)
    for_answer = (outputs == sample.subject.outputs).any(axis=0)
    return np.asarray(for_label & for_answer & sample.wrong, dtype=np.bool_)


def labels_overlap(sample: ErrorSample) -> Mask | None:
    """Return rows whose label and answer the supervised candidate confuses in both directions."""
    if sample.supervised is None:
        return None
    counts = confusion(sample.targets, sample.supervised.outputs, sample.labels)[:, : sample.labels]
    support = np.bincount(sample.targets, minlength=sample.labels)
    often = np.zeros((sample.labels, sample.labels), dtype=np.bool_)
    for i, j in np.argwhere(counts > OVERLAP * support[:, None]).tolist():
        often[i, j] = i != j and wilson(int(counts[i, j]), int(support[i]))[0] > OVERLAP
    both = often & often.T
    outputs = sample.subject.outputs
    overlapping = np.zeros(len(outputs), dtype=np.bool_)
    usable = outputs >= 0
    overlapping[usable] = both[sample.targets[usable], outputs[usable]]
    return overlapping


def neighbours_mixed(sample: ErrorSample) -> Mask | None:
    """Return rows whose retrieved examples have mixed labels, the row's own label included."""
    source = retrieving(sample)
    if source is None:
        return None
    mixed = []
    for target, ids in zip(sample.targets.tolist(), source.evidence, strict=True):
        near = [sample.target_of[id] for id in ids]
        mixed.append(target in near and _entropy(near) >= MIXED)
    return np.array(mixed, dtype=np.bool_)


def uncovered(sample: ErrorSample) -> Mask | None:
    """Return rows with retrieved examples of which none has the row's label."""
    source = retrieving(sample)
    if source is None:
        return None
    missing = [
        bool(ids) and all(sample.target_of[id] != target for id in ids)
        for target, ids in zip(sample.targets.tolist(), source.evidence, strict=True)
    ]
    return np.array(missing, dtype=np.bool_)


def retrieving(sample: ErrorSample) -> CandidateAnswers | None:
    """Return the subject if it retrieves examples, else another candidate that does, or None."""
    answers = (sample.subject, *sample.jurors, *sample.others)
    return next((candidate for candidate in answers if any(candidate.evidence)), None)


def _other_votes(sample: ErrorSample) -> Floats:
    votes = np.zeros((len(sample.targets), sample.labels))
    for candidate in sample.jurors:
        usable = np.flatnonzero(candidate.outputs >= 0)
        votes[usable, candidate.outputs[usable]] += 1
    votes[np.arange(len(votes)), sample.targets] = 0
    return votes


def _entropy(labels: list[int]) -> float:
    shares = np.bincount(labels) / len(labels)
    return float(-sum(share * log2(share) for share in shares.tolist() if share > 0))
