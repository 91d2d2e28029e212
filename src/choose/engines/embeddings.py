"""Sentence embeddings, each distinct text embedded once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from choose.engines.causal.chat_template import limit_rendering
from choose.engines.hardware.batch_limits import halvings, limits_of, within_memory
from choose.engines.hardware.device_and_dtype import device, device_name, quiet_loading
from choose.engines.hardware.timed_steps import TimedSteps
from choose.engines.output_cache import CachedArray, ResultCache
from choose.engines.weights.resolve import resolve, weights_digest
from choose.engines.weights.safe_folders import (
    check_complete,
    check_finite,
    check_tokenizer,
    loading_error,
    recorded_missing,
)
from choose.errors import ModelError
from choose.progress import report_progress

# Texts of similar length embedded between two looks at the clock and at the number of threads, and
# the characters of short ones: few enough that a busy machine ends them within seconds.
TEXTS_PER_CHUNK, CHARACTERS_PER_CHUNK = 64, 16_384

# Most texts in memory; studies have fewer, a stream can have millions.
MAX_TEXTS_IN_MEMORY = 100_000

Vectors = npt.NDArray[np.float32]


@dataclass
class Encoder:
    """A loaded sentence encoder, and its vectors so far with the seconds that each took.

    `cache` holds the vectors of earlier processes.
    """

    model: Any
    cache: ResultCache | None = None
    vectors: dict[str, CachedArray] = field(default_factory=dict)
    steps: TimedSteps = field(default_factory=TimedSteps)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) unit vectors; the model truncates texts that are too long for it."""
        self.load_cached(texts)
        new = sorted(set(texts).difference(self.vectors), key=lambda t: (len(t), t))
        device = self.model.device.type
        done, total = 0, sum(len(text) for text in new)
        for chunk in self._chunks(new):
            start = perf_counter()
            with self.steps.step(sum(len(text) for text in chunk)):
                vectors = within_memory(device, partial(self._encode, chunk))
            each = (perf_counter() - start) / len(chunk)
            computed = {text: (vector, each) for text, vector in zip(chunk, vectors, strict=True)}
            self.vectors.update(computed)
            if self.cache is not None:
                self.cache.put({_key(text): numbers for text, numbers in computed.items()})
            # By characters, since the shortest come first: short texts say little of long ones.
            done += sum(len(text) for text in chunk)
            report_progress(done, total, "embedding")
        if not texts:
            return np.empty((0, self.model.get_embedding_dimension()), np.float32)
        embedded = np.stack([self.vectors[text][0] for text in texts])
        while len(self.vectors) > MAX_TEXTS_IN_MEMORY:
            del self.vectors[next(iter(self.vectors))]
        return embedded

    def _chunks(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """Yield the texts of the next step: so many, or more that have few characters."""
        usual = max(TEXTS_PER_CHUNK, limits_of(self.model.device.type).embedding_texts)
        first = characters = 0
        for place, text in enumerate(texts):
            fewest, most = self.steps.most(usual), self.steps.most(CHARACTERS_PER_CHUNK)
            if place - first >= fewest and characters + len(text) > most:
                yield texts[first:place]
                first, characters = place, 0
            characters += len(text)
        if texts:
            yield texts[first:]

    def load_cached(self, texts: Sequence[str]) -> None:
        """Load vectors that are in the cache but not in memory, with the seconds they had taken."""
        if self.cache is None:
            return
        keys = {_key(text): text for text in set(texts).difference(self.vectors)}
        self.vectors.update({keys[key]: found for key, found in self.cache.get(keys).items()})

    def cached_seconds(self, texts: Sequence[str]) -> float:
        """Return the seconds that embedding these texts, each once, took when it was done."""
        self.load_cached(texts)
        return sum(self.vectors[text][1] for text in set(texts).intersection(self.vectors))

    def _encode(self, texts: Sequence[str]) -> Vectors:
        # A lone surrogate, which damaged data can hold, would stop the tokenizer.
        safe = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        from choose.engines.lora.fused.unpadded_encoder import unpadded

        with unpadded(self.model) as any_number:
            device = self.model.device.type
            most = limits_of(device).embedding_texts
            vectors = self.model.encode(
                safe,
                batch_size=len(safe) if any_number and not halvings(device) else most,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        # The cache holds float32, so that results do not depend on it.
        vectors = np.asarray(vectors, np.float32)
        if not np.isfinite(vectors).all():
            raise ModelError("The encoder gives vectors with NaN or infinity. Name another model.")
        return vectors


def load_encoder(spec: str) -> Encoder:
    """Load an encoder once a process, and again when the content of its folder has changed."""
    return _loaded(spec, weights_digest(spec))


@lru_cache(maxsize=4)
def _loaded(spec: str, digest: str) -> Encoder:
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    folder, options = resolve(spec), dict[str, Any](use_safetensors=True)
    if device() == "cpu":  # where checkpoints in half precision are slow and coarse
        options["dtype"] = "float32"
    try:
        with quiet_loading(), recorded_missing() as missing:
            model = SentenceTransformer(str(folder), trust_remote_code=False, model_kwargs=options)
    except Exception as error:  # damaged files can raise anything
        raise loading_error("an encoder", folder, error) from error
    for module in model.modules():  # some render texts as chats
        limit_rendering(getattr(module, "processor", None))
        if isinstance(module, PreTrainedModel) and isinstance(
            model.tokenizer, PreTrainedTokenizerBase
        ):
            words = getattr(module.config.get_text_config(), "vocab_size", None)
            check_tokenizer(model.tokenizer, words, folder)
    check_complete(folder, missing, "encoder")
    check_finite(model, folder)
    return cached_encoder(model, "embedding", digest)


def cached_encoder(model: Any, kind: str, digest: str) -> Encoder:
    """Return an encoder whose cached vectors belong to weights with that digest."""
    from choose.engines.lora.fused.unpadded_encoder import unpadded

    with unpadded(model):  # so that no text's time contains the preparation
        made_by = (kind, digest, str(model.dtype), device_name(model.device))
    return Encoder(model, ResultCache(made_by))


def _key(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
