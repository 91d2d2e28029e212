"""The label audit: who audits, what it finds, how sure it is, and when it holds its tongue."""

import json
import time
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint
from sklearn.model_selection import StratifiedKFold

from choose.judge.decision.trust_conditions import labels_clean_enough
from choose.judge.decision.verdict_kind import wrong_labels_limit
from choose.judge.diagnosis.doubted_labels import (
    NONE,
    audit_labels,
    auditor_of,
    confident_labels,
    log_odds,
    most_doubtful,
    noise_bounds,
    skill,
)
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.schema.decision import Decision
from choose.schema.diagnosis import Audit, NoiseBand
from choose.stats import Estimate
from choose.tasks.labels import Classification
from choose.types import Example, Item
from support.answered_studies import blobs, evidence, hardness, out_of_fold
from support.studies import fit_strategy, sample_table

STUDIES = 20


def names(count):
    return tuple(f"l{i}" for i in range(count))


def world(seed, kind, rate, *, rows=600, labels=6, apart=1.4):
    rng = np.random.default_rng([seed, rows, labels])
    features, truth, near = blobs(rng, rows, labels, apart)
    count, given = round(rate * rows), truth.copy()
    if kind == "hard":
        hardest = np.argsort(-hardness(features, truth))[: int(0.3 * rows)]
        flipped = rng.choice(hardest, count, replace=False)
        given[flipped] = near[flipped]
    else:
        flipped = rng.choice(rows, count, replace=False)
        shifted = (truth[flipped] + rng.integers(1, labels, count)) % labels
        given[flipped] = near[flipped] if kind == "confused" else shifted
    return features, given, truth


def told(given, probabilities, labels=6, **more):
    label = names(labels)
    return evidence([label[g] for g in given], probabilities, label, **more)


def audited(features, given, labels=6, **more):
    return audit_labels(told(given, {"a": out_of_fold(features, given)}, labels, **more))


def test_unlike_candidates_are_averaged_and_weak_ones_left_out():
    rng = np.random.default_rng(0)
    features, given, _ = world(1, "symmetric", 0.0, apart=1.0)
    halves = {
        "left": out_of_fold(features[:, :6], given),
        "right": out_of_fold(features[:, 6:], given),
        "chance": rng.dirichlet(np.ones(6), len(given)),
    }
    found = auditor_of(told(given, halves))
    assert set(found.names) == {"left", "right"}
    assert found.accuracy > max((halves[n].argmax(1) == given).mean() for n in ("left", "right"))
    assert found.probabilities.sum(axis=1) == pytest.approx(1)


def test_nobody_audits_without_scores_of_a_cheap_candidate():
    features, given, _ = world(1, "symmetric", 0.0)
    dear = told(given, {"a": out_of_fold(features, given)}, cheap=False)
    assert auditor_of(dear) is None
    assert audit_labels(dear) is None
    assert judge(dear, Rule()).audit is None


def test_with_a_test_part_only_the_pool_is_audited():
    features, given, _ = world(1, "symmetric", 0.05)
    found = audited(features, given, held_out=True)
    assert found.rows == len(given)
    assert {s.id[0] for s in found.suspects} == {"r"}


def test_confident_counts_by_hand():
    targets = np.array([0, 0, 0, 1, 1, 1])
    zero = np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.7])
    p = np.stack([zero, 1 - zero], axis=1)
    # Thresholds: mean of .9 .8 .1 = .6 for label 0, mean of .8 .7 .3 = .6 for label 1.
    assert confident_labels(targets, p).tolist() == [0, 0, 1, 1, 1, 0]
    assert log_odds(targets, p)[2] == pytest.approx(np.log(0.901 / 0.101))


def test_a_row_below_every_threshold_is_not_counted():
    p = np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.5, 0.5, 0.0]])
    assert confident_labels(np.array([0, 1, 0]), p).tolist() == [0, 1, NONE]


@pytest.mark.parametrize(
    ("kind", "rate"),
    [
        ("symmetric", 0.0),
        ("symmetric", 0.05),
        ("confused", 0.05),
        ("symmetric", 0.15),
        ("confused", 0.15),
        ("hard", 0.10),
    ],
)
@pytest.mark.parametrize(("rows", "labels", "apart"), [(600, 6, 1.4), (400, 2, 0.8)])
def test_the_band_holds_the_true_rate(kind, rate, rows, labels, apart):
    """At least 95 % of the studies less two Monte-Carlo standard errors; refusals do not count.

    Of two labels, wrong ones on the hardest rows are like mistakes: nothing is said of them.
    """
    held, low = [], []
    for seed in range(STUDIES):
        features, given, truth = world(seed, kind, rate, rows=rows, labels=labels, apart=apart)
        found = audited(features, given, labels)
        if found.noise is None:
            continue
        held.append(found.noise.low <= (given != truth).mean() <= found.noise.high)
        low.append(found.noise.low)
    if (kind, labels) == ("hard", 2):
        assert not held
        return
    assert len(held) >= STUDIES / 2
    assert np.mean(held) >= 0.95 - 2 * sqrt(0.95 * 0.05 / len(held))
    if rate == 0.15:
        # The low end says something where there is something to say.
        assert np.mean(low) > 0.05


def test_a_weak_auditor_gives_no_estimate_where_confident_learning_would():
    refused, claimed = [], []
    for seed in range(STUDIES):
        features, given, _ = world(seed, "symmetric", 0.0, apart=0.7)
        found = audited(features, given)
        refused.append(found.noise is None)
        counted = confident_labels(given, out_of_fold(features, given))
        claimed.append(((counted != NONE) & (counted != given)).mean())
        assert found.accuracy.value < 0.85
    assert all(refused)
    assert np.mean(claimed) > 0.1  # ten per cent and more "wrong labels" where there is none
    assert found.gain is None
    assert found.suspects == ()
    assert found.weak.by_chance < found.weak.needed


def test_list_and_estimate_have_one_floor():
    """An auditor at chance (85 % have one label) said that 5 to 17 % of the labels are wrong."""
    rng = np.random.default_rng(4)
    given = (rng.random(2000) < 0.15).astype(int)
    surest = np.clip(rng.normal(0.85, 0.05, 2000), 0.51, 0.99)
    found = told(given, {"a": np.stack([surest, 1 - surest], axis=1)}, 2)
    auditor = auditor_of(found)
    bounds = noise_bounds(auditor, auditor.ids)
    assert auditor.accuracy > 0.84
    assert bounds.net_accuracy > 0.95, "its confident half is no better than the rest"
    assert bounds.low > 0.05
    assert skill(auditor, bounds) < 0.25
    audit = audit_labels(found)
    assert audit.noise is None
    assert audit.suspects == ()
    for seed, (kind, rate) in enumerate([("symmetric", 0.0), ("symmetric", 0.05), ("hard", 0.1)]):
        for apart in (0.6, 1.0, 1.4):
            features, given, _ = world(seed, kind, rate, rows=300, apart=apart)
            found = audited(features, given)
            assert (found.noise is None) is (found.weak is not None)
            assert not (found.suspects and found.noise is None)


def test_f8_wrong_labels_alone_do_not_silence_the_auditor():
    """With 15 % wrong labels nobody gets 85 % right as given; what counts is net of them."""
    features, given, _ = world(0, "symmetric", 0.15, rows=1500)
    found = audited(features, given)
    assert found.accuracy.value < 0.85
    assert found.noise.low > 0.1


def test_twins_do_not_pass_for_independent_labels():
    features, given, _ = world(0, "symmetric", 0.15)
    alone = told(given, {"a": out_of_fold(features, given)})
    pairs = tuple(f"c{i // 4}" for i in range(len(given)))
    joined = replace(alone, items=replace(alone.items, clusters=pairs))
    wide, narrow = audit_labels(joined).noise, audit_labels(alone).noise
    assert wide.low < narrow.low
    assert wide.high > narrow.high


def test_suspects_are_the_planted_errors():
    features, given, truth = world(3, "symmetric", 0.05)
    found = audited(features, given)
    wrong = {f"r{i}": names(6)[truth[i]] for i in np.flatnonzero(given != truth)}
    top = found.suspects[: len(wrong)]
    right = [s for s in top if s.id in wrong]
    assert len(right) / len(top) >= 0.8
    assert len(right) / len(wrong) >= 0.6
    assert np.mean([s.suggested == wrong[s.id] for s in right]) >= 0.9
    scores = [s.score for s in found.suspects]
    assert scores == sorted(scores, reverse=True)
    assert all(s.label != s.suggested and s.answered == s.agree == 1 for s in top)
    assert found.suspected <= found.contradicted


def test_candidates_are_counted_where_they_agree():
    features, given, _ = world(3, "symmetric", 0.05)
    p = out_of_fold(features, given)
    contrary = np.roll(p, 1, axis=1)
    constant = np.tile(np.eye(6)[0], (len(given), 1))
    first = audit_labels(told(given, {"a": p, "b": contrary, "majority": constant})).suspects[0]
    assert (first.agree, first.answered) == (1, 2)


def test_the_pair_that_is_confused_is_named_first():
    rng = np.random.default_rng(0)
    features, truth, _ = blobs(rng, 900, 6, 1.4)
    given = truth.copy()
    swapped = rng.choice(np.flatnonzero(truth < 2), 30, replace=False)
    given[swapped] = 1 - truth[swapped]
    found = audited(features, given)
    first, *others = found.overlaps
    assert {first.a, first.b} == {"l0", "l1"}
    assert first.doubted >= max(15, 0.5 * found.suspected)
    assert first.rows == (given < 2).sum()
    assert all(first.doubted >= other.doubted for other in others)


@pytest.mark.slow
def test_ten_thousand_rows_in_77_labels_take_seconds():
    rng = np.random.default_rng(0)
    given = rng.integers(0, 77, 10_000)
    p = rng.dirichlet(np.full(77, 0.05), 10_000) * 0.3
    p[np.arange(10_000), given] += 0.7
    found = told(given, {"a": p, "b": np.roll(p, 1, axis=0)}, 77)
    start = time.perf_counter()
    audit_labels(found)
    assert time.perf_counter() - start < 5


def band(low, high):
    return Audit(auditors=("a",), rows=100, noise=NoiseBand(low=low, high=high))


@pytest.mark.parametrize(
    ("found", "conflicting", "status"),
    [
        (band(0.0, 0.04), 0, "pass"),
        (band(0.06, 0.2), 0, "fail"),
        (band(0.01, 0.2), 0, "unknown"),
        (band(0.0, 0.04), 30, "fail"),
        (None, 0, "unknown"),
        (Audit(auditors=("a",)), 0, "unknown"),
    ],
)
def test_the_gate_needs_the_whole_band_on_one_side(found, conflicting, status):
    gate = labels_clean_enough(found, conflicting, 100)
    assert gate.status == status
    assert gate.code == "labels"


@pytest.mark.parametrize(
    ("wrong", "best", "target", "corrected", "limits"),
    [
        ((0.051, 0.2), (0.9, 0.94), None, None, True),  # half of the errors
        ((0.049, 0.2), (0.9, 0.94), None, None, False),
        ((0.04, 0.1), (0.88, 0.91), 0.97, None, True),  # the target is beyond what they allow
        ((0.04, 0.1), (0.88, 0.91), 0.95, None, False),
        ((0.04, 0.1), (0.85, 0.89), 0.97, None, False),  # so is the candidate's range
        ((0.02, 0.05), (0.88, 0.9), 0.93, 0.93, True),  # it would be reached by correct labels
        ((0.02, 0.05), (0.88, 0.9), 0.93, 0.92, False),
    ],
)
def test_wrong_labels_limit_in_three_ways(wrong, best, target, corrected, limits):
    rate = NoiseBand(low=wrong[0], high=wrong[1])
    estimate = Estimate(value=sum(best) / 2, low=best[0], high=best[1])
    assert wrong_labels_limit(rate, estimate, target=target, corrected=corrected) is limits


def two(features, given, labels=6):
    p = out_of_fold(features, given)
    near = np.where(np.eye(labels)[p.argmax(1)] > 0, 0.9 * p, p)
    return told(given, {"a": p, "b": near / near.sum(1, keepdims=True)}, labels)


def test_labels_are_to_be_fixed_where_they_keep_the_target_out_of_reach():
    features, given, _ = world(0, "symmetric", 0.15, rows=1500)
    found = judge(two(features, given), Rule(target=0.95))
    assert found.verdict.kind == "fix-labels"
    assert found.verdict.recommended is None
    assert found.verdict.steps[0].code == "doubted"
    gain = found.audit.gain
    assert 0 < gain.gain.low <= gain.gain.value <= gain.gain.high < 0.2
    assert gate(found).status == "fail"
    right = (out_of_fold(features, given).argmax(axis=1) == given).mean()
    card = next(card for card in found.scorecards if card.candidate == "a")
    assert (card.rows, card.accuracy.value) == (1500, pytest.approx(right)), "as given"
    text = json.dumps(found.model_dump(mode="json", by_alias=True), allow_nan=False)
    assert Decision.model_validate_json(text) == found


def test_the_gain_is_what_a_person_would_find():
    """Settling the suspects by the truth changes accuracy by an amount within the interval."""
    held = []
    for seed in range(10):
        features, given, truth = world(seed, "symmetric", 0.1)
        found = judge(two(features, given), Rule())
        outputs = out_of_fold(features, given).argmax(axis=1)
        settled = given.copy()
        for suspect in found.audit.suspects[: found.audit.suspected]:
            settled[int(suspect.id[1:])] = truth[int(suspect.id[1:])]
        gained = (outputs == settled).mean() - (outputs == given).mean()
        gain = found.audit.gain.gain
        held.append(gain.low <= gained <= gain.high)
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize(
    ("kind", "rate", "apart", "target"),
    [
        ("symmetric", 0.0, 1.4, 0.99),  # clean labels, hard rows, a target out of reach
        ("symmetric", 0.0, 0.7, 0.99),  # clean labels, weak candidates
        ("symmetric", 0.05, 1.4, 0.85),  # some wrong labels, and a target that they allow
    ],
)
def test_labels_are_not_blamed_for_what_they_did_not_do(kind, rate, apart, target):
    for seed in range(5):
        features, given, _ = world(seed, kind, rate, apart=apart)
        assert judge(two(features, given), Rule(target=target)).verdict.kind != "fix-labels"


def test_labels_that_stop_nobody_are_not_fixed_first():
    features, given, _ = world(0, "symmetric", 0.15, rows=1500)
    p = {"good": out_of_fold(features, given), "poor": out_of_fold(features[:, :3], given)}
    found = judge(told(given, p), Rule(target=0.5))
    assert (found.verdict.kind, found.verdict.use_meanwhile) == ("incomplete", "good")
    assert gate(found).status == "fail"
    assert any(step.code == "doubted" for step in found.verdict.steps)


def gate(found):
    return next(gate for gate in found.gates if gate.name == "labels clean enough")


def noisy(seed: int, rows: int = 400, labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, labels, rows)
    given = np.where(rng.random(rows) < 0.15, rng.integers(0, labels, rows), truth)
    scores = rng.gumbel(size=(rows, labels))
    scores[np.arange(rows), truth] += rng.choice([0.0, 2.0, 4.0], rows)
    odds = np.exp(scores)
    return given, odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_confident_counts_are_those_of_cleanlab(seed: int) -> None:
    given, probabilities = noisy(seed)
    counted = confident_labels(given, probabilities)
    sure = counted != NONE
    counts = np.zeros((5, 5), dtype=int)
    np.add.at(counts, (given[sure], counted[sure]), 1)
    assert (counts == compute_confident_joint(given, probabilities, calibrate=False)).all()


@pytest.mark.slow(seconds=13)
def test_the_default_candidates_find_the_planted_errors():
    """What `choose demo` audits with: the strategies themselves, in five folds."""
    tickets, settled = map(sample_table, ("tickets.csv", "truth.csv"))
    texts, given = tickets["text"].to_list(), tickets["label"].to_list()
    truth = dict(settled.select("id", "label").iter_rows())
    labels = tuple(sorted(set(given)))
    task = Classification(labels=labels, names=labels)
    scores = {n: np.zeros((len(texts), len(labels))) for n in ("tfidf", "probe", "knn")}
    for pool, asked in StratifiedKFold(5, shuffle=True, random_state=0).split(texts, given):
        examples = [Example(id=str(i), text=texts[i], target=given[i]) for i in pool]
        items = [Item(id=str(i), text=texts[i]) for i in asked]
        for name, table in scores.items():
            strategy = fit_strategy(name, examples, task)
            table[asked] = np.exp(strategy.predict(items).scores)
    study = evidence(given, scores, labels)
    auditor, found = auditor_of(study), audit_labels(study)
    wrong = {f"r{n}" for n, id in enumerate(tickets["id"]) if truth[id] != given[n]}
    # From the most doubtful row on, whether its label was planted.
    hits = np.array([auditor.ids[row] in wrong for row in most_doubtful(auditor)])
    planted = len(wrong)
    assert hits[:10].all()
    assert hits[: found.suspected].mean() >= 0.7
    assert hits[:30].mean() >= 0.7
    assert hits[:60].sum() / planted >= 0.9
    assert planted == 30
    assert found.noise.low <= planted / tickets.height <= found.noise.high
    assert {found.overlaps[0].a, found.overlaps[0].b} == {"billing", "payouts"}
