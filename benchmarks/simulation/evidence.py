"""Simulate a study: draw its rows, the answers of its candidates and the runs it would store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from choose.judge.evidence import Evidence, Items
from choose.tasks.writing import Writing
from choose.types import STANDARD, Answers, Run, Scenario, Trial
from simulation.setting import (
    EACH,
    HARD_MEAN,
    Codes,
    Floats,
    Setting,
    SimulatedCandidate,
    difficulties,
)

# Confidence in a wrong answer relative to a right one, drawn for each fit: from fits that nearly
# know their mistakes to fits that are more confident in them.
CONFIDENCE_IN_WRONG = (0.3, 1.2)

# Distance on the latent scale at which confidence is about half of its range.
CONFIDENCE_SCALE = 1.5

LABELS = tuple("abcdefghijkl")

# The task of graded answers, and how far a score between 0 and 1 lies from the expected one: the
# two parameters of its Beta distribution sum to this.
GRADED, CONCENTRATION = Writing(), 8.0


@dataclass(frozen=True)
class Rows:
    """The test rows: true labels, given labels, and the labels that candidates learn."""

    truth: Codes
    labelled: Codes
    learnt: Codes
    difficulty: Floats
    fold: Codes
    group: Codes
    age: Floats


def hard(difficulty: Floats) -> NDArray[np.bool_]:
    """Return which items are hard enough for annotators to err on."""
    return np.asarray(difficulty > HARD_MEAN - 0.5, dtype=np.bool_)


def flip_chance(setting: Setting, difficulty: Floats) -> Floats:
    """Return the chance that the label of an item of each difficulty is wrong."""
    even = np.full(len(difficulty), setting.mislabelled)
    return even * hard(difficulty) if setting.hard_only else even


def draw_rows(setting: Setting, rng: np.random.Generator) -> Rows:
    """Draw the rows of one study."""
    n, k = setting.rows, setting.labels
    truth = rng.choice(k, n, p=setting.share)
    group = np.arange(n) // setting.cluster
    difficulty = difficulties(rng, n)[group] if setting.cluster > 1 else difficulties(rng, n)
    labelled = learnt = truth
    if setting.mislabelled:
        wrong = rng.random(n) < flip_chance(setting, difficulty)
        labelled = np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)
        if setting.taught:
            learnt = np.where(rng.random(n) < setting.taught, labelled, truth)
    # Groups stay whole, as they do in a real division.
    fold = rng.permutation(int(group.max()) + 1)[group] % setting.folds
    # Rows are in order of their folds, as in a store.
    order = np.argsort(fold, kind="stable")
    found = (truth, labelled, learnt, difficulty, fold, group, rng.random(n) - 0.5)
    return Rows(*(part[order] for part in found))


def log_probabilities(
    codes: Codes, truth: Codes, ahead: Floats, labels: int, rng: np.random.Generator
) -> Floats:
    """Return (n, labels) log-probabilities whose likeliest label is the answer.

    Confidence grows with the distance from the decision boundary. The remaining probability is
    divided at random, with a bonus for the true label of a wrong answer.
    """
    wrong = codes != truth
    distance = np.abs(ahead) * np.where(wrong, rng.uniform(*CONFIDENCE_IN_WRONG), 1.0)
    least = 1 / labels
    top = least + (0.999 - least) * np.tanh(distance / CONFIDENCE_SCALE)
    shares = rng.dirichlet(np.ones(labels), len(codes))
    each = np.arange(len(codes))
    shares[each, truth] += wrong
    shares[each, codes] = 0.0
    rest = shares / shares.sum(axis=1, keepdims=True) * (1 - top)[:, None]
    # No other label may pass the answer.
    found = np.minimum(rest, 0.999 * top[:, None])
    found[each, codes] = top
    return np.log(np.maximum(found / found.sum(axis=1, keepdims=True), 1e-9))


def evidence(setting: Setting, rng: np.random.Generator) -> Evidence:
    """Simulate one study."""
    rows = draw_rows(setting, rng)
    ids = tuple(f"r{i}" for i in range(setting.rows))
    labels = LABELS[: setting.labels]
    items = Items(
        ids=ids,
        targets=_words(labels, rows.labelled),
        clusters=tuple(f"c{g}" for g in rows.group.tolist()),
    )
    runs = tuple(_runs(setting, rows, items, rng))
    return Evidence(
        name="world",
        fingerprint="0" * 32,
        rows=setting.rows + (setting.pool if setting.folds == 1 else 0),
        labels=() if setting.graded else labels,
        task=GRADED if setting.graded else None,
        division="held-out" if setting.folds == 1 else "cross-fit",
        items=items,
        candidates=tuple(c.info for c in setting.candidates),
        pool_rows=(setting.pool,) * setting.folds,
        runs=runs,
    )


def _runs(setting: Setting, rows: Rows, items: Items, rng: np.random.Generator) -> Iterator[Run]:
    most = max(c.seeds for c in setting.candidates) + 1
    common = rng.standard_normal((setting.folds, most))
    places = [np.flatnonzero(rows.fold == fold) for fold in range(setting.folds)]
    ids = np.array(items.ids, dtype=object)
    fold_ids = [tuple(ids[place].tolist()) for place in places]
    for candidate in setting.candidates:
        own = _own(candidate, rows, rng)
        for scenario, share, ability, seeds in _fits(candidate):
            effects = _run_effects(setting, candidate, common, rng)
            for draw in range(seeds):
                for fold in range(_folds_done(setting, candidate, draw)):
                    trial = _trial(setting, candidate, scenario, share, fold, draw)
                    level = ability + effects[fold, draw]
                    place = (places[fold], own, level)
                    if setting.graded:
                        yield _graded(candidate, trial, fold_ids[fold], rows, *place, rng)
                        continue
                    answers = _predict(setting, candidate, trial, rows, *place, rng)
                    yield run_of(candidate, trial, fold_ids[fold], *answers)


def _predict(
    setting: Setting,
    candidate: SimulatedCandidate,
    trial: Trial,
    rows: Rows,
    place: Codes,
    own: Floats,
    level: float,
    rng: np.random.Generator,
) -> tuple[Answers, Answers | None]:
    """Return a fit's answers to the rows at `place`, and to their view where it is evaluated."""
    truth = rows.learnt[place]
    ahead = _ahead(candidate, rows, place, own, level, rng)
    codes = _codes(truth, ahead, setting, rng)
    scores = None
    if setting.scored and candidate.info.cheap:
        scores = log_probabilities(codes, truth, ahead, setting.labels, rng)
    clean = answers_of(codes, scores)
    whole = trial.scenario == STANDARD and trial.train_size == setting.pool
    if not whole or candidate.viewed is None or trial.draw:
        return clean, None
    by = candidate.shifted(candidate.viewed) - candidate.ability
    ahead = _ahead(candidate, rows, place, own, level + by, rng)
    # A real study evaluates a view on at most 200 rows.
    return clean, answers_of(_codes(truth, ahead, setting, rng)[:200])


def _graded(
    candidate: SimulatedCandidate,
    trial: Trial,
    ids: tuple[str, ...],
    rows: Rows,
    place: Codes,
    own: Floats,
    level: float,
    rng: np.random.Generator,
) -> Run:
    """Return the run of a fit whose answers are texts with scores: 0, 1 or between."""
    ahead = _ahead(candidate, rows, place, own, level, rng)
    mean = np.clip((ahead + candidate.partial) / (2 * candidate.partial), 0.0, 1.0)
    between = (mean > 0) & (mean < 1)
    p = np.where(between, np.clip(mean, 1e-6, 1 - 1e-6), 0.5)
    scores = np.where(between, rng.beta(CONCENTRATION * p, CONCENTRATION * (1 - p)), mean)
    scores *= rng.random(len(scores)) >= candidate.broken
    outputs = tuple(f"{candidate.name} {trial.draw} {id}" for id in ids)
    answers = Answers(outputs=outputs, status=("ok",) * len(ids))
    columns = dict.fromkeys(GRADED.metrics, scores)
    return replace(run_of(candidate, trial, ids, answers), scores={("clean", 0): columns})


def _fits(candidate: SimulatedCandidate) -> Iterator[tuple[Scenario, float, float, int]]:
    """Yield scenario, share of the pool, ability and number of repetitions."""
    seeds = max(candidate.seeds, 1)
    yield STANDARD, 1.0, candidate.ability, seeds
    for share, by in candidate.at.items():
        yield STANDARD, share, candidate.shifted(by), min(seeds, 3)
    for rate, by in candidate.noised.items():
        yield Scenario(kind="noise", rate=rate), 1.0, candidate.shifted(by), min(seeds, 3)


def _own(candidate: SimulatedCandidate, rows: Rows, rng: np.random.Generator) -> Floats:
    own = rng.standard_normal(len(rows.truth))
    if rows.group.max() + 1 < len(own):
        shared = rng.standard_normal(len(own))[rows.group]
        own = np.sqrt(0.5) * (own + shared)
    return candidate.own * own


def _run_effects(
    setting: Setting, candidate: SimulatedCandidate, common: Floats, rng: np.random.Generator
) -> Floats:
    """Return (folds, repetitions) differences of each fit's ability from the expected one."""
    if not candidate.seeds:
        return np.zeros((setting.folds, 1))
    shape = (setting.folds, candidate.seeds)
    own = rng.standard_normal(shape)
    if setting.folds > 1:
        own = np.sqrt(0.5) * (own + rng.standard_normal(candidate.seeds)[None, :])
    share = setting.together
    effects = np.sqrt(share) * common[:, : candidate.seeds] + np.sqrt(1 - share) * own
    chance, depth = candidate.collapse
    return candidate.run_spread * effects - depth * (rng.random(shape) < chance)


def _folds_done(setting: Setting, candidate: SimulatedCandidate, repetition: int) -> int:
    done = setting.folds_done.get(candidate.name, setting.folds)
    last = repetition and repetition == candidate.seeds - 1
    return max(done // 2, 1) if last and candidate.name in setting.last_cut else done


def _ahead(
    candidate: SimulatedCandidate,
    rows: Rows,
    place: Codes,
    own: Floats,
    level: float,
    rng: np.random.Generator,
) -> Floats:
    """Return by how much a fit's ability exceeds the difficulty of each row; right above 0."""
    n, sd = len(place), np.hypot(candidate.interaction, EACH)
    by_label = np.array(candidate.by_label)
    more = by_label[rows.truth[place]] if candidate.by_label else 0.0
    beaten = rows.difficulty[place] + own[place] + sd * rng.standard_normal(n)
    if candidate.decline:
        beaten = beaten + candidate.decline * rows.age[place]
    return np.asarray(level + more - beaten)


def _codes(truth: Codes, ahead: Floats, setting: Setting, rng: np.random.Generator) -> Codes:
    wrong = (truth + rng.integers(1, setting.labels, len(truth))) % setting.labels
    return np.where(ahead > 0, truth, wrong)


def _trial(
    setting: Setting, c: SimulatedCandidate, scenario: Scenario, share: float, fold: int, draw: int
) -> Trial:
    return Trial(
        candidate=c.name,
        strategy=c.name,
        revision=1,
        scenario=scenario,
        fold=fold,
        draw=draw,
        train_size=round(share * setting.pool),
        seed=draw if c.seeds else 0,
        task="",
        # Every fit has its own pool and so its own key.
        pool=f"{scenario.kind} {share} {fold} {draw}",
    )


def run_of(
    candidate: SimulatedCandidate,
    trial: Trial,
    ids: tuple[str, ...],
    clean: Answers,
    view: Answers | None = None,
) -> Run:
    """Return the run of a trial that evaluated these rows, and the first of them as a view."""
    if candidate.error is not None:
        return Run(trial=trial, error=candidate.error)
    answers, asked = {("clean", 0): clean}, {("clean", 0): ids}
    if view is not None:
        answers["typos", 0], asked["typos", 0] = view, ids[: len(view)]
    seconds = candidate.seconds
    return Run(
        trial=trial,
        answers=answers,
        asked=asked,
        fit_seconds=seconds,
        predict_seconds=seconds * len(clean) / 1000,
        seconds_alone=seconds,
        seconds_spent=seconds,
    )


def answers_of(codes: Codes, scores: Floats | None = None) -> Answers:
    """Return the answers that name labels by their places."""
    return Answers(outputs=_words(LABELS, codes), status=("ok",) * len(codes), scores=scores)


def _words(labels: tuple[str, ...], codes: Codes) -> tuple[str, ...]:
    return tuple(np.array(labels, dtype=object)[codes].tolist())
