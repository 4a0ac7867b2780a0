"""The default encoder: a transformer on ONNX Runtime, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ragd.domain.errors import EncoderFailed, ModelMismatch, ModelUnavailable
from ragd.domain.index import EmbeddingSpace, Vectors
from ragd.embed.batch import slices
from ragd.embed.folder import ModelFolder
from ragd.embed.halt import Halt
from ragd.embed.pooling import MODES, pool, unit
from ragd.embed.session import TokenModel
from ragd.embed.space import Prompts
from ragd.embed.tokens import TextTokens

# On a CPU a batch is no faster than its texts one by one (measured), and its padding is pure loss: so a slice
# is about one full chunk, or several short ones of like length.
SLICE_TOKENS = 256


class OnnxEncoder:
    """Encodes by a graph that gives token vectors, pooled here as the model folder says.

    Safe to use from several threads. `graph` is a verified file. Raises ModelUnavailable for a model whose
    pooling or modules need torch.
    """

    slice_tokens = SLICE_TOKENS

    def __init__(
        self, folder: ModelFolder, graph: Path, space: EmbeddingSpace, prompts: Prompts, *, threads: int = 0
    ) -> None:
        check_modules(folder)
        self._space = space
        self._prompts = prompts
        self._pooling = folder.pooling
        self._tokens = TextTokens(folder, space.max_tokens)
        self._model: TokenModel | None = TokenModel(graph, threads=threads)

    @property
    def space(self) -> EmbeddingSpace:
        """The space its vectors live in."""
        return self._space

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Document vectors, (len(texts), dimension), float32, unit length, in the order given."""
        return self._encoded(texts, None)

    def encode_until(self, texts: Sequence[str], halt: Halt) -> Vectors:
        """As `encode`; raises Halted, within milliseconds, when `halt` is set before the end."""
        return self._encoded(texts, halt)

    def _encoded(self, texts: Sequence[str], halt: Halt | None) -> Vectors:
        rows = [self._tokens.ids(self._prompts.document + text) for text in texts]
        vectors = np.empty((len(rows), self._space.dimension), dtype=np.float32)
        for members in slices([len(row) for row in rows], SLICE_TOKENS):
            vectors[members] = self._vectors(*self._tokens.padded([rows[i] for i in members]), halt)
        return vectors

    def encode_query(self, text: str) -> Vectors:
        """A query's vector, (dimension,), float32, unit length."""
        ids, mask = self._tokens.padded([self._tokens.ids(self._prompts.query + text)])
        return np.asarray(self._vectors(ids, mask)[0])

    def close(self) -> None:
        """Drops the session; safe to call twice."""
        self._model = None

    def _vectors(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], halt: Halt | None = None) -> Vectors:
        model = self._model
        if model is None:
            raise EncoderFailed("the encoder is closed", hint="open it again")
        hidden = model.hidden(ids, mask, halt)
        vectors = unit(hidden if hidden.ndim == 2 else pool(hidden, mask, self._pooling))
        if vectors.shape[1] != self._space.dimension or not np.isfinite(vectors).all():
            raise ModelMismatch(
                f"model {self._space.model} gave vectors of dimension {vectors.shape[1]} or values that are no numbers;"
                f" expected {self._space.dimension} finite ones",
                hint="check the model folder, or use the encoder kind sbert",
            )
        return vectors


def check_modules(folder: ModelFolder) -> None:
    """Raises ModelUnavailable when the folder asks for more than a transformer, one pooling and normalising."""
    extra = [name for name in folder.modules if name not in ("Transformer", "Pooling", "Normalize")]
    if extra or folder.pooling not in MODES or not folder.includes_prompt:
        what = ", ".join(extra) or f"pooling {folder.pooling}"
        raise ModelUnavailable(
            f"{folder.path} needs what the ONNX encoder does not have: {what}",
            hint="use the encoder kind sbert for this model",
        )
