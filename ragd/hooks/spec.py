"""The hooks: each is called by ragd, and implemented by plugins with the same name and arguments. There are eight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pluggy import HookspecMarker

from ragd.domain.deciding import TriggerPolicy
from ragd.domain.learning import Trainer
from ragd.domain.plugins import Event, Launcher, Tracker
from ragd.domain.ports import EncoderKind, Reader

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


@hookspec
def ragd_trainers() -> list[Trainer]:  # type: ignore[empty-body]
    """Offers trainers.

    When it is called: in a child process when the daemon looks at its plugins, and again in the process of each
    run. Import heavy libraries inside `train`, not at the top of the file.
    What you get: nothing.
    What you may return: a list of objects that follow `Trainer`, with names that no other plugin uses.
    What happens if you raise: the plugin is blocked, its error is shown with its name; what serves goes on.
    """


@hookspec
def ragd_encoders() -> list[EncoderKind]:  # type: ignore[empty-body]
    """Offers kinds of encoders, chosen by name with `embed.encoder`.

    When it is called: in the daemon and in embed workers, only when the configuration names an encoder that is not
    built in.
    What you get: nothing.
    What you may return: a list of objects that follow `EncoderKind`.
    What happens if you raise: the daemon does not start, and names the plugin.
    """


@hookspec
def ragd_trigger_policies() -> list[TriggerPolicy]:  # type: ignore[empty-body]
    """Offers rules for when training pays, chosen by name with `policy` in a trainer's table.

    When it is called: in a child process that stays, where the policy is then asked every few seconds.
    What you get: nothing; `decide` is given what was observed.
    What you may return: a list of objects that follow `TriggerPolicy`.
    What happens if you raise: the policy does not fire, and the reason is shown by `ragd triggers explain`.
    """


@hookspec
def ragd_launchers() -> list[Launcher]:  # type: ignore[empty-body]
    """Offers ways to start the process of a run, chosen by name with `learn.launcher`.

    When it is called: in the train worker, when the configuration names a launcher that is not built in.
    What you get: nothing.
    What you may return: a list of objects that follow `Launcher`.
    What happens if you raise: the run fails with the plugin's name and error.
    """


@hookspec
def ragd_trackers() -> list[Tracker]:  # type: ignore[empty-body]
    """Offers places that are told how runs go, chosen by name with `learn.trackers`.

    When it is called: in the train worker, when the configuration names trackers.
    What you get: nothing.
    What you may return: a list of objects that follow `Tracker`.
    What happens if you raise: it is logged once with the plugin's name; the run goes on without it.
    """


@hookspec
def ragd_event(event: Event) -> None:
    """Is told of what happened: indexed, triggered, trained, promoted, rolled back.

    When it is called: soon after, in order, in a child process that stays; several changes of files are one event.
    What you get: the event, with its time and plain values.
    What you may return: nothing.
    What happens if you raise: it is logged with the plugin's name; after the third time, or when you take longer than
    five seconds, the plugin is told no more events until the daemon starts again.
    """


@hookspec
def ragd_commands() -> dict[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Adds commands to the command line.

    When it is called: in the process of the command line, when the user types a command that is not built in, and for
    `ragd --help`.
    What you get: nothing.
    What you may return: functions by command name, annotated as typer commands; a built-in name is refused.
    What happens if you raise: the plugin is blocked, its error is shown with its name.
    """
