"""The decision rule: contenders, gates, the verdict and what to do next."""
