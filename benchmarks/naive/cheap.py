"""TF-IDF, a linear probe and neighbours with scikit-learn and sentence-transformers."""

from __future__ import annotations

from typing import Any

TOKENS = r"(?u)\b\w+\b|[^\w\s]"


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Build what turns texts into features."""
    if job["strategy"] == "tfidf":
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion

        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=TOKENS)
        characters = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2
        )
        parts = [("words", words), ("characters", characters)]
        if not job["params"].get("characters", True):
            parts = parts[:1]
        return {"features": FeatureUnion(parts)}
    from sentence_transformers import SentenceTransformer

    return {"encoder": SentenceTransformer(job["encoder"])}


def fit(model: dict[str, Any], job: dict[str, Any]) -> int:
    """Learn from the pool; return the number of rows."""
    texts, labels = job["texts"], job["labels"]
    if job["strategy"] == "tfidf":
        matrix = model["features"].fit_transform(texts)
    else:
        matrix = _embed(model, texts)
    if job["strategy"] == "knn":
        from sklearn.neighbors import NearestNeighbors

        # One more than k: texts may stand in the pool twice, and it is asked as is.
        model["index"] = NearestNeighbors(metric="cosine", algorithm="brute").fit(matrix)
        model["targets"] = labels
    else:
        from sklearn.linear_model import LogisticRegression

        head = LogisticRegression(C=job["params"].get("C", 10.0), max_iter=1000)
        model["head"] = head.fit(matrix, labels)
    return len(texts)


def ask(model: dict[str, Any], job: dict[str, Any]) -> list[str]:
    """Return an answer for each question."""
    asked = job["questions"]
    if job["strategy"] == "tfidf":
        return [str(x) for x in model["head"].predict(model["features"].transform(asked))]
    vectors = _embed(model, asked)
    if job["strategy"] == "probe":
        return [str(x) for x in model["head"].predict(vectors)]
    k = min(job["params"].get("k", 5), len(model["targets"]))
    distances, places = model["index"].kneighbors(vectors, n_neighbors=k)
    answers = []
    for far, near in zip(distances, places, strict=True):
        votes = dict.fromkeys(job["order"], 0.0)
        for distance, place in zip(far, near, strict=True):
            votes[model["targets"][place]] += max(1 - distance, 0.0)
        answers.append(max(votes, key=votes.__getitem__))
    return answers


def _embed(model: dict[str, Any], texts: list[str]) -> Any:
    return model["encoder"].encode(texts, normalize_embeddings=True, show_progress_bar=False)
