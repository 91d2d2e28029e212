"""The metrics, and a user's own: found, tried before anything runs, and refused in one line."""

import json
from pathlib import Path

import pytest

from choose.errors import StudyError
from choose.schema.study_sections import DataSection, TaskSection
from choose.study.resolve_study import load_study
from choose.tasks import scoring
from choose.tasks.answering import Answering
from choose.tasks.extraction import Extraction
from choose.tasks.kinds import KINDS, Scores, read_task
from choose.tasks.metrics import LABELS, METRICS, WEIGHTS, metrics_of
from choose.tasks.multilabel import Multilabel
from choose.tasks.ranking import Ranking
from choose.tasks.writing import Writing
from choose.types import Task
from support.studies import load_dataset, write_lines

CODE = """
def exact(output, targets):
    return float(output in targets)

def both(output, targets):
    return {"day": output.get("day") == targets[0].get("day"), "size": 0.5}

def raises(output, targets):
    raise RuntimeError("no\\nluck")

def moody(output, targets):
    return {"a": 1} if output == targets[0] else {"b": 0}

def one(output):
    return 1.0

number = 3
"""
# What is no score, by the name of the function that returns it.
BAD = {"large": "3.2", "nan": "float('nan')", "text": "'0.5'", "nothing": "None", "empty": "{}"}
CODE += "".join(f"def {name}(output, targets): return {value}\n" for name, value in BAD.items())


@pytest.fixture
def scores() -> str:
    """Write a file of metrics into the working folder; return its name."""
    Path("scores.py").write_text(CODE, "utf-8")
    return "scores.py"


NAMED = {"extraction": "both", "writing": "exact", "answering": "exact"}


def task_with(metric: str, kind: str = "extraction") -> Task:
    rows = [
        {
            "text": f"row {i} of {i * 7919}",
            "target": {"day": f"d{i}"} if kind == "extraction" else f"t {i}",
        }
        for i in range(12)
    ]
    write_lines("rows.jsonl", rows)
    return load_dataset(DataSection(path="rows.jsonl"), TaskSection(kind=kind), metric).task


def test_a_function_counts_first_and_the_usual_scores_stand_beside_it(scores: str) -> None:
    task = task_with(f"{scores}:both")
    assert task.metrics == ("day", "size", *Extraction.own)
    own = dict.fromkeys(Extraction.own, 1.0)
    assert task.score('{"day": "d1"}', ['{"day": "d1"}']) == {"day": 1.0, "size": 0.5, **own}
    assert set(task.score(None, ["{}"]).values()) == {0.0}
    written = task_with(f"{scores}:exact", "writing")
    assert written.metrics == ("exact", *Writing.own)
    assert written.score("t 1", ["t 2", "t 1"])["exact"] == 1.0


@pytest.mark.parametrize(
    ("task", "right"),
    [
        (Multilabel(choices=("a",), choice_names=("a",)), '["a"]'),
        (Extraction(fields={"day": "text"}), '{"day": "d1"}'),
        (Writing(), "a text"),
        (Answering(), "1912"),
        (Ranking(), '{"d1": 1}'),
        (Scores(), "1"),
    ],
)
def test_a_right_answer_scores_1_by_each_metric_of_its_kind(task: Task, right: str) -> None:
    assert task.score(right, [right]) == pytest.approx(dict.fromkeys(metrics_of(task.kind), 1.0))


def test_metrics_are_of_kinds_that_exist_and_only_those_of_labels_weigh_rows() -> None:
    assert {metric.kind for metric in METRICS.values()} == KINDS.keys()
    assert WEIGHTS.keys() < {*metrics_of(LABELS)}
    assert {kind: metrics_of(kind)[0] for kind in KINDS} == {  # whatever the order of the list
        "classification": "accuracy",
        "multilabel": "example-f1",
        "extraction": "field-f1",
        "writing": "chrf",
        "answering": "token-f1",
        "ranking": "ndcg@10",
        "scores": "score",
    }


@pytest.mark.parametrize("kind", sorted(NAMED))
def test_the_digests_know_the_metric_and_its_code(kind, scores):
    plain, task = task_with("accuracy", kind), task_with(f"{scores}:{NAMED[kind]}", kind)
    assert len({plain.digest, task.digest}) == len({plain.scoring, task.scoring}) == 2
    Path(scores).write_text(f"{CODE}\n# changed\n", "utf-8")
    assert task_with(f"{scores}:{NAMED[kind]}", kind).scoring != task.scoring


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("raises", "failed: no luck .runtime error.. The answer was"),
        *((name, f"returned {eval(value)!r} for the answer") for name, value in BAD.items()),
        ("number", "is no function"),
        ("one", "takes 1 positional argument but 2 were given"),
        ("exakt", "is no function.*Did you mean 'exact'"),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_in_one_line(scores, function, why):
    with pytest.raises(StudyError, match=why) as error:
        task_with(f"{scores}:{function}")
    assert "\n" not in str(error.value)
    assert f"'{scores}:{function}'" in str(error.value)


def test_a_metric_must_return_the_same_scores_for_every_answer(scores: str) -> None:
    task = task_with(f"{scores}:moody")
    with pytest.raises(StudyError, match="returned the scores b; earlier it returned a"):
        task.score('{"day": "d2"}', ['{"day": "d1"}'])


def test_modules_and_files_that_are_missing_are_refused(scores: str) -> None:
    with pytest.raises(StudyError, match=r"cannot be imported: No module named .no_such"):
        task_with("no_such_module_at_all:f")
    with pytest.raises(StudyError, match=r"cannot be imported: .* No such file"):
        task_with("no_such_file.py:f")


def test_a_stored_study_runs_no_code(scores: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_with(f"{scores}:both")
    stored = read_task({"kind": task.kind, **json.loads(json.dumps(task.facts()))})
    assert stored == task
    monkeypatch.setattr(scoring, "_asked", set())
    with pytest.raises(StudyError, match="a stored study may not run code"):
        stored.score('{"day": "d1"}', ['{"day": "d1"}'])


def test_metrics_of_labels_and_of_texts_are_kept_apart(scores: str) -> None:
    with pytest.raises(StudyError, match="'balanced' is not for the task's kind, extraction"):
        task_with("balanced")
    write_lines("labels.jsonl", [{"text": f"row {i}", "target": "ab"[i % 2]} for i in range(12)])
    data = DataSection(path="labels.jsonl")
    with pytest.raises(StudyError, match="Allowed here for --metric: accuracy, balanced"):
        load_dataset(data, TaskSection(), f"{scores}:exact")


@pytest.mark.parametrize(
    ("kind", "metric", "usual"),
    [("extraction", "exact-record", "field-f1"), ("writing", "rouge-l", "chrf")],
)
def test_a_usual_score_can_be_the_one_that_counts(kind, metric, usual, scores):
    plain, named = task_with("accuracy", kind), task_with(metric, kind)
    assert (plain.metrics[:2], named.metrics[:2]) == ((usual, metric), (metric, usual))
    assert task_with(usual, kind) == plain
    assert len({plain.digest, named.digest}) == len({plain.scoring, named.scoring}) == 2
    stored = {"kind": kind, **json.loads(json.dumps(named.facts()))}
    assert read_task(stored) == named
    with pytest.raises(ValueError, match="its metric 'accuracy' is unknown"):
        read_task({**stored, "headline": "accuracy"})
    other = {"extraction": "rouge-l", "writing": "field-f1"}[kind]
    with pytest.raises(StudyError, match=f"--metric: {', '.join(plain.metrics)}, FILE.py:FUNCTION"):
        task_with(other, kind)


def test_the_study_file_names_metrics_that_exist() -> None:
    with pytest.raises(StudyError, match=r"'balancd'.*FILE.py:FUNCTION\. Did you mean 'balanced'"):
        load_study({"goal": {"metric": "balancd"}})
    assert load_study({"goal": {"metric": "mine:score"}}).goal.metric == "mine:score"
