"""Tokenised rows as the Trainer takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Rows:
    """A list that PyTorch's loaders read."""

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
