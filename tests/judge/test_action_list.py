"""What to do next: the order by value, the question of each step."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from choose.judge.diagnosis.doubted_labels import auditor_of, confirmed_labels, most_doubtful
from choose.judge.goal import Rule
from choose.judge.verdict import judge
from choose.report import words
from choose.report.words import typed
from choose.schema.plan import COMPARISON, LeftOut, Reason
from choose.types import ROWS_READ, SHARE_READ
from support import answered_studies as answered
from support.answered_studies import blobs, cut, evidence, out_of_fold, player
from support.decisions import without
from support.simulated_studies import lora, majority, probe, prompt, retrieval, study, tfidf


def steps_of(decision, kind):
    return [step for step in decision.verdict.steps if step.kind == kind]


def coded(decision, code):
    return [step for step in decision.verdict.steps if step.code == code]


def late(candidate: str = "", reason: Reason | None = "out-of-time", **trials: int) -> LeftOut:
    return LeftOut(candidate=candidate, reason=reason, trials=trials)


def test_labelled_rows_that_were_not_evaluated_come_before_rows_to_label():
    whole = study([majority(), tfidf(0.80), prompt(0.83)], 600, 4)
    short = judge(cut(whole, "prompt", 240), Rule(), left_out=(late("prompt"),))
    assert (short.verdict.kind, short.verdict.unmeasured) == ("incomplete", ())
    (step,) = coded(short, "finish-rows")
    assert step.rows["prompt"] == 360
    assert typed(step.command).startswith("choose continue STUDY --budget ")
    assert not list(coded(short, "separate"))
    order = [s.kind for s in short.verdict.steps]
    assert "label-more" not in order[: order.index("evaluate-rest")]


def test_more_minutes_say_how_sure_they_should_make_it() -> None:
    whole = study([majority(), tfidf(0.80), prompt(0.83)], 600, 4)
    short = judge(cut(whole, "prompt", 100), Rule(), left_out=(late("prompt"),))
    (step,) = coded(short, "finish-rows")
    assert short.chance < step.chance < 1.0
    assert 0.0 < step.removes < short.verdict.loss
    said = f"{step.minutes:.0f} more minutes should make it about {100 * step.chance:.0f} % sure"
    assert words.sentences_of(short, step)[0].startswith(said)
    (begin,) = coded(judge(without("prompt")(whole), Rule(), left_out=(late("prompt"),)), "begin")
    assert begin.removes > step.removes, "nothing is known of it"


def test_rows_that_were_not_answered_are_counted_and_constants_are_not_named():
    whole = study([majority(), tfidf(0.80), prompt(0.83)], 600, 4)
    for name in ("majority", "tfidf", "prompt"):
        whole = cut(whole, name, 240)
    (step,) = coded(judge(whole, Rule(), left_out=(late(),)), "finish-rows")
    assert step.rows == {"tfidf": 360, "prompt": 360}
    alone = study([majority(), tfidf(0.80), probe(0.7)], 600, 4)
    alone = cut(cut(alone, "tfidf", 240), "probe", 240)
    (stronger,) = steps_of(judge(alone, Rule()), "stronger-model")
    assert stronger.count == 240


def test_candidates_that_were_not_begun_are_given_time_before_anything_is_added():
    whole = study([majority(), tfidf(0.80), prompt(0.83)], 600, 4)
    begun = without("prompt")(whole)
    found = judge(begun, Rule(), left_out=(late("prompt"),))
    first = found.verdict.steps[0]
    assert (first.kind, first.code, first.names) == ("evaluate-rest", "begin", ("prompt",))
    assert typed(first.command) == "choose continue STUDY --budget 15m"
    assert not steps_of(found, "add-candidate")
    # The rest of a slow candidate is not named beside it, and does not raise the budget either.
    hour = tuple(replace(run, seconds_alone=60.0) for run in begun.runs)
    slow = cut(replace(whole, runs=hour), "tfidf", 25)
    first = judge(slow, Rule(), left_out=(late("prompt"),)).verdict.steps[0]
    assert typed(first.command) == "choose continue STUDY --budget 15m"


def test_what_dollars_ended_is_given_dollars_and_not_time():
    whole = study([majority(), tfidf(0.80), prompt(0.83), retrieval(0.82)], 600, 4)
    slow = ("prompt", "retrieval")
    begun = without(*slow)(whole)
    left = [late(name, "out-of-money") for name in slow]
    found = judge(begun, Rule(), left_out=tuple(left))
    first = found.verdict.steps[0]
    assert (first.code, first.names) == ("begin-paid", slow)
    assert typed(first.command) == "choose plan -c STUDY"
    assert not [s for s in found.verdict.steps if s.command and "budget" in s.command.options]
    left[0] = late("prompt")
    both = judge(begun, Rule(), left_out=tuple(left)).verdict.steps[0]
    assert (both.code, both.names, both.minutes, both.paid) == ("begin", ("prompt",), 15, True)


@pytest.mark.parametrize(
    ("reason", "asked"), [("out-of-time", True), ("not-needed", False), ("dropped", False)]
)
def test_rows_that_the_verdict_did_not_need_are_no_reason_for_more_time(reason, asked):
    short = cut(study([majority(), tfidf(0.80), prompt(0.83)], 600, 4), "prompt", 240)
    found = judge(short, Rule(), left_out=(late("prompt", reason, **{COMPARISON: 2}),))
    assert bool(coded(found, "finish-rows")) is asked


def test_rows_and_views_that_dollars_ended_need_dollars():
    whole = study([majority(), tfidf(0.80), prompt(0.83)], 600, 4)
    left = [late("prompt", "out-of-money", repetitions=1)]
    (step,) = coded(judge(cut(whole, "prompt", 240), Rule(), left_out=tuple(left)), "finish-rows")
    assert step.paid
    views = (late("prompt", "out-of-money", views=5),)
    (step,) = steps_of(judge(whole, Rule(), left_out=views), "evaluate-rest")
    assert (step.code, step.names, step.count) == ("finish-paid", ("views",), 1)
    assert typed(step.command) == "choose plan -c STUDY"


def test_runs_that_are_planned_need_a_larger_budget_and_not_more_seeds():
    """ "Repeat lora (--seeds 5)", where the budget had ended before the second of three seeds."""
    players = [majority(), probe(0.80), lora(0.83, seeds=1, run_spread=0.3)]
    left = late("lora", repetitions=10, views=5)
    paid = late("lora", "out-of-money", repetitions=10, views=5)
    needless = late("lora", "not-needed", repetitions=10)
    told = set()
    for seed in range(4):
        world = study(players, 600, seed)
        for step in steps_of(judge(world, Rule(), left_out=(left,)), "more-runs"):
            told.add(seed)
            assert (step.code, step.names, step.count) == ("repeat-late", ("lora",), 1)
            assert typed(step.command) == f"choose continue STUDY --budget {step.minutes:.0f}m"
            (other,) = steps_of(judge(world, Rule(), left_out=(paid,)), "more-runs")
            assert other.code == "repeat-paid"
            assert typed(other.command) == "choose plan -c STUDY"
            assert not steps_of(judge(world, Rule(), left_out=(paid,)), "evaluate-rest")
            # One command with more time is advised, not two with different budgets.
            assert not steps_of(judge(world, Rule(), left_out=(left,)), "evaluate-rest")
            # Runs that the verdict did not need are no reason for a larger budget.
            for none in ((), (needless,), (late("lora", None, repetitions=10),)):
                (other,) = steps_of(judge(world, Rule(), left_out=none), "more-runs")
                on = f"choose continue STUDY --budget {other.minutes:.0f}m"
                assert typed(other.command) == f"{on} --set seeds=5"
    assert told


def test_what_is_missing_takes_the_least_minutes_that_hold_it():
    """An hour was proposed for 120 rows of setfit, whose fit takes a minute."""
    world = cut(study([majority(), probe(0.80), lora(0.83, seeds=1)], 600, 2), "lora", 480)
    fit = {"seconds_alone": 65.0, "fit_seconds": 60.0, "predict_seconds": 5.0, "unasked": 120}
    runs = tuple(replace(r, **fit) if r.trial.candidate == "lora" else r for r in world.runs)
    world = replace(world, runs=runs)
    (step,) = coded(judge(world, Rule()), "finish-rows")
    assert (step.rows, step.minutes, step.whole) == ({"lora": 120}, 2.0, None)
    # Fits vary more than rows, and further ones are planned: these would tell.
    found = judge(world, Rule(), left_out=(late("lora", repetitions=3),))
    assert not coded(found, "finish-rows")
    (step,) = coded(found, "repeat-late")
    minutes = (20 + 4 / 3 * (60 + 5 / 4 + 3 * (60 + 5 * 5 / 4))) / 60
    assert 5 < minutes < step.minutes or step.whole == pytest.approx(minutes, rel=0.05)
    # Learned from a quarter of the labels: it is fitted on all of them, and answers every row.
    for times, minutes in ((4, 10), (6, 5)):
        (step,) = coded(judge(replace(world, pool_rows=(400 * times,)), Rule()), "finish-rows")
        work = (20 + 4 / 3 * (times * 60 + 5 * 5 / 4)) / 60
        assert (step.minutes, step.whole or work) == (minutes, pytest.approx(work, rel=0.05))
        assert (step.whole is None) is (minutes > work)


def test_the_fewest_rows_that_were_learned_from_are_told():
    """ "454 of 877", which was the one of the shortest fit; others had learned from 250."""
    world = cut(study([majority(), probe(0.81), lora(0.83, seeds=1)], 600, 2), "lora", 480)
    for read, lacks in ((399, 1201), (450, 1200)):
        cuts = {"lora": {SHARE_READ: 0.5, ROWS_READ: read}}
        runs = (replace(r, shortened=cuts.get(r.trial.candidate, {})) for r in world.runs)
        found = judge(replace(world, pool_rows=(1600,), runs=tuple(runs)), Rule())
        (step,) = coded(found, "finish-rows")
        assert (step.count, step.total) == (lacks, 1600)


def test_what_was_left_out_is_named():
    left = (
        late("lora", **{"views": 5, "added noise": 10}),
        late("rag", **{"added noise": 1_200, "a new class": 2}),
    )
    whole = study([majority(), tfidf(0.80), prompt(0.83)], 600, 4)
    (step,) = coded(judge(whole, Rule(), left_out=left), "finish")
    assert (step.names, step.count) == (("views", "added noise", "a new class"), 2)


def test_what_labels_gain_is_said_of_the_named_candidate_and_its_rivals():
    """It was said of lora, where setfit was named for sure, so that no table had lora."""
    for level, helped in ((0.85, False), (0.9, True)):
        rises = {100: level - 0.2, 200: level - 0.1}
        world = study([majority(), probe(0.8), lora(0.9), tfidf(level, at=rises)], 600, 1)
        found = judge(world, Rule())
        names = [step.names for step in steps_of(found, "label-more") if step.code != "separate"]
        assert (("tfidf",) in names) is helped
    # "More labelled rows still help lora: from 250 to 500", where it had 2,879.
    assert coded(found, "still-rising")
    assert not coded(judge(replace(world, pool_rows=(1600,)), Rule()), "still-rising")


def test_a_budget_is_at_most_four_times_what_was_spent():
    """After a minute: "--budget 120m"."""
    world = cut(study([majority(), probe(0.7), lora(0.85, seeds=1)], 600, 1), "lora", 25)
    slow = {"seconds_alone": 200.0, "predict_seconds": 190.0, "unasked": 575}
    runs = (replace(r, **slow) if r.trial.candidate == "lora" else r for r in world.runs)
    (step,) = steps_of(judge(replace(world, runs=tuple(runs)), Rule()), "evaluate-rest")
    assert step.minutes == 15
    assert step.whole == pytest.approx((20 + 4 / 3 * (10 + 190 * 575 / 25)) / 60, rel=0.05)


def doubtful(rate, rows=1500):
    rng = np.random.default_rng([0, rows, 6])
    features, truth, _ = blobs(rng, rows, 6, 1.4)
    given = truth.copy()
    wrong = rng.choice(rows, round(rate * rows), replace=False)
    given[wrong] = (truth[wrong] + rng.integers(1, 6, len(wrong))) % 6
    labels = tuple(f"l{i}" for i in range(6))
    p = {"good": out_of_fold(features, given), "poor": out_of_fold(features[:, :4], given)}
    return evidence([labels[g] for g in given], p, labels)


def test_doubted_labels_come_first_where_they_are_worth_most_and_clean_ones_do_not():
    found = judge(doubtful(0.08), Rule())
    # Where nothing was compared, comparing comes before everything else.
    comparing = ("add-candidate", "evaluate-rest")
    first = next(step for step in found.verdict.steps if step.kind not in comparing)
    assert first.kind == "check-labels"
    assert first.value == found.audit.gain.gain
    assert first.value.value >= 0.01
    assert len(found.audit.doubted) == min(found.audit.suspected, 200)
    (timed,) = steps_of(judge(doubtful(0.08), Rule(minutes_per_label=0.5)), "check-labels")
    assert timed.minutes == pytest.approx(0.5 * found.audit.suspected)
    clean = judge(doubtful(0.0), Rule())
    assert "check-labels" not in [step.kind for step in clean.verdict.steps[:2]]


def fraud(hits=2, others=5):
    """400 rows, 12 of them fraud; tfidf finds some and knn more; both reject all others."""
    return answered.study(
        "fn",
        ["f"] * 12 + ["n"] * 388,
        [
            player("majority", ["n"] * 400),
            player("tfidf", ["f"] * hits + ["n"] * (12 - hits) + ["f"] + ["n"] * 387),
            player("knn", ["f"] * others + ["n"] * (12 - others) + ["f"] * 2 + ["n"] * 386),
        ],
    )


def test_recall_of_a_rare_label_is_said_first():
    """ "98 of 100 right" for a model that found 2 of 12 frauds, and a bare pass above it."""
    found = judge(fraud(), Rule())
    (rare,) = found.verdict.rare
    assert (rare.label, rare.rows, rare.share) == ("f", 12, 0.03)
    assert (rare.found["tfidf"], rare.answered) == (2, 12)
    # "majority finds 0 of 12" came before the one that finds most.
    others = [*rare.found.values()][1:]
    assert others == sorted(others, reverse=True)
    (first,) = steps_of(found, "metric")
    assert typed(first.command) == "choose continue STUDY --metric balanced"
    assert next(iter(rare.found)) == found.verdict.use_meanwhile
    balanced = judge(fraud(), Rule(metric="balanced"))  # this metric counts the rare label
    assert balanced.verdict.rare == ()
    assert not steps_of(balanced, "metric")


def test_a_rare_label_that_was_hardly_evaluated_is_not_spoken_of():
    """ "misses 1 of 2", and a step, after 100 of 500 rows."""
    common = ["n"] * 200 + ["m"] * 188
    whole = answered.study(
        "fmn",
        [*common, *["f"] * 12],
        [
            player("majority", ["n"] * 400),
            player("tfidf", [*common, *["f"] * 12]),
            player("lora", [*common, *["f"] * 9, *["n"] * 3], "fine-tuning"),
        ],
    )
    for name in ("majority", "tfidf", "lora"):
        whole = cut(whole, name, 390)
    found = judge(whole, Rule(), left_out=(late("tfidf"),))
    assert found.verdict.rare == ()
    assert not steps_of(found, "metric")


@pytest.mark.parametrize(
    ("rare", "misses", "told"), [("f", 2, False), ("f", 3, True), ("fghijkl", 3, False)]
)
def test_a_rare_label_is_told_of_where_it_is_surely_missed(rare: str, misses: int, told: bool):
    """ "Judge by a metric that counts it" came first on trec6, at 96 % right, for 2 of 9 rows.

    Of seven labels, one may miss 3 of 9 by chance.
    """
    labels = [label for label in rare for _ in range(9)]
    targets = ["n"] * 291 + ["m"] * 200 + labels
    says = ["m"] * 16 + targets[16:491] + ["n"] * misses + labels[misses:]
    players = [player("majority", ["n"] * len(targets)), player("tfidf", says)]
    players.append(player("lora", says, "fine-tuning"))
    found = judge(answered.study(f"{rare}mn", targets, players), Rule())
    assert any(label.missed for label in found.verdict.rare) is told
    assert [step.kind for step in found.verdict.steps[:1]] == ["metric"] or not told
    assert bool(steps_of(found, "metric")) is told


def test_figures_of_a_rare_label_are_of_the_same_rows():
    """A candidate that answered half of the rare rows is not set beside one that answered all."""
    (rare,) = judge(cut(fraud(), "knn", 6), Rule()).verdict.rare
    assert "knn" not in rare.found or rare.answered == 6


def test_no_rare_positive_is_called_rather_negative_on_a_weak_word():
    rng = np.random.default_rng(0)
    given = ["f"] * 12 + ["n"] * 388
    p = np.tile([0.03, 0.97], (400, 1)) + rng.normal(0, 0.005, (400, 1)) * [1, -1]
    p[:2] = [0.7, 0.3]
    audit = judge(evidence(given, {"a": p}, ("f", "n")), Rule()).audit
    assert audit.doubted == ()
    assert audit.weak is not None


def test_a_label_that_the_auditor_does_not_know_is_not_doubted():
    """Five labels are known well and the sixth not at all: its rows stay off the list."""
    rng = np.random.default_rng(1)
    features, truth, _ = blobs(rng, 900, 6, 1.6)
    others, unknown = np.flatnonzero(truth != 5), truth == 5
    features[unknown] = features[rng.permutation(others)[: unknown.sum()]]
    given, wrong = truth.copy(), rng.choice(others, 45, replace=False)
    given[wrong] = (truth[wrong] + 1 + rng.integers(0, 4, 45)) % 5
    labels = tuple(f"l{i}" for i in range(6))
    p = out_of_fold(features, given)
    auditor = auditor_of(evidence([labels[g] for g in given], {"a": p}, labels))
    assert confirmed_labels(auditor).tolist() == [True] * 5 + [False]
    listed = most_doubtful(auditor)
    assert 5 not in auditor.targets[listed]
    assert len(listed) >= 30


FIRST = {
    "collect-labels": {"label-more"},
    "fix-labels": {"check-labels"},
    "incomplete": {"add-candidate", "evaluate-rest", "more-runs"},
}


def test_the_first_step_is_what_the_answer_says():
    seen = Counter()
    worlds = [
        *(study([majority(), probe(0.8), lora(0.84)], 150, seed) for seed in range(4)),
        *(study([majority(0.7), tfidf(0.72)], rows, 3) for rows in (40, 150, 400)),
        *(study([majority(0.7), tfidf(0.72), probe(0.73)], rows, 3) for rows in (40, 150, 400)),
        study([majority(), tfidf(0.8)], 400, 3),
        study([majority(), lora(0.8, at={100: 0.6, 200: 0.7}), probe(0.8)], 400, 1),
        doubtful(0.15),
        fraud(),
    ]
    for world in worlds:
        for rule in (Rule(), Rule(target=0.95)):
            verdict = judge(world, rule).verdict
            seen[verdict.kind] += 1
            if wanted := FIRST.get(verdict.kind):
                assert verdict.steps[0].kind in wanted, verdict.kind
    assert {*FIRST} <= {*seen}, seen
