"""LoRA adapters: batches, the training run, the engines."""
