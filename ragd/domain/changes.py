"""What was seen of a path, and what it means for the catalog: values only, decided in `plan/reconcile`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ragd.domain.documents import Stat


class Presence(StrEnum):
    """Three answers about a path. Only `gone`, on a mounted and listed root, may delete."""

    PRESENT = "present"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one path at one moment.

    `path` is relative to the root, as bytes, with `/`. `stat` and `content_hash` are given when
    the path is present as a regular file (`content_hash` may be None when it was not worth
    reading or reading failed). `problem` is a one-line reason why a present path cannot be a
    document (a FIFO, a link out of the root, no permission, too large), `hint` what to do;
    such a path is kept as a failed document. `seen_at` and `stable_at` are Unix seconds.
    `fresh` marks what a person just changed: it overtakes a backfill.
    """

    path: bytes
    presence: Presence
    stat: Stat | None = None
    content_hash: bytes | None = None
    problem: str = ""
    hint: str = ""
    seen_at: float = 0.0
    stable_at: float = 0.0
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog holds of one path: the row that an observation is compared with."""

    document_id: int
    path: bytes
    stat: Stat
    content_hash: bytes | None
    is_failed: bool


class Action(StrEnum):
    """What reconcile decides for one path."""

    ADD = "add"
    MODIFY = "modify"
    TOUCH = "touch"  # same content, new metadata
    DELETE = "delete"
    FAIL = "fail"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Change:
    """One decision of reconcile: what to do with the document at `observation.path`."""

    action: Action
    observation: Observation
    known: Known | None
