"""Who is analysed for errors and who is asked about them, on common rows.

Fine-tuned candidates stand outside, so that what is found is the same before and after they run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from choose.judge.answers import MISSING
from choose.judge.crossed import Mask
from choose.judge.evidence import CandidateInfo, Evidence
from choose.judge.metrics import Codes
from choose.judge.unseen import Unseen, settings, targets, unseen
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
