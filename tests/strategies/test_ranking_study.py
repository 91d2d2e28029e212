"""Rankings of documents: each strategy, and a study from a file to the decision and an export."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import choose
from choose.api import plan as api_plan
from choose.api.compare import run_study
from choose.api.plan import check as check_set
from choose.api.plan import plan_in_time, plan_study, plan_trials, read_study, resolve
from choose.conformance import WORDS_OF
from choose.corpus import Corpus, Document
from choose.data.readers.unlabelled_texts import file_items
from choose.data.scenarios import with_some_documents
from choose.export.exported_model import Model
from choose.models.retrieval import passage_search, question_encoder_tuning
from choose.report import check_words
from choose.schema.check import Check
from choose.schema.decision import SURE
from choose.strategy import build
from choose.tasks.answering import corpus_of, with_corpus
from choose.tasks.ranking import Ranking, rank_scores, read_scores, relevance_text
from choose.tasks.value_parsing import occurs
from choose.types import Candidate, Example, Item
from support.commands import run_command
from support.studies import compare_once, fit_strategy, json_lines, load, write_lines

# Words that the small encoder knows.
FRUITS, TOOLS, CODES = (WORDS_OF[kind] for kind in ("fruit", "tool", "weather"))


def shelf() -> Corpus:
    """Return documents of which each is about one fruit and one tool, and a long one."""
    found = [
        Document(id=f"doc-{a}", title=a, text=f"The {a} is cut by a {p}.")
        for a, p in zip(FRUITS, TOOLS, strict=True)
    ]
    long = " ".join(f"Nothing of note was seen in week {n} of the survey." for n in range(120))
    return Corpus((*found, Document(id="doc-survey", text=f"{long} A lynx was heard once.")))


def rows() -> list[Example]:
    return [
        Example(id=f"q{n}", text=f"{ask} {a}?", target=relevance_text({f"doc-{a}": 1}))
        for n, (ask, a) in enumerate(product(("Where is the", "Who has a"), FRUITS))
    ]


TASK = with_corpus(Ranking(), shelf())


def test_bm25_ranks_documents_by_their_best_passage() -> None:
    strategy = fit_strategy("bm25", rows(), TASK)
    asked = ["Where was a lynx heard?", "the apple and the saw", "xyzzy"]
    answers = strategy.predict([Item(id=str(n), text=text) for n, text in enumerate(asked)])
    lynx, apple, nothing = (read_scores(output or "") for output in answers.outputs)
    assert next(iter(lynx)) == "doc-survey"
    assert len(lynx) <= 10, "a long document takes one rank, however many passages match"
    assert next(iter(apple)) == "doc-apple"
    assert [*apple.values()] == sorted(apple.values(), reverse=True)
    assert nothing == {}
    assert strategy.facts()["index_seconds"] > 0


@pytest.mark.slow
def test_a_tuned_encoder_learns_from_relevance_not_from_words(encoder: str, tmp_path: Path) -> None:
    # Questions by code words, which say nothing without training rows that link them.
    coded = [
        Example(id=f"c{n}-{k}", text=f"{CODES[n]} {k}", target=relevance_text({f"doc-{a}": 1}))
        for n, a in enumerate(FRUITS)
        for k in range(3)
    ]
    plain, tuned = (
        build("dense", seed=0, encoder=encoder),
        build("tuned-encoder", seed=0, encoder=encoder, epochs=40.0, learning_rate=5e-3),
    )
    means = []
    for strategy in (plain, tuned):
        strategy.fit(TASK, coded)
        pairs = zip(strategy.predict([row.item() for row in coded]).outputs, coded, strict=True)
        means.append(np.mean([TASK.score(o or "{}", row.targets)["ndcg@10"] for o, row in pairs]))
    assert means[1] > means[0] + 0.2, means
    [note] = tuned.facts()["notes"]
    assert note.startswith("The retriever is tuned for 40 epochs on 30 questions")

    from sentence_transformers import SentenceTransformer

    tuned.save(tmp_path / "saved")
    assert [f.name for f in (tmp_path / "saved/encoder").rglob("*.safetensors")]
    loaded = SentenceTransformer(str(tmp_path / "saved/encoder"))
    ours = tuned.library.tuned.embed(["storm 1"])
    assert np.allclose(ours, loaded.encode(["storm 1"], normalize_embeddings=True), atol=1e-5)


def test_without_pairs_nothing_is_tuned_and_it_is_said(encoder: str) -> None:
    few = [Example(id="a", text="x", target="{}"), *rows()[:3]]
    strategy = fit_strategy("tuned-encoder", few, TASK, encoder=encoder)
    assert strategy.facts()["notes"] == [
        "The retriever is not tuned: there are 3 training questions whose passage is known (at "
        "least 8)."
    ]


def test_one_document_is_no_choice(encoder: str) -> None:
    only = with_corpus(Ranking(), Corpus((Document(id="doc-apple", text="An apple."),)))
    asked = [replace(row, target='{"doc-apple": 1}') for row in rows()]
    strategy = fit_strategy("tuned-encoder", asked, only, encoder=encoder)
    assert "the documents are a single passage" in strategy.facts()["notes"][0]
    assert read_scores(strategy.predict([asked[0].item()]).outputs[0]).keys() == {"doc-apple"}


def test_tuning_is_kept_only_where_it_helps_held_out_questions(encoder: str) -> None:
    idle = fit_strategy("tuned-encoder", rows(), TASK, encoder=encoder, learning_rate=1e-9)
    assert "is not tuned, since that gained nothing on" in idle.facts()["notes"][0]
    assert idle.library.tuned is None
    assert idle.facts()["artefact_mb"] == 0
    kept = fit_strategy("tuned-encoder", rows(), TASK, encoder=encoder, epochs=1.0)
    assert kept.library.tuned is not None
    assert kept.facts()["artefact_mb"] > 0


def test_words_of_a_target_are_no_evidence(encoder: str) -> None:
    # "doc 1" is how the target {"doc": 1} reads as words, and occurs in each document.
    texts = [f"The {a} is in doc 1." for a in FRUITS]
    named = [Document(id=f"x{n}", text=text) for n, text in enumerate(texts)]
    task = with_corpus(Ranking(), Corpus((Document(id="doc", text="A lynx."), *named)))
    asked = [Example(id=f"q{n}", text=a, target='{"doc": 1}') for n, a in enumerate(FRUITS)]
    name, real = "tuned_retriever", question_encoder_tuning.tuned_retriever
    with patch.object(question_encoder_tuning, name, side_effect=real) as spied:
        strategy = fit_strategy("tuned-encoder", asked, task, encoder=encoder, epochs=0)
    seen = spied.call_args.args[1]
    assert not any(occurs(row.targets, text) for row in seen for text in texts)
    assert {span.document for row in seen for span in row.evidence} == {"doc"}
    note = "The retriever is not tuned, since its epochs are 0; its ranks are "
    assert strategy.facts()["notes"][0].startswith(note)


def test_the_nearest_row_gives_its_documents_by_grade() -> None:
    row = Example(id="a", text="a lynx", target=relevance_text({"b": 1, "c": 3, "a": 2}))
    given = fit_strategy("nearest", [row], TASK).predict([row.item()]).outputs[0] or ""
    assert [*read_scores(given)] == ["c", "a", "b"]
    assert rank_scores([*read_scores(given)], read_scores(row.target))["ndcg@10"] == 1.0


def write(folder: Path, with_answers: bool = False) -> tuple[str, str]:
    lines = [
        {"id": e.id, "question": e.text, "relevant": [*read_scores(e.target)]}
        | ({"answers": [TOOLS[n % len(TOOLS)]]} if with_answers else {})
        for n, e in enumerate(rows())
    ]
    documents = [{"id": d.id, "title": d.title, "text": d.text} for d in shelf().documents]
    return write_lines(folder / "q.jsonl", lines), write_lines(folder / "d.jsonl", documents)


def check(path: str, documents: str | None = None, **task: str) -> Check:
    settings: dict[str, dict[str, Any]] = {"data": {"documents": documents}, "task": {**task}}
    return check_set(resolve(path, None, settings)).record


def test_the_kind_is_found_by_a_column_of_documents(tmp_path: Path) -> None:
    questions, documents = write(tmp_path)
    record = check(questions, documents)
    lines = {line.topic: check_words.line(record, line) for line in record.lines}
    assert "The task is ranking: 'relevant' names the documents" in lines["reading"]
    assert record.targets.corpus.documents == len(shelf().documents)
    items = file_items(questions, None, asks=True)
    assert [item.text for item in items] == [row.text for row in rows()]
    questions, documents = write(tmp_path, with_answers=True)
    assert check(questions, documents).targets.unanswerable == 0


def test_bad_files_end_with_one_line(tmp_path: Path) -> None:
    questions, documents = write(tmp_path)
    with pytest.raises(choose.ChooseError, match="--kind ranking needs the documents"):
        check(questions, kind="ranking")
    text = Path(questions).read_text("utf-8").replace("doc-apple", "doc-app1e")
    Path(questions).write_text(text, "utf-8")
    with pytest.raises(
        choose.ChooseError, match=r"q0 and q10, column 'relevant': no document has "
    ):
        check(questions, documents)
    bare = tmp_path / "bare.jsonl"
    bare.write_text('{"question": "a b c", "answers": ["d"]}\n' * 9, "utf-8")
    with pytest.raises(choose.ChooseError, match="No column of relevant documents"):
        check(str(bare), documents, kind="ranking")


def large(folder: Path, long: int = 1_200) -> dict[str, str]:
    """Write 300 questions about every third of 1,200 documents of one passage, every nth longer."""
    texts = [{"id": f"d{n}", "text": f"word{n} is in file {n % 7}."} for n in range(1_200)]
    for text in texts[long::long]:
        text["text"] += " It is of no use to anyone." * 4_000
    ids = {n: f'{{"d{n}": 1}}' for n in range(0, 900, 3)}
    asked = [{"question": f"where word{n}", "relevant": id, "mine": id} for n, id in ids.items()]
    files = {"path": asked, "documents": texts}
    return {key: write_lines(folder / f"{key}.jsonl", lines) for key, lines in files.items()}


def test_parts_of_documents_are_nested_and_hold_what_their_rows_need(tmp_path: Path) -> None:
    data, kept = load(**large(tmp_path, long=30)), list[set[str]]()
    few, more = (with_some_documents(data, most) or data for most in (300, 500))
    for part, most in ((few, 300), (more, 500)):
        needed = {id for e in part.examples.values() for id in read_scores(e.target)}
        kept.append({*getattr(corpus_of(part.task), "by_id", ())})
        assert needed < kept[-1], "others are searched too"
        assert 0.9 * most < len(kept[-1]) <= most < 2.5 * len(needed)
        assert {*part.examples} == {*part.asked}
    assert kept[0] < kept[1]
    assert few.folds[0].pool == tuple(id for id in more.folds[0].pool if id in few.examples)
    assert with_some_documents(data, 100) is None, "too few rows ask about so few documents"


def test_rows_without_evidence_keep_their_share(tmp_path: Path) -> None:
    texts = [{"id": f"d{n}", "text": f"The word is word{n}."} for n in range(1_200)]
    asked = [{"question": f"which {n}", "answers": [f"word{n}"] * (n % 6 > 0)} for n in range(600)]
    files = {"path": asked, "documents": texts}
    data = load(**{key: write_lines(tmp_path / f"{key}.jsonl", it) for key, it in files.items()})
    part = with_some_documents(data, 300) or data
    assert 20 < sum(not part.examples[id].evidence for id in part.asked) < len(part.asked) / 4 < 100


@pytest.mark.parametrize(("seconds", "most"), [(1_000, 300), (500, 600), (240, 1_200)])
def test_a_part_of_the_passages_makes_no_choice_sure_and_is_searched_again(
    encoder: str, tmp_path: Path, monkeypatch, seconds: float, most: int
) -> None:
    monkeypatch.setattr(passage_search, "seconds_to_embed", lambda *_, limit: seconds)
    own = {"data": large(tmp_path), "models": {"encoder": encoder}, "grid": {"rounds": 1}}
    study, place = resolve(overrides=own, strategies=("bm25", "dense")), tmp_path / "st"
    verdict = run_study(study, out=place).decision.verdict
    found = [c for c in verdict.caveats if c.code == "part-of-documents"]
    assert [(round(c.rows or 0, -2), c.whole) for c in found] == [(most, 1_200)][: most < 1_200]
    said = (verdict.kind, [step.code for step in verdict.steps][:1])
    assert (said == ("incomplete", ["all-passages"])) == bool(found)
    assert max(verdict.chance.values()) < SURE or not found
    trials = {file: file.stat().st_mtime_ns for file in (place / "trials").glob("*/*")}
    monkeypatch.setattr(passage_search, "seconds_to_embed", lambda *_, limit: seconds / 8)
    assert run_study(study, out=place).decision.verdict == verdict
    assert {file: file.stat().st_mtime_ns for file in trials} == trials
    for budget, documents in ((60, most), (600, most), (2 * seconds, 1_200)):
        own["grid"]["budget"] = budget
        planning = plan_study(resolve(overrides=own, strategies=("bm25", "dense")), place)
        keys = {job.trial.key for one in planning.rounds for job in one.jobs}
        assert (planning.stored == len(keys)) == (documents == most)


def test_all_passages_are_searched_beside_answers_from_elsewhere(
    encoder: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(passage_search, "seconds_to_embed", lambda *_, limit: 1_000.0)
    own = {"data": large(tmp_path), "models": {"encoder": encoder}}
    read = read_study(resolve(overrides=own, strategies=("dense",)), None)
    whole = plan_trials(read.study, read.pools)
    served = Candidate(name="mine", strategy="served", params={"model": "endpoint:mine"})
    more = replace(whole, candidates=(*whole.candidates, served))
    for plan, measure in ((whole, False), (more, True)):
        with patch.object(api_plan, "plan_trials", return_value=plan):
            made = plan_in_time(read.study, read.pools, tmp_path, measure=measure)
        assert made == plan
    more = {"given": {"answers": ["mine"]}, "grid": {"rounds": 1}}
    judged = run_study(resolve(overrides=own | more, strategies=("bm25",)), out=tmp_path / "st")
    assert {card.candidate for card in judged.decision.scorecards if card.accuracy} > {"mine"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, encoder: str) -> tuple[choose.Decision, Path]:
    folder = tmp_path_factory.mktemp("ranked")
    settings = {"kind": "ranking", "encoder": encoder, "folds": 3, "noise": [0.0, 0.2], "views": []}
    names = ("bm25", "dense", "hybrid", "tuned-encoder")
    return compare_once("sample:handbook", folder / "store", *names, budget=600, **settings), folder


@pytest.mark.slow
def test_a_study_of_the_handbook_ranks_its_documents(study: tuple[choose.Decision, Path]) -> None:
    decision, _ = study
    found = {card.candidate: card for card in decision.scorecards}
    assert decision.goal["metric"] == "ndcg@10"
    assert set(found) == {"bm25", "nearest", "dense", "hybrid", "tuned-encoder"}
    bm25 = found["bm25"]
    # An encoder with random weights is no rival.
    assert bm25.accuracy.value > 0.7
    assert decision.verdict.family == "baseline"
    assert bm25.text.metrics.keys() == {*Ranking.own[1:]}
    assert bm25.cost.index_seconds is not None
    assert bm25.cost.ms_per_item is not None
    assert not any(card.noise for card in found.values()), (
        "bm25 learns nothing, and those that learn are behind for certain"
    )
    page = decision.to_html()
    assert "nDCG@10" in page
    assert "indexing" in page
    assert "(relevant: " in page


@pytest.mark.slow
def test_an_export_writes_ids_with_scores(study: tuple[choose.Decision, Path]) -> None:
    decision, folder = study
    decision.export(folder / "model", candidate="bm25")
    first, second = json_lines(Model.load(folder / "model"), "What does Pro cost?", "")
    scores = [*first["answer"].values()]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert second["answer"] is None
    questions, _ = write(folder)
    result = run_command("predict", folder / "model", questions)
    assert result.code == 0, result.err
    assert result.out.count("\n") == 1 + len(rows()), "its own file needs no --text-column"
    assert "Ranks documents for a question." in (folder / "model/README.md").read_text("utf-8")
