"""Weights, causal language models and encoders: the only torch inside the core."""

import logging

# On import, which transformers and peft do by themselves, it warns of a kernel for 4-bit weights.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
