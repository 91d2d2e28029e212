"""Answers as score matrices, and paired comparisons on common rows."""
