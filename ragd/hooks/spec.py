"""The hooks: each is called by ragd, and implemented by plugins with the same name and arguments."""

from __future__ import annotations

from pluggy import HookspecMarker

from ragd.domain.ports import Reader

hookspec = HookspecMarker("ragd")


@hookspec
def ragd_readers() -> list[Reader]:  # type: ignore[empty-body]
    """Offers readers for kinds of files.

    When it is called: once in every process that reads files, when it starts, before any file is read.
    What you get: nothing.
    What you may return: a list of objects that follow `Reader`; an empty list offers none. A suffix that
    two plugins offer goes to the installed plugin before the bundled one. The suffix "" stands for
    names without a suffix and for suffixes that nobody else offers.
    What happens if you raise: the plugin is blocked, its error is shown with its name, and the readers of
    the other plugins serve.
    """
