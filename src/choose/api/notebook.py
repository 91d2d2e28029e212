"""The Python interface for notebooks and programs: `choose.compare`, `read`, `load`, `Decision`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from warnings import warn

from pydantic import PrivateAttr

from choose.api.arguments import (
    in_keywords,
    keyword_errors,
    names_of,
    tables_of,
)
from choose.api.compare import export as export_candidate
from choose.api.compare import report as judge_store
from choose.api.compare import run_study, texts, write_page
from choose.api.notebook_views import (
    Audited,
    Page,
    answers_frame,
    candidates_frame,
    first_screen,
    labels_frame,
)
from choose.api.plan import check as check_rows
from choose.api.plan import plan_study, resolve
from choose.data.readers.json_and_parquet import is_pandas
from choose.errors import ChooseError, StoreError
from choose.run.spending_limit import refuse
from choose.schema import decision as record
from choose.study.resolve_study import overrides_of

if TYPE_CHECKING:
    import polars as pl

    from choose.data.dataset import Tables
    from choose.export.exported_model import Model
    from choose.export.write_folder import Exported
    from choose.schema.plan import Spending


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

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as one HTML page without scripts; with `path`, also write it there."""
        from choose.report.write import render_html

        if path is not None:
            self.write(path)
        return render_html(self, self._texts())

    def write(self, path: str | Path) -> Path:
        """Write the report as .html, .md or .json, by the ending of the path."""
        from choose.report.write import write
        from choose.store.store import check_destination

        with keyword_errors():
            check_destination(Path(path), flag="The file")
            write("decision", self, Path(path), self._texts())
        return Path(path)

    def export(
        self,
        folder: str | Path,
        *,
        candidate: str | None = None,
        router: bool = False,
    ) -> Exported:
        """Fit the recommended candidate, or another one, on all labels and export it."""
        with keyword_errors():
            return export_candidate(self.store, folder, candidate=candidate, router=router)

    def __repr__(self) -> str:
        return repr(first_screen(self, self.store))

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Return the first screen, whole, and where the report is."""
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
    with keyword_errors():
        file, overrides, rows = _settings(data, labels, test, name, settings)
        resolved = resolve(file, study, overrides, names_of(strategies))
        with _shown(progress) as watch:
            send = _send if yes else refuse
            done = run_study(resolved, study, rows=rows, out=out, observer=watch, approve=send)
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
    from choose.api.compare import score_answers

    with keyword_errors():
        settings |= {"label_column": gold, **({"kind": "scores"} if scores else {})}
        file, overrides, rows = _settings(data, None, None, name, settings)
        stated = resolve(file, study, overrides)
        with _shown(progress) as watch:
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
        file, overrides, rows = _settings(data, labels, test, name, settings)
        return Audited(check_rows(file, study_file=study, overrides=overrides, rows=rows))


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
    from choose.report.terminal.plan_page import grid_page

    with keyword_errors():
        file, overrides, rows = _settings(data, labels, test, name, settings)
        planned = plan_study(
            file,
            study_file=study,
            overrides=overrides,
            strategies=names_of(strategies),
            rows=rows,
        )
        return Page(planned, grid_page(planned))


def _send(spending: Spending) -> None:
    """Consent to what would be sent."""


def _settings(
    data: Any, labels: Any, test: Any, name: str, settings: Mapping[str, Any]
) -> tuple[str | Path | None, dict[str, dict[str, Any]], Tables]:
    """Return the file, the sections of the study, and rows in memory, of a call's arguments."""
    overrides = overrides_of(settings)
    if isinstance(labels, str):  # names their column
        overrides.setdefault("data", {})["label_column"] = labels
        labels = None
    rows = tables_of(data, labels, test, name)
    if test is not None and rows.test is None:
        overrides.setdefault("data", {})["test"] = str(test)
    return (None if rows.pool is not None else data), overrides, rows


def read(store: str | Path | None = None) -> Decision:
    """Judge a stored study without running a model; by default the newest one in ``.choose``.

    Raises:
        StoreError: if the folder is no study.
    """
    from choose.study.find_study_folder import numbered_study

    with keyword_errors():
        folder = numbered_study() if store is None else Path(store)
        return Decision.of(judge_store(folder), folder)


def load(folder: str | Path) -> Model:
    """Load an export: a model with `predict`, `table` and `labels`.

    Raises:
        ChooseError: if the folder is no export, or something it needs is missing.
    """
    from choose.export.exported_model import Model

    with keyword_errors():
        return Model.load(folder)


def _shown(progress: bool) -> Any:
    from contextlib import nullcontext

    from choose.report.terminal.live_progress import LiveProgress

    class Progress(LiveProgress):
        def noted(self, sentences: Sequence[str]) -> None:
            super().noted([in_keywords(sentence) for sentence in sentences])

    return Progress() if progress else nullcontext()


report = read
