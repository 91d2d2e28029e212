"""The sentences of a decision."""
