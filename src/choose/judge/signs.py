"""What speaks for an error being the label's fault, or nobody's: signs on each row.

Every sign is a mask over the rows of a bench, or None where nothing measured can show it.
"""

from __future__ import annotations

from collections.abc import Collection
from math import log2

import numpy as np

from choose.judge.bench import Bench, Voice
from choose.judge.crossed import Mask
from choose.judge.intervals import wilson
from choose.judge.metrics import confusion
from choose.types import Floats

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
