"""Prompt, retrieve or fine-tune? Evidence for a labelled task."""
