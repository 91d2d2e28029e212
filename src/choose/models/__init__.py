"""Weights, causal language models and encoders: the only torch inside the core."""

import logging

# On import, which transformers and peft do where it is installed, it warns of a missing kernel.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
