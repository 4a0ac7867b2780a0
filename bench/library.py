"""A library under edit whose size stays the same: every change is made in a folder and in a dictionary beside it."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path

from bench.stream import VOCABULARY

_FOLDERS = ("guide", "notes", "drafts", "archive", "guide/install", "notes/2026", "reports", "plans")
_PARAGRAPHS = 4


class Library:
    """Markdown files below `root` and what they must hold: `texts`, by path. Any thread may call.

    Each paragraph carries a word that no other ever had; `words` holds the latest of them. Texts have about
    `_PARAGRAPHS` paragraphs and there are about `files` of them, whatever is done: nothing has a reason to grow.
    `scratch` is a folder on the same disk for what is moved in and out.
    """

    def __init__(self, root: Path, scratch: Path, *, files: int, seed: int) -> None:
        self.root, self._scratch, self._files = root, scratch, files
        self.texts: dict[str, str] = {}
        self.words: list[str] = []
        self.edits = 0
        self.guard = threading.Lock()
        self._random = random.Random(seed)
        self._names = self._marks = 0
        self._broken: list[Path] = []
        scratch.mkdir(parents=True, exist_ok=True)
        for folder in _FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        for _ in range(files):
            self._write(self._free_path(), self._new_text())

    def step(self) -> None:
        """One random edit of the kinds that people and their programs make."""
        with self.guard:
            kinds = {"rewrite": 4, "save": 4, "append": 3, "move": 3, "rename_folder": 1, "revert": 1, "break": 1}
            more, fewer = (4, 2) if len(self.texts) < self._files else (2, 4)
            kinds |= {"create": more, "copy": more, "delete": 2 * fewer}
            kind = self._random.choices(list(kinds), list(kinds.values()))[0]
            getattr(self, f"_{kind}")(self._random.choice(sorted(self.texts)))
            self.edits += 1
            del self.words[:-20_000]

    def replace_folder(self) -> None:
        """A whole folder is taken away and another put in its place, as when a branch is switched: half is the same."""
        with self.guard:
            folder = self._random.choice([path for path in self._folders() if self._below(path)])
            beside = self._scratch / f"incoming-{self._next_name()}"
            shutil.copytree(self.root / folder, beside)
            for path in self._below(folder):
                if self._random.random() < 0.5:
                    text = self._new_text()
                    (beside / path.removeprefix(f"{folder}/")).write_text(text, "utf-8")
                    self.texts[path] = text
                    self.edits += 1
            gone = self._scratch / f"outgoing-{self._next_name()}"
            os.rename(self.root / folder, gone)
            os.rename(beside, self.root / folder)
            shutil.rmtree(gone)

    def tidy(self) -> None:
        """Removes the files that cannot be read, so that what is left is `texts`."""
        with self.guard:
            self._remove_broken(keep=0)

    def differences(self) -> list[str]:
        """Where the folder itself is not what `texts` says: nothing, unless this file is wrong."""
        there = {str(path.relative_to(self.root)): path.read_text("utf-8") for path in self.root.rglob("*.md")}
        return sorted(path for path in there.keys() | self.texts if there.get(path) != self.texts.get(path))

    def _rewrite(self, path: str) -> None:
        self._write(path, self._changed(path))

    def _save(self, path: str) -> None:
        """As editors do: a new file beside the old one, renamed over it."""
        text = self._changed(path)
        beside = (self.root / path).with_name(f".{Path(path).name}.tmp")
        beside.write_text(text, "utf-8")
        os.replace(beside, self.root / path)
        self.texts[path] = text

    def _append(self, path: str) -> None:
        if self.texts[path].count("\n\n") >= 2 * _PARAGRAPHS:
            return self._rewrite(path)
        more = f"\n{self._paragraph()}\n"
        with (self.root / path).open("a", encoding="utf-8") as file:
            file.write(more)
        self.texts[path] += more
        return None

    def _revert(self, path: str) -> None:
        """Another text, and at once the one before again: coming back must cost nothing."""
        text = self.texts[path]
        self._write(path, self._changed(path))
        self._write(path, text)

    def _move(self, path: str) -> None:
        target = self._free_path()
        (self.root / path).rename(self.root / target)
        self.texts[target] = self.texts.pop(path)

    def _copy(self, path: str) -> None:
        target = self._free_path()
        shutil.copy2(self.root / path, self.root / target)
        self.texts[target] = self.texts[path]

    def _create(self, _: str) -> None:
        self._write(self._free_path(), self._new_text())

    def _delete(self, path: str) -> None:
        (self.root / path).unlink()
        del self.texts[path]

    def _rename_folder(self, _: str) -> None:
        folder = self._random.choice(self._folders())
        target = f"{folder.partition('-')[0]}-{self._next_name()}"
        (self.root / target).parent.mkdir(parents=True, exist_ok=True)
        (self.root / folder).rename(self.root / target)
        for path in self._below(folder):
            self.texts[target + path.removeprefix(folder)] = self.texts.pop(path)

    def _break(self, _: str) -> None:
        """A file that no reader can read; at most three at a time."""
        self._remove_broken(keep=2)
        path = self.root / f"broken-{self._next_name()}.pdf"
        path.write_bytes(b"%PDF-1.7\n" + self._random.randbytes(500))
        self._broken.append(path)

    def _remove_broken(self, keep: int) -> None:
        while len(self._broken) > keep:
            self._broken.pop(0).unlink()

    def _write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text, "utf-8")
        self.texts[path] = text

    def _changed(self, path: str) -> str:
        """The text with one paragraph another; one that became long loses some."""
        parts = self.texts[path].strip().split("\n\n")
        parts[self._random.randrange(1, len(parts))] = self._paragraph()
        return "\n\n".join(parts[: _PARAGRAPHS + 1]) + "\n"

    def _new_text(self) -> str:
        title = self._random.choice(VOCABULARY).title()
        return "\n\n".join([f"# {title}", *(self._paragraph() for _ in range(_PARAGRAPHS))]) + "\n"

    def _paragraph(self) -> str:
        self._marks += 1
        word = f"mark{self._marks:07d}"
        self.words.append(word)
        text = self._random.choices(VOCABULARY, k=self._random.randint(8, 30))
        text.insert(self._random.randrange(len(text)), word)
        return " ".join(text) + "."

    def _folders(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_dir())

    def _below(self, folder: str) -> list[str]:
        return sorted(path for path in self.texts if path.startswith(f"{folder}/"))

    def _free_path(self) -> str:
        return f"{self._random.choice(self._folders())}/document-{self._next_name()}.md"

    def _next_name(self) -> int:
        self._names += 1
        return self._names
