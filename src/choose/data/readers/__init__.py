"""Read tables and texts from files, and tell what their columns hold."""
