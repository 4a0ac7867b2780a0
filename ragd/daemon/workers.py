"""How the daemon's workers are started: how many of each kind, by which command, with what environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from ragd.config.keys import keys
from ragd.config.schema import Config

_MOST_VARIABLE_BYTES: Final = 120_000  # Linux takes 128 KiB


def worker_counts(config: Config) -> dict[str, int]:
    """How many workers of each kind the daemon starts."""
    train = config.learn.workers if config.learn.enabled else 0
    return {"extract": config.workers.extract, "embed": config.workers.embed, "train": train}


def worker_command(*options: str) -> Callable[[str], Sequence[str]]:
    """The command line of a worker by its kind, `ragd worker KIND` and `options`, in this very interpreter.

    The URL of Redis is for the environment, not for `options`: it may hold a password, and the process
    list is for everybody to read.
    """
    return lambda kind: (sys.executable, "-P", "-m", "ragd", "worker", kind, *options)


def worker_environment(config: Config, redis_url: str, log_level: str) -> dict[str, str]:
    """What workers are told, by the environment: an address may hold a password, and the key is a secret."""
    given = {
        "RAGD_REDIS__URL": redis_url,
        "RAGD_STATE": str(config.state.absolute()),
        "RAGD_LOG__LEVEL": log_level,
        "RAGD_LOG__FORMAT": config.log.format,
        "RAGD_EMBED__URL": config.embed.url,  # the key below is for it alone
        "RAGD_LEARN__TEACHER": config.learn.teacher,
        "RAGD_EMBED__API_KEY": config.embed.api_key.get_secret_value(),
        "RAGD_PLUGINS__FOLDER": str(config.plugins_folder.absolute()),
        "RAGD_COLLECTIONS": _folders_told(config),
    }
    # A token opens a door, not a job; secrets that stand in files are told as they are.
    left_out = {"RAGD_TOKEN", *(name for key in keys() for name in (key.file_variable, key.variable) if key.is_secret)}
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**inherited, **{name: value for name, value in given.items() if value}}


def _folders_told(config: Config) -> str:
    """The collections as a variable holds them: an extract worker reads from no other folder, whatever a job names.

    Empty, which sets no limit, for more of them than fit.
    """
    told = json.dumps(
        [{"name": c.name, "folders": [str(path.absolute()) for path in c.folders]} for c in config.collections]
    )
    return told if len(told) < _MOST_VARIABLE_BYTES else ""
