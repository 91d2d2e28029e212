"""Steps where documents or retrieval limit."""

from __future__ import annotations

from collections.abc import Iterator

from choose.corpus import LOOKED
from choose.errors import rows_named
from choose.judge.decision.rule import Case
from choose.judge.decision.verdict_kind import documents_limit, target_met
from choose.schema.reading_documents import Retrieved, best_first
from choose.schema.standings import Step


def documents_steps(case: Case, check: str) -> Iterator[Step]:
    """Yield what to do first where documents or retrieval limit; `check` is a command."""
    limit = documents_limit(case)
    split = next(iter(best_first(case.splits, case.name)), None)
    if limit == "fix-documents":
        yield Step(
            kind=limit,
            text="Write or find the documents with the answers to "
            f"{rows_named(case.unanswered, 8)}: the check lists every question whose answer occurs "
            "in none.",
            question="whether what is asked can be answered at all",
            command=check,
        )
    first = limit == "fix-retrieval"
    if split is not None and (first or (split.retrieval_next and not target_met(case))):
        whose = f", as measured with {split.candidate}" if split.candidate != case.name else ""
        yield Step(
            kind="fix-retrieval",
            text=f"Improve retrieval{' before reading' if first else whose}: other lengths of "
            "passages (words), more of them (k), titles that say what a page is about, or an "
            f"encoder of your domain (--encoder).{_missed(split.found)}",
            question="how much of what the right passage gives can be reached",
            value=split.gap("retrieval").loss,
        )


def _missed(found: Retrieved | None) -> str:
    """Name rows whose evidence was not read, and say what helps these."""
    if found is None or not found.missed:
        return ""
    if found.low is None:
        return f" It misses the evidence of {rows_named(found.missed, 8)}."
    rest, said = [id for id in found.missed if id not in {*found.low}], ""
    if found.low:
        said = (
            f" Better ranks (retriever) or more passages help with "
            f"{rows_named(found.low, 8)}, whose evidence is among the first {LOOKED} found."
        )
    if rest:
        said += (
            f" Other wording or documents help with {rows_named(rest, 8)}, whose evidence is not."
        )
    return said
