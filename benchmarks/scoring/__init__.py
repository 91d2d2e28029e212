"""The two sides of the comparison with lm-evaluation-harness, each a process of its own."""
