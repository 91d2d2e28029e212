"""Who is analysed for errors and who is asked about them, on common rows.

Fine-tuned candidates stand outside, so that what is found is the same before and after they run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log2

import numpy as np

from choose.judge.evidence import CandidateInfo, Evidence
from choose.judge.panel.out_of_fold import Unseen, settings, targets, unseen
from choose.judge.panel.score_tables import MISSING
from choose.judge.stats.intervals import wilson
from choose.judge.stats.metrics import Codes, confusion
from choose.judge.stats.two_way import Mask
from choose.types import Floats

JURORS = 3


@dataclass(frozen=True)
class Voice:
    """A candidate's out-of-fold answers laid on the rows of the analysis.

    Attributes:
        outputs: (n,) codes of the first repetition's answers, `UNUSABLE` or `MISSING`.
        scores: (n, labels) probabilities, NaN where it was not asked; None without scores.
        evidence: ids retrieved by row.
    """

    info: CandidateInfo
    outputs: Codes
    scores: Floats | None
    evidence: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Bench:
    """The rows, the candidate whose errors are analysed, and the others' answers to these rows.

    Attributes:
        target_of: label codes by id of every row, for what was retrieved.
        right: (n,) whether most of the supervised candidate's repetitions are right, or None.
        again: (n,) share of the subject's other repetitions and settings that are right, or None
            where it was asked only once.
    """

    ids: tuple[str, ...]
    targets: Codes
    labels: int
    target_of: Mapping[str, int]
    subject: Voice
    others: tuple[Voice, ...]
    supervised: Voice | None
    right: Mask | None
    again: Floats | None

    @property
    def wrong(self) -> Mask:
        """Return (n,) which rows the subject gets wrong."""
        return np.asarray(self.subject.outputs != self.targets, dtype=np.bool_)

    @cached_property
    def jurors(self) -> tuple[Voice, ...]:
        """Return up to three others that read differently: by other models, or by none."""
        ranked = sorted(self.others, key=lambda voice: -self._accuracy(voice))
        first: dict[str, Voice] = {}
        for voice in ranked:
            first.setdefault(voice.info.model or voice.info.strategy, voice)
        chosen = list(first.values())
        chosen += [voice for voice in ranked if voice not in chosen]
        return tuple(chosen[:JURORS])

    def _accuracy(self, voice: Voice) -> float:
        asked = voice.outputs != MISSING
        return float((voice.outputs == self.targets)[asked].mean()) if asked.any() else 0.0


def bench(evidence: Evidence) -> Bench | None:
    """Choose the best prompted or retrieving candidate, else the best cheap one, and its bench.

    None where no candidate answered labelled rows out of fold.
    """
    infos = {info.name: info for info in evidence.candidates if info.family != "fine-tuning"}
    first = {name: found for name in infos if (found := unseen(evidence, name)) is not None}
    reading = [name for name, found in first.items() if len(np.unique(found.outputs)) > 1]
    prompted = [n for n in first if infos[n].family in ("prompting", "retrieval")]
    subject = _best(first, prompted) or _best(first, reading) or _best(first, list(first))
    if subject is None:
        return None
    learnt = [n for n in reading if infos[n].family == "baseline" and n != subject]
    supervised = _best(first, learnt)
    asked = set(first[supervised].ids) if supervised else set(first[subject].ids)
    ids = tuple(id for id in first[subject].ids if id in asked)
    if not ids:
        return None
    code = {label: i for i, label in enumerate(evidence.labels)}
    target_of = {id: code[target] for id, target in targets(evidence).items()}
    voices = {
        name: _voice(infos[name], first[name], ids, len(code)) for name in {subject, *reading}
    }
    goals = np.array([target_of[id] for id in ids], dtype=np.int64)
    return Bench(
        ids=ids,
        targets=goals,
        labels=len(code),
        target_of=target_of,
        subject=voices[subject],
        others=tuple(voices[name] for name in reading if name != subject),
        supervised=voices[supervised] if supervised else None,
        right=_mostly_right(evidence, supervised, ids, goals) if supervised else None,
        again=_again(evidence, subject, ids, goals),
    )


def right_in(evidence: Evidence, name: str, ids: Sequence[str], goals: Codes) -> Mask | None:
    """Return (n,) whether most repetitions of a candidate are right; None unless all were asked."""
    found = unseen(evidence, name)
    if found is None or not set(ids) <= set(found.ids):
        return None
    return _mostly_right(evidence, name, ids, goals)


def _best(first: Mapping[str, Unseen], names: Sequence[str]) -> str | None:
    return max(names, key=lambda name: float(first[name].right.mean()), default=None)


def _voice(info: CandidateInfo, found: Unseen, ids: Sequence[str], labels: int) -> Voice:
    place, there = _places(found, ids)
    outputs = np.full(len(ids), MISSING, dtype=np.int64)
    outputs[there] = found.outputs[place]
    scores = None
    if found.scores is not None:
        scores = np.full((len(ids), labels), np.nan)
        scores[there] = found.scores[place]
    seen = dict(zip(found.ids, found.evidence, strict=True))
    return Voice(info, outputs, scores, tuple(seen.get(id, ()) for id in ids))


def _places(found: Unseen, ids: Sequence[str]) -> tuple[Codes, Codes]:
    row = {id: i for i, id in enumerate(found.ids)}
    there = [i for i, id in enumerate(ids) if id in row]
    return np.array([row[ids[i]] for i in there], dtype=np.int64), np.array(there, dtype=np.int64)


def _share_right(runs: Sequence[Unseen], ids: Sequence[str], goals: Codes) -> Floats:
    """Return (n,) the share of these runs that are right, NaN where none was asked."""
    right, asked = np.zeros(len(ids)), np.zeros(len(ids))
    for found in runs:
        place, there = _places(found, ids)
        right[there] += found.outputs[place] == goals[there]
        asked[there] += 1
    return np.where(asked > 0, right / np.maximum(asked, 1), np.nan)


def _mostly_right(evidence: Evidence, name: str, ids: Sequence[str], goals: Codes) -> Mask:
    runs = [
        found
        for draw, variant in settings(evidence, name)
        if not variant and (found := unseen(evidence, name, draw)) is not None
    ]
    return np.asarray(_share_right(runs, ids, goals) >= 0.5, dtype=np.bool_)


def _again(evidence: Evidence, name: str, ids: Sequence[str], goals: Codes) -> Floats | None:
    runs = [
        found
        for draw, variant in settings(evidence, name)
        if (draw, variant) != (0, "")
        and (found := unseen(evidence, name, draw, variant)) is not None
    ]
    if not runs:
        return None
    return np.nan_to_num(_share_right(runs, ids, goals), nan=0.0)


# Bits of entropy from which on retrieved labels disagree: 3 to 2 has 0.97, 4 to 1 has 0.72.
MIXED = 0.9


# Labels overlap if each is taken for the other more often than this, for certain.
OVERLAP = 0.1


AGREE = 2


def low_self_confidence(bench: Bench) -> Mask | None:
    """Return rows whose label as given is doubted by candidates that learn from labels.

    Their mean probability of the label as given is below its mean over all rows with that label
    (the threshold of confident learning, Northcutt, Jiang and Chuang 2021), and another label is
    the most probable one.
    """
    scored = [v.scores for v in bench.others if _learns(v) and v.scores is not None]
    if not scored:
        return None
    known = np.asarray(~np.isnan(np.stack(scored)).any(axis=(0, 2)), dtype=np.bool_)
    mean = np.where(known[:, None], np.nan_to_num(np.mean(scored, axis=0)), 0.0)
    given = mean[np.arange(len(bench.targets)), bench.targets]
    support = np.bincount(bench.targets, weights=known, minlength=bench.labels)
    total = np.bincount(bench.targets, weights=given, minlength=bench.labels)
    usual = total / np.maximum(support, 1)
    other = mean.argmax(axis=1) != bench.targets
    return np.asarray(known & other & (given < usual[bench.targets]), dtype=np.bool_)


def listed(bench: Bench, suspects: Collection[str]) -> Mask:
    """Return the rows whose ids an audit of the labels has named."""
    return np.array([id in suspects for id in bench.ids], dtype=np.bool_)


def agreed_otherwise(bench: Bench) -> Mask | None:
    """Return rows for which two of three jurors give one and the same other label."""
    if len(bench.jurors) < AGREE:
        return None
    return np.asarray(_other_votes(bench).max(axis=1) >= AGREE, dtype=np.bool_)


def jurors_split(bench: Bench) -> Mask | None:
    """Return rows for which jurors give both the label and the subject's answer."""
    if len(bench.jurors) < 2:
        return None
    said = np.stack([voice.outputs for voice in bench.jurors])
    for_label = (said == bench.targets).any(axis=0)
    for_answer = (said == bench.subject.outputs).any(axis=0)
    return np.asarray(for_label & for_answer & bench.wrong, dtype=np.bool_)


def labels_overlap(bench: Bench) -> Mask | None:
    """Return rows whose label and answer the supervised candidate confuses in both directions."""
    if bench.supervised is None:
        return None
    counts = confusion(bench.targets, bench.supervised.outputs, bench.labels)[:, : bench.labels]
    support = np.bincount(bench.targets, minlength=bench.labels)
    often = np.zeros((bench.labels, bench.labels), dtype=np.bool_)
    for i, j in np.argwhere(counts > OVERLAP * support[:, None]).tolist():
        often[i, j] = i != j and wilson(int(counts[i, j]), int(support[i]))[0] > OVERLAP
    both = often & often.T
    said = bench.subject.outputs
    found = np.zeros(len(said), dtype=np.bool_)
    usable = said >= 0
    found[usable] = both[bench.targets[usable], said[usable]]
    return found


def neighbours_mixed(bench: Bench) -> Mask | None:
    """Return rows whose retrieved rows disagree, the row's own label being among theirs."""
    source = retrieving(bench)
    if source is None:
        return None
    found = []
    for target, ids in zip(bench.targets.tolist(), source.evidence, strict=True):
        near = [bench.target_of[id] for id in ids]
        found.append(target in near and _entropy(near) >= MIXED)
    return np.array(found, dtype=np.bool_)


def uncovered(bench: Bench) -> Mask | None:
    """Return rows for which something was retrieved and nothing of it has the row's label."""
    source = retrieving(bench)
    if source is None:
        return None
    found = [
        bool(ids) and all(bench.target_of[id] != target for id in ids)
        for target, ids in zip(bench.targets.tolist(), source.evidence, strict=True)
    ]
    return np.array(found, dtype=np.bool_)


def retrieving(bench: Bench) -> Voice | None:
    """Return the subject if it retrieves, else another that does, or None."""
    voices = (bench.subject, *bench.jurors, *bench.others)
    return next((voice for voice in voices if any(voice.evidence)), None)


def _learns(voice: Voice) -> bool:
    return voice.info.family == "baseline"


def _other_votes(bench: Bench) -> Floats:
    votes = np.zeros((len(bench.targets), bench.labels))
    for voice in bench.jurors:
        usable = np.flatnonzero(voice.outputs >= 0)
        votes[usable, voice.outputs[usable]] += 1
    votes[np.arange(len(votes)), bench.targets] = 0
    return votes


def _entropy(labels: list[int]) -> float:
    shares = np.bincount(labels) / len(labels)
    return float(-sum(share * log2(share) for share in shares.tolist() if share > 0))
