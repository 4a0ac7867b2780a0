"""Opens the encoder that a specification names; each kind's libraries are imported only when it is chosen."""

from __future__ import annotations

from pathlib import Path

from ragd.domain.errors import ConfigInvalid
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.ports import Encoder
from ragd.embed.folder import ModelFolder, read_folder
from ragd.embed.package import ModelSource, find_model
from ragd.embed.space import local_space, prompts_of

KINDS = ("onnx", "sbert", "openai")


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
    raise _unknown(spec)


def space_of(spec: EncoderSpec, models: Path, *, api_key: str = "") -> EmbeddingSpace:
    """The space that `open_encoder` of the same arguments would encode into, without loading the model.

    An endpoint is asked once, unless the specification states its dimension. Raises as `open_encoder`.
    """
    if spec.kind == "openai":
        from ragd.embed.openai import OpenAIEncoder

        remote = OpenAIEncoder(spec, api_key=api_key)
        try:
            return remote.space
        finally:
            remote.close()
    return local_space(spec, *_local(spec, models))


def tokenizer_path(spec: EncoderSpec, models: Path) -> Path | None:
    """The tokenizer file that texts are to be split by; None where it is not known and characters must do."""
    if spec.kind == "openai":
        return None
    _, folder = _local(spec, models)
    return folder.tokenizer if folder.tokenizer.is_file() else None


def _local(spec: EncoderSpec, models: Path) -> tuple[ModelSource, ModelFolder]:
    if spec.kind not in KINDS:
        raise _unknown(spec)
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


def _unknown(spec: EncoderSpec) -> ConfigInvalid:
    return ConfigInvalid(f"unknown encoder kind {spec.kind!r}", hint=f"one of {', '.join(KINDS)}")
