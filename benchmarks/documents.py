"""How well candidates answer questions from documents, how fast, and what retrieval takes.

    python benchmarks/documents.py [FOLDER] [--other FOLDER] [--part PART ...] [--keep FILE]
        [--quick] [--rows 400] [--test 394] [--seeds 3]
        [--candidates rag lora-rag ...] [--set lora-rag.epochs=3 ...]

FOLDER has passages.jsonl (id, title, text), questions.jsonl (id, question, answers, evidence),
train_ids.txt and test_ids.txt, divided by document. The parts, in this order:

conditions   300 questions under four conditions (what is retrieved, nothing, the right passage, the
             right one before others), prompts of what is retrieved about 600 tokens long
search       BM25 on 10,000 and 100,000 made passages: seconds, memory, milliseconds a question
candidates   token F1 and exact match of candidates. Each seed draws its own rows to learn from; the
             test questions are the same. With what is retrieved (found), with the right passage
             (right), and with --controls all without a passage and with others too
meaning      10,000 passages by meaning and by both
retrievers   hit@k of BM25, of MiniLM, of both, and of both after MiniLM was tuned,
             with the seconds of tuning (only if named)
update       facts of 40 made documents change after training: which answers give the new one, and
             which the old one, without training again (only if named)
bands        sample:handbook, each question once, out of two folds: the prompt and the adapter with
             the right passage and with what is found, on the same rows (only if named)

The last two need no FOLDER. With --keep what was measured is kept in a file, and not measured again
by the next run.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from choose.corpus import (
    CONDITIONS,
    GOLD,
    Corpus,
    Document,
    Span,
    holds,
    reciprocal_rank,
)
from choose.data.dataset import dataset_from, read_rows
from choose.engines.environment_settings import cores
from choose.engines.weights.spec import DEFAULT_LM
from choose.judge.diagnosis.documents import GIVEN
from choose.models.retrieval.passage_search import given
from choose.schema.study_sections import DataSection, TaskSection
from choose.strategy import Prepares, Reports, Rereads, build, kind_settings
from choose.tasks.answering import Answering, corpus_of, with_corpus
from choose.tasks.document_drill import Drill, exchange_facts
from choose.types import Answers, Example, Task
from extraction import _value
from machine import machine

PARTS = ("conditions", "search", "candidates", "meaning", "retrievers", "update", "bands")

# Parts that make or bring their own rows.
OWN_ROWS = ("update", "bands")

# Targets: minutes for the four conditions, milliseconds for a search.
MINUTES, MILLISECONDS = 6.0, 5.0

# Questions asked under four conditions, and how many passages of 100 words make 600 tokens.
ASKED, READ = 300, 5

# Passages of the made corpora, words of one, questions searched, and how many a study asks at once.
SIZES, MANY, LONG, SEARCHED, CHUNK = (10_000, 100_000), 10_000, 90, 300, 25

Figures = dict[str, float]
Part = Sequence[Example]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the parts and print a table of each."""
    given_to = sys.argv[1:] if arguments is None else arguments
    choice = _options(given_to)
    if choice.made:
        print(json.dumps(made(choice.folder, choice.made, choice.way)))
        return
    print(f"python benchmarks/documents.py {' '.join(given_to)}")
    print(machine(cores()))
    kept = _Kept(choice.keep)
    if choice.folder is not None:
        task, train, test = _read(choice.folder)
        random.Random(5).shuffle(test)
        test = test[: choice.test]
    for part in choice.part:
        print(flush=True)
        {
            "conditions": lambda: _print_conditions(task, train, test, choice, kept),
            "search": lambda: _print_search("bm25", SIZES, choice, kept),
            "candidates": lambda: _print_candidates(task, train, test, choice, kept),
            "meaning": lambda: _print_search("hybrid", (MANY,), choice, kept),
            "retrievers": lambda: _print_retrievers(task, train, test, choice),
            "update": lambda: _print_update(choice, kept),
            "bands": lambda: _print_bands(choice, kept),
        }[part]()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--other", type=Path)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS[:4]))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--quick", action="store_true", help="a little of each part")
    parser.add_argument("--model", help="of the part conditions", default=DEFAULT_LM)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--candidates", nargs="+", default=["lora-rag", "sentence", "rag"])
    parser.add_argument("--controls", choices=("right", "all"), default="right")
    parser.add_argument("--set", nargs="*", default=[], help="CANDIDATE.SETTING=VALUE")
    parser.add_argument("--made", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", default="bm25", help=argparse.SUPPRESS)
    choice = parser.parse_args(arguments)
    if choice.folder is None and not {*choice.part} <= {*OWN_ROWS}:
        parser.error("FOLDER is missing")
    if choice.quick:
        choice.rows, choice.test, choice.seeds = 16, 8, 1
    return choice


class _Kept:
    """Figures by what they are of; those of earlier runs are read from a file, if there is one."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        known = file.read_text(encoding="utf-8").splitlines() if file and file.is_file() else []
        self.figures: dict[str, Figures] = dict(map(json.loads, known))

    def get(self, key: str, measure: Callable[[], Figures]) -> Figures:
        """Return figures, which are measured unless they are known."""
        if key not in self.figures:
            self.figures[key] = measure()
            print(f"{key}: {self.figures[key]}", file=sys.stderr, flush=True)
            if self.file is not None:
                with self.file.open("a", encoding="utf-8") as out:
                    print(json.dumps([key, self.figures[key]]), file=out)
        return self.figures[key]


def _key(choice: argparse.Namespace, *what: object) -> str:
    asked = choice.folder.name, choice.rows, choice.test, *choice.set
    return " ".join(map(str, (*what, *asked)))


# Candidates.


def _print_candidates(
    task: Task, train: Part, test: Part, choice: argparse.Namespace, kept: _Kept
) -> None:
    views = ("found", "right", *(("none", "others") if choice.controls == "all" else ()))
    columns = (*(f"{view} {score}" for view in views for score in ("F1", "EM")), "hit@1")
    seconds = ("fit s", "fit CPU s", "1,000 s")
    print(
        f"{choice.folder.name}: {min(choice.rows, len(train))} questions to learn from, "
        f"{len(test)} to answer, means of {choice.seeds} seeds, and the range of the first"
    )
    print(f"{'':10}{''.join(f'{name:>10}' for name in (*columns, *seconds))}  range")
    for name in choice.candidates:
        own = _settings(choice, name)
        figures = []
        for seed in range(choice.seeds):
            pool = random.Random(seed).sample(train, min(choice.rows, len(train)))
            key = _key(choice, name, seed, choice.controls)
            figures.append(
                kept.get(key, partial(_figures, name, own, task, pool, test, seed, views))
            )
        means = {column: fmean(one[column] for one in figures) for column in (*columns, *seconds)}
        shown = "".join(f"{means[column]:10.3f}" for column in columns)
        times = "".join(f"{means[column]:10.1f}" for column in seconds)
        found = [one["found F1"] for one in figures]
        print(f"{name:10}{shown}{times}  {min(found):.3f} to {max(found):.3f}", flush=True)


def _settings(choice: argparse.Namespace, name: str) -> dict[str, Any]:
    """Return the settings of a candidate that --set gives."""
    pairs = (text.split("=", 1) for text in choice.set)
    own = ((key.split(".", 1), value) for key, value in pairs)
    return {setting: _value(value) for (candidate, setting), value in own if candidate == name}


def _figures(
    name: str,
    settings: dict[str, Any],
    task: Task,
    pool: Part,
    test: Part,
    seed: int,
    views: Sequence[str],
) -> Figures:
    corpus = corpus_of(task)
    assert corpus is not None
    strategy = build(name, seed=seed, **{**kind_settings(name, task.kind), **settings})
    if isinstance(strategy, Prepares):
        strategy.prepare()
    start, used = perf_counter(), process_time()
    strategy.fit(task, pool)
    spent, fit_used, fit_cached = perf_counter() - start, process_time() - used, _cached(strategy)
    start = perf_counter()
    answers = strategy.predict([row.item() for row in test])
    # What an earlier seed had answered or embedded counts all the same.
    answering = perf_counter() - start + _cached(strategy) - fit_cached
    by_name = {"found": answers}
    for control, short in zip(CONDITIONS, ("none", "right", "others"), strict=True):
        if short in views:
            by_name[short] = strategy.predict(given(control, test, corpus))
    scores: Figures = {}
    for short, some in by_name.items():
        scores |= {f"{short} {key}": value for key, value in _scores(task, some, test).items()}
    evidence = [row.evidence for row in test]
    reads = getattr(strategy, "reads", False) and answers.evidence is not None
    shown = answers.evidence if reads and answers.evidence else ((),) * len(test)
    hits = hit(1, shown, evidence)
    if isinstance(strategy, Reports):
        print(f"{name} {seed}: {strategy.facts().get('notes')}", file=sys.stderr, flush=True)
    return {
        **scores,
        "hit@1": hits,
        "fit s": spent + fit_cached,
        "fit CPU s": fit_used,
        "1,000 s": 1000 * answering / len(test),
    }


def hit(k: int, shown: Sequence[Sequence[str]], evidence: Sequence[Sequence[Span]]) -> float:
    """Return the share of questions with evidence that one of the first k passages holds."""
    pairs = [(ids[:k], spans) for ids, spans in zip(shown, evidence, strict=True) if spans]
    return fmean(any(holds(id, spans) for id in ids) for ids, spans in pairs) if pairs else 0.0


def _cached(strategy: Any) -> float:
    """Return the seconds that work had taken which was not done again."""
    facts = strategy.facts() if isinstance(strategy, Reports) else {}
    return float(facts.get("cached_seconds", 0.0))


def _scores(task: Task, answers: Answers, rows: Part) -> Figures:
    pairs = zip(answers.outputs, rows, strict=True)
    found = [task.score(output, row.targets) for output, row in pairs]
    return {
        "F1": fmean(score["token-f1"] for score in found),
        "EM": fmean(score["exact-match"] for score in found),
    }


# Four conditions.


def _print_conditions(
    task: Task, train: Part, test: Part, choice: argparse.Namespace, kept: _Kept
) -> None:
    asked = [*test, *train][: 8 if choice.quick else ASKED]
    figures = kept.get(
        _key(choice, "conditions", len(asked)),
        lambda: _conditions(task, train, asked, choice.model),
    )
    total = sum(value for key, value in figures.items() if key.endswith(" s")) / 60
    print(
        f"{len(asked)} questions of {choice.folder.name} under four conditions, a prompt with "
        f"{READ} passages of at most 100 words: {total:.1f} minutes "
        f"({MINUTES:.0f} asked)"
    )
    print(f"{'':24}{'seconds':>10}{'tokens':>10}{'of them reused':>16}{'token F1':>10}")
    for view in ("found", *CONDITIONS):
        own = [figures[f"{view} {key}"] for key in ("s", "tokens", "cached", "F1")]
        print(f"{view:24}{own[0]:10.1f}{own[1]:10.0f}{own[2]:16.0f}{own[3]:10.3f}")


def _conditions(task: Task, train: Part, asked: Part, model: str) -> Figures:
    corpus = corpus_of(task)
    assert corpus is not None
    strategy = build("rag", seed=0, model=model, retriever="bm25", k=READ)
    assert isinstance(strategy, Prepares)
    strategy.prepare()
    strategy.fit(task, train)
    figures: Figures = {}
    for view in ("found", *CONDITIONS):
        start = perf_counter()
        given_to = [row.item() for row in asked] if view == "found" else given(view, asked, corpus)
        answers = strategy.predict(given_to)
        figures[f"{view} s"] = perf_counter() - start
        read, reused = answers.tokens_in, answers.tokens_cached
        assert read is not None
        assert reused is not None
        figures[f"{view} tokens"], figures[f"{view} cached"] = fmean(read), fmean(reused)
        figures[f"{view} F1"] = _scores(task, answers, asked)["F1"]
    return figures


# Searches.


def _print_search(way: str, sizes: Sequence[int], choice: argparse.Namespace, kept: _Kept) -> None:
    print(
        f"Passages of {LONG} words, made of the words of {choice.folder.name}; {SEARCHED} of its "
        f"questions alone ({MILLISECONDS:.0f} ms asked for 10,000 passages), and others {CHUNK} at "
        "once, as studies ask them"
    )
    heads = ("cut s", "index s", "CPU s", "peak MB", "ms", "ms worst", "at once")
    print(f"{way:>10}{'passages':>10}{''.join(f'{head:>10}' for head in heads)}")
    for size in sizes:
        count = size // 50 if choice.quick else size

        def measured(count: int = count) -> Figures:
            # A process of its own, so that the peak of memory is that of this corpus.
            command = [sys.executable, __file__, str(choice.folder), "--way", way]
            done = subprocess.run(
                [*command, "--made", str(count)], check=True, capture_output=True, text=True
            )
            found: dict[str, Figures] = json.loads(done.stdout)
            return {f"{name} {head}": x for name, own in found.items() for head, x in own.items()}

        figures = kept.get(_key(choice, "search", way, count), measured)
        for name in dict.fromkeys(key.split()[0] for key in figures):
            own = "".join(f"{figures[f'{name} {head}']:10.1f}" for head in heads)
            print(f"{name:>10}{figures[f'{name} passages']:10,.0f}{own}", flush=True)


def made(folder: Path, count: int, way: str) -> dict[str, Figures]:
    """Return what so many passages take: to be cut, to be indexed, to be searched."""
    import resource

    from choose.engines.weights.spec import DEFAULT_ENCODER
    from choose.models.retrieval.passage_search import passage_index

    task, train, _ = _read(folder)
    corpus = corpus_of(task)
    assert corpus is not None
    words = [word for document in corpus.documents for word in document.text.split()]
    draw = random.Random(0)
    # Neighbours stay together, so that words are as rare as they were.
    starts = [draw.randrange(len(words) - LONG) for _ in range(count)]
    texts = (" ".join(words[start : start + LONG]) for start in starts)
    corpus = Corpus(tuple(Document(id=str(n), text=text) for n, text in enumerate(texts)))
    start = perf_counter()
    corpus.passages()
    cut, passages = perf_counter() - start, len(corpus.passages())
    # Others at once: questions that were embedded are not embedded again.
    alone = min(SEARCHED, 3 * len(train) // 4)
    questions, others = ([row.text for row in some] for some in (train[:alone], train[alone:]))
    figures = {}
    for name in ("bm25",) if way == "bm25" else ("dense", "hybrid"):
        used = process_time()
        index = passage_index(corpus, name, 100, DEFAULT_ENCODER)
        used = process_time() - used
        times = []
        index.search(questions[-1:], 10)
        for question in questions[:-1]:
            start = perf_counter()
            index.search([question], 10)
            times.append(1000 * (perf_counter() - start))
        start = perf_counter()
        for place in range(0, len(others), CHUNK):
            index.search(others[place : place + CHUNK], 10)
        together = 1000 * (perf_counter() - start) / len(others)
        figures[name] = {
            "passages": passages,
            "cut s": cut,
            "index s": index.seconds,
            "CPU s": used,
            "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "ms": fmean(times),
            "ms worst": max(times),
            "at once": together,
        }
    return figures


def half_width(gaps: Sequence[float], documents: Sequence[str]) -> float:
    """Return half the width of a 95 % interval of a mean, rows of one document together."""
    from scipy import stats

    mean = fmean(gaps)
    sums: dict[str, float] = {}
    for gap, document in zip(gaps, documents, strict=True):
        sums[document] = sums.get(document, 0.0) + gap - mean
    count = len(sums)
    if count < 2:
        return float("nan")
    error = (count / (count - 1) * sum(x * x for x in sums.values())) ** 0.5 / len(gaps)
    return float(stats.t.ppf(0.975, count - 1) * error)


# Retrievers.


def _print_retrievers(task: Task, train: Part, test: Part, choice: argparse.Namespace) -> None:
    """Print a line for each retriever, means over the seeds for the tuned one."""
    from choose.engines.weights.spec import DEFAULT_ENCODER
    from choose.models.retrieval.passage_search import WAYS, Library, library_for
    from choose.models.retrieval.question_encoder_tuning import tuned_retriever

    def quality(library: Library) -> Figures:
        found = library.search([row.item() for row in test], 10)
        shown = [[passage.id for passage in some] for some in found]
        evidence = [row.evidence for row in test]
        pairs = zip(found, evidence, strict=True)
        ranks = [reciprocal_rank([p.span for p in some], spans) for some, spans in pairs if spans]
        hits = {f"hit@{k}": hit(k, shown, evidence) for k in (1, 5, 10)}
        return {**hits, "mrr@10": fmean(ranks)}

    def line(name: str, figures: Figures, seconds: float) -> None:
        print(
            f"{name:24}{''.join(f'{x:10.3f}' for x in figures.values())}{seconds:10.1f}", flush=True
        )

    measures = ("hit@1", "hit@5", "hit@10", "mrr@10")
    print(
        f"{choice.folder.name}: {len(test)} questions about other documents, {choice.seeds} seeds"
    )
    print(f"{'':24}{''.join(f'{name:>10}' for name in (*measures, 'fit s'))}")
    for way in WAYS:
        start = perf_counter()
        library = library_for(task, train, way, encoder=DEFAULT_ENCODER)
        line(way, quality(library), perf_counter() - start)
    tuned, spent = [], []
    for seed in range(choice.seeds):
        pool = random.Random(seed).sample(train, min(choice.rows, len(train)))
        start = perf_counter()
        found = tuned_retriever(library, pool, epochs=None, rate=5e-5, seed=seed)
        spent.append(perf_counter() - start)
        tuned.append(quality(found.library))
        print(f"{seed}: {tuned[-1]} {found.note}", file=sys.stderr, flush=True)
    means = {name: fmean(one[name] for one in tuned) for name in measures}
    line("tuned-encoder", means, fmean(spent))


# Facts that change.

STEMS = ("Ash", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel")
ENDS = ("ford", "ham", "wick", "bury", "ton")
FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gwen", "Hugo", "Iris", "Jack")
LAST = ("Moss", "Reed", "Lane", "Hart")

# Two wordings of a question to learn from, and the one that is asked.
WORDINGS = {
    "year": (
        "When did the office in {} open?",
        "Opening year of the {} office?",
        "In which year was the {} office opened?",
    ),
    "head": (
        "Who leads the office in {}?",
        "Name of the head of the {} office?",
        "Who is in charge of the {} office?",
    ),
}


def made_offices(offices: int = 40) -> tuple[Task, list[Example], list[Example]]:
    """Return questions on invented offices, a document each, to learn from and to answer.

    Both ask for the same facts in other words, so that a model without documents can know them.
    """
    documents, parts = [], ([], [])
    names = [" ".join(name) for name in product(FIRST, LAST)]
    for n, (stem, end) in enumerate([*product(STEMS, ENDS)][:offices]):
        town, facts = f"{stem}{end}", {"year": str(1931 + 2 * n), "head": names[7 * n % 40]}
        text = (
            f"The {town} office was opened in {facts['year']}. Its head is {facts['head']}. "
            f"Parcels for {town} are taken until noon, and visitors sign in at the front desk."
        )
        documents.append(Document(id=f"d{n}", text=text, title=f"{town} office"))
        for fact, wordings in WORDINGS.items():
            start = text.index(facts[fact])
            evidence = (Span(f"d{n}", start, start + len(facts[fact])),)
            for k, wording in enumerate(wordings):
                row = Example(
                    id=f"{fact}-{n}-{k}",
                    text=wording.format(town),
                    target=facts[fact],
                    evidence=evidence,
                )
                parts[k == len(wordings) - 1].append(row)
    return with_corpus(Answering(), Corpus(tuple(documents))), *parts


def _print_update(choice: argparse.Namespace, kept: _Kept) -> None:
    task, train, test = made_offices(10 if choice.quick else 40)
    corpus = corpus_of(task)
    assert corpus is not None
    drill = exchange_facts([*train, *test], corpus, asked=[row.id for row in test], seed=0)
    assert drill is not None
    print(
        f"{drill.facts} facts of {len(corpus)} made documents changed after training; "
        f"{len(train)} questions to learn from, {len(drill.ids)} on changed facts asked in other "
        f"words, means of {choice.seeds} seeds, % with 95 % intervals by document"
    )
    documents = {row.id: row.evidence[0].document for row in test}
    columns = ("F1 before", "new fact", "old fact")
    print(f"{'':10}{''.join(f'{column:>20}' for column in columns)}")
    for name in choice.candidates:
        each = [
            kept.get(
                f"update {name} {seed} {len(train)} {' '.join(choice.set)}",
                partial(_updated, name, _settings(choice, name), task, train, test, drill, seed),
            )
            for seed in range(choice.seeds)
        ]
        cells = [f"{fmean(one['before'] for one in each):.3f}"]
        for share in ("new", "old"):
            rows = [fmean(one[f"{share} {id}"] for one in each) for id in drill.ids]
            half = half_width(rows, [documents[id] for id in drill.ids])
            ends = (max(0.0, fmean(rows) - half), min(1.0, fmean(rows) + half))
            cells.append(f"{fmean(rows):.0%} ({ends[0]:.0%} to {ends[1]:.0%})".replace("%", ""))
        print(f"{name:10}{''.join(f'{cell:>20}' for cell in cells)}", flush=True)


def _updated(
    name: str,
    settings: dict[str, Any],
    task: Task,
    train: Part,
    test: Part,
    drill: Drill,
    seed: int,
) -> Figures:
    """Return what a candidate answers before documents change, and after it."""
    assert isinstance(task, Answering)
    rows = [row for row in test if row.id in drill.ids]
    items, old = [row.item() for row in rows], {row.id: row.targets for row in rows}

    def gives(answers: Answers, new: bool) -> dict[str, float]:
        """Return which rows give the new fact and not the old one, or vice versa."""
        found = {}
        for row, output in zip(rows, answers.outputs, strict=True):
            both = (
                task.nearness(output, [drill.targets[row.id]]),
                task.nearness(output, old[row.id]),
            )
            one, other = both if new else both[::-1]
            found[row.id] = float(GIVEN <= one > other)
        return found

    strategy: Any = _fitted(name, settings, task, train, seed)
    before = answers = strategy.predict(items)
    figures: Figures = {"before": _scores(task, before, rows)["F1"]}
    if isinstance(strategy, Rereads):
        strategy.reread(drill.corpus)
        answers = strategy.predict(items)
    for share, new in (("new", True), ("old", False)):
        figures |= {f"{share} {id}": x for id, x in gives(answers, new).items()}
    return figures


def _fitted(name: str, settings: dict[str, Any], task: Task, rows: Part, seed: int) -> Any:
    strategy: Any = build(name, seed=seed, **{**kind_settings(name, task.kind), **settings})
    if isinstance(strategy, Prepares):
        strategy.prepare()
    strategy.fit(task, rows)
    return strategy


# The bundled handbook.


def _print_bands(choice: argparse.Namespace, kept: _Kept) -> None:
    """Print what the prompt reaches and the adapter adds, each question once, out of fold."""
    said = "Answer a question about Harbourly from its handbook."
    section = DataSection(
        path="sample:handbook", documents="sample:handbook", evidence_column="spans", folds=2
    )
    task = TaskSection(kind="answering", instruction=said)
    dataset = dataset_from(read_rows(section, kind=task.kind), section, task)
    rows = dataset.examples
    found: dict[str, dict[str, float]] = {}
    for name in choice.candidates:
        own = found.setdefault(name, {})
        for number, fold in enumerate(dataset.folds):
            asked = fold.questions[: 8 if choice.quick else None]
            own |= kept.get(
                f"bands {name} {number} {len(asked)} {' '.join(choice.set)}",
                partial(
                    _banded,
                    name,
                    _settings(choice, name),
                    dataset.task,
                    [rows[id] for id in fold.pool],
                    [rows[id] for id in asked],
                ),
            )
    ids = {
        view: [key.removeprefix(f"{view} ") for key in own if key.startswith(f"{view} ")]
        for view in ("found", "right")
    }
    first = choice.candidates[0]
    print(
        f"sample:handbook, {len(ids['found'])} questions, {len(ids['right'])} of them with a right "
        "passage; token F1 with 95 % intervals by document, and the gain over the first candidate"
    )
    for name, (view, some) in product(choice.candidates, ids.items()):
        scores = [found[name][f"{view} {id}"] for id in some]
        gains = [found[name][f"{view} {id}"] - found[first][f"{view} {id}"] for id in some]
        documents = [rows[id].evidence[0].document if rows[id].evidence else id for id in some]
        gain = f"  {_with_ends(gains, documents, '+')}" if name != first else ""
        print(f"{name:10}{view:8}{_with_ends(scores, documents)}{gain}", flush=True)


def _banded(name: str, settings: dict[str, Any], task: Task, pool: Part, asked: Part) -> Figures:
    """Return the score of each row with what is found, and of rows with evidence with that."""
    corpus = corpus_of(task)
    assert corpus is not None
    strategy, figures = _fitted(name, settings, task, pool, 0), Figures()
    with_evidence = [row for row in asked if row.evidence]
    for view, some, items in (
        ("found", asked, [row.item() for row in asked]),
        ("right", with_evidence, given(GOLD, with_evidence, corpus)),
    ):
        outputs = strategy.predict(items).outputs
        for row, output in zip(some, outputs, strict=True):
            figures[f"{view} {row.id}"] = task.score(output, row.targets)["token-f1"]
    return figures


def _with_ends(values: Sequence[float], documents: Sequence[str], sign: str = "") -> str:
    mean, half = fmean(values), half_width(values, documents)
    return f"{mean:{sign}.3f} ({mean - half:{sign}.3f} to {mean + half:{sign}.3f})"


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
        dataset = dataset_from(read_rows(section), section, TaskSection())
    [fold] = dataset.folds
    parts = [[dataset.examples[id] for id in ids] for ids in (fold.pool, fold.questions)]
    return dataset.task, parts[0], parts[1]


if __name__ == "__main__":
    main()
