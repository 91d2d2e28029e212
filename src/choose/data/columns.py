"""Find the columns of a table by name or by content, and turn its rows into examples."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from choose.data.readers.column_guess import (
    ANSWER,
    LABEL,
    QUESTION,
    TEXT,
    TIME,
    WIDEST,
    chat_of,
    column_named,
    column_of,
    guess,
    guess_time,
    naming,
    parse_dates,
    undecided,
    usual,
)
from choose.data.readers.evidence_columns import DOCUMENT, EVIDENCE, RELEVANT, reserved
from choose.data.readers.json_and_parquet import GIVEN, ROW, nested_paths, value_at, with_paths
from choose.errors import DataError, StudyError, quoted, quoted_list
from choose.formatting import listed
from choose.schema.study_sections import DataSection
from choose.tasks.answering import PASSAGES
from choose.tasks.kinds import KINDS

# Authors and users are not here: they often are few, and only the user knows whether they matter.
GROUP = ("group", "group_id", "conversation", "conversation_id", "thread", "thread_id")
MAYBE_GROUP = ("author", "author_id", "user", "user_id", "customer", "customer_id", "session_id")

SOURCE = ("source", "channel", "domain", "corpus", "site")

# Characters of a system turn that becomes the instruction of prompts.
LONGEST_INSTRUCTION = 2_000

# Share of dates in the cells of a time column that is found by content.
DATED = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The columns by role; several text columns are joined with a blank line.

    `fields` are further input columns. `by_content` are the roles that neither a flag nor a usual
    name determined. `teacher` holds answers to learn from; None also where it is the label. `told`
    says what became of columns that may be a group or a source.
    """

    text: tuple[str, ...]
    label: str
    time: str | None
    group: str | None
    id: str | None
    source: str | None = None
    fields: tuple[str, ...] = ()
    by_content: frozenset[str] = frozenset()
    teacher: str | None = None
    told: tuple[str, ...] = ()

    def named_in(self, section: DataSection) -> DataSection:
        """Return the section with the text and the label that were found by content."""
        named = {"text": ",".join(self.text), "label": self.label}
        found = {f"{role}_column": name for role, name in named.items() if role in self.by_content}
        return section.model_copy(update=found)

    @property
    def named(self) -> list[str]:
        others = (self.label, self.time, self.group, self.source, self.id, self.teacher)
        return [*self.text, *self.fields, *(name for name in others if name)]


def roles_of(table: pl.DataFrame, section: DataSection) -> Roles:
    columns = [name for name in table.columns if name != ROW]
    known = [*columns, *nested_paths(table)]
    named = _by_name(table, section, columns, known)
    text, label = _text_and_label(known, section)
    by_content = {"text": not text, "label": label is None}
    if (chat := chat_of(known)) and not text:
        text, label = (f"{chat}.user",), label or f"{chat}.assistant"
    fields = _fields(known, section.fields, (*text, label))
    about = reserved(known) if section.documents else []
    teacher = column_named(known, section.teacher_column, "teacher")
    settled = {*text, label, *fields, *named.values(), *about, teacher, section.evidence_column}
    names = [name for name in known if name not in settled][:WIDEST]
    wide = with_paths(origin(section), table, names)
    free = [column_of(wide[name]) for name in names]
    found = guess(free, text, label)
    if teacher and not found.label:  # its answers are all that there is
        found = replace(found, label=(teacher,))
    if len(found.text) != 1 or len(found.label) != 1:
        raise undecided(found, free, section)
    [text], [label] = found.text, found.label
    if named["time"] is None:
        others = guess_time([c for c in free if c.name not in (*text, label)])
        dated = (name for name in others if name in table.columns)
        named["time"] = next((d for d in dated if _share_of_dates(table[d]) >= DATED), None)
        by_content["time"] = named["time"] is not None
    told = tuple(_settle_sources(table, section, label, named))
    return Roles(
        text=text,
        label=label,
        fields=fields,
        told=told,
        by_content=frozenset(role for role, guessed in by_content.items() if guessed),
        teacher=None if teacher == label else teacher,
        **named,
    )


def _by_name(
    table: pl.DataFrame, section: DataSection, columns: Sequence[str], known: Sequence[str]
) -> dict[str, str | None]:
    usually = {
        "time": usual(columns, TIME),
        "group": usual(columns, GROUP),
        "source": usual(columns, SOURCE),
    }
    if (time := usually["time"]) and _share_of_dates(table[time]) < 0.5:
        usually["time"] = None
    if (group := usually["group"]) and column_of(table[group]).kind == "text":
        usually["group"] = None  # its cells are phrases: a conversation
    own = {role: getattr(section, f"{role}_column") for role in usually}
    named = {role: column_named(known, own[role], role) or usually[role] for role in usually}
    return {**named, "id": usual(columns, ("id",))}


def _settle_sources(
    table: pl.DataFrame, section: DataSection, label: str, named: dict[str, str | None]
) -> Iterator[str]:
    """Take guesses of the source and the group back where labels do not cross them; say so."""
    for role in ("source", "group"):
        column = named[role]
        if column is None or getattr(section, f"{role}_column") or label not in table.columns:
            continue
        crossed = _crossed_by(table, column, label)
        if not crossed:
            named[role] = None
        if crossed is False:
            yield (
                f"Column {quoted(column)} is not taken as the {role}: each label is in one of its "
                f"values only, so no training row would have a label that is tested. To keep rows "
                f"of one value together: --set group_column={column}."
            )


def _crossed_by(table: pl.DataFrame, column: str, label: str) -> bool | None:
    """Return whether a label that repeats has several values of a column; None if it has one."""
    values, rows = defaultdict[str, set[str]](set), Counter[str]()
    cells = zip(table[column].to_list(), map(str, table[label].to_list()), strict=True)
    for value, target in cells:
        if value is not None:
            values[target].add(str(value))
            rows[target] += 1
    if len(set[str]().union(*values.values())) < 2:
        return None
    several = [len(values[target]) > 1 for target, count in rows.items() if count > 1]
    return any(several) or not several


def ranked_documents(
    table: pl.DataFrame, section: DataSection, stated: str | None
) -> tuple[DataSection, str | None, list[str]]:
    """Return the section and the kind of rows that name relevant documents, and a note on it.

    Without a stated kind, they are to be ranked where there is such a column in place of answers.
    """
    columns = [name for name in table.columns if name != ROW]
    column, notes = usual(columns, (*RELEVANT, *EVIDENCE, *DOCUMENT)), []
    if stated is None:
        unnamed = section.documents is not None and section.label_column is None
        if not unnamed or not column or usual(columns, (*ANSWER, *LABEL)):
            return section, stated, []
        if _holds_answers(table, section):
            return section, stated, []
        notes.append(
            f"The task is ranking: {quoted(column)} names the documents of each question, and no "
            "column is called an answer. To have questions answered: --label-column ANSWERS"
        )
    elif KINDS[stated].has_documents != "must":
        return section, stated, []
    elif section.documents is None:
        raise StudyError(f"--kind {stated} needs the documents to rank. Name --documents.")
    else:
        column = section.label_column or section.evidence_column or column
    if column is None:
        raise DataError(
            "No column of relevant documents: none of the columns "
            f"{quoted_list(columns)} is called {', '.join(RELEVANT[:4])} or evidence. Name it with "
            "--label-column."
        )
    named = section.model_copy(update={"label_column": column, "evidence_column": None})
    return named, stated or "ranking", notes


def _holds_answers(table: pl.DataFrame, section: DataSection) -> bool:
    try:
        label = roles_of(table, section).label
    except DataError:
        return False
    cells = table.get_column(label) if label in table.columns else None
    return cells is not None and 2 * cells.n_unique() > len(cells)


def _text_and_label(
    known: Sequence[str], section: DataSection
) -> tuple[tuple[str, ...], str | None]:
    text = text_columns(known, section.text_column)
    label = column_named(known, section.label_column, "label")
    asks = section.documents is not None
    usual_text = usual(known, (*QUESTION, *TEXT) if asks else TEXT)
    if label is not None and label in (text or (usual_text,)):
        raise DataError(
            f"The column {label!r} is both the text and the label. Name another --label-column."
        )
    labels = (*ANSWER, *LABEL) if asks else LABEL
    label = label or usual([name for name in known if name not in text], labels)
    return text or ((usual_text,) if usual_text else ()), label


def _fields(
    known: Sequence[str], wanted: Sequence[str], taken: Sequence[str | None]
) -> tuple[str, ...]:
    named = [column_named(known, name, "field") for name in wanted]
    fields = tuple(dict.fromkeys(name for name in named if name is not None))
    for name in fields:
        if name in taken:
            raise DataError(
                f"The column {name!r} is the text or the label already. Leave it out of fields."
            )
    return fields


def guess_notes(roles: Roles) -> Iterator[str]:
    if roles.label.endswith(".assistant"):
        yield (
            "Of each chat, the last turn of the assistant is the label, and the turns of the user "
            "are the text; earlier turns of the assistant are not used."
        )
    found = {"text": " and ".join(map(quoted, roles.text)), "label": quoted(roles.label)}
    found["time"] = quoted(roles.time or "")
    if parts := [f"{role} {name}" for role, name in found.items() if role in roles.by_content]:
        dates = roles.time if "time" in roles.by_content else None
        flags = naming(",".join(roles.text), roles.label, dates)
        yield f"Columns found by their content: {', '.join(parts)}. To name others: {flags}"


def columns_of_labels(table: pl.DataFrame, section: DataSection, roles: Roles) -> list[str]:
    """Return a sentence on columns without a role that hold labels alone; empty for none."""
    columns = [table[name] for name in table.columns if name != ROW]
    plain = [c for c in columns if c.dtype in (pl.String, pl.Boolean) or c.dtype.is_integer()]
    cells = {c.name: {*map(str, c.unique().drop_nulls())} - {""} for c in plain}
    labels = cells.get(roles.label, set())
    free = [name for name in cells if name not in roles.named and len(cells[name]) > 1]
    if not (found := [name for name in free if cells[name] <= labels]) or section.path is None:
        return []
    # Other names cannot be written after --answers; without it, score looks at all columns.
    nameable = not any(mark in name for name in found for mark in ",=")
    answers = ("--answers", ",".join(found)) if nameable else ()
    known = section.label_column is None and "label" not in roles.by_content
    gold = () if known else ("--gold", roles.label)
    score = shlex.join(["choose", "score", section.path, *answers, *gold])
    many, names = len(found) > 1, listed([*map(quoted, found)])
    told = f"Column{'s' * many} {names} hold{'s' * (not many)} only labels."
    return [f"{told} If these are a model's answers, score them: {score}"]


def unread_passage(table: pl.DataFrame, roles: Roles) -> str | None:
    """Return a column that is called a passage and has no role."""
    free = [name for name in table.columns if name not in (ROW, *roles.named)]
    return None if usual(roles.fields, PASSAGES) else usual(free, PASSAGES)


def origin(section: DataSection) -> Path:
    """Return what rows are called in messages: their file."""
    return Path(section.path) if section.path else GIVEN


def shared_instruction(table: pl.DataFrame, roles: Roles) -> tuple[str | None, list[str]]:
    """Return the system turn that all chats begin with, and a sentence about it.

    It becomes the instruction of prompts unless the study has one; turns that differ are no
    instruction.
    """
    chat = roles.label.removesuffix(".assistant")
    system = f"{chat}.system"
    if chat == roles.label or system in roles.text or chat not in table.columns:
        return None, []
    first, *others = {value_at({chat: cell}, system) for cell in table[chat].to_list()}
    if first is None and not others:
        return None, []
    if others or len(first) > LONGEST_INSTRUCTION:
        why = "differ between chats" if others else "are too long for an instruction"
        return None, [
            f"The system turns {why}, and are not used. To read them as part of the text: "
            f"--text-column {system},{chat}.user"
        ]
    return first, ["The system turn of the chats is the instruction of prompts."]


def text_and_id_columns(
    columns: Sequence[str], text_column: str | None, asks: bool = False
) -> tuple[tuple[str, ...], str | None]:
    """Find the columns of the text and the id, for rows without labels.

    Where documents answer (`asks`), a column called a question comes first, as in training.
    """
    known = (*QUESTION, *TEXT) if asks else TEXT
    id, name = usual(columns, ("id",)), usual(columns, known)
    # Rows come one at a time, so that a dotted path is known by its column alone.
    parts = [part.strip() for part in (text_column or "").split(",")]
    paths = [part for part in parts if any(part.startswith(f"{root}.") for root in columns)]
    text = text_columns([*columns, *paths], text_column) or ((name,) if name else ())
    others = tuple(name for name in columns if name != id)
    if not text and len(others) == 1:
        text = others
    if not text:
        raise DataError(
            f"No text column: none of the columns {quoted_list(columns)} is called "
            f"{', '.join(dict.fromkeys(known))}. Name it with --text-column."
        )
    return text, id


def group_hint(table: pl.DataFrame) -> str | None:
    """Return a column that may say which rows belong together, such as an author."""
    return usual([name for name in table.columns if name != ROW], MAYBE_GROUP)


def text_columns(columns: Sequence[str], wanted: str | None) -> tuple[str, ...]:
    """Return the columns that are named: one, or several between commas."""
    if wanted is None or wanted in columns:
        return (wanted,) if wanted else ()
    parts = [part.strip() for part in wanted.split(",")]
    return tuple(found for part in parts if part and (found := column_named(columns, part, "text")))


def _share_of_dates(column: pl.Series) -> float:
    if column.dtype != pl.String:
        return 0.0
    cells = [cell for cell in column if cell and cell.strip()]
    return sum(moment is not None for moment in parse_dates(cells)) / len(cells) if cells else 0.0
