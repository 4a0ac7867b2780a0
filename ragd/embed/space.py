"""The embedding space of a local model: which settings make two vectors comparable, as one fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ragd.domain.errors import ConfigInvalid, ModelMismatch
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.embed.folder import ModelFolder
from ragd.embed.package import ModelSource


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put in front of a query and of a document; empty means nothing."""

    query: str
    document: str


def fingerprint(**parts: str | int) -> str:
    """32 hex digits over named settings; equal settings give equal fingerprints, in every version of ragd."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]


def prompts_of(spec: EncoderSpec, folder: ModelFolder) -> Prompts:
    """The configured prompts, or those that the model folder was trained with."""
    return Prompts(spec.query_prompt or folder.query_prompt, spec.document_prompt or folder.document_prompt)


def local_space(spec: EncoderSpec, source: ModelSource, folder: ModelFolder) -> EmbeddingSpace:
    """The space of a model on disk.

    The runtime is not part of it: ONNX Runtime at fp32 and torch give the same vectors, so changing between
    them costs no embedding. Raises ModelMismatch when the dimension is not the configured one, ConfigInvalid
    when `max_tokens` is more than the model has positions for.
    """
    if spec.dimension and spec.dimension != folder.dimension:
        raise ModelMismatch(
            f"{source.folder} has dimension {folder.dimension}, but {spec.dimension} is configured",
            hint="remove the dimension from the encoder's configuration, or choose another model",
        )
    if folder.position_limit and spec.max_tokens > folder.position_limit:
        raise ConfigInvalid(
            f"max_tokens {spec.max_tokens} is more than the {folder.position_limit} positions of {source.folder}",
            hint="lower max_tokens, or set it to 0 for what the model says",
        )
    prompts = prompts_of(spec, folder)
    max_tokens = spec.max_tokens or folder.max_tokens
    return EmbeddingSpace(
        fingerprint=fingerprint(
            weights=source.weights_hash,
            precision=spec.precision if spec.kind == "onnx" else "fp32",
            pooling=folder.pooling,
            query_prompt=prompts.query,
            document_prompt=prompts.document,
            max_tokens=max_tokens,
        ),
        dimension=folder.dimension,
        model=source.name,
        max_tokens=max_tokens,
    )
