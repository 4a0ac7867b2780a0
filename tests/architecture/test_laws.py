"""The laws of the code, so that they stay true: who imports whom, how large a room is, what is never done."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ragd.jobs.broker import QUEUE_NAMES
from ragd.jobs.tasks import embed_handlers, extract_handlers, index_handlers
from ragd.jobs.training import train_handlers

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MODULES = sorted([*(ROOT / "ragd").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
ROOMS = [path for path in MODULES if path.name != "__init__.py"]
LONGEST_ROOM = 300
LONGEST_FUNCTION = 40
# Where the parts are put together: one statement a part, in order, is clearer than pieces of it.
CONSTRUCTORS = {
    "ragd/app.py": {"build"},
    "ragd/daemon/model_side.py": {"__init__"},
    "ragd/daemon/run.py": {"__init__", "serve"},
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "os.system", "os.popen", "compile", "torch.load", "yaml.load"}
NAMED_MODULE = re.compile(r"""["'](ragd(?:\.[a-z_]+)+)["']""")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_keep_every_contract() -> None:
    # In a process of its own: the linter switches off every logger that exists.
    linter = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    outcome = subprocess.run([sys.executable, "-c", linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout


def test_every_room_is_small_and_says_its_promise() -> None:
    large = [name_of(path) for path in ROOMS if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_ROOM]
    silent = [name_of(path) for path in ROOMS if len((ast.get_docstring(tree(path)) or "").split("\n")[0]) <= 20]
    assert (large, silent) == ([], [])


def test_no_function_is_long() -> None:
    long: dict[str, set[str]] = {}
    for path in ROOMS:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _statement_lines(node) > LONGEST_FUNCTION:
                long.setdefault(name_of(path), set()).add(node.name)
    assert long == CONSTRUCTORS


def _statement_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_nothing_is_unpickled_or_executed() -> None:
    found = {name_of(path): dangers for path in MODULES if (dangers := _dangers(tree(path)))}
    assert found == {}


def test_a_danger_would_be_found() -> None:
    code = "import pickle\nfrom marshal import loads\neval(x)\nos.system(x)\nrun(x, shell=True)\nre.compile(x)"
    assert _dangers(ast.parse(code)) == ["pickle", "marshal", "eval", "os.system", "shell=True"]


def _dangers(module: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN_CALLS:
            found.append(ast.unparse(node.func))
        elif isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) == "True":
            found.append("shell=True")
    return found


def test_what_is_named_by_a_string_exists() -> None:
    missing = [(name_of(path), name) for path, name in _named_modules() if not _exists(name)]
    assert missing == []


def _named_modules() -> Iterator[tuple[Path, str]]:
    for path in MODULES:
        for name in NAMED_MODULE.findall(path.read_text(encoding="utf-8")):
            if not name.startswith(("ragd.sock", "ragd.toml")):
                yield path, name


def _exists(name: str) -> bool:
    """Whether a module, or a logger named after its room, exists."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_entry_points_resolve() -> None:
    scripts = {point.name: point for point in metadata.distribution("ragd").entry_points}
    assert scripts.keys() >= PROJECT["project"]["scripts"].keys()
    for name, target in PROJECT["project"]["scripts"].items():
        assert scripts[name].value == target
        assert callable(scripts[name].load())


def test_every_task_that_is_sent_has_a_handler() -> None:
    sends = (ROOT / "ragd/jobs/queue.py").read_text(encoding="utf-8")
    sent = set(re.findall(r'self\._put\("(\w+)", "(\w+)"', sends))
    sent |= {("index", name) for name in re.findall(r'self\._answer\("(\w+)"', sends)}
    nobody = cast(Any, None)
    tables = {
        "extract": extract_handlers(nobody, nobody),
        "embed": embed_handlers(nobody, nobody),
        "index": index_handlers(nobody),
        "train": train_handlers(nobody, nobody),
    }
    handled = {(queue, name) for queue, table in tables.items() for name in table}
    assert sent == handled
    assert {queue for queue, _ in sent} <= set(QUEUE_NAMES)


def test_no_room_is_empty_and_each_is_packaged() -> None:
    floors = {path.parent for path in MODULES if path.name == "__init__.py"}
    empty = [name_of(floor) for floor in floors if not [p for p in floor.glob("*.py") if p.name != "__init__.py"]]
    assert empty == []
    packages = PROJECT["tool"]["setuptools"]["packages"]
    packaged = {name.replace("ragd.bundled", "plugins").replace(".", "/") for name in packages}
    assert packaged == {name_of(floor) for floor in floors}


@pytest.mark.parametrize("module", ["ragd.daemon.run", "ragd.jobs.worker", "ragd.plan.sandbox_child"])
def test_the_daemon_and_its_workers_start_without_torch(module: str) -> None:
    heavy = ("torch", "transformers", "sentence_transformers", "peft")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_help_is_told_without_the_libraries_that_are_slow_to_import() -> None:
    slow = ("numpy", "faiss", "fastapi", "pydantic", "redis", "rq", "rich")
    code = f"import sys, ragd.cli.main; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_lint_is_waived_at_most_where_it_says_why() -> None:
    waived = [line for path in MODULES for line in path.read_text(encoding="utf-8").splitlines() if "# noqa" in line]
    assert all(re.search(r"# noqa: [A-Z]+\d+", line) for line in waived)


def test_the_checks_before_a_commit_come_from_the_projects_own_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks[0]["hooks"])
