"""Rows with sets of labels that their words tell: what a customer writes about."""

import json
import random
from pathlib import Path

from choose.tasks.multilabel import Multilabel, set_text
from choose.types import Example

SAYS = {
    "card": ("my card", "the debit card", "a new card"),
    "lost": ("is lost", "has gone missing", "was stolen"),
    "pin": ("the pin", "my code", "a pin number"),
    "refund": ("give me my money back", "I want a refund", "pay it back"),
    "thanks": ("thank you", "thanks a lot", "cheers"),
}
LABELS = tuple(sorted(SAYS))
TASK = Multilabel(choices=LABELS, choice_names=LABELS)


def label_rows(count: int = 120, seed: int = 0) -> list[Example]:
    """Return texts that say up to three things, each with its label; some say nothing of these."""
    rng, found = random.Random(f"label sets {seed}"), []
    for number in range(count):
        own = rng.sample(LABELS, rng.choice((0, 1, 1, 2, 2, 3)))
        said = [rng.choice(SAYS[label]) for label in own] or ["good morning to you"]
        text = f"{', '.join(said)} (case {number * 7919})"
        found.append(Example(id=f"m{number:03}", text=text, target=set_text(own)))
    return found


def label_file(path: Path, rows: list[Example]) -> str:
    """Write rows as JSON lines with lists."""
    lines = ({"id": e.id, "text": e.text, "labels": json.loads(e.target)} for e in rows)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return str(path)
