"""The linear reader: its scores, its gradient, what it learns and how it is stored."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from choose.conformance import HOSTILE
from choose.models.retrieval import span_reader
from choose.models.retrieval.span_features import (
    ENDS,
    Place,
    Seen,
    Source,
    Vocabulary,
    occurrences,
    passage_features,
    passage_words,
    seen,
    words_at,
)
from choose.models.retrieval.span_reader import Row, SpanReader

TEXTS = [
    "The town of Kent is old. Its bridge opened in 1912, by Ann Lee.",
    "A fair is held in May. Rye lies near the sea.",
    "x",
]
ROWS = [
    Row(
        "When did the bridge open?",
        [Source("Kent", TEXTS[0]), Source("Rye", TEXTS[1])],
        [Place(0, 46, 50)],
    ),
    Row("Where does Rye lie?", [Source("", TEXTS[1]), Source("", TEXTS[2])], []),
    Row("Who opened it?", [Source("", TEXTS[0])], [Place(0, 55, 62), Place(0, 4, 8)]),
    Row("What?", [Source("", TEXTS[2]), Source("", ""), Source("", TEXTS[1])], [Place(2, 7, 22)]),
]


def seen_rows(
    reader: SpanReader, rows: list[Row]
) -> tuple[list[Seen], list[list[tuple[int, int, int]]]]:
    read = [seen(reader.vocabulary, row.question, row.sources) for row in rows]
    spans = [
        [found for place in row.answers if (found := words_at(asked, place))]
        for asked, row in zip(read, rows, strict=True)
    ]
    return read, spans


@pytest.fixture
def untrained() -> SpanReader:
    reader = SpanReader(1.0)
    reader.longest = 8
    reader.vocabulary = Vocabulary.learnt([row.question for row in ROWS], TEXTS)
    return reader


def loss_of(reader: SpanReader) -> span_reader._SpanLoss:
    read, spans = seen_rows(reader, ROWS)
    blocks = list(span_reader._blocks(read, spans, 8))
    return span_reader._SpanLoss(blocks, len(ROWS), 1.0, 8)


def some_weights(shape: tuple[int, int], scale: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=shape) * scale).astype(np.float32)


def test_the_gradient_is_that_of_the_loss(untrained: SpanReader) -> None:
    loss = loss_of(untrained)
    weights = some_weights(loss.shape)
    _, gradient = loss(weights)
    chosen = [*np.random.default_rng(1).permutation(len(weights))[:200], *range(-15, 0)]
    for place in chosen:
        up, down = weights.copy(), weights.copy()
        up[place] += 1e-2
        down[place] -= 1e-2
        numeric = (loss(up)[0] - loss(down)[0]) / 2e-2
        assert gradient[place, 0] == pytest.approx(numeric, abs=2e-3)


def test_the_score_of_a_span_is_the_sum_of_its_parts(untrained: SpanReader) -> None:
    weights = span_reader._parts(some_weights((span_reader._size(8), 1)), 8)
    read, spans = seen_rows(untrained, ROWS)
    block = span_reader._block(read[:1], spans[:1], 8)
    scores, none = span_reader._span_scores(block, weights)
    asked, [first, second] = read[0].question, read[0].passages
    assert none[0] == pytest.approx(float(weights["none"] @ read[0].none), rel=1e-4)
    count = len(first.own)
    assert scores.shape == (count + len(second.own), 8)

    def own(name: str, look: np.ndarray) -> float:
        return float(asked @ weights[name].reshape(len(asked), -1) @ look)

    def span(start: int, end: int) -> float:
        before, here, last, after = (first.number[n] for n in (start, start + 1, end + 1, end + 2))
        total = weights["start"] @ first.start[start] + own("start own", first.own[start])
        total += weights["start before"][before] + weights["start number"][here]
        total += weights["end"] @ first.end[end] + own("end own", first.own[end])
        total += weights["end number"][last] + weights["end after"][after]
        for word in range(start, end + 1):
            total += weights["inside"] @ first.shared[word] + own("inside own", first.own[word])
        extra = end - start
        total += weights["length"][extra]
        lengths = asked @ weights["asked length"].reshape(len(asked), -1)
        shapes = [math.log1p(extra), extra / 10, extra == 0, extra > 4]
        return float(total + lengths @ np.array(shapes, np.float32))

    for start, end in ((0, 0), (0, 7), (3, 5), (count - 2, count - 1), (count - 1, count - 1)):
        assert scores[start, end - start] == pytest.approx(span(start, end), abs=1e-4)
    # No span goes on into the next passage.
    assert np.isneginf(scores[count - 1, 1:]).all()
    assert np.isneginf(scores[count - 3, 3:]).all()


def test_the_loss_is_that_of_one_softmax_over_all_passages(untrained: SpanReader) -> None:
    loss = loss_of(untrained)
    weights = some_weights(loss.shape)
    parts = span_reader._parts(weights, 8)
    read, spans = seen_rows(untrained, ROWS)
    total = 0.0
    for asked, own in zip(read, spans, strict=True):
        every, right = [float(asked.none @ parts["none"])], []
        for number, passage in enumerate(asked.passages):
            if not len(passage.own):
                continue
            one = Seen(asked.question, [passage], asked.none)
            scores = span_reader._span_scores(span_reader._block([one], [[]], 8), parts)[0]
            every += [float(score) for score in scores.ravel() if np.isfinite(score)]
            right += [float(scores[a, b - a]) for n, a, b in own if n == number]
        total += float(np.logaddexp.reduce(every) - np.logaddexp.reduce(right or every[:1]))
    penalty = 0.5 / len(ROWS) * float((weights**2).sum())
    assert loss(weights)[0] == pytest.approx(total / len(ROWS) + penalty, rel=1e-4)


def test_blocks_do_not_change_the_loss(
    untrained: SpanReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loss_of(untrained)
    monkeypatch.setattr(span_reader, "_BLOCK", 20)
    parts = loss_of(untrained)
    assert len(parts.blocks) > len(whole.blocks) == 1
    weights = some_weights(whole.shape)
    assert parts(weights)[0] == pytest.approx(whole(weights)[0], rel=1e-5)
    assert parts(weights)[1] == pytest.approx(whole(weights)[1], abs=1e-5)


TOWNS = [
    "Kent",
    "Wick",
    "Bath",
    "York",
    "Deal",
    "Hull",
    "Ryde",
    "Stow",
    "Looe",
    "Bude",
    "Ware",
    "Ilkley",
]
PEOPLE = ["Ann Lee", "Bo Day", "Cy Orr", "Di Fox", "Ed Ash", "Flo Kay"]


def world(rng: random.Random, rows: int) -> list[Row]:
    """Questions on who built a bridge, and when, of which a fifth have no answer."""
    found = []
    for _ in range(rows):
        town, other = rng.sample(TOWNS, 2)
        who, year = rng.choice(PEOPLE), str(rng.randrange(1800, 2020))
        text = (
            f"The town of {town} has a mill. Its old bridge was built by {who} in {year}. It rains."
        )
        wrong = f"{other} has a mill of {rng.randrange(1800, 2020)}. {rng.choice(PEOPLE)} was born."
        about_person = rng.random() < 0.5
        question = (
            f"Who built the bridge of {town}?"
            if about_person
            else f"When was the bridge of {town} built?"
        )
        answer = who if about_person else year
        if rng.random() < 0.2:
            found.append(Row(question, [Source("", wrong)], []))
            continue
        sources = [Source("", text), Source("", wrong)]
        rng.shuffle(sources)
        number = sources.index(Source("", text))
        start = text.index(f"by {who}") + 3 if about_person else text.index(year)
        found.append(Row(question, sources, [Place(number, start, start + len(answer))]))
    return found


@pytest.fixture(scope="module")
def trained() -> SpanReader:
    rows = world(random.Random(0), 80)
    reader = SpanReader(0.4)
    reader.fit(rows, [source.text for row in rows for source in row.sources])
    return reader


def test_it_learns_what_answers_which_question(trained: SpanReader) -> None:
    right = none = 0
    rows = world(random.Random(1), 60)
    for row in rows:
        reading = trained.read(row.question, row.sources)
        assert reading is not None
        if row.answers:
            place = row.answers[0]
            text = row.sources[place.passage].text
            right += (
                reading.passage == place.passage and reading.answer == text[place.start : place.end]
            )
        else:
            none += reading.none > 0.5
    answered = sum(bool(row.answers) for row in rows)
    assert right >= 0.9 * answered
    assert none >= 0.9 * (len(rows) - answered)


def test_probabilities_are_those_of_all_spans_and_no_answer(trained: SpanReader) -> None:
    row = next(row for row in world(random.Random(2), 9) if len(row.sources) == 2)
    reading = trained.read(row.question, row.sources)
    assert reading is not None
    asked = seen(trained.vocabulary, row.question, row.sources)
    block = span_reader._block([asked], [[]], trained.longest)
    scores, none = span_reader._span_scores(block, trained.weights)
    every = np.append(scores[np.isfinite(scores)], none).astype(np.float64)
    chances = np.exp(every - np.logaddexp.reduce(every))
    assert reading.none == pytest.approx(chances[-1], abs=1e-5)
    assert reading.probability == pytest.approx(chances[:-1].max(), abs=1e-5)


def test_a_passage_that_helps_nothing_does_not_change_the_answer(trained: SpanReader) -> None:
    for row in world(random.Random(3), 20):
        alone = trained.read(row.question, row.sources)
        more = trained.read(row.question, [*row.sources, Source("", "It rains.")])
        assert alone is not None
        assert more is not None
        if alone.probability > 0.5:
            assert more.answer == alone.answer
            assert more.passage == alone.passage


def test_of_equal_passages_the_first_is_read(trained: SpanReader) -> None:
    source = Source("", "The bridge of Kent was built in 1840.")
    reading = trained.read("When was the bridge of Kent built?", [source] * 3)
    assert reading is not None
    assert reading.passage == 0


def test_nothing_to_read_is_no_reading(trained: SpanReader) -> None:
    assert trained.read("What?", []) is None
    assert trained.read("What?", [Source("Title", ""), Source("", " \n ")]) is None
    reading = trained.read("", [Source("", ""), Source("", "One.")])
    assert reading is not None
    assert (reading.passage, reading.answer[:3]) == (1, "One")


def test_hostile_texts_are_read(trained: SpanReader) -> None:
    for text in (*HOSTILE, "\ud800 alone", "a_b " * 400, "人" * 300, "." * 3000):
        for question in ("When?", text):
            reading = trained.read(question, [Source(text, text), Source("", "In 1912.")])
            assert reading is not None
            assert reading.answer
            assert 0 <= reading.probability <= 1


def test_a_reader_without_rows_or_answers_still_reads() -> None:
    for rows in ([], [Row("What?", [], [])], [Row("Who is it?", [Source("", "Ann.")], [])]):
        reader = SpanReader(1.0)
        reader.fit(rows, [])
        assert reader.read("Who?", [Source("", "Bo Day.")]) is not None


def test_a_stored_reader_reads_alike(trained: SpanReader) -> None:
    facts, arrays = trained.state()
    again = SpanReader.restored(facts, arrays)
    for row in world(random.Random(4), 10):
        assert again.read(row.question, row.sources) == trained.read(row.question, row.sources)


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({"longest": 600}, ""),
        ({"common": ["a"] * 100}, ""),
        ({}, "start"),
        ({"longest": 9}, ""),
    ],
)
def test_damaged_readers_are_refused(
    trained: SpanReader, changed: dict[str, object], lost: str
) -> None:
    facts, arrays = trained.state()
    cut = {name: array[:-1] if name == lost else array for name, array in arrays.items()}
    if changed == {"longest": 9} and trained.longest == 9:
        changed = {"longest": 10}
    with pytest.raises(ValueError):
        SpanReader.restored({**facts, **changed}, cut)


def test_answers_are_found_but_for_case_and_marks_around_them() -> None:
    text = "Up 1,200.5 m, the United Kingdom's king; the United   Kingdom."
    found = [text[start:end] for start, end in occurrences("united kingdom.", text)]
    assert found == ["United Kingdom", "United   Kingdom"]
    assert [text[a:b] for a, b in occurrences("1,200.5", text)] == ["1,200.5"]
    assert occurrences("200", text) == occurrences("", text) == occurrences("?!", text) == []
    chinese = "东京塔高333米。"
    assert [chinese[a:b] for a, b in occurrences("333米", chinese)] == ["333米"]


def test_words_of_the_question_are_marked_and_count_once() -> None:
    vocabulary = Vocabulary.learnt(["the bridge"], ["the bridge", "the town", "the sea", "the"])
    assert vocabulary.rarity["the"] < vocabulary.rarity["bridge"] < 1
    words = passage_words("The bridge and bridges. A town.")
    shown = passage_features("Where is the bridge?", words, vocabulary)
    assert shown.shared[:, 0].tolist() == [1, 1, 0, 1, 0, 0, 0, 0]
    assert shown.shared[3, 1] == pytest.approx(0.7)  # nearly the word, and it occurs nowhere else
    assert shown.shared[:, 2].tolist() == [1, 0, 0, 0, 0, 1, 0, 0]
    assert shown.start.shape == shown.end.shape == (8, ENDS)
    again = passage_features("bridge bridge Where is the bridge?", words, vocabulary)
    assert again.start == pytest.approx(shown.start, abs=1e-6)
    elsewhere = passage_features(
        "Where is the bridge?", passage_words("A town."), vocabulary, "The bridge"
    )
    assert elsewhere.covered[1] > elsewhere.covered[0] == 0
