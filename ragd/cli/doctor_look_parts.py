"""Gathers what `ragd doctor` judges about ragd's own parts: configuration, state, daemon, folders, Redis, model."""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ragd.cli import doctor_facts as facts
from ragd.cli.doctor_look import kind_of_mount, user_name
from ragd.disk.lock import lock_owner
from ragd.domain.errors import ConfigInvalid, NotFound, PluginRefused, RagdError

if TYPE_CHECKING:
    from ragd.config.load import Loaded
    from ragd.config.schema import Config

_ANSWER_S = 5.0
_WALK_S = 3.0
_MOST_FOLDERS = 500_000
_AHEAD_S = 300.0


def config(loaded: Loaded) -> facts.ConfigFacts:
    """The file that was read: who may read it, and whether it holds a password or a key."""
    from ragd.config.keys import keys
    from ragd.config.origin import Layer

    if loaded.file is None:
        return facts.ConfigFacts(None)
    of_file = {name for name, origin in loaded.origins.items() if origin.layer is Layer.FILE}
    secrets = {key.name for key in keys() if key.is_secret and key.name in of_file}
    has_password = "redis.url" in of_file and bool(urlsplit(loaded.config.redis.url).password)
    told = loaded.file.stat()
    return facts.ConfigFacts(loaded.file, (), "", told.st_mode & 0o777, told.st_uid, bool(secrets) or has_password)


def broken_config(named: Path | None, error: ConfigInvalid) -> facts.ConfigFacts:
    """What is wrong with a configuration that cannot be loaded."""
    from ragd.config.file import find

    file = None
    with suppress(ConfigInvalid, OSError):
        file = find(named, os.environ, Path.cwd())
    return facts.ConfigFacts(file, tuple(str(error).splitlines()), error.hint)


def state_of(file: Path | None, env: Mapping[str, str]) -> Path:
    """The state folder as far as a configuration that is not in order tells it."""
    from ragd.config.folders import default_state

    if env.get("RAGD_STATE"):
        return Path(env["RAGD_STATE"])
    with suppress(OSError, ValueError):
        told = tomllib.loads(file.read_text("utf-8")).get("state") if file else None
        if file and isinstance(told, str) and told:
            return file.parent / Path(told).expanduser()
    return default_state(env)


def state(folder: Path, broker: Path) -> facts.StateFacts:
    """The state folder, its owner and rights; `broker` is the private Redis's socket, whose path has a limit too."""
    longest = len(os.fsencode(broker.absolute()))
    try:
        told = folder.stat()
    except OSError:
        above = next(path for path in folder.absolute().parents if path.exists())
        return facts.StateFacts(
            folder, "nothing", is_writable=os.access(above, os.W_OK | os.X_OK), socket_bytes=longest
        )
    if not folder.is_dir():
        return facts.StateFacts(folder, "other", socket_bytes=longest)
    foreign = []
    with suppress(OSError):
        for entry in sorted(folder.iterdir()):
            seen = entry.lstat()
            if not entry.is_symlink() and seen.st_uid != told.st_uid:
                foreign.append(entry)
    _, kind, is_network = kind_of_mount(folder)
    return facts.StateFacts(
        path=folder,
        kind="folder",
        uid=told.st_uid,
        owner=user_name(told.st_uid),
        mode=told.st_mode & 0o777,
        is_writable=os.access(folder, os.W_OK | os.X_OK),
        foreign=tuple(foreign[:20]),
        mount=kind,
        is_network=is_network,
        socket_bytes=longest,
    )


def daemon(folder: Path, socket: Path) -> tuple[facts.DaemonFacts, tuple[Path, ...]]:
    """Who holds the state folder and what it says; with the folders that it watches."""
    from ragd.cli.client import Client

    try:
        pid = lock_owner(folder)
    except OSError:
        pid = None
    if pid is None:
        return facts.DaemonFacts(), ()
    command = ""
    with suppress(OSError):
        command = " ".join(os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0"))[:100].strip()
    client = Client(socket, _ANSWER_S)
    try:
        told = client.status()
    except RagdError as error:
        return facts.DaemonFacts(pid, command, problem=str(error)), ()
    finally:
        client.close()
    reasons = tuple(str(reason) for reason in told["reasons"])
    watched = tuple(Path(str(root["folder"])) for root in told["watch"] if "folder" in root)
    return facts.DaemonFacts(pid, command, True, "", reasons, str(told["version"])), watched


def catalog(folder: Path) -> facts.CatalogFacts:
    """Whether the catalog is there and can be read by this ragd."""
    from ragd.catalog.migrate import FORMAT
    from ragd.catalog.reader import CatalogReader
    from ragd.disk.mark import require_whole

    reader = CatalogReader(folder)
    try:
        require_whole(folder)
        reader.overview.serving()
    except FileNotFoundError:
        return facts.CatalogFacts(exists=False)
    except RagdError as error:
        return facts.CatalogFacts(True, error.code, str(error), hint=error.hint)
    finally:
        reader.close()
    return facts.CatalogFacts(True, format=FORMAT)


def folders(paths: Sequence[Path], *, now: float) -> tuple[facts.FolderFacts, ...]:
    """Each watched folder, walked for at most three seconds in all."""
    deadline = time.monotonic() + _WALK_S
    return tuple(_folder(path, deadline, now) for path in paths)


def _folder(path: Path, deadline: float, now: float) -> facts.FolderFacts:
    from ragd.watch.roots import RootState, look

    found = look(os.fsencode(path), None)
    _, kind, is_network = kind_of_mount(path)
    uid = path.stat().st_uid if found.state is not RootState.MISSING and path.exists() else 0
    if found.state is not RootState.OK:
        barrier = _barrier(path)
        owner = barrier.stat().st_uid if barrier else 0
        return facts.FolderFacts(path, str(found.state), uid, kind, is_network, barrier=barrier, barrier_uid=owner)
    count, future, unlistable, is_partial = 0, 0, [], False
    waiting = [os.fsencode(path)]
    while waiting:
        if count >= _MOST_FOLDERS or time.monotonic() > deadline:
            is_partial = True
            break
        here = waiting.pop()
        count += 1
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        future += entry.stat(follow_symlinks=False).st_mtime > now + _AHEAD_S
        except OSError:
            unlistable.append(Path(os.fsdecode(here)))
    barred = tuple(unlistable[:20])
    return facts.FolderFacts(path, "ok", uid, kind, is_network, count, is_partial, barred, future=future)


def _barrier(path: Path) -> Path | None:
    """The first folder on the way that may not be passed, or the folder itself where it may not be listed."""
    for above in [*reversed(path.absolute().parents), path.absolute()]:
        try:
            is_open = os.access(above, os.X_OK | (os.R_OK if above == path.absolute() else 0))
            if above.exists() and not is_open:
                return above
        except OSError:
            return None
    return None


def redis(loaded: Config, origin: str, *, is_running: bool) -> facts.RedisFacts:
    """The configured Redis, or the private one: asked where the daemon runs, its program looked for where not."""
    from ragd.jobs.broker import masked
    from ragd.jobs.embedded import EmbeddedRedis, find_server
    from ragd.jobs.redis_facts import ask

    private = EmbeddedRedis(loaded.state / "broker", loaded.redis.server)
    url = loaded.redis.address or private.url
    parts = urlsplit(url)
    blank = facts.RedisFacts(
        url=masked(url),
        origin=origin,
        is_private=not loaded.redis.url,
        has_password=bool(parts.password),
        is_remote=bool(loaded.redis.url) and _is_remote(parts.hostname),
    )
    try:
        if blank.is_private:
            blank = replace(blank, server=find_server(loaded.redis.server))
            if not is_running:
                return blank
        told = ask(url)
    except RagdError as error:
        return replace(blank, error=str(error), hint=error.hint)
    return replace(
        blank,
        version=told.version,
        policy=told.policy,
        max_memory_bytes=told.max_memory_bytes,
        memory_bytes=told.memory_bytes,
        is_persistent=told.is_persistent,
        can_write=told.can_write,
    )


def _is_remote(host: str | None) -> bool:
    return host not in (None, "", "localhost", "::1") and not str(host).startswith("127.")


def door(loaded: Config, *, now: float) -> facts.DoorFacts:
    """Where the daemon answers over TCP, and whether its tokens can be read."""
    from ragd.web.door import door_of
    from ragd.web.tokens import TokenFile

    stands, tokens = door_of(loaded.http), TokenFile(loaded.state)
    blank = facts.DoorFacts(stands.tcp, stands.is_wide, stands.needs_token, file=tokens.path)
    try:
        return replace(blank, tokens=sum(token.is_valid(now) for token in tokens.read()))
    except RagdError as error:
        return replace(blank, error=str(error))


def model(loaded: Config, origin: str) -> facts.ModelFacts:
    """The configured encoder, and the exports that the state folder keeps."""
    from ragd.embed.examine import damaged_exports, examine
    from ragd.embed.package import PACKAGED

    name, kind = loaded.embed.model, loaded.embed.encoder
    blank = facts.ModelFacts(name, origin=origin, is_packaged=name == PACKAGED)
    if kind not in ("onnx", "sbert"):
        return blank
    try:
        examine(name, kind)
    except RagdError as error:
        return replace(blank, error=str(error), hint=error.hint)
    return replace(blank, damaged=damaged_exports(loaded.state / "models"))


def plugins(loaded: Config) -> facts.PluginsFacts:
    """The plugin files that do not run, each with its reason; none of their code does here."""
    from ragd.hooks import sources, trust

    folder = loaded.plugins_folder
    pins_problem = ("", "")
    try:
        pins = trust.read_pins(loaded.state)
    except PluginRefused as error:
        pins, pins_problem = {}, (str(error), error.hint)
    found = sources.plugin_files(folder)
    problems = []
    for path in found:
        with suppress(OSError, NotFound):
            problem, hint, _ = trust.problem_of(path, pins)
            if problem and path.stem not in loaded.plugins.disabled:
                problems.append((path, problem, hint))
    return facts.PluginsFacts(folder, len(found), tuple(problems), pins_problem)
