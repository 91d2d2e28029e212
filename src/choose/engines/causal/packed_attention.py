"""Several texts in one pass of a causal model; what they share is read once."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import takewhile
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from scipy.linalg import block_diag

from choose.engines.causal.chat_template import ChatTemplate, Prompt
from choose.engines.hardware.batch_limits import limits_of
from choose.engines.hardware.packed_products import packed_products
from choose.engines.hardware.timed_steps import TimedSteps, share_threads
from choose.engines.output_cache import ResultCache
from choose.errors import ModelError
from choose.types import Bools, Counts, Floats

# Keys and values by layer, (2, key heads, tokens, width).
Past = dict[int, torch.Tensor]

# Rows of a block: smaller blocks skip more masked columns, but make smaller products; on a card
# each block is several kernels to start.
ROWS, ROWS_THERE = 128, 1024

# Arguments that change a model's attention and that this one does not implement.
_UNSUPPORTED = ("s_aux", "position_bias", "head_mask")

# Rotations of keys that depend on the length of a pass.
_LENGTH_DEPENDENT_ROPE = ("longrope", "dynamic")


class Block(NamedTuple):
    """Some rows of an attention.

    Attributes:
        rows: which rows.
        end: no row attends to the columns from here on.
        all: every row attends to the columns up to here.
        bias: (groups * rows, end) 0 where a row attends to a column, else minus infinity.
    """

    rows: slice
    end: int
    all: int
    bias: torch.Tensor


def in_blocks(sees: Bools, groups: int, like: torch.Tensor) -> list[Block]:
    """Return the blocks of a mask (n, columns).

    `groups` query heads share a key head: their rows are stacked, so that no key is copied.
    """
    blocks, most = [], ROWS if like.device.type == "cpu" else ROWS_THERE
    for start in range(0, len(sees), most):
        part = sees[start : start + most]
        end = int(np.flatnonzero(part.any(axis=0)).max()) + 1
        every = part[:, :end].all(axis=0)
        seen = end if every.all() else int(every.argmin())
        allowed = torch.from_numpy(part[:, :end]).to(like.device).repeat(groups, 1)
        bias = torch.zeros(allowed.shape, dtype=like.dtype, device=like.device)
        bias.masked_fill_(~allowed, -torch.inf)
        blocks.append(Block(slice(start, start + len(part)), end, seen, bias))
    return blocks


def cap_scores(scores: torch.Tensor, cap: float | None) -> torch.Tensor:
    """Return attention scores within plus and minus a cap, where a model has one (Gemma 2)."""
    return scores if cap is None else (scores / cap).tanh() * cap


def attention(
    query: torch.Tensor,
    seen: torch.Tensor,
    scale: float,
    blocks: Sequence[Block],
    cap: float | None = None,
) -> Iterator[torch.Tensor]:
    """Yield (heads, rows, width) for each block of a (heads, n, width) query.

    `seen` are the keys and the values, (2, key heads, columns, width).
    """
    for block in blocks:
        some = query if len(blocks) == 1 else query[:, block.rows]
        folded = some.reshape(seen.shape[1], -1, query.shape[-1])
        attended = _attend_block(folded, seen[:, :, : block.end], scale, block, cap)
        yield attended.reshape(query.shape[0], -1, query.shape[-1])


def _attend_block(
    query: torch.Tensor, seen: torch.Tensor, scale: float, block: Block, cap: float | None
) -> torch.Tensor:
    # Measured on a CPU with bfloat16 products: from about a hundred rows on, two of them with a
    # softmax between take half the time of the fused kernel, which is faster elsewhere.
    half = query.device.type == "cpu" and query.dtype is torch.bfloat16
    if cap is not None or (half and query.shape[1] >= ROWS):
        scores = cap_scores(torch.bmm(query * scale, seen[0].transpose(1, 2)), cap)
        if block.all < block.end:
            scores[:, :, block.all :] += block.bias[:, block.all :]
        return torch.bmm(scores.softmax(-1), seen[1])
    keys, values = seen.unsqueeze(1)
    return torch.nn.functional.scaled_dot_product_attention(
        query[None], keys, values, attn_mask=block.bias[None, None], scale=scale
    )[0]


@dataclass(eq=False)
class Piece:
    """Tokens of one text in a pass.

    Attributes:
        tokens: (n,) ids.
        positions: (n,) the position of each in its text.
        sees: (n, past + n) which token attends to which, the past ones first.
        past: keys and values of the tokens before it; None without any.
        past_tokens: how many they are; their positions are 0, 1, …
        wanted: (m,) the rows whose logits are returned.
    """

    tokens: Counts
    positions: Counts
    sees: Bools
    past: Past | None
    past_tokens: int
    wanted: Counts
    blocks: dict[tuple[int | None, int], list[Block]] = field(default_factory=dict)

    def in_blocks(self, window: int | None, groups: int, like: torch.Tensor) -> list[Block]:
        """Return its blocks for all layers with that window and number of groups."""
        key = window, groups
        if key not in self.blocks:
            sees = self.sees
            if window is not None:
                places = np.concatenate([np.arange(self.past_tokens), self.positions])
                sees = sees & (self.positions[:, None] - places[None, :] < window)
            self.blocks[key] = in_blocks(sees, groups, like)
        return self.blocks[key]


@dataclass(eq=False)
class Pack:
    """The pieces of a pass; with `saves_past`, their keys and values in `past`."""

    pieces: Sequence[Piece]
    saves_past: bool = False
    past: Past = field(default_factory=dict)


def max_stable_length(config: Any) -> int:
    """Return the most tokens at which positions do not depend on the longest text in a pass.

    LongRoPE rotates all keys of a pass by whether the longest text exceeds the length of the
    first training; dynamic scaling by how far it exceeds it.
    """
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    # An absent length is the model's own, which no prompt may exceed.
    return min(
        (
            int(part.get("original_max_position_embeddings") or 1 << 20)
            for part in (rope, *rope.values())
            if isinstance(part, dict) and part.get("rope_type") in _LENGTH_DEPENDENT_ROPE
        ),
        default=1 << 20,
    )


# Half of a pass on half of the threads each: halves do not wait for each other at every product.
# Each has this many tokens and this share of the pass, or the pass is not divided.
LEAST_OF_HALF, SMALLEST_HALF = 128, 0.45


def _halves(pack: Pack) -> list[Pack]:
    ends = np.cumsum([len(piece.tokens) for piece in pack.pieces])
    cut = int(abs(ends - ends[-1] / 2).argmin())
    if min(ends[cut], ends[-1] - ends[cut]) < max(LEAST_OF_HALF, SMALLEST_HALF * ends[-1]):
        return [pack]
    both = pack.pieces[: cut + 1], pack.pieces[cut + 1 :]
    return [Pack(pieces, pack.saves_past) for pieces in both]


def logits(model: Any, pack: Pack) -> torch.Tensor:
    """Return (m, vocabulary) logits of the pieces' wanted rows, piece by piece."""
    divides = model.device.type == "cpu" and torch.get_num_threads() % 2 == 0
    halves = _halves(pack) if divides else [pack]
    with _PACKED.used_by(model, pack), packed_products(model):
        rows = share_threads(partial(_compute, model), halves)
    for layer in halves[0].past if len(halves) > 1 else ():
        pack.past[layer] = torch.cat([half.past[layer] for half in halves], 2)
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _compute(model: Any, pack: Pack) -> torch.Tensor:
    device = model.device
    tokens = np.concatenate([piece.tokens for piece in pack.pieces])
    positions = np.concatenate([piece.positions for piece in pack.pieces])
    starts = np.cumsum([0, *(len(piece.tokens) for piece in pack.pieces)])[:-1]
    wanted = np.concatenate([p.wanted + s for p, s in zip(pack.pieces, starts, strict=True)])
    with _PACKED.used_by(model, pack), torch.inference_mode():
        output = model(
            input_ids=torch.from_numpy(tokens)[None].to(device),
            position_ids=torch.from_numpy(positions)[None].to(device),
            # Any mask will do: transformers then makes none of its own.
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=model.dtype, device=device),
            use_cache=False,
            logits_to_keep=torch.from_numpy(wanted).to(device),
        )
    return output.logits[0]


class LayerInput(NamedTuple):
    """What a layer of a model passes to its attention.

    Attributes:
        layer: its index.
        query: (1, query heads, n, width).
        key: (1, key heads, n, width), as is `value`.
        scale: factor of the scores.
        window: how many tokens back a token attends; None if there is no limit.
        cap: limit of the scores, if the model has one.
    """

    layer: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scale: float
    window: int | None
    cap: float | None


State = TypeVar("State")


class CustomAttention(Generic[State]):
    """An attention that transformers calls in a model's layers, and the state it reads.

    `attend` gets the state and a layer's input, and returns (1, n, query heads, width).
    """

    def __init__(self, name: str, attend: Callable[[State, LayerInput], torch.Tensor]) -> None:
        self.name = name
        self.attend = attend
        self.state: ContextVar[State | None] = ContextVar(name, default=None)

    @contextmanager
    def used_by(self, model: Any, state: State) -> Iterator[None]:
        """Let a model use this attention, with a state, inside the block."""
        from transformers import AttentionInterface

        AttentionInterface.register(self.name, self._call)
        config = model.config.get_text_config()
        before = config._attn_implementation
        token = self.state.set(state)
        try:
            config._attn_implementation = self.name
            yield
        finally:
            config._attn_implementation = before
            self.state.reset(token)

    def _call(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        sliding_window: int | None = None,
        softcap: float | None = None,
        **more: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend as transformers asks for it.

        Raises:
            NotImplementedError: if the model's attention has a part that `attend` lacks.
        """
        state = self.state.get()
        unsupported = [name for name in _UNSUPPORTED if more.get(name) is not None]
        if state is None or unsupported:
            lacks = ", ".join(unsupported) or "no state"
            raise NotImplementedError(f"attention {self.name} with {lacks}")
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        given = LayerInput(int(module.layer_idx), query, key, value, scale, sliding_window, softcap)
        return self.attend(state, given), None


def _attend_pieces(pack: Pack, given: LayerInput) -> torch.Tensor:
    """Let each piece attend to its own past and itself only.

    Each piece has products of its own, so its result cannot depend on the others.
    """
    both = torch.cat([given.key, given.value])
    if pack.saves_past:
        pack.past[given.layer] = both
    groups = given.query.shape[1] // given.key.shape[1]
    lengths = [len(piece.tokens) for piece in pack.pieces]
    parts: list[torch.Tensor] = []
    split = torch.split(given.query[0], lengths, 1), torch.split(both, lengths, 2)
    for piece, queries, own in zip(pack.pieces, *split, strict=True):
        seen = own if piece.past is None else torch.cat([piece.past[given.layer], own], dim=2)
        blocks = piece.in_blocks(given.window, groups, given.query)
        parts += attention(queries, seen, given.scale, blocks, given.cap)
    return torch.cat(parts, dim=1).transpose(0, 1)[None]


_PACKED = CustomAttention("choose_packed", _attend_pieces)


# Tokens from which on what prompts share is read once for them.
SHORTEST_PART = 16

Tokens = tuple[int, ...]

Parts = tuple[Tokens, ...]


def divide(prompts: Sequence[Prompt]) -> list[Parts]:
    """Return each prompt's tokens in parts: the last is its own, others belong to several prompts.

    The first part is the prompt's declared prefix, which may be empty. Prompts that begin alike
    below it share a second part, and those of them that go on alike a third.
    """
    # A pass needs a token before the answer.
    rests = [p if p.rest else Prompt(p.prefix[:-1], p.prefix[-1:]) for p in prompts]
    found: list[Parts] = [()] * len(prompts)
    by_prefix: dict[Tokens, list[int]] = {}
    for place, prompt in enumerate(rests):
        by_prefix.setdefault(prompt.prefix, []).append(place)
    for prefix, places in by_prefix.items():
        divided = _divide_alike([rests[place].rest for place in places])
        for place, parts in zip(places, divided, strict=True):
            found[place] = (prefix, *parts)
    return found


def _divide_alike(texts: Sequence[Tokens], levels: int = 2) -> list[Parts]:
    found: list[Parts] = [(text,) for text in texts]
    # Each keeps two tokens: a rival is compared with the last one.
    units = shared_beginnings([text[:-2] for text in texts], SHORTEST_PART) if levels else []
    for unit, shared in units:
        rests = [texts[i][shared:] for i in unit]
        if shared:
            for i, rest in zip(unit, _divide_alike(rests, levels - 1), strict=True):
                found[i] = (texts[i][:shared], *rest)
    return found


def shared_beginnings(rows: Sequence[Tokens], least: int) -> list[tuple[list[int], int]]:
    """Return rows in units that begin with the same tokens, and how many tokens these are.

    A row that shares less than `least` tokens with others, or less than half of what these share
    with each other, stands alone, with 0.
    """
    units: list[tuple[list[int], int]] = []
    for i in sorted(range(len(rows)), key=lambda i: (rows[i], i)):
        if units:
            unit, shared = units[-1]
            common = count_alike(rows[unit[0]][: shared or None], rows[i])
            if common >= least and 2 * common > shared:
                units[-1] = [*unit, i], common
                continue
        units.append(([i], 0))
    return units


def common_parts(divided: Sequence[Parts]) -> Parts:
    """Return the shared parts that all of some prompts begin with."""
    levels = zip(*(parts[:-1] for parts in divided), strict=False)
    return tuple(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))


def count_alike(first: Sequence[object], second: Sequence[object]) -> int:
    """Return how many elements two sequences begin with in common."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))


def is_full(texts: int, tokens: int, most: int) -> bool:
    """Return whether a pass of some texts has no room for one with which it has so many tokens.

    Each of a pair has half of the threads, so a pass holds two that are long, or three: a long one
    alone is read more slowly.
    """
    return texts > 0 and tokens > (2 * most if texts < 3 else most)


@dataclass(eq=False)
class SharedPast:
    """Keys and values of the parts that prompts share, each read once while it is in memory.

    The keys of `pasts` are the parts from the first on; the latest used come last.
    """

    model: Any
    pasts: OrderedDict[Parts, Past] = field(default_factory=OrderedDict)
    steps: TimedSteps = field(default_factory=TimedSteps)

    def past(self, chain: Parts) -> Past | None:
        """Return the keys and values of all tokens of some parts; None without any."""
        return self.pasts[chain] if chain else None

    def piece(self, chain: Parts, texts: Sequence[Tokens], wanted: Sequence[int]) -> Piece:
        """Return texts that each follow some parts, as a piece of a pass.

        Of each, so many of the last rows are wanted.
        """
        before, ends = sum(map(len, chain)), np.cumsum([len(text) for text in texts])
        own = block_diag(*(np.tri(len(text), dtype=np.bool_) for text in texts))
        return Piece(
            tokens=np.concatenate([np.array(text, dtype=np.int64) for text in texts]),
            positions=np.concatenate([before + np.arange(len(text)) for text in texts]),
            sees=np.pad(own, ((0, 0), (before, 0)), constant_values=True),
            past=self.past(chain),
            past_tokens=before,
            wanted=np.concatenate([np.arange(e - n, e) for e, n in zip(ends, wanted, strict=True)]),
        )

    def read(self, chains: Sequence[Parts]) -> None:
        """Read the parts that are not in memory, those that come first before others."""
        for depth in range(1, max((len(chain) for chain in chains), default=0) + 1):
            level = dict.fromkeys(chain[:depth] for chain in chains if len(chain) >= depth)
            for chain in level.keys() & self.pasts.keys():
                self.pasts.move_to_end(chain)
            for some in self._passes([chain for chain in level if chain not in self.pasts]):
                self._read_pass(some)

    def _passes(self, chains: Sequence[Parts]) -> Iterator[list[Parts]]:
        most, tokens = limits_of(self.model.device.type).scoring_tokens, 0
        some: list[Parts] = []
        for chain in chains:
            tokens += len(chain[-1])
            if is_full(len(some), tokens, most):
                yield some
                some, tokens = [], len(chain[-1])
            some.append(chain)
        if some:
            yield some

    def _read_pass(self, chains: Sequence[Parts]) -> None:
        pack = Pack([self.piece(c[:-1], [c[-1]], [1]) for c in chains], saves_past=True)
        with self.steps.step(sum(len(chain[-1]) for chain in chains)):
            logits(self.model, pack)
        start = 0
        for chain in chains:
            stop = start + len(chain[-1])
            before = self.past(chain[:-1])
            self.pasts[chain] = {
                layer: torch.cat(
                    [*([] if before is None else [before[layer]]), read[:, :, start:stop]], dim=2
                )
                for layer, read in pack.past.items()
            }
            start = stop

    def forget_oldest(self) -> None:
        """Drop the parts that were not used for longest, beyond half the limit of memory."""
        most = limits_of(self.model.device.type).writing_bytes // 2
        sizes = {chain: sum(map(len, chain)) for chain in self.pasts}
        total = bytes_per_token(self.model) * sum(sizes.values())
        while total > most and len(self.pasts) > 1:
            chain, _ = self.pasts.popitem(last=False)
            total -= bytes_per_token(self.model) * sizes[chain]


# Most answers in memory; studies have fewer, a stream can have millions.
MAX_ANSWERS_IN_MEMORY = 100_000


@dataclass(eq=False)
class PromptedModel:
    """A causal model with what it has read and answered, earlier processes' answers in `cache`.

    Attributes:
        answers: by key, an answer's numbers and the seconds that they took.
    """

    model: Any
    template: ChatTemplate
    answers: dict[bytes, tuple[Floats, float]] = field(default_factory=dict, kw_only=True)
    cache: ResultCache | None = field(default=None, kw_only=True)

    @property
    def context(self) -> int:
        """Return the longest text, in tokens, that the model reads."""
        text = self.model.config.get_text_config()
        return int(getattr(text, "max_position_embeddings", None) or 1 << 20)

    @cached_property
    def shared(self) -> SharedPast:
        return SharedPast(self.model)

    def recall(self, keys: Sequence[bytes]) -> float:
        """Load answers that are in the cache only; return what all known ones had taken."""
        if self.cache is not None:
            self.answers.update(self.cache.get({k for k in keys if k not in self.answers}))
        return sum(self.answers[key][1] for key in dict.fromkeys(keys) if key in self.answers)

    def forget_oldest(self) -> None:
        while len(self.answers) > MAX_ANSWERS_IN_MEMORY:
            del self.answers[next(iter(self.answers))]

    def check_fits(self, length: int) -> None:
        if length > self.context:
            raise ModelError(
                f"A prompt has {length:,} tokens with its answer, and the model reads "
                f"{self.context:,} at most. Use shorter texts, shorter label descriptions, fewer "
                "demonstrations or another model."
            )


def bytes_per_token(model: Any) -> int:
    """Return the bytes of a token's keys and values."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * model.dtype.itemsize)


def pass_work(model: Any, lengths: Sequence[tuple[int, int]]) -> list[float]:
    """Return what texts of (new, past) tokens take in a pass, in new tokens without any past.

    It is a number of multiplications: those of the layers, and of attention to what a token sees.
    """
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 0
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // max(1, heads))
    layers = max(1, model.num_parameters(exclude_embeddings=True))
    seen = 2 * config.num_hidden_layers * width / layers
    return [new * (1 + seen * (past + new / 2)) for new, past in lengths]
