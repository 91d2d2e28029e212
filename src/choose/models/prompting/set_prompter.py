"""Prompts to a causal language model in this process: the log-odds of each label of a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from choose.models.causal.label_scoring import LabelTrie
from choose.models.causal.loading import load_causal
from choose.models.classical.label_set_head import Thresholds, members_of, set_answers
from choose.models.hardware.timed_steps import threads_in_use
from choose.models.prompting.local_prompter import LocalPrompts
from choose.models.prompting.prompts import NO_LABEL, PromptSettings, single_line
from choose.models.saving import floats, row_facts, rows_from, task_facts
from choose.tasks.kinds import read_task
from choose.tasks.multilabel import Multilabel
from choose.types import Answers, Example, Floats, Item

# Without calibration a set has the labels that are at least half as likely as the likeliest one.
HALF = float(np.log(2))

# Keeps log-odds finite where a label is certain.
CERTAIN = 1e-9


class SetPrompter(LocalPrompts):
    """Chooses labels by how likely each is as the first of an answer, alone or before a comma.

    The log-odds of each label lose their mean over training rows, as in batch calibration (Zhou et
    al. 2023, arXiv 2309.17249); a logistic regression with one weight for them and one for the
    label's log-odds among these rows makes probabilities, on which thresholds are chosen.

    Attributes:
        cached_seconds: what cached scores took when they were computed.
    """

    calibrates = True

    def __init__(
        self, settings: PromptSettings, task: Multilabel, shown: Sequence[Example] = ()
    ) -> None:
        template = load_causal(settings.model).template
        names = [single_line(name) for name in task.choice_names]
        whole = [(*template.content(name), template.end) for name in (*names, NO_LABEL)]
        listed = [tuple(template.content(f"{name},")) for name in names]
        self.trie = LabelTrie.of([*whole, *listed])
        super().__init__(settings, task, shown, int(self.trie.depth.max(initial=0)))
        self.choices, self.cached_seconds = task.choices, 0.0
        self.fitted: dict[str, Floats] = {}
        self.thresholds: Thresholds | None = None
        self.note = "Thresholds are not calibrated."

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the task, the demonstrations that every question shows, and the calibration."""
        never_empty = None if self.thresholds is None else self.thresholds.never_empty
        arrays = dict(self.fitted)
        if self.thresholds is not None:
            arrays["least"] = self.thresholds.least
        return {
            "task": task_facts(self.task),
            "shown": row_facts(self.rows),
            "note": self.note,
            "never_empty": never_empty,
        }, arrays

    @classmethod
    def from_state(
        cls, settings: PromptSettings, facts: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> SetPrompter:
        """Rebuild a prompter from what `state` returned.

        Raises:
            ValueError: if the task is of another kind, or an array does not fit it.
        """
        task = read_task(facts["task"])
        if not isinstance(task, Multilabel):
            raise ValueError("its task is of another kind")
        prompter = cls(settings, task, rows_from(facts["shown"]))
        prompter.note = str(facts["note"])
        if facts["never_empty"] is not None:
            count = len(task.choices)
            for name, size in (("mean", count), ("prior", count), ("weights", 3)):
                prompter.fitted[name] = floats(arrays, name, size)
            least = floats(arrays, "least", count)
            prompter.thresholds = Thresholds(least, bool(facts["never_empty"]))
        return prompter

    def calibrate(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Example]] = ()
    ) -> None:
        """Choose weights and thresholds on labelled rows, scored like test rows."""
        members = members_of(self.choices, [example.target for example in examples])
        if not self.settings.calibrate or not members.any() or members.all():
            return
        from sklearn.linear_model import LogisticRegression

        scores, _ = self._scores([example.item() for example in examples], demonstrations)
        odds = _log_odds(scores[:, :-1])
        counts = members.sum(axis=0)
        self.fitted = {
            "mean": odds.mean(axis=0),
            "prior": np.log((counts + 0.5) / (len(members) - counts + 0.5)),
        }
        features = self._features(odds)
        model = LogisticRegression().fit(features.reshape(-1, 2), members.ravel())
        self.fitted["weights"] = np.array([*model.coef_[0], model.intercept_[0]])
        self.thresholds = Thresholds.chosen(self._chances(odds), members)
        weight = self.fitted["weights"][0]
        self.note = (
            f"Labels are calibrated on {len(members)} training rows: a log-odd of the model counts "
            f"{weight:.2f}."
        )

    def answer(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]] = (), **facts: Any
    ) -> Answers:
        """Predict each item, after its own demonstrations, if any, in the order given."""
        scores, scored = self._scores(items, demonstrations)
        labels, chances = scores[:, :-1], None
        if self.thresholds is None:
            best = labels.max(axis=1, keepdims=True, initial=-np.inf)
            chosen = (labels >= best - HALF) & (best >= scores[:, -1:])
        else:
            chances = self._chances(_log_odds(labels))
            chosen = self.thresholds(chances)
        lengths = self.trie.lengths[: len(self.choices)]
        written = (chosen @ lengths).astype(np.int64)
        facts |= {"tokens_in": scored.tokens_in, "tokens_cached": scored.tokens_cached}
        facts |= {"tokens_out": np.maximum(written, 1), "latency": scored.latency}
        return set_answers(self.choices, chosen, chances, **facts)

    def facts(self) -> dict[str, Any]:
        """Return threads, number type, notes and cached seconds since this prompter was made."""
        return {
            "threads": threads_in_use(),
            "dtype": str(self.lm.model.dtype).removeprefix("torch."),
            "notes": [self.note, *self.notes()],
            "cached_seconds": self.cached_seconds,
        }

    def _scores(
        self, items: Sequence[Item], demonstrations: Sequence[Sequence[Example]]
    ) -> tuple[Floats, Any]:
        """Return (n, labels + 1) log-probabilities, the last of no label, and what they cost."""
        own = demonstrations or [()] * len(items)
        prompts = [self._build(item, rows) for item, rows in zip(items, own, strict=True)]
        scored = self.lm.score(prompts, self.trie)
        self.cached_seconds += scored.cached_seconds
        count = len(self.choices)
        alone, none = scored.logprobs[:, :count], scored.logprobs[:, count : count + 1]
        first = np.logaddexp(alone, scored.logprobs[:, count + 1 :])
        return np.hstack([first, none]), scored

    def _features(self, odds: Floats) -> Floats:
        """Return (n, labels, 2): the model's calibrated log-odds, and the label's own."""
        centred = odds - self.fitted["mean"]
        return np.stack([centred, np.broadcast_to(self.fitted["prior"], odds.shape)], axis=-1)

    def _chances(self, odds: Floats) -> Floats:
        weights = self.fitted["weights"]
        logits = self._features(odds) @ weights[:2] + weights[2]
        found: Floats = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        return found


def _log_odds(logprobs: Floats) -> Floats:
    found: Floats = logprobs - np.log1p(-np.minimum(np.exp(logprobs), 1 - CERTAIN))
    return found
