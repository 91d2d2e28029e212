"""Replayed decisions on real sets: what is stored, what counts as true, how rules are graded."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import regret
from replay.answers import (
    FORMAT,
    SCORES_FORMAT,
    Answered,
    Fitted,
    changed,
    kinds_by,
    pack,
    pack_scores,
    read_all,
    restore_packed,
    text_of,
    unpack,
    write_packed,
)
from replay.candidates import KINDS, RECORD_KINDS
from replay.fits import Worker, measure
from replay.grading import JUDGE, RECORD_RULES
from replay.plan import DRAWS, RECORD_SIZES, SIZES, Place, plan
from replay.sources import RECORD_SETS, SETS, read
from replay.studies import draw
from replay.summary import REGRET, tally
from replay.truth import truth_of

SPREAD = {
    **dict.fromkeys(KINDS, 0.7),
    "majority": 0.3,
    "tfidf": 0.6,
    "prompt": 0.4,
    "lora": 0.82,
    "retrieval": 0.6,
}
COMMITTED = Path(regret.__file__).parent / "replay" / "answers"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def data(tmp_path):
    """Two classes told apart by a word, half of the test rows by a word that nobody learnt."""
    folder = tmp_path / "data" / "trec6"
    folder.mkdir(parents=True)
    rows = [f"the {word} runs {n},{word}" for n in range(60) for word in ("cat", "dog")]
    asked = [f"a {word} sleeps {n},{word}" for n in range(10) for word in ("cat", "dog")]
    asked += [f"nothing of the kind {n},{word}" for n in range(10) for word in ("cat", "dog")]
    for name, lines in (("train", rows), ("test", asked)):
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *lines, ""]))
    return folder.parent


def test_gathering_goes_on_where_it_stopped_and_packs_what_is_there(data, tmp_path):
    place = Place(data=data, kept=tmp_path / "kept", rows=(16,))
    fits = [f for f in plan(["trec6"]) if f.candidate in ("majority", "tfidf") and f.draw < 2]
    first = Worker(place, fits[:3], np.inf)
    assert len(list(first.work())) == 3
    again = list(Worker(place, fits, np.inf).work())
    assert len(again) == len(fits) - 3
    assert write_packed(place, fits, tmp_path / "packed") == 0
    found = read_all(tmp_path / "packed")["trec6"]
    assert not list(Worker(place, fits, np.inf).work())
    assert set(found.sizes) == set(SIZES)
    source = read(data, "trec6")
    record = measure(fits[-1], source.dataset(source.sample(0, 40)), np.inf)
    stored = found.fitted(fits[-1].candidate, fits[-1].size)[fits[-1].draw]
    assert (stored.scores == unpack(record["right"], 40)).all()
    assert not list(changed({"trec6": found}, data))
    elsewhere = replace(place, kept=tmp_path / "elsewhere")
    assert restore_packed(elsewhere, fits, tmp_path / "packed") == len(fits)
    assert restore_packed(elsewhere, fits, tmp_path / "packed") == 0
    assert [elsewhere.finished(fit) for fit in fits] == [place.finished(fit) for fit in fits]
    assert restore_packed(replace(elsewhere, rows=(8,)), fits, tmp_path / "packed") == 0


@pytest.mark.slow
def test_the_command_reports_and_fails_on_a_missed_target(tmp_path, capsys, monkeypatch):
    for seed in range(2):
        write(answered(SPREAD, seed=seed), tmp_path)
    few = ["--answers", str(tmp_path), "--data", str(tmp_path), "--decisions", "8"]
    few += ["--processes", "1"]
    monkeypatch.setattr("replay.summary.EXCESS", -1.0)
    assert regret.main(few) == 1
    told = capsys.readouterr().out
    assert re.search(r"^made 0 +100 ", told, re.MULTILINE)
    assert "excess regret of what is used" in told.split("Missed targets:")[1]
    assert regret.main([*few, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["labels"]
    assert found["decisions"] == 8
    assert len(found["missed"]) >= 1
    assert found["rules"]["always prompt"]["excess"]["value"] > 0.1
    assert regret.main(["--answers", str(tmp_path / "none")]) == 2


@pytest.mark.slow(seconds=25)
def test_on_the_committed_answers_the_judge_does_better_than_rules_of_thumb():
    """The targets are for `regret.py` to hold; this is what holds whatever is stored."""
    found = tally(regret.replay(COMMITTED, 500, 1)).rules
    mine, naive = found[JUDGE], found["highest score"]
    assert mine.regret.value <= naive.regret.value + REGRET
    assert mine.needless.value < naive.needless.value
    for rule in ("one standard error", "always prompt", "always probe"):
        assert found[rule].more.value > 0


@pytest.mark.data
def test_the_committed_answers_are_to_the_files_beside_the_project():
    if not DATA.is_dir():
        pytest.skip("the real sets are not beside the project")
    sets = read_all(COMMITTED)
    assert set(sets) == set(SETS)
    assert not list(changed(sets, DATA))


SECONDS = {
    "majority": 0.01,
    "tfidf": 0.5,
    "knn": 4.0,
    "probe": 5.0,
    "lora": 60.0,
    "prompt": 100.0,
    "few-shot": 160.0,
    "retrieval": 300.0,
    "lora on the LM": 400.0,
    "empty": 0.01,
    "gazetteer": 0.1,
    "pattern": 0.2,
    "nearest": 0.3,
    "tagger": 0.6,
}

METRIC = "field-f1"

# Scores of a half, such as one of two values, are of so many answers.
HALVES = 0.3


def answered(accuracy, rows=1600, few=800, seed=0, metric=None):
    """Make a set of known accuracies, where the fits of a candidate share 7 in 10 answers.

    With a metric the answers are records of these mean scores, of which some are right by half.
    """
    rng = np.random.default_rng(seed)
    asked = np.zeros(rows, dtype=np.bool_)
    asked[rng.permutation(rows)[:few]] = True
    return Answered(
        name=f"made {seed}",
        labels=0 if metric else 4,
        pool=5000,
        hashes={},
        metric=metric,
        fits=tuple(_fits(accuracy, asked, rng, metric)),
    )


def _fits(accuracy, asked, rng, metric):
    rows, kinds = len(asked), kinds_by(metric)
    shared = rng.random(rows)
    for name, level in accuracy.items():
        own = rng.random(rows)
        uniform = np.where(rng.random(rows) < 0.5, shared, own)
        base = _scored(uniform, level, metric)
        sizes = RECORD_SIZES if metric else SIZES
        for size in sizes[:1] if kinds[name].any_size else sizes:
            for fitted in range(5 if kinds[name].every_row else DRAWS):
                again = _scored(rng.random(rows), level, metric)
                scores = np.where(rng.random(rows) < 0.7, base, again)
                yield Fitted(
                    candidate=name,
                    size=size,
                    draw=fitted,
                    scores=np.where(asked | kinds[name].every_row, scores, np.nan),
                    fit_seconds=SECONDS[name] / 2,
                    ms_per_item=SECONDS[name] / 2,
                )


def _scored(uniform, level, metric):
    """Return scores with this mean: 1 or 0, or a half too."""
    if metric is None:
        return (uniform < level).astype(np.float64)
    halves = min(HALVES, 2 * level, 2 * (1 - level))
    return np.where(
        uniform < level - halves / 2, 1.0, np.where(uniform < level + halves / 2, 0.5, 0.0)
    )


def write(made: Answered, folder: Path) -> None:
    """Write a made set as the packing program would, the asked rows in two parts."""
    rows = np.zeros_like(made.fits[0].asked)
    few = next((f.asked for f in made.fits if not made.kinds[f.candidate].every_row), ~rows)
    first = few & (np.cumsum(few) <= few.sum() // 2)
    head = {
        "format": SCORES_FORMAT if made.metric else FORMAT,
        "set": made.name,
        **({"metric": made.metric} if made.metric else {}),
        "sha256": made.hashes,
        "labels": made.labels,
        "pool": made.pool,
        "rows": len(rows),
        "parts": [pack(first), pack(few & ~first)],
    }
    records = []
    for fit in made.fits:
        kind = made.kinds[fit.candidate]
        parts = [fit.asked] if kind.at_once else [first, few & ~first]
        for number, part in enumerate(parts):
            packed = (
                {"scores": pack_scores(fit.scores[part])}
                if made.metric
                else {"right": pack(fit.scores[part] == 1)}
            )
            own = {"rows": int(part.sum()), "part": number}
            records.append({k: v for k, v in vars(fit).items() if k != "scores"} | packed | own)
    folder.mkdir(exist_ok=True)
    (folder / f"{made.name}.json").write_text(text_of(head, records))


@pytest.mark.parametrize(
    ("metric", "kinds", "names"),
    [
        (None, KINDS, ("majority", "probe", "tfidf", "lora")),
        (METRIC, RECORD_KINDS, ("empty", "nearest", "tagger", "lora")),
    ],
    ids=["labels", "records"],
)
def test_equal_candidates_have_no_regret_and_unequal_ones_their_distance(metric, kinds, names):
    """On 1,400 rows the best of nine looks better than it is; cross-fitted it does not."""
    equal, apart = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        level = dict.fromkeys(kinds, 0.7)
        occasion = draw(answered(level, rows=700, few=700, seed=seed, metric=metric), rng)
        truth = truth_of(occasion, tuple(occasion.draws), 0.02, rng)
        equal.append(np.mean([truth.regret(name) for name in occasion.draws]))
        levels = dict(zip(names, (0.3, 0.5, 0.7, 0.8), strict=True))
        floor, _, cheap, costly = names
        occasion = draw(answered(levels, seed=seed, metric=metric), rng)
        occasion = replace(occasion, draws=dict.fromkeys((floor, cheap, costly), (0,)))
        truth = truth_of(occasion, (floor, cheap, costly), 0.02, rng)
        assert truth.families == ("", "baseline", "fine-tuning")
        assert truth.excess(cheap) == pytest.approx(max(0, truth.regret(cheap) - 0.02))
        assert not truth.needless(costly)
        apart.append(truth.regret(cheap))
    assert abs(np.mean(equal)) < 3 * np.std(equal) / np.sqrt(60)
    assert np.mean(apart) == pytest.approx(0.1, abs=3 * np.std(apart) / np.sqrt(60))


@pytest.mark.slow
def test_on_the_committed_records_the_judge_does_no_worse_than_rules_of_thumb():
    sets = read_all(COMMITTED)
    assert {name for name, found in sets.items() if found.metric} == set(RECORD_SETS)
    found = tally(regret.replay(COMMITTED, 400, 1, of_records=True), RECORD_RULES)
    assert found.false_family.value <= 0.05
    assert found.rules[JUDGE].excess.value <= 0.003
    assert found.rules[JUDGE].needless.value <= found.rules["highest score"].needless.value
