"""A plugin for the tests of runs: gradient descent in plain numpy with checkpoints, and every way to misbehave."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, Trainer, TrainingFailed, hookimpl, save_transform


class Descent:
    """Fits a residual transform to the snapshot's own vectors; `mode` says how it misbehaves, if it does."""

    name = "descent"
    role = Role.QUERY_ADAPTER
    needs = Needs(Data.VECTORS, 8)
    cost_s = 1.0

    def train(self, run: Run) -> Artifact:
        mode = str(run.settings.get("mode", ""))
        misbehave = getattr(self, f"_{mode}", None)
        if misbehave is not None:
            misbehave(run)
        vectors = np.asarray(run.data.vectors, np.float32)
        target = np.roll(vectors, 1, axis=0)
        steps, pause_s = int(run.settings.get("steps", 20)), float(run.settings.get("pause_s", 0.0))
        saved = run.checkpoints / "weight.npy"
        start, weight = 0, np.zeros((vectors.shape[1], vectors.shape[1]), np.float32)
        if saved.exists():
            with saved.open("rb") as file:
                start, weight = int(np.load(file)), np.load(file)
            print(f"resumed at {start}", flush=True)
        for step in range(start, steps):
            error = vectors + vectors @ weight.T - target
            weight -= 0.1 * (error.T @ vectors) / len(vectors)
            self._save(saved, step + 1, weight)
            run.progress(step + 1, steps, loss=float(np.mean(error**2)))
            time.sleep(pause_s)
            if run.is_stopping:
                raise TrainingFailed("interrupted")
        print("done", flush=True)
        return Artifact(save_transform(run.folder / "out", "residual", weight=weight).folder, {"rank": len(weight)})

    def _save(self, saved: Path, step: int, weight: np.ndarray) -> None:
        part = saved.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, np.int64(step))
            np.save(file, weight)
        os.replace(part, saved)

    def _nan(self, run: Run) -> None:
        run.progress(1, 2, loss=0.5)
        run.progress(2, 2, loss=float("nan"))

    def _hang(self, run: Run) -> None:
        time.sleep(600)

    def _deaf(self, run: Run) -> None:
        run.progress(1, 2, loss=0.5)
        while True:
            time.sleep(600)

    def _memory(self, run: Run) -> None:
        held = []
        while True:
            held.append(np.ones(16 << 20, np.uint8))

    def _disk(self, run: Run) -> None:
        for number in range(1000):
            (run.folder / f"{number}.bin").write_bytes(b"x" * (4 << 20))

    def _outside(self, run: Run) -> None:
        (run.folder.parent.parent / "mine.txt").write_text("x")

    def _bug(self, run: Run) -> None:
        raise ValueError("a secret\nplan")

    def _babbles(self, run: Run) -> None:
        """Writes what is nobody's word into the channel between its process and the one that watches it."""
        os.write(int(sys.argv[2]), b'1\n[]\n"ended"\nnot JSON\n{"event": "begun", "examples": []}\n')

    def _exits(self, run: Run) -> None:
        sys.exit(3)

    def _dies(self, run: Run) -> None:
        os._exit(9)

    def _resolute(self, run: Run) -> None:
        """Ends as if it were killed, each time before it gets on."""
        os.kill(os.getpid(), 9)

    def _needy(self, run: Run) -> None:
        print(run.model)

    def _encodes(self, run: Run) -> None:
        queries, documents = run.encode_queries(["a", "b"]), run.encode_documents(["a"])
        print("encoded", queries.shape, documents.shape, flush=True)


class Rubbish(Descent):
    """Returns what is no artefact."""

    name = "rubbish"

    def train(self, run: Run) -> Artifact:
        mode = run.settings["mode"]
        folder = run.folder / "out"
        if mode == "nothing":
            return None  # type: ignore[return-value]
        if mode == "elsewhere":
            return Artifact(Path("/usr"))
        folder.mkdir(exist_ok=True)
        if mode == "pickle":
            save_transform(folder, "residual", weight=np.eye(4))
            (folder / "model.bin").write_bytes(b"\x80\x04K\x01.")
        if mode == "link":
            save_transform(folder, "residual", weight=np.eye(4))
            (folder / "more.json").symlink_to("/etc/passwd")
        return Artifact(folder)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    return [Descent(), Rubbish()]
