"""A LoRA training engine for Llama-like decoders with a hand-written backward pass.

`engine` is the only module that code outside this folder imports.
"""
