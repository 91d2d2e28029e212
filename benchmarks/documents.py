"""How well candidates answer questions from documents: with what they find, and under controls.

    python benchmarks/documents.py FOLDER [--rows 400] [--test 394] [--seeds 3]
        [--candidates rag lora-rag ...] [--set lora-rag.epochs=3 ...] [--retrievers]

FOLDER has passages.jsonl (id, title, text), questions.jsonl (id, question, answers, evidence),
train_ids.txt and test_ids.txt, divided by document. Each seed draws its own rows to learn from; the
test questions are the same. Printed for each candidate are means over the seeds: token F1 and exact
match with what it retrieves (found), without a passage, with the right one and with it before
others, the share of questions whose first passage is the right one, and seconds of a fit and of
1,000 answers from what is found. What a candidate chose is written to the standard error.

With --retrievers no question is answered. Printed are hit@k, MRR and nDCG on the test questions of
BM25, of MiniLM, of both, and of both after MiniLM was tuned, with the seconds of tuning.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from choose.corpus import CONDITIONS
from choose.data.dataset import load_dataset
from choose.judge.measures.retrieval_quality import retrieval_quality
from choose.models.environment_settings import cores
from choose.models.retrieval.passage_search import given
from choose.schema.sections import DataSection, TaskSection
from choose.strategy import Prepares, Reports, build, kind_settings
from choose.tasks.answering import corpus_of
from choose.types import Answers, Example, Task
from extraction import _value
from machine import machine

COLUMNS = (
    *(f"{name} {score}" for name in ("found", "none", "right", "others") for score in ("F1", "EM")),
    "hit@1",
    "fit s",
    "1,000 s",
)


def main() -> None:
    """Print a line a candidate."""
    choice = _options()
    settings: dict[str, dict[str, Any]] = {}
    for text in choice.set:
        name, value = text.split("=", 1)
        candidate, setting = name.split(".", 1)
        settings.setdefault(candidate, {})[setting] = _value(value)
    task, train, test = _read(choice.folder)
    random.Random(5).shuffle(test)
    test = test[: choice.test]
    print(machine(cores()))
    print(
        f"{choice.folder.name}: {choice.rows} questions to learn from, {len(test)} to answer, "
        f"{choice.seeds} seeds; {' '.join(choice.set)}"
    )
    if choice.retrievers:
        _print_retrievers(task, train, test, choice)
        return
    print(f"{'':10}{''.join(f'{name:>10}' for name in COLUMNS)}")
    for name in choice.candidates:
        figures = []
        for seed in range(choice.seeds):
            pool = random.Random(seed).sample(train, min(choice.rows, len(train)))
            figures.append(_figures(name, settings.get(name, {}), task, pool, test, seed))
            print(f"{name} {seed}: {figures[-1]}", file=sys.stderr, flush=True)
        means = [fmean(one[column] for one in figures) for column in COLUMNS]
        shown = "".join(
            f"{x:10.1f}" if column.endswith(" s") else f"{x:10.3f}"
            for column, x in zip(COLUMNS, means, strict=True)
        )
        print(f"{name:10}{shown}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--candidates", nargs="+", default=["sentence", "rag", "lora-rag"])
    parser.add_argument("--set", nargs="*", default=[], help="CANDIDATE.SETTING=VALUE")
    parser.add_argument("--retrievers", action="store_true")
    return parser.parse_args()


def _print_retrievers(
    task: Task, train: list[Example], test: list[Example], choice: argparse.Namespace
) -> None:
    """Print a line for each retriever, means over the seeds for the tuned one."""
    from choose.models.retrieval.passage_library import Library, library_for
    from choose.models.retrieval.passage_search import WAYS
    from choose.models.weights.spec import DEFAULT_ENCODER
    from choose_tuned_retriever import TunedRetriever

    def quality(library: Library) -> dict[str, float]:
        found = library.search([row.item() for row in test], 10)
        shown = [[passage.id for passage in some] for some in found]
        means = retrieval_quality(shown, [row.evidence for row in test]).means
        return {name: means[name] or 0.0 for name in measures}

    def line(name: str, figures: dict[str, float], seconds: float) -> None:
        print(
            f"{name:24}{''.join(f'{x:10.3f}' for x in figures.values())}{seconds:10.1f}", flush=True
        )

    measures = ("hit@1", "hit@5", "hit@10", "mrr@10", "ndcg@10")
    print(f"{'':24}{''.join(f'{name:>10}' for name in (*measures, 'fit s'))}")
    for way in WAYS:
        start = perf_counter()
        library = library_for(task, train, way, encoder=DEFAULT_ENCODER)
        line(way, quality(library), perf_counter() - start)
    tuned, spent = [], []
    for seed in range(choice.seeds):
        pool = random.Random(seed).sample(train, min(choice.rows, len(train)))
        strategy, start = TunedRetriever(seed=seed, calibrate=False), perf_counter()
        strategy.prepare()
        strategy.fit(task, pool)
        spent.append(perf_counter() - start)
        tuned.append(quality(strategy.library))
        print(f"{seed}: {tuned[-1]} {strategy.tuning}", file=sys.stderr, flush=True)
    means = {name: fmean(one[name] for one in tuned) for name in measures}
    line("tuned-retriever", means, fmean(spent))


def _read(folder: Path) -> tuple[Task, list[Example], list[Example]]:
    """Return the task with its documents, and the questions of either part with their evidence."""
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["id"]: row for row in map(json.loads, lines)}
    wanted = ("id", "question", "answers", "evidence")
    with TemporaryDirectory() as place:
        files = {part: Path(place) / f"{part}.jsonl" for part in ("train", "test")}
        for part, file in files.items():
            ids = (folder / f"{part}_ids.txt").read_text().split()
            kept = ({key: rows[id][key] for key in wanted} for id in ids)
            file.write_text("\n".join(map(json.dumps, kept)), encoding="utf-8")
        section = DataSection(
            path=str(files["train"]),
            test=str(files["test"]),
            documents=str(folder / "passages.jsonl"),
        )
        dataset = load_dataset(section, TaskSection())
    [fold] = dataset.folds
    parts = [[dataset.examples[id] for id in ids] for ids in (fold.pool, fold.questions)]
    return dataset.task, parts[0], parts[1]


def _figures(
    name: str,
    settings: dict[str, Any],
    task: Task,
    pool: list[Example],
    test: list[Example],
    seed: int,
) -> dict[str, float]:
    corpus = corpus_of(task)
    assert corpus is not None
    strategy = build(name, seed=seed, **{**kind_settings(name, task.kind), **settings})
    if isinstance(strategy, Prepares):
        strategy.prepare()
    start = perf_counter()
    strategy.fit(task, pool)
    fitted = perf_counter()
    answers = strategy.predict([row.item() for row in test])
    ended = perf_counter()
    by_name = {"found": answers}
    for control, short in zip(CONDITIONS, ("none", "right", "others"), strict=True):
        by_name[short] = strategy.predict(given(control, test, corpus))
    scores: dict[str, float] = {}
    for short, some in by_name.items():
        scores |= {f"{short} {key}": value for key, value in _scores(task, some, test).items()}
    evidence = [row.evidence for row in test]
    reads = getattr(strategy, "reads", False) and answers.evidence is not None
    shown = answers.evidence if reads and answers.evidence else ((),) * len(test)
    hits = retrieval_quality(shown, evidence).means["hit@1"]
    if isinstance(strategy, Reports):
        print(f"{name} {seed}: {strategy.facts().get('notes')}", file=sys.stderr, flush=True)
    return {
        **scores,
        "hit@1": hits or 0.0,
        "fit s": fitted - start,
        "1,000 s": 1000 * (ended - fitted) / len(test),
    }


def _scores(task: Task, answers: Answers, rows: list[Example]) -> dict[str, float]:
    pairs = zip(answers.outputs, rows, strict=True)
    found = [task.score(output, row.targets) for output, row in pairs]
    return {
        "F1": fmean(score["token-f1"] for score in found),
        "EM": fmean(score["exact-match"] for score in found),
    }


if __name__ == "__main__":
    main()
