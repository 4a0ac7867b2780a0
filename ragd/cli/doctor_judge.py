"""What follows from the facts about the machine: pure, facts in, findings out, each with the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote

from ragd.cli import doctor_facts as facts
from ragd.cli.doctor_facts import Finding, Level, Shell
from ragd.cli.terminal import count, size
from ragd.cli.tested import PYTHONS

_MIB = 1 << 20
_LEAST_FREE = 256 * _MIB
_LEAST_FILES = 1000
_ENOUGH_OPEN = 512
_WRITTEN_AT = 1_735_689_600.0  # no clock that is right tells an earlier time: this ragd was not there yet
_NAMES = {"watches": "inotify watches", "instances": "inotify instances"}


def disk(told: facts.DiskFacts, shell: Shell) -> Iterator[Finding]:
    """Room for the catalog, its snapshots and its log."""
    where = f"{told.path} on {told.mount} ({told.kind})"
    needed = max(_LEAST_FREE, told.needed_bytes)
    if told.is_read_only:
        command = shell.as_root(f"mount -o remount,rw {quote(told.mount)}")
        yield Finding("disk", Level.WRONG, f"{where} is mounted read-only", command)
    elif told.free_bytes < needed:
        says = f"{where} has {size(told.free_bytes)} left of {size(told.size_bytes)}; {size(needed)} are wanted"
        yield Finding("disk", Level.WRONG, says, *_more_room(told, needed, shell))
    elif told.free_files < _LEAST_FILES:
        says = f"{where} has room for {count(told.free_files)} more files only"
        command = f"du --inodes -x {quote(told.mount)} 2>/dev/null | sort -n | tail -20"
        yield Finding("disk", Level.WRONG, says, command, "this shows which folders hold the most files; remove some")
    else:
        yield Finding("disk", Level.FINE, f"{size(told.free_bytes)} free on {told.mount} ({told.kind})")


def _more_room(told: facts.DiskFacts, needed: int, shell: Shell) -> tuple[str, str]:
    if told.kind == "tmpfs":
        mib = (told.size_bytes - told.free_bytes + 2 * needed) // _MIB + 1
        return shell.as_root(f"mount -o remount,size={mib}m {quote(told.mount)}"), "a tmpfs takes memory: mind its size"
    command = f"du -xh {quote(told.mount)} 2>/dev/null | sort -h | tail -20"
    return command, "this shows what takes the room: remove some of it; ragd goes on by itself when there is room"


def clock(told: facts.ClockFacts, shell: Shell) -> Iterator[Finding]:
    """A clock that is right enough: settling and retention go by it."""
    set_it = "timedatectl set-ntp true" if "timedatectl" in shell.programs else 'date -s "YYYY-MM-DD HH:MM:SS"'
    if told.now < _WRITTEN_AT:
        yield Finding(
            "clock", Level.WRONG, "the clock tells a time before this ragd was written", shell.as_root(set_it)
        )
    elif told.drift_s > 0.05:
        says = f"the clock was set while we looked: it went {told.drift_s:.2f} s apart from the monotonic one"
        yield Finding("clock", Level.NOTE, says, hint="nothing to do, unless it goes on")
    if told.future:
        names = " ".join(quote(str(path)) for path in told.future)
        says = f"{count(len(told.future))} files of the state folder come from the future, {told.future[0]} for one"
        yield Finding("clock", Level.WRONG, says, f"touch {names}", "or set the clock, if it is the one that is wrong")
    if told.now >= _WRITTEN_AT and not told.future and told.drift_s <= 0.05:
        yield Finding("clock", Level.FINE, "goes evenly; nothing comes from the future")


def inotify(told: facts.InotifyFacts, folders: int, roots: int, shell: Shell) -> Iterator[Finding]:
    """A watch for every folder, an instance for every root."""
    if not told.watches:
        yield Finding("inotify", Level.NOTE, "this system tells no limits of inotify; folders are scanned")
        return
    wrong = [
        *_limit("watches", told.watches, told.watches_used, folders, shell),
        *_limit("instances", told.instances, told.instances_used, roots, shell),
    ]
    yield from wrong
    if not wrong:
        limit = min(told.watches.values())
        says = f"{count(limit)} watches, {count(told.watches_used)} used by others, {count(folders)} wanted"
        yield Finding("inotify", Level.FINE, says)


def _limit(kind: str, limits: Mapping[str, int], used: int, wanted: int, shell: Shell) -> Iterator[Finding]:
    for key, limit in limits.items():
        if used + wanted <= limit:
            continue
        more = 1 << max(10, (2 * (used + wanted) - 1).bit_length())
        says = f"{key} allows {count(limit)} {_NAMES[kind]}; {count(used)} are used by others, {count(wanted)} wanted"
        if "sysctl" in shell.programs:
            command = shell.as_root(f"sysctl {key}={more}")
        else:
            command = shell.write(str(more), f"/proc/sys/{key.replace('.', '/')}")
        hint = f"to keep it, put the line `{key} = {more}` into /etc/sysctl.d/90-ragd.conf; until then ragd scans"
        yield Finding("inotify", Level.WRONG, says, command, hint)


def files(told: facts.FilesFacts, roots: int, shell: Shell) -> Iterator[Finding]:
    """Enough open files for connections, workers and watched folders."""
    wanted = _ENOUGH_OPEN + 4 * roots
    whose = f"process {told.pid}" if told.pid else "a process started here"
    if told.soft < wanted or told.open > told.soft * 0.8:
        says = f"{whose} may open {count(told.soft)} files, {count(told.open)} are open; {count(wanted)} are wanted"
        more = max(4096, 2 * wanted)
        if told.pid and "prlimit" in shell.programs:
            limits = f"{more}:" if more <= told.hard else f"{more}:{more}"
            command = f"prlimit --pid {told.pid} --nofile={limits}"
            yield Finding("files", Level.WRONG, says, command if more <= told.hard else shell.as_root(command))
        else:
            yield Finding("files", Level.WRONG, says, f"ulimit -n {min(more, told.hard)}", "then start ragd there")
        return
    opened = f", {count(told.open)} are open" if told.pid else ""
    yield Finding("files", Level.FINE, f"{whose} may open {count(told.soft)} files{opened}")


def versions(told: facts.VersionsFacts, shell: Shell) -> Iterator[Finding]:
    """Libraries that are missing, or of another major version than was tested."""
    missing = [name for name, version in told.installed.items() if not version]
    foreign = [n for n, v in told.installed.items() if v and v.split(".")[0] != told.tested[n].split(".")[0]]
    other = [n for n, v in told.installed.items() if v and v != told.tested[n] and n not in foreign]
    for names, what in ((missing, "not installed"), (foreign, "of another major version than was tested")):
        if names:
            wanted = " ".join(quote(f"{name}=={told.tested[name]}") for name in names)
            had = ", ".join(f"{name} {told.installed[name]}".strip() for name in names)
            yield Finding("versions", Level.WRONG, f"{what}: {had}", f"{shell.python} -m pip install {wanted}")
    if told.python not in PYTHONS:
        tested = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
        says = f"Python {told.python[0]}.{told.python[1]}; tested were {tested}"
        yield Finding("versions", Level.NOTE, says, hint="install one of those if something is odd")
    if not missing and not foreign:
        differs = f", {len(other)} in another minor version than was tested" if other else ""
        says = f"Python {told.python[0]}.{told.python[1]}, {len(told.installed)} libraries{differs}"
        yield Finding("versions", Level.FINE, says)


def kernel(told: facts.KernelFacts, shell: Shell) -> Iterator[Finding]:
    """What holds back the process that reads documents."""
    for lack in told.missing:
        is_network = "network" in lack
        command = ""
        if is_network and told.settings.get("kernel.unprivileged_userns_clone") == 0:
            command = shell.as_root("sysctl kernel.unprivileged_userns_clone=1")
        elif is_network and told.settings.get("kernel.apparmor_restrict_unprivileged_userns"):
            command = shell.as_root("sysctl kernel.apparmor_restrict_unprivileged_userns=0")
        elif is_network and told.settings.get("user.max_user_namespaces") == 0:
            command = shell.as_root("sysctl user.max_user_namespaces=16384")
        hint = "" if command else "start a kernel from 5.13 on that has Landlock and seccomp (`lsm=landlock,…` at boot)"
        yield Finding("kernel", Level.WRONG, lack, command, hint)
    if not told.missing:
        yield Finding("kernel", Level.FINE, "readers are held by Landlock, namespaces or seccomp")


def memory(told: facts.MemoryFacts, shell: Shell) -> Iterator[Finding]:
    """Room to read a large document beside the index, without the kernel refusing or killing."""
    if told.overcommit == 2:
        says = (
            "vm.overcommit_memory is 2: what reads documents and the private Redis may be refused memory that is there"
        )
        command = shell.as_root("sysctl vm.overcommit_memory=0")
        yield Finding("memory", Level.WRONG, says, command, "keep it: a line in /etc/sysctl.d/90-ragd.conf")
    elif 0 < told.available_bytes + told.swap_bytes < told.wanted_bytes:
        says = f"{size(told.available_bytes)} of memory are available, one document may take {size(told.wanted_bytes)}"
        hint = "lower read.memory_mb in the configuration, or end other programs"
        yield Finding("memory", Level.NOTE, says, hint=hint)
    else:
        yield Finding("memory", Level.FINE, f"{size(told.available_bytes)} available of {size(told.total_bytes)}")


def door(told: facts.DoorFacts, shell: Shell) -> Iterator[Finding]:
    """Nobody comes in over TCP who should not, and somebody may where tokens are asked for."""
    if told.error:
        yield Finding("http", Level.WRONG, told.error, f"chmod 600 {quote(str(told.file))}", "if it is yours as it is")
    elif told.tcp and told.needs_token and not told.tokens:
        says = f"{told.tcp} asks for a token, and no token is valid"
        yield Finding("http", Level.WRONG, says, f"{shell.ragd} token add laptop --role read")
    elif told.is_wide:
        says = f"{told.tcp} is answered to other machines, {count(told.tokens)} valid tokens, without TLS"
        yield Finding(
            "http", Level.NOTE, says, hint="let a proxy or a tunnel stand before it: tokens cross in the clear"
        )
    else:
        beside = f" and {told.tcp}" if told.tcp else ""
        yield Finding("http", Level.FINE, f"answered on the Unix socket{beside}")


def folders_of(told: tuple[facts.FolderFacts, ...]) -> int:
    """How many watches all folders together want."""
    return sum(one.folders for one in told if not one.is_network)
