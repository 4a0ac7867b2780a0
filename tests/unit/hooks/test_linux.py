"""What may be read is everything but what is hidden, without following links into it."""

from __future__ import annotations

from pathlib import Path

from ragd.hooks.linux import everything_but


def covers(found: list[Path], path: Path) -> bool:
    return any(path.is_relative_to(one) for one in found)


def test_everything_but_a_folder_holds_its_neighbours_and_not_itself(tmp_path: Path) -> None:
    hidden = tmp_path / "a" / "hidden"
    for folder in (hidden / "deep", tmp_path / "a" / "beside", tmp_path / "b"):
        folder.mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x")
    (tmp_path / "a" / "link").symlink_to(hidden)
    found = everything_but([hidden])
    assert covers(found, tmp_path / "a" / "beside")
    assert covers(found, tmp_path / "a" / "file")
    assert covers(found, tmp_path / "b")
    assert covers(found, Path("/etc"))
    assert not covers(found, hidden)
    assert not covers(found, hidden / "deep")
    assert tmp_path / "a" / "link" not in found


def test_nothing_hidden_is_everything() -> None:
    assert everything_but([]) == [Path("/")]
