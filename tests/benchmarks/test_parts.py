"""Parts of benchmarks: what they import, and a short run of some."""

import ast
import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import budget_table
import budgets as bench
import documents
import gpu
import label_audit
from choose.engines.lora.classifier import untrained_model
from choose.engines.lora.model import AdapterSpec, load_base
from choose.judge.diagnosis.doubted_labels import SKILLED
from choose.schema.decision import Decision
from naive_trial import Tuning
from support import tiny_models as tiny


def test_every_name_that_a_benchmark_imports_exists() -> None:
    folder = Path(bench.__file__).parent
    ours = {"choose", "choose_strategies", *(file.stem for file in folder.glob("*.py"))}
    imports = [
        (file.name, node.module, name.name)
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ours
        for name in node.names
    ]
    assert imports
    missing = [each for each in imports if not hasattr(import_module(each[1]), each[2])]
    # A module of a package is no attribute of it before it is imported.
    assert [each for each in missing if find_spec(f"{each[1]}.{each[2]}") is None] == []


@pytest.mark.parametrize("kind", ["encoder", "causal_lm"])
def test_the_naive_loop_adapts_what_we_adapt(kind: str, tmp_path: Path) -> None:
    folder = str(getattr(tiny, kind)(tmp_path / "model"))
    theirs = Tuning({"base": folder, "order": ["a", "b"]}).model
    ours = untrained_model(load_base(folder), AdapterSpec(16, "attention", 0.05), 2, "tiny").adapter

    def adapted(model: Any) -> set[str]:
        names = (name for name, _ in model.named_modules() if name.endswith(".lora_A"))
        return {".".join(name.split(".")[-3:]) for name in names}

    assert adapted(theirs) == adapted(ours) != set()


@pytest.mark.parametrize(("rows", "seconds", "each"), [(500, 320, "pass"), (99, 321, "fail")])
def test_the_table_of_budgets_says_what_a_run_missed(rows: int, seconds: int, each: str) -> None:
    record = Path(bench.__file__).parents[1] / "docs" / "generate" / "demo.json"
    demo = Decision.model_validate_json(record.read_text("utf-8"))
    cards = [c.model_copy(update={"rows": rows, "learned": rows}) for c in demo.scorecards]
    whole = demo.dataset.model_copy(update={"test_rows": 900, "pool": 5_000})
    found = demo.model_copy(update={"scorecards": cards, "dataset": whole})
    said = f"after {seconds - 260} s: open: lora 46 %\n--- exit 0 after {seconds} s\n"
    cells = budget_table.cells(found, said, own=300, budget=300)
    assert cells[4:] == [" / ".join([str(rows)] * 4), f"{rows} of 5000", *[each] * 4, "-"]
    silent = budget_table.cells(found, "--- exit 0 after 9 s\n", own=300, budget=300)
    assert (silent[7], budget_table.cells(found, said, own=150, budget=300)[7]) == ("fail", "-")


@pytest.mark.slow
def test_half_of_a_list_is_wrong_and_weak_auditors_have_none(tmp_path: Path) -> None:
    drawn = list(label_audit.audited(tmp_path, 250, seed=1))  # simulated alone: the folder is empty
    assert not any(d.listed or d.estimate for d in drawn if d.skill < SKILLED)
    skilled = [d for d in drawn if d.skill >= SKILLED]
    assert len(skilled) >= 30
    noisy = label_audit.figures([d for d in skilled if d.rate])
    assert noisy.with_list >= 15
    assert noisy.precision >= 0.5
    every = label_audit.figures(skilled)
    assert every.estimates == len(skilled)
    assert every.above + every.below <= label_audit.MISSED * every.estimates
    clean = [d for d in skilled if not d.rate]
    assert sum(d.listed for d in clean) <= label_audit.CLEAN * sum(d.rows for d in clean)


NOUNS = ("door", "lamp", "rug", "chair", "table", "shelf", "clock", "stove", "bed", "desk", "sink")
COLOURS = ("red", "blue", "green", "brown", "white", "black", "grey", "pink", "gold", "teal", "tan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of the benchmark's form: a question about each of some things."""
    folder = tmp_path / "things"
    folder.mkdir()
    passages = [
        {"id": f"p{n}", "title": noun, "text": f"The {noun} is {COLOURS[n]}. " * 20}
        for n, noun in enumerate(NOUNS)
    ]
    questions = [
        {
            "id": f"q{n}",
            "question": f"Which colour is the {noun}?",
            "answers": [COLOURS[n]],
            "evidence": [f"p{n}"],
        }
        for n, noun in enumerate(NOUNS)
    ]
    for name, some in (("passages", passages), ("questions", questions)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)))
    for part, ids in (("train", range(8)), ("test", range(8, 11))):
        (folder / f"{part}_ids.txt").write_text("\n".join(f"q{n}" for n in ids))
    return folder


@pytest.mark.slow
def test_every_part_is_measured_once(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(documents, "LONG", 8)
    keep, model = tmp_path / "kept.jsonl", str(tiny.causal_lm(tmp_path / "lm"))
    parts = ["--part", "conditions", "candidates", "--candidates", "sentence"]
    options = [str(folder), "--quick", "--keep", str(keep), "--model", model, *parts]
    documents.main(options)
    first, kept = capsys.readouterr().out, keep.read_text()
    assert "8 questions of things under four conditions" in first
    # Every sentence of a passage is the same: three words without the article, one of them right.
    assert "sentence       0.500" in first
    documents.main(options)
    assert capsys.readouterr().out == first
    assert keep.read_text() == kept


# A second process would run the undisturbed studies again, on the core that a worker has.
FEW = ("--quick", "--jobs", "1")


@pytest.mark.slow(seconds=70)
def test_no_crash_loses_a_trial_or_changes_a_decision() -> None:
    """A few kills, full disks, read-only stores, two writers, clocks and damaged stores."""
    command = [sys.executable, str(Path(bench.__file__).with_name("crashes.py")), *FEW]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env={**os.environ, **path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 cases lost" in done.stdout


@pytest.mark.slow
def test_all_sides_run_in_small(tmp_path, capsys, monkeypatch):
    call = ["--tiny", "--json", "--folder", str(tmp_path), "--sides"]
    assert gpu.main([*call, "harness,vllm"]) == 0
    assert gpu.read_results(tmp_path / "tiny.results").keys() == {"harness", "vllm"}
    # In this process, which has loaded the libraries.
    for side in ("choose", "generate", "trainer"):
        file = tmp_path / "tiny.results" / f"{side}.jsonl"
        gpu.one_side(tmp_path / "tiny", side, gpu.SMALL, file)
    capsys.readouterr()
    monkeypatch.setattr(gpu, "find_spec", lambda _: None)
    assert gpu.main([*call, "vllm"]) == 0, "what was measured before is kept"
    found = json.loads(capsys.readouterr().out)["tiny"]
    monkeypatch.undo()
    assert found["vllm"] == {"absent": {"failed": "vllm is not installed"}}
    lora = {"lora 12", "lora 24"}
    ours = {"labels 6", "labels 77", "texts", "texts shared", "peak", *lora}
    assert found["choose"].keys() == ours
    assert found["harness"].keys() == {"labels 6", "labels 77"}
    assert found["generate"].keys() == {"texts", "texts shared"}
    assert found["trainer"].keys() == lora
    assert not [one for side in found.values() for name, one in side.items()
                if "failed" in one and name != "absent"]  # fmt: skip
    assert all(one["tokens_a_second"] > 0 for one in found["choose"].values())
    assert gpu.ratios(found).keys() == ours - {"peak"}
    assert 0 < found["choose"]["peak"]["share"] < 1.5
    told = "\n".join(gpu.report({"tiny": found}))
    assert "x generate" in told
    assert "tokens/s" in told
