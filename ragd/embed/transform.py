"""A transform of query vectors, read strictly from safetensors: an adapter in one space, or a map into another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ragd.domain.errors import ArtifactInvalid, ModelUnavailable
from ragd.domain.index import Vectors
from ragd.embed.pooling import unit
from ragd.hooks.artifacts import FORMS

SETTINGS_NAME: Final = "transform.json"
TENSORS_NAME: Final = "transform.safetensors"
_HINT: Final = "train it again, or roll back: `ragd models rollback ROLE`"


@dataclass(frozen=True, slots=True)
class QueryTransform:
    """Changes unit vectors of dimension `dimension` into unit vectors of dimension `output`; safe from any thread.

    Forms (q a row): `residual` q + q weight'; `low_rank` q + (q down') up'; `affine` q weight' + bias;
    `mlp` q skip' + relu(q hidden' + hidden_bias) out' + out_bias; the result is brought to unit length.
    """

    form: str
    dimension: int
    output: int
    tensors: Mapping[str, Vectors] = field(repr=False)

    @classmethod
    def read(cls, folder: Path, dimension: int, output: int | None = None) -> QueryTransform:
        """The transform in `folder` for vectors of this dimension; `output` None means the same one.

        Raises ModelUnavailable when a file is missing or cannot be read, ArtifactInvalid when it holds another form,
        other tensors, types or shapes than the form has, or a value that is not finite.
        """
        form = _form(folder)
        tensors = _tensors(folder / TENSORS_NAME)
        sizes = _sizes(folder, form, tensors, {"n": dimension})
        found = sizes.get("m", dimension)
        wanted = dimension if output is None else output
        if found != wanted:
            raise ArtifactInvalid(
                f"{folder / TENSORS_NAME} leads to vectors of dimension {found}, not {wanted}", hint=_HINT
            )
        return cls(form, dimension, found, tensors)

    def __call__(self, vectors: Vectors) -> Vectors:
        """The transformed vectors: (dimension,) gives (output,), (n, dimension) gives (n, output); float32."""
        t, q = self.tensors, np.asarray(vectors, np.float32)
        if self.form == "residual":
            changed = q + q @ t["weight"].T
        elif self.form == "low_rank":
            changed = q + (q @ t["down"].T) @ t["up"].T
        elif self.form == "affine":
            changed = q @ t["weight"].T + t["bias"]
        else:
            hidden = np.maximum(q @ t["hidden"].T + t["hidden_bias"], 0.0)
            changed = q @ t["skip"].T + hidden @ t["out"].T + t["out_bias"]
        return unit(changed)


def _form(folder: Path) -> str:
    path = folder / SETTINGS_NAME
    try:
        settings: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error.strerror or error}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise ArtifactInvalid(f"{path} is not JSON: {error}", hint=_HINT) from error
    form = settings.get("form") if isinstance(settings, dict) else None
    if not isinstance(form, str) or form not in FORMS:
        raise ArtifactInvalid(f"{path} names the form {form!r}", hint=f"one of {', '.join(FORMS)}")
    return form


def _tensors(path: Path) -> dict[str, Vectors]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            found: dict[str, Vectors] = {}
            for name in file.keys():  # noqa: SIM118 - not a mapping
                if file.get_slice(name).get_dtype() != "F32":
                    raise ArtifactInvalid(f"{path}: the tensor {name} is not float32", hint=_HINT)
                found[name] = np.array(file.get_tensor(name), np.float32)
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error.strerror or error}", hint=_HINT) from error
    except SafetensorError as error:
        raise ArtifactInvalid(f"{path} is not a safetensors file: {error}", hint=_HINT) from error
    return found


def _sizes(folder: Path, form: str, tensors: Mapping[str, Vectors], sizes: dict[str, int]) -> dict[str, int]:
    """The length of each axis. Raises ArtifactInvalid when a tensor is missing, too much, or does not fit."""
    path, axes = folder / TENSORS_NAME, FORMS[form]
    if tensors.keys() != axes.keys():
        raise ArtifactInvalid(
            f"{path} holds {', '.join(sorted(tensors)) or 'nothing'}; the form {form} has {', '.join(sorted(axes))}",
            hint=_HINT,
        )
    for name, letters in axes.items():
        shape = tensors[name].shape
        fits = len(shape) == len(letters) and all(
            sizes.setdefault(letter, length) == length > 0 for letter, length in zip(letters, shape, strict=True)
        )
        if not fits:
            known = ", ".join(f"{letter} = {length}" for letter, length in sizes.items())
            raise ArtifactInvalid(f"{path}: {name} has the shape {shape}, not ({letters}) with {known}", hint=_HINT)
        if not np.isfinite(tensors[name]).all():
            raise ArtifactInvalid(f"{path}: {name} holds values that are no numbers", hint=_HINT)
    return sizes
