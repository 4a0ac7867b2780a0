"""A plugin file runs only when its user pinned it, and nobody else could have written it."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ragd.domain.errors import NotFound, PluginRefused
from ragd.hooks.trust import CHANGED, NOT_TRUSTED, PINS_NAME, Pin, problem_of, read_pins, trust, write_pin


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    path = folder / "mine.py"
    path.write_text("x = 1\n")
    path.chmod(0o644)
    return path


def given(plugin: Path, *, taken: tuple[str, ...] = ()) -> Path:
    state = plugin.parents[1] / "state"
    trust(plugin, plugin.parent, state, taken=taken, at=7.0)
    return state


def test_a_file_is_not_trusted_before_it_is_pinned(plugin: Path) -> None:
    problem, hint, sha256 = problem_of(plugin, {})
    assert (problem, hint) == (NOT_TRUSTED, f"look at it, then `ragd plugins trust {plugin}`")
    assert len(bytes.fromhex(sha256)) == 32
    state = given(plugin)
    assert problem_of(plugin, read_pins(state)) == ("", "", sha256)
    assert read_pins(state)["mine"].at == 7.0


def test_a_changed_file_is_refused_until_it_is_trusted_again(plugin: Path) -> None:
    state = given(plugin)
    plugin.write_text("x = 2\n")
    assert problem_of(plugin, read_pins(state))[0] == CHANGED
    given(plugin)
    assert problem_of(plugin, read_pins(state))[0] == ""


def test_the_pins_are_for_their_owner_alone(plugin: Path) -> None:
    pins = given(plugin) / PINS_NAME
    assert stat.S_IMODE(pins.stat().st_mode) == 0o600
    pins.chmod(0o666)
    with pytest.raises(PluginRefused, match="can be written by others") as refused:
        read_pins(pins.parent)
    assert refused.value.hint == f"chmod go-w {pins}"


def test_pins_that_cannot_be_read_are_refused(plugin: Path) -> None:
    pins = given(plugin) / PINS_NAME
    pins.write_text("[]")
    with pytest.raises(PluginRefused, match="cannot be read"):
        read_pins(pins.parent)


def test_a_file_from_elsewhere_is_copied_first_and_its_copy_is_what_counts(plugin: Path, tmp_path: Path) -> None:
    outside = tmp_path / "new.py"
    outside.write_text("y = 1\n")
    folder, state = tmp_path / "config" / "plugins", tmp_path / "state"
    place, pin = trust(outside, folder, state, taken=(), at=1.0)
    assert place == folder / "new.py"
    assert place.read_text() == "y = 1\n"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert problem_of(place, {"new": pin})[0] == ""
    outside.write_text("y = 2\n")
    assert problem_of(place, read_pins(state))[0] == ""


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_can_write_is_refused(plugin: Path, mode: int) -> None:
    state = given(plugin)
    plugin.chmod(mode)
    assert problem_of(plugin, read_pins(state)) == ("can be written by others", f"chmod go-w {plugin}", "")
    with pytest.raises(PluginRefused, match="can be written by others"):
        given(plugin)


def test_a_folder_that_others_can_write_is_refused(plugin: Path) -> None:
    state = given(plugin)
    plugin.parent.chmod(0o777)
    problem = "its folder can be written by others"
    assert problem_of(plugin, read_pins(state)) == (problem, f"chmod go-w {plugin.parent}", "")
    with pytest.raises(PluginRefused, match="can be written by others"):
        given(plugin)


def test_a_folder_above_that_everybody_can_write_is_refused(plugin: Path) -> None:
    state = given(plugin)
    plugin.parents[1].chmod(0o777)
    problem, hint, _ = problem_of(plugin, read_pins(state))
    assert problem == f"everybody may write in {plugin.parents[1]}, above it"
    assert hint == f"chmod o-w {plugin.parents[1]}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_above_that_a_foreign_group_can_write_is_refused(plugin: Path) -> None:
    state = given(plugin)
    above = plugin.parents[1]
    above.chmod(0o775)
    assert problem_of(plugin, read_pins(state))[0] == ""  # the user's own group
    os.chown(above, -1, 12345)
    problem, hint, _ = problem_of(plugin, read_pins(state))
    assert (problem, hint) == (f"a group may write in {above}, above it", f"chmod g-w {above}")
    with pytest.raises(PluginRefused, match="a group may write"):
        given(plugin)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_above_of_another_user_is_refused(plugin: Path) -> None:
    state = given(plugin)
    os.chown(plugin.parents[1], 12345, -1)
    try:
        assert problem_of(plugin, read_pins(state))[0].endswith("above it, belongs to another user")
    finally:
        os.chown(plugin.parents[1], 0, -1)


def test_a_folder_named_by_a_link_is_looked_at_by_both_its_paths(plugin: Path, tmp_path: Path) -> None:
    state = given(plugin)
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "link").symlink_to(plugin.parent)
    by_link = loose / "link" / plugin.name
    assert problem_of(by_link, read_pins(state))[0] == ""
    loose.chmod(0o777)  # whoever may write here may let the link lead elsewhere
    assert problem_of(by_link, read_pins(state))[0] == f"everybody may write in {loose}, above it"
    loose.chmod(0o1777)
    assert problem_of(by_link, read_pins(state))[0] == ""
    if os.geteuid() == 0:
        os.chown(loose / "link", 12345, -1, follow_symlinks=False)
        assert "belongs to another user" in problem_of(by_link, read_pins(state))[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(plugin: Path) -> None:
    os.chown(plugin, 12345, -1)
    assert problem_of(plugin, {})[0] == "belongs to another user"


def test_a_link_is_refused_wherever_it_leads(plugin: Path) -> None:
    state = given(plugin)
    plugin.rename(plugin.parents[1] / "real.py")
    plugin.symlink_to(plugin.parents[1] / "real.py")
    assert problem_of(plugin, read_pins(state))[0] == "is a link or no regular file"


@pytest.mark.parametrize(
    ("name", "reason"), [("no-name.py", "cannot be the name"), ("mine.txt", "not a Python file"), ("9.py", "cannot be")]
)
def test_what_cannot_be_a_plugin_is_not_trusted(plugin: Path, name: str, reason: str) -> None:
    path = plugin.parents[1] / name
    path.write_text("x = 1\n")
    with pytest.raises(PluginRefused, match=reason):
        trust(path, plugin.parent, plugin.parents[1] / "state", taken=(), at=1.0)


def test_a_name_that_is_taken_is_not_trusted(plugin: Path) -> None:
    with pytest.raises(PluginRefused, match="another plugin is called mine") as refused:
        given(plugin, taken=("mine",))
    assert refused.value.hint == "rename the file mine.py"


def test_a_file_that_is_not_there_and_one_that_is_too_large_are_told_apart(plugin: Path) -> None:
    with pytest.raises(NotFound, match="is not a file"):
        trust(plugin.with_name("none.py"), plugin.parent, plugin.parents[1], taken=(), at=1.0)
    plugin.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(PluginRefused, match="larger than 1 MiB"):
        given(plugin)


def test_pins_of_several_plugins_stand_beside_each_other(plugin: Path) -> None:
    other = plugin.with_name("other.py")
    other.write_text("z = 1\n")
    given(plugin)
    state = given(other)
    assert sorted(json.loads((state / PINS_NAME).read_text())) == ["mine", "other"]


def test_what_cannot_be_written_is_refused_with_its_path(plugin: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(PluginRefused, match=r"file/mine\.py cannot be written: (File exists|Not a directory)"):
        trust(plugin, in_the_way, tmp_path / "state", taken=(), at=7.0)
    with pytest.raises(PluginRefused, match=r"file/trusted-plugins\.json cannot be written: File exists"):
        trust(plugin, plugin.parent, in_the_way, taken=(), at=7.0)
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "other" / "mine.py").mkdir()
    with pytest.raises(PluginRefused, match=r"other/mine\.py cannot be written: Is a directory"):
        trust(plugin, tmp_path / "other", tmp_path / "state", taken=(), at=7.0)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine.py"]


def test_pins_that_are_written_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    pins = [Pin(f"plugin{number}", "0" * 64, 7.0) for number in range(16)]
    with ThreadPoolExecutor(len(pins)) as pool:
        list(pool.map(write_pin, [tmp_path] * len(pins), pins))
    assert sorted(read_pins(tmp_path)) == sorted(pin.name for pin in pins)
