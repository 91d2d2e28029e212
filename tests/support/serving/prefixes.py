"""A prefix cache as providers have it: the whole blocks of a prompt that begin as one before."""

import hashlib
from collections.abc import Sequence

BLOCK = 16


class Prefixes:
    """Remembers beginnings; providers use larger blocks, and the principle is the same."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def known(self, prompt: Sequence[str]) -> int:
        """Return how many tokens of this prompt's beginning were seen before, and remember all."""
        running, known, unbroken = hashlib.sha256(), 0, True
        for end in range(BLOCK, len(prompt) + 1, BLOCK):
            running.update("\0".join(prompt[end - BLOCK : end]).encode())
            mark = running.digest()
            unbroken = unbroken and mark in self._seen
            known = end if unbroken else known
            self._seen.add(mark)
        return known
