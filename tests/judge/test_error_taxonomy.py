"""Kinds of errors by hand, and what data can fix in worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from choose.judge.decision.contenders import contenders_of
from choose.judge.decision.label_gates import failures_data_driven
from choose.judge.diagnosis.error_taxonomy import KINDS, failures_of
from choose.judge.diagnosis.label_audit import audit_labels
from choose.judge.goal import Rule
from choose.judge.prose.reasons import failure_steps
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.decision import Decision
from choose.schema.diagnosis import Failures
from support import answered_studies as answered
from support import decisions
from support import simulated_studies as worlds
from support.answered_studies import player

#           r0 r1  r2 r3 r4 r5 r6 r7 r8 r9 r10
TARGETS = [*"aaaaaaccbba"]
RETRIEVAL = ["a", None, *"bbbbaabaa"]
PROBE = [*"aabbaacbbbc"]
TFIDF = [*"aabcbbcabba"]
KNN = [*"accaaacbabb"]
NEAR = {3: "r6 r7", 4: "r0 r8 r5 r9", 5: "r0 r1 r2 r8", 6: "r0 r1 r8", 7: "r6 r6 r0", 9: "r8"}


def by_hand(**more):
    near = tuple(tuple(NEAR.get(i, "r0 r8").split()) for i in range(len(TARGETS)))
    players = [
        player("retrieval", RETRIEVAL, "retrieval", evidence=near),
        player("probe", PROBE),
        player("tfidf", TFIDF),
        player("knn", KNN),
        player("majority", ["a"] * len(TARGETS)),
    ]
    return answered.study("abc", TARGETS, players, conflicting=["r9"], **more)


@pytest.mark.parametrize("inner", [False, True])
def test_each_error_is_of_the_first_kind_that_fits(inner):
    """R1 has no answer; r2 is doubted and two jurors say b, r3 is doubted and they differ; r4 shows
    two signs of ambiguity and is ambiguous though probe has it right, r5 shows one; r6 finds no c;
    r7 is nobody's; the text of r9 has two labels."""
    found = failures_of(by_hand(inner=inner), suspects=frozenset({"r2", "r3"}))
    assert found is not None
    assert found.candidate == "retrieval"
    assert found.supervised == "probe"
    assert found.jurors == ("probe", "tfidf", "knn")
    counts = {kind.name: kind.count for kind in found.classes}
    assert tuple(counts) == KINDS
    assert counts == {
        "format": 1,
        "suspect label": 1,
        "ambiguous": 2,
        "not covered": 2,
        "learnable": 1,
        "unknown": 1,
    }
    assert found.suspects == ("r2",)
    assert sum(counts.values()) == found.errors == 8
    assert set(found.contested) == {"a", "b"}


def test_fixes_breaks_and_chance_by_hand():
    """Probe fixes r1 r4 r5 r6 r9 and breaks r10. Of r3 r5 r6 r7, no label's fault, it fixes 2;
    answers dealt from the ten other rows would fix .4 + .3 + .1 + .2 = 1, so it knows
    4 (2 - 1) / (4 - 1) = 4/3 of them: a sixth of 8 errors, 4/33 of 11 rows."""
    found = failures_of(by_hand(), suspects=frozenset({"r2", "r3"}))
    assert found is not None
    assert (found.fixes, found.breaks, found.fixed_otherwise) == (5, 1, 3)
    assert found.difference * found.rows == pytest.approx(found.fixes - found.breaks)
    assert sum(kind.fixed for kind in found.classes) == found.fixes
    assert found.chance == pytest.approx(1.0)
    assert found.fixable.value == pytest.approx(1 / 6)
    assert found.reachable.value == pytest.approx(4 / 33)
    assert found.again is None


def test_a_kind_that_nothing_can_tell_is_null():
    study = answered.study("ab", "aabb", [player("prompt", "abbb", "prompting")])
    found = failures_of(study)
    assert found is not None
    counts = {kind.name: kind.count for kind in found.classes}
    assert counts["format"] == 0
    assert counts["unknown"] == 1
    assert {k for k, n in counts.items() if n is None} == {
        "suspect label",
        "ambiguous",
        "not covered",
        "learnable",
    }
    assert found.fixable is None
    assert failures_data_driven(found, 0.02).status == "unknown"
    assert failures_data_driven(None, 0.02).status == "unknown"


# Worlds whose truth is known. All have four labels unless said, margin 0.02.

LABELS = "abcd"
STUDIES = 100


def deal(rng, rows, labels=LABELS):
    return rng.integers(0, len(labels), rows)


def knows(rng, targets, share, labels=LABELS):
    """Answer right where known, else guess."""
    known = rng.random(len(targets)) < share
    return np.where(known, targets, deal(rng, len(targets), labels))


def errs(rng, targets, wrong, labels=LABELS):
    """Answer wrong exactly on these rows."""
    other = (targets + rng.integers(1, len(labels), len(targets))) % len(labels)
    return np.where(wrong, other, targets)


def text(codes, labels=LABELS):
    return [labels[c] for c in codes]


def sure(codes, labels=LABELS):
    said = text(codes, labels)
    return {"said": [said], "scores": answered.scores(labels, said, [0.8] * len(said))}


def baseline(name, codes, labels=LABELS):
    return answered.ScriptedCandidate(
        name=name, family="baseline", model=name, **sure(codes, labels)
    )


def prompt(*codes, labels=LABELS, **more):
    said = [text(c, labels) for c in codes]
    return answered.ScriptedCandidate(
        name="prompt", family="prompting", said=said, cheap=False, **more
    )


def learnt(rng, rows=500, error=0.15, share=0.9):
    """Errors on rows of which the supervised candidate knows a share."""
    targets = deal(rng, rows)
    wrong = rng.random(rows) < error
    players = [
        prompt(errs(rng, targets, wrong)),
        baseline("probe", knows(rng, targets, share)),
    ]
    return answered.study(LABELS, text(targets), players)


def noisy(rng, rows=500, error=0.15):
    """Every error is a wrong label; three jurors know nine rows of ten as they truly are."""
    truth = deal(rng, rows)
    given = errs(rng, truth, rng.random(rows) < error)
    players = [
        prompt(truth),
        *(baseline(name, knows(rng, truth, 0.9)) for name in ("probe", "tfidf", "knn")),
    ]
    return answered.study(LABELS, text(given), players)


def coin(rng, rows=500, error=0.3, labels="ab"):
    """The supervised candidate tosses a coin: it fixes half the errors and knows nothing."""
    targets = deal(rng, rows, labels)
    wrong = rng.random(rows) < error
    players = [
        prompt(errs(rng, targets, wrong, labels), labels=labels),
        baseline("probe", knows(rng, targets, 0.0, labels), labels),
    ]
    return answered.study(labels, text(targets, labels), players)


def audited(study):
    """Classify the errors of a study with the labels that its audit doubts."""
    return failures_of(study, suspects=frozenset(s.id for s in audit_labels(study).doubted))


def play(world, studies=STUDIES, **more):
    """Return what was found in each study, and how the gate stood."""
    found = [audited(world(np.random.default_rng(seed), **more)) for seed in range(studies)]
    assert all(f is not None for f in found)
    return found, [failures_data_driven(f, 0.02).status for f in found]


def error_of(values):
    return float(np.std(values, ddof=1)) / sqrt(len(values))


def test_errors_that_data_fixes_are_found():
    """The truth is share 0.9 and gain 0.9 * 0.15; two Monte-Carlo errors are allowed."""
    found, gates = play(learnt)
    assert gates.count("pass") == STUDIES
    gains, shares = [f.reachable.value for f in found], [f.fixable.value for f in found]
    assert np.mean(gains) == pytest.approx(0.135, abs=2 * error_of(gains) + 0.001)
    assert np.mean(shares) == pytest.approx(0.9, abs=2 * error_of(shares) + 0.005)
    inside = np.mean([f.reachable.low <= 0.135 <= f.reachable.high for f in found])
    assert inside >= 0.95 - 2 * sqrt(0.95 * 0.05 / STUDIES)


def test_errors_that_are_noise_are_not_data_driven():
    found, gates = play(noisy)
    assert gates.count("fail") >= 0.9 * STUDIES
    assert gates.count("pass") == 0
    suspect = sum(f.count("suspect label") for f in found) / sum(f.errors for f in found)
    assert suspect > 0.8


def test_where_the_audit_is_silent_no_error_is_the_fault_of_a_label():
    """Four of ten errors were "suspect label", though nothing could tell a label from a guess."""
    rng = np.random.default_rng(3)
    targets = deal(rng, 300)
    guesses = [baseline(name, knows(rng, targets, 0.2)) for name in ("probe", "tfidf", "knn")]
    players = [prompt(knows(rng, targets, 0.5)), *guesses]
    found = judge(answered.study(LABELS, text(targets), players), Rule())
    assert found.audit is not None
    assert found.audit.no_list
    assert found.failures is not None
    kinds = {kind.name: kind.count for kind in found.failures.classes}
    assert kinds["suspect label"] is None
    assert not found.failures.suspects
    assert sum(filter(None, kinds.values())) == found.failures.errors


def test_what_training_fixes_is_not_said_of_errors_of_a_trained_candidate():
    """ "probe, trained on your labels, gets 0 of those right, so training could remove 0 %",
    where full fine-tuning was 11 points ahead of probe."""
    players = [worlds.majority(), worlds.tfidf(0.75), worlds.probe(0.8), worlds.lora(0.9)]
    found = judge(worlds.study(players, 400, 3, folds=5), Rule())
    assert found.failures is not None
    assert found.failures.candidate == "probe"
    assert (found.failures.supervised, found.failures.fixable) == (None, None)
    assert {k.name: k.count for k in found.failures.classes}["learnable"] is None
    gate = next(g for g in found.gates if g.name == "failures data-driven")
    assert gate.status == "unknown"
    assert "those of probe" in gate.evidence


@pytest.mark.parametrize("error", [0.1, 0.3])
def test_chance_fixes_do_not_count(error):
    """A coin fixes half of all errors, five points or more, which uncorrected would always pass."""
    found, gates = play(coin, error=error)
    gross = [f.fixes / f.rows for f in found]
    assert np.mean(gross) == pytest.approx(error / 2, abs=3 * error_of(gross))
    assert gates.count("pass") <= STUDIES * (0.05 + 2 * sqrt(0.05 * 0.95 / STUDIES))


def test_a_candidate_that_always_says_the_missing_label_knows_nothing():
    """All errors are on one label, and the supervised candidate says it nine times of ten."""
    rng = np.random.default_rng(5)
    targets = deal(rng, 500)
    said = np.where(targets == 0, 1, targets)
    always = np.where(rng.random(500) < 0.9, 0, deal(rng, 500))
    study = answered.study(LABELS, text(targets), [prompt(said), baseline("probe", always)])
    found = failures_of(study)
    assert found is not None
    assert found.fixable.value < 0.1 + found.fixable.high - found.fixable.value
    assert found.fixable.low < 0.05


def test_a_label_that_is_never_answered_is_data_driven_if_others_know_it():
    """The same errors, and a supervised candidate that knows that label from the others."""
    rng = np.random.default_rng(5)
    targets = deal(rng, 500)
    said = np.where(targets == 0, 1, targets)
    players = [prompt(said), baseline("probe", knows(rng, targets, 0.9))]
    found = failures_of(answered.study(LABELS, text(targets), players))
    assert found is not None
    assert found.fixable.low <= 0.9 <= found.fixable.high
    assert failures_data_driven(found, 0.02).status == "pass"


def test_fixes_that_asking_again_makes_as_well_count_in_the_upper_end_only():
    """Each repetition errs by chance on its own fifth of the rows; 0.93 of all rows are known."""
    rng = np.random.default_rng(6)
    targets = deal(rng, 2000)
    runs = [errs(rng, targets, rng.random(2000) < 0.2) for _ in range(3)]
    probe = baseline("probe", knows(rng, targets, 0.93))
    found = failures_of(answered.study(LABELS, text(targets), [prompt(*runs), probe]))
    assert found is not None
    assert found.again == pytest.approx(0.8, abs=0.05)
    assert found.reachable.value == pytest.approx(0.93 * 0.2 * 0.2, abs=0.012)
    assert found.reachable.high > 0.93 * 0.2
    reworded = prompt(runs[0], wordings=[text(runs[1]), text(runs[2])])
    again = failures_of(answered.study(LABELS, text(targets), [reworded, probe]))
    assert again.again == found.again


def test_errors_without_an_example_raise_the_upper_end_only():
    rng = np.random.default_rng(7)
    targets = deal(rng, 400)
    wrong = rng.random(400) < 0.1
    near = tuple((f"r{int(np.flatnonzero(targets != t)[0])}",) for t in targets)
    probe = baseline("probe", errs(rng, targets, wrong))
    plain = prompt(errs(rng, targets, wrong))
    seeing = prompt(errs(rng, targets, wrong), evidence=near)
    bare, covered = (
        failures_of(answered.study(LABELS, text(targets), [p, probe])) for p in (plain, seeing)
    )
    assert covered.count("not covered") == int(wrong.sum())
    assert covered.reachable.low == pytest.approx(bare.reachable.low)
    assert covered.reachable.high >= wrong.mean() > bare.reachable.high


def test_a_candidate_is_not_said_to_retrieve_what_another_one_did():
    """ "few-shot retrieves no fitting example": it retrieves none; the rows were those of knn."""
    rng = np.random.default_rng(7)
    targets = deal(rng, 400)
    wrong = rng.random(400) < 0.1
    near = tuple((f"r{int(np.flatnonzero(targets != t)[0])}",) for t in targets)
    knn = replace(baseline("knn", errs(rng, targets, wrong)), evidence=near)
    players = [prompt(errs(rng, targets, wrong)), knn]
    found = failures_of(answered.study(LABELS, text(targets), players))
    assert found.candidate == "prompt"
    assert found.count("not covered") == int(wrong.sum())
    assert list(failure_steps(found, 0.02)) == [
        "Label more rows like those whose nearest labelled rows all have another label: "
        f"{wrong.sum()} of {wrong.sum()} errors of prompt."
    ]


def test_labels_that_overlap_are_ambiguous():
    """Two labels are dealt by a coin wherever they occur; retrieval shows both."""
    rng = np.random.default_rng(8)
    zone = rng.random(600) < 0.5
    targets = np.where(zone, rng.integers(0, 2, 600), rng.integers(2, 4, 600))

    def guess():
        return np.where(zone, rng.integers(0, 2, 600), targets)

    places = [np.flatnonzero(zone), np.flatnonzero(~zone)]
    near = tuple(tuple(f"r{i}" for i in rng.choice(places[0] if z else places[1], 5)) for z in zone)
    voices = [baseline(name, guess()) for name in ("probe", "tfidf", "knn")]
    study = answered.study(LABELS, text(targets), [prompt(guess(), evidence=near), *voices])
    found = failures_of(study, suspects=frozenset())
    assert found is not None
    assert found.count("ambiguous") > 0.8 * found.errors
    assert set(found.contested) == {"a", "b"}
    # A label that two coins of three contradict is suspect as well; neither kind is data's to fix.
    doubted = failures_of(study, suspects=frozenset(study.items.ids))
    assert doubted.count("suspect label") + doubted.count("ambiguous") > 0.8 * found.errors
    assert doubted.fixable.high < 0.2


def test_clusters_widen_the_interval():
    """Eight copies of every row carry no more than one."""
    rng = np.random.default_rng(9)
    targets = deal(rng, 60)
    wrong = rng.random(60) < 0.3
    sides = [errs(rng, targets, wrong), knows(rng, targets, 0.6)]
    once, eight = (
        failures_of(
            answered.study(
                LABELS,
                text(np.repeat(targets, k)),
                [prompt(np.repeat(sides[0], k)), baseline("probe", np.repeat(sides[1], k))],
                clusters=[f"c{i // k}" for i in range(60 * k)],
            )
        ).reachable
        for k in (1, 8)
    )
    assert eight.high - eight.low == pytest.approx(once.high - once.low, rel=0.1)


PLAYERS = [worlds.majority(), worlds.tfidf(0.75), worlds.probe(0.8), worlds.retrieval(0.7)]


def test_what_is_found_does_not_depend_on_fine_tuning_having_run():
    tuned = [*PLAYERS, worlds.lora(0.9)]
    before, after = (worlds.study(players, 400, 3, folds=5) for players in (PLAYERS, tuned))
    first, second = judge(before, Rule()), judge(after, Rule())
    assert first.failures is not None
    assert second.failures is not None
    assert first.failures.forecast is None
    assert first.failures == second.failures.model_copy(update={"forecast": None})
    gates = [next(g for g in d.gates if g.name == "failures data-driven") for d in (first, second)]
    assert gates[0] == gates[1]


def test_a_forecast_is_held_against_what_fine_tuning_did():
    players = [*PLAYERS[:3], worlds.prompt(0.7), worlds.lora(0.9, seeds=0)]
    evidence = worlds.study(players, 400, 3, folds=5)
    found = judge(evidence, Rule()).failures
    forecast = found.forecast
    gain = contenders_of(study_scores(evidence), Rule()).gain("lora", "prompt")
    assert forecast.candidate == "lora"
    assert forecast.measured.value == gain.value
    assert forecast.fixes - forecast.breaks == pytest.approx(found.rows * gain.value)
    assert forecast.called_fixed > forecast.others_fixed


def test_sentences_cite_the_record():
    record = audited(noisy(np.random.default_rng(1)))
    assert record.count("suspect label") > 0.02 * record.rows
    assert not list(failure_steps(record, 0.02)), "doubted labels have one list: the audit's"
    assert not list(failure_steps(record, 0.5))


def test_records_without_failures_still_load():
    old = decisions.decision().model_dump(mode="json", by_alias=True)
    del old["failures"], old["overlap"]
    assert Decision.model_validate(old).failures is None
    record = failures_of(by_hand())
    assert Failures.model_validate_json(record.model_dump_json()) == record
