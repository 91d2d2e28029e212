"""Fit a candidate and write it to a folder, atomically, with its model card."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from itertools import accumulate
from pathlib import Path

from choose.data.scenarios import to_learn_from
from choose.data.stratify import sampling_order
from choose.engines.weights.spec import endpoint_name
from choose.errors import StoreError, StrategyError, StudyError, did_you_mean
from choose.export.exported_model import (
    MANIFEST_FILE,
    MODEL_FOLDER,
    Manifest,
    Router,
    confidences,
    digests_of,
    load_strategy,
)
from choose.files import explained_errors, temporary_name, write_json, write_text
from choose.formatting import clean, listed, percent, plural, span
from choose.judge.evidence import GIVEN
from choose.progress import as_decided
from choose.report.markdown import code, sentence
from choose.report.words import covered_by, headline, takeover, words_in
from choose.run.predict_test_rows import predict
from choose.run.trial import versions
from choose.schema.decision import Decision
from choose.store.store import Store
from choose.strategy import Prepares, Saves, Strategy, Weighted, available, build, find
from choose.tasks.kinds import USUAL
from choose.types import CLEAN, STANDARD, Example, Item, Task, Trial

WHY = {
    "recommended": "The study recommends it.",
    "meanwhile": "The study recommends no candidate yet; this is the one to use for now.",
    "named": "It was chosen by name when it was exported.",
}

# What a model does, by kind of task.
DOES = {
    "classification": "Classifies a text into one of {labels} labels, even if none fits: use "
    "`--min-confidence` to make it abstain.",
    "multilabel": "Gives each text the labels that apply.",
    "extraction": "Writes a record of each text.",
    "ranking": "Ranks documents for a question.",
}


def model_card(
    decision: Decision, about: Manifest, *, packages: Sequence[str], inside: int, folder: str
) -> str:
    """Return the card as Markdown; text from data is escaped."""
    name, data = sentence(about.candidate), sentence(about.dataset)
    does = DOES.get(about.task.kind, "Writes a text.").format(labels=len(about.task.labels))
    taught = f" Its labels are the answers of {sentence(about.teacher)}." * bool(about.teacher)
    params = "".join(f"- {sentence(k)}: {sentence(v)}\n" for k, v in about.params.items())
    return f"""# {name} for {data}

{does} Fitted by `choose export` on all {plural(about.rows, "labelled row")} of {data}. \
{WHY[about.why]}{taught}

## Evaluation

{_evaluation(decision, about)}

The answer of the study: {sentence(headline(decision))} The full record is `decision.json`.

## Intended use

{" ".join(_use(about, inside))}

## Usage

{_usage(about, folder)}

## Provenance

- data: {data}, fingerprint {code(about.fingerprint)}
- strategy: {sentence(about.strategy)}, revision {about.revision}, seed {about.seed}
{params}- packages: {", ".join(packages)}
"""


def _evaluation(decision: Decision, about: Manifest) -> str:
    words = words_in(decision)
    score, said = sentence(words.score), "It was not measured in the study."
    accuracy = next(
        (c.accuracy for c in decision.scorecards if c.candidate == about.candidate), None
    )
    if accuracy is not None:
        said = (
            f"{sentence(words.title)} in the study: **{percent(accuracy.value)} %** (95 % CI "
            f"{span(accuracy)}). {covered_by([accuracy])}"
        )
    return (
        f"{said}\n\n**This is the {score} of the study's fits, on rows that they were not trained "
        "on. It was not measured on this fit**, which was trained on all labelled rows. Evaluate "
        "this one on new rows before you rely on it."
    )


def _use(about: Manifest, inside: int) -> Iterator[str]:
    yield (
        f"Texts like those of {sentence(about.dataset)}. It has not been tested on other kinds of "
        "text or other languages. Decisions about people need human review."
    )
    if router := about.router:
        yield (
            f"\n\n**It is a router.** Rows of which it is less than {percent(router.threshold)} % "
            f"sure get no label, and the status {code(f'ask {router.to}')}: send these there. In "
            f"the study it answered {percent(router.share)} % of the rows, and both together lost "
            f"at most {percent(router.most)} points against {sentence(router.to)} alone (95 % "
            "sure)."
        )
    if about.doubtful is not None:
        yield (
            f"\n\n**Below a confidence of {about.doubtful:.2f} most answers were wrong** in the "
            "study; `choose predict` gives these the status `doubtful`."
        )
    if inside:
        yield (
            f"\n\n**This folder contains labelled texts word for word** (at least {inside:,}). "
            "Share it only with people who may read them."
        )


def _usage(about: Manifest, folder: str) -> str:
    further = {clean(name): "..." for name in about.fields}
    said, flag, beside = '"a text"', "", ""
    if further:
        columns = clean(about.text_column or "text").split(",")
        row = {**dict.fromkeys(map(str.strip, columns), "a text"), **further}
        said, flag = shlex.quote(json.dumps(row, ensure_ascii=False)), " --json"
        beside = f", fields=[{further!r}]"
    return f"""```
pip install PATH-TO-CHOOSE       # a checkout or wheel of choose {about.choose}
pip install -r requirements.txt
echo {said} | choose predict {shlex.quote(clean(folder))} -{flag}
```

```python
import choose

model = choose.load({folder!r})
print(model.predict(["a text"]{beside}))
```"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The fit to export, of the `weights` of the study and `shortened` as time decided there."""

    about: Manifest
    rows: Sequence[Example]
    weights: str
    shortened: Mapping[str, float] = field(default_factory=dict)


def select(store: Store, decision: Decision, name: str | None) -> Selection:
    """Select a candidate by name, else the one that the decision names.

    Its training rows are all labelled rows of the study.
    """
    wanted, recommended = name or decision.named, decision.verdict.recommended
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
    rows = _all_rows(store, own.taught)
    about = Manifest(
        choose=versions()["choose-llm"],
        candidate=wanted,
        strategy=own.strategy,
        revision=own.revision,
        params=known[wanted]["params"],
        seed=0,
        why="named" if name else "recommended" if recommended else "meanwhile",
        task=store.dataset.task.facts(),
        text_column=store.study.get("data", {}).get("text_column"),
        fields=tuple(rows[0].fields),
        dataset=decision.dataset.name,
        fingerprint=decision.dataset.fingerprint,
        rows=len(rows),
        teacher=store.dataset.teacher * own.taught,
        doubtful=doubtful_below(store, fits),
    )
    return Selection(about=about, rows=rows, weights=own.weights, shortened=_shortened(store, fits))


@dataclass(frozen=True, slots=True)
class Exported:
    """An export; `rows_inside` is the number of labelled texts found in its files."""

    folder: Path
    manifest: Manifest
    rows_inside: int


def export_candidate(
    store: Store, decision: Decision, folder: Path, *, candidate: str | None, router: bool
) -> Exported:
    """Fit a candidate on all labels of a study, and write it (see `choose.api.compare.export`)."""
    routes = _router_of(decision) if router else None
    if router and decision.takeover:
        candidate = decision.takeover.cheap
    choice = select(store, decision, candidate)
    if remote := [spec for spec in choice.about.params.values() if endpoint_name(spec) is not None]:
        raise StudyError(
            f"{choice.about.candidate!r} calls {remote[0]}, which cannot be exported. Call the "
            "endpoint itself, with the prompt that choose report --full shows, or name a candidate "
            "that runs on this machine with --candidate."
        )
    return write_export(store, decision, choice, folder, routes)


def _router_of(decision: Decision) -> Router:
    if (found := decision.takeover) is None:
        own = {result.family: result.members for result in decision.verdict.families}
        models = (*own.get("prompting", ()), *own.get("retrieval", ()))
        raise StudyError(
            "There is no router to export. It takes labels scored by accuracy, and 50 rows or more "
            "that two candidates answered: a fast one that says how sure it is (this study has "
            f"{listed(own.get('baseline', ())) or 'none'}), and a language model at an endpoint or "
            "whose answers were given (of prompting or retrieval, it has "
            f"{listed(models) or 'none'})."
        )
    if found.threshold is None or found.share is None:
        raise StudyError(f"There is no router to export. {takeover(decision)}")
    share = found.share.value
    return Router(threshold=found.threshold, to=found.strong, share=share, most=found.most)


# Fewer answers do not show whether most such ones are wrong.
FEWEST = 20


def doubtful_below(store: Store, trials: Sequence[Trial]) -> float | None:
    """Return the highest confidence below which most answers of the largest fits were wrong."""
    task, rows = store.dataset.task, store.dataset.examples
    most = max(trial.train_size for trial in trials) if task.kind == USUAL else 0
    found = list[tuple[float, bool]]()
    for run in map(store.get, [trial for trial in trials if trial.train_size == most]):
        if run is not None and CLEAN in run.answers:
            said, sure = run.answers[CLEAN].outputs, confidences(run.answers[CLEAN], task.labels)
            answered = zip(run.asked[CLEAN], said, sure, strict=True)
            found += [(c, one != rows[id].target) for id, one, c in answered if c is not None]
    found.sort()
    wrong = accumulate(is_wrong for _, is_wrong in found)
    counted = enumerate(zip(found, wrong, strict=True), start=1)
    return max((c for n, ((c, _), w) in counted if n >= FEWEST and 2 * w > n), default=None)


def _shortened(store: Store, trials: Sequence[Trial]) -> Mapping[str, float]:
    """Return what time decided in the fit on most rows among those of some trials.

    A training that it cut short is taken to its end, as it is on all labelled rows.
    """
    known = [run for run in map(store.get, trials) if run is not None and run.error is None]
    most = max(known, key=lambda run: (run.trial.train_size, -run.trial.fold), default=None)
    return most.shortened if most and most.share_read == 1 else {}


def fit_selection(choice: Selection, task: Task) -> Strategy:
    about = choice.about
    if find(about.strategy).revision != about.revision:
        raise StudyError(
            f"Strategy {about.strategy!r} has changed since the study (revision "
            f"{about.revision} then, {find(about.strategy).revision} now), so the study's "
            "figures do not apply to it. Run choose compare again."
        )
    strategy = build(about.strategy, seed=about.seed, **about.params)
    if not isinstance(strategy, Saves):
        raise StudyError(
            f"Strategy {about.strategy!r} cannot be exported: it has no save and load methods. "
            "Choose another candidate with --candidate."
        )
    if isinstance(strategy, Weighted) and strategy.weights() != choice.weights:
        raise StudyError(
            f"The weights of {about.candidate!r} have changed since the study, so its figures do "
            "not apply to them. Restore the weights, or run choose compare again."
        )
    if isinstance(strategy, Prepares):
        strategy.prepare()
    with as_decided(choice.shortened):
        strategy.fit(task, choice.rows)
    return strategy


def _all_rows(store: Store, taught: bool) -> list[Example]:
    dataset = store.dataset
    if not any(e.text for e in dataset.examples.values()):
        raise StoreError(
            f"{str(store.path)!r} was stored without texts, so nothing can be trained from it. "
            "Run choose compare again and store them."
        )
    rows = {e.id: e for e in to_learn_from(dataset.task, dataset.examples.values(), taught)}
    order = sampling_order(rows, {id: e.target for id, e in rows.items()}, draw=0)
    return [rows[id] for id in order]


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`, and rename it to `folder` at the end."""
    check_new(folder)
    place = folder.resolve()
    temporary = temporary_name(place)
    try:
        with explained_errors(folder):
            temporary.mkdir(parents=True)
            yield temporary
            os.replace(temporary, place)  # fails if files were put there meanwhile
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_new(folder: Path) -> None:
    """Refuse a folder that holds anything, before anything is computed."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise StoreError(
            f"{str(folder)!r} exists already. Name a new folder, or remove this one first."
        )


# Modules whose packages are pinned where the fit has loaded them.
_PINNED = (
    *("numpy", "sklearn", "scipy", "torch", "transformers", "tokenizers", "peft"),
    *("sentence_transformers", "faiss", "bm25s", "safetensors", "gguf"),
)


def requirements(strategy: str) -> list[str]:
    """Return pinned requirements: the strategy's own package and the libraries loaded now."""
    entry = available().get(strategy)
    own = {entry.dist.name} if entry is not None and entry.dist is not None else set[str]()
    packages = packages_distributions()
    loaded = {packages[module][0] for module in _PINNED if module in sys.modules}
    # The part after a plus sign names a local build, which other indexes do not have.
    names = sorted((own | loaded) - {"choose-llm"})
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


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


def write_export(
    store: Store,
    decision: Decision,
    choice: Selection,
    folder: Path,
    router: Router | None = None,
) -> Exported:
    """Fit, save, verify that the loaded model predicts the same, and write the model card."""
    manifest = choice.about.model_copy(update={"router": router})
    with atomic_folder(folder) as temporary:
        strategy = fit_selection(choice, store.dataset.task)
        assert isinstance(strategy, Saves)
        strategy.save(temporary / MODEL_FOLDER)
        manifest = manifest.model_copy(update={"files": digests_of(temporary / MODEL_FOLDER)})
        _verify(strategy, temporary, manifest, [row.item() for row in choice.rows[:VERIFIED_ROWS]])
        inside = rows_inside(temporary / MODEL_FOLDER, choice.rows)
        packages = requirements(manifest.strategy)
        card = model_card(decision, manifest, packages=packages, inside=inside, folder=folder.name)
        write_text(temporary / "README.md", card)
        note = (
            f"# Install choose {manifest.choose} first, from a checkout or a wheel (no package "
            "index has it):\n#     pip install PATH-TO-CHOOSE\n"
        )
        write_text(temporary / "requirements.txt", note + "\n".join(packages) + "\n")
        record = json.dumps(decision.model_dump(mode="json", by_alias=True), indent=1)
        write_text(temporary / "decision.json", record + "\n")
        write_json(temporary / MANIFEST_FILE, manifest.model_dump(mode="json", by_alias=True))
    return Exported(folder, manifest, inside)


def _verify(fitted: Strategy, folder: Path, manifest: Manifest, items: Sequence[Item]) -> None:
    loaded = load_strategy(folder, manifest)
    before, after = (predict(s, items, manifest.task).outputs for s in (fitted, loaded))
    if before != after:
        different = sum(a != b for a, b in zip(before, after, strict=True))
        raise StrategyError(
            f"After saving and loading, {manifest.candidate!r} answers {different} of {len(items)} "
            "rows differently, so nothing was exported. The save or load method of the strategy "
            f"{manifest.strategy!r} has a bug."
        )
