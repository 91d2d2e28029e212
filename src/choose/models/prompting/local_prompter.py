"""Prompts to a causal language model in this process: labels and sets of labels, calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from choose.engines.causal.chat_template import CHARACTERS_PER_TOKEN, Prompt
from choose.engines.hardware.timed_steps import threads_in_use
from choose.models.prompting.prompts import (
    NO_LABEL,
    PromptSettings,
    Turn,
    lines_of,
    opening_messages,
    single_line,
    turn_messages,
    wording_of,
)
from choose.models.retrieval.reading import in_order
from choose.models.saving import row_facts
from choose.models.tfidf_and_logistic import Thresholds, members_of, set_answers
from choose.progress import decided_in_time, seconds_to_aim
from choose.tasks.answering import READ
from choose.tasks.multilabel import Multilabel, names_of
from choose.types import Answers, Example, Floats, Item, Task

if TYPE_CHECKING:
    from choose.engines.causal.label_scoring import LabelTrie, ScoredPrompts

# Tokens by which parts that are laid out together may exceed their sum.
SEAMS = 4


class LocalPrompts:
    """Lays out prompts with a fixed set of demonstrations; cuts what does not fit the model.

    Attributes:
        reserve: tokens that are kept for the answer.
        rows, shown: the demonstrations that every prompt shows.
        left_out: demonstrations that did not fit the model's context.
        fitting: the fewest demonstrations that fitted; None if all did.
        cut_ids: rows whose text was cut to `max_tokens`.
        shortened_ids: rows whose text was cut further to fit the context.
        cached_seconds: what cached work took when it was done.
    """

    def __init__(
        self, settings: PromptSettings, task: Task, shown: Sequence[Example], reserve: int
    ) -> None:
        from choose.engines.causal.loading import load_causal

        self.settings, self.task, self.reserve = settings, task, reserve
        self.lm = load_causal(settings.model)
        self.wording = wording_of(task, settings.wording, template=settings.template)
        self.opening = opening_messages(task, self.wording, self.lm.template.system)
        self.cut_ids: set[str] = set()
        self.shortened_ids: set[str] = set()
        self.left_out, self.note, self.cached_seconds = 0, "", 0.0
        self.fitting: int | None = None
        self.rows = list(shown)
        self.shown = [self._turn(example) for example in shown]
        while self.shown and self._length(self._prompt(self.shown, Turn(""), len(self.shown))) > (
            self.lm.context - settings.max_tokens
        ):
            self.shown.pop()
            self._leave_out(len(self.shown))

    @property
    def engine(self) -> Any:
        return self.lm

    def facts(self) -> dict[str, Any]:
        return {
            "threads": threads_in_use(),
            "dtype": str(self.lm.model.dtype).removeprefix("torch."),
            "notes": [self.note, *self.notes(), *self.engine.notes()],
            "cached_seconds": self.cached_seconds,
        }

    def notes(self) -> Iterator[str]:
        if self.cut_ids:
            yield f"Texts cut to {self.settings.max_tokens} tokens: {len(self.cut_ids)}."
        if self.shortened_ids:
            yield (
                "Texts cut to what the rest of their prompt leaves of the "
                f"{self.lm.context:,} tokens that the model reads: {len(self.shortened_ids)}."
            )
        if self.left_out:
            yield (
                f"{self.left_out} demonstrations did not fit the model and were left out; "
                f"{self.fitting} fitted where there was least room."
            )

    def room(self, item: Item) -> int:
        asked = self._turn(item)
        room = self._room - self.tokens(asked.text)
        for name, value in asked.fields:
            room -= self.tokens(f"{name}: {value}") + SEAMS
        return max(0, min(self.settings.max_tokens, room))

    def tokens(self, text: str) -> int:
        return len(self.lm.template.content(self._tidy(text)))

    def beginning(self, text: str, limit: int) -> str:
        return self.lm.template.cut(self._tidy(text), limit)[0]

    @cached_property
    def _room(self) -> int:
        """How many tokens a question and a field may have together."""
        empty = Turn("", fields=((READ, ""),))
        used = self._length(self._prompt(self.shown, empty, len(self.shown)))
        return self.lm.context - used - SEAMS

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return facts and arrays for an export: the task, demonstrations, and what was chosen."""
        return {"task": self.task.facts(), "shown": row_facts(self.rows), "note": self.note}, {}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self.note = str(facts["note"])

    def _prompts(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]]
    ) -> list[Prompt]:
        own = demonstrations or [()] * len(items)
        return [self._build(item, rows) for item, rows in zip(items, own, strict=True)]

    def _build(self, item: Item, rows: Sequence[Example]) -> Prompt:
        own = [self._turn(row) for row in rows]
        question = self._turn(item)
        prompt = self._prompt([*self.shown, *own], question, len(self.shown))
        while own and self._length(prompt) > self.lm.context:
            own.pop(0)  # the least similar row
            self._leave_out(len(self.shown) + len(own))
            prompt = self._prompt([*self.shown, *own], question, len(self.shown))
        room = len(self.lm.template.content(question.text))
        while (excess := self._length(prompt) - self.lm.context) > 0 and room > excess:
            room -= excess
            short, _ = self.lm.template.cut(question.text, room)
            prompt = self._prompt(self.shown, question._replace(text=short), len(self.shown))
            self.shortened_ids.add(item.id)
        return prompt

    def _turn(self, row: Example | Item) -> Turn:
        limit = self.settings.max_tokens
        # A token covers a few characters at most, so a longer text need not be tokenized whole.
        most, parts = limit * CHARACTERS_PER_TOKEN, []
        for part in (row.text, *row.fields.values()):
            whole = self._tidy(part)
            text, cut = self.lm.template.cut(whole[:most], limit)
            parts.append(text)
            if cut or len(whole) > most:
                self.cut_ids.add(row.id)
        answer = None if isinstance(row, Item) else self._target(row)
        return Turn(parts[0], answer, tuple(zip(row.fields, parts[1:], strict=True)))

    def _target(self, row: Example) -> str:
        if self.task.labels:
            return single_line(self.task.names[self.task.labels.index(row.target)])
        if isinstance(self.task, Multilabel):
            names = names_of(self.task, row.target)
            return ", ".join(single_line(name) for name in names) or NO_LABEL
        return self._tidy(row.target)

    def _tidy(self, text: str) -> str:
        """Return a text that cannot imitate the layout: blank lines part the turns of a base model.

        A chat's turns are separated by marks, so texts may have lines; labels are for short texts.
        """
        keeps_lines = self.lm.template.chat and not self.task.labels
        return lines_of(text) if keeps_lines else single_line(text)

    def _leave_out(self, fitting: int) -> None:
        self.left_out += 1
        self.fitting = fitting if self.fitting is None else min(self.fitting, fitting)

    def _prompt(self, turns: Sequence[Turn], question: Turn, shared: int) -> Prompt:
        chat = list(self.opening)
        for turn in (*turns, question):
            chat.extend(turn_messages(self.wording, turn))
        return self.lm.template.prompt(chat, len(self.opening) + 2 * shared)

    def _length(self, prompt: Prompt) -> int:
        return len(prompt.prefix) + len(prompt.rest) + self.reserve


# Rows to calibrate on at most and at least, and how many of them tell what the others take.
CALIBRATION_ROWS, FEWEST_CALIBRATED, FIRST_CALIBRATED = 64, 4, 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """A shift of label scores (labels,), estimated once and frozen, and what was chosen and why.

    After Zhou et al. 2023, arXiv 2309.17249.
    """

    shift: Floats
    note: str

    def __call__(self, logprobs: Floats) -> Floats:
        shifted = logprobs - self.shift
        top = shifted.max(axis=1, keepdims=True, initial=-np.inf)
        return shifted - top - np.log(np.exp(shifted - top).sum(axis=1, keepdims=True))


def calibration_rows(examples: Sequence[Example]) -> list[Example]:
    """Return the first rows by their ids, so that overlapping pools choose the same."""
    return in_order(examples)[:CALIBRATION_ROWS]


class LabelPrompts(LocalPrompts):
    """Prompts after which the answers of a trie are scored."""

    trie: LabelTrie

    def score(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> ScoredPrompts:
        """Return the uncalibrated log-probabilities of the answers to each item."""
        scored = self.lm.score(self._prompts(items, demonstrations), self.trie)
        self.cached_seconds += scored.cached_seconds
        return scored

    def _scored_in_time(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]]
    ) -> Floats:
        """Return (n, answers) log-probabilities of as many rows as the time allows, or of none."""
        # What is cached counts with the seconds that it took: the rows after it may not be.
        start, done = perf_counter() + self.cached_seconds, 0
        few, fewest = (min(n, len(examples)) for n in (FIRST_CALIBRATED, FEWEST_CALIBRATED))
        more = int(decided_in_time("first rows to calibrate on", few * (seconds_to_aim() > 0), few))
        parts = list[Floats]()
        while more:
            items = [row.item() for row in examples[done : done + more]]
            parts.append(self.score(items, demonstrations[done : done + more]).logprobs)
            done += more
            each = (perf_counter() + self.cached_seconds - start) / done
            most = min(len(examples), done + seconds_to_aim() / max(each, 1e-9))
            most = most if most >= fewest else done
            more = int(decided_in_time("rows to calibrate on", int(most), len(examples))) - done
        enough = done >= fewest > 0
        return np.concatenate(parts) if enough else np.zeros((0, len(self.trie.lengths)))


def fit_calibration(logprobs: Floats, targets: Sequence[int]) -> Calibration:
    """Shift by the mean of (n, labels) log-probabilities if that gets as many rows right.

    The shift assumes labels of similar frequency, which is why it is tested.
    """
    neutral = np.zeros(logprobs.shape[1])
    if not len(logprobs):
        return Calibration(neutral, "There were too few rows to calibrate on, or too little time.")
    mean: Floats = logprobs.mean(axis=0)
    truth = np.asarray(targets)
    raw = int((logprobs.argmax(axis=1) == truth).sum())
    shifted = int(((logprobs - mean).argmax(axis=1) == truth).sum())
    figures = f"{shifted} of {len(truth)} training rows correct with it, {raw} without"
    if shifted >= raw:
        return Calibration(mean, f"Batch calibration is on: {figures}.")
    return Calibration(neutral, f"Batch calibration is off: {figures}.")


class LocalPrompter(LabelPrompts):
    """Predicts the labels of a task with a local model and a fixed set of demonstrations."""

    def __init__(self, settings: PromptSettings, task: Task, shown: Sequence[Example] = ()) -> None:
        from choose.engines.causal.label_scoring import LabelTrie
        from choose.engines.causal.loading import load_causal

        template = load_causal(settings.model).template
        names = [template.content(single_line(name)) for name in task.names]
        self.trie = LabelTrie.build(names, template.end)
        super().__init__(settings, task, shown, int(self.trie.depth.max(initial=0)))
        off = "Batch calibration is switched off."
        self.calibration = Calibration(np.zeros(len(task.labels)), off)
        self.note = self.calibration.note

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return super().state()[0], {"shift": self.calibration.shift}

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super().restore(facts, arrays)
        self.calibration = Calibration(arrays["shift"], self.note)

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        if not self.settings.calibrate:
            return
        logprobs = self._scored_in_time(examples, demonstrations)
        targets = [self.task.labels.index(row.target) for row in examples[: len(logprobs)]]
        self.calibration = fit_calibration(logprobs, targets)
        self.note = self.calibration.note

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        scored = self.score(items, demonstrations)
        scores = self.calibration(scored.logprobs)
        return Answers.from_scores(
            self.task.labels,
            scores,
            tokens_in=scored.tokens_in,
            tokens_cached=scored.tokens_cached,
            tokens_out=self.trie.lengths[scores.argmax(axis=1)],
            latency=scored.latency,
            **facts,
        )


# Without calibration a set has the labels that are at least half as likely as the likeliest one.
HALF = float(np.log(2))

# Keeps log-odds finite where a label is certain.
CERTAIN = 1e-9


class SetPrompter(LabelPrompts):
    """Chooses labels by how likely each is as the first of an answer, alone or before a comma.

    The log-odds of each label lose their mean over training rows, as in batch calibration (Zhou et
    al. 2023, arXiv 2309.17249); a logistic regression with one weight for them and one for the
    label's log-odds among these rows makes probabilities, on which thresholds are chosen.
    """

    def __init__(
        self, settings: PromptSettings, task: Multilabel, shown: Sequence[Example] = ()
    ) -> None:
        from choose.engines.causal.label_scoring import LabelTrie
        from choose.engines.causal.loading import load_causal

        template = load_causal(settings.model).template
        names = [single_line(name) for name in task.choice_names]
        whole = [(*template.content(name), template.end) for name in (*names, NO_LABEL)]
        self.trie = LabelTrie.of([*whole, *(tuple(template.content(f"{name},")) for name in names)])
        super().__init__(settings, task, shown, int(self.trie.depth.max(initial=0)))
        self.choices = task.choices
        self.fitted: dict[str, Floats] = {}
        self.thresholds: Thresholds | None = None
        self.note = "Thresholds are not calibrated."

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        never_empty = None if self.thresholds is None else self.thresholds.never_empty
        arrays = dict(self.fitted)
        if self.thresholds is not None:
            arrays["least"] = self.thresholds.least
        return {**super().state()[0], "never_empty": never_empty}, arrays

    def restore(self, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super().restore(facts, arrays)
        if facts["never_empty"] is not None:
            self.fitted = {name: arrays[name] for name in ("mean", "prior", "weights")}
            self.thresholds = Thresholds(arrays["least"], bool(facts["never_empty"]))

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        members = members_of(self.choices, [example.target for example in examples])
        if not self.settings.calibrate or not members.any() or members.all():
            return
        from sklearn.linear_model import LogisticRegression

        odds = _log_odds(self._first(self._scored_in_time(examples, demonstrations))[:, :-1])
        members = members[: len(odds)]
        if not members.any() or members.all():  # of the few rows that there was time for
            return
        counts = members.sum(axis=0)
        self.fitted = {
            "mean": odds.mean(axis=0),
            "prior": np.log((counts + 0.5) / (len(members) - counts + 0.5)),
        }
        model = LogisticRegression().fit(self._features(odds).reshape(-1, 2), members.ravel())
        self.fitted["weights"] = np.array([*model.coef_[0], model.intercept_[0]])
        self.thresholds = Thresholds.chosen(self._chances(odds), members)
        self.note = (
            f"Labels are calibrated on {len(members)} training rows: a log-odd of the model counts "
            f"{self.fitted['weights'][0]:.2f}."
        )

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        scored = self.score(items, demonstrations)
        scores = self._first(scored.logprobs)
        labels, chances = scores[:, :-1], None
        if self.thresholds is None:
            best = labels.max(axis=1, keepdims=True, initial=-np.inf)
            chosen = (labels >= best - HALF) & (best >= scores[:, -1:])
        else:
            chances = self._chances(_log_odds(labels))
            chosen = self.thresholds(chances)
        written = (chosen @ self.trie.lengths[: len(self.choices)]).astype(np.int64)
        facts |= {"tokens_in": scored.tokens_in, "tokens_cached": scored.tokens_cached}
        facts |= {"tokens_out": np.maximum(written, 1), "latency": scored.latency}
        return set_answers(self.choices, chosen, chances, **facts)

    def _first(self, logprobs: Floats) -> Floats:
        """Return (n, labels + 1) log-probabilities of each as the first label, the last of none."""
        count = len(self.choices)
        alone, none = logprobs[:, :count], logprobs[:, count : count + 1]
        return np.hstack([np.logaddexp(alone, logprobs[:, count + 1 :]), none])

    def _features(self, odds: Floats) -> Floats:
        """Return (n, labels, 2): the model's calibrated log-odds, and the label's own."""
        centred = odds - self.fitted["mean"]
        return np.stack([centred, np.broadcast_to(self.fitted["prior"], odds.shape)], axis=-1)

    def _chances(self, odds: Floats) -> Floats:
        weights = self.fitted["weights"]
        logits = self._features(odds) @ weights[:2] + weights[2]
        return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def _log_odds(logprobs: Floats) -> Floats:
    return logprobs - np.log1p(-np.minimum(np.exp(logprobs), 1 - CERTAIN))
