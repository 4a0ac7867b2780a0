"""The encoder on torch: any sentence-transformers folder, on the GPU if there is one."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
import transformers

from ragd.domain.errors import EncoderFailed, ModelMismatch, ModelUnavailable
from ragd.domain.index import EmbeddingSpace, Vectors
from ragd.embed.space import Prompts
from ragd.embed.tokens import well_formed

# A GPU wants wide batches; a CPU gains nothing from them and can be interrupted sooner without.
GPU_SLICE_TOKENS = 65_536
CPU_SLICE_TOKENS = 1_024


class SbertEncoder:
    """Encodes by sentence-transformers at fp32; safe to use from several threads, which take turns.

    No code from the model folder is run and nothing pickled is read. `threads` 0 means every core; it is torch's
    setting for the whole process. Raises ModelUnavailable when the folder cannot be loaded.
    """

    def __init__(self, folder: Path, space: EmbeddingSpace, prompts: Prompts, *, threads: int = 0) -> None:
        torch.set_num_threads(threads or os.cpu_count() or 1)
        self._space = space
        self._prompts = prompts
        # The tokenizer's padding and truncation are set anew in each call: two calls at once would clash.
        self._lock = threading.Lock()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.slice_tokens = GPU_SLICE_TOKENS if device == "cuda" else CPU_SLICE_TOKENS
        transformers.logging.disable_progress_bar()
        try:
            model = sentence_transformers.SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelUnavailable(
                f"{folder} cannot be loaded: {reason}", hint="save the model again with sentence-transformers"
            ) from error
        with suppress(AttributeError):  # static embeddings take texts of any length, and no limit
            model.max_seq_length = space.max_tokens
        self._model: sentence_transformers.SentenceTransformer | None = model

    @property
    def space(self) -> EmbeddingSpace:
        """The space its vectors live in."""
        return self._space

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Document vectors, (len(texts), dimension), float32, unit length, in the order given."""
        if not texts:
            return np.empty((0, self._space.dimension), dtype=np.float32)
        return self._run([well_formed(text) for text in texts], self._prompts.document, task="document")

    def encode_query(self, text: str) -> Vectors:
        """A query's vector, (dimension,), float32, unit length."""
        return np.asarray(self._run([well_formed(text)], self._prompts.query, task="query")[0])

    def close(self) -> None:
        """Drops the model; safe to call twice."""
        with self._lock:
            self._model = None

    def _run(self, texts: list[str], prompt: str, *, task: str) -> Vectors:
        with self._lock:
            if self._model is None:
                raise EncoderFailed("the encoder is closed", hint="open it again")
            try:
                found = self._model.encode(
                    texts,
                    prompt=prompt,
                    batch_size=max(1, self.slice_tokens // self._space.max_tokens),
                    show_progress_bar=False,
                    normalize_embeddings=True,
                    task=task,
                )
            except torch.OutOfMemoryError as error:
                raise EncoderFailed(
                    f"model {self._space.model} ran out of device memory", hint="lower max_tokens, or free the device"
                ) from error
        vectors = np.asarray(found, dtype=np.float32)
        if vectors.shape[1] != self._space.dimension or not np.isfinite(vectors).all():
            raise ModelMismatch(
                f"model {self._space.model} gave vectors of dimension {vectors.shape[1]} or values that are no numbers;"
                f" expected {self._space.dimension} finite ones",
                hint="check the model folder",
            )
        return vectors
