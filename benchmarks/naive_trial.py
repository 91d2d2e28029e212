"""Run one trial as a team's own script would, in a process of its own: study.py times it.

    python benchmarks/naive_trial.py JOB.json

Prints {"load", "fit", "ask", "fitted", "asked", "answers"} as JSON: seconds of loading, fitting and
predicting, and how many units were fitted and rows predicted, since a job may be a sample.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

TOKENS = r"(?u)\b\w+\b|[^\w\s]"


class Method(Protocol):
    """One way to answer; construction loads its model."""

    def __init__(self, job: dict[str, Any]) -> None: ...

    def fit(self) -> int:
        """Fit to the job's training rows; return the number of units that the time is for."""

    def predict(self) -> list[Any]:
        """Return an answer for each of the job's questions."""


class Classical:
    """TF-IDF, a linear probe and nearest neighbours; scikit-learn and sentence-transformers."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.strategy = job, job["strategy"]
        if self.strategy == "tfidf":
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.pipeline import FeatureUnion

            words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=TOKENS)
            characters = TfidfVectorizer(
                analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2
            )
            parts = [("words", words), ("characters", characters)]
            if not job["params"].get("characters", True):
                parts = parts[:1]
            self.features = FeatureUnion(parts)
        else:
            from sentence_transformers import SentenceTransformer

            self.encoder = SentenceTransformer(job["encoder"])

    def fit(self) -> int:
        """Fit to the training rows; return their number."""
        texts, labels = self.job["texts"], self.job["labels"]
        if self.strategy == "tfidf":
            matrix = self.features.fit_transform(texts)
        else:
            matrix = self._embed(texts)
        if self.strategy == "knn":
            from sklearn.neighbors import NearestNeighbors

            self.index = NearestNeighbors(metric="cosine", algorithm="brute").fit(matrix)
        else:
            from sklearn.linear_model import LogisticRegression

            head = LogisticRegression(C=self.job["params"].get("C", 10.0), max_iter=1000)
            self.head = head.fit(matrix, labels)
        return len(texts)

    def predict(self) -> list[str]:
        """Return the label of each question."""
        questions = self.job["questions"]
        if self.strategy == "tfidf":
            return [str(x) for x in self.head.predict(self.features.transform(questions))]
        vectors = self._embed(questions)
        if self.strategy == "probe":
            return [str(x) for x in self.head.predict(vectors)]
        return self._vote(vectors)

    def _vote(self, vectors: Any) -> list[str]:
        labels = self.job["labels"]
        k = min(self.job["params"].get("k", 5), len(labels))
        distances, places = self.index.kneighbors(vectors, n_neighbors=k)
        answers = []
        for far, near in zip(distances, places, strict=True):
            votes = dict.fromkeys(self.job["order"], 0.0)
            for distance, place in zip(far, near, strict=True):
                votes[labels[place]] += max(1 - distance, 0.0)
            answers.append(max(votes, key=votes.__getitem__))
        return answers

    def _embed(self, texts: list[str]) -> Any:
        return self.encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)


class LabelScoring:
    """Labels scored with transformers: one forward pass a label, as tutorials do it."""

    def __init__(self, job: dict[str, Any]) -> None:
        from transformers import AutoModelForCausalLM

        self.job = job
        self.model = AutoModelForCausalLM.from_pretrained(job["model"]).eval()

    def fit(self) -> int:
        """Do nothing: the caller counts calibration rows as questions."""
        return 0

    def predict(self) -> list[list[float]]:
        """Return the log-probability of each label for each prompt of token ids."""
        import torch

        scores = []
        for prompt in self.job["prompts"]:
            row = []
            for label in self.job["label_tokens"]:
                ids = torch.tensor([prompt + label])
                with torch.inference_mode():
                    logprobs = self.model(ids).logits[0].float().log_softmax(-1)
                places = range(len(prompt) - 1, len(prompt) - 1 + len(label))
                row.append(sum(float(logprobs[p, t]) for p, t in zip(places, label, strict=True)))
            scores.append(row)
        return scores


class Tuning:
    """LoRA with the Trainer of transformers and PEFT, in their default number type."""

    def __init__(self, job: dict[str, Any]) -> None:
        from peft import LoraConfig, TaskType, get_peft_model
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.job = job
        self.tokenizer = AutoTokenizer.from_pretrained(job["base"])
        model = AutoModelForSequenceClassification.from_pretrained(
            job["base"], num_labels=len(job["order"])
        )
        if model.config.pad_token_id is None:
            model.config.pad_token_id = self.tokenizer.pad_token_id
        attention = {"query", "value", "q_proj", "v_proj"}  # the default targets of choose
        names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
        settings = LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=16,
            lora_alpha=32,
            lora_dropout=0.05,
            target_modules=sorted(names & attention),
        )
        self.model = get_peft_model(model, settings)

    def fit(self) -> int:
        """Train for the job's number of steps, and return it."""
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

        job = self.job
        targets = [job["order"].index(label) for label in job["labels"]]
        rows = TokenisedRows(self.tokenizer, job["texts"], targets)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder,
                per_device_train_batch_size=job["batch"],
                max_steps=job["steps"],
                learning_rate=job["rate"],
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                logging_strategy="no",
            )
            collator = DataCollatorWithPadding(self.tokenizer)
            Trainer(self.model, arguments, train_dataset=rows, data_collator=collator).train()
        return int(job["steps"])

    def predict(self) -> list[str]:
        """Return the label of each question, computed in batches of 32."""
        import torch

        answers: list[str] = []
        self.model.eval()
        for first in range(0, len(self.job["questions"]), 32):
            texts = self.job["questions"][first : first + 32]
            batch = self.tokenizer(
                texts, truncation=True, max_length=128, padding=True, return_tensors="pt"
            )
            with torch.inference_mode():
                best = self.model(**batch).logits.argmax(-1)
            answers += [self.job["order"][int(n)] for n in best]
        return answers


class TokenisedRows:
    """Tokenised rows as the Trainer's data loader reads them."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], targets: Sequence[int]) -> None:
        self.rows = [
            {**tokenizer(text, truncation=True, max_length=128), "labels": target}
            for text, target in zip(texts, targets, strict=True)
        ]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """Return the row at a place."""
        return self.rows[place]


METHODS: dict[str, type[Method]] = {
    "tfidf": Classical,
    "probe": Classical,
    "knn": Classical,
    "prompt": LabelScoring,
    "retrieval": LabelScoring,
    "lora": Tuning,
}


def main() -> None:
    """Load, fit, predict, and print how long each took."""
    start = perf_counter()
    warnings.filterwarnings("ignore")
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    method = METHODS[job["strategy"]](job)
    loaded = perf_counter()
    fitted = method.fit()
    ready = perf_counter()
    answers = method.predict()
    done = perf_counter()
    result = {
        "load": loaded - start,
        "fit": ready - loaded,
        "ask": done - ready,
        "fitted": fitted,
        "asked": len(answers),
        "answers": answers,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
