"""Model specs, and how weights are found, downloaded and verified."""
