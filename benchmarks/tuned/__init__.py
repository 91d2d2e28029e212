"""Both sides of the benchmark of LoRA, each run as a process of its own."""
