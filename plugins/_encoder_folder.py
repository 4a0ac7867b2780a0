"""A sentence-transformers folder opened for training and saved as the serving side opens it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragd.hooks.api import ModelUnavailable, Run, TrainingFailed

from ._torch_loop import quiet

_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


def open_model(run: Run, folder: Path | None = None) -> Any:
    """The run's model (or the one in `folder`) as a SentenceTransformer at fp32 on the run's device.

    Nothing is fetched, nothing pickled is read, no code of the folder is run. Raises ModelUnavailable for a folder
    without safetensors.
    """
    with quiet():
        import torch
        from sentence_transformers import SentenceTransformer
    place = folder or run.model
    if not any(place.glob("**/*.safetensors")):
        raise ModelUnavailable(
            f"{place} holds no model.safetensors, so there is nothing to train on",
            hint="point to the folder that sentence-transformers saved; a finished ONNX graph only serves",
        )
    try:
        with quiet():
            return SentenceTransformer(
                str(place),
                device=run.resources.device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelUnavailable(
            f"{place} cannot be loaded: {reason}", hint="save the model again with sentence-transformers"
        ) from error


def transformer_of(model: Any) -> Any:
    """The transformer inside. Raises TrainingFailed for a model without one (static embeddings)."""
    inner = model.transformers_model
    if inner is None:
        raise TrainingFailed(
            "the serving encoder holds no transformer", hint="use a trainer that does not need one, or another encoder"
        )
    return inner


def features(model: Any, texts: Sequence[str], *, is_query: bool) -> dict[str, Any]:
    """Token tensors of `texts` on the model's device, with the prompt that the model wants in front."""
    names = ("query",) if is_query else _DOCUMENT_PROMPTS
    prompt = next((model.prompts[name] for name in names if model.prompts.get(name)), None)
    made: dict[str, Any] = model.preprocess(list(texts), prompt=prompt)
    return {name: value.to(model.device) if hasattr(value, "to") else value for name, value in made.items()}


def encode(model: Any, texts: Sequence[str], *, is_query: bool = False, batch_size: int = 32) -> Any:
    """Unit vectors of `texts` without gradients, a float32 numpy array (n, dimension)."""
    names = ("query",) if is_query else _DOCUMENT_PROMPTS
    prompt = next((model.prompts[name] for name in names if model.prompts.get(name)), "")
    return model.encode(
        list(texts), prompt=prompt, batch_size=batch_size, show_progress_bar=False, normalize_embeddings=True
    )


def save_model(model: Any, folder: Path, source: Path | None = None) -> Path:
    """Writes the whole model into `folder`, anew; with `source` it is served as that folder says."""
    shutil.rmtree(folder, ignore_errors=True)
    with quiet():
        model.save_pretrained(str(folder), create_model_card=False)
    if source is not None and (source / "serve.json").is_file():
        shutil.copyfile(source / "serve.json", folder / "serve.json")
    return folder


def weights_of(model: Any) -> tuple[int, int]:
    """How many weights the model has, and how many of them ask for a gradient."""
    counted = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(n for n, _ in counted), sum(n for n, is_trained in counted if is_trained)


def size_bytes(folder: Path) -> int:
    """The size of every file below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty when there is no such file."""
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}
