"""Worlds of documents that change: candidates that keep old facts, and how often facts change.

Every study draws how much a candidate that learnt the facts is ahead, how many it keeps after they
changed, and how many documents change in a month. Some studies do not know the last, and are still
graded by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from choose.corpus import UPDATED, Corpus, Document, Span
from choose.judge.decision.old_facts import mean_old
from choose.judge.evidence import CandidateInfo, DrillRows, Evidence, Items
from choose.judge.goal import USUAL_MARGIN, Deployment, Measure, Rule
from choose.judge.verdict import judge
from choose.schema.decision import Confidence, Decision
from choose.tasks.answering import Answering, with_corpus
from choose.types import Answers, Run
from simulation.losses import METRICS, RETRIEVED, often, trial
from simulation.summary import Share, share

# Documents, questions of each and repetitions; documents whose facts were exchanged.
SHAPE, DRILLED = (75, 4, 3), 25

VIEW = f"{UPDATED}-simulated"

# Months from one training to the next.
MONTHS = 12.0

# Targets: a verdict of high confidence names what is best in the long run, or within the margin of
# that; the interval of a lead that is left covers it.
RIGHT, COVERED = 0.95, 0.93


@dataclass(frozen=True, slots=True)
class World:
    """Which candidates there are beside one that reads documents as they are.

    `lead` is drawn between two ends, as is `kept`: the part of the answers with the old fact after
    a change of those that were right; all of a candidate that reads nothing. `rate` is of months.
    """

    tuned: tuple[str, ...]
    lead: tuple[float, float] = (-0.05, 0.3)
    kept: tuple[float, float] = (0.0, 0.6)
    rate: tuple[float, float] = (0.003, 0.2)


WORLDS = {
    "closed book": World(("lora",)),
    "trained to read": World(("lora-rag",)),
    "both": World(("lora", "lora-rag")),
    "seldom": World(("lora",), rate=(0.0, 0.002)),
}

READS = CandidateInfo(
    name="rag", strategy="rag", family="retrieval", seeded=True, reads=True, model="Qwen3-8B"
)
TUNED = {
    name: CandidateInfo(
        name=name,
        strategy=name,
        family="fine-tuning",
        seeded=True,
        reads=name == "lora-rag",
        model="Qwen3-8B",
    )
    for name in ("lora", "lora-rag")
}
OTHERS = {
    "nearest": CandidateInfo(name="nearest", strategy="nearest", family="baseline"),
    "tfidf": CandidateInfo(name="tfidf", strategy="tfidf", family="baseline"),
    "prompt": CandidateInfo(name="prompt", strategy="prompt", family="prompting", model="Qwen3-8B"),
}

# What others get right without documents, and what the reader keeps of old facts.
WEAK, READER_KEEPS = 0.15, 0.02

# What an answer begins with that gives the old fact, the new one, or another.
OLD, NEW, NEITHER = "old", "new", "other"

# The part of the studies that do not know how often documents change.
UNKNOWN = 0.2


@dataclass(frozen=True, slots=True)
class Truth:
    """Of every candidate its score before facts change, and the part of it that a change takes."""

    scores: Mapping[str, float]
    kept: Mapping[str, float]
    rate: float
    known: bool

    def later(self, name: str) -> float:
        """Return the mean score from one training to the next."""
        return self.scores[name] * (1 - mean_old(self.rate * MONTHS) * self.kept[name])


def drawn(rng: np.random.Generator, world: World) -> Truth:
    """Draw the truth of a study."""
    base = rng.uniform(0.35, 0.6)
    scores, kept = {READS.name: base}, {READS.name: READER_KEEPS}
    for name in world.tuned:
        scores[name] = base + rng.uniform(*world.lead)
        kept[name] = rng.uniform(*world.kept) if TUNED[name].reads else 1.0
    scores |= dict.fromkeys(OTHERS, WEAK)
    kept |= dict.fromkeys(OTHERS, 1.0)
    low, high = world.rate
    rate = np.exp(rng.uniform(np.log(low), np.log(high))) if low else rng.uniform(low, high)
    return Truth(scores, kept, float(rate), bool(rng.random() >= UNKNOWN))


def study(rng: np.random.Generator, truth: Truth) -> Evidence:
    """Return a study of this truth: answers before and after a part of the facts was exchanged."""
    documents, questions, repetitions = SHAPE
    ids = tuple(f"q{i:03}" for i in range(documents * questions))
    places = [f"d{i // questions:02}" for i in range(len(ids))]
    changed = set(rng.permutation(sorted(set(places)))[:DRILLED])
    drilled = np.array([place in changed for place in places])
    infos = [READS, *(TUNED[name] for name in truth.scores if name in TUNED), *OTHERS.values()]
    runs = []
    for info in infos:
        mean, kept = truth.scores[info.name], truth.kept[info.name]
        right = often(rng, mean, SHAPE)
        stale = right & (rng.random(right.shape) < kept)
        # One that reads is not right again just where it was: as many are lost as are gained.
        moved = rng.random(right.shape) < np.where(right, 0.1, 0.1 * mean / (1 - mean))
        new = np.where(right, ~moved & ~stale, moved & (rng.random(right.shape) >= kept))
        for draw in range(repetitions):
            answers = {RETRIEVED: np.where(right[:, draw], OLD, NEITHER)}
            if info.reads:
                after = np.where(stale[:, draw], OLD, np.where(new[:, draw], NEW, NEITHER))
                answers[VIEW] = after[drilled]
            runs.append(_run(info.name, draw, ids, answers, drilled))
    return Evidence(
        name="handbook",
        fingerprint="",
        rows=len(ids),
        labels=(),
        division="held-out",
        items=Items(
            ids=ids,
            targets=tuple(f"{OLD}{id}" for id in ids),
            clusters=tuple(places),
            evidence={id: (Span(d, 0, 9),) for id, d in zip(ids, places, strict=True)},
        ),
        candidates=tuple(infos),
        pool_rows=(50,),
        runs=tuple(runs),
        task=with_corpus(
            Answering(), Corpus(tuple(Document(id=d, text=d) for d in sorted(set(places))))
        ),
        drills=(
            DrillRows(
                kind=UPDATED,
                view=VIEW,
                ids=tuple(np.array(ids)[drilled].tolist()),
                facts=DRILLED * questions,
                targets={id: f"{NEW}{id}" for id in np.array(ids)[drilled].tolist()},
            ),
        ),
    )


def _run(
    name: str,
    draw: int,
    ids: Sequence[str],
    given: Mapping[str, np.ndarray[tuple[int], np.dtype[np.str_]]],
    drilled: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> Run:
    asked = {RETRIEVED: tuple(ids), VIEW: tuple(np.array(ids)[drilled].tolist())}
    answers = {
        (view, 0): Answers(
            # One word each, so that the old fact shares none with the new one.
            outputs=tuple(
                f"{kind}{id}" if kind != NEITHER else ""
                for kind, id in zip(kinds, asked[view], strict=True)
            ),
            status=("ok",) * len(kinds),
        )
        for view, kinds in given.items()
    }
    right = np.asarray(given[RETRIEVED] == OLD, dtype=np.float64)
    return Run(
        trial=trial(name, draw),
        answers=answers,
        asked={(view, 0): asked[view] for view in given},
        scores={(RETRIEVED, 0): dict.fromkeys(METRICS, right)},
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What the judge made of one study.

    Attributes:
        covered: for each lead, whether the interval of what remains of it contains the truth.
        named: the candidate to use.
        adopted: whether it is recommended.
        right: whether no other is better in the long run by the margin or more.
        lost: what it is behind the best in the long run.
        now: the same of the candidate with the highest score before facts change.
        confidence: of the verdict.
        known: whether it was known how often documents change.
        barred: whether a candidate was barred, and whether each surely was behind rightly.
    """

    covered: tuple[bool, ...]
    named: str
    adopted: bool
    right: bool
    lost: float
    now: float
    confidence: Confidence
    known: bool
    barred: tuple[bool, ...]


def graded(name: str, number: int) -> Found:
    """Judge one study of a world, and compare it with the truth."""
    rng = np.random.default_rng([13, *name.encode(), number])
    truth = drawn(rng, WORLDS[name])
    found = judged(study(rng, truth), truth)
    used, later = found.verdict.use_meanwhile, {n: truth.later(n) for n in truth.scores}
    first = max(truth.scores, key=lambda n: truth.scores[n])
    best = max(later.values())
    return Found(
        covered=tuple(_covered(found, truth)),
        named=used,
        adopted=found.verdict.recommended is not None,
        right=best - later[used] < USUAL_MARGIN,
        lost=best - later[used],
        now=best - later[first],
        confidence=found.verdict.confidence,
        known=truth.known,
        barred=tuple(
            later[one.candidate] - later[one.reader] < USUAL_MARGIN
            for one in found.old_facts
            if one.barred
        ),
    )


def judged(evidence: Evidence, truth: Truth) -> Decision:
    """Return the decision, of a study that says how often documents change if that is known."""
    plan = Deployment(
        refresh_months=MONTHS, documents_changed_per_month=truth.rate if truth.known else None
    )
    return judge(evidence, Rule(measure=Measure(metric="token-f1"), deployment=plan))


def _covered(found: Decision, truth: Truth) -> Iterator[bool]:
    """Yield for each tuned candidate whether the interval of its lead in the long run is right."""
    for one in found.old_facts:
        if one.left is None or one.left.low is None or one.left.high is None:
            continue
        if one.candidate in TUNED and one.reader == READS.name:
            true = truth.later(one.candidate) - truth.later(one.reader)
            yield one.left.low <= true <= one.left.high


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of a world over its studies: shares, and mean points lost."""

    name: str
    covered: Share
    right: Mapping[str, Share]
    adopted: Share
    barred: Share
    lost: float
    now: float

    def missed(self) -> Iterator[str]:
        """Yield a line for each figure that is not as asked."""
        if self.covered.value is not None and self.covered.value < COVERED:
            covered = f"{100 * self.covered.value:.1f} %"
            yield f"{self.name}: the interval of the remaining lead covers {covered}"
        for which in ("high", "not known, high"):
            right = self.right[which].value
            if right is not None and right < RIGHT:
                yield f"{self.name}: right in {100 * right:.1f} % ({which})"
        if self.barred.value is not None and self.barred.value < RIGHT:
            yield f"{self.name}: rightly barred in {100 * self.barred.value:.1f} %"


def tally(name: str, studies: int) -> Tally:
    """Judge so many studies of a world."""
    found = [graded(name, number) for number in range(studies)]
    parts = {
        "high": [one for one in found if one.known and one.confidence == "high"],
        "medium": [one for one in found if one.known and one.confidence == "medium"],
        "low": [one for one in found if one.known and one.confidence == "low"],
        "not known, high": [o for o in found if not o.known and o.confidence == "high"],
        "not known, other": [o for o in found if not o.known and o.confidence != "high"],
    }
    return Tally(
        name,
        share([hit for one in found for hit in one.covered]),
        {which: share([one.right for one in some]) for which, some in parts.items()},
        share([one.adopted for one in found]),
        share([hit for one in found for hit in one.barred]),
        float(np.mean([one.lost for one in found])),
        float(np.mean([one.now for one in found])),
    )


def lines(tallies: Sequence[Tally]) -> Iterator[str]:
    """Yield the report."""
    yield "Coverage of the 95 % interval of a lead that is left as facts change (93 asked), and how"
    yield "many of the barred are behind, or ahead by less than the margin, later (95 asked)"
    yield f"{'world':18}{'coverage %':>22}{'rightly barred %':>22}{'adopted %':>22}"
    for one in tallies:
        cells = (one.covered.text(), _counted(one.barred), one.adopted.text())
        yield f"{one.name:18}{''.join(f'{cell:>22}' for cell in cells)}"
    yield ""
    yield "The candidate to use is within the margin of the best in the long run, % of studies (95"
    yield "asked where confidence is high), and points lost on average: to it, and to the highest"
    yield "score before facts change. not known: how often documents change"
    heads = [*tallies[0].right, "lost", "highest now"]
    yield f"{'world':18}{''.join(f'{head:>18}' for head in heads)}"
    for one in tallies:
        cells = [_counted(share) for share in one.right.values()]
        cells += [f"{100 * one.lost:.2f}", f"{100 * one.now:.2f}"]
        yield f"{one.name:18}{''.join(f'{cell:>18}' for cell in cells)}"


def _counted(one: Share) -> str:
    return "-" if one.value is None else f"{100 * one.value:.1f} of {one.count}"
