"""Documents are cut into passages of whole sentences, and places are spans of characters."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose import corpus as corpus_module
from choose.corpus import Corpus, Document, Span, sentences_around, span_of

TEXT = "Refunds take 5 days. We pay them by card. " * 10


def corpus(*texts: str) -> Corpus:
    return Corpus(tuple(Document(id=f"d{n}", text=t, title="T") for n, t in enumerate(texts)))


def test_passages_hold_whole_sentences_up_to_the_limit() -> None:
    passages = corpus(TEXT).passages(20)
    assert all(len(p.text.split()) <= 20 for p in passages)
    assert all(p.text.endswith(".") for p in passages)
    assert " ".join(p.text for p in passages) == TEXT.strip()


@given(st.lists(st.text(alphabet=" .!?\nab", max_size=60), min_size=1, max_size=4))
def test_every_word_is_in_one_passage_of_its_own_document(texts: list[str]) -> None:
    cut = corpus(*texts)
    for words in (1, 3, 100):
        passages = cut.passages(words)
        for number, text in enumerate(texts):
            own = [p for p in passages if p.span.document == f"d{number}"]
            assert " ".join(p.text for p in own).split() == text.split()
            assert all(p.text == text[p.span.start : p.span.end] for p in own)
            assert all(1 <= len(p.text.split()) <= words for p in own)


def test_a_long_sentence_is_cut_between_words() -> None:
    assert [len(p.text.split()) for p in corpus("word " * 250).passages(100)] == [100, 100, 50]


def test_spans_overlap_in_characters_of_one_document() -> None:
    span = Span("a:1-2", 10, 20)
    assert span_of(span.id) == span
    assert span.overlaps(Span("a:1-2", 19, 30))
    assert not span.overlaps(Span("a:1-2", 20, 30))
    assert not span.overlaps(Span("b", 10, 20))


def test_the_digest_tells_documents_apart() -> None:
    assert corpus("a", "b").digest != corpus("a", "c").digest
    assert corpus("a", "b").digest == corpus("a", "b").digest
    assert corpus("a").passages(5) is not corpus("a").passages(5)
    one = corpus("a b c")
    assert one.passages(5) is one.passages(5)


def test_what_is_shown_begins_with_the_title() -> None:
    [passage] = corpus("Refunds take 5 days.").passages()
    assert passage.shown == "T: Refunds take 5 days."
    assert passage.id == "d0:0-20"


@given(st.text(alphabet=" .\"'?\nab\u3002", max_size=80), st.integers(0, 80), st.integers(0, 9))
def test_sentences_around_a_place_are_those_of_the_whole_text(text, start, length):
    start = min(start, len(text))
    end = min(start + length, len(text))
    ends = [match.end() for match in corpus_module._END.finditer(text)]
    begin = max((stop for stop in ends if stop <= start), default=0)
    expected = begin, min((stop for stop in ends if stop >= end), default=len(text))
    for before in (1, 2, 7, 1_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(corpus_module, "_AROUND", before)
            assert sentences_around(text, start, end) == expected


def test_the_sentence_of_a_place_in_a_book_is_found_without_reading_the_book() -> None:
    text, began = TEXT * 12_000, process_time()  # 5 MB, all of it read in half a second
    for place in range(0, len(text), len(text) // 60):
        begin, end = sentences_around(text, place, place + 3)
        assert end - begin < 60
    assert process_time() - began < 5


def test_blanks_and_quotes_without_end_take_no_longer_than_words() -> None:
    for text in (" " * 400_000, ".'" + "'" * 400_000, "\t \r" * 100_000 + "x"):
        kept = "".join("".join(p.text.split()) for p in corpus(f"{text} end.").passages())
        assert kept == "".join(f"{text} end.".split())


def test_a_run_of_letters_without_spaces_is_cut_into_passages() -> None:
    assert [len(p.text) for p in corpus("x" * 100_050).passages(100)] == [20_000] * 5 + [50]


def test_passages_of_scripts_without_spaces_are_as_short_as_others() -> None:
    texts = {
        "Chinese": "退款需要五个工作日,我们会把款项退回原来的银行卡" * 60,
        "Japanese": "返金には五営業日かかります、カードに返金されます" * 60,
        "Thai": "การคืนเงินใช้เวลาห้าวันทำการและจะคืนเข้าบัตรเดิม" * 60,
    }
    for text in texts.values():
        passages = corpus(text).passages(100)
        assert all(100 < len(p.text) <= 300 for p in passages[:-1])
        assert "".join(p.text for p in passages) == text
    [first, *_] = corpus("退款 takes five days。" * 40).passages(20)
    # Four words a sentence; a mark stays with its sentence.
    assert first.text == "退款 takes five days。" * 5
