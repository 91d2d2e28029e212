"""The chance that a family is the one to use: golden values, simulated ends, what is never zero."""

from dataclasses import replace
from time import process_time
from timeit import repeat
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from choose.judge.decision import chance
from choose.judge.decision.chance import (
    LIKELY,
    SURE,
    Chances,
    Outlook,
    chances,
    chances_of,
    corrected,
    word_of,
)
from choose.judge.evidence import Evidence
from choose.judge.goal import Rule
from choose.judge.scores.joint_distribution import Whole, joint_distribution
from choose.schema.plan import Searched
from choose.types import FAMILIES, SHARE_READ
from simulation.evidence import evidence
from simulation.worlds import draw
from support.simulated_studies import (
    candidate,
    field,
    lora,
    majority,
    probe,
    prompt,
    retrieval,
    study,
    tfidf,
)

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
    numbers = (1.0, SURE, 0.949, LIKELY, 0.799, 0.0)
    assert [*map(word_of, numbers)] == [*["sure"] * 2, *["likely"] * 2, *["open"] * 2]


def test_of_four_families_a_low_chance_is_stated_higher_and_all_others_lower() -> None:
    raw = np.linspace(0.0, 1.0, 1001)
    assert corrected(raw)[[0, 400, 800, 970]] == pytest.approx([0.3, 0.55, 0.8, 0.97])
    assert (np.diff(corrected(raw)) > 0).all()
    assert [*map(word_of, corrected(raw))] == [*map(word_of, raw)]
    families = dict(zip(FAMILIES, (0.4, 0.3, 0.1, 0.1), strict=True))
    said = Chances(named="a", families=families, candidates={}, members={"baseline": "a"})
    assert [*said.stated.values()] == pytest.approx([0.55, 0.225, 0.075, 0.075])
    few = {"baseline": 0.4, "prompting": 0.5}
    assert replace(said, families=few).stated == few


def test_where_likely_ones_read_a_part_no_chance_is_corrected(monkeypatch) -> None:
    """Nor is a forecast, unless they will have learned from all by then."""
    seen = study([majority(), probe(0.8), prompt(0.8), retrieval(0.8), lora(0.8)], 200, 3)
    runs = [replace(run, shortened={SHARE_READ: 0.1}) for run in seen.runs]
    part = replace(seen, runs=tuple(runs))
    said = found(part)
    assert (found(seen).learned, said.learned, said.stated) == (True, False, said.families)
    monkeypatch.setattr(chance, "corrected", np.zeros_like)
    planned = whole(part)
    learned = {name: own._replace(labels=10_000) for name, own in planned.items()}
    forecast = [found(part, plan).later for plan in (planned, learned)]
    assert [bool(later and later.chance) for later in forecast] == [True, False]


def test_of_four_families_a_low_chance_is_right_as_often_as_stated_in_simulated_studies() -> None:
    rng, said = np.random.default_rng(7), []
    for seed in range(120):
        a, b, c, d = real = 0.8 + np.array([0.0, *rng.normal(0.0, 0.06, 3)])
        result = found(study([majority(), probe(a), prompt(b), retrieval(c), lora(d)], 200, seed))
        to_use = FAMILIES[int((real >= real.max() - Rule().margin).argmax())]
        if result.family and result.families[result.family] < 0.7:
            said.append((result.stated[result.family], result.family == to_use))
    stated, right = np.mean(said, axis=0)
    assert right == pytest.approx(stated, abs=0.08)


def test_of_two_the_chance_and_the_loss_are_those_of_the_normal_distribution() -> None:
    """Golden: the costlier one is to be used if it leads by the margin."""
    candidates = field(study([tfidf(0.75), prompt(0.78)], 300, 4), Rule())
    joint = joint_distribution(candidates.order, candidates.scores.rows)
    costlier, z = 0.0, np.array([-1.0, 1.0])
    for part in joint.parts:
        mean, sd = z @ part.mean, np.sqrt(z @ part.covariance @ z)
        costlier += part.share * ndtr((mean - 0.02) / sd)
    result = chances_of(candidates)
    assert result.families["prompting"] == pytest.approx(costlier, abs=0.005)
    assert result.families["baseline"] == pytest.approx(1 - costlier, abs=0.005)
    other = "prompting" if result.named == "tfidf" else "baseline"
    given_up = result.families[other] * max(result.leads[other], 0.0)
    assert result.loss == pytest.approx(given_up, abs=0.005)


def test_chances_of_families_add_up_to_that_of_beating_the_floor() -> None:
    result = found(study([majority(0.5), tfidf(0.5), prompt(0.45)], 200, 2))
    assert 0.05 < sum(result.families.values()) < 0.9
    assert result.named in ("tfidf", "prompt"), "a floor is never what to use"
    assert result.candidates["majority"] == 0.0
    for family, members in (("baseline", ("tfidf",)), ("prompting", ("prompt",))):
        own = sum(result.candidates[name] for name in members)
        assert own == pytest.approx(result.families[family])


@pytest.mark.parametrize("rivals", [[], [lora(0.5)]])
def test_nothing_is_or_will_be_sure_by_a_part_of_the_passages(rivals: list[Any]) -> None:
    seen = study([majority(), tfidf(0.9), *rivals], ROWS, 2)
    part = replace(seen, searched=Searched(passages=10, whole=100, budget=60.0))
    result = found(part, whole(seen))
    assert max(*result.families.values(), *result.candidates.values()) < SURE
    assert result.later is not None
    assert (result.later.chance, result.later.moved) == (pytest.approx(0.94, abs=0.01), 0.0)


def test_what_was_not_measured_has_a_chance_unless_nothing_is_left_to_gain() -> None:
    seen = without(study([majority(), tfidf(0.8), prompt(0.6), lora(0.8)], ROWS, 3), "lora")
    result = found(seen)
    assert result.unmeasured == ("fine-tuning",)
    assert 0.1 < result.families["fine-tuning"] < 0.6
    assert result.leads["fine-tuning"] > 0.02
    full = without(study([majority(), tfidf(0.995), prompt(0.6), lora(0.8)], ROWS, 3), "lora")
    assert found(full).families["baseline"] > 0.99, "scores end at 1"


def test_nothing_is_removed_once_all_is_measured_and_a_first_fold_leaves_more_open() -> None:
    rng = np.random.default_rng([2, 3])
    seen = evidence(replace(draw("cross-fit", "report", rng), folds=5, rows=ROWS), rng)
    planned = whole(seen)
    whole_of = found(seen, planned)
    assert whole_of.later is not None
    assert whole_of.later.moved == 0
    assert abs(whole_of.later.removed) < 1e-6
    assert not whole_of.worth_asking
    part = without(seen, folds=1)
    assert removed(part, planned) > removed(seen, planned)
    assert found(part).later is None, "nothing is planned"


def removed(seen: Evidence, planned: dict[str, Whole]) -> float:
    result = found(seen, planned)
    assert result.later is not None
    return result.later.removed


def test_a_run_goes_on_while_a_word_may_change() -> None:
    """Whatever the loss: of 84 studies of `benchmarks/spending.py`, none ended otherwise by it."""
    facts = {"families": {"baseline": 0.83}, "members": {"baseline": "a"}}
    said = Chances(named="a", candidates={"a": 0.83}, losses={"baseline": 0.02}, **facts)
    assert not said.worth_asking, "nothing is planned"
    assert replace(said, later=Outlook(0.83, 0.01, 0.001, 0.1)).worth_asking
    assert not replace(said, later=Outlook(0.83, 0.01, 0.006, 0.05)).worth_asking


def test_planned_answers_of_who_answered_nothing_remove_loss() -> None:
    seen = study([majority(), tfidf(0.8), prompt(0.6), lora(0.8)], ROWS, 3)
    part, planned = without(seen, "lora"), whole(seen)
    assert removed(part, planned) > 0.02
    rest = {name: own for name, own in planned.items() if name != "lora"}
    late = found(part, rest)
    assert late.families == found(part).families, "its chance stays, although it will not run"
    assert removed(part, rest) < 0.005


def test_a_forecast_starts_from_what_is_named_and_not_from_what_is_unusable() -> None:
    """A LoRA promises more than all others, but scores below the reference and runs no more."""
    seen = study([majority(0.5), probe(0.6), prompt(0.6), lora(0.4)], 200, 3)
    cut = {"lora": {SHARE_READ: 0.02}}
    runs = [replace(run, shortened=cut.get(run.trial.candidate, {})) for run in seen.runs]
    result = found(replace(seen, runs=tuple(runs)), {"probe": Whole(200, 1)})
    assert result.later is not None
    assert result.later.loss + result.later.removed == pytest.approx(result.loss, abs=0.005)
    assert result.later.moved == 0


def test_where_none_is_usable_a_short_first_fit_hides_no_longer_one() -> None:
    """As on covid_qa: a LoRA read 40 rows first, then all; a prompt knows the smaller pool only."""
    seen = study([majority(0.7), prompt(0.35, at={100: 0.35}), lora(0.6, at={100: 0.2})], 200, 3)
    runs = [r for r in seen.runs if r.trial.candidate != "prompt" or r.trial.train_size == 100]
    result = found(replace(seen, runs=tuple(runs)))
    assert not result.usable
    assert result.named == "lora"


def test_what_is_expected_to_be_said_is_what_simulated_ends_say() -> None:
    """Of studies of which a fifth was seen; words count of all families, and which is named."""
    said, came = [], []
    for number in range(40):
        rng = np.random.default_rng([number, 5])
        seen = evidence(replace(draw("cross-fit", "report", rng), folds=5, rows=400), rng)
        before, after = found(without(seen, folds=1), whole(seen)), found(seen)
        assert before.later is not None
        assert after.named is not None
        said.append((before.later.chance, before.later.loss, before.later.moved))
        told = [(c.family, *map(word_of, c.families.values())) for c in (before, after)]
        came.append((after.families[after.family], after.loss, told[0] != told[1]))
    surer, loss, moved = np.mean(came, axis=0) - np.mean(said, axis=0)
    assert -0.05 < moved < 0.1
    assert -0.03 < surer < 0.08
    assert loss == pytest.approx(0.0, abs=0.003)


def test_what_is_given_up_at_most_holds_in_95_of_100_simulated_studies() -> None:
    """Leads of the costlier one vary by 6 points, so that much may be at stake."""
    rng, within, least = np.random.default_rng(6), 0, []
    for seed in range(120):
        gap = rng.normal(0.0, 0.06)
        result = found(study([majority(), probe(0.8), lora(0.8 + gap, run_spread=0.05)], 150, seed))
        best = {"probe": 0.8, "lora": 0.8 + gap}
        to_use = "lora" if gap > Rule().margin else "probe"
        within += max(0.0, best[to_use] - best[result.named or ""]) <= result.most + 1e-9
        least.append(result.most > 0)
    assert within / 120 >= 0.95 - 0.03
    assert np.mean(least) > 0.2, "it is no empty promise"


def test_twelve_candidates_on_600_rows_take_less_than_a_fifth_of_a_second() -> None:
    players = [majority(), *(replace(tfidf(0.7 + 0.01 * i), name=f"t{i}") for i in range(8))]
    seen = study([*players, probe(0.78), prompt(0.8), lora(0.8, seeds=3)], ROWS, 1)
    planned = whole(seen)
    assert min(repeat(lambda: found(seen, planned), timer=process_time, number=1)) < 0.2


def test_the_best_of_many_that_tie_is_hardly_ever_called_sure() -> None:
    """Four baselines, and three fine-tuned candidates that cost more and gain nothing."""
    crowd = [replace(tfidf(0.8), name=f"b{i}", own=1.5) for i in range(4)]
    tuned = [replace(lora(0.8, run_spread=0.05), name=f"l{i}", own=1.5) for i in range(3)]
    wrong = 0
    for seed in range(60):
        wrong += found(study([*crowd, *tuned], 250, seed)).families["fine-tuning"] >= SURE
    assert wrong <= 2


def test_doubt_about_a_promise_takes_nothing_from_a_score_that_was_measured() -> None:
    """As on xquad_en: one of two fine-tuned candidates is far ahead with a part of the labels."""
    ahead = candidate("lora-rag", "fine-tuning", 0.46, 300.0)
    seen = study([majority(0.15), prompt(0.05), retrieval(0.13), lora(0.06), ahead], 240, 5)
    runs = tuple(replace(run, shortened={SHARE_READ: 0.25}) for run in seen.runs)
    result = found(replace(seen, runs=runs))
    assert result.named == "lora-rag"
    assert result.families["fine-tuning"] > 0.9
