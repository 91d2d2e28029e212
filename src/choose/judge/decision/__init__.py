"""The decision rule: candidates, gates, the verdict and what to do next."""
