"""What prompting strategies share: where the model runs, and a base class for strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from choose.engines.causal.stop_rules import limit_for
from choose.engines.weights.spec import DEFAULT_LM, endpoint_name
from choose.models.endpoints.handshake import AnswerFormat, label_format, record_format, set_format
from choose.models.endpoints.request_session import model_digest
from choose.models.prompting.endpoint_prompter import EndpointPrompter
from choose.models.prompting.local_prompter import LocalPrompter, SetPrompter
from choose.models.prompting.prompts import (
    PromptSettings,
    chat_messages,
    field_types,
    numeric_labels,
    prompt_preview,
    single_line,
    wording_of,
)
from choose.models.saving import read_fitted, rows_from, write_fitted
from choose.tasks.kinds import read_task
from choose.tasks.multilabel import Multilabel
from choose.types import Example, Task

if TYPE_CHECKING:
    # It loads torch.
    from choose.models.prompting.local_writer import LocalWriter

    Prompter: TypeAlias = EndpointPrompter | LocalPrompter | SetPrompter | LocalWriter

# Tokens of an answer, where no labelled row shows how long they are.
UNKNOWN_LENGTH = 512


def prompter_for(
    settings: PromptSettings,
    task: Task,
    pool: Sequence[Example],
    shown: Sequence[Example] = (),
) -> Prompter:
    """Return a prompter in this process or for an endpoint, as the model's spec says.

    It scores labels, or writes answers up to the length of those in the pool.
    """
    if endpoint_name(settings.model) is not None:
        return _endpoint_prompter(settings, task, pool, shown)
    if isinstance(task, Multilabel):
        return SetPrompter(settings, task, shown)
    if not task.labels:
        from choose.models.prompting.local_writer import LocalWriter

        return LocalWriter.for_pool(settings, task, shown, pool)
    return LocalPrompter(settings, task, shown)


def _endpoint_prompter(
    settings: PromptSettings,
    task: Task,
    pool: Sequence[Example] = (),
    shown: Sequence[Example] = (),
) -> EndpointPrompter:
    wording = wording_of(task, settings.wording, True, settings.template)
    return EndpointPrompter(
        settings.model,
        task,
        shown,
        messages=lambda accepts, turns: chat_messages(task, wording, accepts, turns),
        max_tokens=settings.max_tokens,
        answer=answer_format(task, pool),
    )


def answer_format(task: Task, pool: Sequence[Example]) -> AnswerFormat:
    """Return the format of labels, or of records or texts as long as those of the pool."""
    # No tokeniser of the model is at hand; two bytes a token are on the safe side.
    longest = limit_for([len(row.target.encode("utf-8", "replace")) for row in pool], inf) // 2
    limit = 48 + longest if pool else UNKNOWN_LENGTH
    if task.labels:
        return label_format([single_line(name) for name in task.names])
    if isinstance(task, Multilabel):
        return set_format([single_line(name) for name in task.choice_names])
    if fields := field_types(task):
        return record_format(fields, limit)
    return AnswerFormat(None, limit)


@dataclass(kw_only=True, eq=False)
class PromptedStrategy:
    """Base of strategies that put each test row to a language model; `fit` sets `prompter`."""

    learns: ClassVar[bool] = True
    seeded: ClassVar[bool] = False
    cheap: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = (
        "classification",
        "multilabel",
        "extraction",
        "writing",
        "answering",
    )

    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "categories wording": {"wording": "categories"},
        "bare wording": {"wording": "bare"},
    }
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"max_tokens": (1, 1_000_000)}

    seed: int
    model: str = DEFAULT_LM
    wording: str = "labels"
    calibrate: bool = True
    max_tokens: int = 256
    template: str = field(default="", init=False)
    prompter: Prompter = field(init=False, repr=False)

    def weights(self) -> str:
        return model_digest(self.model)

    def refuses(self, task: Task) -> str | None:
        return numeric_labels(task)

    def prompt(self, task: Task) -> str:
        as_json = endpoint_name(self.model) is not None
        wording = wording_of(task, self.wording, as_json, self.template)
        return prompt_preview(task, wording, self._demonstrations_note(task))

    def prepare(self) -> None:
        if endpoint_name(self.model) is None:
            from choose.engines.causal.loading import load_causal

            load_causal(self.model)

    def check(self, task: Task) -> None:
        """Send the endpoint one request without a row of the data; do nothing for a local model."""
        if endpoint_name(self.model) is not None:
            _endpoint_prompter(self._prompt_settings(), task).connect()

    def facts(self) -> Mapping[str, Any]:
        return self.prompter.facts()

    def save(self, folder: Path) -> None:
        write_fitted(folder, self, *self.prompter.state())

    def load(self, folder: Path) -> None:
        self._restore(*read_fitted(folder, self))

    def _restore(self, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        from choose.models.prompting.local_writer import LocalWriter

        settings, shown = self._prompt_settings(), rows_from(facts["shown"])
        task = read_task(facts["task"])
        prompter: LocalPrompter | SetPrompter | LocalWriter
        if isinstance(task, Multilabel):
            prompter = SetPrompter(settings, task, shown)
        elif task.labels:
            prompter = LocalPrompter(settings, task, shown)
        else:
            prompter = LocalWriter(settings, task, shown, int(facts["limit"]), facts["lists"])
        prompter.restore(facts, arrays)
        self.prompter, self.labels = prompter, task.labels

    def _prompt_settings(self) -> PromptSettings:
        return PromptSettings(
            model=self.model,
            wording=self.wording,
            calibrate=self.calibrate,
            max_tokens=self.max_tokens,
            template=self.template,
        )

    def _demonstrations_note(self, task: Task) -> str:
        return ""
