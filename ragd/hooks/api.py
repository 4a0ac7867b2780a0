"""What a plugin author may import: everything here is public and stable, everything else is private.

A trainer needs `hookimpl`, `Trainer`, `Role`, `Needs`, `Data`, `Run` and `Artifact`; `save_transform` and
`save_tensors` write what the serving path reads. An author raises TrainingFailed, TooFewExamples, ModelUnavailable,
LaunchFailed or ReadFailed, each with a `hint`; anything else counts as a bug of the plugin.
"""

from __future__ import annotations

from pluggy import HookimplMarker

from ragd.domain.deciding import Cost, Observed, Reason, TriggerPolicy, Window
from ragd.domain.documents import ReadText
from ragd.domain.errors import (
    EncoderFailed,
    LaunchFailed,
    ModelUnavailable,
    ReadFailed,
    TooFewExamples,
    TrainingFailed,
)
from ragd.domain.index import EmbeddingSpace, EncoderSpec
from ragd.domain.learning import Artifact, Chunk, Data, Needs, Pair, Prompt, Resources, Role, Run, Snapshot, Trainer
from ragd.domain.plugins import Event, EventKind, Launched, Launcher, Tracker
from ragd.domain.ports import Encoder, EncoderKind, Reader
from ragd.hooks.archive import open_archive
from ragd.hooks.artifacts import save_serving, save_tensors, save_transform
from ragd.hooks.options import read_options
from ragd.hooks.prompts import TokenRow, prompt_ids, prompt_row
from ragd.hooks.text import decode_text

__all__ = [
    "Artifact",
    "Chunk",
    "Cost",
    "Data",
    "EmbeddingSpace",
    "Encoder",
    "EncoderFailed",
    "EncoderKind",
    "EncoderSpec",
    "Event",
    "EventKind",
    "LaunchFailed",
    "Launched",
    "Launcher",
    "ModelUnavailable",
    "Needs",
    "Observed",
    "Pair",
    "Prompt",
    "ReadFailed",
    "ReadText",
    "Reader",
    "Reason",
    "Resources",
    "Role",
    "Run",
    "Snapshot",
    "TokenRow",
    "TooFewExamples",
    "Tracker",
    "Trainer",
    "TrainingFailed",
    "TriggerPolicy",
    "Window",
    "decode_text",
    "hookimpl",
    "open_archive",
    "prompt_ids",
    "prompt_row",
    "read_options",
    "save_serving",
    "save_tensors",
    "save_transform",
]

hookimpl = HookimplMarker("ragd")
