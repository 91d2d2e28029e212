"""Worlds of candidates that read documents, with planted losses: whether the split finds them.

Every row may be lost for each cause, more often in some documents than in others, and a repetition
finds or loses some answers anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from choose.corpus import AMONG_OTHERS, GOLD, NOTHING, Span
from choose.judge.diagnosis.documents import loss_splits
from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.judge.goal import USUAL_MARGIN, Rule
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.diagnosis import SURELY, LossSplit
from choose.tasks.answering import Answering
from choose.types import Answers, Floats, Run, Trial
from reliability import word_for
from simulation.summary import Share, share

RETRIEVED = "clean"

RULE = Rule(metric="token-f1")

METRICS = Answering().metrics

# Documents, questions of each and repetitions.
Shape = tuple[int, int, int]

USUAL: Shape = (48, 8, 3)

# The parameters of the Beta distribution of a loss over documents sum to this: they differ a lot.
SPREAD = 3.0

# A row that is lost keeps a part of its score, up to this one.
KEPT = 0.4

# Targets of every world: the coverage of each loss, and how often a study names the planted loss.
COVERED = (0.93, 0.97)
RIGHT = 0.95

# From this share of resamples on, a loss that is named is called sure here.
SURE = 0.95

# The verdict of one study in so many is judged as well, which takes longer than its split.
JUDGED = 20


@dataclass(frozen=True, slots=True)
class World:
    """Shares of rows that are lost for each cause, of the rows that are left.

    Without losses each study draws its own. Where two are `close`, which is named is chance: it is
    right if it is less than the margin smaller than the largest.
    """

    losses: Mapping[str, float]
    shape: Shape = USUAL
    close: bool = False


READING = {"reading": 0.45, "distraction": 0.08, "retrieval": 0.15}
RETRIEVAL = {"reading": 0.15, "distraction": 0.05, "retrieval": 0.45}

WORLDS = {
    "reading": World(READING),
    "retrieval": World(RETRIEVAL),
    "distraction": World({"reading": 0.12, "distraction": 0.4, "retrieval": 0.1}),
    "close": World({"reading": 0.3, "distraction": 0.1, "retrieval": 0.4}, close=True),
    "drawn": World({}),
    "one fit": World(RETRIEVAL, (60, 5, 1)),
    "few documents": World(READING, (15, 20, 3)),
}


CAUSES = ("reading", "distraction", "retrieval")

# The least and the most share of rows that is lost for a cause, where a study draws it.
DRAWN = (0.05, 0.45)

# Other candidates of a judged study, and what part of the scores without a passage or with what is
# retrieved they reach.
OTHERS = (
    CandidateInfo(name="nearest", strategy="nearest", family="baseline"),
    CandidateInfo(name="sentence", strategy="sentence", family="baseline", reads=True),
    CandidateInfo(name="prompt", strategy="prompt", family="prompting", model="Qwen3-8B"),
    CandidateInfo(name="lora", strategy="lora", family="fine-tuning", model="Qwen3-8B"),
)
REACHED = {
    "nearest": (NOTHING, 0.5),
    "sentence": (RETRIEVED, 0.3),
    "prompt": (NOTHING, 1.0),
    "lora": (NOTHING, 0.9),
}


def world(
    rng: np.random.Generator, losses: Mapping[str, float], shape: Shape = USUAL
) -> tuple[dict[str, Floats], list[str]]:
    """Draw (rows, repetitions) scores by control, and the document of each row."""
    documents, questions, repetitions = shape
    rows = documents * questions
    scores, found = np.ones((rows, repetitions)), {}
    controls = {"reading": GOLD, "distraction": AMONG_OTHERS, "retrieval": RETRIEVED}
    for cause, control in controls.items():
        gone = often(rng, losses[cause], shape)
        scores = np.where(gone, scores * rng.uniform(0, KEPT, (rows, 1)), scores)
        found[control] = scores
    found[NOTHING] = found[GOLD] * (rng.random((rows, 1)) < 0.1)
    return found, [f"d{i // questions}" for i in range(rows)]


def often(rng: np.random.Generator, mean: float, shape: Shape) -> Floats:
    """Draw which rows something happens to, in which repetition."""
    documents, questions, repetitions = shape
    by_document = rng.beta(SPREAD * mean, SPREAD * (1 - mean), documents)
    happens = rng.random(documents * questions) < np.repeat(by_document, questions)
    rate = np.where(happens, 0.9, 0.1 * mean / (1 - mean))
    return np.asarray(rng.random((len(rate), repetitions)) < rate[:, None])


def truth(losses: Mapping[str, float]) -> dict[str, float]:
    """Return the mean losses."""
    lost, left, found = 1 - KEPT / 2, 1.0, {}
    for cause in CAUSES:
        found[cause] = left * lost * losses[cause]
        left -= found[cause]
    return found


def evidence(
    scores: Mapping[str, Floats],
    documents: Sequence[str],
    rank: int = 1,
    others: int = 1,
) -> Evidence:
    """Return a study of one candidate with these scores.

    The first `rank` passages are read, and `others` beside the right one under that control.
    """
    ids = tuple(f"q{i:03}" for i in range(len(documents)))
    targets = tuple(f"t{id}" for id in ids)
    spans = {id: (Span(d, 0, 10),) for id, d in zip(ids, documents, strict=True)}
    items = Items(ids=ids, targets=targets, clusters=ids, evidence=spans)
    shown = tuple((*(f"z:{n}-{n + 1}" for n in range(rank - 1)), f"{d}:5-20") for d in documents)
    beside = tuple((f"{d}:5-20", *("z:0-1",) * others) for d in documents)
    answers = Answers(outputs=ids, status=("ok",) * len(ids), evidence=shown)
    runs = []
    for draw in range(next(iter(scores.values())).shape[1]):
        by_view = dict.fromkeys(scores, answers)
        by_view[AMONG_OTHERS] = replace(answers, evidence=beside)
        by_metric = {view: dict.fromkeys(METRICS, own[:, draw]) for view, own in scores.items()}
        runs.append(
            Run(
                trial=trial("rag", draw),
                answers={(view, 0): own for view, own in by_view.items() if view in scores},
                asked={(view, 0): ids for view in scores},
                scores={(view, 0): own for view, own in by_metric.items()},
            )
        )
    return Evidence(
        name="handbook",
        fingerprint="",
        rows=len(ids),
        labels=(),
        division="held-out",
        items=items,
        candidates=(CandidateInfo(name="rag", strategy="rag", family="retrieval", seeded=True),),
        pool_rows=(50,),
        runs=tuple(runs),
        task=Answering(),
    )


def trial(candidate: str, draw: int) -> Trial:
    """Return a trial on the whole pool."""
    return Trial(
        candidate=candidate,
        strategy=candidate,
        revision=1,
        draw=draw,
        train_size=50,
        seed=draw,
        task="",
    )


def with_others(study: Evidence, scores: Mapping[str, Floats]) -> Evidence:
    """Return the study with a candidate of every family, all of them worse."""
    ids, runs = study.items.ids, list(study.runs)
    for info in OTHERS:
        view, part = REACHED[info.name]
        for draw in range(len(study.runs)):
            own = dict.fromkeys(METRICS, part * scores[view][:, draw])
            answers = Answers(outputs=ids, status=("ok",) * len(ids))
            runs.append(
                Run(
                    trial=trial(info.name, draw),
                    answers={(RETRIEVED, 0): answers},
                    asked={(RETRIEVED, 0): ids},
                    scores={(RETRIEVED, 0): own},
                )
            )
    [own_info] = study.candidates
    infos = (replace(own_info, reads=True, model="Qwen3-8B"), *OTHERS)
    return replace(study, candidates=infos, runs=tuple(runs))


@dataclass(frozen=True, slots=True)
class Found:
    """What the split of one study says: of each term whether its interval covers the truth.

    `named` is the loss that its sentences call the largest, None where they leave it open; `right`
    whether it is the planted one, `sure` whether nearly every resample has it, `word` what the
    verdict calls its choice, where it was judged.
    """

    covered: Mapping[str, bool]
    named: str | None
    right: bool
    sure: bool
    word: str | None


def graded(name: str, number: int) -> Found:
    """Split the losses of one study of a world, and compare them with the truth."""
    planted, rng = WORLDS[name], np.random.default_rng([7, number])
    losses = planted.losses or dict(zip(CAUSES, rng.uniform(*DRAWN, 3), strict=True))
    scores, documents = world(rng, losses, planted.shape)
    study = evidence(scores, documents)
    [split] = loss_splits(study, study_scores(study))
    true, found = truth(losses), {gap.name: gap for gap in split.gaps}
    covered = {}
    for term, loss in true.items():
        interval = found[term].loss
        assert interval.low is not None
        assert interval.high is not None
        covered[term] = interval.low <= loss <= interval.high
    named, spare, word = named_of(split), USUAL_MARGIN if planted.close else 0.0, None
    if number % JUDGED == 0:
        word = word_for(judge(with_others(study, scores), RULE))
    return Found(
        covered,
        named,
        named is not None and true[named] >= max(true.values()) - spare,
        named is not None and found[named].largest >= SURE,
        word,
    )


def named_of(split: LossSplit) -> str | None:
    """Return the loss that is surely the largest."""
    sure = (gap for gap in split.gaps if gap.largest >= SURELY and (gap.loss.low or 0.0) > 0)
    return next((gap.name for gap in sure), None)


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of a world: shares over its studies; `right` by how surely a loss is named."""

    name: str
    covered: Mapping[str, Share]
    named: Share
    right: Mapping[str, Share]

    def missed(self) -> Iterator[str]:
        """Yield a line for each figure that is not as asked."""
        for term, one in self.covered.items():
            if one.value is not None and not COVERED[0] <= one.value <= COVERED[1]:
                yield f"{self.name}: coverage of {term} {100 * one.value:.1f} %"
        for which in ("named", "sure verdict"):
            right = self.right[which].value
            if right is not None and right < RIGHT:
                yield f"{self.name}: the loss is the planted one in {100 * right:.1f} % ({which})"


def tally(name: str, studies: int) -> Tally:
    """Judge so many studies of a world."""
    found = [graded(name, number) for number in range(studies)]
    named = [one for one in found if one.named is not None]
    parts = {
        "named": named,
        "sure": [one for one in named if one.sure],
        "less sure": [one for one in named if not one.sure],
        "sure verdict": [one for one in named if one.word == "sure"],
        "other verdict": [one for one in named if one.word in ("likely", "open")],
    }
    right = {which: share([one.right for one in some]) for which, some in parts.items()}
    covered = {term: share([one.covered[term] for one in found]) for term in found[0].covered}
    return Tally(name, covered, share([one.named is not None for one in found]), right)


def lines(tallies: Sequence[Tally]) -> Iterator[str]:
    """Yield the report."""
    yield "Coverage of 95 % intervals by term (93 to 97 asked), % of studies"
    yield f"{'world':16}{''.join(f'{term:>22}' for term in CAUSES)}"
    for one in tallies:
        cells = (one.covered[term].text() for term in CAUSES)
        yield f"{one.name:16}{''.join(f'{cell:>22}' for cell in cells)}"
    yield ""
    yield "A loss is named as the largest, and is the planted one (95 asked), % of these. sure: in"
    yield f"{100 * SURE:.0f} % of resamples, not only {100 * SURELY:.0f}; last two: of verdicts"
    heads = ("named in %", *tallies[0].right)
    yield f"{'world':16}{heads[0]:>22}{''.join(f'{head:>16}' for head in heads[1:])}"
    for one in tallies:
        cells = (_counted(share) for share in one.right.values())
        yield f"{one.name:16}{one.named.text():>22}{''.join(f'{cell:>16}' for cell in cells)}"
    values = [s.value for one in tallies for s in one.covered.values() if s.value is not None]
    yield f"mean coverage {100 * fmean(values):.1f}, {100 * min(values):.1f} at worst"


def _counted(one: Share) -> str:
    return "-" if one.value is None else f"{100 * one.value:.1f} of {one.count}"
