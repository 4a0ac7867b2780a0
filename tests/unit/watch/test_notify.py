from __future__ import annotations

from pathlib import Path

import pytest

from ragd.watch.notify import raised

LIMITS = (("fs.inotify.max_user_watches", 1000), ("user.max_inotify_watches", 1000))


@pytest.mark.parametrize(
    ("system", "own", "command"),
    [
        ("500", "500", "sudo sysctl fs.inotify.max_user_watches=1000 "),
        ("500", "20", "sudo sysctl user.max_inotify_watches=1000 "),
        ("4000", "5000", "sudo sysctl fs.inotify.max_user_watches=8000 "),
        ("500", "", "sudo sysctl fs.inotify.max_user_watches=1000 "),
        ("", "", "sudo sysctl fs.inotify.max_user_watches=1000 "),
    ],
)
def test_the_lowest_limit_is_the_one_to_raise_and_never_to_less_than_twice(
    tmp_path: Path, system: str, own: str, command: str
) -> None:
    for name, value in (("fs/inotify/max_user_watches", system), ("user/max_inotify_watches", own)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if value:
            (tmp_path / name).write_text(value)
    assert raised(LIMITS, tmp_path).startswith(command)
