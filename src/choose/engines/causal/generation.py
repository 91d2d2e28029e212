"""Greedy answers of a causal language model: batched, shared prefixes read once."""

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby, islice
from time import perf_counter
from typing import Any

import numpy as np
import torch

from choose.engines.causal.chat_template import Prompt
from choose.engines.causal.packed_attention import (
    ROWS,
    CustomAttention,
    LayerInput,
    Pack,
    Parts,
    Past,
    Piece,
    PromptedModel,
    Tokens,
    bytes_per_token,
    cap_scores,
    common_parts,
    divide,
    is_full,
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
# first, which is most of their time, and gaps that are closed once in a while cost little. Parts
# that prompts share have a slot of their own if they are as long.
COLUMNS = 64


@dataclass(eq=False)
class Slots:
    """The keys and values of several texts, each in a slot; slots in use come first.

    Attributes:
        count: most slots in use from here on.
        most_columns: most that a slot may need.
        lengths: tokens in each slot in use.
        room: tokens of the longest text that joined or soon may, for which slots grow at once.
        new: tokens that are added to each slot.
        kept: by layer (2, slots, key heads, columns, width), at the start of its store: memory that
            is new to a process costs more than copying what is in it.
    """

    count: int = 0
    most_columns: int = 0
    lengths: list[int] = field(default_factory=list)
    room: int = 0
    new: int = 0
    kept: Past = field(default_factory=dict)
    _stores: dict[int, torch.Tensor] = field(default_factory=dict)

    def add(self, tokens: int, past: Iterable[tuple[int, torch.Tensor]]) -> None:
        """Put so many tokens into the next slot, by layer (2, key heads, tokens, width)."""
        self.lengths.append(tokens)
        for layer, read in past:
            if layer not in self.kept:
                shape = (2, self.count, read.shape[1], self.most_columns, read.shape[3])
                with torch.inference_mode(False):  # it changes outside of this mode, too
                    self._stores[layer] = read.new_empty(math.prod(shape))
                self.kept[layer] = self._stores[layer][:0].view(*shape[:3], 0, shape[4])
            self.in_use(layer)[:, -1, :, :tokens] = read

    def remove(self, slot: int) -> None:
        """Free a slot: the last one in use moves into it."""
        last = len(self.lengths) - 1
        if slot < last:
            for kept in self.kept.values():
                kept[:, slot, :, : self.lengths[last]] = kept[:, last, :, : self.lengths[last]]
            self.lengths[slot] = self.lengths[last]
        self.lengths.pop()

    @property
    def columns(self) -> int:
        """Return the columns of each slot, room for the longest text and what is added to it."""
        most = max(self.room, *self.lengths) + self.new if self.lengths else 0
        return -(-most // COLUMNS) * COLUMNS

    def in_use(self, layer: int) -> torch.Tensor:
        """Return (2, n, key heads, columns, width): the slots in use, without gaps between them."""
        kept, columns = self.kept[layer], self.columns
        if columns != kept.shape[3]:
            shape = (2, self.count, kept.shape[2], columns, kept.shape[4])
            before = kept[:, : self.count, :, :columns].clone()
            self.kept[layer] = self._stores[layer][: math.prod(shape)].view(shape).zero_()
            self.kept[layer][..., : before.shape[3], :] = before
        return self.kept[layer][:, : len(self.lengths)]


@dataclass(eq=False)
class DecodingCache:
    """The keys and values of the answers under way, and of what they follow.

    Attributes:
        common: keys and values of the tokens that all prompts begin with, read once.
        common_tokens: how many they are.
        own: slots of the answers.
        shared: slots of the parts after the common ones that several prompts share.
        chains: shared parts of each answer.
        followed: those in each slot of `shared`.
        places: (n, k) of the new tokens in their slots.
        before: (n, 1) tokens in the shared slots that answers follow.
        members: (shared slots, m) the answers that follow each, the first answer where fewer do.
        followers: answers that follow a shared slot, which one, and their place in `members`.
    """

    common: Past | None
    common_tokens: int
    own: Slots = field(default_factory=lambda: Slots(new=1))
    shared: Slots = field(default_factory=Slots)
    chains: list[Parts] = field(default_factory=list)
    followed: list[Parts] = field(default_factory=list)
    places: Any = None
    before: Any = None
    members: Any = None
    followers: Any = ()
    _biases: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def shared_tokens(self, chain: Parts) -> int:
        """Return the tokens of shared parts that have a slot of their own."""
        tokens = sum(map(len, chain)) - self.common_tokens
        return tokens if tokens >= COLUMNS else 0

    def own_tokens(self, answer: Answer) -> int:
        """Return the tokens of a prompt that are in the slot of its answer."""
        return answer.length - self.common_tokens - self.shared_tokens(answer.shared)

    @property
    def tokens_read(self) -> int:
        """Return how many tokens' keys and values a step reads."""
        shared = len(self.followed) * self.shared.columns
        return self.common_tokens + shared + len(self.chains) * self.own.columns

    def has_room(self, joining: Collection[Parts], chain: Parts) -> bool:
        """Return whether the shared parts of another answer have a slot, or may get one."""
        new = {c for c in (*joining, chain) if self.shared_tokens(c)} - {*self.followed}
        return len(self.followed) + len(new) <= self.shared.count

    def make_room(self, answers: Sequence[Answer]) -> None:
        """Let slots grow at once for answers that soon may join; without any, leave none free."""
        if not answers:
            self.own.count, self.shared.count = len(self.chains), len(self.followed)
        self.own.room = max(map(self.own_tokens, answers), default=0)
        self.shared.room = max((self.shared_tokens(a.shared) for a in answers), default=0)

    def add(self, chain: Parts, before: Past | None, past: Past, some: slice) -> None:
        """Put a prompt into the next slot: some columns of `past`, after the shared parts.

        `before` are the keys and values of all these; what is in common is in no slot.
        """
        rest = {n: read[:, :, self.common_tokens :] for n, read in (before or {}).items()}
        if (apart := self.shared_tokens(chain)) and chain not in self.followed:
            self.followed.append(chain)
            self.shared.add(apart, rest.items())
        self.chains.append(chain)
        tokens = some.stop - some.start + sum(map(len, chain)) - self.common_tokens - apart
        new = ((n, read[:, :, some]) for n, read in past.items())
        own = new if apart or not rest else ((n, torch.cat([rest[n], r], 2)) for n, r in new)
        self.own.add(tokens, own)

    def remove(self, slot: int) -> None:
        """Free a slot: the last answer under way moves into it."""
        self.own.remove(slot)
        chain, self.chains[slot] = self.chains[slot], self.chains[-1]
        self.chains.pop()
        if chain in self.followed and chain not in self.chains:
            place = self.followed.index(chain)
            self.shared.remove(place)
            self.followed[place] = self.followed[-1]
            self.followed.pop()

    def logits(self, model: Any, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return (n, k, vocabulary) logits after k new tokens of n answers, beyond their slots."""
        new, device = torch.tensor(tokens, device=model.device), model.device
        self.own.new = new.shape[1]
        self.places = torch.tensor(self.own.lengths, device=device)[:, None]
        self.places = self.places + torch.arange(new.shape[1], device=device)
        self._find_followers(device)
        self._biases.clear()
        with _DECODING.used_by(model, self), torch.inference_mode(), packed_products(model):
            output = model(
                input_ids=new.view(1, -1),
                position_ids=(self.places + self.before + self.common_tokens).view(1, -1),
                # Any mask will do: transformers then makes none of its own.
                attention_mask=torch.zeros(1, 1, 1, 1, dtype=model.dtype, device=device),
                use_cache=False,
            )
        return output.logits[0].view(*new.shape, -1)

    def _find_followers(self, device: Any) -> None:
        before = [self.shared_tokens(chain) for chain in self.chains]
        self.before = torch.tensor(before, device=device)[:, None]
        members: list[list[int]] = [[] for _ in self.followed]
        places = []
        for answer, chain in enumerate(self.chains):
            if before[answer]:
                slot = self.followed.index(chain)
                places.append((answer, slot, len(members[slot])))
                members[slot].append(answer)
        most = max(map(len, members), default=0)
        filled = [[*own, *[0] * (most - len(own))] for own in members]
        self.members = torch.tensor(filled, dtype=torch.long, device=device)
        self.followers = torch.tensor(places, dtype=torch.long, device=device).view(-1, 3).unbind(1)

    def bias(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """Return (n, 1, 1, k, all columns) 0 where a token attends, else minus infinity.

        The columns are those of an answer's own slot, of the shared one, and those in common.
        """
        if window not in self._biases:
            device, n = like.device, len(self.chains)
            position = (self.places + self.before + self.common_tokens)[..., None]
            common = torch.arange(self.common_tokens, device=device).expand(n, -1)
            shared = torch.arange(self.shared.columns, device=device).expand(n, -1)
            shared = torch.where(shared < self.before, shared + self.common_tokens, 1 << 30)
            own = torch.arange(self.own.columns, device=device) + self.before + self.common_tokens
            columns = torch.cat([own, shared, common], 1)[:, None]
            masked = columns > position
            if window is not None:
                masked |= position - columns >= window
            bias = torch.zeros(masked.shape, dtype=like.dtype, device=device)
            self._biases[window] = bias.masked_fill_(masked, -torch.inf)[:, None, None]
        return self._biases[window]


def _attend_slots(state: DecodingCache, given: LayerInput) -> torch.Tensor:
    """Let the k new tokens of each of n answers attend to what they follow and their own slot.

    What several answers follow is read once for them: one product instead of many.
    """
    (n, k), own = state.places.shape, state.own.in_use(given.layer)
    heads, width = given.key.shape[1], given.query.shape[3]
    slots = torch.arange(n, device=own.device)[:, None]
    own[0, slots, :, state.places] = given.key[0].transpose(0, 1).view(n, k, heads, width)
    own[1, slots, :, state.places] = given.value[0].transpose(0, 1).view(n, k, heads, width)
    # (n, key heads, queries of a key head, k, width)
    query = (given.query[0] * given.scale).view(heads, -1, n, k, width).permute(2, 0, 1, 3, 4)
    parts = [(own, _for_each)]
    if state.followed:
        parts.append((state.shared.in_use(given.layer), partial(_for_followers, state)))
    if state.common is not None:
        parts.append((state.common[given.layer], _for_all))
    scores = [times(query, keys.transpose(-1, -2)) for (keys, _), times in parts]
    bias = state.bias(given.window, given.query)
    weights = (cap_scores(torch.cat(scores, -1), given.cap) + bias).softmax(-1)
    split = weights.split_with_sizes([score.shape[-1] for score in scores], -1)
    found = [times(w, values) for w, ((_, values), times) in zip(split, parts, strict=True)]
    return sum(found[1:], found[0]).permute(0, 3, 1, 2, 4).reshape(1, n * k, -1, width)


def _for_each(rows: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Multiply (n, key heads, groups, k, a) by (n, key heads, a, b)."""
    some = rows.flatten(0, 1).flatten(1, 2)
    return torch.bmm(some, by.flatten(0, 1)).view(*rows.shape[:-1], -1)


def _for_all(rows: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Multiply (n, key heads, groups, k, a) by (key heads, a, b)."""
    some = rows.transpose(0, 1)
    found = torch.bmm(some.flatten(1, 3), by)
    return found.view(*some.shape[:-1], -1).transpose(0, 1)


def _for_followers(state: DecodingCache, rows: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Multiply (n, key heads, groups, k, a) by (shared slots, key heads, a, b); 0 without one."""
    answers, slots, places = state.followers
    some = rows[state.members].transpose(1, 2)
    found = torch.bmm(some.flatten(0, 1).flatten(1, 3), by.flatten(0, 1))
    found = found.view(*some.shape[:-1], -1)[slots, :, places]
    if len(answers) == len(rows):
        return found
    return found.new_zeros(*rows.shape[:-1], found.shape[-1]).index_copy_(0, answers, found)


_DECODING = CustomAttention("choose_decoding", _attend_slots)


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

    @cached_property
    def _weights(self) -> float:
        """Return the size of the model in tokens' keys and values."""
        return self.model.num_parameters() * self.model.dtype.itemsize / bytes_per_token(self.model)

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
            cache.own.lengths = [length + len(some) for length in cache.own.lengths]
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
            if joining := self._next(waiting, cache):
                under_way += joining
                progress.done += sum(len(answer.parts[-1]) for answer in joining)
                self._advance(self._begin(joining, cache)[:, None], under_way, cache, progress)
                continue
            if not waiting:
                cache.make_room([])
            start, drafts = perf_counter(), drafted(under_way)
            steps = self.drafting if drafts[0][1:] else self.writing
            # Reading memory is what takes the time: the weights, and each token under way.
            with steps.step(self._weights + cache.tokens_read):
                rows = cache.logits(self.model, drafts)
            seconds = (perf_counter() - start) / len(under_way)
            for answer in under_way:
                answer.seconds += seconds
            self._advance(rows, under_way, cache, progress, drafts)

    def _cache(self, answers: Sequence[Answer], common: Parts) -> DecodingCache:
        """Return room for as many answers as memory allows, with the common past."""
        self.shared.read([common])
        before, follow = sum(map(len, common)), Counter(answer.shared for answer in answers)
        cache = DecodingCache(self.shared.past(common), before)
        own = max(cache.own_tokens(answer) + answer.rule.limit for answer in answers)
        shared = {c: n for c in follow if (n := cache.shared_tokens(c))}
        # Drafts beside a short answer may be longer than it.
        cache.own.most_columns = (-(-own // COLUMNS) + 1) * COLUMNS
        cache.shared.most_columns = -(-max(shared.values(), default=0) // COLUMNS) * COLUMNS
        # Shared slots for twice as many answers, as some of those that follow them have ended.
        each = 2 * len(shared) / sum(follow[c] for c in shared) if shared else 0.0
        columns = cache.own.most_columns + each * cache.shared.most_columns
        limits = limits_of(self.model.device.type)
        fitting = int(limits.writing_bytes / (columns * bytes_per_token(self.model)))
        cache.own.count = max(1, min(limits.writing_rows, len(answers), fitting))
        cache.shared.count = math.ceil(each * cache.own.count)
        return cache

    def _next(self, waiting: deque[Answer], cache: DecodingCache) -> list[Answer]:
        """Take the next answers whose prompts are read in one pass, if there are slots enough."""
        free = cache.own.count - len(cache.chains)
        enough = min(FREE_SHARE * cache.own.count, len(waiting))
        if not waiting or (free < enough and cache.chains):
            return []
        cache.make_room([*islice(waiting, free)])
        most = self.reading.most(limits_of(self.model.device.type).scoring_tokens)
        tokens, taken = 0, list[Answer]()
        while waiting and len(taken) < free:
            tokens += len(waiting[0].parts[-1])
            full = is_full(len(taken), tokens, most)
            if full or not cache.has_room([a.shared for a in taken], waiting[0].shared):
                break
            taken.append(waiting.popleft())
        return taken

    def _begin(self, answers: Sequence[Answer], cache: DecodingCache) -> torch.Tensor:
        """Read prompts into the cache, and return (n, vocabulary) logits after them."""
        start, own = perf_counter(), sum(len(answer.parts[-1]) for answer in answers)
        self.shared.read([answer.shared for answer in answers])
        with self.reading.step(own):
            rows = self._read(answers, cache)
        pace = (perf_counter() - start) / own
        for answer in answers:
            answer.seconds += pace * len(answer.parts[-1])
        return rows

    def _read(self, answers: Sequence[Answer], cache: DecodingCache) -> torch.Tensor:
        """Read prompts into the cache, and return (n, vocabulary) logits after them."""
        self.shared.read([answer.shared for answer in answers])
        wanted = [1 if answer.rule.rival is None else 2 for answer in answers]
        pack = Pack([*self._pieces(answers, wanted)], saves_past=True)
        rows = logits(self.model, pack)
        start = 0
        for answer in answers:
            stop = start + len(answer.parts[-1])
            cache.add(answer.shared, self.shared.past(answer.shared), pack.past, slice(start, stop))
            start = stop
        self.shared.forget_oldest()
        if max(wanted) == 1:
            return rows
        last = np.cumsum(wanted) - 1
        for answer, place in zip(answers, last.tolist(), strict=True):
            if answer.rule.rival is not None:
                _compare_rival(answer, rows[place - 1])
        return rows[last]

    def _pieces(self, answers: Sequence[Answer], wanted: Sequence[int]) -> Iterator[Piece]:
        """Yield prompts as pieces of a pass: short ones that follow the same parts are one."""
        for chain, some in groupby(zip(answers, wanted, strict=True), lambda one: one[0].shared):
            texts, rows = list[Tokens](), list[int]()
            for answer, count in some:
                if texts and sum(map(len, texts)) + len(answer.parts[-1]) > ROWS:
                    yield self.shared.piece(chain, texts, rows)
                    texts, rows = [], []
                texts.append(answer.parts[-1])
                rows.append(count)
            yield self.shared.piece(chain, texts, rows)

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
                cache.own.lengths[slot] += bool(read)
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
