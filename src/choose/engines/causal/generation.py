"""Greedy answers of a causal language model: batched, shared prefixes read once."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from time import perf_counter
from typing import Any

import numpy as np
import torch

from choose.engines.causal.chat_template import Prompt
from choose.engines.causal.packed_attention import (
    CustomAttention,
    LayerInput,
    Pack,
    Parts,
    Past,
    PromptedModel,
    Tokens,
    bytes_per_token,
    cap_scores,
    common_parts,
    divide,
    logits,
    max_stable_length,
)
from choose.engines.causal.stop_rules import (
    Answer,
    StopRule,
    TokenTexts,
    Written,
    drafted,
    in_order,
    prompt_key,
)
from choose.engines.hardware.batch_limits import limits_of, memory_notes, within_memory
from choose.engines.hardware.packed_products import packed_products
from choose.engines.hardware.timed_steps import TimedSteps
from choose.progress import report_progress

# Slots have a multiple of so many columns: products of keys with gaps between slots copy them all
# first, which is most of their time, and gaps that are closed once in a while cost little.
COLUMNS = 64


@dataclass(eq=False)
class DecodingCache:
    """The keys and values of the answers under way, each in a slot; slots in use come first.

    Attributes:
        slots: most answers under way from here on.
        most_columns: most that a slot may need.
        common: keys and values of the tokens that all prompts begin with, read once.
        common_tokens: how many they are.
        own: by layer (2, slots, key heads, columns, width), at the start of its store: memory that
            is new to a process costs more than copying what is in it.
        lengths: tokens in each slot in use.
        room: tokens of the longest prompt that joined or soon may, for which slots grow at once.
        places: (n, k) of the new tokens in their slots.
    """

    slots: int
    most_columns: int
    common: Past | None
    common_tokens: int
    own: Past = field(default_factory=dict)
    _stores: dict[int, torch.Tensor] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    room: int = 0
    places: Any = None
    _biases: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def add(self, before: Past | None, past: Past, start: int, stop: int) -> None:
        """Put a prompt into the next slot: `before`, then columns `start` to `stop` of `past`.

        `before` are the keys and values of all shared parts; those in common are left out.
        """
        self.lengths.append(0)
        for layer, read in past.items():
            new = read[:, :, start:stop]
            if before is not None:
                new = torch.cat([before[layer][:, :, self.common_tokens :], new], 2)
            if layer not in self.own:
                shape = (2, self.slots, read.shape[1], self.most_columns, read.shape[3])
                with torch.inference_mode(False):  # it changes outside of this mode, too
                    self._stores[layer] = read.new_empty(math.prod(shape))
                self.own[layer] = self._stores[layer][:0].view(*shape[:3], 0, shape[4])
            self.lengths[-1] = new.shape[2]
            self.in_use(layer)[:, -1, :, : new.shape[2]] = new

    def remove(self, slot: int) -> None:
        """Free a slot: the last answer under way moves into it."""
        last = len(self.lengths) - 1
        if slot < last:
            for own in self.own.values():
                own[:, slot, :, : self.lengths[last]] = own[:, last, :, : self.lengths[last]]
            self.lengths[slot] = self.lengths[last]
        self.lengths.pop()

    def logits(self, model: Any, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return (n, k, vocabulary) logits after k new tokens of n answers, beyond `lengths`."""
        new, device = torch.tensor(tokens, device=model.device), model.device
        self.places = torch.tensor(self.lengths, device=device)[:, None]
        self.places = self.places + torch.arange(new.shape[1], device=device)
        self._biases.clear()
        with _DECODING.used_by(model, self), torch.inference_mode(), packed_products(model):
            output = model(
                input_ids=new.view(1, -1),
                position_ids=(self.places + self.common_tokens).view(1, -1),
                # Any mask will do: transformers then makes none of its own.
                attention_mask=torch.zeros(1, 1, 1, 1, dtype=model.dtype, device=device),
                use_cache=False,
            )
        return output.logits[0].view(*new.shape, -1)

    @property
    def columns(self) -> int:
        """Return the columns of each slot: room for the longest answer and its new tokens."""
        new = 1 if self.places is None else self.places.shape[1]
        return -(-(max(self.room, *self.lengths) + new) // COLUMNS) * COLUMNS

    def in_use(self, layer: int) -> torch.Tensor:
        """Return (2, n, key heads, columns, width): the slots in use, without gaps between them."""
        own, kept = self.own[layer], min(self.columns, self.own[layer].shape[3])
        if self.columns != own.shape[3]:
            shape = (2, self.slots, own.shape[2], self.columns, own.shape[4])
            before = own[:, : self.slots, :, :kept].clone()
            self.own[layer] = self._stores[layer][: math.prod(shape)].view(shape).zero_()
            self.own[layer][..., :kept, :] = before
        return self.own[layer][:, : len(self.lengths)]

    def bias(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Return (n, 1, 1, k, common + columns) 0 where a token attends, else minus infinity."""
        if window not in self._biases:
            columns = torch.arange(self.common_tokens + self.columns, device=like.device)
            position = (self.places + self.common_tokens)[..., None]
            masked = columns > position
            if window is not None:
                masked |= position - columns >= window
            bias = torch.zeros(masked.shape, dtype=like.dtype, device=like.device)
            self._biases[window] = bias.masked_fill_(masked, -torch.inf)[:, None, None]
        return self._biases[window]


def _attend_slots(state: DecodingCache, given: LayerInput) -> torch.Tensor:
    """Let the k new tokens of each of n answers attend to the common past and their own slot.

    The common past is read once for all of them: one product instead of n.
    """
    (n, k), own = state.places.shape, state.in_use(given.layer)
    heads, width = given.key.shape[1], given.query.shape[3]
    slots = torch.arange(n, device=own.device)[:, None]
    own[0, slots, :, state.places] = given.key[0].transpose(0, 1).view(n, k, heads, width)
    own[1, slots, :, state.places] = given.value[0].transpose(0, 1).view(n, k, heads, width)
    # (key heads, queries of a key head, n, k, width)
    grouped = (given.query[0] * given.scale).reshape(heads, -1, n, k, width)
    common = None if state.common is None else state.common[given.layer]
    result = _attend(grouped, own, common, state.bias(given.window, given.query), given.cap)
    return result.permute(2, 3, 0, 1, 4).reshape(1, n * k, -1, width)


_DECODING = CustomAttention("choose_decoding", _attend_slots)


def _attend(
    query: torch.Tensor,
    own: torch.Tensor,
    common: torch.Tensor | None,
    bias: torch.Tensor,
    cap: float | None,
) -> torch.Tensor:
    """Return (key heads, groups, n, k, width)."""
    heads, groups, n, k, width = query.shape
    each = query.permute(2, 0, 1, 3, 4).reshape(n * heads, groups * k, width)
    keys, values = (part.reshape(n * heads, -1, width) for part in own)
    scores = cap_scores(torch.bmm(each, keys.transpose(1, 2)).view(n, heads, groups, k, -1), cap)
    past = 0
    if common is not None:
        together = query.reshape(heads, groups * n * k, width)
        before = cap_scores(torch.bmm(together, common[0].transpose(1, 2)), cap)
        before = before.view(heads, groups, n, k, -1).permute(2, 0, 1, 3, 4)
        scores, past = torch.cat([before, scores], -1), before.shape[-1]
    weights = (scores + bias).softmax(-1)
    late = torch.bmm(weights[..., past:].reshape(n * heads, groups * k, -1), values)
    late = late.view(n, heads, groups, k, width).permute(1, 2, 0, 3, 4)
    if common is None:
        return late
    before = weights[..., :past].permute(1, 2, 0, 3, 4).reshape(heads, groups * n * k, past)
    return torch.bmm(before, common[1]).view(query.shape) + late


def _compare_rival(answer: Answer, row: torch.Tensor) -> None:
    """Compare the prompt's last token with its rival by the (vocabulary,) logits before it."""
    row = row.float()
    answer.rival = float(row[answer.rule.rival] - row[answer.parts[-1][-1]])


# What models call the state of the tokens that they have read.
_PASTS = ("past_key_values", "cache_params", "cache")

# Answers join those under way when this share of the slots is free, or enough for all that wait:
# few at a time read slowly.
FREE_SHARE = 0.25


class _Progress:
    """Reports of prompt tokens read and new tokens written, of the most there can be."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.done, self.total = 0, sum(len(a.parts[-1]) + a.rule.limit for a in answers)
        report_progress(0, self.total, "writing")

    def add(self, tokens: int) -> None:
        self.done = min(self.total, self.done + tokens)
        report_progress(self.done, self.total, "writing")


@dataclass(eq=False)
class Generator(PromptedModel):
    """Writes answers with a loaded model, each prompt once a process.

    Prompts are read in packed passes without padding. New tokens are written for many answers at a
    time, which join as others end. They share products of the layers but no attention, so an
    answer depends on the others by rounding only.

    Attributes:
        packed: whether the model supports this; otherwise answers are written one by one.
        answers: by prompt and rule: [cut, log-probability, the rival's, tokens of the prompt's own
            part, new tokens...], and the seconds it took.
    """

    packed: bool = True
    reading: TimedSteps = field(default_factory=TimedSteps)
    writing: TimedSteps = field(default_factory=TimedSteps)
    drafting: TimedSteps = field(default_factory=TimedSteps)

    @cached_property
    def words(self) -> TokenTexts:
        return TokenTexts(self.template.tokenizer)

    @cached_property
    def ends(self) -> frozenset[int]:
        """Return the tokens that close any answer."""
        named = [self.template.tokenizer.eos_token_id]
        for config in (self.model.config, getattr(self.model, "generation_config", None)):
            eos = getattr(config, "eos_token_id", None)
            named += eos if isinstance(eos, list | tuple) else [eos]
        return frozenset([self.template.end, *(int(token) for token in named if token is not None)])

    def notes(self) -> list[str]:
        slow = "Its attention cannot be shared: answers are written one by one."
        return [*memory_notes(self.model.device.type), *([] if self.packed else [slow])]

    def write(self, prompts: Sequence[Prompt], rule: StopRule | Sequence[StopRule]) -> Written:
        """Return the greedy answer to each prompt, under one rule or one for each.

        Raises:
            ModelError: if a prompt does not fit the model.
        """
        rules = [rule] * len(prompts) if isinstance(rule, StopRule) else list(rule)
        keys = [prompt_key(*asked) for asked in zip(prompts, rules, strict=True)]
        known = self.recall(keys)
        asked = zip(keys, prompts, rules, strict=True)
        new = {key: (prompt, rule) for key, prompt, rule in asked if key not in self.answers}
        divided = divide([prompt for prompt, _ in new.values()])
        self._write_new([Answer(k, p, new[k][1]) for k, p in zip(new, divided, strict=True)])
        found = [self.answers[key] for key in keys]
        self.forget_oldest()
        tokens = [[int(token) for token in row[4:]] for row, _ in found]
        whole = np.array([len(p.prefix) + len(p.rest) for p in prompts], dtype=np.int64)
        return Written(
            texts=tuple(self._text(*row) for row in zip(tokens, rules, strict=True)),
            cut=tuple(bool(row[0]) for row, _ in found),
            logprobs=np.array([row[1] for row, _ in found], dtype=np.float64),
            rivals=np.array([row[2] for row, _ in found], dtype=np.float64),
            tokens_in=whole,
            tokens_cached=whole - np.array([row[3] for row, _ in found], dtype=np.int64),
            tokens_out=np.array([len(row) for row in tokens], dtype=np.int64),
            latency=np.array([seconds for _, seconds in found], dtype=np.float64),
            cached_seconds=known,
        )

    def next_logits(self, prompts: Sequence[Parts], new: Tokens) -> torch.Tensor:
        """Return (n, vocabulary) logits after prompts that `new` tokens are added to."""
        answers = [Answer(b"", parts, StopRule(limit=len(new))) for parts in prompts]
        cache = self._cache(answers, tuple(part for part in common_parts(prompts) if part))
        rows = self._read(answers, cache)
        for some in filter(None, (new[:1], new[1:])):
            rows = cache.logits(self.model, [some] * len(prompts))[:, -1]
            cache.lengths = [length + len(some) for length in cache.lengths]
        return rows

    def _text(self, tokens: Sequence[int], rule: StopRule) -> str:
        text = self.words.decode(tokens[:-1] if tokens and tokens[-1] in self.ends else tokens)
        return text[: rule.end_of(text)]

    def _write_new(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self.check_fits(answer.most)
        if not answers:
            return
        progress = _Progress(answers)
        alone, groups = list[Answer](), dict[Tokens, list[Answer]]()
        for answer in answers:
            stable = answer.most <= max_stable_length(self.model.config)
            some = groups.setdefault(answer.parts[0], []) if self.packed and stable else alone
            some.append(answer)
        try:
            for group in groups.values():
                work = partial(self._write_together, group, progress)
                within_memory(self.model.device.type, work)
            for answer in alone:
                self._write_alone(answer)
                progress.add(len(answer.parts[-1]) + answer.rule.limit)
        finally:
            if self.cache is not None:
                done = [a.key for a in answers if a.key in self.answers]
                self.cache.put({key: self.answers[key] for key in done})

    def _write_together(self, answers: Sequence[Answer], progress: _Progress) -> None:
        """Write the answers to prompts that begin with the same declared prefix.

        What is not known is begun anew: memory may have run out before.
        """
        answers = [answer for answer in answers if answer.key not in self.answers]
        if any(answer.tokens for answer in answers):
            self.shared.pasts.clear()
            answers = [Answer(a.key, a.parts, a.rule, seconds=a.seconds) for a in answers]
        common = tuple(part for part in common_parts([a.parts for a in answers]) if part)
        waiting, under_way = deque(in_order(answers)), list[Answer]()
        cache = self._cache(answers, common)
        while waiting or under_way:
            free = cache.slots - len(under_way)
            few = min(FREE_SHARE * cache.slots, len(waiting))
            if waiting and (free >= few or not under_way):
                lengths = (answer.length for answer in islice(waiting, free))
                cache.room = max(lengths) - cache.common_tokens
                joining = self._next(waiting, free)
                own = sum(len(answer.parts[-1]) for answer in joining)
                start = perf_counter()
                with self.reading.step(own):
                    rows = self._read(joining, cache)
                pace = (perf_counter() - start) / own
                for answer in joining:
                    answer.seconds += pace * len(answer.parts[-1])
                under_way += joining
                progress.done += own  # reported with the first tokens that are written
                self._advance(rows[:, None], under_way, cache, progress)
            else:
                if not waiting:
                    cache.slots, cache.room = len(under_way), 0
                start = perf_counter()
                drafts = drafted(under_way)
                with (self.drafting if drafts[0][1:] else self.writing).step(len(under_way)):
                    rows = cache.logits(self.model, drafts)
                seconds = (perf_counter() - start) / len(under_way)
                for answer in under_way:
                    answer.seconds += seconds
                self._advance(rows, under_way, cache, progress, drafts)

    def _cache(self, answers: Sequence[Answer], common: Parts) -> DecodingCache:
        """Return room for as many answers as memory allows, with the common past."""
        self.shared.read([common])
        before = sum(len(part) for part in common)
        most = max(answer.most for answer in answers) - before
        capacity = -(-most // COLUMNS) * COLUMNS
        limits = limits_of(self.model.device.type)
        fitting = limits.writing_bytes // (capacity * bytes_per_token(self.model))
        slots = max(1, min(limits.writing_rows, len(answers), fitting))
        # Drafts beside a short answer may be longer than it.
        return DecodingCache(slots, capacity + COLUMNS, self.shared.past(common), before)

    def _next(self, waiting: deque[Answer], free: int) -> list[Answer]:
        """Take the next answers whose prompts are read in one pass."""
        most = self.reading.most(limits_of(self.model.device.type).scoring_tokens)
        tokens, taken = 0, list[Answer]()
        while waiting and len(taken) < free:
            tokens += len(waiting[0].parts[-1])
            # Each of a pair has half of the threads, so a pass holds two that are long.
            if taken and tokens > (2 * most if len(taken) == 1 else most):
                break
            taken.append(waiting.popleft())
        return taken

    def _read(self, answers: Sequence[Answer], cache: DecodingCache) -> torch.Tensor:
        """Read prompts into the cache, and return (n, vocabulary) logits after them."""
        self.shared.read([answer.shared for answer in answers])
        wanted = [1 if answer.rule.rival is None else 2 for answer in answers]
        pieces = [
            self.shared.piece(answer.shared, answer.parts[-1], rows)
            for answer, rows in zip(answers, wanted, strict=True)
        ]
        pack = Pack(pieces, saves_past=True)
        rows = logits(self.model, pack)
        start = 0
        for answer, piece in zip(answers, pieces, strict=True):
            stop = start + len(piece.tokens)
            cache.add(self.shared.past(answer.shared), pack.past, start, stop)
            start = stop
        self.shared.forget_oldest()
        if max(wanted) == 1:
            return rows
        last = np.cumsum(wanted) - 1
        for answer, place in zip(answers, last.tolist(), strict=True):
            if answer.rule.rival is not None:
                _compare_rival(answer, rows[place - 1])
        return rows[last]

    def _advance(
        self,
        rows: torch.Tensor,
        under_way: list[Answer],
        cache: DecodingCache,
        progress: _Progress,
        drafts: Sequence[Sequence[int]] = (),
    ) -> None:
        """Add the best tokens to the last answers under way; those that end leave.

        After the first, a token is the best one while all before it were as drafted.
        """
        first, tokens = len(under_way) - len(rows), 0
        chosen = self._choose(rows, under_way[first:])
        # From the last one on: the last answer under way takes the place of one that leaves.
        for slot, best in reversed(list(enumerate(chosen, first))):
            answer, read = under_way[slot], drafts[slot] if drafts else ()
            for number, (token, logprob) in enumerate(best, 1):
                self._add(answer, token, logprob)
                tokens += 1
                cache.lengths[slot] += bool(read)
                if (ended := self._ended(answer)) or [token] != [*read[number : number + 1]]:
                    break
            if ended:
                tokens += answer.rule.limit - len(answer.tokens)
                self._remember(answer)
                cache.remove(slot)
                under_way[slot] = under_way[-1]
                under_way.pop()
        progress.add(tokens)

    def _add(self, answer: Answer, token: int, logprob: float) -> None:
        answer.tokens.append(token)
        answer.logprob += logprob
        answer.visible = answer.visible or bool(self.words[token].strip())

    def _choose(
        self, rows: torch.Tensor, answers: Sequence[Answer]
    ) -> list[list[tuple[int, float]]]:
        """Return the k best tokens of each answer, and their log-probabilities."""
        with torch.inference_mode():
            scores = rows.float()
            norms = scores.logsumexp(-1)
            best = scores.argmax(-1)
            for number, answer in enumerate(answers):
                begins = answer.rule.may_begin
                while not (answer.visible or begins(self.words[int(best[number, 0])])):
                    scores[number, 0, best[number, 0]] = -math.inf
                    best[number, 0] = scores[number, 0].argmax()
            logprobs = scores.gather(-1, best[..., None])[..., 0] - norms
        both = zip(best.tolist(), logprobs.tolist(), strict=True)
        return [list(zip(*one, strict=True)) for one in both]

    def _ended(self, answer: Answer) -> bool:
        """Return whether an answer is complete, or as long as it may be."""
        last, rule = answer.tokens[-1], answer.rule
        if last in self.ends:
            return True
        ended = rule.may_end(self.words[last])
        if ended and rule.end_of(self.words.decode(answer.tokens)) is not None:
            return True
        answer.cut = rule.cuts(answer.tokens)
        return answer.cut

    def _write_alone(self, answer: Answer) -> None:
        """Write an answer with a model that ignores positions or attends in a way of its own."""
        start = perf_counter()
        text = [token for part in answer.parts for token in part]
        with self.reading.step(len(text)):
            for rows in self._plain_rows(text):
                if answer.rule.rival is not None and not answer.tokens:
                    _compare_rival(answer, rows[-2])
                [[(token, logprob)]] = self._choose(rows[None, -1:], [answer])
                self._add(answer, token, logprob)
                text.append(token)
                if self._ended(answer):
                    break
        answer.seconds = perf_counter() - start
        self._remember(answer)

    def _plain_rows(self, text: list[int]) -> Iterator[torch.Tensor]:
        """Yield (2, vocabulary) the last logits of a text, which grows by a token after each."""
        past, read, stable = dict[str, Any](), 0, max_stable_length(self.model.config)
        while True:
            if not past or len(text) == stable + 1:  # earlier keys are of other positions then
                past, read = {}, 0
            ids = torch.tensor([text[read:]], device=self.model.device)
            with torch.inference_mode():
                output = self.model(input_ids=ids, use_cache=True, logits_to_keep=2, **past)
            past, read = {name: output[name] for name in _PASTS if name in output}, len(text)
            yield output.logits[0]

    def _remember(self, answer: Answer) -> None:
        facts = (answer.cut, answer.logprob, answer.rival, len(answer.parts[-1]))
        row = np.array([*facts, *answer.tokens], dtype=np.float64)
        self.answers[answer.key] = row, answer.seconds
