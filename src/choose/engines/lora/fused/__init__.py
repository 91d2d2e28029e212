"""LoRA for Llama-like decoders and BERT-like encoders, with a backward pass by hand."""
