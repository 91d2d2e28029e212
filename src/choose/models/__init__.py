"""Weights, causal language models and encoders: the only torch inside the core."""
