"""Takes what a run made into the folder of models, whole or not at all, and proves a stored model again at load."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ragd.disk.atomic import no_room_named, sync_folder
from ragd.domain.errors import ArtifactInvalid
from ragd.domain.learning import Role
from ragd.hooks.artifacts import FORMS
from ragd.learn.artifact import inspect

CARD_NAME: Final = "card.json"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HINT: Final = "see docs/howto/write-a-trainer.md for what an artefact of this role holds"
_ANEW: Final = "train it again, or put the file back from a copy"
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Offer:
    """What a run offers: the artefact's folder, in the run's own, with the hashes that were taken when it was made.

    `name` is the trainer's, `dimension` that of the serving space. `beside` are further folders to keep with it, by the
    name they get inside (`map` for an encoder). `card` is what is to be said of it.
    """

    folder: Path
    within: Path
    role: Role
    name: str
    files: Mapping[str, str]
    dimension: int
    beside: Mapping[str, Path] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A model at its place: `folder` relative to that of models, its files with SHA-256 (hex), one hash over all."""

    folder: str
    files: Mapping[str, str]
    sha256: str
    size_bytes: int


def accept(offer: Offer, models: Path, version: int) -> Stored:
    """Checks an artefact and copies it to `models/NAME/VERSION`, with its `card.json`, in one step.

    Raises ArtifactInvalid naming the file for a pickle, a link, a file that is missing, too much or has another hash,
    and a form or dimension that does not suit the role; DiskFull. Nothing is left behind then.
    """
    if not _NAME.fullmatch(offer.name):
        raise ArtifactInvalid(f"{offer.name!r} is no name for a folder of models", hint="rename the trainer")
    found = inspect(offer.folder, offer.within, offer.role)
    _check_promise(found, offer.files)
    _check_form(offer.folder, offer.role, offer.dimension)
    sources = {name: offer.folder / name for name in found}
    files = dict(found)
    for name, folder in offer.beside.items():
        inside = inspect(folder, offer.within, Role.QUERY_ADAPTER)
        sources |= {f"{name}/{path}": folder / path for path in inside}
        files |= {f"{name}/{path}": digest for path, digest in inside.items()}
    if CARD_NAME in files:
        raise ArtifactInvalid(f"{CARD_NAME} in the artefact has the name of ragd's own file", hint="leave it out")
    stored = Stored(f"{offer.name}/{version}", files, _joint(files), sum(p.stat().st_size for p in sources.values()))
    card = {"name": offer.name, "version": version, "role": str(offer.role), "files": files, "sha256": stored.sha256}
    _place(models / stored.folder, sources, files, {**card, **offer.card})
    return stored


def verified(folder: Path, files: Mapping[str, str]) -> Path:
    """The folder, after every file in it was found as it was stored, and no other.

    Raises ArtifactInvalid naming the first that is missing, changed or too much.
    """
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(files.keys() - here):
        raise ArtifactInvalid(f"{folder / name} is missing", hint=_ANEW)
    for name in sorted(here - files.keys() - {CARD_NAME}):
        raise ArtifactInvalid(f"{folder / name} does not belong to the model", hint="move it away")
    for name, expected in files.items():
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ArtifactInvalid(f"{folder / name} cannot be read: {error.strerror}", hint=_ANEW) from error
        if digest != expected:
            raise ArtifactInvalid(f"{folder / name} is not the file that was stored: its hash differs", hint=_ANEW)
    return folder


def remove(models: Path, folder: str) -> None:
    """Removes the files of a model that was given up, and what was exported from them; those that are gone are gone."""
    place = models / folder
    if place.resolve().is_relative_to(models.resolve()) and place.resolve() != models.resolve():
        shutil.rmtree(place, ignore_errors=True)
        for export in (models / folder.replace("/", "-")).glob("[0-9a-f]" * 16):
            shutil.rmtree(export, ignore_errors=True)


def _check_promise(found: Mapping[str, str], promised: Mapping[str, str]) -> None:
    missing, extra = promised.keys() - found.keys(), found.keys() - promised.keys()
    if missing:
        raise ArtifactInvalid(f"the artefact lacks {', '.join(sorted(missing))}, which the run wrote", hint=_ANEW)
    if extra:
        raise ArtifactInvalid(f"the artefact holds {', '.join(sorted(extra))}, which the run did not name", hint=_ANEW)
    for name, digest in promised.items():
        if found[name] != digest:
            raise ArtifactInvalid(f"{name} in the artefact is not what the run wrote: its hash differs", hint=_ANEW)


def _check_form(folder: Path, role: Role, dimension: int) -> None:
    match role:
        case Role.QUERY_ADAPTER:
            _check_transform(folder, dimension)
        case Role.INDEX:
            path = folder / "centroids.safetensors"
            _check_axes(path, _header(path), {"centroids": "kn"}, {"n": dimension})
        case Role.ENCODER:
            if not [*folder.rglob("*.safetensors"), *folder.rglob("model.onnx")]:
                raise ArtifactInvalid("the artefact has no model.safetensors or model.onnx", hint=_HINT)
        case Role.GENERATOR:
            if not [*folder.rglob("*.safetensors")]:
                raise ArtifactInvalid("the artefact has no weights (*.safetensors)", hint=_HINT)


def _check_transform(folder: Path, dimension: int) -> None:
    settings: Any = json.loads((folder / "transform.json").read_bytes())
    form = settings.get("form") if isinstance(settings, dict) else None
    if not isinstance(form, str) or form not in FORMS:
        raise ArtifactInvalid(f"transform.json names the form {form!r}", hint=f"one of {', '.join(FORMS)}")
    path = folder / "transform.safetensors"
    _check_axes(path, _header(path), FORMS[form], {"n": dimension, "m": dimension})


def _header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of a safetensors file that `inspect` found whole."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    return {name: (t["dtype"], tuple(t["shape"])) for name, t in header.items() if name != "__metadata__"}


def _check_axes(
    path: Path,
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    axes: Mapping[str, str],
    sizes: Mapping[str, int],
) -> None:
    if tensors.keys() != axes.keys():
        raise ArtifactInvalid(
            f"{path.name} holds {', '.join(sorted(tensors)) or 'nothing'} instead of {', '.join(sorted(axes))}",
            hint=_HINT,
        )
    known = dict(sizes)
    for name, letters in axes.items():
        dtype, shape = tensors[name]
        if dtype != "F32":
            raise ArtifactInvalid(f"{path.name}: {name} is {dtype}, not float32", hint=_HINT)
        if len(shape) != len(letters) or any(
            known.setdefault(letter, length) != length or length < 1
            for letter, length in zip(letters, shape, strict=True)
        ):
            said = ", ".join(f"{letter} = {length}" for letter, length in known.items())
            raise ArtifactInvalid(f"{path.name}: {name} has the shape {shape}, not ({letters}) with {said}", hint=_HINT)


def _place(destination: Path, sources: Mapping[str, Path], files: Mapping[str, str], card: Mapping[str, Any]) -> None:
    with no_room_named(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        for leftover in destination.parent.glob(".new-*"):  # of a daemon that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(dir=destination.parent, prefix=".new-"))
        try:
            for name, source in sources.items():
                _copy(source, work / name, files[name])
            _write(work / CARD_NAME, (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())
            for folder in [work, *(path for path in work.rglob("*") if path.is_dir())]:
                sync_folder(folder)
            work.chmod(0o755)
            shutil.rmtree(destination, ignore_errors=True)  # placed, but never entered in the registry
            work.rename(destination)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        sync_folder(destination.parent)


def _copy(source: Path, target: Path, expected: str) -> None:
    """Copies a plain file and compares what was copied. Raises ArtifactInvalid."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ArtifactInvalid(f"{source} cannot be read: {error.strerror}", hint=_ANEW) from error
    with os.fdopen(descriptor, "rb") as file, target.open("xb") as copy:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    if digest.hexdigest() != expected:
        raise ArtifactInvalid(f"{source} changed while it was taken over", hint=_ANEW)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _joint(files: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode()).hexdigest()
