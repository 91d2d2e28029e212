"""Tampered and damaged exports are refused in one line (H7, C7)."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from choose.api.compare import export
from choose.conformance import questions
from choose.errors import ChooseError
from choose.export.exported_model import Model, digests_of
from support.studies import shared_study, special

Change = Callable[[Any], object]

TEXTS = [item.text for item in questions()][:4]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    study, place = shared_study(tmp_path_factory), tmp_path_factory.mktemp("exports")
    return {n: export(study, place / n, candidate=n).folder for n in ("tfidf", "lora")}


@pytest.fixture
def folder(exports: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(exports["tfidf"], tmp_path / "copy")


def edit(file: Path, change: Change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def load_and_predict(folder: Path) -> None:
    Model.load(folder).predict(TEXTS)


MANIFEST: dict[str, Change] = {
    "name in params": lambda c: c["params"].update(name="x"),
    "labels shortened": lambda c: c["task"].update(labels=c["task"]["labels"][:-1]),
    "labels swapped": lambda c: c["task"]["labels"].reverse(),
    "revision": lambda c: c.update(revision=99),
    "strategy": lambda c: c.update(strategy="../../evil"),
    "schema": lambda c: c.update(schema=1),
    "params a list": lambda c: c.update(params=[]),
    "rows a word": lambda c: c.update(rows="many"),
    "no digests": lambda c: c.pop("files"),
    # U6: names that are no file of the model.
    **{
        repr(name): lambda c, name=name: c["files"].update({name: "0" * 64})
        for name in (
            "../export.json",
            "/etc/passwd",
            "a\0b",
            "model\\x",
            "C:/x",
            "no.json",
            "",
            ".",
        )
    },
}


@pytest.mark.parametrize("change", MANIFEST.values(), ids=MANIFEST)
def test_a_tampered_manifest_is_one_line(refusal, change: Change, folder: Path) -> None:
    edit(folder / "export.json", change)
    assert "Input should" not in refusal(ChooseError, load_and_predict, folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("fitted.json", b"{}", "SHA-256 differs"),
        ("fitted.safetensors", b"\xff" * 64, "SHA-256 differs"),
        ("more.safetensors", b"", "SHA-256 differs"),
        ("fitted.safetensors", None, "No such file"),
    ],
)
def test_files_are_those_that_the_export_wrote(refusal, name, content, said, folder):
    """H7: any change is found by its digest, also one that fits in type and shape."""
    if content is None:
        (folder / "model" / name).unlink()
    else:
        (folder / "model" / name).write_bytes(content)
    assert said in refusal(ChooseError, load_and_predict, folder)


def with_first(value: float) -> Change:
    def change(arrays: Any) -> None:
        for array in arrays.values():
            array.flat[0] = value

    return change


def every(function: Callable[[Any], Any]) -> Change:
    return lambda arrays: arrays.update({name: function(a) for name, a in arrays.items()})


ARRAYS: dict[str, Change] = {
    "nan": with_first(np.nan),
    "infinite": with_first(np.inf),
    "int8": every(lambda array: array.astype(np.int8)),
    "shorter": every(lambda array: np.ascontiguousarray(array[..., :-1])),
    "none": lambda arrays: arrays.pop(next(iter(arrays))),
}

SETTINGS: dict[str, Change] = {
    "rank huge": lambda c: c["settings"].update(rank=10**9),
    "max_tokens 0": lambda c: c["settings"].update(max_tokens=0),
}

DAMAGES = [
    *(("tfidf", "fitted.safetensors", *change) for change in ARRAYS.items()),
    *(("lora", "fitted.safetensors", *change) for change in ARRAYS.items()),
    ("lora", "fitted.safetensors", "one bias", lambda a: a.update(bias=a["bias"][:1])),
    *(("lora", "adapter_model.safetensors", *change) for change in ARRAYS.items()),
    ("lora", "adapter_model.safetensors", "extra", lambda a: a.update(m=np.zeros(1, np.float32))),
    *(("lora", "fitted.json", *change) for change in SETTINGS.items()),
]


@pytest.mark.parametrize(
    ("kind", "name", "change"),
    [(kind, name, change) for kind, name, _, change in DAMAGES],
    ids=[f"{kind} {name}: {what}" for kind, name, what, _ in DAMAGES],
)
def test_damage_with_its_own_digest_is_one_line(refusal, kind, name, change, exports, tmp_path):
    """Files that go with their digests are checked for what no fitted strategy holds."""
    folder = Path(shutil.copytree(exports[kind], tmp_path / "copy"))
    file = folder / "model" / name
    if file.suffix == ".json":
        edit(file, change)
    else:
        arrays = {key: array.copy() for key, array in load_file(file).items()}
        change(arrays)
        save_file(arrays, file)
    edit(folder / "export.json", lambda c: c.update(files=digests_of(folder / "model")))
    message = refusal(ChooseError, load_and_predict, folder)
    assert "SHA-256" not in message
    assert message.endswith("Export it again.")


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ["export.json", "model/fitted.json", "model/fitted.safetensors"])
def test_a_special_file_in_an_export_is_never_waited_for(refusal, folder, name, kind):
    """B1: predicting hung on a pipe, and took all memory on a device."""
    special(folder / name, kind)
    assert "pipe or device" in refusal(ChooseError, Model.load, folder)
