"""Tampered and damaged exports are refused in one line, before or without digests (H7, C7)."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from choose.api.compare import export
from choose.conformance import questions
from choose.errors import ChooseError
from choose.export.exported_model import Model
from support.studies import STRATEGIES, shared_study

Change = Callable[[Path], object]

TEXTS = [item.text for item in questions()][:4]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    study = shared_study(tmp_path_factory)
    place = tmp_path_factory.mktemp("exports")
    return {name: export(study, place / name, candidate=name).folder for name in KINDS}


KINDS = ("majority", *STRATEGIES)


def edit(name: str, change: Callable[[Any], object]) -> Change:
    """Return a change of the JSON object in a file."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return apply


def arrays(name: str, change: Callable[[dict[str, Any]], object]) -> Change:
    """Return a change of the arrays in a safetensors file."""

    def apply(folder: Path) -> None:
        from safetensors.numpy import load_file, save_file

        content = dict(load_file(folder / name))
        change(content)
        save_file({k: np.ascontiguousarray(v) for k, v in content.items()}, folder / name)

    return apply


def every(function: Callable[[Any], Any]) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.update({k: function(v) for k, v in content.items()})


def without_last(content: Any) -> None:
    content["labels"] = content["labels"][:-1]


def cut(name: str) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


def overwrite(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


NAN, ENDLESS = float("nan"), float("inf")
EMPTY = (2).to_bytes(8, "little") + b"{}"


def nan_of(array: Any) -> Any:
    spoilt = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
    spoilt.flat[0] = NAN
    return spoilt


def endless_of(array: Any) -> Any:
    spoilt = array.copy()
    spoilt.flat[-1] = ENDLESS
    return spoilt


ARRAY_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "nan": every(nan_of),
    "infinite": every(endless_of),
    "int8": every(lambda array: array.astype(np.int8)),
    "shorter": every(lambda array: array[..., :-1]),
    "transposed": every(lambda array: array.reshape(-1, 1)),
    "none": lambda content: [content.pop(name) for name in list(content)[:1]],
}

FACT_CHANGES: dict[str, Callable[[Any], object]] = {
    "labels shortened": without_last,
    "labels swapped": lambda c: c["labels"].reverse(),
    "labels doubled": lambda c: c["labels"].append(c["labels"][0]),
    "labels a number": lambda c: c.update(labels=3),
    "weights": lambda c: c.update(weights="0" * 64),
    "no settings": lambda c: c.pop("settings"),
    "settings a list": lambda c: c.update(settings=[]),
}

LORA_CHANGES: dict[str, Callable[[Any], object]] = {
    "rank": lambda c: c["settings"].update(rank=c["settings"]["rank"] * 2),
    "rank a word": lambda c: c["settings"].update(rank="many"),
    "rank 0": lambda c: c["settings"].update(rank=0),
    "rank huge": lambda c: c["settings"].update(rank=10**9),
    "max_tokens a word": lambda c: c["settings"].update(max_tokens="x"),
    "max_tokens 0": lambda c: c["settings"].update(max_tokens=0),
    "max_tokens true": lambda c: c["settings"].update(max_tokens=True),
    "targets": lambda c: c["settings"].update(targets="all"),
    "dropout": lambda c: c["settings"].update(dropout=2),
    "no notes": lambda c: c.pop("notes"),
    "base elsewhere": lambda c: c["settings"].update(base="./no-such-base"),
}

MANIFEST_CHANGES: dict[str, Callable[[Any], object]] = {
    "seed in params": lambda c: c["params"].update(seed=1),
    "name in params": lambda c: c["params"].update(name="x"),
    "labels shortened": lambda c: without_last(c["task"]),
    "labels swapped": lambda c: c["task"]["labels"].reverse(),
    "revision": lambda c: c.update(revision=99),
    "strategy": lambda c: c.update(strategy="../../evil"),
    "schema": lambda c: c.update(schema=2),
    "params a list": lambda c: c.update(params=[]),
    "rows a word": lambda c: c.update(rows="many"),
}
# U6: names that are no file of the folder, a file that is not there, and no file of model/.
FOREIGN = ("../x", "model/../../x", "/etc/passwd", "model/a\0b", "model\\x", "C:/x", "", ".")
for _name in (*FOREIGN, "model/missing.json"):
    MANIFEST_CHANGES[f"files: {_name!r}"] = lambda c, name=_name: c.setdefault("files", {}).update(
        {name: "0" * 64}
    )
MANIFEST_CHANGES["files: no model"] = lambda c: c.update(files={"README.md": "0" * 64})


def damages(name: str) -> Iterator[tuple[str, str, Change]]:
    for file in ("fitted.json", "fitted.safetensors"):
        place = f"model/{file}"
        yield name, f"{file} garbage", overwrite(place, b"\xff" * 64)
        yield name, f"{file} truncated", cut(place)
    yield name, "facts empty", overwrite("model/fitted.json", b"{}")
    yield name, "arrays empty", overwrite("model/fitted.safetensors", EMPTY)


def cases() -> Iterator[tuple[str, str, Change]]:
    fitted, weights = "model/fitted.json", "model/fitted.safetensors"
    for name in ("majority", "tfidf", "probe", "knn"):
        yield from damages(name)
        for what, change in FACT_CHANGES.items():
            if what != "weights" or name in ("probe", "knn"):
                yield name, f"facts: {what}", edit(fitted, change)
        for what, change in ARRAY_CHANGES.items():
            if (name, what) != ("majority", "transposed"):
                yield name, f"arrays: {what}", arrays(weights, change)
    yield "majority", "arrays: transposed", arrays(weights, ARRAY_CHANGES["transposed"])
    for name in ("prompt", "few-shot", "retrieval"):
        yield name, "arrays: nan", arrays(weights, ARRAY_CHANGES["nan"])
        yield name, "arrays: shorter", arrays(weights, ARRAY_CHANGES["shorter"])
        yield name, "arrays: int8", arrays(weights, ARRAY_CHANGES["int8"])
        yield name, "labels", edit(fitted, lambda c: without_last(c["task"]))
        yield name, "names", edit(fitted, lambda c: c["task"]["names"].pop())
    yield "knn", "k", edit(fitted, lambda c: c["settings"].update(k="five"))
    yield "tfidf", "terms", edit(fitted, lambda c: c["terms"]["words"].pop())
    yield "tfidf", "terms doubled", edit(fitted, lambda c: c["terms"]["words"].append("x"))
    yield "tfidf", "seen", edit(fitted, lambda c: c["head"]["seen"].append("nothing"))
    yield "tfidf", "unknown vectoriser", edit(fitted, lambda c: c["terms"].update(evil=[]))
    yield "knn", "row of two", edit(fitted, lambda c: c["rows"][0].pop())
    yield "knn", "row with no label", edit(fitted, lambda c: c["rows"][0].__setitem__(2, "none"))
    for what, change in {**FACT_CHANGES, **LORA_CHANGES}.items():
        yield "lora", f"facts: {what}", edit(fitted, change)
    for file in ("adapter_model.safetensors", "fitted.safetensors"):
        place = f"model/{file}"
        yield "lora", f"{file} empty", overwrite(place, EMPTY)
        yield "lora", f"{file} garbage", overwrite(place, b"\xff" * 64)
        yield "lora", f"{file} of no bytes", overwrite(place, b"")
        yield "lora", f"{file} truncated", cut(place)
        yield "lora", f"{file} missing", remove(place)
        for what in ("nan", "infinite", "int8", "shorter", "none"):
            yield "lora", f"{file}: {what}", arrays(place, ARRAY_CHANGES[what])
    for what, change in MANIFEST_CHANGES.items():
        yield "tfidf", f"export.json: {what}", edit("export.json", change)


CASES = list(cases())


def refused(folder: Path) -> str | None:
    """Return the error of loading and predicting, or None; anything but a ChooseError is raised."""
    try:
        Model.load(folder).predict(TEXTS)
    except ChooseError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "digests",
    [pytest.param(True, id="digests", marks=pytest.mark.slow), pytest.param(False, id="older")],
)
@pytest.mark.parametrize(
    ("kind", "change"),
    [case[::2] for case in CASES],
    ids=[f"{case[0]} {case[1]}" for case in CASES],
)
def test_a_tampered_export_is_one_line(kind, change, digests, exports, tmp_path):
    """H7, C7: with digests, and for exports that were written before there were any."""
    folder = shutil.copytree(exports[kind], tmp_path / "copy")
    if not digests:
        edit("export.json", lambda content: content.pop("files"))(folder)
    change(folder)
    message = refused(folder)
    assert "\n" not in message
    assert "Input should" not in message


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_without_digests_is_refused(kind, exports, tmp_path):
    folder = shutil.copytree(exports[kind], tmp_path / "copy")
    edit("export.json", lambda content: content.pop("files"))(folder)
    assert "it lists no files" in (refused(folder) or "")


def test_what_shapes_cannot_show_digests_do(exports: dict[str, Path], tmp_path: Path) -> None:
    """H7: a change that fits in type, shape and labels is found by its digest alone."""
    folder = shutil.copytree(exports["tfidf"], tmp_path / "copy")
    arrays("model/fitted.safetensors", every(lambda array: -array))(folder)
    assert "SHA-256 differs" in (refused(folder) or "")
    folder = shutil.copytree(exports["prompt"], tmp_path / "more")
    (folder / "model" / "more.safetensors").write_bytes(EMPTY)
    assert "was not written by the export" in (refused(folder) or "")
    folder = shutil.copytree(exports["knn"], tmp_path / "less")
    (folder / "model" / "fitted.safetensors").unlink()
    assert "is missing" in (refused(folder) or "")


def test_the_command_says_it_in_one_line(choose, exports, tmp_path):
    """C7: exit 2, one line, nothing on standard output."""
    folder = shutil.copytree(exports["tfidf"], tmp_path / "copy")
    edit("export.json", lambda content: content["params"].update(seed=1))(folder)
    Path("rows.csv").write_text("text\napple\n")
    result = choose("predict", folder, "rows.csv")
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_special_file_in_an_export_is_never_waited_for(exports, tmp_path, kind):
    """B1: predicting hung on a pipe, and took all memory on a device."""
    for name in (
        "export.json",
        *(f"model/{f.name}" for f in (exports["tfidf"] / "model").iterdir()),
    ):
        folder = Path(shutil.copytree(exports["tfidf"], tmp_path / name.replace("/", "-")))
        (folder / name).unlink()
        if kind == "pipe":
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to("/dev/zero")
        with pytest.raises(ChooseError, match="pipe or device"):
            Model.load(folder)
