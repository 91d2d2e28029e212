"""Sets of labels in prompts: their wordings, and answers that are lists, read strictly."""

from __future__ import annotations

import json

from choose.tasks.multilabel import Multilabel, read_set, set_text
from choose.types import Status

# What is answered where no label applies.
NO_LABEL = "none"

# By wording: what to do, and what stands before and after a text.
SET_OPENINGS = {
    "labels": ("Name every label that applies to the text.", "Text: ", "\nLabels:"),
    "categories": ("You tag short texts.", "", "\n\nWhich tags does it get?"),
    "bare": ("Read each message and reply with its labels.", "", ""),
}

# Before the labels: for a model in this process, whose likely labels are read off, and for one that
# writes a list.
LISTINGS = (
    f"Answer with the labels that apply, separated by commas, or {NO_LABEL}. The labels are:",
    "Answer with a JSON list of the labels that apply, [] if none does, and nothing else. The "
    "labels are:",
)


def names_of(task: Multilabel, target: str) -> list[str]:
    """Return the names of the labels of a set."""
    by_label = dict(zip(task.choices, task.choice_names, strict=True))
    return [by_label[label] for label in read_set(target)]


def judged_set(task: Multilabel, answer: str) -> tuple[str | None, Status]:
    """Return the set that a JSON list of labels or names makes; nothing is repaired."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None, "malformed"
    if isinstance(found, dict) and found.keys() == {"labels"}:
        found = found["labels"]
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return None, "malformed"
    labels = [task.named(one) for one in found]
    if any(label is None for label in labels):
        return None, "off-list"
    return set_text(label for label in labels if label is not None), "ok"
