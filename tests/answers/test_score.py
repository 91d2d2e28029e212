"""Answers that exist are judged: columns, families, draws, spellings, groups, prices, joins."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import choose
from choose.answers.files import read_answers
from choose.answers.given import given_runs, read_set
from choose.api.plan import resolve
from choose.errors import ChooseError, DataError, StudyError
from choose.report.words import typed
from choose.store.store import Store
from support.commands import run_command

LABELS = ("billing", "account access", "Shipping_Delay")


def rows(n: int = 200, **shares: float) -> pl.DataFrame:
    """Return a table with a right answer and a column a candidate that gets this share right."""
    rng = np.random.default_rng(7)
    gold = rng.choice(LABELS, n)
    columns = {}
    for name, share in shares.items():
        other = np.array([rng.choice([x for x in LABELS if x != g]) for g in gold])
        columns[name.replace("_", "-")] = np.where(rng.random(n) < share, gold, other)
    ids = [f"q{i}" for i in range(n)]
    texts = [f"question number {i} of {i * 7919 % 1000}" for i in range(n)]
    return pl.DataFrame({"id": ids, "text": texts, "label": gold, **columns})


def judged(tmp_path: Path, data: Any, **settings: Any) -> choose.Decision:
    return choose.score(data, out=tmp_path / "study", progress=False, **settings)


def accuracies(decision: choose.Decision) -> dict[str, float]:
    return {s.candidate: round(s.accuracy.value, 4) for s in decision.scorecards if s.accuracy}


def share_right(table: pl.DataFrame, column: str) -> float:
    return round(float((table[column] == table["label"]).mean()), 4)


def test_columns_are_found_and_families_guessed_and_said(tmp_path: Path) -> None:
    table = rows(gpt_4o=0.9, ft_bert=0.8, svm=0.6)
    table = table.with_columns(reason=pl.lit("It says billing, so it is about billing and money."))
    decision = judged(tmp_path, table)
    assert accuracies(decision) == {n: share_right(table, n) for n in ("gpt-4o", "ft-bert", "svm")}
    families = {s.candidate: s.family for s in decision.scorecards}
    assert families == {"gpt-4o": "prompting", "ft-bert": "fine-tuning", "svm": "baseline"}
    assert any("gpt-4o prompting" in said for said in decision.dataset.findings)


def test_spellings_of_labels_are_matched_and_the_rest_is_listed(tmp_path: Path) -> None:
    table = rows(100, claude=1.0, mine=1.0)
    spelt = [
        {
            "billing": "Billing",
            "account access": "account_access",
            "Shipping_Delay": "shipping delay",
        }[x]
        for x in table["claude"]
    ]
    spelt[:3] = ["no idea", "no idea", ""]
    decision = judged(tmp_path, table.with_columns(claude=pl.Series(spelt)))
    assert accuracies(decision)["claude"] == 0.97
    said = " ".join(decision.dataset.findings)
    assert "2 of 99 answers of claude are none of the task" in said
    assert "'no idea' (2 times)" in said
    assert "claude gave no answer to 1 rows" in said


def test_repeated_draws_are_repetitions(tmp_path: Path) -> None:
    table = rows(150, a=0.8, b=0.7, c=0.9)
    given = table.select("id", "text", "label", "c").with_columns(
        **{"gpt#1": table["a"], "gpt#2": table["b"]}
    )
    decision = judged(tmp_path, given)
    mean = (share_right(table, "a") + share_right(table, "b")) / 2
    assert accuracies(decision)["gpt"] == pytest.approx(mean, abs=1e-3)
    assert next(c for c in decision.scorecards if c.candidate == "gpt").accuracy is not None
    assert decision.dataset.test_rows == 150


def test_rows_of_a_group_make_one_cluster(tmp_path: Path) -> None:
    rows(40, gpt=0.9).with_columns(database=pl.Series(range(40)) // 4).write_csv("a.csv")
    found = read_set(resolve("a.csv", None, {"data": {"group_column": "database"}}))
    assert len({*found.dataset.clusters.values()}) == 10


@pytest.mark.parametrize(
    ("asked", "common"),
    [(range(30), 30), (range(70), 70), (range(40, 100), 60), (range(0, 100, 3), 34)],
)
def test_rows_that_were_not_asked_are_not_compared(tmp_path, asked, common):
    table = rows(100, gpt=0.9, claude=0.8)
    cut = [c if i in asked else None for i, c in enumerate(table["claude"])]
    decision = judged(tmp_path, table.with_columns(claude=pl.Series(cut, dtype=pl.String)))
    assert next(s for s in decision.scorecards if s.candidate == "claude").common == common
    assert any(f"claude answered {common} of 100 rows" in one for one in decision.dataset.findings)
    assert not [s for s in decision.verdict.steps if s.command and s.command.verb == "compare"]


def test_sets_of_labels_may_have_a_separator(tmp_path: Path) -> None:
    sets = ["red;blue", "red", "blue;green", "green"] * 15
    table = pl.DataFrame({"id": range(60), "label": sets, "gpt": [s.title() for s in sets]})
    table = table.with_columns(ft=pl.Series(["blue, red" if "red" in s else s for s in sets]))
    found = accuracies(judged(tmp_path, table, kind="multilabel"))
    assert found["gpt"] == 1.0
    assert 0.7 < found["ft"] < 1.0


def test_prices_order_candidates_and_are_shown(tmp_path: Path) -> None:
    table = rows(400, gpt4=0.9, mine=0.9)
    decision = judged(
        tmp_path, table, answers=["gpt4=2.50/1k", "mine=0.10/1k"], family={"mine": "fine-tuning"}
    )
    costs = {s.candidate: s.cost.usd_per_1k for s in decision.scorecards}
    assert costs == {"gpt4": 2.5, "mine": pytest.approx(0.1)}
    unpriced = judged(tmp_path / "unpriced", rows(400, gpt4=0.9, claude=0.88))
    assert {s.cost.usd_per_1k for s in unpriced.scorecards} == {None}


def test_files_are_joined_by_id_or_text(tmp_path: Path) -> None:
    table = rows(120, gpt=0.9, claude=0.7)
    by_id = tmp_path / "gpt.jsonl"
    lines = [{"id": i, "output": a} for i, a in zip(table["id"], table["gpt"], strict=True)]
    by_id.write_text("\n".join(json.dumps(line) for line in reversed(lines)))
    by_text = tmp_path / "claude.csv"
    table.select("text", prediction="claude").head(100).write_csv(by_text)
    gold = tmp_path / "gold.csv"
    table.select("id", "text", "label").write_csv(gold)
    decision = judged(tmp_path, gold, answers=[f"gpt={by_id}", f"claude={by_text}"])
    assert accuracies(decision)["gpt"] == share_right(table, "gpt")
    beside = judged(tmp_path / "b", table.drop("claude"), answers=["gpt", f"claude={by_text}"])
    assert accuracies(beside) == accuracies(decision)
    assert next(s for s in decision.scorecards if s.candidate == "claude").common == 100


def test_scores_come_in_without_answers(tmp_path: Path) -> None:
    base = np.random.default_rng(3).random(200) * 0.5
    table = pl.DataFrame({"id": range(200), "rag": base + 0.3, "gpt": base + 0.1})
    decision = judged(tmp_path, table, scores=True)
    assert decision.best == "rag"
    assert accuracies(decision)["rag"] == pytest.approx(float((base + 0.3).mean()), abs=1e-3)


def test_records_are_scored_by_their_own_metric(tmp_path: Path) -> None:
    gold = [{"city": "Bern", "year": 1990 + i} for i in range(40)]
    half = [{"city": "Bern", "year": 1800} for _ in range(40)]
    table = pl.DataFrame(
        {
            "id": range(40),
            "label": [json.dumps(g) for g in gold],
            "gpt": [json.dumps(g) for g in gold],
            "llama": [json.dumps(h) for h in half],
        }
    )
    assert accuracies(judged(tmp_path, table)) == {"gpt": 1.0, "llama": 0.5}


def test_the_store_is_a_study_like_any_other(tmp_path: Path) -> None:
    decision = judged(tmp_path, rows(200, gpt=0.9, llama=0.6))
    assert choose.read(decision.store).verdict == decision.verdict
    assert {trial.strategy for trial in Store.open(decision.store).grid()[1]} == {"given"}
    assert decision.rows().columns == ["id", "text", "label", "gpt", "llama"]
    assert "gpt" in decision.to_html()
    with pytest.raises(StudyError, match="has the answers alone, which cannot be exported"):
        decision.export(tmp_path / "export")


def test_a_baseline_runs_beside_them_on_the_same_rows(tmp_path: Path) -> None:
    words = {"billing": "invoice", "account access": "password", "Shipping_Delay": "parcel"}
    table = rows(120, gpt=0.6)
    texts = [f"about my {words[x]} case {i}" for i, x in enumerate(table["label"])]
    decision = judged(tmp_path, table.with_columns(text=pl.Series(texts)), baseline=True)
    found = accuracies(decision)
    assert found["tfidf"] > 0.9
    assert found["gpt"] == share_right(table, "gpt")
    assert decision.left_out == ()  # strategies for other kinds of task are not tried


BAD: dict[str, tuple[pl.DataFrame, dict[str, Any], type[ChooseError], str]] = {
    "no gold": (
        rows(20, gpt=0.9).drop("label"), {}, DataError, "gold='gpt' measures agreement with gpt",
    ),
    "unknown gold": (rows(20, gpt=0.9), {"gold": "lable"}, DataError, "Did you mean 'label'"),
    "no gold, but scores": (
        rows(20).select("id", gpt=pl.lit("0.25")), {}, DataError, "add scores=",
    ),
    "scores above 1": (
        pl.DataFrame({"id": [1, 2], "gpt": ["3", "5"]}), {"scores": True}, DataError,
        "holds numbers from 0 to 1",
    ),
    "no answers": (rows(20), {}, DataError, "There is no other column"),
    "unknown answers": (rows(20, gpt=0.9), {"answers": "gtp"}, DataError, "Did you mean 'gpt'"),
    "duplicate ids": (
        pl.concat([rows(20, gpt=0.9), rows(1, gpt=1.0)]), {}, DataError, "stands in rows 1 and 21",
    ),
    "price": (rows(20, gpt=0.9), {"answers": "gpt=.50/1k"}, StudyError, "without a $"),
    "endless price": (
        rows(20, gpt=0.9), {"answers": f"gpt={'9' * 320}/1k"}, StudyError, "neither a file nor a",
    ),
    "family": (rows(20, gpt=0.9), {"family": {"gpt": "tuning"}}, StudyError, "fine-tuning"),
    "other rows": (rows(20, gpt=0.9), {"family": {"gtp": "baseline"}}, StudyError, "'gpt'"),
    "empty gold": (
        rows(20, gpt=0.9).with_columns(label=pl.lit("")), {}, DataError, "has a right answer",
    ),
    "no texts": (
        rows(20, gpt=0.9).drop("text"), {"baseline": True}, StudyError, "learns from texts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line(refusal, tmp_path: Path, case: str) -> None:
    table, settings, error, said = BAD[case]
    assert said in refusal(error, judged, tmp_path, table, **settings)
    assert not (tmp_path / "study").exists()


def test_agreement_is_called_agreement(tmp_path: Path) -> None:
    decision = judged(tmp_path, rows(50, gpt=0.9, claude=0.8).drop("label"), gold="gpt")
    assert [c.names for c in decision.verdict.caveats if c.code == "agreement"] == [
        ("gpt", "claude")
    ]


def test_gates_and_volume_work_on_the_command_line():
    rows(200, gpt=0.9, mine=0.6).write_csv("answers.csv")
    told = ["--answers", "gpt=2.5/1k,mine=0.1/1k", "--volume", "200000/month"]
    for _ in range(2):  # the same command goes on
        met = run_command("score", "answers.csv", *told, "--fail-under", "0.8", "--json")
        assert met.code == 0, met.err
    assert json.loads(met.out)["goal"]["volume"] == 200_000
    assert run_command("score", "answers.csv", "--fail-under", "0.99").code == 3


def test_answers_stand_beside_candidates_that_run(tmp_path: Path) -> None:
    table = rows(160, gpt=0.9, mine=0.7)
    train, test = table.head(80), table.tail(80)
    test.select("text", "gpt", "mine").write_csv(tmp_path / "gpt.csv")
    settings = {"answers": str(tmp_path / "gpt.csv"), "family": {"mine": "fine-tuning"}}
    decision = choose.compare(
        train.select("text", "label"),
        test=test.select("text", "label"),
        strategies=["tfidf"],
        quick=True,
        out=tmp_path / "study",
        progress=False,
        **settings,
    )
    found = accuracies(decision)
    assert found["gpt"] == share_right(test, "gpt")
    assert found["mine"] == share_right(test, "mine")
    assert {s.rows for s in decision.scorecards} == {50, 80}, "two rounds, and answers there are"
    assert {"tfidf", "majority"} < found.keys()


def test_what_to_do_next_can_be_typed(tmp_path: Path) -> None:
    table = rows(200, gpt=0.9, mine=0.6)
    table.write_csv("answers.csv")
    [step] = judged(tmp_path, "answers.csv").verdict.steps
    assert typed(step.command) == "choose score -c study --baseline"
    call = [*typed(step.command).split()[1:], "--out", "beside", "--min-chance", "0.5"]
    assert run_command(*call).code == 0
    assert {*accuracies(choose.read("beside"))} == {"gpt", "mine", "tfidf", "majority"}
    with pytest.raises(StudyError, match="learns from right answers"):
        choose.score(table.select("id", gpt=pl.lit("1")), scores=True, baseline=True)


WRITTEN = Path(__file__).parent / "written"
GOLD = {"r0": "positive", "r1": "negative", "r2": "positive", "r3": "positive", "r4": "negative"}


def written(tool: str) -> str:
    [path] = WRITTEN.glob(f"{tool}*")
    return str(path)


def cells(path: str, **settings: Any) -> dict[str, dict[str, str | None]]:
    file = read_answers(path, **settings)
    ids = file.table["id"].to_list()
    return {
        column: {
            id: file.table[column][i]
            for i, id in enumerate(ids)
            if told[i] is not None and not told[i].failed
        }
        for column, told in file.told.items()
    }


def test_promptfoo_gives_candidates_repeats_costs_and_times() -> None:
    file = read_answers(written("promptfoo"))
    assert tuple(file.told) == ("gpt-4o-mini#0", "gpt-4o-mini#1", "my-lora#0", "my-lora#1")
    assert file.table["label"].to_list() == list(GOLD.values())
    found = cells(written("promptfoo"))
    assert [*found["gpt-4o-mini#0"].values()][1] == "Negative"
    assert [*found["gpt-4o-mini#0"].values()][3] == "I would say it depends"
    assert len(found["my-lora#1"]) == 4  # a request failed
    first = file.told["gpt-4o-mini#0"]
    assert [(one.usd, one.tokens_in) for one in first] == [(0.00002, 24)] * 5
    assert all(0 < one.seconds < 60 for one in first)
    assert "2 requests failed" in file.notes[0]


def test_promptfoo_scores_come_with_a_flag() -> None:
    found = cells(written("promptfoo"), scores=True)
    assert [*found["gpt-4o-mini#0"].values()] == ["1", "1", "1", "0", "1"]


@pytest.mark.parametrize(
    ("form", "draws"), [("json", ("gpt-4o-mini",)), ("eval", ("my-lora#0", "my-lora#1"))]
)
def test_inspect_logs_give_epochs_as_draws(form: str, draws: tuple[str, ...]) -> None:
    file = read_answers(written(f"inspect*.{form}"))
    assert tuple(file.told) == draws
    assert dict(zip(file.table["id"], file.table["label"], strict=True)) == GOLD
    assert file.table["text"][1] == "The parcel arrived late again"
    found = cells(file.path)
    assert found[draws[0]]["r0"] == "positive"
    assert ("r4" in found[draws[0]]) is (form == "json")  # a sample with an error has no answer
    assert file.told[draws[0]][0].tokens_in == 24


def test_lm_eval_samples_give_generated_answers_and_choices() -> None:
    generated = cells(written("lm-eval-generate*/*/samples"))
    assert generated == {"my-lora": dict.fromkeys("01234", "lol")}
    path = written("lm-eval-choice*/*/samples")
    chosen = read_answers(path)
    assert chosen.table["label"].to_list() == list(GOLD.values())
    right = (chosen.table["my-lora"] == chosen.table["label"]).to_list()
    lines = map(json.loads, Path(path).read_text("utf-8").splitlines())
    assert right == [line["acc"] == 1 for line in lines]


def test_batch_outputs_join_by_their_ids(tmp_path: Path) -> None:
    decision = choose.score(
        written("questions"),
        answers=[f"gpt={written('openai')}", f"claude={written('anthropic')}"],
        out=tmp_path / "study",
        progress=False,
    )
    common = {s.candidate: s.rows for s in decision.scorecards}
    assert common == {"gpt": 4, "claude": 4}  # one failed, one expired
    found = {s.candidate: s.accuracy.value for s in decision.scorecards if s.accuracy}
    assert found == {"gpt": 1.0, "claude": 1.0}


def test_a_file_of_each_tool_is_judged_in_one_call(tmp_path: Path) -> None:
    for number, tool in enumerate(("promptfoo", "inspect*.json", "inspect*.eval")):
        decision = choose.score(written(tool), out=tmp_path / str(number), progress=False)
        assert decision.dataset.test_rows == 5
        assert all(s.accuracy and s.accuracy.value >= 0.75 for s in decision.scorecards)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of JSON; of a list to its first two."""
    for key in list(value) if isinstance(value, dict) else range(min(len(value), 2)):
        yield (*place, key)
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*place, key))


TOOLS = ("promptfoo", "inspect*.json", "lm-eval-ch*/*/s", "lm-eval-g*/*/s", "openai", "anthropic")
OTHER = (None, -1, True, "x", [], {}, [1], {"a": 1}, 10**400, "\ud800")


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_of_another_form_is_read_or_refused(tool: str, tmp_path: Path) -> None:
    """Each value of a record was exchanged for others; 6 % of 13,335 were an error of ours."""
    text = Path(written(tool)).read_text("utf-8")
    first, *rest = [text] if text.startswith("{\n") else text.splitlines()
    file = tmp_path / Path(written(tool)).name
    for number, place in enumerate(places(json.loads(first))):
        changed = part = json.loads(first)
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = OTHER[number % len(OTHER)]
        file.write_text("\n".join([json.dumps(changed), *rest]), "utf-8")
        with suppress(ChooseError):
            found = read_set(resolve(str(file)))
            given_runs(found.given, found.dataset)


@pytest.mark.parametrize("tool", ["lm-eval-g*/*/s", "openai"])
@pytest.mark.parametrize("line", ['{"custom_id": "b', "[" * 50_000, "7"])
def test_a_line_that_is_no_object_is_named(tool: str, line: str, tmp_path: Path) -> None:
    whole = Path(written(tool)).read_text("utf-8").splitlines()
    (tmp_path / "a.jsonl").write_text("\n".join([*whole, "", line]), "utf-8")
    with pytest.raises(DataError, match=f"Line {len(whole) + 2} of .* was cut off or edited"):
        read_answers(str(tmp_path / "a.jsonl"))


def test_a_name_of_a_candidate_takes_the_place_of_no_column(tmp_path: Path) -> None:
    log = json.loads(Path(written("inspect*.json")).read_text("utf-8"))
    for name in ("label", ""):
        log["eval"]["model"] = name
        (tmp_path / "log.json").write_text(json.dumps(log))
        [column] = read_answers(str(tmp_path / "log.json")).told
        assert column == f"{name} answers".strip()


def test_a_log_that_is_none_is_refused(refusal, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "broken.eval").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(DataError, match="cannot be read as a log of inspect"):
        read_answers(str(tmp_path / "broken.eval"))
    log = json.loads(Path(written("inspect*.json")).read_text("utf-8"))
    for sample in log["samples"]:
        sample["error"] = {"message": "429"}
    (tmp_path / "failed.json").write_text(json.dumps(log))
    assert "every request failed" in refusal(DataError, read_answers, str(tmp_path / "failed.json"))
    monkeypatch.setattr("choose.answers.files.LARGEST", 100_000)
    assert "unpacks to more than" in refusal(DataError, read_answers, written("inspect*.eval"))
