"""Bad input of every kind beside good files: each bad one has a clear reason, and each good one is found."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ragd.testing.embeddings import EmbeddingServer
from tests.integration.conftest import Place

WORDS = "# Good\n\nThe good file tells of a heron."


def a_docx(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


BAD_BYTES = {
    "broken.pdf": (b"%PDF-1.7\n1 0 obj\n<<", "broken"),
    "broken.docx": (a_docx({"word/document.xml": b"<w/>" * 500})[:-40], "broken"),
    "bomb.docx": (a_docx({"word/document.xml": b"\0" * 150_000_000}), "zip bomb"),
    "large.txt": (b"words and words " * 70_000, "larger than the limit"),
    "program.bin": (b"\x7fELF" + bytes(range(256)) * 8, "binary without text"),
    "picture.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "binary without text"),
    "no.json": (b'{"a": ', "broken: not JSON"),
}
BAD_ENTRIES = {
    "loop.md": "leads back to itself",
    "out.md": "out of the folder",
    "up": "is a link to a folder",
    "dangling.md": "a file that is not there",
    "pipe.md": "pipe (FIFO)",
    "socket.md": "socket",
}


def fill(folder: Path) -> None:
    """Everything bad, each with a good file beside it."""
    folder.mkdir()
    (folder / "good.md").write_text(WORDS)
    for name, (data, _) in BAD_BYTES.items():
        (folder / name).write_bytes(data)
    (folder / "loop.md").symlink_to(folder / "loop.md")
    (folder.parent / "outside.md").write_text("# Outside\n\nThe platypus is nobody's business.")
    (folder / "out.md").symlink_to(folder.parent / "outside.md")
    (folder / "up").symlink_to(folder.parent)
    (folder / "dangling.md").symlink_to("nowhere.md")
    os.mkfifo(folder / "pipe.md")
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(folder / "socket.md"))
    finally:
        listener.close()
    (folder / "far.md").write_text("# Far\n\nThe godwit flies without a rest.")
    os.utime(folder / "far.md", (13_569_465_600, 13_569_465_600))  # in the year 2400
    (folder / "latin1.txt").write_bytes("Der Gärtner gießt die Blumen über den Zaun.\n".encode("latin-1") * 5)
    (folder / "mixed.txt").write_bytes(b"An albatross \xff\xfe\x80 glides over the waves.\n")
    os.makedirs(os.path.join(os.fsencode(folder), b"na\xefve"))
    with open(os.path.join(os.fsencode(folder), b"na\xefve", b"caf\xe9.md"), "wb") as file:
        file.write(b"# Menu\n\nThe barista pours an espresso.\n")


@pytest.fixture(scope="module")
def place(places: Callable[[], Place]) -> Iterator[Place]:
    made = places()
    made.environment |= {"RAGD_READ__MAX_FILE_MB": "1", "RAGD_WATCH__UNCLOSED_S": "1", "RAGD_WATCH__MAX_WAIT_S": "3"}
    fill(made.folder / "kb")
    made.start("kb")
    made.until_indexed(5 + len(BAD_BYTES) + len(BAD_ENTRIES))
    yield made
    made.close()


def reasons(place: Place) -> dict[str, tuple[str, str]]:
    """Path to (reason, hint) of everything that failed."""
    failed = place.client.documents(state="failed", limit=1000)["documents"]
    return {document["path"]: (document["reason"], document["hint"]) for document in failed}


def test_everything_bad_is_listed_with_its_cause_and_a_remedy(place: Place) -> None:
    expected = {name: cause for name, (_, cause) in BAD_BYTES.items()} | BAD_ENTRIES
    failed = reasons(place)
    assert failed.keys() == expected.keys()
    for name, cause in expected.items():
        reason, hint = failed[name]
        assert cause in reason, (name, reason)
        assert hint, name
    said = place.ragd("failed")
    for name in expected:
        assert f"{place.folder}/kb/{name}: " in said
    assert said.count("  hint: ") == len(expected)


def test_everything_good_beside_it_is_found(place: Place) -> None:
    for query, path in {
        "heron": "good.md",
        "Gärtner gießt": "latin1.txt",
        "albatross": "mixed.txt",
        "godwit": "far.md",
        "barista espresso": "na\\xefve/caf\\xe9.md",
    }.items():
        assert place.paths(query, mode="words") == [path]
    assert place.paths("platypus", mode="words") == []
    assert place.ragd("search", "--mode", "words", "barista").startswith(" 1  na\\xefve/caf\\xe9.md")
    assert place.client.status()["state"] == "ready"


def test_a_file_that_is_mended_is_taken_up_by_itself(place: Place) -> None:
    path = place.folder / "kb" / "no.json"
    path.write_text('{"bird": "a cormorant"}')
    place.finds(["no.json"], "cormorant", mode="words")
    assert "no.json" not in reasons(place)
    path.write_bytes(BAD_BYTES["no.json"][0])
    place.until(lambda: "no.json" in reasons(place))
    assert place.paths("cormorant", mode="words") == []


def test_a_file_that_changes_all_the_time_is_indexed_as_it_is(place: Place) -> None:
    stop = threading.Event()

    def write() -> None:
        with (place.folder / "kb" / "growing.log").open("w") as file:
            while not stop.is_set():
                file.write("The pelican counts its fish.\n")
                file.flush()
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        place.until(
            lambda: (
                place.client.search(q="pelican", mode="words")["hits"]
                and place.client.documents(path="growing.log")["documents"][0]["state"] != "failed"
            )
        )
    finally:
        stop.set()
        writer.join()
    place.finds(["growing.log"], "pelican fish", mode="words")
    (place.folder / "kb" / "growing.log").unlink()
    place.finds([], "pelican", mode="words")


def test_retry_names_what_it_does_not_know(place: Place) -> None:
    assert "1 " in place.ragd("retry", str(place.folder / "kb" / "broken.pdf"))
    place.until(lambda: "broken.pdf" in reasons(place))
    place.refused(3, "retry", str(place.folder / "kb" / "good.md"))
    place.refused(3, "rescan", "/nowhere")


def test_what_may_not_be_read_is_named(places: Callable[[], Place]) -> None:
    """Permission bits do not bind the superuser: the daemon then runs without its power to pass them over."""
    place = places()
    kb = place.folder / "kb"
    (kb / "closed").mkdir(parents=True)
    (kb / "good.md").write_text(WORDS)
    (kb / "mine.md").write_text("# Mine")
    (kb / "closed" / "inner.md").write_text("# Inner")
    (kb / "mine.md").chmod(0)
    (kb / "closed").chmod(0)
    try:
        place.prefix = unprivileged()
        place.start("kb")
        place.until_indexed(3)
        failed = reasons(place)
        assert "permission" in failed["mine.md"][0].lower()
        assert "cannot be listed: Permission denied" in failed["closed"][0]
        assert place.paths("heron", mode="words") == ["good.md"]
        (kb / "mine.md").chmod(0o600)
        (kb / "mine.md").write_text("# Mine\n\nThe bittern booms in the reeds.")
        place.finds(["mine.md"], "bittern", mode="words")
        place.stop()
    finally:
        (kb / "closed").chmod(0o700)


def unprivileged() -> list[str]:
    """What takes the superuser's right to pass over permissions from a command that follows it."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("the superuser may read everything, and setpriv is not installed")
    capabilities = "-dac_override,-dac_read_search"
    return [setpriv, f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", "--"]


def test_a_state_folder_of_a_newer_format_is_refused_and_left_alone(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    with sqlite3.connect(place.state / "catalog.db") as newer:
        newer.execute("PRAGMA user_version = 999")
    newer.close()
    before = (place.state / "catalog.db").read_bytes()
    assert "has format 999" in place.refused(6, "run", "kb")
    assert "has format 999" in place.refused(6, "search", "words")
    assert (place.state / "catalog.db").read_bytes() == before


def test_a_state_folder_that_holds_something_else_is_refused(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    (place.state / "catalog.db").write_bytes(b"this is not a catalog" * 500)
    assert "is damaged (file is not a database)" in place.refused(6, "run", "kb")


def test_a_redis_that_cannot_be_reached_is_named_without_its_password(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = place.refused(7, "run", "kb", "--redis-url", f"redis://:geheim@127.0.0.1:{port}/0")
    assert f"Redis at redis://:***@127.0.0.1:{port}/0 cannot be used" in said
    assert "geheim" not in said


@pytest.mark.parametrize(
    ("version", "cause"),
    [("5.0.7", "does not know a command of newer versions"), ("6.0.16", "is version 6.0.16")],
)
def test_a_redis_that_is_too_old_is_refused(places: Callable[[], Place], version: str, cause: str) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    with old_redis(version) as url:
        said = place.refused(7, "run", "kb", "--redis-url", url)
    assert f"{cause}; ragd needs 6.2 or newer" in said


@contextmanager
def old_redis(version: str) -> Iterator[str]:
    """A server that greets and tells of itself as that version does, and knows nothing else."""
    info = f"# Server\r\nredis_version:{version}\r\nrun_id:0\r\n".encode()
    answers = {b"PING": b"+PONG\r\n", b"INFO": b"$%d\r\n%s\r\n" % (len(info), info), b"DBSIZE": b":0\r\n"}
    if not version.startswith("5."):
        answers[b"HELLO"] = b"%1\r\n$5\r\nproto\r\n:3\r\n"

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as asked:
            while header := asked.readline():
                words = []
                for _ in range(int(header[1:])):
                    asked.readline()
                    words.append(asked.readline().strip())
                connection.sendall(answers.get(words[0].upper(), b"-ERR unknown command\r\n"))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        server.shutdown(socket.SHUT_RDWR)


def test_a_model_folder_that_is_missing_or_damaged_is_refused(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    place.environment["RAGD_EMBED__MODEL"] = str(place.folder / "no-model")
    assert "no-model" in place.refused(8, "run", "kb")
    damaged = place.folder / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text("{}")
    (damaged / "model.safetensors").write_bytes(b"not weights")
    place.environment["RAGD_EMBED__MODEL"] = str(damaged)
    assert "damaged" in place.refused(8, "run", "kb")


def test_a_socket_path_that_is_too_long_is_refused(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    said = place.refused(2, "--state", str(place.folder / ("long" * 40)), "run", "kb")
    assert "107" in said
    assert not (place.folder / ("long" * 40)).exists()


def test_a_folder_that_is_none_is_refused(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "file.md").write_text(WORDS)
    assert "does not exist" in place.refused(2, "run", "nowhere")
    assert "is not a folder" in place.refused(2, "run", "file.md")
    assert "nothing to index" in place.refused(2, "run")
    assert "watch.settle_s" in place.refused(2, "run", "--config", str(a_file(place, "[watch]\nsetle_s = 1\n")))


def a_file(place: Place, text: str) -> Path:
    path = place.folder / "ragd.toml"
    path.write_text(text)
    return path


def test_a_full_disk_is_told_and_work_goes_on_when_there_is_room(places: Callable[[], Place]) -> None:
    place = places()
    (place.folder / "kb").mkdir()
    (place.folder / "kb" / "good.md").write_text(WORDS)
    models = (place.state / "models").readlink()
    with small_disk(place.state, "24m"):
        (place.state / "models").symlink_to(models)
        place.start("kb")
        place.until_indexed(1)
        ballast = place.state / "ballast"
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass
        for number in range(40):
            text = f"# Note {number}\n\n" + f"The stork of page {number} stands on one leg. " * 200
            (place.folder / "kb" / f"{number}.md").write_text(text)
        place.until(lambda: place.client.status()["state"] == "degraded")
        assert place.paths("heron", mode="words") == ["good.md"]
        assert "disk is full" in place.ragd("status")
        ballast.unlink()
        place.until_indexed(41)
        assert place.ragd("verify").startswith("equal: ")
        place.until(lambda: place.client.status()["state"] == "ready")
        place.stop()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size at the folder, for as long as the block lasts."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "ragd-test", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Picky(EmbeddingServer):
    """Has no vector for texts of arsenic."""

    def vector(self, text: str) -> list[float]:
        return [0.0] * self.dimension if "arsenic" in text else super().vector(text)


def test_a_text_that_the_encoder_cannot_take_is_named_and_holds_up_no_other(places: Callable[[], Place]) -> None:
    place = places()
    with Picky() as server:
        place.environment |= {
            "RAGD_EMBED__ENCODER": "openai",
            "RAGD_EMBED__MODEL": server.model,
            "RAGD_EMBED__URL": server.url,
        }
        folder = place.folder / "kb"
        folder.mkdir()
        (folder / "bad.md").write_text("The shed holds arsenic.\n")
        for number in range(5):
            (folder / f"good-{number}.md").write_text(f"The heron of pond {number} waits.\n")
        place.start(str(folder))
        place.until(lambda: place.client.status()["documents"]["searchable"] == 5)
        place.until(lambda: any("found by words only" in reason for reason in place.client.status()["reasons"]))
        (reason,) = place.client.status()["reasons"]
        assert f"{folder}/bad.md" in reason
        assert "only zeros" in reason
        assert place.paths("arsenic") == ["bad.md"]
        (folder / "later.md").write_text("The otter of the weir dives.\n")
        place.until(lambda: place.client.status()["documents"]["searchable"] == 6)
        (folder / "bad.md").write_text("The shed holds apples.\n")
        place.until(lambda: place.client.status()["state"] == "ready")
        assert place.client.status()["documents"]["searchable"] == 7
        place.stop()
