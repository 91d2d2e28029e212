"""Published answers: what is packed is what was published, and every target is met."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import published
from replay.answers import unpack

SHARED = Path(__file__).resolve().parents[3] / "shared" / "verdicts"

# Shares of right answers as the studies' own tables have them.
RIGHT = {
    ("fin_sentiment", "ft-gpt-4o-mini"): 0.878,
    ("fin_sentiment", "svm"): 0.645,
    ("fin_phrasebank_gpt4", "gpt-4"): 0.939,
    ("banking77_qwen3_1.7b", "knn-10"): 0.834,
    ("banking77_qwen3_1.7b", "retrieval-10-free"): 0.827,
    ("banking77_7b_many_shot", "llama-few-shot-1000"): 0.862,
    ("banking77_subsets_gpt5nano", "probe-minilm"): 0.960,
    ("trec_7b_many_shot", "llama-retrieval-200"): 0.943,
    ("tweet_emotion_roberta", "roberta-twitter"): 0.834,
    ("css_emotion", "flan-ul2"): 0.703,
    ("ecommerce", "claude-3.5-haiku"): 0.725,
    ("text2sql_spider", "gemini"): 0.831,
}


@pytest.mark.parametrize(("name", "candidate"), RIGHT)
def test_packed_answers_are_right_as_often_as_published(name: str, candidate: str) -> None:
    packed = published.stored(name)
    bits = [unpack(c["right"], packed["rows"]) for c in packed["columns"] if c["name"] == candidate]
    assert round(float(np.mean(bits)), 3) == pytest.approx(RIGHT[name, candidate], abs=0.001)


def test_one_tie_is_called_sure_and_the_stored_table_is_of_today() -> None:
    lines = list(published.table([published.judged(case) for case in published.CASES]))
    missed = [" ".join(line.split()[1:]) for line in lines if line.startswith("MISSED")]
    assert missed == ["sure and wrong: 1", "ties called sure: 1 of 3"]
    stored = (published.HERE / "results" / "published.txt").read_text("utf-8").splitlines()
    assert [line.rstrip() for line in stored] == [line.rstrip() for line in lines]


@pytest.mark.data
@pytest.mark.parametrize("name", sorted({case.set for case in published.CASES}))
def test_the_files_are_those_that_were_packed(name: str) -> None:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip("the published sets are not here")
    file = folder / ("answers.csv" if (folder / "answers.csv").is_file() else "scores.csv")
    assert sha256(file.read_bytes()).hexdigest() == published.stored(name)["sha256"]
    assert '"text"' not in json.dumps(published.stored(name))
