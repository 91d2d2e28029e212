"""Generated answers: those of transformers token for token, alone, in a batch and shuffled."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from choose.engines.causal import generation, packed_attention
from choose.engines.causal.chat_template import ChatTemplate, Prompt
from choose.engines.causal.generation import DecodingCache, Generator
from choose.engines.causal.label_scoring import LabelTrie
from choose.engines.causal.loading import load_causal, load_generator, supports_decoding
from choose.engines.causal.packed_attention import divide
from choose.engines.causal.stop_rules import (
    Answer,
    StopRule,
    TokenTexts,
    first_copy,
    limit_for,
    list_items,
    prompt_key,
)
from choose.engines.hardware import batch_limits
from choose.engines.hardware.timed_steps import TimedSteps
from choose.engines.output_cache import caching
from choose.engines.weights.spec import DEFAULT_LM
from choose.errors import ModelError
from choose.progress import TimeLimitReached, time_limit
from support import tiny_models as tiny
from support.reference_generation import generate_alone, rival_logprob

Wrote = tuple[list[int], bool]

PASSAGE = "a much longer passage about the rate of exchange of pears and apples " * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokens depend on where they occur, and are seldom about as likely."""
    return tiny.causal_lm(tmp_path_factory.mktemp("models") / "lm", spread=0.5)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Generator:
    generator = load_generator(str(folder))
    generator.model.float()
    return generator


@pytest.fixture
def generator(loaded: Generator) -> Iterator[Generator]:
    yield loaded
    forget(loaded)
    for name in ("words", "ends"):
        loaded.__dict__.pop(name, None)


def forget(generator: Generator) -> None:
    generator.answers.clear()
    generator.shared.pasts.clear()


def prompts(template: ChatTemplate) -> list[Prompt]:
    """Return prompts of unlike lengths; of two groups, each shares a passage."""
    told = ("system", "Sort: a pear, a plum, the exchange rate.")
    shown = [("user", "ripe"), ("assistant", "a pear")]
    texts = ["ripe", "", "a pear?", f"{PASSAGE}one?", f"{PASSAGE}two or three?", PASSAGE, "b" * 40]
    texts += [f"{PASSAGE[::-1]}{n}" for n in range(3)] + [f"{n} plums" for n in range(4)]
    return [template.prompt([told, *shown, ("user", text)], 3) for text in texts]


def wrote(generator: Generator, asked: list[Prompt], rule: StopRule) -> list[Wrote]:
    generator.write(asked, rule)
    rows = [generator.answers[prompt_key(prompt, rule)][0] for prompt in asked]
    return [([int(token) for token in row[4:]], bool(row[0])) for row in rows]


def expected(generator: Generator, asked: list[Prompt], rule: StopRule) -> list[Wrote]:
    """Return what `model.generate` writes, one prompt at a time."""
    found = [
        generate_alone(generator.model, [*p.prefix, *p.rest], rule, generator.words, generator.ends)
        for p in asked
    ]
    return [(tokens, cut) for tokens, _, cut in found]


class Swapped(TokenTexts):
    """Texts of tokens where some have the text of another one."""

    swaps: dict[int, str]

    def decode(self, tokens: Any) -> str:
        return "".join(
            self.swaps.get(token, super(Swapped, self).decode([token])) for token in tokens
        )


# A token that ends an answer under a rule; another one ends it under the others.
ENDS = {"quote": '"', "line": "\n", "list": '"]'}


def swap(generator: Generator, swaps: dict[int, str]) -> None:
    words = Swapped(generator.template.tokenizer)
    words.swaps = swaps
    generator.__dict__["words"] = words


@pytest.mark.parametrize(
    "until",
    [
        "end",
        "list",
        *(pytest.param(u, marks=pytest.mark.slow) for u in ("line", "record", "quote")),
    ],
)
def test_alone_in_a_batch_and_shuffled_it_writes_the_same(generator, until, monkeypatch):
    """With three slots, answers leave and others join all the time."""
    asked, rule = prompts(generator.template), StopRule(12, until, items=2)
    assert generator.packed
    ended = [tokens[3] for tokens, _ in expected(generator, asked[::2], rule)]
    swap(generator, dict.fromkeys(ended[:3], ENDS.get(until, "{}")))
    generator.__dict__["ends"] = frozenset([generator.template.end, *ended[3:]])
    told = expected(generator, asked, rule)
    assert len({len(tokens) for tokens, _ in told}) > 2, "they must end at different times"
    assert wrote(generator, asked, rule) == told
    few = replace(batch_limits.limits_of("cpu"), writing_rows=3, scoring_tokens=300)
    monkeypatch.setitem(batch_limits._LIMITS, "cpu", few)
    monkeypatch.setattr(packed_attention, "LEAST_OF_HALF", 1)
    monkeypatch.setenv("CHOOSE_THREADS", "2")  # so that passes are read in halves
    forget(generator)
    assert wrote(generator, asked[::-1], rule) == told[::-1]
    for prompt, one in list(zip(asked, told, strict=True))[::3]:
        forget(generator)
        assert wrote(generator, [prompt], rule) == [one]


@pytest.mark.slow
def test_an_answer_in_a_loop_leaves_the_batch_as_it_ends_alone(tmp_path, monkeypatch):
    """A model whose weights differ little repeats one token from some place on."""
    generator = load_generator(str(tiny.causal_lm(tmp_path, spread=0.1)))
    generator.model.float()
    said = ("system", "Sort: a pear, a plum, the exchange rate.")
    texts = ("", "a pear?", "one two three", "rate " * 20, "plum")
    asked = [generator.template.prompt([said, ("user", text)], 1) for text in texts]
    rule = StopRule(60)
    told = expected(generator, asked, rule)
    assert all(cut for _, cut in told)
    lengths = {len(tokens) for tokens, _ in told}
    assert len(lengths) > 2, "they must end at different times"
    assert min(lengths) < 60, "a loop ends before the limit"
    few = replace(batch_limits.limits_of("cpu"), writing_rows=2, scoring_tokens=300)
    monkeypatch.setitem(batch_limits._LIMITS, "cpu", few)
    assert wrote(generator, asked[::-1], rule) == told[::-1]
    forget(generator)
    assert wrote(generator, asked[:1], rule) == told[:1]


@pytest.mark.parametrize(("until", "copies"), [("end", 4), ("line", 4), ("record", 8), ("list", 8)])
def test_a_loop_is_some_copies_of_a_phrase_and_48_tokens(until, copies) -> None:
    in_loop = StopRule(10**6, until).cuts
    phrase, other = [*range(5, 21), 5], [1, 2, 3]
    assert in_loop([*other, *phrase * copies])
    assert in_loop([*other, *phrase * copies, *phrase[:4]]), "in the middle of a copy"
    assert not in_loop([*other, *phrase * (copies - 1), *phrase[:5]])
    assert not in_loop([*phrase * copies, *other]), "it went on"
    assert in_loop([*other, *[4] * 48])
    assert not in_loop([*other, *[4] * 47]), "yes, yes, yes and the like"
    assert in_loop([*range(100), *[*range(200, 300)] * 8])
    assert not any(map(in_loop, ([*range(900)], [])))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("He is well. He is ill. He is ill. He is ill. He is ill. He", "He is well. He is ill."),
        ("No pain.\nIt is 2.5 cm. No pain.\nIt is 2.5 cm. No pain.\nIt is 2.5 cm. No pai",
         "No pain.\nIt is 2.5 cm."),
        ("Ann is ill. She is. She is. She is. She is. She", "Ann is ill. She is."),
        ("No, no, no, no, no, no, no, no, no", "No, no"),
        ("Yes. She is.  He is.  She is.  He is.  She is.  He is.  She", "Yes. She is.  He is."),
        ("I have no pain. He has no pain. He has no pain. He has no pain. He",
         "I have no pain. He has no pain."),
        ("NECK: NECK: NECK: NECK: NECK: N", "NECK"),
        ("a fever and a cough and a cough and a cough and a", "a fever and a cough"),
        ("彼は元気。痛みはない。痛みはない。痛みはない。痛みはない。", "彼は元気。痛みはない。"),
        ("one line\none line\none line\none line\n", "one line"),
        # Within a word, or too short, or not at the end: unchanged.
        ("it costs 11400000000000000000000000000000", None),
        ("yes, yes, yes", None),
        ("He is ill. He is ill. He is ill. He is ill. He is better now.", None),
        ("He is ill. He is ill. He", None),
        ("", None),
    ],
)  # fmt: skip
def test_the_first_copy_ends_with_a_sentence_or_a_word(text: str, kept: str | None) -> None:
    assert first_copy(text) == (text if kept is None else kept)
    assert text.startswith(first_copy(text))


def test_its_log_probability_is_that_of_its_tokens(generator: Generator) -> None:
    asked, rule = prompts(generator.template), StopRule(9)
    written = generator.write(asked, rule)
    for number, prompt in enumerate(asked):
        _, logprob, _ = generate_alone(
            generator.model, [*prompt.prefix, *prompt.rest], rule, generator.words, generator.ends
        )
        assert written.logprobs[number] == pytest.approx(logprob, abs=1e-3)
    assert ((written.confidence > 0) & (written.confidence < 1)).all()


def test_a_rival_of_the_prompts_last_token_is_weighed_in_the_same_pass(generator):
    asked, rival = prompts(generator.template), 77
    written = generator.write(asked, StopRule(4, rival=rival))
    assert written.texts == generator.write(asked, StopRule(4)).texts
    for prompt, found in zip(asked, written.rivals, strict=True):
        told = rival_logprob(generator.model, [*prompt.prefix, *prompt.rest], rival)
        assert found == pytest.approx(told, abs=1e-3)
    generator.packed = False
    forget(generator)
    alone = generator.write(asked[:2], StopRule(4, rival=rival))
    generator.packed = True
    assert np.allclose(alone.rivals, written.rivals[:2], atol=1e-3)


def test_answers_under_unlike_rules_are_written_in_one_pass(generator: Generator) -> None:
    asked = prompts(generator.template)
    kinds = (StopRule(3), StopRule(9, "line", rival=77), StopRule(6, "list", rival=5, items=2))
    rules = [kinds[place % 3] for place in range(len(asked))]
    together = generator.write(asked, rules)
    for number, (prompt, rule) in enumerate(zip(asked, rules, strict=True)):
        forget(generator)
        alone = generator.write([prompt], rule)
        assert alone.texts == together.texts[number : number + 1]
        assert alone.cut == together.cut[number : number + 1]
        assert alone.rivals[0] == pytest.approx(together.rivals[number], abs=1e-3)
        assert together.tokens_out[number] <= rule.limit


TURNING = {"rope_theta": 10_000.0, "rope_type": "longrope",
           "short_factor": [1.0] * 4, "long_factor": [4.0, 8.0, 16.0, 30.0]}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings", "packed"),
    [
        ("GPT2", {"n_positions": 512, "n_embd": 32, "n_layer": 2, "n_head": 4}, True),
        ("Phi3", {**tiny.SMALL, "max_position_embeddings": 2048, "pad_token_id": 0,
                  "original_max_position_embeddings": 96, "rope_parameters": TURNING}, True),
        ("Bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, False),
        ("Mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, False),
    ],
)  # fmt: skip
def test_any_architecture_writes_and_scores_what_transformers_does(
    name, settings, packed, generator, tmp_path
):
    folder = str(tiny.random_lm(tmp_path, name, settings, generator.template.tokenizer))
    other, lm = load_generator(folder), load_causal(folder)
    assert other.packed is lm.tree is packed
    other.model.float()
    asked, rule = prompts(other.template)[2:9], StopRule(8)
    lengths = {len(prompt.prefix) + len(prompt.rest) for prompt in asked}
    assert min(lengths) < 96 - 8 < 96 < max(lengths), "shorter and longer than it turns keys at"
    told = expected(other, asked, rule)
    assert len({tuple(tokens) for tokens, _ in told}) > 2
    assert wrote(other, asked, rule) == told
    forget(other)
    assert wrote(other, asked[:1], rule) == told[:1]
    labels = [lm.template.content(label) for label in ("a pear", "a pear tree", "plum")]
    grown = LabelTrie.build(labels, lm.template.end)
    for prompt, row in zip(asked, lm.score(asked, grown).logprobs, strict=True):
        assert np.abs(row - lm.plain(prompt, grown)).max() < 1e-3


def test_a_decoding_that_is_slightly_off_is_not_used(generator, monkeypatch):
    assert supports_decoding(generator)
    straight = DecodingCache.logits
    monkeypatch.setattr(DecodingCache, "logits", lambda *a: straight(*a) * 1.01)
    assert not supports_decoding(generator)


def test_tokens_that_were_read_ahead_are_kept_where_they_are_right(generator, monkeypatch):
    asked, rule, steps = prompts(generator.template)[:5], StopRule(40), list[int]()
    told = expected(generator, asked, rule)
    right = {prompt_key(p, rule): tokens for p, (tokens, _) in zip(asked, told, strict=True)}

    def guess(answer: Answer, count: int) -> list[int]:
        follows = right[answer.key][(done := len(answer.tokens)) : done + count]
        return [token + (place % 5 == 0) for place, token in enumerate(follows, done)]

    straight = DecodingCache.logits
    monkeypatch.setattr(
        DecodingCache, "logits", lambda *a: steps.append(len(a[2][0])) or straight(*a)
    )
    monkeypatch.setattr(Answer, "guess", guess)
    assert wrote(generator, asked, rule) == told
    assert len(steps) < 20 < 40 < sum(steps), "of 40 tokens"


@pytest.mark.parametrize(
    ("tokens", "follows"), [([9, 1, 2, 3], [9, 1, 2, 3, 9]), ([9, 2, 3], []), ([], [])]
)
def test_a_draft_is_what_followed_the_last_tokens_before(tokens, follows):
    assert Answer(b"", ((4,), (1, 2, 3)), StopRule(9), tokens).guess(5) == follows


def test_no_answer_begins_with_a_newline(generator: Generator) -> None:
    asked = prompts(generator.template)[:4]
    rule = StopRule(6, "line")
    firsts = {tokens[0] for tokens, _ in expected(generator, asked, rule)}
    swap(generator, {**dict.fromkeys(firsts, "\n"), 40: " \n\n"})
    told = expected(generator, asked, rule)
    assert not firsts & {tokens[0] for tokens, _ in told}
    assert wrote(generator, asked, rule) == told
    assert all("\n" not in text for text in generator.write(asked, rule).texts)
    assert {tokens[0] for tokens, _ in wrote(generator, asked, StopRule(6))} == firsts


def test_the_closing_token_and_what_follows_the_record_are_left_out(generator: Generator) -> None:
    asked, rule = prompts(generator.template)[:1], StopRule(8, "record")
    [(tokens, _)] = wrote(generator, asked, rule)
    assert len(set(tokens[:4])) == 4
    swap(generator, {tokens[0]: '{"a": ', tokens[1]: '"}', tokens[2]: '"}\n\nText'})
    forget(generator)
    written = generator.write(asked, rule)
    assert written.texts == ('{"a": "}"}',)
    assert (written.cut, written.tokens_out.tolist()) == ((False,), [3])
    generator.__dict__["ends"] = frozenset([tokens[1]])
    forget(generator)
    written = generator.write(asked, rule)
    assert (written.texts, written.cut) == (('{"a": ',), (False,))
    forget(generator)
    assert generator.write(asked, StopRule(1, "record")).cut == (True,)


@pytest.mark.parametrize(
    ("until", "text", "end"),
    [
        ("end", "a\nb}", None),
        ("line", "\n \n", None),
        ("line", "\n a b\nc", 5),
        ("record", 'Sure:\n {"a": "}\\"}", "b": 1} x', 28),
        ("record", '{"a": {"b": 1}, "c"', None),
        ("record", '"}" {"a": 1}', 3 - 1),
        ("quote", 'half \\"past\\" nine" }', 18),
        ("quote", '"', 0),
        ("quote", "six\n", 3),
    ],
)
def test_where_answers_end(until: Any, text: str, end: int | None) -> None:
    assert StopRule(9, until).end_of(text) == end


@pytest.mark.parametrize(
    ("text", "items", "open_", "end"),
    [
        ("2 mops", [], "2 mops", None),
        ('2 mops", "3 pears"]}', ["2 mops", "3 pears"], "", 18),
        ('2 mops","3 pears" ]', ["2 mops", "3 pears"], "", 18),
        ('2 mops" , "3 pe', ["2 mops"], "3 pe", None),
        ('2 mops",', ["2 mops"], "", None),
        ('2 mops",]', ["2 mops"], "", 8),
        ('2 mops", 3]', ["2 mops"], "", 9),
        ('2 mops" and', ["2 mops"], "", 8),
        ('a \\"b\\", c\\\\", "d"]', ['a \\"b\\", c\\\\', "d"], "", 18),
        ('", ""]', ["", ""], "", 5),
        ('a", "b", "c", "d"]', ["a", "b", "c"], "", 12),
        ('a", "b\n', ["a"], "b", 6),
        ('a"\n]', ["a"], "", 2),
        ("", [], "", None),
    ],
)
def test_a_list_ends_where_another_string_cannot_follow(text, items, open_, end):
    assert list_items(text, 3) == (items, open_, end)
    assert StopRule(9, "list", items=3).end_of(text) == end
    assert list_items(text[:end], 3)[:2] == (items, open_), "what is kept reads the same"


def test_the_limit_is_half_as_long_again_as_nearly_all_answers() -> None:
    assert limit_for([*range(1, 100), 9000]) == 149  # 1.5 times 99
    assert limit_for([400] * 5) == 464
    assert limit_for([4] * 5) == 6
    assert limit_for([7]) == 11
    assert limit_for([]) > 0


def test_shared_parts_are_found(generator: Generator) -> None:
    a, b, c = (tuple(range(start, start + 20)) for start in (100, 200, 300))
    told = (1, 2, 3)
    divided = divide(
        [
            Prompt(told, (*a, *b, 7, 7)),
            Prompt(told, (*a, *b, 8, 9)),
            Prompt(told, (*a, *c)),
            Prompt(told, (5,)),
            Prompt((), (*a, *b, 7, 7)),
            Prompt(told, (*a, *b, 7, 7)),
            Prompt(told, ()),
        ]
    )
    assert divided[0] == divided[5] == (told, (*a, *b), (7, 7))
    assert divided[1:3] == [(told, (*a, *b), (8, 9)), (told, (*a, *c))]
    assert divided[3:5] == [(told, (5,)), ((), (*a, *b, 7, 7))]
    assert divided[6] == (told[:2], told[2:])
    longer = tuple(range(400, 440))
    nested = [Prompt(told, (*longer, *b, 7, n)) for n in (1, 2)] + [Prompt(told, (*longer, *c))]
    assert divide(nested) == [*((told, longer, b, (7, n)) for n in (1, 2)), (told, longer, c)]
    assert divide([Prompt((), a)] * 2) == [((), a[:-2], a[-2:])] * 2
    chain = [Prompt((), tuple(range(n))) for n in range(1, 1500)]  # deeper than Python's stack
    for prompt, parts in zip(chain, divide(chain), strict=True):
        assert tuple(token for part in parts for token in part) == prompt.rest
        assert parts[-1]


def test_parts_that_prompts_share_have_a_slot_of_their_own_while_there_is_one(
    generator, monkeypatch, tmp_path
):
    """Answers to ten prompts about one passage outlast each other, so others wait for a slot."""
    settings = {**tiny.SMALL, "sliding_window": 90, "max_position_embeddings": 2048}
    other = load_generator(
        str(tiny.random_lm(tmp_path, "Mistral", settings, generator.template.tokenizer))
    )
    assert other.packed
    other.model.float()
    told, content = other.template.content("Sort: a pear, a plum."), other.template.content
    passages = [content(f"{n}{PASSAGE[n:]}") for n in range(4)]
    asked = [Prompt(told, (*passages[0], *content(f"{n} plums?"))) for n in range(10)]
    asked += [Prompt(told, (*p, *content(f"{n}?"))) for p in passages[1:] for n in range(2)]
    asked += [Prompt(told, (*content("for "), *content(f"{n} pears?"))) for n in range(2)]
    parts = divide(asked)
    assert len({p[:-1] for p in parts}) == 5
    assert {len(p[1]) >= generation.COLUMNS for p in parts if len(p) > 2} == {True}
    rules, told = [StopRule(2 + 7 * n % 11) for n in range(len(asked))], list[str]()
    for prompt, rule in zip(asked, rules, strict=True):
        whole = [*prompt.prefix, *prompt.rest]
        tokens, _, _ = generate_alone(other.model, whole, rule, other.words, other.ends)
        told.append(other._text(tokens, rule))
    found, waited = set[tuple[int, int]](), set[bool]()
    has_room, attend = DecodingCache.has_room, DecodingCache.logits
    monkeypatch.setattr(
        DecodingCache, "has_room", lambda *a: waited.add(room := has_room(*a)) or room
    )

    def logits(self: DecodingCache, *given: Any) -> Any:
        found.add((len(self.chains), len(self.followed)))
        return attend(self, *given)

    monkeypatch.setattr(DecodingCache, "logits", logits)
    for slots, share in ((2, 0.25), (4, 0.25), (8, 0.75), (8, 0.25), (64, 0.25)):
        forget(other)
        few = replace(batch_limits.limits_of("cpu"), writing_rows=slots, scoring_tokens=300)
        monkeypatch.setitem(batch_limits._LIMITS, "cpu", few)
        monkeypatch.setattr(generation, "FREE_SHARE", share)
        assert list(other.write(asked, rules).texts) == told
    assert waited == {True, False}
    assert {(18, 4), (4, 1), (2, 0)} <= found


def test_steps_are_timed_by_what_they_read(generator, monkeypatch):
    """Whatever part of a prompt others had read, a step of so many tokens takes as long."""
    works, read = list[float](), list[int]()

    @contextmanager
    def step(self: TimedSteps, work: float) -> Iterator[int]:
        works.append(work)
        yield 1

    monkeypatch.setattr(TimedSteps, "step", step)
    for module in (generation, packed_attention):
        straight = module.logits
        monkeypatch.setattr(
            module,
            "logits",
            lambda model, pack, straight=straight: (
                read.append(sum(len(piece.tokens) for piece in pack.pieces))
                or straight(model, pack)
            ),
        )
    generator.write(prompts(generator.template), StopRule(1))
    assert works == read
    assert max(read) > 4 * min(read)


def test_a_passage_is_read_once(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counting(model: Any, pack: Any) -> Any:
        read.extend(len(piece.tokens) for piece in pack.pieces)
        return straight(model, pack)

    straight = generation.logits
    for module in (generation, packed_attention):
        monkeypatch.setattr(module, "logits", counting)
    asked = prompts(generator.template)
    written = generator.write(asked, StopRule(3))
    distinct = {prefix for p in asked for prefix in [p.prefix, (*p.prefix, *p.rest)]}
    assert sum(read) < 0.55 * sum(map(len, distinct))
    assert (written.tokens_cached >= len(asked[0].prefix)).all()
    assert written.tokens_cached[3] - written.tokens_cached[0] > 100


def test_answers_are_written_once_and_remembered(generator, monkeypatch, tmp_path):
    monkeypatch.setenv("CHOOSE_KEEP_GB", "1")
    monkeypatch.setattr("choose.engines.output_cache.cache_dir", lambda: tmp_path)
    asked, rule = prompts(generator.template), StopRule(5)
    with caching():
        first = generator.write([*asked, asked[0]], rule)
        forget(generator)
        monkeypatch.setattr(generator, "_write_together", None)
        again = generator.write([*asked, asked[0]], rule)
    assert again.texts == first.texts
    assert (first.cached_seconds, again.cached_seconds > 0) == (0.0, True)
    assert again.cached_seconds == pytest.approx(first.latency[:-1].sum())
    for name in ("logprobs", "tokens_in", "tokens_cached", "tokens_out", "latency"):
        assert (getattr(again, name) == getattr(first, name)).all()
    none = generator.write([], rule)
    assert (none.texts, none.logprobs.shape, none.confidence.shape) == ((), (0,), (0,))


def test_a_time_limit_ends_a_batch_and_keeps_what_is_done(generator, monkeypatch):
    asked, rule = prompts(generator.template), StopRule(400)
    done = wrote(generator, asked[:1], StopRule(3))[0][0]
    generator.__dict__["ends"] = frozenset([done[1]])
    forget(generator)
    ticks = itertools.count()  # a second a report: the fifth one comes too late
    monkeypatch.setattr("choose.progress.perf_counter", lambda: float(next(ticks)))
    with pytest.raises(TimeLimitReached), time_limit(4.5) as progress:
        generator.write(asked, rule)
    assert progress.loop == "writing"
    assert 0 < progress.span[-1][1] < progress.total
    assert 1 <= len(generator.answers) < len(asked)
    generator.__dict__.pop("ends")


def test_progress_only_grows_and_reaches_its_end(generator, monkeypatch):
    seen: list[tuple[float, float]] = []
    monkeypatch.setattr(
        "choose.engines.causal.generation.report_progress",
        lambda done, all_, _: seen.append((done, all_)),
    )
    generator.write(prompts(generator.template), StopRule(5))
    done = [at for at, _ in seen]
    assert done == sorted(set(done))
    assert (done[0], done[-1]) == (0, seen[0][1])


def test_a_prompt_without_room_for_its_answer_is_refused(generator: Generator) -> None:
    fits = Prompt((), (5,) * (generator.context - 4))
    with pytest.raises(ModelError, match="2,048 at most"):
        generator.write([fits], StopRule(5))
    assert generator.write([fits], StopRule(4)).cut == (True,)


def test_a_penalty_in_the_models_own_settings_changes_nothing(generator: Generator) -> None:
    from transformers import GenerationConfig

    asked, rule = prompts(generator.template)[:3], StopRule(8)
    told = expected(generator, asked, rule)
    before = generator.model.generation_config
    try:
        generator.model.generation_config = GenerationConfig(repetition_penalty=9.0, do_sample=True)
        assert expected(generator, asked, rule) == told == wrote(generator, asked, rule)
    finally:
        generator.model.generation_config = before


@pytest.mark.slow
def test_the_default_model_writes_what_transformers_does() -> None:
    generator = load_generator(DEFAULT_LM)
    assert generator.packed
    generator.model.float()
    template = generator.template
    told = ("system", "Read the text into a record: a JSON object with the fields people and time.")
    texts = ["a table for two at six", "we are 4, at noon", "what is your address?", "at 7:30 pm"]
    shown = [("user", "five of us at 9"), ("assistant", '{"people": "five", "time": "9"}')]
    asked = [template.prompt([told, *shown, ("user", text)], 3) for text in texts]
    rule = StopRule(24, "record")
    assert wrote(generator, asked, rule) == expected(generator, asked, rule)
    forget(generator)
    written = generator.write(asked, rule)
    assert any(text.endswith("}") for text in written.texts)
    assert np.isfinite(written.latency).all()
