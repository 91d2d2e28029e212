"""What makes models fast, usable alone: labels scored, answers written, texts embedded, LoRA."""

import logging

# On import, which transformers and peft do where it is installed, it warns of a missing kernel.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
