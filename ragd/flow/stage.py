"""One stage of a run as a process of its own: a run's folder in, one JSON line out, errors told by their names."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from ragd.domain.errors import RagdError
from ragd.domain.index import EncoderSpec, Vectors
from ragd.domain.ports import Encoder
from ragd.domain.training import RunPlaces
from ragd.embed.encoder import open_encoder

API_KEY_VARIABLE: Final = "RAGD_EMBED__API_KEY"


def run_stage(work: Callable[[RunPlaces], Mapping[str, Any]], arguments: Sequence[str]) -> int:
    """Does `work` on the folder that the one argument names and prints what it returns as the last line.

    A RagdError is printed as `error`, `reason` and `hint`, and its exit code is returned; a bug keeps its traceback.
    """
    if len(arguments) != 1:
        sys.stderr.write("one argument is wanted: the folder of a run\n")
        return 2
    try:
        said: Mapping[str, Any] = work(RunPlaces(Path(arguments[0]).absolute()))
        status = 0
    except RagdError as error:
        said = {"error": error.code, "reason": str(error), "hint": error.hint}
        status = error.exit_code
    sys.stdout.write(json.dumps(said, ensure_ascii=False, default=float) + "\n")
    sys.stdout.flush()
    return status


def api_key() -> str:
    """The key of an encoder's endpoint, from the environment: it stands in no file of a run."""
    return os.environ.get(API_KEY_VARIABLE, "")


def query_vectors(encoder: Encoder, spec: EncoderSpec, texts: Sequence[str]) -> Vectors:
    """Vectors of queries, (n, dimension), float32, unit length, by the encoder that was opened with `spec`.

    An endpoint is asked for many at once: its queries are documents with another prompt.
    """
    if not texts:
        return np.empty((0, encoder.space.dimension), np.float32)
    if spec.kind != "openai":
        return np.stack([encoder.encode_query(text) for text in texts])
    asking = replace(spec, document_prompt=spec.query_prompt, dimension=encoder.space.dimension)
    with closing(open_encoder(asking, Path(), api_key=api_key())) as many:
        return many.encode(texts)
