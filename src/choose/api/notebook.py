"""The Python interface for notebooks and programs: `choose.compare`, `read`, `load`, `Decision`.

First its arguments, and errors that speak of keywords, not of flags; then what a notebook shows:
tables of a decision, and pages of decisions, audits and plans.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass, replace
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any, Self
from warnings import warn

import polars as pl
from pydantic import PrivateAttr
from rich.console import Console

from choose.api.compare import export as export_candidate
from choose.api.compare import report as judge_store
from choose.api.compare import run_study, score_answers, texts, write_page
from choose.api.plan import check as check_rows
from choose.api.plan import plan_study, resolve
from choose.data.dataset import Tables
from choose.data.readers.json_and_parquet import is_pandas, is_rows, table_of
from choose.errors import ChooseError, DataError, StoreError, StudyError
from choose.export.exported_model import Model
from choose.export.write_folder import Exported
from choose.report.blocks import Todo, check_blocks
from choose.report.terminal import pages as terminal
from choose.report.terminal.live_progress import LiveProgress
from choose.report.terminal.plan_page import grid_page
from choose.report.words import as_call
from choose.report.write import render_html, write
from choose.run.budget import Approve, refuse
from choose.schema import decision as record
from choose.schema.check import Checked
from choose.schema.diagnosis import Audit
from choose.store.store import Store, check_destination
from choose.study.config import Study
from choose.study.find_study_folder import numbered_study
from choose.study.resolve_study import keywords, overrides_of
from choose.types import CLEAN, STANDARD

# Flags with another form in Python.
_FLAGS = {"strategy": "strategies=", "yes": "yes=True"}

# Keywords that no study file has.
_OWN = {"out", "test", "name", "study", "candidate", "gold", "scores", "baseline"}

# A flag, and the blank before what is its value.
_FLAG = re.compile(
    r"(?<![\w-])--([a-z][a-z-]*)(?: (?=[A-Z]{2,}|[.\d'\"]|[a-z]+:|\S+ cannot be used))?"
)


@contextmanager
def keyword_errors() -> Iterator[None]:
    """Let errors of the calls inside name keywords (``out=``) where they name flags (``--out``)."""
    try:
        yield
    except ChooseError as error:
        error.args = tuple(in_keywords(a) if isinstance(a, str) else a for a in error.args)
        raise


def in_keywords(message: str) -> str:
    """Return a message with keywords in place of the flags that they are called on a terminal."""
    known = {name: f"{name}=" for name in _OWN | set(keywords())} | _FLAGS

    def keyword(flag: re.Match[str]) -> str:
        return known.get(flag[1].replace("-", "_"), flag[0])

    message = re.sub(r"(?<![\w-])--set\s+(?=[a-z_]+=)", "", message)
    message = re.sub(r"(?<![\w-])-s (?=NAME|all\b)", "strategies=", message)
    message = re.sub(r"(?<![\w-])-c (?=[A-Z])|(?<![\w-])-c\b", "study=", message)
    return _FLAG.sub(keyword, message)


def names_of(strategies: object) -> tuple[str, ...]:
    """Return the names of candidates; one text is one name.

    Raises:
        StudyError: for anything but a text or a list of texts.
    """
    if isinstance(strategies, str):
        return (strategies,)
    names = tuple(strategies) if isinstance(strategies, Sequence | set | frozenset) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise StudyError(
            f"strategies is {strategies!r}; it must be a list of names, such as "
            '["tfidf", "prompt"], or one name.'
        )
    return tuple(map(str, names))


def tables_of(data: Any, labels: Any, test: Any, name: str) -> Tables:
    """Return rows that were passed in memory; None for files.

    Raises:
        DataError: if texts and labels do not fit together, or the objects hold no rows.
    """
    if labels is not None:
        data = _pairs(data, labels)
    if isinstance(test, tuple) and len(test) == 2 and not isinstance(test[0], str | Mapping):
        test = _pairs(*test)
    return Tables(
        pool=table_of(data) if is_rows(data) else None,
        test=table_of(test) if is_rows(test) else None,
        name=name,
    )


def _pairs(texts: Any, labels: Any) -> list[dict[str, Any]]:
    """Return rows of aligned texts and labels: lists, arrays, Series of pandas or polars."""
    for what, given in (("texts", texts), ("labels", labels)):
        if isinstance(given, str | Mapping) or not hasattr(given, "__len__"):
            raise DataError(
                f"The {what} are {type(given).__name__}; they must be a list, an array or a "
                "Series, as long as the other."
            )
    if getattr(texts, "ndim", 1) != 1 or hasattr(texts, "columns"):
        raise DataError(
            "The texts are a table. Name its columns, as in compare(table, "
            'text_column="body", label_column="team"), or give one column.'
        )
    if len(texts) != len(labels):
        raise DataError(
            f"There are {len(texts):,} texts and {len(labels):,} labels. Give one label a text."
        )
    return [
        {"text": _cell(text), "label": _cell(label)}
        for text, label in zip(texts, labels, strict=True)
    ]


def _cell(value: Any) -> Any:
    if type(value).__name__ in ("NAType", "NaTType") or (
        isinstance(value, float) and value != value
    ):
        return None
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value


# Columns of `answers_frame` besides those of the candidates.
_ROW = ("id", "text", "label", "target")


# Columns of `candidates_frame` that hold no share or other real number.
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("candidate", "title", "strategy", "family", "model"), pl.String),
    **dict.fromkeys(("recommended", "chosen"), pl.Boolean),
    **dict.fromkeys(("rows", "repetitions", "errors", "common"), pl.Int64),
}


def candidates_frame(decision: record.Decision) -> pl.DataFrame:
    """Return one row a candidate, the most accurate first; null means not measured.

    Where answers are no labels, the column ``accuracy`` is called ``score``. A ``difference`` is
    the score minus that of the chosen candidate, on the ``common`` rows that both answered.
    """
    score = "accuracy" if decision.dataset.labels else "score"
    rows = [
        {
            "candidate": card.candidate,
            "title": card.title or card.candidate,
            "strategy": card.strategy,
            "family": card.family,
            "model": card.model,
            "chosen": card.chosen,
            "recommended": card.candidate == decision.verdict.recommended,
            score: card.accuracy and card.accuracy.value,
            "low": card.accuracy and card.accuracy.low,
            "high": card.accuracy and card.accuracy.high,
            "rows": card.rows,
            "difference": card.difference and card.difference.value,
            "difference_low": card.difference and card.difference.low,
            "difference_high": card.difference and card.difference.high,
            "common": card.common,
            "macro_f1": card.macro_f1,
            "repetitions": card.repetitions,
            "noise_loss": card.noise[-1].loss.value if card.noise else None,
            "format_valid": card.format_valid,
            "fit_seconds": card.cost.fit_seconds,
            "ms_per_item": card.cost.ms_per_item,
            "usd_per_1k": card.cost.usd_per_1k,
            "errors": len(card.errors),
        }
        for card in decision.scorecards
    ]
    # Columns that are null throughout keep their types.
    table = pl.DataFrame(rows, schema={name: _TYPES.get(name, pl.Float64) for name in rows[0]})
    return table.sort(score, descending=True, nulls_last=True, maintain_order=True)


def labels_frame(audit: Audit | None, texts: Mapping[str, str]) -> pl.DataFrame:
    """Return the labels that are worth a look, the most doubtful first; `texts` are by row id."""
    columns: dict[str, Any] = dict.fromkeys(("id", "text", "label", "suggested"), pl.String)
    rows = [
        (s.id, texts.get(s.id), s.label, s.suggested, s.score)
        for s in (audit.doubted if audit else ())
    ]
    return pl.DataFrame(rows, schema={**columns, "score": pl.Float64}, orient="row")


def answers_frame(folder: Path) -> pl.DataFrame:
    """Return a row for each test row: its text, its label or target, and each candidate's answer.

    The answers are those of the first repetition on all training rows, each of a fit that had not
    seen the row; null where a candidate was not asked or gave no usable answer.

    Raises:
        StoreError: if the study cannot be read.
    """
    store = Store.open(folder)
    dataset = store.dataset
    candidates, trials = store.grid()
    main: dict[str, dict[int, list[Any]]] = {}
    for trial in trials:
        if not trial.variant and trial.scenario == STANDARD and trial.draw == 0:
            main.setdefault(trial.candidate, {}).setdefault(trial.fold, []).append(trial)
    table: dict[str, list[str | None]] = {
        "id": list(dataset.asked),
        "text": [dataset.examples[id].text for id in dataset.asked],
        "label" if dataset.task.labels else "target": [
            dataset.examples[id].target for id in dataset.asked
        ],
    }
    for name in (str(each["name"]) for each in candidates):
        largest = [max(f, key=lambda t: t.train_size) for f in main.get(name, {}).values()]
        answers: dict[str, str | None] = {}
        for run in filter(None, map(store.get, largest)):
            if CLEAN in run.answers:
                answers.update(zip(run.asked[CLEAN], run.answers[CLEAN].outputs, strict=True))
        column = f"answer of {name}" if name in _ROW else name
        table[column] = [answers.get(id) for id in dataset.asked]
    return pl.DataFrame(table, schema=dict.fromkeys(table, pl.String))


def printed(page: Any) -> str:
    """Return a page of the terminal as text, for a screen of 80 columns and 40 lines."""
    text = StringIO()
    # Pages draw for a terminal only.
    size: dict[str, Any] = {"width": 80, "height": 40, "force_terminal": True}
    Console(file=text, color_system=None, highlight=False, **size).print(page, crop=False)
    return text.getvalue().rstrip("\n")


def _with_keywords(part: Any) -> Any:
    """Return blocks, or a part of them, with keywords of Python in place of flags."""
    if isinstance(part, str):
        return in_keywords(part)
    if isinstance(part, Todo):  # its command is as it has to be typed or called
        return Todo([*map(in_keywords, part.sentences)], part.command)
    if is_dataclass(part) and not isinstance(part, type):
        own = {one.name: _with_keywords(getattr(part, one.name)) for one in fields(part)}
        return replace(part, **own)
    if isinstance(part, list | tuple):
        told = [*map(_with_keywords, part)]
        return type(part)(*told) if hasattr(part, "_fields") else told
    return part


class Page:
    """A record with its attributes; a notebook shows it as HTML, `print` as a page of text."""

    def __init__(self, record: Any, page: terminal.Page) -> None:
        self.record, self._page = record, replace(page, blocks=_with_keywords(page.blocks))

    def __repr__(self) -> str:
        return printed(self._page)

    def _repr_html_(self) -> str:
        from choose.report.html.page import html_fragment

        return html_fragment(self._page.blocks)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.record, name)

    def __dir__(self) -> list[str]:
        own = [name for name in vars(type(self)) if not name.startswith("_")]
        return sorted({"record", *own, *(n for n in dir(self.record) if not n.startswith("_"))})


def first_screen(decision: record.Decision, store: Path) -> Page:
    """Return the first screen of a decision, with calls in Python for commands."""
    return Page(decision, terminal.render(decision, store, say=lambda command: [as_call(command)]))


class Audited(Page):
    """The audit of a labelled set."""

    def __init__(self, checked: Checked) -> None:
        blocks = check_blocks(checked.record, "the field issues", as_call)
        super().__init__(checked.record, terminal.Page(blocks))
        self._texts = checked.texts

    def labels_to_check(self) -> pl.DataFrame:
        """Return the labels worth a look, the most doubtful first, with the suggested ones."""
        return labels_frame(self.record.audit, self._texts)


class Decision(record.Decision):
    """A decision record (`verdict`, `scorecards`, `gates`, `pairs`, ...) with its study."""

    _store: Path = PrivateAttr(default=Path())
    _pandas: bool = PrivateAttr(default=False)

    @classmethod
    def of(cls, decision: record.Decision, store: Path, data: Any = None) -> Self:
        """Attach the folder of the study to a record; its tables are of the kind of `data`."""
        fields = {name: getattr(decision, name) for name in type(decision).model_fields}
        attached = cls.model_construct(**fields)
        attached._store, attached._pandas = store, is_pandas(data)
        return attached

    @property
    def store(self) -> Path:
        """The folder of the study; `choose report` and `choose export` take it too."""
        return self._store

    @property
    def best(self) -> str:
        """The candidate that is recommended, or else the one to use in the interim."""
        return self.named

    @property
    def recommended(self) -> str | None:
        """The candidate that is recommended; None where it is too early to tell."""
        return self.verdict.recommended

    @property
    def score(self) -> float | None:
        """The score of `best` by the study's metric, from 0 to 1; None where not measured."""
        return self.card.accuracy.value if self.card and self.card.accuracy else None

    def table(self) -> Any:
        """Return one row a candidate, the best first; null means not measured.

        Differences are to the chosen candidate, on the rows that both answered. This and the
        tables below are of pandas if the rows were, else of polars.
        """
        return self._as_given(candidates_frame(self))

    def rows(self) -> Any:
        """Return a row for each test row: id, text, label, and a column for each candidate.

        Each answer is of a fit that had not seen the row; null where a candidate was not asked or
        gave no usable answer.

        Raises:
            StoreError: if the study cannot be read.
        """
        return self._as_given(answers_frame(self.store))

    def labels_to_check(self) -> Any:
        """Return the labels worth a look, the most doubtful first, with the suggested ones."""
        return self._as_given(labels_frame(self.audit, self._texts()))

    def _as_given(self, frame: pl.DataFrame) -> Any:
        if not self._pandas:
            return frame
        import pandas as pd  # type: ignore[import-untyped]

        return pd.DataFrame(frame.to_dict(as_series=False))

    def to_html(self) -> str:
        """Return the report as one HTML page without scripts."""
        return render_html(self, self._texts(), self._store)

    def write(self, path: str | Path) -> Path:
        """Write the report as .html, .md or .json, by the ending of the path."""
        with keyword_errors():
            check_destination(Path(path), flag="The file")
            write("decision", self, Path(path), self._texts(), store=self._store)
        return Path(path)

    def export(
        self, folder: str | Path, *, candidate: str | None = None, router: bool = False
    ) -> Exported:
        """Fit the recommended candidate, or another one, on all labels and export it."""
        with keyword_errors():
            return export_candidate(self.store, folder, candidate=candidate, router=router)

    def __repr__(self) -> str:
        return repr(first_screen(self, self.store))

    __str__ = __repr__

    def _repr_html_(self) -> str:
        screen = first_screen(self, self.store)._repr_html_()
        try:
            page = write_page(self, self.store).absolute().as_uri()
        except (ChooseError, OSError):  # the folder has gone since, or cannot be written
            return screen
        return f'{screen}<p>The whole report: <a href="{escape(page)}">{escape(page)}</a></p>'

    def _texts(self) -> dict[str, str]:
        try:
            return texts(self.store)
        except StoreError:  # the folder has gone since
            return {}


def compare(
    data: Any = None,
    labels: Any = None,
    *,
    test: Any = None,
    strategies: str | Sequence[str] = (),
    study: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    name: str = "rows",
    yes: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Decision:
    """Run every strategy on a labelled set and decide which one to use.

    Args:
        data: a file, ``sample:tickets``, a DataFrame of pandas or polars, a Hugging Face Dataset, a
            dictionary of lists, a list of dictionaries or (text, label) pairs, or texts.
        labels: the label of each text; with a table, the name of its label column.
        test: test rows, likewise; texts and labels as a pair.
        strategies: compare only these candidates, and the baselines that always run.
        study: a study file, or its sections as dictionaries.
        out: the study's folder, where the same call goes on; by default one in ``.choose``.
        name: of rows that come from no file.
        yes: send requests to endpoints; without it an error says what would be sent.
        progress: show progress on standard error.
        settings: keys of a study file (docs/generated/study-file.md), such as ``target=0.9``.

    Raises:
        ChooseError: on bad input, before anything is run or written.
    """
    send: Approve = (lambda spending: None) if yes else refuse
    with keyword_errors(), _shown(progress) as watch:
        stated, rows = _resolved(
            data, labels, settings, test=test, strategies=strategies, study=study, name=name
        )
        done = run_study(stated, study, rows=rows, out=out, observer=watch, approve=send)
    for left in done.dropped:  # missing values in a table are often meant to be some
        warn(left, stacklevel=2)
    return Decision.of(done.decision, done.store, data)


def score(
    data: Any = None,
    *,
    gold: str | None = None,
    scores: bool = False,
    baseline: bool = False,
    study: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    name: str = "rows",
    progress: bool = True,
    **settings: Any,
) -> Decision:
    """Judge answers that exist already; no model runs.

    Args:
        data: a file or table with a right answer and a column a candidate; or a tool's results.
        gold: the column of right answers; by default one of a usual name.
        scores: whether columns hold scores from 0 to 1 in place of answers.
        baseline: also run a cheap baseline, cross-validated on the same rows.
        study: a study file, or its sections as dictionaries.
        out: the study's folder; by default one in ``.choose``.
        name: of rows that come from no file.
        progress: show what was found on standard error.
        settings: keys of the study file, such as ``answers=["gpt4", "mine=out.jsonl"]`` (by default
            the columns that hold answers) and ``family={"mine": "fine-tuning"}``.

    Raises:
        ChooseError: on bad input, before anything is written.
    """
    with keyword_errors(), _shown(progress) as watch:
        settings |= {"label_column": gold, **({"kind": "scores"} if scores else {})}
        stated, rows = _resolved(data, None, settings, study=study, name=name)
        done = score_answers(stated, rows=rows, out=out, baseline=baseline, observer=watch)
    return Decision.of(done.decision, done.store, data)


def check(
    data: Any = None,
    labels: Any = None,
    *,
    test: Any = None,
    study: str | Path | Mapping[str, Any] | None = None,
    name: str = "rows",
    **settings: Any,
) -> Audited:
    """Audit a labelled set before any model runs: label errors, duplicates and leaks.

    Arguments as for `compare`. The result prints as the page that ``choose check`` shows;
    `labels_to_check()` is a table, and the figures are attributes.

    Raises:
        ChooseError: if the rows cannot be read, used or divided.
    """
    with keyword_errors():
        stated, rows = _resolved(data, labels, settings, test=test, study=study, name=name)
        return Audited(check_rows(stated, study, rows))


def plan(
    data: Any = None,
    labels: Any = None,
    *,
    test: Any = None,
    strategies: str | Sequence[str] = (),
    study: str | Path | Mapping[str, Any] | None = None,
    name: str = "rows",
    **settings: Any,
) -> Page:
    """Show what `compare` would run with the same arguments, how long it takes and what it costs.

    Nothing is run or sent.

    Raises:
        ChooseError: where `compare` would refuse to start.
    """
    with keyword_errors():
        stated, rows = _resolved(
            data, labels, settings, test=test, strategies=strategies, study=study, name=name
        )
        planned = plan_study(stated, study, rows)
        return Page(planned, grid_page(planned))


def _resolved(
    data: Any,
    labels: Any,
    settings: Mapping[str, Any],
    *,
    test: Any = None,
    strategies: str | Sequence[str] = (),
    study: str | Path | Mapping[str, Any] | None,
    name: str,
) -> tuple[Study, Tables]:
    """Return the study that a call's arguments make, and the rows that are in memory."""
    overrides = overrides_of(settings)
    if isinstance(labels, str):  # names their column
        overrides.setdefault("data", {})["label_column"] = labels
        labels = None
    rows = tables_of(data, labels, test, name)
    if test is not None and rows.test is None:
        overrides.setdefault("data", {})["test"] = str(test)
    file = None if rows.pool is not None else data
    return resolve(file, study, overrides, names_of(strategies)), rows


def read(store: str | Path | None = None) -> Decision:
    """Judge a stored study without running a model; by default the newest one in ``.choose``.

    Raises:
        StoreError: if the folder is no study.
    """
    with keyword_errors():
        folder = numbered_study() if store is None else Path(store)
        return Decision.of(judge_store(folder), folder)


def load(folder: str | Path) -> Model:
    """Load an export: a model with `predict`, `table` and `labels`.

    Raises:
        ChooseError: if the folder is no export, or something it needs is missing.
    """
    with keyword_errors():
        return Model.load(folder)


def _shown(progress: bool) -> Any:
    class Progress(LiveProgress):
        def noted(self, sentences: Sequence[str]) -> None:
            super().noted([in_keywords(sentence) for sentence in sentences])

    return Progress() if progress else nullcontext()


report = read
