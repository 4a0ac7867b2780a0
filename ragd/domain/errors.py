"""The one error tree: a leaf names the fact, carries a remedy and the exit code of the command that meets it."""

from __future__ import annotations

from typing import ClassVar


class RagdError(Exception):
    """Something a person can act on; `str(error)` is one line, `hint` says what to do.

    Subclasses set `exit_code`, the process status of a command that ends with this error,
    `http_status`, the status of an answer that carries it, and `code`, its stable name in JSON.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def code(self) -> str:
        """The stable machine name of this kind of error, for example `state_locked`."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


class BadRequest(RagdError):
    """What the caller asked for cannot be understood."""

    exit_code = 2
    http_status = 400


class ConfigInvalid(RagdError):
    """A configuration file, variable or flag holds something ragd does not accept."""

    exit_code = 2
    http_status = 400


class NotFound(RagdError):
    """The named document, receipt, collection or folder is not known."""

    exit_code = 3
    http_status = 404


class DaemonUnreachable(RagdError):
    """No daemon answers on the state folder's socket, and the command needs one."""

    exit_code = 4
    http_status = 503


class StateLocked(RagdError):
    """Another daemon owns this state folder."""

    exit_code = 5


class StateNewer(RagdError):
    """The state folder was written by a newer ragd."""

    exit_code = 6


class StateOlder(RagdError):
    """The state folder was written by an older ragd and is not upgraded yet; a daemon does it when it starts."""

    exit_code = 6


class StateCorrupt(RagdError):
    """The catalog cannot be read."""

    exit_code = 6


class StateBusy(RagdError):
    """Another process keeps the catalog locked; nothing was lost, work resumes when it lets go."""

    exit_code = 12
    http_status = 503


class StateUnwritable(RagdError):
    """The state folder cannot be written: it is read-only, or belongs to somebody else."""

    exit_code = 6
    http_status = 503


class StateGone(RagdError):
    """The state folder or its catalog was deleted, moved or replaced while the daemon ran."""

    exit_code = 6


class BackupInvalid(RagdError):
    """A backup file is damaged, cut off, or no backup at all; nothing was changed."""

    exit_code = 6
    http_status = 400


class GenerationCorrupt(RagdError):
    """A snapshot of the index fails its checksum or cannot be read; it can be rebuilt from the catalog."""

    exit_code = 6


class BrokerUnavailable(RagdError):
    """Redis cannot be reached, started or used."""

    exit_code = 7
    http_status = 503


class BrokerTooOld(BrokerUnavailable):
    """The Redis server is older than the oldest supported version."""


class BrokerInUse(BrokerUnavailable):
    """Another daemon with another state folder already works in this Redis database."""


class JobRefused(RagdError):
    """A job in Redis names something that is not in the worker's fixed table; it was not run."""


class PayloadInvalid(RagdError):
    """A value read from Redis is not what ragd wrote there: wrong shape, type or length."""


class ModelUnavailable(RagdError):
    """A model folder, package or endpoint is missing or cannot be loaded."""

    exit_code = 8


class ModelMismatch(ModelUnavailable):
    """A model is not the one that was promised: its hash, dimension or fingerprint differs."""


class EncoderFailed(RagdError):
    """The encoder could not turn texts into vectors this time; the work is kept and tried again."""

    exit_code = 8
    http_status = 503


class DiskFull(RagdError):
    """The disk that holds the state folder is full; nothing was lost, work resumes when there is room."""

    exit_code = 9
    http_status = 507


class PathInvalid(RagdError):
    """A path leads out of its root, is too long, or is not what it must be."""

    exit_code = 2
    http_status = 400


class ReadFailed(RagdError):
    """One document cannot be turned into text; the reason is kept beside it in `ragd failed`."""


class TimedOut(RagdError):
    """What was waited for did not happen in time."""

    exit_code = 10
    http_status = 504


class Busy(RagdError):
    """More is asked at once than is taken; the same request may succeed a moment later."""

    exit_code = 12
    http_status = 503

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class RateLimited(Busy):
    """One client asks more often than it may; the same request succeeds after a while."""

    http_status = 429


class Unauthorized(RagdError):
    """A token is needed and none was sent, or it is not known, has expired or was revoked."""

    exit_code = 18
    http_status = 401


class Forbidden(RagdError):
    """The token's role does not reach so far, or the request comes under a name or from a page that is not served."""

    exit_code = 19
    http_status = 403


class Differs(RagdError):
    """A verification found that the index is not equal to the catalog."""

    exit_code = 11


class PluginRefused(RagdError):
    """A plugin is broken, not trusted, or asks for what there is not; it is not used, and nothing else suffers."""

    exit_code = 13
    http_status = 409


class PairsInvalid(RagdError):
    """A file of pairs or prompts cannot be used; the file, the line and the reason are named."""

    exit_code = 2
    http_status = 400


class TooFewExamples(RagdError):
    """There is not enough data to train on; it is said how many examples are there and how many are needed."""

    exit_code = 14
    http_status = 409


class TrainingFailed(RagdError):
    """A run ended without a usable result; the reason is kept with the run, and what serves is untouched."""

    exit_code = 15
    http_status = 409


class LaunchFailed(TrainingFailed):
    """The process of a run could not be started."""


class ArtifactInvalid(TrainingFailed):
    """What a run made is not complete, not what its hash says, pickled, or of the wrong kind or dimension."""


class GateRefused(RagdError):
    """The challenger did not measurably beat what serves, so it was not promoted."""

    exit_code = 16
    http_status = 409


class BudgetExceeded(RagdError):
    """The work does not fit the budget now; it is said until when it waits."""

    exit_code = 17
    http_status = 409


class Unwell(RagdError):
    """`ragd doctor` found something that is wrong; each finding says what mends it."""

    exit_code = 20


class OutOfMemory(RagdError):
    """The system gave a process no more memory; a worker ends of it, is started again, and its job is done again."""

    exit_code = 21


class WorkerStuck(RagdError):
    """A worker's job did not get on for `workers.stuck_s`; it ends, is started again, and its job is done again."""

    exit_code = 22
