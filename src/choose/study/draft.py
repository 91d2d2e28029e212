"""Draft a commented study file from the rows that it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import tomli_w

from choose.data.dataset import Rows
from choose.errors import quoted
from choose.schema.study_sections import DataSection
from choose.tasks.kinds import KINDS
from choose.tasks.labels import readable
from choose.types import Dataset, Task

# With more labels than this, the file does not list them one by one.
MAX_LABELS = 200

# Ratio of rows from which the draft suggests balanced accuracy.
IMBALANCE = 4

# Words in the names of labels for rows that fit no other label.
_OTHER_WORDS = {"other", "others", "none", "oos", "unknown", "misc", "miscellaneous"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFacts:
    """Facts about the rows that the comments of the draft mention.

    Attributes:
        detectable: smallest gain that the test rows can detect, None for none.
        needed: number of test rows that detect the default margin.
    """

    data: DataSection
    rows: Rows
    dataset: Dataset
    detectable: float | None
    needed: int
    version: str


def draft(facts: DraftFacts) -> str:
    """Return the study file; text from the data is escaped or quoted."""
    parts = (_head(facts), _data(facts), _task(facts), _goal(facts), _costs(), _rest())
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(facts: DraftFacts) -> Iterator[str]:
    yield f"# A study of {quoted(facts.dataset.name)}, drafted by choose {facts.version}."
    yield "# Lines that start with # are suggestions. Flags override this file. Next:"
    what = "labels" if facts.dataset.task.labels else "targets"
    yield f"#     choose check -c THIS-FILE       what the {what} are worth, in seconds"
    yield "#     choose compare -c THIS-FILE"


def _data(facts: DraftFacts) -> Iterator[str]:
    data, roles = facts.data, facts.rows.roles
    examples = facts.dataset.examples.values()
    yield "[data]"
    yield _pair("path", data.path or "")
    if data.test is not None:
        yield _pair("test", data.test)
    else:
        yield '# test = "test.csv"          # your own test rows, if you have some'
    yield _pair("text_column", ",".join(roles.text))
    yield _pair("label_column", roles.label)
    if roles.fields:
        names = ", ".join(_pair("name", name).removeprefix("name = ") for name in roles.fields)
        yield f"fields = [{names}]"
    else:
        yield '# fields = ["..."]           # further input columns, such as the day of an e-mail'
    if roles.time is not None:
        dated = sum(e.timestamp is not None for e in examples)
        # A column that is named must be dated throughout; one that was found need not.
        unsure = "# " if "time" in roles.by_content and dated < len(examples) else ""
        pair = _pair("time_column", roles.time)
        yield f"{unsure}{pair}  # {dated:,} of {len(examples):,} dated"
    else:
        yield '# time_column = "..."        # none found; with one, choose measures drift'
    if roles.group is not None:
        groups = len({e.group for e in examples})
        yield f"{_pair('group_column', roles.group)}  # {groups:,} groups, none is ever split"
    elif facts.rows.hint is not None:
        yield f"# {_pair('group_column', facts.rows.hint)}  # if rows of a group belong together"
    if roles.annotator is not None:
        yield _pair("annotator_column", roles.annotator)
    yield from _documents(data)
    for key in ("test_rows", "folds"):
        if (value := getattr(data, key)) is not None:
            yield _pair(key, value)


def _documents(data: DataSection) -> Iterator[str]:
    """Yield where documents and other wordings are, and what figures are about, if any are."""
    if data.documents is None:
        return
    yield _pair("documents", data.documents)
    if data.evidence_column is not None:
        yield _pair("evidence_column", data.evidence_column)
    else:
        yield '# evidence_column = "..."    # documents, or spans of them, that hold the answer'
    said = "or new-documents: those of test questions are not in training"
    yield f"{_pair('estimand', data.estimand)}  # {said}"


def _task(facts: DraftFacts) -> Iterator[str]:
    task = facts.dataset.task
    if not task.labels:
        yield from _task_without_labels(task)
        return
    counts = Counter(e.target for e in facts.dataset.examples.values())
    yield "[task]"
    yield '# instruction = "..."        # a sentence for prompted models: what to do with a text'
    unsure = [n for n in task.labels if _OTHER_WORDS & set(readable(n).casefold().split())][:1]
    if unsure:
        yield f"# {_pair('out_of_scope', unsure[0])}  # if it holds rows that fit no other label"
    yield ""
    yield "[task.names]                 # label names in prompts; correct them if needed"
    if len(task.labels) > MAX_LABELS:
        yield f"# {len(task.labels):,} labels are too many to list; they are made readable by rule."
        return
    for label, name in zip(task.labels, task.names, strict=True):
        yield f"{_pair(label, name)}  # {_rows(counts[label])}"
    yield ""
    yield "[task.descriptions]          # a line each helps prompted models most"
    for label in task.labels:
        yield f'# {_key(label)} = "..."'


def _task_without_labels(task: Task) -> Iterator[str]:
    """Yield the kind and, of records, the type of each field as found in the rows."""
    yield "[task]"
    yield f"{_pair('kind', task.kind)}  # what the targets look like"
    yield '# instruction = "..."        # a sentence for prompted models: what to do with a text'
    fields: Mapping[str, str] = task.facts().get("fields", {})
    if fields:
        yield ""
        yield "[task.fields]                # how values are compared: text, number, date or list"
        yield from (_pair(name, kind) for name, kind in fields.items())
        yield ""
        yield "[task.descriptions]          # a line each helps prompted models most"
        yield from (f'# {_key(name)} = "..."' for name in fields)


def _goal_without_labels(facts: DraftFacts) -> Iterator[str]:
    metric = facts.dataset.task.metrics[0]
    yield "[goal]                       # set it before the run"
    yield f"# target = 0.90              # good enough to ship, in {metric}: your decision"
    yield "margin = 0.02                # the smallest gain that matters to you"
    others = " or ".join(f'"{name}"' for name in KINDS[facts.dataset.task.kind].scores[1:])
    yield f"# metric = {others}     # instead of {metric}, or a function of your own:"
    yield '#                            # "FILE.py:FUNCTION", (output, targets) -> 0 to 1'
    rows = len(facts.dataset.asked)
    if facts.detectable is not None:
        yield f"# {rows:,} test rows can detect a gain of about {facts.detectable:.3f}."


def _goal(facts: DraftFacts) -> Iterator[str]:
    if not facts.dataset.task.labels:
        yield from _goal_without_labels(facts)
        return
    counts = Counter(e.target for e in facts.dataset.examples.values())
    label, most = counts.most_common(1)[0]
    floor = most / sum(counts.values())
    rows = len(facts.dataset.asked)
    yield "[goal]                       # set it before the run"
    target = max(0.9, (1 + floor) / 2)
    yield f"# target = {target:.2f}              # good enough to ship: your decision;"
    yield f"#                            # always answering {quoted(label, 28)} gets {floor:.2f}"
    yield "margin = 0.02                # the smallest gain that matters to you"
    if facts.detectable is None:
        yield f"# {rows:,} test rows are too few to detect any gain."
    elif facts.detectable <= 0.02:
        yield f"# {rows:,} test rows can detect a gain of {facts.detectable:.3f}."
    else:
        yield f"# {rows:,} test rows can detect a gain of {facts.detectable:.3f}; 0.02 takes about"
        yield f"# {facts.needed:,} rows. Raise the margin if smaller gains do not matter to you."
    rarest, least = counts.most_common()[-1]
    if most > IMBALANCE * least:
        yield f'# metric = "balanced"        # if {quoted(rarest, 28)} ({_rows(least)}) matters as'
        yield f"#                            # much as {quoted(label, 28)} ({_rows(most)})"


def _costs() -> Iterator[str]:
    yield "# [costs]                    # there are no defaults; missing prices stay unknown"
    yield "# minutes_per_label = 1.0"
    yield "# hourly_rate = 30.0         # dollars for an hour of labelling"
    yield "# usd_per_machine_hour = 0.5"


def _rest() -> Iterator[str]:
    yield "[grid]"
    yield "budget_seconds = 600         # ten minutes; the report lists what did not run"
    yield ""
    yield "# [models]                   # a folder, a hub id or a pypi: spec; the default is small"
    yield '# model = "..."              # prompted'
    yield '# tune = "..."               # fine-tuned'
    yield '# encoder = "..."            # embeds'
    yield ""
    yield "# All installed strategies run unless you name some (see: choose strategies):"
    yield "# [[candidates]]"
    yield '# strategy = "tfidf"'


def _pair(key: str, value: str | int) -> str:
    """Write one key and its value as TOML on one line.

    Control characters, such as a change of text direction, are written as escapes.
    """
    written = tomli_w.dumps({key: value}).rstrip("\n")
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in written)


def _key(key: str) -> str:
    return _pair(key, "").removesuffix(' = ""')


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"
