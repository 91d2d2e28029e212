"""How fast answers are generated, against `model.generate` of transformers on the same prompts.

    python benchmarks/generation.py [--dtype float32] [--quick] [--json]

Both sides read the same token ids with the same model, number type and threads, and end answers by
the same rule, in turns in one process; loading is not timed. `model.generate` gets the longest
prompts first, left padding, and the batch size that suits it best of those tried. Prompts:

    demonstrations  four demonstrations of a record that all prompts share (restaurant8k)
    passage         five questions on each passage (xquad_en)
    unshared        one question on each passage: nothing is shared but the template's opening

With `--harness` lm-evaluation-harness's `generate_until` answers the same prompts too, in a process
and an environment of its own (created on first use). It cannot hold back a newline as first token,
so it may answer with nothing where we answer.

In float32 both sides must write the same tokens. In bfloat16 the share of rows that come out
otherwise is measured: alone against in a batch, and against `model.generate`. Exits with 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile, gettempdir
from time import perf_counter, process_time
from typing import Any

from machine import environment, machine, operations

HERE = Path(__file__).resolve().parent

# Times faster than the best batch of `model.generate` that is asked for.
TARGETS = {"demonstrations": 4.0, "passage": 2.5, "unshared": 1.0}

BATCHES = (1, 4, 8, 16, 32)

# Where other programs run too, the processor's time on one thread says more than the clock.
CLOCK = perf_counter

PEAK_SHARE, PREFILLS = 0.60, (300, 600)


@dataclass(frozen=True)
class Questions:
    """Prompts of a set as (prefix that is declared as shared, rest), and the stop rule."""

    name: str
    prompts: list[tuple[tuple[int, ...], tuple[int, ...]]]
    limit: int
    until: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One set: milliseconds a question of either side, and in how many rows tokens differ."""

    name: str
    tokens: float
    written: float
    ours_ms: float
    peer_ms: dict[int, float]
    differ: float
    differ_alone: float
    harness_ms: dict[int, float] | None = None
    harness_differ: float | None = None

    @property
    def best(self) -> int:
        """Return the batch size that suits the peer best."""
        return min(self.peer_ms, key=lambda size: self.peer_ms[size])

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is than the peer's best batch."""
        return self.peer_ms[self.best] / self.ours_ms

    @property
    def harness(self) -> tuple[int, float, float]:
        """Return the batch size that suits the harness best, its milliseconds, and our ratio."""
        times = self.harness_ms or {}
        best = min(times, key=lambda size: times[size])
        return best, times[best], times[best] / self.ours_ms


class Batches:
    """`model.generate` on left-padded batches under a stop rule."""

    def __init__(self, generator: Any, rule: Any) -> None:
        self.generator, self.rule, self.read = generator, rule, 0

    def write(self, prompts: list[list[int]], size: int) -> list[list[int]]:
        """Return the new tokens of each prompt."""
        order = sorted(range(len(prompts)), key=lambda n: -len(prompts[n]))
        written: dict[int, list[int]] = {}
        for start in range(0, len(order), size):
            some = order[start : start + size]
            written |= dict(zip(some, self._batch([prompts[n] for n in some]), strict=True))
        return [written[n] for n in range(len(prompts))]

    def _batch(self, prompts: list[list[int]]) -> list[list[int]]:
        import torch
        from transformers import GenerationConfig

        ends = self.generator.ends
        self.read = max(map(len, prompts))
        ids = torch.tensor([[min(ends)] * (self.read - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (self.read - len(p)) + [1] * len(p) for p in prompts])
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.rule.limit,
            eos_token_id=sorted(ends),
            pad_token_id=min(ends),
        )
        with torch.inference_mode():
            output = self.generator.model.generate(
                ids,
                attention_mask=mask,
                generation_config=config,
                logits_processor=[self._suppress],
                stopping_criteria=[self._complete],
            )
        return [self._cut(row) for row in output[:, self.read :].tolist()]

    def _suppress(self, ids: Any, scores: Any) -> Any:
        words = self.generator.words
        for row, written in enumerate(ids[:, self.read :].tolist()):
            if not any(words[token].strip() for token in written):
                while not self.rule.may_begin(words[int(scores[row].argmax())]):
                    scores[row, int(scores[row].argmax())] = -float("inf")
        return scores

    def _complete(self, ids: Any, scores: Any, **more: Any) -> Any:
        import torch

        return torch.tensor([self._ended(row) for row in ids[:, self.read :].tolist()])

    def _ended(self, tokens: list[int]) -> bool:
        words = self.generator.words
        return self.rule.may_end(words[tokens[-1]]) and (
            self.rule.end_of(words.decode(tokens)) is not None
        )

    def _cut(self, tokens: list[int]) -> list[int]:
        """Return the tokens up to the end, without those that fill the batch."""
        for count in range(1, len(tokens) + 1):
            if tokens[count - 1] in self.generator.ends or self._ended(tokens[:count]):
                return tokens[:count]
        return tokens


def compare(generator: Any, asked: Questions, peers: int, turns: int, batches: Any) -> Compared:
    """Time both sides in turns, and return the medians."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.stop_rules import StopRule

    rule: Any = StopRule(asked.limit, asked.until)  # type: ignore[arg-type]
    prompts = [Prompt(*parts) for parts in asked.prompts]
    flat = [[*p.prefix, *p.rest] for p in prompts[:peers]]
    peer, other, together = Batches(generator, rule), replace(rule, limit=3), list[list[int]]()
    ours_ms, peer_ms, theirs = [], {size: list[float]() for size in batches}, list[list[int]]()
    for _ in range(turns):
        generator.write(prompts[-2:], other)  # warm up
        _forget(generator)
        start = CLOCK()
        written = generator.write(prompts, rule)
        ours_ms.append(1000 * (CLOCK() - start) / len(prompts))
        together = _tokens(generator, prompts, rule)
        for size in batches:
            start = CLOCK()
            theirs = peer.write(flat, size)
            peer_ms[size].append(1000 * (CLOCK() - start) / len(flat))
    alone = []
    for prompt in prompts[:peers]:
        _forget(generator)
        generator.write([prompt], rule)
        alone += _tokens(generator, [prompt], rule)
    return Compared(
        name=asked.name,
        tokens=float(written.tokens_in.mean()),
        written=float(written.tokens_out.mean()),
        ours_ms=median(ours_ms),
        peer_ms={size: median(times) for size, times in peer_ms.items()},
        differ=_share(theirs, together),
        differ_alone=_share(alone, together),
    )


def harness(choice: Any, model: str, generator: Any, asked: Questions, batches: Any) -> Any:
    """Return milliseconds a question of `generate_until` by batch size, and rows that differ."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.stop_rules import StopRule
    from label_scoring import python

    rule: Any = StopRule(asked.limit, asked.until)  # type: ignore[arg-type]
    ids = [[*prefix, *rest] for prefix, rest in asked.prompts[: choice.peer_rows]]
    end = {"line": "\n", "record": "}"}[asked.until]
    job = {"model": model, "dtype": choice.dtype, "threads": choice.threads, "batches": batches,
           "prompts": [generator.words.decode(row) for row in ids], "until": [end],
           "limit": asked.limit}  # fmt: skip
    with NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(job, file)
        file.flush()
        command = [python(choice.peers), HERE / "scoring_peer.py", file.name]
        given = environment("peer", choice.threads)
        done = subprocess.run(command, env=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the harness failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found["ids"] != ids:
        sys.exit("the harness reads other tokens")
    prompts = [Prompt(*parts) for parts in asked.prompts[: len(ids)]]
    generator.write(prompts, rule)
    ours = _tokens(generator, prompts, rule)
    texts = [generator.words.decode([t for t in row if t not in generator.ends]) for row in ours]
    times = {int(size): 1000 * s / len(ids) for size, s in found["seconds"].items()}
    return times, _share([_until(t, end) for t in found["texts"]], [_until(t, end) for t in texts])


def _until(text: str, end: str) -> str:
    return text.split(end)[0].strip()


def _share(some: list[Any], others: list[Any]) -> float:
    return sum(a != b for a, b in zip(some, others, strict=False)) / len(some)


def _forget(generator: Any) -> None:
    generator.answers.clear()
    generator.shared.pasts.clear()


def _tokens(generator: Any, prompts: Any, rule: Any) -> list[list[int]]:
    from choose.engines.causal.stop_rules import prompt_key

    found = [generator.answers[prompt_key(prompt, rule)][0] for prompt in prompts]
    return [[int(token) for token in row[4:]] for row in found]


def prefill_rates(generator: Any, prompts: Any) -> dict[int, float]:
    """Return GFLOP/s of reading prompts that share nothing, by length, as torch counts them."""
    from choose.engines.causal.chat_template import Prompt
    from choose.engines.causal.stop_rules import StopRule

    words, rates = [token for _, rest in prompts for token in rest], {}
    for length in PREFILLS:
        found = []
        for turn in range(5):
            first = turn * 97 % max(1, len(words) - 4 * length)
            asked = [Prompt((), tuple(words[first + n * length :][:length])) for n in range(4)]
            _forget(generator)
            start = CLOCK()
            generator.write(asked, StopRule(1))
            seconds = CLOCK() - start
            _forget(generator)
            done = operations(lambda asked=asked: generator.write(asked, StopRule(1)))  # type: ignore[misc]
            found.append(done / seconds / 1e9)
        rates[length] = median(found[1:])
    return rates


def questions(data: Path, template: Any, rows: int) -> list[Questions]:
    """Return the three sets of prompts."""
    from choose.engines.causal.chat_template import Prompt

    rng, records = random.Random(0), _lines(data / "restaurant8k" / "train.jsonl")
    rng.shuffle(records)
    told = (
        "system",
        "Read the text into a record: a JSON object with the fields area, date, first_name, "
        "last_name, people and time. Leave out what the text does not say.",
    )
    chat = [told]
    for row in [row for row in records if len(row["target"]) > 1][:4]:
        answer = json.dumps(row["target"], sort_keys=True, ensure_ascii=False)
        chat += [("user", f"Text: {row['text']}\nRecord:"), ("assistant", answer)]
    shots = [
        template.prompt([*chat, ("user", f"Text: {row['text']}\nRecord:")], len(chat))
        for row in records[-rows:]
    ]
    passages = {row["id"]: row["text"] for row in _lines(data / "xquad_en" / "passages.jsonl")}
    by_passage: dict[str, list[str]] = {}
    for row in _lines(data / "xquad_en" / "questions.jsonl"):
        by_passage.setdefault(row["evidence"][0], []).append(row["question"])
    five = [(passages[name], q) for name, some in by_passage.items() if len(some) >= 5
            for q in some[:5]]  # fmt: skip
    one = [(passages[name], some[0]) for name, some in by_passage.items()]

    def read(pairs: list[tuple[str, str]]) -> list[Any]:
        asked = [f"{passage}\n\nQuestion: {question}\nAnswer:" for passage, question in pairs]
        whole = [template.prompt([("user", text)], 0) for text in asked]
        return [Prompt((), (*prompt.prefix, *prompt.rest)) for prompt in whole]

    sets = (("demonstrations", shots, 40, "record"), ("passage", read(five[:rows]), 16, "line"),
            ("unshared", read(one[:rows]), 16, "line"))  # fmt: skip
    return [Questions(name, [tuple(p) for p in found], limit, until)
            for name, found, limit, until in sets]  # fmt: skip


def _lines(path: Path) -> list[Any]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rows", type=int, default=100, help="questions of each set")
    parser.add_argument("--peer-rows", type=int, default=32, help="of them for model.generate")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one turn, two batch sizes, few rows")
    parser.add_argument("--batches", default="", help="batch sizes to try, such as 8,16")
    parser.add_argument("--cpu-time", action="store_true", help="processor's time, one thread")
    parser.add_argument("--harness", action="store_true", help="time lm-evaluation-harness too")
    parser.add_argument("--peers", type=Path, default=Path(gettempdir()) / "choose-peers")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    global CLOCK
    choice = options()
    if choice.cpu_time:
        CLOCK, choice.threads = process_time, 1
    os.environ |= {"CHOOSE_DTYPE": choice.dtype, "CHOOSE_THREADS": str(choice.threads)}
    from choose.engines.causal.loading import load_generator
    from choose.engines.weights.resolve import resolve
    from choose.engines.weights.spec import DEFAULT_LM
    from scoring_choose import peak_of_products

    if choice.quick:
        choice.rows, choice.peer_rows, choice.turns = 40, 16, 1
    batches = (1, 16) if choice.quick else BATCHES
    batches = tuple(int(size) for size in choice.batches.split(",") if size) or batches
    generator = load_generator(DEFAULT_LM)
    asked = questions(choice.data, generator.template, choice.rows)
    rows = [compare(generator, one, choice.peer_rows, choice.turns, batches) for one in asked]
    if choice.harness:
        model = str(resolve(DEFAULT_LM))
        others = [harness(choice, model, generator, one, batches) for one in asked]
        rows = [replace(r, harness_ms=ms, harness_differ=differ)
                for r, (ms, differ) in zip(rows, others, strict=True)]  # fmt: skip
    peak = peak_of_products(choice.dtype)
    rates = prefill_rates(generator, asked[2].prompts)
    peak = max(peak, peak_of_products(choice.dtype))
    missed = [f"{r.name}: {r.ratio:.1f}x" for r in rows if r.ratio < TARGETS[r.name]]
    missed += [f"prefill {n}: {v / peak:.0%}" for n, v in rates.items() if v < PEAK_SHARE * peak]
    if choice.dtype == "float32":
        missed += [f"{r.name}: other tokens" for r in rows if r.differ or r.differ_alone]
    if choice.json:
        found = {"machine": machine(choice.threads), "dtype": choice.dtype, "peak": peak,
                 "prefill": rates, "sets": [{**asdict(r), "ratio": r.ratio} for r in rows],
                 "missed": missed}  # fmt: skip
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(_report(choice, rows, rates, peak, missed)))
    return int(bool(missed))


def _report(choice: Any, rows: Any, rates: Any, peak: float, missed: list[str]) -> list[str]:
    lines = [
        f"Generation against model.generate, {choice.dtype}, {machine(choice.threads)}.",
        f"Medians of {choice.turns} turns; milliseconds "
        f"{'of processor time ' if choice.cpu_time else ''}a question. Batches tried: "
        f"{', '.join(map(str, rows[0].peer_ms))}.",
        "",
        f"{'set':15} {'in':>5} {'out':>5} {'choose':>8} {'peer':>8} {'batch':>5} "
        f"{'ratio':>6} {'asked':>6} {'rows that differ':>16} {'alone':>6}",
    ]
    lines += [
        f"{r.name:15} {r.tokens:5.0f} {r.written:5.1f} {r.ours_ms:8.1f} {r.peer_ms[r.best]:8.1f} "
        f"{r.best:5} {r.ratio:5.1f}x {TARGETS[r.name]:5.1f}x "
        f"{r.differ:16.0%} {r.differ_alone:6.0%}"
        for r in rows
    ]
    lines += ["", *(f"lm-evaluation-harness, {r.name}: {r.harness[1]:.1f} ms at batch "
                    f"{r.harness[0]}, {r.harness[2]:.1f}x ours; other answers in "
                    f"{r.harness_differ:.0%} of rows." for r in rows if r.harness_ms)]  # fmt: skip
    lines += ["", f"Matrix products: {peak:.0f} GFLOP/s at best."]
    lines += [
        f"Reading prompts of {length} tokens: {rate:.0f} GFLOP/s, {rate / peak:.0%} of that; "
        f"{PEAK_SHARE:.0%} asked."
        for length, rate in rates.items()
    ]
    return [*lines, "", f"Missed: {'; '.join(missed)}." if missed else "All targets met."]


if __name__ == "__main__":
    sys.exit(main())
