"""Small-budget decisions replayed from stored answers to real sets."""
