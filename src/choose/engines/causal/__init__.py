"""Causal language models: loading, chat templates, label scoring."""
