"""From messages to tokens under a tokenizer's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from choose.errors import ModelError
from choose.models.contents import Contents

Message = tuple[str, str]
Roles = tuple[str, ...]

# Stands for a message's content while the template is laid out; no template writes this itself.
_SLOT = "CONTENT{}GOES0HERE"
_MEMORY = 5_000

# Words that scaffold is encoded behind, for tokenizers that begin every text in their own way.
_ANCHORS = ("a", ".")


class Prompt(NamedTuple):
    """A prompt's tokens: those shared by all prompts of its kind, and the rest."""

    prefix: tuple[int, ...]
    rest: tuple[int, ...]


class Layout:
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
        self.contents = Contents(tokenizer)
        self.chat = bool(getattr(tokenizer, "chat_template", None)) and self._lays_out()
        self.system = self._takes_system() if self.chat else True
        self.end = self._end()
        self.content = lru_cache(_MEMORY)(self._content)
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
