"""Texts as tokens that are text, whatever marks of its own a tokenizer would find in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# Added tokens that are words or blanks: vocabulary, which no chat's layout is made of.
_WORDS = re.compile(r"[\w\s'▁-]*")

# Texts encoded at once; what a tokenizer notes of each takes many times its size.
_AT_ONCE = 500


class Contents:
    """Encodes texts; none becomes a mark such as ``<|im_end|>``, be it flagged special or not.

    Tokenizers look for special tokens only where they are let. Other added tokens (DeepSeek's
    ``<|User|>``) they find in any text; a text that holds one is encoded in two parts there, so
    that the same characters stand for themselves. Any other text has its usual tokens.

    Attributes:
        marks: ids that no text may have. Not among them are the one for what is unknown, which
            says nothing, and what is a word or a single character.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self.marks = {number for number, token in added.items() if _is_mark(token)}
        self.marks.discard(tokenizer.unk_token_id)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text."""
        found: list[list[int]] = []
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            found += [
                list(row) if self.marks.isdisjoint(row) else self.tokens(text)[0]
                for text, row in zip(some, self._encode(some)["input_ids"], strict=True)
            ]
        return found

    def tokens(self, text: str) -> tuple[list[int], list[int]]:
        """Return a text's tokens, and the place in the text where each ends."""
        encoded = self._encode(text, return_offsets_mapping=True)
        ids, spans = list(encoded["input_ids"]), list(encoded["offset_mapping"])
        found = [span for token, span in zip(ids, spans, strict=True) if token in self.marks]
        # Halves, since blanks around a mark can belong to it and may outnumber its characters.
        cuts = sorted({sum(span) // 2 for span in found} - {0, len(text)})
        if not cuts:
            return ids, [end for _, end in spans]
        ids, ends = [], []
        for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
            some, places = self.tokens(text[start:stop])
            ids += some
            ends += [start + place for place in places]
        return ids, ends

    def _encode(self, texts: str | Sequence[str], **more: Any) -> Any:
        return self.tokenizer(
            texts,
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
            **more,
        )


def _is_mark(token: Any) -> bool:
    text = token.content.strip()
    return token.special or not (len(text) < 2 or _WORDS.fullmatch(text))
