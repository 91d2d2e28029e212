"""Tampered and damaged exports are refused in one line (H7, C7)."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from choose.api.compare import export
from choose.conformance import questions
from choose.errors import ChooseError
from choose.export.exported_model import Model
from support.studies import shared_study

Change = Callable[[Any], object]

TEXTS = [item.text for item in questions()][:4]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exports") / "tfidf"
    return export(shared_study(tmp_path_factory), place, candidate="tfidf").folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "copy")


def edit(file: Path, change: Change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def refused(folder: Path) -> str | None:
    """Return the error of loading and predicting, or None; anything but a ChooseError is raised."""
    try:
        Model.load(folder).predict(TEXTS)
    except ChooseError as error:
        return str(error)
    return None


def lists(name: str) -> Change:
    return lambda c: c["files"].update({name: "0" * 64})


MANIFEST: dict[str, Change] = {
    "name in params": lambda c: c["params"].update(name="x"),
    "labels shortened": lambda c: c["task"].update(labels=c["task"]["labels"][:-1]),
    "labels swapped": lambda c: c["task"]["labels"].reverse(),
    "revision": lambda c: c.update(revision=99),
    "strategy": lambda c: c.update(strategy="../../evil"),
    "schema": lambda c: c.update(schema=2),
    "params a list": lambda c: c.update(params=[]),
    "rows a word": lambda c: c.update(rows="many"),
    "no digests": lambda c: c.pop("files"),
    # U6: names that are no file of the model.
    **{
        repr(name): lists(name)
        for name in ("../export.json", "/etc/passwd", "a\0b", "missing.json", "", ".")
    },
}


@pytest.mark.parametrize("change", MANIFEST.values(), ids=MANIFEST)
def test_a_tampered_manifest_is_one_line(change: Change, folder: Path) -> None:
    edit(folder / "export.json", change)
    message = refused(folder)
    assert message is not None
    assert "\n" not in message
    assert "Input should" not in message


def test_the_command_says_it_in_one_line(choose, folder: Path) -> None:
    """C7: exit 2, one line, nothing on standard output."""
    edit(folder / "export.json", MANIFEST["name in params"])
    Path("rows.csv").write_text("text\napple\n")
    result = choose("predict", folder, "rows.csv")
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("fitted.json", b"{}", "SHA-256 differs"),
        ("fitted.safetensors", b"\xff" * 64, "SHA-256 differs"),
        ("more.safetensors", b"", "SHA-256 differs"),
        ("fitted.safetensors", None, "No such file"),
    ],
)
def test_files_are_those_that_the_export_wrote(name, content, said, folder):
    """H7: any change is found by its digest, also one that fits in type and shape."""
    if content is None:
        (folder / "model" / name).unlink()
    else:
        (folder / "model" / name).write_bytes(content)
    assert said in (refused(folder) or "")


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("name", ["export.json", "model/fitted.json", "model/fitted.safetensors"])
def test_a_special_file_in_an_export_is_never_waited_for(folder, name, kind):
    """B1: predicting hung on a pipe, and took all memory on a device."""
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ChooseError, match="pipe or device"):
        Model.load(folder)
