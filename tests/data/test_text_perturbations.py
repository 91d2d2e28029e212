from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choose.data.readers.table_file import read_table
from choose.data.text_perturbations import VIEWS, sample_rows, typos, view
from choose.errors import StudyError
from choose.types import Dataset, Item

TEXTS = st.text(min_size=1).filter(str.strip) | st.sampled_from(
    ["[bold red]x[/]", "=cmd()", "\x1b[31mred", "don't", "a", "https://a.example/Where?x=letter"]
)


def seen(name: str, text: str, id: str = "1", seed: int = 0) -> str:
    return view(name, [Item(id=id, text=text)], seed)[0].text


@given(st.sampled_from(list(VIEWS)), TEXTS, st.text(max_size=5), st.integers(0, 9))
def test_a_view_depends_on_id_text_and_seed_alone_and_is_never_empty(name, text, id, seed):
    alone = seen(name, text, id, seed)
    among = view(name, [Item(id="x", text="other"), Item(id=id, text=text)], seed)[1]
    assert among.text == alone
    assert among.id == id
    assert alone.strip()


@given(TEXTS)
def test_views_keep_the_letters(text: str) -> None:
    assert seen("clean", text) == text
    assert Counter(seen("typos", text)) == Counter(text)


def test_typos_leave_names_links_codes_and_negations_alone() -> None:
    kept = (
        "never @someone #topic https://example.com/path a.b@example.com file_name v1.2 from can't"
    )
    assert {typos(kept, Random(seed)) for seed in range(50)} == {kept}
    changed = seen("typos", "transfer")
    assert changed != "transfer"
    assert (changed[0], changed[-1]) == ("t", "r")


def test_unknown_views_are_refused() -> None:
    with pytest.raises(StudyError, match="Did you mean 'typos'"):
        view("typo", [], 0)


def test_seeds_and_items_differ() -> None:
    text = "Where in the world is the transfer that was promised yesterday afternoon"
    assert len({seen("typos", text, seed=seed) for seed in range(8)}) > 4
    assert len({seen("typos", text, id=str(id)) for id in range(8)}) > 4


def test_most_toy_texts_are_changed(toy: Dataset) -> None:
    items = [example.item() for example in toy.examples.values()]
    changed = sum(a.text != b.text for a, b in zip(items, view("typos", items, 0), strict=True))
    assert changed / len(items) > 0.95


def test_most_real_texts_are_changed(shared_data: Path) -> None:
    texts = read_table(shared_data / "banking77" / "test.csv")["text"].to_list()
    items = [Item(id=str(i), text=text) for i, text in enumerate(texts)]
    changed = sum(a.text != b.text for a, b in zip(items, view("typos", items, 0), strict=True))
    assert changed / len(items) >= 0.97


def test_rows_for_views_are_few_and_stratified() -> None:
    targets = {str(i): "a" if i % 4 else "b" for i in range(1_000)}
    chosen = sample_rows(list(targets), targets, 200, 0)
    assert Counter(targets[id] for id in chosen) == {"a": 150, "b": 50}
    assert chosen == sample_rows(list(targets), targets, 200, 0)
    assert sample_rows(["1", "2"], targets, 200, 0) == ("1", "2")
