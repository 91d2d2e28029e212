"""Errors of a candidate that reads: for each step a row that falls into it, one that does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from choose.corpus import AMONG_OTHERS, GOLD, Corpus, Document, Span
from choose.errors import StudyError
from choose.judge.diagnosis.reading_errors import MOST_ANSWERS, MOST_ROWS, reading_errors
from choose.judge.evidence import CandidateInfo, Evidence, Items
from choose.judge.goal import Measure, Rule
from choose.judge.measures.text_metrics import MOST_WORDS, groundedness, nearest_part
from choose.judge.scores.score_tables import study_scores
from choose.judge.verdict import judge
from choose.schema.reading_documents import ReadingErrors, ReadingStep
from choose.tasks.answering import NO_ANSWER, Answering
from choose.tasks.scoring import UserMetric
from choose.types import Answers, Item, Run, Status
from support.trials import plain_trial

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


def said(
    output: str | None = RIGHT,
    status: Status = "ok",
    raw: str | None = None,
    shown: tuple[str, ...] = (FEES,),
) -> Said:
    return output, status, raw, shown


def run(
    candidate: str, views: Mapping[str, Mapping[str, Said]], targets: Mapping[str, str], draw: int
) -> Run:
    trial = plain_trial(candidate, draw)
    answers, scores = {}, {}
    for view, rows in views.items():
        outputs, status, raw, shown = zip(*rows.values(), strict=True)
        answers[view, 0] = Answers(outputs=outputs, status=status, raw=raw, evidence=shown)
        found = [
            TASK.score(o, (targets[id],))["token-f1"] for id, o in zip(rows, outputs, strict=True)
        ]
        scores[view, 0] = dict.fromkeys((*TASK.metrics, "lenient"), np.array(found))
    return Run(
        trial=trial,
        answers=answers,
        asked={(view, 0): tuple(rows) for view, rows in views.items()},
        scores=scores,
    )


def study(
    rows: Mapping[str, Said],
    gold: Mapping[str, Said] | None = None,
    among: Mapping[str, Said] | None = None,
    others: Mapping[str, Mapping[str, Said]] | None = None,
    targets: Mapping[str, str] | None = None,
    passages: int = 2,
    **facts: Any,
) -> Evidence:
    """Return a study of `rag`, whose rows are about one passage unless they say otherwise."""
    right = {id: (targets or {}).get(id, RIGHT) for id in rows}
    beside = {id: (*one[:3], (*one[3], TRIPS)[:passages]) for id, one in (among or {}).items()}
    views = {"clean": rows, GOLD: gold or {}, AMONG_OTHERS: beside}
    asked = {view: found for view, found in views.items() if found}
    told = {"rag": asked, **{name: {"clean": given} for name, given in (others or {}).items()}}
    items = Items(
        ids=tuple(rows),
        targets=tuple(right.values()),
        clusters=tuple(rows),
        evidence={id: (EVIDENCE,) for id in rows if right[id] != NO_ANSWER and id != "gap"},
    )
    fields = {
        "name": "cards",
        "fingerprint": "",
        "rows": len(rows),
        "labels": (),
        "division": "held-out",
        "items": items,
        "candidates": tuple(
            CandidateInfo(
                name=name,
                strategy=name,
                family="retrieval" if name == "rag" else "baseline",
                reads=True,
                model="lm" if name in ("rag", "lora") else None,
            )
            for name in told
        ),
        "pool_rows": (50,),
        "runs": tuple(run(name, views, right, 0) for name, views in told.items()),
        "task": TASK,
        **facts,
    }
    return Evidence(**fields)


def errors(evidence: Evidence) -> ReadingErrors:
    found = reading_errors(evidence, study_scores(evidence))
    assert found is not None
    return found


def counts(found: ReadingErrors) -> dict[str, int]:
    return {error.name: error.count for error in found.errors if error.count}


def only(name: ReadingStep, evidence: Evidence) -> None:
    """Assert that the row `a` of a study falls into a step, and that the row `b` does not."""
    steps = {row.id: row.error for row in errors(evidence).examples}
    assert steps.get("a") == name
    assert steps.get("b") != name


def test_label_suspects_are_rows_on_which_independent_candidates_say_the_same() -> None:
    rows = {"a": said(WRONG), "b": said(WRONG)}
    # `lora` asks the same model as `rag`, so that both count once.
    others = {
        "sentence": {"a": said("Ninety, a year."), "b": said("a year")},
        "lora": {"a": said("ninety"), "b": said(WRONG)},
    }
    only("label suspect", study(rows, others=others))


def test_those_who_doubt_a_label_are_shown_with_it() -> None:
    """Of many candidates only six answers are listed, of which two have to be these."""
    others = {f"other{n}": {"a": said(f"reply {n}"), "b": said()} for n in range(6)}
    others["zeta"] = {"a": said(WRONG), "b": said()}
    evidence = study({"a": said(WRONG), "b": said()}, others=others)
    [row] = errors(evidence).examples
    assert row.error == "label suspect"
    assert [one.candidate for one in row.answers][:2] == ["rag", "zeta"]
    assert {one.output for one in row.answers[:2]} == {WRONG}


def test_the_words_of_the_question_doubt_no_label() -> None:
    """Weak readers repeat the question, all of them alike."""
    others = {"sentence": {"a": said(WRONG), "b": said()}}
    evidence = study({"a": said(WRONG), "b": said()}, others=others)
    only("label suspect", evidence)
    asked = {
        "a": Item(id="a", text=f"Is it {WRONG.upper()}, or what?"),
        "b": Item(id="b", text="?"),
    }
    assert "label suspect" not in counts(errors(replace(evidence, inputs=asked)))


def test_who_read_other_passages_than_the_evidence_doubts_no_label() -> None:
    """On xquad_en most suspect labels were right: candidates had read the same wrong passage."""
    outcomes: tuple[tuple[tuple[str, ...], ReadingStep], ...] = (
        ((FEES, TRIPS), "label suspect"),
        ((TRIPS,), "retrieval miss"),
    )
    for shown, step in outcomes:
        one = said(WRONG, shown=shown)
        evidence = study({"a": one, "b": said()}, others={"sentence": {"a": one, "b": said()}})
        only(step, evidence)
    learnt = tuple(replace(i, reads=i.name == "rag") for i in evidence.candidates)
    rows = {"a": said(WRONG), "b": said()}
    closed = replace(study(rows, others={"sentence": rows}), candidates=learnt)
    assert errors(closed).errors[0].count is None  # `sentence` repeats what it learnt


@pytest.mark.parametrize("output", ["euros", "The fee is forty euros, and more besides."])
def test_more_or_fewer_words_than_the_label_has_doubt_it_not(output: str) -> None:
    rows = {"a": said(output), "b": said()}
    long = {"a": "forty euros a year for each card"} if output == "euros" else None
    assert "label suspect" not in counts(errors(study(rows, others={"x": rows}, targets=long)))


def test_agreement_on_the_right_answer_or_on_none_suspects_no_label() -> None:
    rows = {"a": said(WRONG), "b": said(NO_ANSWER), "c": said("forty")}
    others = {"sentence": {"a": said(WRONG), "b": said("no answer"), "c": said("forty")}}
    assert counts(errors(study(rows, others=others))) == {
        "label suspect": 1,
        "needless abstention": 1,
    }


def test_without_independent_candidates_no_label_can_be_suspect() -> None:
    found = errors(study({"a": said(WRONG)}, others={"lora": {"a": said(WRONG)}}))
    assert found.errors[0].name == "label suspect"
    assert (found.errors[0].count, found.errors[0].share) == (None, None)


def test_a_gap_of_the_corpus_is_an_answerable_row_without_evidence() -> None:
    rows = {"gap": said(WRONG), "b": said(WRONG), "c": said(WRONG)}
    found = errors(study(rows, targets={"c": NO_ANSWER}))
    steps = {row.id: row.error for row in found.examples}
    assert steps == {"gap": "corpus gap", "b": "skill", "c": "false answer"}


def test_a_miss_is_a_row_whose_evidence_was_not_read() -> None:
    rows = {
        "a": said(WRONG, shown=(TRIPS, "fees:0-37")),  # ends where the evidence begins
        "b": said(WRONG, shown=(TRIPS, "fees:0-38")),
    }
    only("retrieval miss", study(rows))


def test_evidence_that_was_found_and_did_not_fit_is_dropped() -> None:
    rows = {"a": said(WRONG, shown=(TRIPS,)), "b": said(WRONG, shown=(TRIPS,))}
    evidence = study(rows)
    assert {e.name: e.count for e in errors(evidence).errors}["dropped"] is None
    [one] = evidence.runs
    clean = replace(one.answers["clean", 0], dropped=((FEES,), ()))
    told = replace(evidence, runs=(replace(one, answers={("clean", 0): clean}),))
    only("dropped", told)
    assert counts(errors(told)) == {"dropped": 1, "retrieval miss": 1}


def test_a_row_without_passages_is_a_miss() -> None:
    only("retrieval miss", study({"a": said(WRONG, shown=()), "b": said(WRONG)}))


def test_right_without_its_evidence_is_reported_and_no_error() -> None:
    rows = {"a": said(shown=(TRIPS,)), "b": said(), "c": said("airport", shown=(TRIPS,))}
    found = errors(study(rows))
    assert found.errors[-1].name == "right by prior"
    assert (found.errors[-1].count, found.errors[-1].share) == (1, pytest.approx(1 / 3))
    assert (found.rows, found.wrong) == (3, 1)
    assert [row.id for row in found.examples] == ["c"]


def test_one_passage_cannot_distract_so_that_this_is_unknown() -> None:
    rows = {"a": said(WRONG), "b": said(WRONG)}
    gold, among = {"a": said(), "b": said()}, {"a": said(WRONG), "b": said()}
    for passages, count in ((2, 1), (1, None)):
        found = errors(study(rows, gold, among, passages=passages))
        assert {e.name: e.count for e in found.errors}["distraction"] == count


def test_misses_are_told_apart_by_what_was_found_below() -> None:
    rows = {f"m{n}": said(WRONG, shown=(TRIPS,)) for n in range(3)}
    plain = study(rows)
    found = errors(plain)
    assert (found.low, found.not_found) == (None, None)
    [one] = plain.runs
    answers = replace(one.answers["clean", 0], further=((FEES,), (), ("trips:1-5", "fees:40-41")))
    known = replace(plain, runs=(replace(one, answers={("clean", 0): answers}),))
    found = errors(known)
    assert (found.low, found.not_found) == (("m0", "m2"), ("m1",))
    assert counts(found) == {"retrieval miss": 3}


def test_distraction_is_right_alone_and_wrong_among_others() -> None:
    rows = {name: said(WRONG) for name in "abc"}
    gold = {"a": said(), "b": said(), "c": said(WRONG)}
    among = {"a": said(WRONG), "b": said(), "c": said(WRONG)}
    only("distraction", study(rows, gold, among))
    steps = {row.id: row.error for row in errors(study(rows, gold, among)).examples}
    assert steps == {"a": "distraction", "b": "skill", "c": "skill"}


def test_a_miss_is_no_distraction() -> None:
    rows = {"a": said("airport", shown=(TRIPS,))}
    found = errors(study(rows, {"a": said()}, {"a": said(WRONG)}))
    assert counts(found) == {"retrieval miss": 1}


def test_what_no_control_told_is_null_and_never_zero() -> None:
    found = errors(study({"a": said(WRONG)}))
    known = {error.name: error.count for error in found.errors}
    assert known["distraction"] is None
    assert known["dropped"] is None
    assert known["skill"] == 1
    assert known["retrieval miss"] == 0


def test_rows_without_controls_are_untold_and_shares_are_those_of_the_others() -> None:
    """Controls are asked of a random part of the rows: 1 in 2 of these is a distraction."""
    rows = {
        **{f"r{i}": said(WRONG) for i in range(6)},
        **{f"m{i}": said("airport", shown=(TRIPS,)) for i in range(4)},
    }
    gold = {"r0": said(), "r1": said(WRONG)}
    among = {"r0": said(WRONG), "r1": said(WRONG)}
    found = errors(study(rows, gold, among))
    assert (found.wrong, found.untold) == (10, 4)
    share = {error.name: error.share for error in found.errors if error.count}
    assert counts(found) == {"retrieval miss": 4, "distraction": 1, "skill": 1}
    assert share == {
        "retrieval miss": pytest.approx(0.4),
        "distraction": pytest.approx(0.3),
        "skill": pytest.approx(0.3),
    }


LONG = "The annual fee of the silver card that you asked about is forty euros"


def test_format_is_a_right_answer_in_too_many_words() -> None:
    rows = {"a": said(LONG), "b": said(LONG.replace("forty", "ninety"))}
    only("format", study(rows))


def test_a_part_must_be_nearly_right() -> None:
    rows = {"a": said(f"{LONG} a card"), "b": said(f"{LONG} a card")}
    # Of its parts, "forty euros a card" shares three of four words (F1 .86) or of five (.75).
    targets = {"a": "forty euros card year", "b": "forty euros card and year"}
    found = errors(study(rows, targets=targets))
    assert {row.id: row.error for row in found.examples} == {"a": "format", "b": "skill"}


def test_format_is_an_answer_that_was_cut_or_lost_when_it_was_shortened() -> None:
    rows = {
        "a": said(None, "cut", raw="The annual"),
        "c": said(None, "malformed", raw="{"),
        "d": said("the silver card", raw="the silver card is forty euros"),
        "b": said("the silver card", raw="the silver card is gold"),
    }
    only("format", study(rows))
    found = errors(study(rows))
    assert counts(found) == {"format": 3, "skill": 1}
    # The row shows the text as written too, which tells why the error is one of form.
    [shown] = [row.answers[0] for row in found.examples if row.id == "d"]
    assert (shown.output, shown.raw) == ("the silver card", "the silver card is forty euros")


def test_an_answer_that_was_refused_or_empty_is_a_needless_abstention() -> None:
    rows = {
        "a": said(None, "empty"),
        "c": said(None, "refused", raw="I cannot"),
        "d": said("No answer."),
        "b": said(WRONG),
    }
    only("needless abstention", study(rows))
    assert counts(errors(study(rows))) == {"needless abstention": 3, "skill": 1}


def test_an_unusable_answer_to_a_row_without_one_is_no_false_answer() -> None:
    rows = {"a": said(WRONG), "b": said(None, "cut", raw="The"), "c": said()}
    found = errors(study(rows, targets={"a": NO_ANSWER, "b": NO_ANSWER}))
    assert {row.id: row.error for row in found.examples} == {"a": "false answer", "b": "format"}


def test_ungrounded_is_what_does_not_stand_in_the_evidence() -> None:
    rows = {
        "a": said("twelve dollars monthly silver"),  # 1 of 4 words
        "b": said("ninety dollars"),  # 1 of 2: just grounded
    }
    only("ungrounded", study(rows))


def test_another_passage_grounds_nothing() -> None:
    """Its words occur in what was read, but not in the passage with the evidence."""
    only("ungrounded", study({"a": said("airport lounges", shown=(TRIPS, FEES))}))


def test_without_the_documents_nothing_is_ungrounded() -> None:
    found = errors(study({"a": said("twelve dollars")}, task=Answering(documents="lost")))
    known = {error.name: error.count for error in found.errors}
    assert known["ungrounded"] is None
    assert known["skill"] == 1


def test_skill_is_what_is_left_and_half_right_is_no_error() -> None:
    rows = {"a": said("ninety euros a year"), "b": said("forty")}  # F1 1/3 and 2/3
    found = errors(study(rows))
    assert counts(found) == {"skill": 1}
    assert (found.rows, found.wrong) == (2, 1)


def test_every_wrong_row_has_one_error() -> None:
    rng = np.random.default_rng(3)
    texts = (WRONG, NO_ANSWER, LONG, RIGHT, "twelve dollars", None)
    rows, gold, among, other = ({} for _ in range(4))
    for i in range(200):
        draw = [texts[k] for k in rng.integers(len(texts), size=4)]
        shown = (FEES,) if rng.random() < 0.7 else (TRIPS,)
        made = [said(t, "cut" if t is None else "ok", shown=shown) for t in draw]
        rows[f"r{i}"], other[f"r{i}"] = made[0], made[1]
        if i % 2:
            gold[f"r{i}"], among[f"r{i}"] = made[2], made[3]
    targets = {f"r{i}": NO_ANSWER for i in range(0, 200, 9)}
    found = errors(study(rows, gold, among, {"sentence": other}, targets))
    told = [error for error in found.errors[:-1] if error.count is not None]
    assert sum(error.count for error in told) + found.untold == found.wrong
    assert sum(error.share for error in told) == pytest.approx(1)
    assert found.untold > 10
    assert all(error.count for error in told if error.name != "corpus gap")


def test_the_candidate_is_one_that_reads_and_fine_tuned_ones_come_last() -> None:
    rows = {f"r{i}": said(WRONG) for i in range(3)}
    better = {f"r{i}": said() for i in range(3)}
    evidence = study(rows, others={"sentence": better, "lora": better})

    def chosen(**families: str) -> str | None:
        infos = [
            replace(i, reads=i.name in families, family=families.get(i.name, i.family))
            for i in evidence.candidates
        ]
        changed = replace(evidence, candidates=tuple(infos))
        found = reading_errors(changed, study_scores(changed))
        return None if found is None else found.candidate

    assert chosen(rag="retrieval", sentence="baseline", lora="fine-tuning") == "rag"
    assert chosen(sentence="baseline", lora="fine-tuning") == "sentence"
    assert chosen(lora="fine-tuning") == "lora"
    assert chosen(rag="retrieval", lora="prompting") == "lora"
    assert chosen() is None


def test_without_evidence_there_is_nothing_to_tell() -> None:
    evidence = study({"a": said(WRONG)})
    bare = replace(evidence, items=replace(evidence.items, evidence={}))
    assert reading_errors(bare, study_scores(bare)) is None


def test_rows_are_listed_kind_by_kind_and_personal_ones_without_text() -> None:
    rows: dict[str, Said] = {f"s{i:02}": said(WRONG) for i in range(20)}
    rows |= {"m0": said("airport", shown=(TRIPS,)), "m1": said("airport", shown=(TRIPS,))}
    other = {id: said("gold") for id in rows}
    evidence = study(rows, others={"sentence": other}, personal=frozenset({"m0"}))
    found = errors(evidence).examples
    assert [row.id for row in found[:4]] == ["m0", "s00", "m1", "s01"]
    assert len(found) == MOST_ROWS
    secret, plain = found[0], found[2]
    assert (secret.target, secret.answers, secret.text) == (None, (), None)
    assert secret.shown == (TRIPS,)
    assert plain.evidence == ("fees:37-48",)
    assert plain.target == RIGHT
    assert [(a.candidate, a.output) for a in plain.answers] == [
        ("rag", "airport"),
        ("sentence", "gold"),
    ]


def test_a_listed_row_has_the_answers_of_the_best_candidates() -> None:
    rows = {f"r{i}": said(WRONG if i else RIGHT) for i in range(4)}
    poor = {f"bad{k}": {id: said(f"no {k}") for id in rows} for k in range(MOST_ANSWERS)}
    good = {id: said() for id in rows}
    found = errors(study(rows, others={**poor, "lora": good})).examples
    assert [one.candidate for one in found[0].answers][:2] == ["rag", "lora"]
    assert len(found[0].answers) == MOST_ANSWERS


def test_the_decision_has_them_and_names_the_personal_rows() -> None:
    rows: dict[str, Said] = {f"r{i:02}": said(WRONG) for i in range(30)}
    rows |= {f"k{i:02}": said() for i in range(30)}
    decision = judge(
        study(rows, personal=frozenset({"r00", "k00"})), Rule(measure=Measure(metric="token-f1"))
    )
    assert decision.reading_errors is not None
    assert decision.reading_errors.candidate == "rag"
    assert decision.personal == ("r00",)


def test_a_metric_that_may_not_run_here_is_not_asked() -> None:
    """A stored study runs no code of the user's: its metric cannot score parts of answers."""
    metric = UserMetric(name="mine:score", scores=("mine",), code="")
    with pytest.raises(StudyError, match="may not run code"):
        metric.score(RIGHT, [RIGHT])
    evidence = study({"a": said(LONG), "b": said(WRONG)}, task=replace(TASK, metric=metric))
    assert counts(errors(evidence)) == {"format": 1, "skill": 1}


def test_the_first_repetition_is_told() -> None:
    evidence = study({"a": said(WRONG), "b": said()})
    later = run("rag", {"clean": {"a": said(), "b": said()}}, {"a": RIGHT, "b": RIGHT}, 1)
    both = replace(evidence, runs=(later, *evidence.runs))
    assert counts(errors(both)) == {"skill": 1}


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


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("forty euros", 1.0),
        ("forty dollars", 0.5),
        ("the fee of it", 0.75),  # no content word: all count, and "it" occurs nowhere
        ("Forty, of course, 40", 1 / 3),
        ("", 1.0),
    ],
)
def test_the_share_of_content_words_in_a_passage(answer: str, share: float) -> None:
    assert groundedness(answer, TEXT) == pytest.approx(share)


def test_only_the_first_words_of_a_long_answer_are_looked_at() -> None:
    assert nearest_part("word " * 100_000, "word " * 2_000)[1] == pytest.approx(200 / 2_100)
    assert nearest_part("word " * MOST_WORDS + RIGHT, RIGHT) == ("", 0.0)


def test_every_step_is_in_the_record_in_its_order() -> None:
    found = errors(study({"a": said(WRONG)}))
    assert [error.name for error in found.errors] == [
        *("label suspect", "corpus gap", "retrieval miss", "dropped", "distraction", "format"),
        *("needless abstention", "false answer", "ungrounded", "skill", "right by prior"),
    ]
