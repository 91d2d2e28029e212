"""Weights, causal LMs, encoders: the only torch inside the core."""
