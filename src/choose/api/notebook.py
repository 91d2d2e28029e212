"""The Python interface for notebooks and programs: `choose.compare`, `read`, `load`, `Decision`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from choose.api.compare import report, run_study, texts
from choose.api.export import export as export_candidate
from choose.api.plan import resolve
from choose.errors import StoreError
from choose.schema import decision as record
from choose.schema.scorecard import Scorecard
from choose.study.study_file import keywords, overrides_of

if TYPE_CHECKING:
    import polars as pl

    from choose.data.dataset import Tables
    from choose.export.exported_model import Model
    from choose.export.write_folder import Exported


class Decision(record.Decision):
    """A decision record (`verdict`, `scorecards`, `gates`, `pairs`, ...) with its study."""

    _store: Path = PrivateAttr(default=Path())
    _interrupted: bool = PrivateAttr(default=False)

    @classmethod
    def of(cls, decision: record.Decision, store: Path, interrupted: bool = False) -> Self:
        """Attach the folder of the study to a record."""
        fields = {name: getattr(decision, name) for name in type(decision).model_fields}
        attached = cls.model_construct(**fields)
        attached._store, attached._interrupted = store, interrupted
        return attached

    @property
    def store(self) -> Path:
        """The folder of the study; `choose report` and `choose export` take it too."""
        return self._store

    @property
    def interrupted(self) -> bool:
        """Whether the study was stopped before its end; the same call continues it."""
        return self._interrupted

    def frame(self) -> pl.DataFrame:
        """Return one row a candidate, the most accurate first; null means not measured."""
        import polars as pl

        columns = _columns(self.verdict.recommended)
        table = pl.DataFrame(
            [
                {name: value(card) for name, (_, value) in columns.items()}
                for card in self.scorecards
            ],
            # Columns that are null throughout keep their types.
            schema={name: getattr(pl, kind) for name, (kind, _) in columns.items()},
        )
        return table.sort("accuracy", descending=True, nulls_last=True, maintain_order=True)

    def write(self, path: str | Path) -> Path:
        """Write the report as .html, .md, .json or .xml, by the ending of the path."""
        from choose.report.write import write
        from choose.store.destination import check_destination

        check_destination(Path(path), flag="The file")
        write("decision", self, Path(path), texts(self.store))
        return Path(path)

    def export(
        self,
        folder: str | Path,
        *,
        candidate: str | None = None,
        trial: str | None = None,
        force: bool = False,
    ) -> Exported:
        """Fit the recommended candidate, or another one, on all labels and export it."""
        return export_candidate(self.store, folder, candidate=candidate, trial=trial, force=force)

    def __repr__(self) -> str:
        """Say the decision in a line."""
        return f"<Decision {self.verdict.kind}: {self.verdict.headline}>"

    def __str__(self) -> str:
        """Return the headline."""
        return self.verdict.headline

    def _repr_html_(self) -> str:
        """Return the whole report in a frame of its own, so that its style stays in it."""
        from html import escape

        from choose.report.html.page import render_html

        try:
            stored = texts(self.store)
        except StoreError:  # the folder has gone since
            stored = {}
        page = escape(render_html(self, stored), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox style="width: 100%; height: 40rem; border: 0" '
            'title="Report of choose"></iframe>'
        )


def _columns(recommended: str | None) -> dict[str, tuple[str, Callable[[Scorecard], Any]]]:
    """Return the polars type and the value of each column of `Decision.frame`."""
    return {
        "candidate": ("String", lambda card: card.candidate),
        "strategy": ("String", lambda card: card.strategy),
        "family": ("String", lambda card: card.family),
        "model": ("String", lambda card: card.model),
        "recommended": ("Boolean", lambda card: card.candidate == recommended),
        "accuracy": ("Float64", lambda card: card.accuracy and card.accuracy.value),
        "low": ("Float64", lambda card: card.accuracy and card.accuracy.low),
        "high": ("Float64", lambda card: card.accuracy and card.accuracy.high),
        "estimand": ("String", lambda card: card.accuracy and card.accuracy.estimand),
        "macro_f1": ("Float64", lambda card: card.macro_f1 and card.macro_f1.value),
        "rows": ("Int64", lambda card: card.rows),
        "repetitions": ("Int64", lambda card: card.repetitions),
        "churn": ("Float64", lambda card: card.churn),
        "noise_slope": ("Float64", lambda card: card.noise.slope and card.noise.slope.value),
        "format_valid": ("Float64", lambda card: card.format_valid),
        "calibration_error": ("Float64", lambda card: card.calibration_error),
        "fit_seconds": ("Float64", lambda card: card.cost.fit_seconds),
        "ms_per_item": ("Float64", lambda card: card.cost.ms_per_item),
        "usd_per_1k": ("Float64", lambda card: card.cost.usd_per_1k),
        "errors": ("Int64", lambda card: len(card.errors)),
    }


def compare(
    data: Any = None,
    *,
    test: Any = None,
    strategies: Sequence[str] = (),
    study: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    name: str = "rows",
    progress: bool = True,
    **settings: Any,
) -> Decision:
    """Run every strategy on a labelled set and decide which one to use.

    Keys of a study file are keywords too, such as `target`, `margin`, `seeds` or `model`;
    ``help(choose.compare)`` lists them. `budget` is a time such as "10m", or seconds. An
    interrupted call returns a decision on the finished trials; the same call with the same `out`
    continues.

    Args:
        data: a CSV, TSV, JSON, JSONL or Parquet file, ``sample:tickets``, a polars or pandas
            DataFrame, or a list of dictionaries; else the study names it.
        test: test rows, likewise.
        strategies: compare only these candidates, and the baselines that always run.
        study: a study file, or its sections as dictionaries.
        out: the study's folder; by default ``.choose/NAME-ROWS-SETTINGS`` below the working folder.
        name: name of rows that come from no file.
        progress: show progress on standard error.
        settings: keys of the study file.

    Raises:
        ChooseError: on bad input, before anything is run or written.
    """
    overrides, rows = overrides_of(settings), _tables(data, test, name)
    if test is not None and rows.test is None:
        overrides.setdefault("data", {})["test"] = str(test)
    file = None if rows.pool is not None else data
    resolved = resolve(file, study, overrides, strategies)
    with _shown(progress) as observer:
        done = run_study(resolved, rows=rows, out=out, observer=observer)
    return Decision.of(done.decision, done.store, done.interrupted)


def _tables(data: Any, test: Any, name: str) -> Tables:
    """Return rows that were passed in memory; None for files."""
    from choose.data.dataset import Tables
    from choose.data.readers.json_and_parquet import is_rows, table_of

    return Tables(
        pool=table_of(data) if is_rows(data) else None,
        test=table_of(test) if is_rows(test) else None,
        name=name,
    )


def read(store: str | Path) -> Decision:
    """Judge a stored study without running a model.

    Raises:
        StoreError: if the folder is no study.
    """
    return Decision.of(report(store), Path(store))


def load(folder: str | Path) -> Model:
    """Load an export; ``load(folder).predict(texts)`` predicts.

    Raises:
        ChooseError: if the folder is no export, or something it needs is missing.
    """
    from choose.export.exported_model import Model

    return Model.load(folder)


def _shown(progress: bool) -> Any:
    from contextlib import nullcontext

    from choose.report.terminal.live_progress import LiveProgress

    return LiveProgress() if progress else nullcontext()


def _signed() -> inspect.Signature:
    """Return the signature of `compare` with a keyword for each key of a study file."""
    stated = inspect.signature(compare)
    named = [p for p in stated.parameters.values() if p.kind is not p.VAR_KEYWORD]
    known = {p.name for p in named}
    named += [parameter for name, (_, parameter) in keywords().items() if name not in known]
    return stated.replace(parameters=named)


compare.__signature__ = _signed()  # type: ignore[attr-defined]
