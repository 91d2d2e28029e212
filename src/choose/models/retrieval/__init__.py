"""Passages of documents that fit a question: by words, by meaning, or by both."""
