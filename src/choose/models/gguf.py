"""Turn a GGUF file into an ordinary safetensors folder, once."""

from __future__ import annotations

from pathlib import Path

from choose.errors import ModelError


def convert(file: Path, folder: Path) -> Path:
    """Write model and tokenizer of a GGUF file as float32 safetensors, and return the folder.

    transformers takes 15 s to read the file and will not save what it has read, so the tensors
    are copied into a fresh model of the same configuration, which loads in a second.

    Raises:
        ModelError: if transformers cannot read the file.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from choose.models.runtime import quiet

    with quiet("Preparing the language model for its first use"):
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                file.parent, gguf_file=file.name, trust_remote_code=False
            )
            read = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
            )
        except Exception as error:
            raise ModelError(f"Cannot read {file.name}: {error}") from error
        settings = read.config.to_dict()
        settings.pop("quantization_config", None)
        config = type(read.config).from_dict(settings)
        fresh = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.float32
        )
        fresh.load_state_dict(read.state_dict())
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
