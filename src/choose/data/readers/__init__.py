"""Read tables and texts from files."""
