"""One value of every kind that travels through Redis."""

from __future__ import annotations

import numpy as np

from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.training import PluginSource, RunOutcome
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractItem, ExtractResult, ReadLimits, SplitPolicy
from ragd.jobs.queue import PlanRequest, RunEnded, RunProgress, RunWantsFiles, TextAnswer, TrainJob, Trouble
from ragd.jobs.settings import TrainSettings, WorkerModel, WorkerSettings


def payloads() -> tuple[object, ...]:
    """A value of each kind that is read by `jobs.payload.decode`."""
    stat = Stat(1, 2, 3, 4)
    extraction = Extraction(b"h" * 16, "md", "Title", stat, 9, (Piece("words", "Title", 0, 5, 1), Piece("x", "", 5, 6)))
    results = (ExtractResult(1, 1, extraction), ExtractResult(2, 1, None, "broken", "mend it"))
    seen = Observation(b"a/b.md", Presence.PRESENT, stat, b"h" * 16, seen_at=1.0, stable_at=2.0, fresh=True)
    plugin = PluginSource("mine", "file", "/p/mine.py", "00ff")
    model = WorkerModel(EncoderSpec(url="http://h/v1"), EmbeddingSpace("f", 384, "minilm", 256))
    train = TrainSettings("local", ("mlflow",), (plugin,))
    outcome = RunOutcome("trained", "artifact", {"a.json": "00"}, {"epochs": 3}, 5, 1.0, loss=0.5)
    return (
        ExtractBatch("bulk-1", b"/root", (ExtractItem(1, 1, b"a.md"), ExtractItem(2, 3, b"\xff")), False),
        EmbedBatch("fresh-1", 1, "f", (1, 2), ("one", "two"), True),
        PlanRequest(1, (seen, Observation(b"gone", Presence.GONE))),
        TextAnswer("bulk-1", results, 5.0),
        Trouble("embed", "bulk-1", "reason", "hint", False),
        TrainJob("20260101-nudge", "/s/runs/1"),
        RunProgress("20260101-nudge", 1, 2.0, 3, 4, {"loss": 0.5}),
        RunEnded("20260101-nudge", outcome, True),
        RunWantsFiles("20260101-nudge", ("minilm/00",)),
        WorkerSettings(ReadLimits(), SplitPolicy("/t.json", 5, 9), (model,), 3, train),
    )


def vectors() -> EmbedResult:
    """What is read by `jobs.payload.decode_vectors`."""
    return EmbedResult("bulk-1", 1, (1, 2, 3), np.ones((3, 8), np.float16), 0.5, 30)
