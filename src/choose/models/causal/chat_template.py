"""From messages to tokens under a tokenizer's own chat template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from choose.errors import ModelError

if TYPE_CHECKING:
    pass


# Added tokens that are words or blanks: vocabulary, which no chat's layout is made of.
_WORDS = re.compile(r"[\w\s'▁-]*")


# Texts encoded at once; what a tokenizer notes of each takes many times its size.
_TEXTS_AT_ONCE = 500


class ContentTokenizer:
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
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
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


# A tokenizer's time grows with what it is given, so texts are cut before it sees them; hardly any
# text has tokens this long on average.
CHARACTERS_PER_TOKEN = 32


Message = tuple[str, str]


Roles = tuple[str, ...]


# Stands for a message's content while the template is laid out; no template writes this itself.
_SLOT = "CONTENT{}GOES0HERE"


_CACHED_CONTENTS = 5_000


# Words that scaffold is encoded behind, for tokenizers that begin every text in their own way.
_ANCHORS = ("a", ".")


class Prompt(NamedTuple):
    """A prompt's tokens: those shared by all prompts of its kind, and the rest."""

    prefix: tuple[int, ...]
    rest: tuple[int, ...]


class ChatTemplate:
    """A chat's scaffold as tokens, with contents that cannot become part of it.

    The template writes the scaffold only. Contents are encoded apart, marks taken literally, so
    that a text holding ``<|im_end|>`` stays a text. What is plain text to the tokenizer
    (``[INST]``) cannot be told from a text's own words. A tokenizer without a chat template (a
    base model) gets one content a paragraph.

    Attributes:
        end: the token that closes an answer.
        system: whether the template takes a system message.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.contents = ContentTokenizer(tokenizer)
        self.chat = bool(getattr(tokenizer, "chat_template", None)) and self._lays_out()
        self.system = self._takes_system() if self.chat else True
        self.end = self._end()
        self.content = lru_cache(_CACHED_CONTENTS)(self._content)
        self.scaffold = lru_cache(64)(self._scaffold)

    def prompt(self, messages: Sequence[Message], shared: int) -> Prompt:
        """Return the tokens up to the answer; the first `shared` messages are the prefix's."""
        pieces = self.scaffold(tuple(role for role, _ in messages))
        prefix: list[int] = list(pieces[0])
        rest: list[int] = []
        for number, (_, content) in enumerate(messages):
            part = prefix if number < shared else rest
            part.extend(self.content(content))
            # The scaffold up to the first text of its own still belongs to the prefix.
            part.extend(pieces[number + 1])
        return Prompt(tuple(prefix), tuple(rest))

    def cut(self, text: str, limit: int) -> tuple[str, bool]:
        """Return the beginning of a text that has at most `limit` tokens, and whether it is cut."""
        ids, ends = self.contents.tokens(text)
        if len(ids) <= limit:
            return text, False
        # A character may have several tokens, and a beginning other ones than the whole.
        for end in reversed(ends[:limit]):
            if len(self._content(text[:end])) <= limit:
                return text[:end], True
        return "", True

    def _content(self, text: str) -> tuple[int, ...]:
        return tuple(self.contents.ids([text])[0])

    def _scaffold(self, roles: Roles) -> list[tuple[int, ...]]:
        strings = self._split(roles, generate=True) if self.chat else _paragraphs(roles)
        tokens = [tuple(self._trusted(strings[0])), *map(self._within, strings[1:])]
        if not self.chat:
            tokens[0] = tuple(self._beginning()) + tokens[0]
        return tokens

    def _trusted(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _within(self, text: str) -> tuple[int, ...]:
        """Return the tokens of what stands in the middle of a text.

        SentencePiece's tokenizers put a blank before a text, which must not stand here.
        """
        for anchor in _ANCHORS if self._opens_texts() else ():
            before, both = self._trusted(anchor), self._trusted(anchor + text)
            if both[: len(before)] == before:
                return tuple(both[len(before) :])
        return tuple(self._trusted(text))

    def _opens_texts(self) -> bool:
        return self._trusted("a.") != self._trusted("a") + self._trusted(".")

    def _beginning(self) -> list[int]:
        bos, encoded = self.tokenizer.bos_token_id, self.tokenizer("a")["input_ids"]
        return [bos] if bos is not None and encoded[:1] == [bos] else []

    def _split(self, roles: Roles, generate: bool) -> list[str]:
        """Return the scaffold's strings: before the first content, between two, after the last."""
        slots = [_SLOT.format(number) for number in range(len(roles))]
        rest: str = self.tokenizer.apply_chat_template(
            [{"role": role, "content": slot} for role, slot in zip(roles, slots, strict=True)],
            tokenize=False,
            add_generation_prompt=generate,
            enable_thinking=False,
        )
        pieces = []
        for slot in slots:
            piece, found, rest = rest.partition(slot)
            if not found:
                raise ValueError(f"the chat template leaves out a message of {roles}")
            pieces.append(piece)
        return [*pieces, rest]

    def _lays_out(self) -> bool:
        return self._tries(("user", "assistant", "user"))

    def _takes_system(self) -> bool:
        # Mistral's templates put it into the last question, wherever that stands.
        return all(
            self._tries(roles)
            for roles in (("system", "user"), ("system", "user", "assistant", "user"))
        )

    def _tries(self, roles: Roles) -> bool:
        try:
            self._split(roles, generate=True)
        except Exception:  # templates raise whatever their authors wrote
            return False
        return True

    def _end(self) -> int:
        if self.chat:
            after = self._within(self._split(("user", "assistant"), generate=False)[-1])
            special = set(self.tokenizer.all_special_ids)
            closing = [token for token in after if token in special] or list(after)
        else:
            closing = [t for t in self._within("\n\n") if "\n" in self.tokenizer.decode([t])]
        end = closing[0] if closing else self.tokenizer.eos_token_id
        if end is None:
            raise ModelError(
                "The model's tokenizer has no token that could end an answer. Name another model."
            )
        return int(end)


def _paragraphs(roles: Roles) -> list[str]:
    ends = {"system": "\n\n", "user": "\n", "assistant": "\n\n"}
    return ["", *(ends[role] for role in roles)]
