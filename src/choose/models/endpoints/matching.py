"""From what a model wrote to a label: strictly, or not at all."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property

from choose.models.endpoints.journal import Paid
from choose.types import Status, Task

# A longer text is an essay, and a label in it no answer.
WORDS = 25

_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>.*?</\1>\s*", re.S | re.I)
_OPEN_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>", re.I)
_LEAD = re.compile(
    r"^(the )?(best |correct |right )?"
    r"(label|category|class|answer|output|intent)( is)?\s*[:=\-]?\s+",
    re.I,
)
_NOT = re.compile(
    r"\b(not|no|nor|never|neither|either|or|unless|except|without|rather|instead)\b|n['\u2019]t\b",
    re.I,
)
_REFUSAL = re.compile(
    r"^\W*(i['\u2019]?m sorry|sorry,|i am sorry|i apologi[sz]e|as an ai"
    r"|i (can['\u2019]?t|cannot|can not|won['\u2019]?t|am (not able|unable))\b"
    r"|i['\u2019]m (not able|unable)\b)",
    re.I,
)
_MARKS = r"\s\"'\u201c\u201d\u2018\u2019\u00ab\u00bb`*_\-\u2013\u2014"
_EDGE = re.compile(rf"^[{_MARKS}#>(\[{{.,:;!?]+|[{_MARKS})\]}}.,:;!?]+$")


@dataclass(frozen=True)
class Reader:
    """Reads answers to one task.

    `names` is whether labels may be written as they read; they may always be written as they are.
    """

    task: Task

    def read(self, paid: Paid) -> tuple[str | None, Status]:
        """Return the label, or None and why there is none."""
        if paid.refusal or paid.finish == "content_filter":
            return None, "refused"
        text = _THOUGHT.sub("", paid.content, count=1).strip()
        if _OPEN_THOUGHT.match(text):  # it was still thinking
            return None, "cut" if paid.finish == "length" else "empty"
        if (label := self._structured(text)) is not None:
            return label, "ok"
        if paid.finish == "length":
            return None, "cut"
        if not text:
            return None, "empty"
        if (label := self._plain(text)) is not None:
            return label, "ok"
        return None, "refused" if _REFUSAL.search(text) else "off-list"

    @cached_property
    def _known(self) -> dict[str, str]:
        """Return every way to write a label; a name wins over another label's own spelling."""
        labels = zip(self.task.labels, self.task.names, strict=True)
        pairs = [(label, label) for label in self.task.labels] + [(n, la) for la, n in labels]
        ways: dict[str, set[str]] = {}
        for written, label in pairs:
            ways.setdefault(_plainly(written), set()).add(label)
        return {way: labels.pop() for way, labels in ways.items() if len(labels) == 1 and way}

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        # The longest first, so that "lost card" is not read as "card".
        ways = sorted(self._known, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ways))})(?!\w)")

    def _structured(self, text: str) -> str | None:
        """Read a JSON object, fenced or not, that holds one label."""
        start, end = text.find("{"), text.rfind("}")
        if start < 0 or end < start or len(text) - (end - start) > 40:
            return None
        try:
            found = json.loads(text[start : end + 1])
        except ValueError:
            return None
        value = found.get("label") if len(found) != 1 else next(iter(found.values()))
        return self._exactly(value) if isinstance(value, str) else None

    def _plain(self, text: str) -> str | None:
        lines = [line for line in text.splitlines() if line.strip()]
        for candidate in (text, lines[0], lines[-1]) if lines else ():
            bare = _EDGE.sub("", candidate)
            for form in (bare, _EDGE.sub("", _LEAD.sub("", bare))):
                if (label := self._exactly(form)) is not None:
                    return label
        return self._only_mention(text)

    def _exactly(self, text: str) -> str | None:
        return self._known.get(_plainly(text))

    def _only_mention(self, text: str) -> str | None:
        plain = _plainly(text)
        if not self._known or len(plain.split()) > WORDS:
            return None
        rest = self._mention.sub(" ", plain)
        labels = {self._known[way] for way in self._mention.findall(plain)}
        return labels.pop() if len(labels) == 1 and not _NOT.search(rest) else None


def _plainly(text: str) -> str:
    """Return a text as labels are compared: one case, words apart by single spaces, no edges."""
    bare = _EDGE.sub("", text)
    return " ".join(re.sub(r"[\s_\-]+", " ", bare or text).casefold().split())
