import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from choose.data import duplicates
from choose.data.duplicates import similar_pairs
from choose.data.readers.labelled_file import dataset_name
from choose.data.scenarios import Pools, SplitSpec
from choose.data.splits import build_dataset
from choose.data.stratify import (
    sampling_order,
    strata_of,
    stratified_folds,
    stratified_order,
    stratified_sample,
    training_pool,
)
from choose.errors import DataError, StudyError
from choose.formatting import normalised
from choose.schema.study_sections import DataSection, TaskSection
from choose.types import Dataset, Example, Scenario
from support.studies import TASK, label_rows, load, load_dataset

WORDS = ("red", "blue", "green", "amber", "violet", "teal", "olive", "navy", "coral", "beige")


def row(number: int, target: str, text: str | None = None, **more: str) -> Example:
    return Example(id=f"r{number}", text=text or f"row {number} unlike", target=target, **more)


def many(count: int, labels: int = 2) -> list[Example]:
    return [row(i, f"l{i % labels}", f"number{i} says word{i * 7}") for i in range(count)]


def found(dataset: Dataset, word: str) -> str:
    [matching] = [finding for finding in dataset.findings if word in finding]
    return matching


def check_no_straddling(dataset: Dataset) -> None:
    """No fold asks about a row that shares group, text or cluster with one it may learn from."""
    rows = dataset.examples
    for fold in dataset.folds:
        assert not set(fold.pool) & set(fold.questions)
        for shared in (
            lambda id: dataset.clusters.get(id),
            lambda id: rows[id].group,
            lambda id: normalised(rows[id].text),
        ):
            sides = [{shared(id) for id in side} - {None} for side in (fold.pool, fold.questions)]
            assert not sides[0] & sides[1]


def test_every_row_is_tested_once_and_never_in_its_own_training_pool(toy: Dataset) -> None:
    assert toy.division == "cross-fit"
    assert len(toy.folds) == 5
    assert sorted(toy.asked) == sorted(toy.examples)
    for fold in toy.folds:
        assert Counter(toy.examples[id].target for id in fold.questions) == dict.fromkeys(
            toy.task.labels, 2
        )
        assert set(fold.pool) | set(fold.questions) == set(toy.examples)
    assert toy.findings == ()
    assert toy.clusters == {}


TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
GROUPS = st.none() | st.integers(0, 12).map(str)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from("ab"), GROUPS), min_size=12, max_size=60)


@settings(max_examples=60)
@given(ROWS, st.integers(2, 5))
def test_groups_and_repeated_texts_never_straddle(drawn, folds):
    rows = [Example(id=str(i), text=t, target=y, group=g) for i, (t, y, g) in enumerate(drawn)]
    try:
        dataset = build_dataset("any", rows, folds=folds)
    except DataError:
        return  # one label only, or rows that hang together too much to be divided
    check_no_straddling(dataset)
    assert sorted(dataset.asked) == sorted(dataset.examples)


def test_near_duplicates_share_a_cluster() -> None:
    words = [f"w{i}" for i in range(30)]
    text = " ".join(words)
    rows = [*many(30), row(100, "l0", text), row(101, "l1", text.upper() + "!!")]
    rows.append(row(102, "l0", " ".join([*words[:-1], "changed"])))
    dataset = build_dataset("near", rows)
    assert set(dataset.clusters) == {"r100", "r101", "r102"}
    assert len(set(dataset.clusters.values())) == 1
    check_no_straddling(dataset)


def test_a_template_that_chains_most_rows_does_not_stop_the_study() -> None:
    words = [f"w{i}" for i in range(60)]
    rows = [row(i, f"l{i % 2}", " ".join(words[i : i + 40])) for i in range(20)]
    dataset = build_dataset("chain", rows)
    assert "20 rows" in found(dataset, "chain")
    assert len(dataset.folds) == 5


@pytest.mark.parametrize(("count", "folds"), [(399, 5), (400, 4), (499, 4), (500, 5)])
def test_one_fit_answers_100_rows_where_four_folds_can(count: int, folds: int) -> None:
    rows = [row(i, f"l{i % 2}", f"text {i} {i * i}") for i in range(count)]
    assert len(build_dataset("apart", rows).folds) == folds
    assert len(build_dataset("apart", rows, folds=5).folds) == 5


def test_from_5000_rows_on_a_stratified_part_is_held_out() -> None:
    dataset = build_dataset("big", many(5_000, 4))
    [fold] = dataset.folds
    assert dataset.division == "held-out"
    assert (len(fold.pool), len(fold.questions)) == (4_000, 1_000)
    assert set(Counter(dataset.examples[id].target for id in fold.questions).values()) == {250}
    assert len(build_dataset("big", many(5_000), folds=2).folds) == 2


def test_the_held_out_part_is_capped() -> None:
    assert len(build_dataset("huge", many(16_000)).asked) == 3_000


def test_groups_stay_whole_in_a_held_out_part() -> None:
    rows = [
        row(i, f"l{i % 2}", f"number{i} says word{i * 7}", group=str(i // 5)) for i in range(5_000)
    ]
    dataset = build_dataset("groups", rows)
    check_no_straddling(dataset)
    assert 900 <= len(dataset.asked) <= 1_000


def test_pool_rows_shadowed_by_a_test_row_are_left_out_and_test_rows_stay() -> None:
    pool = [*many(20), row(50, "l0", "the same text"), row(51, "l1", "other thing", group="g")]
    test = [row(0, "l0", "The SAME  text!"), row(60, "l1", "unseen thing", group="g")]
    test.append(row(61, "l1", "something quite different"))
    dataset = build_dataset("t", pool, test)
    [fold] = dataset.folds
    assert fold.questions == ("test:r0", "test:r60", "test:r61")
    assert not {"r50", "r51"} & set(dataset.examples)
    assert len(fold.pool) == 20
    check_no_straddling(dataset)
    assert "2 of 3 test rows" in found(dataset, "left out")
    assert dataset.leaked == 2


def test_labels_of_the_test_file_join_the_task() -> None:
    test = [row(100, "l0", "asked this"), row(101, "new", "asked that"), row(102, "new", "and so")]
    assert build_dataset("t", many(40), test).task.labels == ("l0", "l1", "new")


def test_what_contradicts_a_test_file_is_refused(refusal) -> None:
    with pytest.raises(StudyError, match=r"data\.folds"):
        build_dataset("t", many(20), many(20), folds=3)
    assert "20 of 20 training rows" in refusal(DataError, build_dataset, "t", many(20), many(20))
    with pytest.raises(DataError, match="No label of the test file occurs"):
        build_dataset("t", many(20), [row(90, "x"), row(91, "x")])
    assert "At least 2" in refusal(DataError, build_dataset, "t", many(20), [row(90, "l0")])
    # With one label "always the same answer" had 100 % mean recall, and was the one to use.
    with pytest.raises(DataError, match="All 2 rows of the test file have the label 'l0'"):
        build_dataset("t", many(20), [row(90, "l0", "one"), row(91, "l0", "two")])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (many(2), "At least 8 are needed"),
        ([], "At least 8"),
        (many(30, 1), "All 30 labelled rows have the label 'l0'"),
        (many(30, 30), "30 different labels in 30 labelled rows"),
        (many(30, 20), "looks like an id or free text"),
        ([*many(20), *many(20)], "has the id 'r0'"),
        ([*many(20), row(90, "1"), row(91, "1.0")], "'1' and '1.0' are the same number"),
        ([row(i, f"l{i % 2}", group=f"{i % 3}") for i in range(30)], "only 3 sets"),
        ([row(i, f"l{i // 6}", group=f"{i // 6}") for i in range(12)], "only 2 sets"),
    ],
)
def test_rows_that_cannot_be_divided_are_refused(rows: list[Example], says: str) -> None:
    with pytest.raises(DataError, match=says):
        build_dataset("bad", rows)


def test_a_fold_without_choice_is_refused(refusal) -> None:
    rows = [row(i, f"l{i // 6}", f"t{i} u{i}", group=f"{i // 6}") for i in range(12)]
    assert "only one label" in refusal(DataError, build_dataset, "bad", rows, folds=2)


def test_rows_without_a_text_or_a_label_are_left_out_and_counted() -> None:
    dataset = build_dataset("f", [*many(40), row(100, "l0", "  "), row(101, "", "without a label")])
    assert "r100" not in dataset.examples
    assert (
        found(dataset, "without a text") == "1 row of the file without a text left out: row r100."
    )
    assert "row r101" in found(dataset, "without a label")


def test_ids_in_findings_are_plain_text() -> None:
    rows = [*many(30), Example(id="\x1b[31m" + "x" * 100, text=" ", target="l0")]
    assert "\x1b" not in found(build_dataset("ids", rows), "without a text")
    assert len(found(build_dataset("ids", rows), "without a text")) < 120


IDS = st.dictionaries(st.text(max_size=4), st.sampled_from("abcd"), min_size=1, max_size=80)


@given(IDS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_an_order_holds_each_row_once_whatever_the_order_it_was_given(targets, draw, random):
    order = sampling_order(targets, targets, draw)
    shuffled = list(targets)
    random.shuffle(shuffled)
    assert sorted(order) == sorted(targets)
    assert sampling_order(shuffled, targets, draw) == order


@given(IDS, st.integers(0, 5))
def test_every_prefix_covers_the_classes_and_is_stratified(targets, draw):
    order, totals = sampling_order(targets, targets, draw), Counter(targets.values())
    assert {targets[id] for id in order[: len(totals)]} == set(totals)
    for size in range(len(totals), len(order) + 1):
        counts = Counter(targets[id] for id in order[:size])
        for label, total in totals.items():
            assert abs(counts[label] - total * size / len(order)) <= len(totals) + 1


@given(IDS, st.integers(1, 80))
def test_a_sample_is_stratified_and_keeps_the_order(targets: dict[str, str], limit: int) -> None:
    ids = list(targets)
    chosen = stratified_sample(ids, targets, limit, "s")
    assert len(chosen) == min(limit, len(ids))
    assert list(chosen) == [id for id in ids if id in set(chosen)]
    totals, counts = Counter(targets.values()), Counter(targets[id] for id in chosen)
    for label, total in totals.items():
        assert abs(counts[label] - total * len(chosen) / len(ids)) <= 2


def test_a_rare_class_is_sampled_at_its_rate() -> None:
    targets = {str(i): "rare" if i < 2 else "most" for i in range(100)}
    orders = (stratified_order(sorted(targets), targets, f"s{seed}") for seed in range(400))
    assert 0.12 < sum("rare" in {targets[id] for id in order[:10]} for order in orders) / 400 < 0.28


def test_smaller_pools_are_prefixes_and_draws_differ(toy: Dataset) -> None:
    whole = training_pool(toy, 1, 0, None)
    assert tuple(e.id for e in whole) == toy.folds[1].pool
    assert training_pool(toy, 1, 0, 8) == whole[:8]
    assert training_pool(toy, 1, 3, 8) == training_pool(toy, 1, 3, 16)[:8]
    assert training_pool(toy, 1, 3, 8) != whole[:8]
    assert {e.target for e in training_pool(toy, 1, 3, 4)} == set(toy.task.labels)


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join),
        min_size=2,
        max_size=30,
        unique=True,
    )
)
def test_the_prefix_filter_finds_exactly_what_brute_force_finds(texts: list[str]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(token_pattern=r"\S+", lowercase=False).fit_transform(texts)
    cosines = (vectors @ vectors.T).toarray()
    for threshold in (0.5, 0.9):
        near = np.argwhere(np.triu(cosines >= threshold - 1e-9, k=1))
        assert sorted(map(tuple, similar_pairs(texts, threshold).tolist())) == sorted(
            map(tuple, near.tolist())
        )


def test_few_of_many_long_texts_are_compared_word_by_word(monkeypatch) -> None:
    """Nearly all shared one of their rarer words: 10,000 of 300 words took 87 s, now 4."""
    words, draw, compared = [f"w{n}" for n in range(5_000)], random.Random(0), list[int]()
    texts = [" ".join(draw.choices(words, k=300)) for _ in range(300)]
    sought = duplicates._candidates
    monkeypatch.setattr(
        duplicates,
        "_candidates",
        lambda heads: (compared.append(len(p)) or p for p in sought(heads)),
    )
    assert similar_pairs([*texts, f"{texts[0]} more"]).tolist() == [[0, 300]]
    assert sum(compared) < 10


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Where IS my card?", "where is  my card", True),
        ("it's here", "it s here", True),
        ("ﬁne", "fine", True),
        ("😀", "😡", False),
        ("?!", "...", False),
        ("card 1", "card 2", False),
        ("東京に行く", "東京へ行く", False),
    ],
)
def test_what_counts_as_the_same_text(a: str, b: str, same: bool) -> None:
    assert (normalised(a) == normalised(b)) is same


def test_a_folder_names_a_set_whose_file_says_nothing() -> None:
    assert dataset_name("/data/banking77/train.csv") == "banking77"
    assert dataset_name("/data/trec6/test.csv") == "trec6"
    assert dataset_name("tickets.csv") == "tickets"
    assert dataset_name("sample:tickets") == "tickets"


def test_one_file_is_not_both_pool_and_test(refusal) -> None:
    Path("a.csv").write_text("text,label\na,b\n")
    with pytest.raises(DataError, match="both the labelled set and the test file"):
        load(path="a.csv", test="./a.csv")
    assert "No labelled set" in refusal(StudyError, load_dataset, DataSection(), TaskSection())


def test_an_error_says_in_which_of_two_files_it_is() -> None:
    lines = "\n".join(f"number{i} says word{i},l{i % 2}" for i in range(40))
    Path("a.csv").write_text(f"text,label\n{lines}\n")
    Path("b.csv").write_text("text,when\na,2024-01-01\nb,2024-01-02\n")
    with pytest.raises(DataError, match=r"In 'b.csv': .* there is no column of labels"):
        load(path="a.csv", test="b.csv")


def test_a_possible_group_column_is_pointed_out() -> None:
    lines = [f"number{i} says word{i},l{i % 2},{i % 9}" for i in range(40)]
    Path("a.csv").write_text("text,label,user_id\n" + "\n".join(lines))
    assert "--set group_column='user_id'" in found(load(path="a.csv"), "user_id")
    assert load(path="a.csv", group_column="user_id").examples["2"].group == "0"


Sets = Mapping[str, Sequence[str]]


def long_tail(rows: int = 600, labels: int = 30, seed: int = 0) -> Sets:
    rng = random.Random(seed)
    shares = [0.4 / (1 + n) for n in range(labels)]
    return {
        f"r{i}": [f"l{n}" for n, share in enumerate(shares) if rng.random() < share]
        for i in range(rows)
    }


def uneven(sets: Sets, parts: Sequence[Sequence[str]]) -> float:
    """Return the labels distribution measure of Sechidis et al. (2011): 0 where all are alike."""
    totals, rows = Counter(label for own in sets.values() for label in own), len(sets)
    found = []
    for label, count in totals.items():
        for part in parts:
            own = sum(label in sets[id] for id in part)
            found.append(abs(own / (len(part) - own) - count / (rows - count)))
    return float(np.mean(found))


def test_folds_are_as_even_as_those_of_the_library_and_far_from_random_ones() -> None:
    library = pytest.importorskip("iterstrat.ml_stratifiers")
    sets = long_tail()
    ids, labels = list(sets), sorted({label for own in sets.values() for label in own})
    members = np.array([[label in own for label in labels] for own in sets.values()], dtype=int)
    ours, theirs, shuffled = [], [], []
    for seed in range(5):
        parts = stratified_folds(sets, {}, 5, seed)
        assert sorted(id for part in parts for id in part) == sorted(ids)
        assert {len(part) for part in parts} == {120}
        ours.append(uneven(sets, parts))
        dealt = library.MultilabelStratifiedKFold(5, shuffle=True, random_state=seed)
        theirs.append(uneven(sets, [[ids[i] for i in t] for _, t in dealt.split(ids, members)]))
        random.Random(seed).shuffle(ids)
        shuffled.append(uneven(sets, [ids[i::5] for i in range(5)]))
        ids = list(sets)
    assert np.mean(ours) <= 1.1 * np.mean(theirs)
    assert np.mean(ours) < 0.4 * np.mean(shuffled)


def test_clusters_stay_whole_and_no_fold_is_empty() -> None:
    sets = long_tail(200, 12)
    clusters = {id: f"c{n // 7}" for n, id in enumerate(sets) if n < 140}
    parts = stratified_folds(sets, clusters, 5, 0)
    homes = [{clusters[id] for id in part if id in clusters} for part in parts]
    assert sum(map(len, homes)) == len(set(clusters.values()))
    assert uneven(sets, parts) < 0.5 * uneven(sets, [list(sets)[n::5] for n in range(5)]) + 0.02
    few = {f"r{n}": ["a"] for n in range(10)}
    assert all(stratified_folds(few, {f"r{n}": "x" if n < 6 else f"y{n}" for n in range(10)}, 5, 0))
    assert stratified_folds(sets, clusters, 5, 0) == parts


def test_a_study_of_sets_is_divided_label_by_label() -> None:
    rows = label_rows(150)
    rows = [replace(e, group="g" if n < 12 else None) for n, e in enumerate(rows)]
    data = build_dataset("m", rows, kind="multilabel")
    assert len({data.clusters.get(e.id) for e in rows[:12]}) == 1
    for label in TASK.choices:
        counts = [
            sum(label in TASK.classes(data.examples[id].target) for id in fold.questions)
            for fold in data.folds
        ]
        assert max(counts) - min(counts) <= 5, label
    strata = strata_of(TASK, rows)
    totals = Counter(label for e in rows for label in TASK.classes(e.target))
    for row in rows:
        own = TASK.classes(row.target)
        assert strata[row.id] == min(own, key=lambda label: (totals[label], label), default="")
    small = [e.id for e in training_pool(data, 0, 1, 20)]
    assert [e.id for e in training_pool(data, 0, 1, 40)][:20] == small
    assert {label for id in small for label in TASK.classes(data.examples[id].target)} == set(
        TASK.choices
    )


def test_label_noise_drops_and_adds_in_the_pool_alone_and_is_nested() -> None:
    data = build_dataset("m", label_rows(400), kind="multilabel")

    def changed(rate: float) -> dict[str, tuple[set[str], set[str]]]:
        split = Pools(data).at(SplitSpec(0, 0, None, Scenario(kind="noise", rate=rate)))
        assert split.questions == data.folds[0].questions
        found = {}
        for row in split.pool:
            assert data.task.problem_with(row.target) is None
            before, after = (
                set(data.task.classes(target))
                for target in (data.examples[row.id].target, row.target)
            )
            if before != after:
                found[row.id] = (before - after, after - before)
        return found

    low, high = changed(0.1), changed(0.3)
    assert low.items() <= high.items()
    assert abs(len(high) / len(data.folds[0].pool) - 0.3) < 0.1
    dropped, added = (sum(len(pair[side]) for pair in high.values()) for side in (0, 1))
    assert dropped + added == len(high)  # one label a row
    assert 0.25 < dropped / len(high) < 0.65


def test_a_new_label_is_withheld_from_the_pool_with_all_rows_that_have_it() -> None:
    data = build_dataset("m", label_rows(200), kind="multilabel")
    scenario = Scenario(kind="new-class", label="pin", examples=5)
    split = Pools(data).at(SplitSpec(0, 0, None, scenario))
    assert sum("pin" in data.task.classes(e.target) for e in split.pool) == 5
    assert any("pin" in data.task.classes(data.examples[id].target) for id in split.questions)
