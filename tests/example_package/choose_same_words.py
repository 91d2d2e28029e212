"""Score an answer by the share of words that it has in common with a right one."""


def same_words(output, targets):
    """Return 1 for the same words, 0 for none in common; the best of the right answers counts."""
    words = set(output.lower().split())
    shares = [len(words & right) / len(words | right) for right in map(_words, targets)]
    return {"same-words": max(shares), "same-length": float(len(output) in map(len, targets))}


def _words(text):
    return set(text.lower().split()) or {""}
