"""Opens the encoder that a specification names; each kind's libraries are imported only when it is chosen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragd.domain.errors import ArtifactInvalid, ConfigInvalid
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.ports import Encoder
from ragd.embed.folder import ModelFolder, read_folder
from ragd.embed.package import ModelSource, find_model
from ragd.embed.space import local_space, prompts_of

LOCAL_KINDS = ("onnx", "sbert")
SERVE_NAME = "serve.json"


def open_encoder(spec: EncoderSpec, models: Path, *, api_key: str = "") -> Encoder:
    """The encoder of `spec`, ready to encode; `models` is the state's folder of artefacts, created when needed.

    The first opening of an ONNX model exports it, in a child, which takes seconds. Raises ModelUnavailable,
    ModelMismatch, ConfigInvalid or DiskFull.
    """
    if spec.kind == "onnx":
        return _open_onnx(spec, models)
    if spec.kind == "sbert":
        from ragd.embed.sbert import SbertEncoder

        source, folder = _local(spec, models)
        space = local_space(spec, source, folder)
        return SbertEncoder(source.folder, space, prompts_of(spec, folder), threads=spec.threads)
    if spec.kind == "openai":
        from ragd.embed.openai import OpenAIEncoder

        return OpenAIEncoder(spec, api_key=api_key)
    from ragd.embed.plugged import open_plugged

    return open_plugged(spec, models)


def space_of(spec: EncoderSpec, models: Path, *, api_key: str = "") -> EmbeddingSpace:
    """The space that `open_encoder` of the same arguments would encode into, without loading the model.

    An endpoint is asked once, unless the specification states its dimension; a plugin's encoder is opened. Raises as
    `open_encoder`.
    """
    if spec.kind not in LOCAL_KINDS:
        opened = open_encoder(spec, models, api_key=api_key)
        try:
            return opened.space
        finally:
            opened.close()
    return local_space(spec, *_local(spec, models))


def stored_spec(folder: Path, configured: EncoderSpec) -> EncoderSpec:
    """How the encoder that a trainer made is opened from `folder`: as its `serve.json` says, by default ONNX at fp32.

    Prompts, lengths and threads are the configured ones. Raises ArtifactInvalid for a kind or precision unknown here.
    """
    path = folder / SERVE_NAME
    try:
        said: Any = json.loads(path.read_bytes())
        kind, precision = said.get("kind", "onnx"), said.get("precision", "fp32")
    except FileNotFoundError:
        kind, precision = "onnx", "fp32"
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ArtifactInvalid(f"{path} cannot be read: {error}", hint="train again") from error
    if kind not in ("onnx", "sbert") or precision not in ("fp32", "int8"):
        raise ArtifactInvalid(
            f"{path} asks for the kind {kind!r} at {precision!r}",
            hint="kind is onnx or sbert, precision is fp32 or int8",
        )
    return replace(configured, kind=kind, model=str(folder), precision=precision, dimension=0, url="")


def tokenizer_path(spec: EncoderSpec, models: Path) -> Path | None:
    """The tokenizer file that texts are to be split by; None where it is not known and characters must do."""
    if spec.kind not in LOCAL_KINDS:
        return None
    _, folder = _local(spec, models)
    return folder.tokenizer if folder.tokenizer.is_file() else None


def _local(spec: EncoderSpec, models: Path) -> tuple[ModelSource, ModelFolder]:
    source = find_model(spec.model, models)
    return source, read_folder(source.folder)


def _open_onnx(spec: EncoderSpec, models: Path) -> Encoder:
    from ragd.embed.artefact import open_export
    from ragd.embed.onnx import OnnxEncoder, check_modules

    source, folder = _local(spec, models)
    check_modules(folder)
    space = local_space(spec, source, folder)
    if source.is_onnx:
        if spec.precision != "fp32":
            raise ConfigInvalid(
                f"{source.folder} holds a finished ONNX graph, which is used as it is, not at {spec.precision}",
                hint="set the precision to fp32, or point to a folder with model.safetensors",
            )
        graph = source.weights[0]
    else:
        graph = open_export(source, spec.precision, models)
    return OnnxEncoder(folder, graph, space, prompts_of(spec, folder), threads=spec.threads)
