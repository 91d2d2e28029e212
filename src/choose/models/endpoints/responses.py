"""Responses of endpoints: parsing, and strict matching to labels."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from choose.models.endpoints.client import Reply
from choose.models.endpoints.ledger import PaidAnswer, Usage
from choose.models.endpoints.settings import hide_keys_cut
from choose.outside_values import count
from choose.types import Answers, Counts, Status, Task

# A label mentioned in a longer text is not counted as an answer.
MAX_WORDS = 25

_THINKING = re.compile(r"\s*<(think|thinking|reasoning)>.*?</\1>\s*", re.S | re.I)
_OPEN_THINKING = re.compile(r"\s*<(think|thinking|reasoning)>", re.I)
_PREFIX = re.compile(
    r"^(the )?(best |correct |right )?"
    r"(label|category|class|answer|output|intent)( is)?\s*[:=\-]?\s+",
    re.I,
)
_NEGATION = re.compile(
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
class LabelParser:
    """Matches answers to the labels of a task, by the label itself or its name."""

    task: Task

    def parse(self, paid: PaidAnswer) -> tuple[str | None, Status]:
        text, problem = visible_text(paid)
        if problem is not None:
            return None, problem
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
    def _spellings(self) -> dict[str, str]:
        labels = zip(self.task.labels, self.task.names, strict=True)
        pairs = [(label, label) for label in self.task.labels] + [(n, la) for la, n in labels]
        spellings: dict[str, set[str]] = {}
        for written, label in pairs:
            spellings.setdefault(_normalised(written), set()).add(label)
        return {key: labels.pop() for key, labels in spellings.items() if len(labels) == 1 and key}

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        # Longest first, so that "lost card" is not read as "card".
        spellings = sorted(self._spellings, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, spellings))})(?!\w)")

    def _structured(self, text: str) -> str | None:
        start, end = text.find("{"), text.rfind("}")
        if start < 0 or end < start or len(text) - (end - start) > 40:
            return None
        try:
            answer = json.loads(text[start : end + 1])
        except ValueError:
            return None
        value = answer.get("label") if len(answer) != 1 else next(iter(answer.values()))
        return self._exactly(value) if isinstance(value, str) else None

    def _plain(self, text: str) -> str | None:
        lines = [line for line in text.splitlines() if line.strip()]
        for candidate in (text, lines[0], lines[-1]) if lines else ():
            bare = _EDGE.sub("", candidate)
            for form in (bare, _EDGE.sub("", _PREFIX.sub("", bare))):
                if (label := self._exactly(form)) is not None:
                    return label
        return self._only_mention(text)

    def _exactly(self, text: str) -> str | None:
        return self._spellings.get(_normalised(text))

    def _only_mention(self, text: str) -> str | None:
        plain = _normalised(text)
        if not self._spellings or len(plain.split()) > MAX_WORDS:
            return None
        rest = self._mention.sub(" ", plain)
        labels = {self._spellings[spelling] for spelling in self._mention.findall(plain)}
        return labels.pop() if len(labels) == 1 and not _NEGATION.search(rest) else None


def visible_text(paid: PaidAnswer) -> tuple[str, Status | None]:
    """Return what a model answered after any reasoning, and why that is no answer, or None."""
    if paid.refusal or paid.finish == "content_filter":
        return "", "refused"
    text = _THINKING.sub("", paid.content, count=1).strip()
    if _OPEN_THINKING.match(text):  # cut within its reasoning
        return "", "cut" if paid.finish == "length" else "empty"
    return text, None


def _normalised(text: str) -> str:
    return " ".join(re.sub(r"[\s_\-]+", " ", _EDGE.sub("", text) or text).casefold().split())


# Longer than any label; the rest of an answer is not stored.
MAX_CHARACTERS = 4_000

# Longer than the reasons why models stop.
MAX_NAME = 200


def parse_reply(reply: Reply, keys: Sequence[str] = ()) -> PaidAnswer:
    """Read the first choice and the token counts; missing or invalid values become None.

    `keys` are API keys, which are replaced wherever the server repeats them.
    """
    choices = reply.payload.get("choices")
    choice = _mapping(choices[0] if isinstance(choices, list) and choices else None)
    message = _mapping(choice.get("message"))
    return PaidAnswer(
        content=_hidden(_text(message.get("content")), keys),
        refusal=_hidden(message.get("refusal"), keys) or None,
        finish=_hidden(choice.get("finish_reason"), keys, MAX_NAME) or "stop",
        usage=parse_usage(reply.payload.get("usage")),
        seconds=reply.seconds,
        when=time.time(),
    )


def _hidden(text: Any, keys: Sequence[str], most: int = MAX_CHARACTERS) -> str:
    """Return a server's text without API keys, cut after they are found."""
    return hide_keys_cut(text, keys, most) if isinstance(text, str) else ""


def parse_usage(given: Any) -> Usage:
    """Read the token counts; adds reasoning that `completion_tokens` leaves out."""
    counts = _mapping(given)
    read, written = count(counts.get("prompt_tokens")), count(counts.get("completion_tokens"))
    hidden = count(_mapping(counts.get("completion_tokens_details")).get("reasoning_tokens"))
    total = count(counts.get("total_tokens"))
    if hidden and None not in (read, written, total):
        written = max(written or 0, (total or 0) - (read or 0))
    cached = count(_mapping(counts.get("prompt_tokens_details")).get("cached_tokens"))
    if cached is None:
        cached = count(counts.get("prompt_cache_hit_tokens"))
    if cached is not None and read is not None:
        cached = min(cached, read)
    return Usage(read=read, cached=cached, written=written, hidden=hidden)


def _text(content: Any) -> str:
    if isinstance(content, list):
        content = "".join(str(_mapping(part).get("text") or "") for part in content)
    return content if isinstance(content, str) else ""


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


class RowAnswer(NamedTuple):
    """The answer to one item; `paid` is None if none was received."""

    label: str | None
    status: Status
    paid: PaidAnswer | None = None


def collect_answers(rows: Sequence[RowAnswer], **facts: Any) -> Answers:
    """Combine rows into columns; a column is None if the server did not report it for every row.

    A row without an answer has zero tokens and a latency of NaN.
    """
    usages = [row.paid.usage if row.paid else None for row in rows]
    cached = any(usage is None or usage.cached is not None for usage in usages)
    return Answers(
        outputs=tuple(row.label for row in rows),
        status=tuple(row.status for row in rows),
        tokens_in=_counts([u.read if u else 0 for u in usages]),
        # Servers without a prefix cache do not report it.
        tokens_cached=_counts([u.cached or 0 if u else 0 for u in usages]) if cached else None,
        tokens_out=_counts([u.written if u else 0 for u in usages]),
        latency=np.array([row.paid.seconds if row.paid else np.nan for row in rows]),
        **facts,
    )


def _counts(counts: Sequence[int | None]) -> Counts | None:
    known = [count for count in counts if count is not None]
    return np.array(known, dtype=np.int64) if len(known) == len(counts) else None
