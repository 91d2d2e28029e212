"""Model specs, and how weights are located, downloaded and verified."""
