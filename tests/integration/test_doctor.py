"""The doctor under set-ups that are really broken: each is found, and what it prints, typed as it is, mends it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_bad_input import small_disk, unprivileged

pytestmark = pytest.mark.slow

Found = dict[str, list[dict[str, str]]]


class Patient:
    """A state folder, a configuration and a watched folder that are in order, to be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        self.documents = folder / "kb"
        self.documents.mkdir()
        self.config = folder / "ragd.toml"
        self.config.write_text(f'state = "{self.state}"\n\n[[collections]]\nname = "kb"\nfolders = ["kb"]\n')
        self.config.chmod(0o644)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAGD_", "XDG_"))}
        self.environment = {**inherited, "HOME": str(folder)}
        self.prefix: Sequence[str] = ()
        self.options: Sequence[str] = ()

    def run(self, script: str = "") -> tuple[int, Found, str]:
        """Types a script, then asks the doctor in the same shell: exit code, what is wrong by check, all it said."""
        doctor = shlex.join([sys.executable, "-m", "ragd", *self.options, "doctor", "--json"])
        done = subprocess.run(
            [*self.prefix, "bash", "-c", f"{script}\n{doctor}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        told = json.loads(done.stdout[done.stdout.index('{\n  "well"') :])
        assert told["well"] == (done.returncode == 0)
        assert done.returncode in (0, 20)
        wrong: Found = {}
        for finding in told["findings"]:
            if finding["level"] == "wrong":
                wrong.setdefault(finding["check"], []).append(finding)
        return done.returncode, wrong, done.stdout + done.stderr

    def mended(self, check: str, before: str = "") -> dict[str, str]:
        """The one thing that is wrong, after its command was typed and the doctor was satisfied."""
        code, wrong, said = self.run(before)
        assert code == 20, said
        assert list(wrong) == [check], said
        (finding,) = wrong[check]
        assert "geheim" not in said
        code, wrong, said = self.run(f"{before}\n{finding['command']}")
        assert (code, wrong) == (0, {}), (finding, said)
        return finding


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_rights_that_are_too_wide_are_narrowed(patient: Patient) -> None:
    patient.state.chmod(0o770)
    plugins = patient.folder / ".config/ragd/plugins"
    plugins.mkdir(parents=True)
    (plugins / "mine.py").write_text("from ragd.hooks.api import hookimpl\n")
    plugins.chmod(0o777)
    patient.config.write_text(patient.config.read_text() + '\n[embed]\napi_key = "geheim"\n')
    code, wrong, said = patient.run()
    assert code == 20
    assert "geheim" not in said
    assert {check: [one["command"] for one in found] for check, found in wrong.items()} == {
        "state": [f"chmod go-rwx {patient.state}"],
        "plugins": [f"chmod go-w {plugins}"],
        "config": [f"chmod 600 {patient.config}"],
    }
    commands = [one["command"] for found in wrong.values() for one in found]
    code, wrong, said = patient.run("\n".join(commands))
    assert list(wrong) == ["plugins"], said
    (untrusted,) = wrong["plugins"]
    assert "not trusted yet" in untrusted["says"]
    assert untrusted["command"].endswith(f"ragd plugins trust {plugins / 'mine.py'}")
    assert patient.run(untrusted["command"])[:2] == (0, {})
    assert patient.state.stat().st_mode & 0o777 == 0o700


def test_too_few_watches_are_raised(patient: Patient) -> None:
    for number in range(6):
        (patient.documents / str(number)).mkdir()
    patient.prefix = ["unshare", "--user", "--map-root-user"]
    limit = "/proc/sys/user/max_inotify_watches"
    if subprocess.run([*patient.prefix, "bash", "-c", f"echo 3 > {limit}"], capture_output=True).returncode:
        pytest.skip("a user namespace with limits of its own cannot be made here")
    finding = patient.mended("inotify", f"echo 3 > {limit}")
    assert "user.max_inotify_watches allows 3 inotify watches" in finding["says"]
    assert "1024" in finding["command"]


def test_a_redis_that_nobody_answers_for_is_left_out(patient: Patient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = patient.config.read_text()
    patient.config.write_text(f'{text}\n[redis]\nurl = "redis://:geheim@127.0.0.1:{port}/0"\n')
    patient.config.chmod(0o600)
    line = len(text.splitlines()) + 3
    finding = patient.mended("redis")
    assert f"redis://:***@127.0.0.1:{port}/0 cannot be used" in finding["says"]
    assert finding["command"] == f"sed -i '{line}s/^/# /' {patient.config}"


def test_a_damaged_model_is_made_anew(patient: Patient) -> None:
    export = patient.state / "models/minilm/0123456789abcdef"
    export.mkdir(parents=True)
    graph = b"a graph" * 1000
    (export / "fp32.onnx").write_bytes(graph)
    card = {"format": 1, "source_sha256": "x", "files": {"fp32.onnx": hashlib.sha256(graph).hexdigest()}}
    (export / "fp32.json").write_text(json.dumps(card))
    (export / "fp32.onnx").write_bytes(graph[:-1] + b"!")
    assert patient.mended("model")["command"] == f"rm -r {export}"


def test_a_full_disk_gets_more_room(patient: Patient) -> None:
    with small_disk(patient.state, "16m"):
        patient.state.chmod(0o700)
        with (patient.state / "ballast").open("wb") as file, pytest.raises(OSError, match="No space left"):
            file.write(b"\0" * (17 << 20))
        command = patient.mended("disk")["command"]
        assert command.startswith("mount -o remount,size=")
        assert command.endswith(str(patient.state))


def test_a_folder_that_may_not_be_listed_is_opened(patient: Patient) -> None:
    patient.prefix = unprivileged()
    patient.documents.chmod(0)
    try:
        assert patient.mended("folders")["command"] == f"chmod u+rx {patient.documents}"
    finally:
        patient.documents.chmod(0o700)


def test_mistakes_of_the_configuration_are_put_right(patient: Patient) -> None:
    text = patient.config.read_text()
    line = len(text.splitlines()) + 3
    patient.config.write_text(f"{text}\n[watch]\nsetle_s = 1\nrescan_s = 'often'\n")
    patient.environment["RAGD_WATCH__SETTLE"] = "1"
    _, wrong, said = patient.run()
    commands = [one["command"] for one in wrong["config"]]
    assert commands == [
        f"sed -i '{line}s/setle_s/settle_s/' {patient.config}",
        f"sed -i '{line + 1}s/^/# /' {patient.config}",
        "unset RAGD_WATCH__SETTLE",
    ], said
    assert patient.run("\n".join(commands))[:2] == (0, {})


def test_a_path_that_sockets_cannot_have_gets_a_short_name(patient: Patient) -> None:
    long = patient.folder / ("long" * 30)
    patient.options = ["--state", str(long)]
    code, wrong, _ = patient.run()
    assert code == 20
    command = wrong["socket"][0]["command"]
    assert "107" in wrong["socket"][0]["says"]
    done = subprocess.run(
        ["bash", "-c", command], cwd=patient.folder, env=patient.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("all is well\n")
    assert (long.stat().st_mode & 0o777) == 0o700


def test_the_screen_is_one_screen(patient: Patient) -> None:
    command: list[Any] = [sys.executable, "-m", "ragd", "doctor"]
    done = subprocess.run(command, cwd=patient.folder, env=patient.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) < 24
    assert done.stdout.endswith("all is well\n")
