"""A folder that never rests: random writes, appends, atomic saves, moves, copies, deletions and folder renames."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

VOCABULARY = (
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "harbor",
    "island",
    "juniper",
    "kernel",
    "lagoon",
    "meadow",
    "nectar",
    "orchard",
    "prairie",
    "quartz",
    "river",
    "summit",
    "tundra",
)
_FOLDERS = ("guide", "notes", "drafts", "archive", "guide/install", "notes/2026", "reports", "plans")


class Editor:
    """Edits the Markdown files below `root`; each paragraph carries a word that no other ever had.

    `words` holds every such word in the order it was written. One thread may call at a time.
    """

    def __init__(self, root: Path, *, files: int, seed: int) -> None:
        self.root = root
        self.words: list[str] = []
        self.edits = 0
        self._random = random.Random(seed)
        self._names = 0
        self._most = files * 3 // 2
        self._least = files // 2
        root.mkdir(parents=True, exist_ok=True)
        for _ in range(files):
            self._create()

    def paths(self) -> list[Path]:
        """Every document there is, in order."""
        return sorted(self.root.rglob("*.md"))

    def step(self) -> None:
        """One random edit."""
        paths = self.paths()
        kinds: dict[str, int] = {"rewrite": 4, "append": 4, "atomic_save": 4, "move": 3, "rename_folder": 1}
        kinds |= {"create": 2, "copy": 2} if len(paths) < self._most else {}
        kinds |= {"delete": 3} if len(paths) > self._least else {}
        kind = self._random.choices(list(kinds), list(kinds.values()))[0]
        chosen = self._random.choice(paths)
        actions: dict[str, Callable[[], object]] = {
            "rewrite": lambda: chosen.write_text(self._changed(chosen), "utf-8"),
            "append": lambda: self._append(chosen),
            "atomic_save": lambda: self._save(chosen),
            "move": lambda: chosen.rename(self._free_name()),
            "rename_folder": self._rename_folder,
            "create": self._create,
            "copy": lambda: shutil.copy2(chosen, self._free_name()),
            "delete": chosen.unlink,
        }
        actions[kind]()
        self.edits += 1

    def _create(self) -> None:
        parts = [self._paragraph() for _ in range(self._random.randint(1, 6))]
        self._free_name().write_text(f"# {self._random.choice(VOCABULARY).title()}\n\n" + "\n\n".join(parts) + "\n")

    def _append(self, path: Path) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{self._paragraph()}\n")

    def _save(self, path: Path) -> None:
        """As editors do: a new file beside the old one, flushed, then renamed over it."""
        beside = path.with_name(f".{path.name}.tmp")
        beside.write_text(self._changed(path), "utf-8")
        os.replace(beside, path)

    def _rename_folder(self) -> None:
        folders = [path for path in self.root.rglob("*") if path.is_dir()]
        chosen = self._random.choice(folders)
        self._names += 1
        chosen.rename(chosen.with_name(f"{chosen.name.partition('-')[0]}-{self._names}"))

    def _changed(self, path: Path) -> str:
        """The file's text with one paragraph another, and now and then one less."""
        parts = path.read_text("utf-8").strip().split("\n\n")
        at = self._random.randrange(1, len(parts)) if len(parts) > 1 else 1
        parts[at : at + self._random.choice((1, 1, 2))] = [self._paragraph()]
        return "\n\n".join(parts[:12]) + "\n"

    def _paragraph(self) -> str:
        word = f"mark{len(self.words):07d}"
        self.words.append(word)
        text = self._random.choices(VOCABULARY, k=self._random.randint(8, 30))
        text.insert(self._random.randrange(len(text)), word)
        return " ".join(text) + "."

    def _free_name(self) -> Path:
        self._names += 1
        there = [path for path in self.root.rglob("*") if path.is_dir()]
        folder = self._random.choice(there) if len(there) >= len(_FOLDERS) else self.root / _FOLDERS[len(there)]
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"document-{self._names}.md"


class Stream:
    """Runs an editor in a thread, `pace` edits a second at random moments, until it is paused or may do no more."""

    def __init__(self, editor: Editor, *, pace: float, seed: int) -> None:
        self._editor, self._pace = editor, pace
        self._random = random.Random(seed)
        self._going, self._ended = threading.Event(), threading.Event()
        self._free = threading.Lock()
        self._left = 0
        self.problem: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="edits", daemon=True)
        self._thread.start()

    def go(self, at_most: int) -> None:
        """Edits from now on, this many at most."""
        with self._free:
            self._left = at_most
        self._going.set()

    def pause(self) -> None:
        """Returns when the edit at work is done. Raises what ended the stream, if anything did."""
        self._going.clear()
        with self._free:
            if self.problem is not None:
                raise self.problem

    def end(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self._going.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._going.wait()
            with self._free:
                if self._going.is_set() and not self._ended.is_set() and self._left > 0:
                    self._left -= 1
                    try:
                        self._editor.step()
                    except Exception as error:  # noqa: BLE001 - told to whoever pauses the stream
                        self.problem = error
                        return
            self._ended.wait(self._random.expovariate(self._pace))
