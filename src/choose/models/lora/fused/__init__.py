"""A LoRA training engine for Llama-like decoders with a hand-written backward pass."""
