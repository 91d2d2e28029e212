"""Load the labelled set that a study names, and split it."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import polars as pl

from choose.corpus import Corpus
from choose.data.columns import (
    Roles,
    columns_of_labels,
    group_hint,
    guess_notes,
    ranked_documents,
    roles_of,
    shared_instruction,
    unread_passage,
)
from choose.data.examples import examples_from, kind_of, target_values
from choose.data.readers.column_guess import check_headed, quote
from choose.data.readers.document_files import read_documents
from choose.data.readers.evidence_columns import (
    Part,
    check_documents,
    with_evidence,
    with_relevance,
)
from choose.data.readers.labelled_file import Source, dataset_name, read_source
from choose.data.scenarios import SOURCE_ROWS, sources
from choose.data.splits import build_dataset
from choose.errors import DataError, StudyError, quoted, reading, told_of
from choose.formatting import plural
from choose.schema.study_sections import DataSection, TaskSection
from choose.tasks.answering import no_questions, with_corpus
from choose.tasks.kinds import KINDS, USUAL, check_kind, with_metric
from choose.tasks.metrics import DEFAULT
from choose.tasks.multilabel import separator_of
from choose.types import Dataset, Example


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows as read, with those that lack a text or label; `test` is None without a test file.

    `roles` are the columns of the pool; `hint` is a column that may say which rows belong together.
    `notes` say how the files were read and which columns were guessed. `instruction` is what all
    chats begin with. `kind` is the kind of task that the targets make, as stated or as they look.
    `corpus` holds the documents that are read for an answer, if any are named; `dropped` says which
    documents were left out.
    """

    name: str
    pool: list[Example]
    test: list[Example] | None
    roles: Roles
    hint: str | None
    notes: tuple[str, ...] = ()
    instruction: str | None = None
    kind: str = USUAL
    corpus: Corpus | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables in memory, as of a `Source`, that replace the files of a study."""

    pool: pl.DataFrame | None = None
    test: pl.DataFrame | None = None
    name: str = "rows"


def read_rows(section: DataSection, tables: Tables | None = None, kind: str | None = None) -> Rows:
    """Read the files of a study, or take `tables`; `kind` is that of the task, if stated."""
    with reading(_named(section.path)):
        check_kind(kind)
        check_documents(section)
        return _rows(section, tables or Tables(), kind)


def sample_of(rows: list[Example], most: int) -> list[Example]:
    """Return the rows, or where there are more a random sample of `most`, in their order."""
    if len(rows) <= most:
        return rows
    return [rows[place] for place in sorted(Random(0).sample(range(len(rows)), most))]


def sampled(rows: Rows, most: int) -> Rows:
    """Return rows, or where there are more a sample of `most` of the pool, and say so."""
    if len(rows.pool) <= most:
        return rows
    said = f"Checked: a random sample of {most:,} of {plural(len(rows.pool), 'row')}."
    return replace(rows, pool=sample_of(rows.pool, most), notes=(said, *rows.notes))


def _named(path: str | None) -> str:
    return "the rows given" if path is None else repr(path)


def _rows(section: DataSection, given: Tables, kind: str | None) -> Rows:
    pool, test = _pool(section, given), None
    if given.test is not None:
        test = Source(given.test)
    elif section.test is not None:
        test = read_source(section.test)
    table, tested = pool.table, None if test is None else test.table
    files = (*pool.notes, *(test.notes if test else ()))
    check_headed(table, section.path, section)
    if tested is not None:
        check_headed(tested, section.test, section)
    section, kind, ranked = ranked_documents(table, section, kind)
    table, section, kind = _label_of_test(table, tested, section, kind)
    roles = roles_of(table, section)
    name = given.name
    if given.pool is None and section.path is not None:
        name = dataset_name(section.path)
    instruction, said = shared_instruction(table, roles)
    kind, why = ("ranking", ranked) if kind == "ranking" else _kind(table, section, roles, kind)
    cells = target_values(table, section, roles) if kind == "multilabel" else ()
    if (parted := separator_of(cells, stated=True)) is not None:
        why = [*why, f"{quoted(parted)} parts the labels in cells of {quoted(roles.label)}."]
    if kind == USUAL:
        why = [*why, *columns_of_labels(table, section, roles)]
    rows = Rows(
        name=name,
        pool=_examples(section.path, table, section, kind, roles=roles, separator=parted),
        test=None if tested is None else _test_examples(tested, section, kind, roles, parted),
        roles=roles,
        hint=group_hint(table),
        notes=(*files, *said, *guess_notes(roles), *roles.told, *why),
        instruction=instruction,
        kind=kind,
    )
    if section.documents is not None:
        rows = _with_documents(rows, section, table, tested)
    return rows


def _label_of_test(
    table: pl.DataFrame, test: pl.DataFrame | None, section: DataSection, kind: str | None
) -> tuple[pl.DataFrame, DataSection, str | None]:
    """Give training rows that have a teacher's answers alone the test file's column of labels."""
    if test is None or section.teacher_column is None:
        return table, section, kind
    tested = _without_teacher(test, section)
    roles = roles_of(test, tested)
    if roles.label in table.columns:
        return table, section, kind
    empty = pl.lit(None, dtype=pl.String).alias(roles.label)
    named = section.model_copy(update={"label_column": roles.label})
    return table.with_columns(empty), named, kind or kind_of(test, tested, roles)[0]


def _without_teacher(table: pl.DataFrame, section: DataSection) -> DataSection:
    """Return the section of a test file, which may lack the teacher's answers."""
    here = section.teacher_column in table.columns
    return section if here else section.model_copy(update={"teacher_column": None})


def _kind(
    table: pl.DataFrame, section: DataSection, roles: Roles, stated: str | None
) -> tuple[str, list[str]]:
    if section.documents is not None:
        if stated is not None and KINDS[stated].has_documents == "no":
            raise no_questions(stated)
        said = "The task is answering: its questions are answered from documents."
        return "answering", [] if stated else [said]
    kind, why = kind_of(table, section, roles)
    notes = []
    if stated is None and kind != USUAL:
        notes.append(f"The task is {kind}: {why}. To state another kind: --kind NAME")
    kind = stated or kind
    if KINDS[kind].reads_passages and (passage := unread_passage(table, roles)):
        notes.append(
            f"The column {quoted(passage)} is not read: questions are answered without it. If it "
            f"holds the passage of each question, name it: --set fields={quote(passage)}"
        )
    return kind, notes


def _with_documents(
    rows: Rows, section: DataSection, table: pl.DataFrame, test: pl.DataFrame | None
) -> Rows:
    """Return rows with the documents that they are answered from, and where answers occur."""
    assert section.documents is not None
    read = read_documents(section.documents)
    parts = [Part(section.path, table, rows.pool)]
    if test is not None and rows.test is not None:
        parts.append(Part(section.test, test, rows.test))
    if rows.kind == "ranking":
        found = with_relevance(parts, read.corpus, rows.roles.label)
    else:
        taken = [name for name in rows.roles.named if name != rows.roles.group]
        found = with_evidence(parts, read.corpus, section, taken)
    about = "Figures are about new questions on these documents."
    return replace(
        rows,
        pool=found.rows[: len(rows.pool)],
        test=None if rows.test is None else found.rows[len(rows.pool) :],
        notes=(*rows.notes, *read.notes, *found.notes, *([] if section.group_column else [about])),
        corpus=read.corpus,
        dropped=read.dropped,
    )


def _test_examples(
    table: pl.DataFrame, section: DataSection, kind: str, roles: Roles, separator: str | None
) -> list[Example]:
    section = _without_teacher(table, roles.named_in(section))
    return _examples(section.test, table, section, kind, separator=separator)


def _examples(
    path: str | None,
    table: pl.DataFrame,
    section: DataSection,
    kind: str,
    *,
    roles: Roles | None = None,
    separator: str | None,
) -> list[Example]:
    with told_of(f"In {_named(path)}: "):
        return examples_from(table, section, roles, kind, separator)


def _pool(section: DataSection, given: Tables) -> Source:
    if given.pool is not None:
        return Source(given.pool)
    if section.path is None:
        raise StudyError("No labelled set is named (DATA). Give a file, or sample:tickets.")
    with suppress(OSError):  # a file that is not there is refused where it is read
        if section.test is not None and Path(section.path).samefile(section.test):
            raise DataError(
                f"{section.test!r} is both the labelled set and the test file. Leave out --test, "
                "and choose splits it."
            )
    return read_source(section.path)


def dataset_from(
    rows: Rows, section: DataSection, task: TaskSection, metric: str = DEFAULT
) -> Dataset:
    """Check and split rows that were read; `metric` is that of the study's goal."""
    told = task.model_copy(update={"instruction": task.instruction or rows.instruction})
    with reading(_named(section.path)):
        dataset = build_dataset(
            rows.name, rows.pool, rows.test, folds=section.folds, kind=rows.kind, told=told
        )
    measured = with_metric(dataset.task, metric, dataset.examples[dataset.asked[0]].target)
    if rows.corpus is not None:
        measured = with_corpus(measured, rows.corpus)
    alone = _source_notes(dataset, section.source_column)
    findings = [*rows.notes, *rows.dropped, *alone, *dataset.findings]
    if rows.hint is not None and all(e.group is None for e in dataset.examples.values()):
        findings.append(
            f"Rows with the same {rows.hint!r} may belong together; if so, keep them on one side "
            f"of the split with --set group_column={rows.hint!r}."
        )
    return replace(
        dataset,
        task=measured,
        findings=tuple(findings),
        dropped=(*rows.dropped, *dataset.dropped),
        teacher=rows.roles.teacher or "",
    )


def _source_notes(dataset: Dataset, named: str | None) -> list[str]:
    if named is None or sources(dataset):
        return []
    if len({e.source for e in dataset.examples.values()} - {None}) < 2:
        raise StudyError(
            f"source_column={named!r}: there is one source only, so none can be left out. Name a "
            "column with two values or more, or leave it out."
        )
    return [f"No source has {SOURCE_ROWS} rows beside others, so none is left out in turn."]
