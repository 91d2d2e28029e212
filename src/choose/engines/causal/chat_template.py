"""Chat messages as tokens under a tokenizer's own template, safe against marks in texts."""

import hashlib
import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from time import thread_time
from typing import Any, NamedTuple

import numpy as np

from choose.errors import ModelError

# Processor seconds that a template may take; those in use take milliseconds.
MAX_SECONDS = 5.0

# Added tokens that are words or blanks: vocabulary, which is no part of a chat template.
_WORDS = re.compile(r"[\w\s'▁-]*")

# Texts encoded at a time; a tokenizer's record of each takes many times its size.
_TEXTS_AT_ONCE = 500


class ContentTokenizer:
    """Encodes texts so that none becomes a mark such as ``<|im_end|>``, flagged special or not.

    Tokenizers have an option to ignore special tokens, but recognise other added tokens (DeepSeek's
    ``<|User|>``) in any text. A text that holds one is encoded in two parts, cut inside the mark,
    so that its characters are encoded as text. Any other text has its usual tokens.

    Attributes:
        marks: ids that no text may have; without the unknown token, words and single characters.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self.marks = {number for number, token in added.items() if _is_mark(token)}
        self.marks.discard(tokenizer.unk_token_id)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            ids += [
                list(row) if self.marks.isdisjoint(row) else self.tokens(text)[0]
                for text, row in zip(some, self._encode(some)["input_ids"], strict=True)
            ]
        return ids

    def tokens(self, text: str) -> tuple[list[int], list[int]]:
        """Return a text's tokens, and the character at which each ends."""
        encoded = self._encode(text, return_offsets_mapping=True)
        ids, spans = list(encoded["input_ids"]), list(encoded["offset_mapping"])
        marks = [span for token, span in zip(ids, spans, strict=True) if token in self.marks]
        # In the middle, since blanks around a mark can belong to it and outnumber its characters.
        cuts = sorted({sum(span) // 2 for span in marks} - {0, len(text)})
        if not cuts:
            return ids, [end for _, end in spans]
        ids, ends = [], []
        for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
            part, part_ends = self.tokens(text[start:stop])
            ids += part
            ends += [start + end for end in part_ends]
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


# A tokenizer's time grows with the text, so texts are truncated to this before; hardly any text
# has tokens this long on average.
CHARACTERS_PER_TOKEN = 32

Message = tuple[str, str]

Roles = tuple[str, ...]

# Represents a message's content while the template is rendered; no template writes this itself.
_SLOT = "CONTENT{}GOES0HERE"

# What ends a message without a template.
_ENDS = {"system": "\n\n", "user": "\n", "assistant": "\n\n"}

_CACHED_CONTENTS = 5_000

# Texts that scaffold is encoded behind, for tokenizers that put a blank before every text.
_ANCHORS = ("a", ".")


class Prompt(NamedTuple):
    """A prompt's tokens: those shared by all prompts of its kind, and the rest."""

    prefix: tuple[int, ...]
    rest: tuple[int, ...]

    def digest(self, about: str) -> bytes:
        """Return a digest of the tokens, their division, and what else an answer depends on."""
        parts = [np.array(part, dtype=np.int64).tobytes() for part in self]
        return hashlib.sha256(f"{about} {len(parts[0])} ".encode() + b"".join(parts)).digest()


def limit_rendering(renderer: Any) -> None:
    """Let a tokenizer or processor render its chat template, a stranger's program, in limited time.

    A template that takes longer raises a `ModelError`.
    """
    render = getattr(renderer, "apply_chat_template", None)
    if render is None or getattr(render, "limited", False):
        return

    def limited(*args: Any, **kwargs: Any) -> Any:
        import jinja2.sandbox  # noqa: F401  # importing it would count as the template's time

        end, before = thread_time() + MAX_SECONDS, sys.gettrace()

        def check(frame: Any, event: str, argument: Any) -> Any:
            if thread_time() > end:
                raise ModelError(
                    f"The model's chat template runs for more than {MAX_SECONDS:g} seconds, so it "
                    "is not used. Name another model, or remove the template (chat_template.jinja, "
                    "or chat_template in tokenizer_config.json) from its folder."
                )
            return check

        sys.settrace(check)
        try:
            return render(*args, **kwargs)
        finally:
            sys.settrace(before)

    limited.limited = True  # type: ignore[attr-defined]
    renderer.apply_chat_template = limited


class ChatTemplate:
    """A chat's scaffold as tokens, with contents that cannot become part of it.

    The template renders the scaffold only. Contents are encoded apart, marks taken literally, so
    that a text holding ``<|im_end|>`` stays a text. Marks that are plain text to the tokenizer
    (``[INST]``) cannot be distinguished from a text's own words. Without a chat template (a base
    model), each content is a paragraph.

    Attributes:
        end: the token that closes an answer.
        system: whether the template accepts a system message.
    """

    def __init__(self, tokenizer: Any) -> None:
        limit_rendering(tokenizer)
        self.tokenizer = tokenizer
        self.contents = ContentTokenizer(tokenizer)
        has_template = bool(getattr(tokenizer, "chat_template", None))
        self.chat = has_template and self._accepts(("user", "assistant", "user"))
        # Mistral's templates put it into the last question, so a longer chat is tried too.
        kinds = (("system", "user"), ("system", "user", "assistant", "user"))
        self.system = not self.chat or all(map(self._accepts, kinds))
        self.end = self._end()
        self.content = lru_cache(_CACHED_CONTENTS)(self._content)
        self.scaffold = lru_cache(64)(self._scaffold)

    def prompt(self, messages: Sequence[Message], shared: int) -> Prompt:
        """Return the tokens up to the answer; the first `shared` messages form the prefix."""
        pieces = self.scaffold(tuple(role for role, _ in messages))
        prefix: list[int] = list(pieces[0])
        rest: list[int] = []
        for number, (_, content) in enumerate(messages):
            part = prefix if number < shared else rest
            part.extend(self.content(content))
            # The scaffold up to the first message that is not shared still belongs to the prefix.
            part.extend(pieces[number + 1])
        return Prompt(tuple(prefix), tuple(rest))

    def cut(self, text: str, limit: int) -> tuple[str, bool]:
        """Return a text's beginning of at most `limit` tokens, and whether it was truncated."""
        ids, ends = self.contents.tokens(text)
        if len(ids) <= limit:
            return text, False
        # A character may have several tokens, and a beginning other tokens than the whole.
        for end in reversed(ends[:limit]):
            if len(self._content(text[:end])) <= limit:
                return text[:end], True
        return "", True

    def _content(self, text: str) -> tuple[int, ...]:
        return tuple(self.contents.ids([text])[0])

    def _scaffold(self, roles: Roles) -> list[tuple[int, ...]]:
        strings = ["", *(_ENDS[role] for role in roles)]
        if self.chat:
            strings = self._split(roles, generate=True)
        tokens = [tuple(self._trusted(strings[0])), *map(self.continuation, strings[1:])]
        if not self.chat:
            bos, encoded = self.tokenizer.bos_token_id, self.tokenizer("a")["input_ids"]
            tokens[0] = (bos,) * (bos is not None and encoded[:1] == [bos]) + tokens[0]
        return tokens

    def _trusted(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def continuation(self, text: str) -> tuple[int, ...]:
        """Return the tokens of scaffold, or of an answer's continuation, in the middle of a text.

        SentencePiece tokenizers put a blank before a text, which must not occur here.
        """
        opens = self._trusted("a.") != self._trusted("a") + self._trusted(".")
        for anchor in _ANCHORS if opens else ():
            before, both = self._trusted(anchor), self._trusted(anchor + text)
            if both[: len(before)] == before:
                return tuple(both[len(before) :])
        return tuple(self._trusted(text))

    def _split(self, roles: Roles, generate: bool) -> list[str]:
        """Return the scaffold's strings before, between and after the contents."""
        slots = [_SLOT.format(number) for number in range(len(roles))]
        rest: str = self.tokenizer.apply_chat_template(
            [{"role": role, "content": slot} for role, slot in zip(roles, slots, strict=True)],
            tokenize=False,
            add_generation_prompt=generate,
            enable_thinking=False,
        )
        pieces = []
        for slot in slots:
            piece, separator, rest = rest.partition(slot)
            if not separator:
                raise ValueError(f"the chat template leaves out a message of {roles}")
            pieces.append(piece)
        return [*pieces, rest]

    def _accepts(self, roles: Roles) -> bool:
        try:
            self._split(roles, generate=True)
        except ModelError:  # it takes too long
            raise
        except Exception:  # a template can raise anything
            return False
        return True

    def _end(self) -> int:
        if self.chat:
            after = self.continuation(self._split(("user", "assistant"), generate=False)[-1])
            special = set(self.tokenizer.all_special_ids)
            closing = [token for token in after if token in special] or list(after)
        else:
            closing = [t for t in self.continuation("\n\n") if "\n" in self.tokenizer.decode([t])]
        end = closing[0] if closing else self.tokenizer.eos_token_id
        if end is None:
            raise ModelError(
                "The model's tokenizer has no token that could end an answer. Name another model."
            )
        return int(end)
