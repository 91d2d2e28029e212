"""Words, word pairs and character n-grams weighted by rarity (TF-IDF)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Single-character words and digits carry meaning in short texts; the default drops them.
VIEWS: Mapping[str, Mapping[str, Any]] = {
    "words": {
        "ngram_range": (1, 2),
        "sublinear_tf": True,
        "token_pattern": r"(?u)\b\w+\b|[^\w\s]",
    },
    "single words": {
        "ngram_range": (1, 1),
        "sublinear_tf": True,
        "token_pattern": r"(?u)\b\w+\b|[^\w\s]",
    },
    "characters": {
        "analyzer": "char_wb",
        "ngram_range": (2, 4),
        "sublinear_tf": True,
        "min_df": 2,
    },
    # For a pool of blanks, or of one row, in which the others find nothing.
    "letters": {"analyzer": "char", "lowercase": False},
}


class Bag:
    """Texts as sparse rows; the vocabulary and the rarities come from the pool alone."""

    def __init__(self, *views: str) -> None:
        self.views = views

    def fit(self, texts: Sequence[str]) -> Any:
        """Learn the vocabulary and return the (n, d) matrix of the texts learnt from."""
        try:
            return self._learn(texts)
        except ValueError:  # no n-gram left
            self.views = ("letters",)
            return self._learn(texts)

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return the (m, d) matrix of other texts."""
        return self.union.transform(texts)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the terms of each view, in order, and their rarities."""
        fitted = dict(self.union.transformer_list)
        terms = {view: found.get_feature_names_out().tolist() for view, found in fitted.items()}
        return {"terms": terms}, {f"idf {view}": found.idf_ for view, found in fitted.items()}

    @classmethod
    def restored(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> Bag:
        """Rebuild the library's own vectorisers from what `state` returned."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion

        bag = cls(*facts["terms"])
        fitted = []
        for view, terms in facts["terms"].items():
            vectoriser = TfidfVectorizer(vocabulary=terms, **VIEWS[view])
            vectoriser.idf_ = np.asarray(arrays[f"idf {view}"])
            fitted.append((view, vectoriser))
        bag.union = FeatureUnion(fitted)
        return bag

    def _learn(self, texts: Sequence[str]) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import FeatureUnion

        self.union = FeatureUnion([(view, TfidfVectorizer(**VIEWS[view])) for view in self.views])
        return self.union.fit_transform(texts)
