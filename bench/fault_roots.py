"""What can happen to a watched folder: unmounted, emptied, replaced, renamed, closed to ragd, and files that vanish."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.fault import Outcome, Scenario, Skipped
from bench.fault_site import NotSo, Site, site

_MANY: Final = 24  # documents: fewer than 20 that go are believed


def unmounted(scratch: Path) -> Outcome:
    """The folder is a mount that goes away and comes back, changed meanwhile; the daemon is started anew in between."""
    behind, folder = scratch / "disk", scratch / "kb"
    behind.mkdir()
    folder.mkdir()
    with (
        _mounted("-t", "tmpfs", "none", str(behind)),
        _mounted("--bind", str(behind), str(folder)),
        site(scratch, folder=folder, files=_MANY) as one,
    ):
        _umount(folder)
        one.until_said("the folder is empty", "confirm-delete")
        one.stop()
        one.launch()
        said = one.until_said("the folder is empty", "confirm-delete")
        _check_kept(one)
        one.folder = behind
        one.edit()
        one.folder = folder
        begun = time.monotonic()
        _mount("--bind", str(behind), str(folder))
        return one.outcome(begun, f"held, then lifted by itself; said: {_tail(said)}")


def remounted(scratch: Path) -> Outcome:
    """Another disk with the same files (a copy: other device, inodes and times) is mounted over the folder."""
    folder = scratch / "kb"
    with site(scratch, files=_MANY) as one:
        copy = scratch / "copy"
        shutil.copytree(folder, copy)
        with _mounted("-t", "tmpfs", "none", str(folder)):
            one.until_said("the folder is empty", "confirm-delete")
            begun = time.monotonic()
            shutil.copytree(copy, folder, dirs_exist_ok=True)
            encoded = one.status()["model"]["encoded_chars"]
            one.until_whole()
            if one.status()["model"]["encoded_chars"] != encoded:
                raise NotSo("what was known was encoded again")
            one.edit()
            return one.outcome(begun, "held while it was empty; nothing was encoded again")


def emptied(scratch: Path) -> Outcome:
    """Everything in the folder is removed, and put back; then removed again, and a person agrees."""
    with site(scratch, files=_MANY) as one:
        copy = scratch / "copy"
        shutil.copytree(one.folder, copy)
        _empty(one.folder)
        said = one.until_said("the folder is empty", "confirm-delete")
        _check_kept(one)
        begun = time.monotonic()
        shutil.copytree(copy, one.folder, dirs_exist_ok=True)
        taken_s = one.until_whole()
        _empty(one.folder)
        one.until_said("the folder is empty")
        listed = json.loads(_ragd(one, "confirm-delete", "--json"))["held"]
        if [each["missing"] for each in listed] != [_MANY]:
            raise NotSo(f"ragd confirm-delete lists {listed}")
        _ragd(one, "confirm-delete", str(one.folder), "--yes")
        one.texts.clear()
        found = one.outcome(begun, f"held, lifted when put back, gone when agreed; said: {_tail(said)}")
        return Outcome(found.survived, found.lost, taken_s, found.note)


def replaced(scratch: Path) -> Outcome:
    """Another folder is renamed into its place, then the right one again."""
    with site(scratch, files=_MANY) as one:
        other = scratch / "other"
        other.mkdir()
        (other / "strange.md").write_text(one.text())
        one.folder.rename(scratch / "away")
        other.rename(one.folder)
        said = one.until_said("documents are missing", "confirm-delete")
        _check_kept(one)
        begun = time.monotonic()
        one.folder.rename(other)
        (scratch / "away").rename(one.folder)
        return one.outcome(begun, f"held, then lifted by itself; said: {_tail(said)}")


def renamed(scratch: Path) -> Outcome:
    """The folder is renamed while files in it change, then named as before."""
    with site(scratch, files=_MANY) as one:
        away = one.folder.with_name("away")
        one.folder.rename(away)
        said = one.until_said("the folder is not there", "its documents are kept")
        _check_kept(one)
        home, one.folder = one.folder, away
        one.edit()
        one.folder = home
        begun = time.monotonic()
        away.rename(home)
        return one.outcome(begun, f"said: {_tail(said)}")


def closed(scratch: Path) -> Outcome:
    """The right to list the folder, one inside it and one file is taken away and given back."""
    environment = {"RAGD_WATCH__RESCAN_S": "1"}
    with site(scratch, files=_MANY, prefix=unprivileged(), environment=environment) as one:
        inside = one.folder / "notes"
        taken: dict[Path, int] = {}
        try:
            _close(one.folder, taken)
            said = one.until_said("may not be listed", "its documents are kept")
            _check_kept(one)
            _open(taken)
            one.until_whole()
            _close(inside, taken)
            reason = _failed(one, "notes")
            if "Permission denied" not in reason:
                raise NotSo(f"notes failed for another reason: {reason}")
            _check_kept(one)
            _close(one.folder / one.write("mine.md"), taken)
            _failed(one, "mine.md")
            begun = time.monotonic()
            _open(taken)
            return one.outcome(begun, f"documents kept, then taken up; said: {_tail(said)}")
        finally:
            _open(taken)


def vanishing(scratch: Path) -> Outcome:
    """Four writers save and remove files at random moments while they are read; some stay."""
    with site(scratch) as one:
        lock = threading.Lock()

        def write(seed: int) -> None:
            rng = random.Random(seed)
            for number in range(60):
                with lock:
                    text = one.text(paragraphs=rng.randint(1, 30))
                name = f"w{seed}-{number}.md"
                (one.folder / name).write_text(text)
                time.sleep(rng.uniform(0.0, 0.4) ** 2)
                if number % 6:
                    (one.folder / name).unlink()
                else:
                    with lock:
                        one.texts[name] = text

        writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        return one.outcome(time.monotonic(), "of 240 files 200 vanished, most of them unread")


def unprivileged() -> list[str]:
    """What takes the superuser's right to pass over permissions from a command. Raises Skipped."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Skipped("the superuser may read everything, and setpriv is not installed")
    capabilities = "-dac_override,-dac_read_search"
    return [setpriv, f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", "--"]


def _check_kept(one: Site) -> None:
    """Nothing is deleted while deletions are in doubt, and all of it is found."""
    time.sleep(1.0)
    one.searches()
    gone = {path: said for path, said in one.wrong().items() if path in one.texts}
    if gone:
        raise NotSo(f"documents were let go: {dict(list(gone.items())[:3])}")


def _failed(one: Site, path: str) -> str:
    found: list[dict[str, Any]] = []

    def has_failed() -> bool:
        found[:] = one.daemon.client.documents(state="failed", path=path)["documents"]
        return bool(found)

    one.until(has_failed, f"{path} has failed")
    return str(found[0]["reason"])


def _close(path: Path, taken: dict[Path, int]) -> None:
    taken[path] = path.stat().st_mode & 0o777
    path.chmod(0)


def _open(taken: dict[Path, int]) -> None:
    for path, mode in reversed(taken.items()):
        path.chmod(mode)
    taken.clear()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _ragd(one: Site, *arguments: str) -> str:
    command = [sys.executable, "-m", "ragd", "--state", str(one.state), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise NotSo(f"ragd {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _tail(said: str) -> str:
    return said if len(said) < 100 else f"{said.partition(': ')[2][:97]}..."


@contextmanager
def _mounted(*what: str) -> Iterator[None]:
    """Something is mounted, and nothing at the end. Raises Skipped where mounting is not allowed."""
    if os.geteuid() != 0:
        raise Skipped("only the superuser may mount")
    try:
        _mount(*what)
    except subprocess.CalledProcessError as error:
        raise Skipped(f"mounting is not allowed here: {error.stderr.decode().strip()}") from error
    try:
        yield
    finally:
        while os.path.ismount(what[-1]):
            _umount(Path(what[-1]))


def _mount(*what: str) -> None:
    subprocess.run(["mount", *what], check=True, capture_output=True)


def _umount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


SCENARIOS: Final = (
    Scenario("root-unmounted", "the folder's mount goes away, and comes back changed", unmounted),
    Scenario("root-remounted", "another disk is mounted over the folder, empty, then with a copy", remounted),
    Scenario("root-emptied", "everything in the folder is removed; put back; removed again and agreed to", emptied),
    Scenario("root-replaced", "another folder is renamed into its place", replaced),
    Scenario("root-renamed", "the folder is renamed, and named as before", renamed),
    Scenario("root-closed", "the right to read it is taken away and given back", closed),
    Scenario("files-vanishing", "files are removed while they are read", vanishing),
)
