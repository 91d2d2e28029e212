"""Reports on two studies side by side."""
