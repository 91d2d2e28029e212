"""Python as people expect it: texts and labels, tables of a decision, and errors in keywords."""

import inspect
import pydoc
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import choose
from choose.api.compare import report
from choose.api.notebook import Decision, in_keywords, names_of
from choose.api.plan import resolve
from choose.conformance import pool
from choose.data.readers.json_and_parquet import table_of
from choose.report import words
from choose.store.store import Store
from choose.study.config import Study
from choose.study.resolve_study import keywords, load_study, overrides_of
from support import decisions
from support.commands import run_python
from support.studies import write_csv

ROWS = list(pool(seed=3, rows=60))
TEXTS, LABELS = [e.text for e in ROWS], [e.target for e in ROWS]
QUICK: dict[str, Any] = {"strategies": "tfidf", "quick": True, "progress": False}


@pytest.fixture(scope="module")
def decision(tmp_path_factory: pytest.TempPathFactory) -> Decision:
    return choose.compare(TEXTS, LABELS, **QUICK, out=tmp_path_factory.mktemp("py") / "st")


class HubSet:
    """A set as the library `datasets` iterates it: labels are numbers, with their names beside."""

    column_names = ("body", "team")
    features: ClassVar = {"team": SimpleNamespace(names=sorted(set(LABELS))), "body": object()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names = self.features["team"].names
        for text, label in zip(TEXTS, LABELS, strict=True):
            yield {"body": text, "team": names.index(label)}


def test_texts_and_labels_are_a_labelled_set(decision: Decision, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    forms = [
        (pl.Series(TEXTS), pl.Series(LABELS)),
        (pandas.Series(TEXTS, index=range(7, 67)), np.array(LABELS)),
        (pandas.DataFrame({"body": TEXTS, "team": LABELS}), "team"),
        ({"body": TEXTS, "team": np.array(LABELS)}, "team"),
        (pl.LazyFrame({"body": TEXTS, "team": LABELS}), "team"),
        (iter({"body": t, "team": n} for t, n in zip(TEXTS, LABELS, strict=True)), "team"),
        (list(zip(TEXTS, LABELS, strict=True)), None),
        (HubSet(), "team"),
    ]
    for place, (texts, labels) in enumerate(forms):
        column = {"text_column": "body"} if isinstance(labels, str) else {}
        made = choose.compare(texts, labels, **QUICK, **column, out=tmp_path / str(place))
        of_pandas = isinstance(texts, pandas.DataFrame)
        kind = pandas.DataFrame if of_pandas else pl.DataFrame
        for table in (made.table(), made.rows(), made.labels_to_check()):
            assert isinstance(table, kind)
        rows = Store.open(made.store).dataset.examples.values()
        assert sorted((e.text, e.target) for e in rows) == sorted(zip(TEXTS, LABELS, strict=True))
    held = choose.compare(
        TEXTS, LABELS, test=(TEXTS[:15], LABELS[:15]), **QUICK, out=tmp_path / "t"
    )
    assert (held.dataset.division, held.dataset.test_rows) == ("held-out", 15)


@pytest.mark.parametrize(
    ("rows", "settings", "complaint"),
    [
        ((TEXTS[:5], LABELS), {}, "5 texts and 60 labels"),
        (({"a": 1}, LABELS), {}, "must be a list"),
        (({"text": TEXTS, "label": LABELS[:5]},), {}, "no lists of one length"),
        (({"train": HubSet(), "test": HubSet()}, "team"), {}, "the splits train, test"),
        (("rows.csv", LABELS), {}, "must be a list"),
        ((pl.DataFrame({"text": TEXTS}), LABELS), {}, "text_column="),
        ((TEXTS,), {}, r"labels: compare\(texts, labels\)\.$"),
        (([1, 2, 3],), {}, "is no dictionary"),
        ((TEXTS, LABELS), {"strategies": "tfdif"}, "No strategy 'tfdif'"),
        ((TEXTS, LABELS), {"strategy": "tfidf"}, "Did you mean 'strategies'"),
        ((TEXTS, LABELS), {"strategies": 3}, "must be a list of names"),
        *(
            ((wrong,), {}, "rows given|No labelled rows|no lists")
            for wrong in (3, {"text": "a"}, [], ["a"], b"x")
        ),
    ],
)
def test_rows_and_names_that_cannot_be_used_are_refused(rows, settings, complaint, tmp_path):
    with pytest.raises(choose.ChooseError, match=complaint):
        choose.compare(*rows, **{**QUICK, **settings}, out=tmp_path / "st")
    assert not (tmp_path / "st").exists()


def test_missing_values_are_left_out_and_said(tmp_path: Path) -> None:
    labels = pytest.importorskip("pandas").Series(LABELS)
    labels[3] = float("nan")
    texts = [None, *TEXTS[1:]]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = choose.compare(texts, labels, **QUICK, out=tmp_path / "st")
    said = " ".join(str(warning.message) for warning in caught)
    assert "1 row of the file without a label left out" in said
    assert "1 row of the file without a text left out" in said
    assert made.dataset.rows == 58


def test_a_decision_has_its_tables(decision: Decision) -> None:
    assert decision.best == "tfidf"
    assert decision.recommended in ("tfidf", None)
    table = decision.table()
    assert table["candidate"][0] == "tfidf"
    assert table["title"].to_list() == ["words + logistic regression", "always the same answer"]
    assert table["difference"][0] is None
    by = {s.candidate: s for s in decision.scorecards}
    assert table["difference"][1] == by["majority"].difference.value
    answers = decision.rows()
    assert answers.columns == ["id", "text", "label", "majority", "tfidf"]
    assert answers.height == 60
    for name in ("majority", "tfidf"):
        card = next(c for c in decision.scorecards if c.candidate == name)
        assert (answers[name] == answers["label"]).mean() == pytest.approx(card.accuracy.value)
        assert name != decision.best or decision.score == card.accuracy.value
    doubted = decision.labels_to_check()
    assert doubted.columns == ["id", "text", "label", "suggested", "score"]
    assert doubted["id"].to_list() == [s.id for s in decision.audit.doubted]


def test_the_page_is_returned_and_written(decision: Decision, tmp_path: Path) -> None:
    assert decision.to_html().startswith("<!")
    assert decision.write(tmp_path / "page.html").read_text("utf-8").startswith("<!")


def test_tab_lists_no_method_of_pydantic(decision: Decision) -> None:
    assert {"best", "rows", "labels_to_check", "to_html", "verdict"} <= set(dir(decision))
    for record in (decision, decision.verdict, decision.scorecards[0]):
        shown = set(dir(record))
        assert not {n for n in shown if n.startswith(("model_", "parse_", "_"))}
        assert not shown & {"construct", "from_orm", "schema_json", "dict", "json", "copy"}
        assert set(type(record).model_fields) <= shown
    assert dir(choose) == sorted(choose.__all__)


def test_packages_that_share_a_name_with_a_function_are_called_and_imported(tmp_path, refusal):
    import choose.check.audit
    import choose.report.write

    assert choose.check.audit is sys.modules["choose.check.audit"]
    assert "labels" in inspect.signature(choose.check).parameters
    checked = choose.check(TEXTS, LABELS)
    assert checked.rows == 60
    assert "60 test rows" in repr(checked)
    assert "Wrong labels" in checked._repr_html_()
    assert checked.labels_to_check().columns[0] == "id"
    assert "reach" in dir(checked)
    planned = choose.plan(TEXTS, LABELS, strategies="tfidf")
    assert "2 candidates on 60 test rows" in repr(planned)
    assert planned.budget == 600
    assert "Audit a labelled set" in pydoc.render_doc(choose.check)
    assert "is not a study" in refusal(choose.ChooseError, choose.report, tmp_path)


def test_a_loaded_export_says_what_it_is(decision: Decision, tmp_path: Path) -> None:
    decision.export(tmp_path / "out")
    model = choose.load(tmp_path / "out")
    assert repr(model) == "<Model tfidf, trained on 60 rows of rows>"
    answers = model.predict(TEXTS)
    assert model.predict(TEXTS[0]) == answers[0]  # one text, not one for each of its letters


def test_a_text_where_a_list_is_expected_is_one_name() -> None:
    assert names_of("tfidf") == ("tfidf",)
    assert names_of(["a", "b"]) == ("a", "b")
    grid = load_study(None, overrides_of({"views": "typos", "noise": 0.5})).grid
    assert (grid.views, grid.noise) == (("typos",), (0.5,))


def test_errors_of_python_calls_name_keywords_not_flags(
    refusal, data: Path, tmp_path: Path
) -> None:
    rows = [{"alpha": t, "beta": label} for t, label in zip(TEXTS, LABELS, strict=True)]
    calls: list[tuple[Any, dict[str, Any]]] = [
        (rows, {"text_column": "nowhere"}),
        (data, {"out": data}),
        (data, {"budget": "soon"}),
        (data, {"target": 90}),
        (data, {"test": data}),
    ]
    for given, settings in calls:
        settings = {**QUICK, "out": tmp_path / "st", **settings}
        assert "--" not in refusal(choose.ChooseError, choose.compare, given, **settings)
    said = refusal(choose.ChooseError, choose.compare, data, nonsense=1)
    known = said.partition("Known: ")[2].removesuffix(".").split(", ")
    assert len(set(known)) == len(known) > 10
    unclear = write_csv(tmp_path / "unclear.csv", [("red", "no"), ("blue", "yes")] * 30)
    unclear.write_text(unclear.read_text().replace("text,label", "one,two"))
    assert "Name them: text_column='one'" in refusal(choose.ChooseError, choose.compare, unclear)
    for flags, said in {
        "Name them: --text-column 'a,b' --set time_column='b'": "Name them: text_column='a,b' "
        "time_column='b'",
        "(--model openai:gpt-4o-mini). -s all adds": "(model=openai:gpt-4o-mini). strategies=all "
        "adds",
        "--budget soon cannot be used: no.": "budget=soon cannot be used: no.",
        "--max-usd 5 cannot be enforced.": "max_usd=5 cannot be enforced.",
        "--out NAME, --yes or --text-column": "out=NAME, yes=True or text_column=",
        "run choose models fetch --other.": "run choose models fetch --other.",
    }.items():
        assert in_keywords(flags) == said


@pytest.mark.slow
def test_rows_are_sent_from_python_only_with_consent(tmp_path: Path) -> None:
    from support.chat_server import RIGHT, serving

    with serving(RIGHT) as server:
        call: dict[str, Any] = {
            **QUICK, "strategies": "prompt", "model": "m", "base_url": server.url,
            "usd_per_million": "1,2",
        }  # fmt: skip
        with pytest.raises(choose.ChooseError, match=r"50 requests .* add yes=True"):
            choose.compare(TEXTS, LABELS, **call, out=tmp_path / "st")
        assert not server.asked
        made = choose.compare(TEXTS, LABELS, **call, yes=True, out=tmp_path / "st")
    answered = made.rows().drop_nulls("prompt")
    assert answered["prompt"].to_list() == answered["label"].to_list()
    # Two rounds, and the request that tries the server out.
    assert answered.height == 50
    assert len(server.asked) == 51


def test_pages_in_python_name_keywords_and_calls(decision: Decision, tmp_path: Path) -> None:
    """Pages of `choose.check` named flags: Python has none."""
    rare = [*zip(TEXTS, ["usual"] * len(TEXTS), strict=True)]
    rare = [(f"{text} {i}", label) for i in range(4) for text, label in rare]
    rare += [(f"an odd one {word}", "rare") for word in "abcdefgh"]
    write_csv(tmp_path / "my rare.csv", rare)
    pages = [
        repr(choose.check(TEXTS, LABELS)),
        repr(choose.check("my rare.csv")),
        repr(choose.plan(TEXTS, LABELS, strategies="tfidf")),
        decision._repr_html_(),
    ]
    for page in pages:
        words = re.sub(r"choose report \S+ --full", "", page)
        assert not re.search(r"(?<![\w-])--[a-z]", words), re.findall(r".*--[a-z].*", words)
        assert not re.search(r"choose (compare|check) ", words)
    assert "choose.compare(rows)" in " ".join(pages[0].split())
    assert "choose.compare('my rare.csv', metric='balanced')" in " ".join(pages[1].split())


def test_a_decision_holds_the_record_and_where_it_lies(decision: Decision) -> None:
    assert decision.verdict.use_meanwhile in {c.candidate for c in decision.scorecards}
    assert decision.store.name == "st"
    assert decision.model_dump() == report(decision.store).model_dump()
    assert str(decision) == repr(decision)
    assert words.answer(decision) in " ".join(repr(decision).split())
    again = choose.read(decision.store)
    assert again.verdict == decision.verdict
    assert again.store == decision.store


def test_a_notebook_shows_one_screen_and_a_link_and_nothing_in_it_runs(decision: Decision) -> None:
    shown = decision._repr_html_()
    assert shown.count("\n") < 40
    assert "<iframe" not in shown
    assert "<script" not in shown
    assert words.answer(decision) in " ".join(shown.split())
    assert "\x1b" not in shown
    page = decision.store / "report.html"
    assert f'href="{page.absolute().as_uri()}"' in shown
    assert page.is_file()
    gone = Decision.of(decisions.decision("adopt"), Path("gone"))
    assert "href" not in gone._repr_html_()
    assert gone.table().filter("recommended").height == 1
    assert gone.table()["accuracy"].drop_nulls().is_sorted(descending=True)


def test_missing_values_of_pandas_are_empty_cells(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    times = pandas.to_datetime(["2026-01-01", None])
    frame = pandas.DataFrame(
        {"text": ["a", None], "label": [1, 2], "time": times, "x": [0.5, None]}
    )
    table = table_of(frame)
    assert table["text"].to_list() == ["a", None]
    assert table["label"].to_list() == ["1", "2"]
    assert table["time"].to_list() == ["2026-01-01 00:00:00", None]
    assert table["x"].to_list() == ["0.5", None]


def test_every_key_of_a_study_is_a_keyword_once() -> None:
    keys = [
        name
        for section, field in Study.model_fields.items()
        if hasattr(field.annotation, "model_fields")
        for name in field.annotation.model_fields
        if (section, name) != ("task", "fields")  # types, in a study file alone
    ]
    assert len(keys) == len(set(keys))
    assert set(keys) - set(keywords()) == {"path"}
    assert "goal" not in keywords()


def test_keywords_find_their_sections() -> None:
    assert overrides_of({"target": 0.9, "budget": "2m", "tune": "x", "folds": None}) == {
        "goal": {"target": 0.9},
        "grid": {"budget": "2m"},
        "models": {"tune": "x"},
    }
    assert load_study(None, overrides_of({"budget": 90})).grid.budget == 90
    for wrong in ({"buget": 1}, {"budget": "soon"}, {"budget": 0}, {"path": "x"}):
        with pytest.raises(choose.ChooseError):
            load_study(None, overrides_of(wrong))


def test_a_study_may_be_given_as_dictionaries(data: Path, tmp_path: Path) -> None:
    study = {"goal": {"target": 0.5, "margin": 0.1}, "candidates": [{"strategy": "tfidf"}]}
    assert resolve("x.csv", study).goal.margin == 0.1
    quick = {k: v for k, v in QUICK.items() if k != "strategies"}
    made = choose.compare(data, study=study, margin=0.05, **quick, out=tmp_path / "st")
    assert made.goal["margin"] == 0.05
    assert made.goal["target"] == 0.5


def test_importing_loads_nothing_that_is_not_asked_for() -> None:
    code = (
        "import sys, choose\n"
        "assert 'compare' in dir(choose)\n"
        "print(sorted(m for m in sys.modules if m.startswith('choose')), 'numpy' in sys.modules)"
    )
    assert run_python(code).strip() == "['choose'] False"
    with pytest.raises(AttributeError, match="comprae"):
        choose.comprae  # noqa: B018
