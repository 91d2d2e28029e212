"""What notebooks show: tables of a decision, and pages of decisions, audits and plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console

from choose.api.arguments import in_keywords
from choose.report.blocks import Todo, check_blocks
from choose.report.terminal import pages as terminal
from choose.report.words import as_call
from choose.schema.decision import Decision
from choose.schema.diagnosis import Audit
from choose.store.store import Store
from choose.types import STANDARD, Run

if TYPE_CHECKING:
    from choose.check.audit import Checked

# Columns of `answers_frame` besides those of the candidates.
_ROW = ("id", "text", "label", "target")


# Columns of `candidates_frame` that hold no share or other real number.
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("candidate", "title", "strategy", "family", "model"), pl.String),
    **dict.fromkeys(("recommended", "chosen"), pl.Boolean),
    **dict.fromkeys(("rows", "repetitions", "errors", "common"), pl.Int64),
}


def candidates_frame(decision: Decision) -> pl.DataFrame:
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
    schema = {name: _TYPES.get(name, pl.Float64) for name in rows[0]}
    table = pl.DataFrame(rows, schema=schema)
    return table.sort(score, descending=True, nulls_last=True, maintain_order=True)


def labels_frame(audit: Audit | None, texts: Mapping[str, str]) -> pl.DataFrame:
    """Return the labels that are worth a look, the most doubtful first.

    Args:
        audit: of the record; None where nothing was audited.
        texts: the texts by row id.
    """
    columns = {
        "id": pl.String,
        "text": pl.String,
        "label": pl.String,
        "suggested": pl.String,
        "score": pl.Float64,
    }
    rows = [
        (s.id, texts.get(s.id), s.label, s.suggested, s.score)
        for s in (audit.doubted if audit else ())
    ]
    return pl.DataFrame(rows, schema=columns, orient="row")


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
            sizes = main.setdefault(trial.candidate, {})
            sizes.setdefault(trial.fold, []).append(trial)
    table: dict[str, list[str | None]] = {
        "id": list(dataset.asked),
        "text": [dataset.examples[id].text for id in dataset.asked],
        "label" if dataset.task.labels else "target": [
            dataset.examples[id].target for id in dataset.asked
        ],
    }
    for name in (str(each["name"]) for each in candidates):
        largest = [max(f, key=lambda t: t.train_size) for f in main.get(name, {}).values()]
        answers = _outputs(filter(None, map(store.get, largest)))
        column = f"answer of {name}" if name in _ROW else name
        table[column] = [answers.get(id) for id in dataset.asked]
    return pl.DataFrame(table, schema=dict.fromkeys(table, pl.String))


def _outputs(runs: Any) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    run: Run
    for run in runs:
        if ("clean", 0) in run.answers:
            outputs = run.answers["clean", 0].outputs
            found.update(zip(run.asked["clean", 0], outputs, strict=True))
    return found


def printed(page: Any) -> str:
    """Return a page of the terminal as text, for a screen of 80 columns and 40 lines."""
    text = StringIO()
    # Pages draw for a terminal only.
    size: dict[str, Any] = {"width": 80, "height": 40, "force_terminal": True}
    Console(file=text, color_system=None, highlight=False, **size).print(page)
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
    """A record that a notebook shows as HTML and `print` as the page of the terminal.

    Attributes:
        record: what it holds; its fields are attributes of the page too.
    """

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


def first_screen(decision: Decision, store: Path) -> Page:
    """Return the first screen of a decision, with calls in Python for commands."""
    page = terminal.render(decision, store, say=lambda command: [as_call(command)])
    return Page(decision, page)


class Audited(Page):
    """The audit of a labelled set."""

    def __init__(self, checked: Checked) -> None:
        blocks = check_blocks(checked.record, "the field issues", as_call)
        super().__init__(checked.record, terminal.Page(blocks))
        self._texts = checked.texts

    def labels_to_check(self) -> pl.DataFrame:
        """Return the labels worth a look, the most doubtful first, with the suggested ones."""
        return labels_frame(self.record.audit, self._texts)
