"""The chance that a family is the one to use: golden values, simulated ends, what is never zero."""

from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from scipy.special import ndtr

from choose.judge.decision.chance import LIKELY, SURE, Chances, chances, chances_of, word_of
from choose.judge.decision.contenders import contenders_of
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.joint_distribution import Whole, joint_distribution
from choose.judge.scores.score_tables import study_scores
from simulation.evidence import evidence
from simulation.worlds import draw
from support.simulated_studies import lora, majority, probe, prompt, study, tfidf

ROWS = 600


def found(seen: Evidence, planned: dict[str, Whole] | None = None) -> Chances:
    result = chances(seen, Rule(), planned or {})
    assert result is not None
    return result


def whole(seen: Evidence) -> dict[str, Whole]:
    draws: dict[str, set[int]] = {}
    for run in seen.runs:
        draws.setdefault(run.trial.candidate, set()).add(run.trial.draw)
    return {name: Whole(len(seen.items.ids), len(own)) for name, own in draws.items()}


def without(seen: Evidence, *names: str, folds: int = 9) -> Evidence:
    runs = [r for r in seen.runs if r.trial.candidate not in names and r.trial.fold < folds]
    return replace(seen, runs=tuple(runs))


def test_words_follow_numbers() -> None:
    assert [word_of(c) for c in (1.0, SURE, 0.949, LIKELY, 0.799, 0.0)] == [
        "sure",
        "sure",
        "likely",
        "likely",
        "open",
        "open",
    ]


def test_of_two_the_chance_and_the_loss_are_those_of_the_normal_distribution() -> None:
    """Golden: the costlier one is to be used if it leads by the margin."""
    seen = study([tfidf(0.75), prompt(0.78)], 300, 4)
    panel = study_scores(seen)
    contenders = contenders_of(panel, Rule())
    joint = joint_distribution(contenders.order, panel.rows)
    costlier, z = 0.0, np.array([-1.0, 1.0])
    for part in joint.parts:
        mean, sd = z @ part.mean, np.sqrt(z @ part.covariance @ z)
        costlier += part.share * ndtr((mean - 0.02) / sd)
    result = chances_of(contenders)
    assert result.families["prompting"] == pytest.approx(costlier, abs=0.005)
    assert result.families["baseline"] == pytest.approx(1 - costlier, abs=0.005)
    other = "prompting" if result.named == "tfidf" else "baseline"
    given_up = result.families[other] * max(result.leads[other], 0.0)
    assert result.loss == pytest.approx(given_up, abs=0.005)


def test_chances_of_families_add_up_to_that_of_beating_the_floor() -> None:
    seen = study([majority(0.5), tfidf(0.5), prompt(0.45)], 200, 2)
    result = found(seen)
    assert 0.05 < sum(result.families.values()) < 0.9
    assert result.named in ("tfidf", "prompt"), "a floor is never what to use"
    assert result.candidates["majority"] == 0.0
    for family, members in (("baseline", ("tfidf",)), ("prompting", ("prompt",))):
        own = sum(result.candidates[name] for name in members)
        assert own == pytest.approx(result.families[family])


def test_what_was_not_measured_has_a_chance_unless_nothing_is_left_to_gain() -> None:
    seen = without(study([majority(), tfidf(0.8), prompt(0.6), lora(0.8)], ROWS, 3), "lora")
    result = found(seen)
    assert result.unmeasured == ("fine-tuning",)
    assert 0.1 < result.families["fine-tuning"] < 0.6
    assert result.leads["fine-tuning"] > 0.02
    full = without(study([majority(), tfidf(0.995), prompt(0.6), lora(0.8)], ROWS, 3), "lora")
    assert found(full).families["baseline"] > 0.99, "scores end at 1"


def test_nothing_moves_once_all_is_measured_and_a_first_fold_leaves_more_open() -> None:
    rng = np.random.default_rng([2, 3])
    setting = replace(draw("cross-fit", "report", rng), folds=5, rows=ROWS)
    seen = evidence(setting, rng)
    planned = whole(seen)
    assert not found(seen, planned).worth_asking
    part = without(seen, folds=1)
    assert found(part, planned).moves > found(seen, planned).moves
    assert found(part).moves == 0.0, "nothing is planned"


def test_planned_answers_of_who_answered_nothing_move_the_chance() -> None:
    seen = study([majority(), tfidf(0.8), prompt(0.6), lora(0.8)], ROWS, 3)
    part, planned = without(seen, "lora"), whole(seen)
    assert found(part, planned).moves > 0.5
    rest = {name: own for name, own in planned.items() if name != "lora"}
    late = found(part, rest)
    assert late.families == found(part).families, "its chance stays, although it will not run"
    assert late.moves < found(part, planned).moves


def test_the_chance_of_a_move_is_that_of_simulated_ends() -> None:
    """Studies of which a fifth was seen: in as many as was said a word has changed at the end."""
    said, moved = [], []
    for number in range(40):
        seen = study([majority(), tfidf(0.78), probe(0.8), prompt(0.82)], 400, number, folds=5)
        planned = whole(seen)
        part = without(seen, folds=1)
        before, after = found(part, planned), found(seen, planned)
        words = [{f: word_of(c) for f, c in one.families.items()} for one in (before, after)]
        said.append(before.moves)
        moved.append(words[0] != words[1])
    assert np.mean(moved) == pytest.approx(np.mean(said), abs=0.2)


def test_twelve_candidates_on_600_rows_take_less_than_a_fifth_of_a_second() -> None:
    players = [majority(), *(replace(tfidf(0.7 + 0.01 * i), name=f"t{i}") for i in range(8))]
    seen = study([*players, probe(0.78), prompt(0.8), lora(0.8, seeds=3)], ROWS, 1)
    planned = whole(seen)
    found(seen, planned)
    times = []
    for _ in range(5):
        start = process_time()
        found(seen, planned)
        times.append(process_time() - start)
    assert min(times) < 0.2


def test_the_best_of_many_that_tie_is_hardly_ever_called_sure() -> None:
    """Four baselines, and three fine-tuned candidates that cost more and gain nothing."""
    names = [f"b{i}" for i in range(4)]
    crowd = [replace(tfidf(0.8), name=name, own=1.5) for name in names]
    tuned = [replace(lora(0.8, run_spread=0.05), name=f"l{i}", own=1.5) for i in range(3)]
    wrong = 0
    for seed in range(60):
        result = found(study([*crowd, *tuned], 250, seed))
        wrong += result.families["fine-tuning"] >= SURE
    assert wrong <= 2
