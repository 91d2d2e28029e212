"""Kinds of tasks: what their answers are and how one is scored, a module each."""
