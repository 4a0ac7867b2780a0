"""The demo checks itself: what it shows is what was printed, and a step that does not show what it must is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.demo import DemoFailed, Screen, Step, environment, perform, settled_lines


def test_a_line_that_was_rewritten_is_shown_in_a_few_states() -> None:
    moving = "".join(f"\r\x1b[K{percent} %" for percent in range(0, 101, 10))
    text = f"opening ...\n{moving}\r\x1b[Kall searchable\n"
    assert settled_lines(text) == ["opening ...", "0 %", "50 %", "100 %", "all searchable"]


def test_a_command_is_run_in_a_home_of_its_own_which_is_shown_as_a_tilde(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(tmp_path)
    perform(Step("Where am I?", "echo ~/notes; echo $RAGD_STATE", must=("^~?/",)), screen, environment(tmp_path))
    assert screen.lines == ["", "# Where am I?", "$ echo ~/notes; echo $RAGD_STATE", "~/notes", ""]
    assert str(tmp_path) not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("", "echo one", must=("two",)), "did not show 'two'"),
        (Step("", "echo one", must_not=("one",)), "which must be gone"),
        (Step("", "exit 3"), "ended with exit code 3"),
    ],
)
def test_a_step_that_does_not_show_what_it_must_fails(tmp_path: Path, step: Step, said: str) -> None:
    with pytest.raises(DemoFailed, match=said):
        perform(step, Screen(tmp_path), environment(tmp_path))
