"""The life of a worker process: await the daemon's settings, open what they name, work, start anew on a change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ragd.config.events import get_log
from ragd.domain.errors import BadRequest, ModelUnavailable
from ragd.domain.index import EncoderSpec
from ragd.domain.training import PluginSource
from ragd.embed.encoder import open_encoder
from ragd.jobs.away import Away
from ragd.jobs.broker import Broker
from ragd.jobs.encoders import Encoders
from ragd.jobs.hold import Handler
from ragd.jobs.loop import run_worker
from ragd.jobs.memory import end_threads_too
from ragd.jobs.options import Ending, WorkerOptions
from ragd.jobs.queue import Queues
from ragd.jobs.settings import WorkerSettings, published
from ragd.jobs.stride import Stride
from ragd.jobs.tasks import embed_handlers, extract_handlers, tell_trouble
from ragd.jobs.training import open_site, train_handlers
from ragd.plan.sandbox import START_TIMEOUT_S, Sandbox

API_KEY_VARIABLE: Final = "RAGD_EMBED__API_KEY"
_LOOK_S: Final = 1.0
_AUTOGROUP: Final = Path("/proc/self/autogroup")
_LOG = get_log("ragd.jobs")


def worker_main(
    kind: str,
    redis_url: str,
    models: Path,
    *,
    plugins: Path | None = None,
    readers: Sequence[PluginSource] | None = None,
    roots: Collection[bytes] = (),
    api_key: str = "",
    endpoint: str = "",
    burst: bool = False,
) -> int:
    """Works for the daemon that uses this Redis until SIGTERM; the main of a worker process.

    `kind` is `extract`, `embed` or `train`, `models` the folder of the encoder's artefacts in this machine's state
    folder, `plugins` its folder of trusted plugin files, `readers` the plugins whose readers are used (by default
    all that are bundled or installed), `roots` the only folders that files are read from (by default any),
    `api_key` the key (by default from the environment) of the endpoint at `endpoint` and of no other. When the daemon
    publishes other settings (another live model), the worker goes on with those; no answer ever mixes two models.
    Returns the exit status 0.
    Raises BrokerUnavailable, BrokerTooOld, ModelUnavailable, ModelMismatch or PayloadInvalid.
    """
    if kind not in ("extract", "embed", "train"):
        raise BadRequest(f"unknown kind of worker {kind!r}", hint="one of extract, embed, train")
    api_key = api_key or os.environ.get(API_KEY_VARIABLE, "")
    broker = Broker(redis_url)
    broker.check()
    queues = Queues(broker)
    encoders = Encoders(lambda spec: open_encoder(spec, models, api_key=key_for(spec, api_key, endpoint)))
    if not burst:
        end_threads_too()
    ending = Ending.SETTINGS_CHANGED
    while ending is Ending.SETTINGS_CHANGED:
        settings, revision = _awaited(broker)
        # Reading is short and its words are waited for: it stands back half as far as encoding, which takes every core.
        stand_back(settings.nice // 2 if kind == "extract" else settings.nice)
        stride = Stride() if burst else stride_of(kind, settings)
        trouble = tell_trouble(queues, kind)
        options = WorkerOptions("", revision, trouble, burst, is_disposable=not burst, stride=stride)
        if kind == "train":
            site = open_site(settings.train, Away(broker, queues, models.parent / "runs", models, plugins))
            table = train_handlers(queues, site, is_stopping=options.stopping.is_set)
            ending = run_worker(kind, broker, table, options)
            continue
        with _tools(kind, queues, settings, encoders, (readers, roots), options) as handlers:
            ending = run_worker(kind, broker, handlers, options)
    encoders.close()
    broker.close()
    return 0


def key_for(spec: EncoderSpec, api_key: str, endpoint: str) -> str:
    """The key for what a specification names. Raises ModelUnavailable rather than tell it to another endpoint.

    Specifications come from Redis: who can write there must not have the key sent to an address of theirs.
    """
    if api_key and spec.url and spec.url.rstrip("/") != endpoint.rstrip("/"):
        raise ModelUnavailable(
            f"the daemon's encoder is at {spec.url}, and this worker's key is for {endpoint or 'no endpoint'}",
            hint=f"if that is the right one, give the worker its address too: RAGD_EMBED__URL={spec.url}",
        )
    return api_key if spec.url else ""


def stride_of(kind: str, settings: WorkerSettings) -> Stride:
    """How long one step of such a worker may take: a file at least as long as it and a new reader for it may take.

    A run and the calls of an endpoint have time limits of their own.
    """
    if kind == "train" or any(model.spec.url for model in settings.models if kind == "embed"):
        return Stride()
    a_file_s = 2 * (settings.limits.timeout_s + START_TIMEOUT_S) if kind == "extract" else 0.0
    return Stride(max(settings.stuck_s, a_file_s))


def stand_back(nice: int) -> None:
    """Lets other programs and the daemon go first, as far as `nice` (0 to 19) says and the system allows."""
    with suppress(OSError):  # not allowed here: then at the usual priority
        os.nice(max(0, nice - os.nice(0)))
    if os.getsid(0) == os.getpid():
        # Where Linux groups processes by session, niceness counts within the group only; a session that is ours alone
        # stands back as a whole.
        with suppress(OSError):
            _AUTOGROUP.write_text(str(nice), encoding="ascii")


def _awaited(broker: Broker, sleep: Callable[[float], None] = time.sleep) -> tuple[WorkerSettings, bytes]:
    is_said = False
    while (found := published(broker)) is None:
        if not is_said:
            _LOG.info("worker_waits", what="daemon", redis=broker.shown_url)
            is_said = True
        sleep(_LOOK_S)
    return found


@contextmanager
def _tools(
    kind: str,
    queues: Queues,
    settings: WorkerSettings,
    encoders: Encoders,
    reading: tuple[Sequence[PluginSource] | None, Collection[bytes]],
    options: WorkerOptions,
) -> Iterator[Mapping[str, Handler]]:
    is_stopping, on_step = options.stopping.is_set, options.stride.step
    if kind == "extract":
        readers, roots = reading
        sandbox = Sandbox(settings.limits, settings.split, readers)
        try:
            yield extract_handlers(queues, sandbox, roots=roots, is_stopping=is_stopping, on_step=on_step)
        finally:
            sandbox.close()
        return
    encoders.publish(settings.models)
    yield embed_handlers(queues, encoders, is_stopping=is_stopping, on_step=on_step)
