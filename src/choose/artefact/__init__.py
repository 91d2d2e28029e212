"""A candidate as a folder that can be shipped: fitted on all labels, described, read back."""
