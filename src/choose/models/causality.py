"""Whether the tokens of a model see only those before them."""

from __future__ import annotations

from typing import Any


def is_causal(config: Any) -> bool:
    """Return whether a token of a model with that configuration sees only those before it.

    Some language models are made into encoders by a switch of their configuration and keep their
    name: EmbeddingGemma is a Gemma 3 with `use_bidirectional_attention`, others set `is_causal`.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind, text = config.model_type, config.get_text_config()
    # Encoders such as BERT can be had as causal LMs too, so that list alone does not tell.
    listed = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    # The other way "vision" is about images only.
    both_ways = getattr(text, "use_bidirectional_attention", None) in (True, "all")
    return (
        listed
        and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
        and getattr(text, "is_causal", True)
        and not both_ways
    )
