"""Answer the label whose examples used the words of the text most often."""

from collections import Counter

import numpy as np

from choose.strategy import read_fitted, write_fitted
from choose.types import Answers


class SharedWords:
    """Count, for each label, how often its examples used the words of the text."""

    family, revision = "baseline", 1
    learns, seeded, cheap, variants = True, False, True, {}

    def __init__(self, *, seed, smoothing=1.0):
        self.seed, self.smoothing = seed, smoothing

    def fit(self, task, examples):
        self.words = {label: Counter() for label in task.labels}
        for example in examples:
            self.words[example.target].update(example.text.lower().split())

    def predict(self, items):
        votes = np.full((len(items), len(self.words)), self.smoothing)
        for row, item in enumerate(items):
            for word in item.text.lower().split():
                votes[row] += [counts[word] for counts in self.words.values()]
        return Answers.from_scores(
            tuple(self.words), np.log(votes / votes.sum(axis=1, keepdims=True))
        )

    def save(self, folder):
        write_fitted(folder, self, {"words": self.words})

    def load(self, folder):
        facts, _ = read_fitted(folder, self)
        self.words = {label: Counter(counts) for label, counts in facts["words"].items()}
