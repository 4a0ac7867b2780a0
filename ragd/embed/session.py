"""ONNX Runtime's door: a graph on disk to vectors of tokens, small in memory and silent when idle."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from ragd.domain.errors import ModelUnavailable
from ragd.domain.index import Vectors
from ragd.embed.halt import Halt, Halted

_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")
_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class TokenModel:
    """One session over a transformer's graph; `hidden` may be called from several threads."""

    def __init__(self, graph: Path, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Between the steps of one run the threads wait by spinning (a fifth faster here); after it they sleep at
        # once, so that an idle process costs nothing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's own classes share no public base
            raise ModelUnavailable(
                f"{graph} cannot be loaded: {error}", hint="remove the file, it is made anew"
            ) from error
        self._names = [entry.name for entry in self._session.get_inputs()]
        unknown = sorted(set(self._names) - _INPUTS)
        if unknown:
            raise ModelUnavailable(
                f"{graph} wants inputs that an encoder of texts does not have: {', '.join(unknown)}",
                hint="use the encoder kind sbert for this model",
            )

    def hidden(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], halt: Halt | None = None) -> Vectors:
        """Token ids and mask (n, tokens) to the first output, (n, tokens, d), or (n, d) if the graph pools itself.

        Raises Halted when `halt` was set before the end.
        """
        inputs = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._names:
            inputs["token_type_ids"] = np.zeros_like(ids)
        feed = {name: inputs[name] for name in self._names}
        options = onnxruntime.RunOptions()
        if halt is not None:
            halt.listen(lambda: setattr(options, "terminate", True))
        try:
            return np.asarray(self._session.run(None, feed, options)[0], dtype=np.float32)
        except Exception as error:  # the library's own classes share no public base
            if halt is not None and halt.is_set:
                raise Halted from error
            if any(words in str(error) for words in _NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise
