"""A model's ONNX export under the models folder: found, proven by its card, or made by a child, once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ragd.config.events import get_log
from ragd.domain.errors import DiskFull, ModelUnavailable
from ragd.embed.folder import ModelFolder
from ragd.embed.package import ModelSource
from ragd.embed.stamps import sha256_of

OPSET = 17
# Raised when the export changes in a way that older files lack; they are then made anew.
FORMAT = 1
EXPORT_TIMEOUT_S = 1800.0
WORK_PREFIX = ".export-"

_LOG = get_log("ragd.embed")


def graph_name(precision: str) -> str:
    """The file name of the graph."""
    return f"{precision}.onnx"


def data_name(precision: str) -> str:
    """The file name of the weights beside it."""
    return f"{precision}.data"


def open_export(source: ModelSource, precision: str, models: Path) -> Path:
    """The path of the model's ONNX graph, exported now if there is none or if its bytes are not what its card says.

    Takes seconds the first time; another process that asks meanwhile waits for the same export. Raises
    ModelUnavailable when the model cannot be exported, DiskFull when there is no room.
    """
    folder = models / source.name / source.weights_hash[:16]
    if _is_good(folder, source, precision, models):
        return folder / graph_name(precision)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            if not _is_good(folder, source, precision, models):  # else another process made it while we waited
                for leftover in folder.glob(f"{WORK_PREFIX}*"):  # of a child that was killed
                    shutil.rmtree(leftover, ignore_errors=True)
                _run_child(source, precision, folder)
    except OSError as error:
        raise ModelUnavailable(
            f"{folder} cannot be written: {error.strerror or error}", hint="check the state folder's permissions"
        ) from error
    if not _is_good(folder, source, precision, models):
        raise ModelUnavailable(
            f"the export in {folder} does not match its card", hint="check the disk, then remove that folder"
        )
    return folder / graph_name(precision)


def install(work: Path, destination: Path, folder: ModelFolder, precision: str, source_hash: str) -> None:
    """Moves a finished export from `work` into `destination` (the same file system), the card last."""
    names = (graph_name(precision), data_name(precision))
    card = {
        "format": FORMAT,
        "source_sha256": source_hash,
        "files": {name: sha256_of(work / name, work / "stamps") for name in names},
        "opset": OPSET,
        "precision": precision,
        "pooling": folder.pooling,
        "dimension": folder.dimension,
        "max_tokens": folder.max_tokens,
    }
    (work / f"{precision}.json").write_text(json.dumps(card, indent=2) + "\n", "utf-8")
    for name in (*names, f"{precision}.json"):
        with (work / name).open("rb") as file:
            os.fsync(file.fileno())
        (work / name).replace(destination / name)
    handle = os.open(destination, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_good(folder: Path, source: ModelSource, precision: str, models: Path) -> bool:
    try:
        card: dict[str, Any] = json.loads((folder / f"{precision}.json").read_text("utf-8"))
        if card["format"] != FORMAT or card["source_sha256"] != source.weights_hash:
            return False
        wanted = {graph_name(precision), data_name(precision)}
        files: dict[str, str] = card["files"]
        return files.keys() == wanted and all(
            sha256_of(folder / name, models / "stamps") == digest for name, digest in files.items()
        )
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _LOG.warning("export_unreadable", folder=folder, reason=error)
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_child(source: ModelSource, precision: str, destination: Path) -> None:
    argv = [sys.executable, "-m", "ragd.embed.export", os.fspath(source.folder), os.fspath(destination)]
    argv += ["--precision", precision, "--source-hash", source.weights_hash]
    _LOG.info("export_started", model=source.name, precision=precision)
    try:
        child = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=EXPORT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailable(
            f"the ONNX export of {source.folder} took more than {EXPORT_TIMEOUT_S:.0f} s",
            hint="use the encoder kind sbert for this model",
        ) from error
    lines = child.stderr.decode("utf-8", "replace").strip().splitlines()
    last = lines[-1].removeprefix("export: ").removeprefix("error: ") if lines else f"exit status {child.returncode}"
    if child.returncode == DiskFull.exit_code:
        raise DiskFull(last, hint="make room on the disk that holds the state folder")
    if child.returncode != 0:
        raise ModelUnavailable(
            f"the ONNX export of {source.folder} failed: {last}", hint="use the encoder kind sbert for this model"
        )
    _LOG.info("exported", model=source.name, precision=precision, detail=last)
