"""Doubted labels of rows with documents: who may doubt one, and by which answers."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from choose.corpus import Corpus, Document, Span
from choose.judge.diagnosis.doubted_labels import doubted_rows
from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.judge.measures.text_metrics import MOST_WORDS, nearest_part
from choose.judge.scores.score_tables import CLEAN, study_scores
from choose.tasks.answering import NO_ANSWER, Answering
from choose.types import Answers, Item, Run, Status
from support.answered_studies import laid_out
from support.studies import plain_trial

TEXT = "The annual fee of the silver card is forty euros. Gold cards cost ninety euros a year."
CORPUS = Corpus(
    (
        Document(id="fees", text=TEXT, title="Fees"),
        Document(id="trips", text="Lounges are open to holders of gold cards at every airport."),
    )
)
FEES, TRIPS = "fees:0-85", "trips:0-59"
EVIDENCE = Span("fees", 37, 48)
TASK = Answering(corpus=CORPUS, documents=CORPUS.digest, unanswerable=True)
RIGHT, WRONG = "forty euros", "ninety a year"

# What a candidate says to a row: the answer, its status, what was written, the passages read.
Said = tuple[str | None, Status, str | None, tuple[str, ...]]


def said(output=RIGHT, status="ok", raw=None, shown=(FEES,)):
    return output, status, raw, shown


def run(candidate: str, rows: Mapping[str, Said], targets: Mapping[str, str]) -> Run:
    outputs, status, raw, shown = zip(*rows.values(), strict=True)
    found = [TASK.score(o, (targets[id],))["token-f1"] for id, o in zip(rows, outputs, strict=True)]
    return Run(
        trial=plain_trial(candidate, 0),
        answers={CLEAN: Answers(outputs=outputs, status=status, raw=raw, evidence=shown)},
        asked={CLEAN: tuple(rows)},
        scores={CLEAN: dict.fromkeys((*TASK.metrics, "lenient"), np.array(found))},
    )


def study(rows, others=None, targets=None):
    """Return a study of `rag`, whose rows are about one passage unless they say otherwise."""
    right = {id: (targets or {}).get(id, RIGHT) for id in rows}
    told = {"rag": rows, **(others or {})}
    items = Items(
        ids=tuple(rows),
        targets=tuple(right.values()),
        clusters=tuple(rows),
        evidence={id: (EVIDENCE,) for id in rows if right[id] != NO_ANSWER and id != "gap"},
    )
    infos = [
        CandidateInfo(
            name=name,
            strategy=name,
            family="retrieval" if name == "rag" else "baseline",
            reads=True,
            model="lm" if name in ("rag", "lora") else None,
        )
        for name in told
    ]
    runs = [run(name, given, right) for name, given in told.items()]
    return laid_out(items, infos, runs, task=TASK)


def doubted(evidence: Evidence) -> set[str] | None:
    found = doubted_rows(evidence, study_scores(evidence))
    return None if found is None else set(found)


def test_label_suspects_are_rows_on_which_independent_candidates_say_the_same() -> None:
    rows = {"a": said(WRONG), "b": said(WRONG)}
    # `lora` asks the same model as `rag`, so that both count once.
    others = {
        "sentence": {"a": said("Ninety, a year."), "b": said("a year")},
        "lora": {"a": said("ninety"), "b": said(WRONG)},
    }
    assert doubted(study(rows, others=others)) == {"a"}


def test_the_words_of_the_question_doubt_no_label() -> None:
    """Weak readers repeat the question, all of them alike."""
    others = {"sentence": {"a": said(WRONG), "b": said()}}
    evidence = study({"a": said(WRONG), "b": said()}, others=others)
    assert doubted(evidence) == {"a"}
    asked = {
        "a": Item(id="a", text=f"Is it {WRONG.upper()}, or what?"),
        "b": Item(id="b", text="?"),
    }
    assert doubted(replace(evidence, inputs=asked)) == set()


def test_who_read_other_passages_than_the_evidence_doubts_no_label() -> None:
    for shown, found in (((FEES, TRIPS), {"a"}), ((TRIPS,), set())):
        one = said(WRONG, shown=shown)
        evidence = study({"a": one, "b": said()}, others={"sentence": {"a": one, "b": said()}})
        assert doubted(evidence) == found
    learnt = tuple(replace(i, reads=i.name == "rag") for i in evidence.candidates)
    rows = {"a": said(WRONG), "b": said()}
    closed = replace(study(rows, others={"sentence": rows}), candidates=learnt)
    assert doubted(closed) is None  # `sentence` repeats what it learnt


@pytest.mark.parametrize("output", ["euros", "The fee is forty euros, and more besides."])
def test_more_or_fewer_words_than_the_label_has_doubt_it_not(output: str) -> None:
    rows = {"a": said(output), "b": said()}
    long = {"a": "forty euros a year for each card"} if output == "euros" else None
    assert doubted(study(rows, others={"x": rows}, targets=long)) == set()


def test_agreement_on_the_right_answer_or_on_none_suspects_no_label() -> None:
    rows = {"a": said(WRONG), "b": said(NO_ANSWER), "c": said("forty")}
    others = {"sentence": {"a": said(WRONG), "b": said("no answer"), "c": said("forty")}}
    assert doubted(study(rows, others=others)) == {"a"}


def test_without_independent_candidates_no_label_can_be_suspect() -> None:
    assert doubted(study({"a": said(WRONG)}, others={"lora": {"a": said(WRONG)}})) is None


LONG = "The annual fee of the silver card that you asked about is forty euros"


@pytest.mark.parametrize(
    ("text", "target", "part", "score"),
    [
        (LONG, RIGHT, "forty euros", 1.0),
        ("It is 2.9 %, for all cards.", "2.9%", "2.9", 1.0),
        ("one two three", "four", "", 0.0),
        ("forty and forty euros", RIGHT, "forty euros", 1.0),
        ("forty old euros", RIGHT, "forty old euros", 0.8),
        ("forty very old euros", RIGHT, "forty", 2 / 3),
        ("", RIGHT, "", 0.0),
        ("the forty the euros", "A forty euros", "forty the euros", 1.0),
        ("forty.", RIGHT, "forty.", 2 / 3),
    ],
)
def test_the_nearest_part_of_a_text(text: str, target: str, part: str, score: float) -> None:
    assert nearest_part(text, target) == (part, pytest.approx(score))


def test_only_the_first_words_of_a_long_answer_are_looked_at() -> None:
    assert nearest_part("word " * 100_000, "word " * 2_000)[1] == pytest.approx(200 / 2_100)
    assert nearest_part("word " * MOST_WORDS + RIGHT, RIGHT) == ("", 0.0)
