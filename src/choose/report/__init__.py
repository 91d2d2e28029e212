"""The decision, for the terminal."""
