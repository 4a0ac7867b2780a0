"""What a person is told while folders are indexed."""

from __future__ import annotations

import io

from ragd.daemon.progress import Count, Progress, line


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def count(chunks: int = 100, lacking: int = 0, waiting: int = 0, scanning: bool = False) -> Count:
    return Count(files=10, waiting=waiting, failed=0, chunks=chunks, lacking=lacking, is_scanning=scanning)


def test_a_line_tells_files_chunks_rate_and_time_left() -> None:
    said = line(count(chunks=2000, lacking=1500, waiting=3), 25.0)
    assert said == "7 of 10 files read · 500 of 2,000 chunks searchable by meaning · 25 chunks/s · 1 min 00 s left"


def test_while_folders_are_walked_no_end_is_foretold() -> None:
    said = line(count(lacking=50, scanning=True), 5.0)
    assert said.startswith("scanning, ")
    assert said.endswith("5.0 chunks/s")


def test_the_rate_does_not_count_the_time_before_the_first_chunk() -> None:
    clock, out = Clock(), Tty()
    progress = Progress(lambda _: "ready", out=out, clock=clock)
    for clock.now, lacking in ((0.0, 100), (12.0, 100), (13.0, 90), (14.0, 80)):
        progress.step(count(lacking=lacking))
    assert out.getvalue().endswith("· 10 chunks/s · 8 s left")


def test_no_rate_is_told_from_less_than_a_second() -> None:
    clock, out = Clock(), Tty()
    progress = Progress(lambda _: "ready", out=out, clock=clock)
    for clock.now, lacking in ((0.0, 100), (0.3, 99)):
        progress.step(count(lacking=lacking))
    assert "chunks/s" not in out.getvalue()


def test_all_searchable_is_said_once_on_a_line_of_its_own() -> None:
    out = Tty()
    progress = Progress(lambda done: f"all searchable: {done.chunks} chunks", out=out)
    for lacking in (5, 0, 5):
        progress.step(count(lacking=lacking))
    assert progress.is_ready
    assert out.getvalue().endswith("\r\x1b[Kall searchable: 100 chunks\n")


def test_where_lines_are_not_rewritten_one_comes_every_few_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    progress = Progress(lambda _: "ready", out=out, clock=clock)
    for clock.now in (0.0, 1.0, 4.0, 6.0, 7.0):
        progress.step(count(lacking=5))
    assert len(out.getvalue().splitlines()) == 2
