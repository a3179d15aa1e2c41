"""What the source of the product never does, read from its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SQL_CALLS = {"execute", "executemany", "executescript", "exec_driver_sql", "text"}
LOADERS = {"pickle", "cPickle", "marshal", "shelve", "dill"}
CALLER_HEADERS = {"host", "x-tenant-id", "x-user-id"}
# Each keeps the task it starts: nothing started here is lost or ends unseen.
TASK_STARTERS = {
    "controller/engine_sim/provider_app.py",
    "controller/engine_sim/web.py",
    "controller/gateway/idempotent_answers.py",
    "controller/loop/elected.py",
    "controller/web/h1_accept.py",
    "controller/web/h1_connection.py",
}
# Around a tick, a request, a reload, the status of one pool or a completion, which a defect ends and nothing else; each
# says so on its line.
LAST_CATCHES = {
    "controller/adapters/kubernetes_status.py",
    "controller/cli/complete.py",
    "controller/cli/reload.py",
    "controller/engine_sim/app.py",
    "controller/engine_sim/provider_app.py",
    "controller/gateway/app.py",
    "controller/loop/elected.py",
    "controller/loop/serve.py",
    "controller/loop/tick.py",
}
CATCH, WITHOUT_REASON = "try: x()\nexcept {}\n    pass", "catches everything without a reason"
ALLOWED = {
    ("controller/adapters/database.py", "composed SQL"),  # PRAGMA takes no bind parameters; the names are constants
    ("controller/catalogue/load.py", "yaml.load"),  # with a safe loader only
    ("infra/regions/load.py", "yaml.load"),  # with a safe loader only
    *((path, "task outside a group") for path in TASK_STARTERS),
    *((path, "catches everything") for path in LAST_CATCHES),
}


def _composed(node: ast.expr) -> bool:
    formatted = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
    return formatted or isinstance(node, ast.JoinedStr | ast.BinOp)


def _call_faults(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    if last in SQL_CALLS and call.args and _composed(call.args[0]):
        yield "composed SQL"
    if name in {"eval", "exec"}:
        yield name
    if name in {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}:
        yield "yaml.load"
    if last in {"create_task", "ensure_future"} and name not in {"group.create_task", "tasks.create_task"}:
        yield "task outside a group"
    for keyword in call.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if (keyword.arg, value) in {("shell", True), ("verify", False)}:
            yield f"{keyword.arg}={value!r}"


def _catch_faults(handler: ast.ExceptHandler, lines: list[str]) -> Iterator[str]:
    caught = {"BaseException"} if handler.type is None else set(ast.unparse(handler.type).strip("()").split(", "))
    if caught & {"Exception", "BaseException"} and not isinstance(handler.body[-1], ast.Raise):
        yield "catches everything" if "  # " in lines[handler.lineno - 1] else "catches everything without a reason"


def _gateway_faults(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "request.url":
        yield "request.url"
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        said = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        if said.lower() in CALLER_HEADERS:
            yield f"header {said.lower()}"


def _faults(path: str, source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found.update(_call_faults(node))
        if isinstance(node, ast.Import):
            found.update(f"import {alias.name}" for alias in node.names if alias.name.split(".")[0] in LOADERS)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LOADERS:
            found.add(f"import {node.module}")
        if isinstance(node, ast.ExceptHandler):
            found.update(_catch_faults(node, source.splitlines()))
        if path.startswith("controller/gateway/"):
            found.update(_gateway_faults(node))
    return found


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        pytest.param("controller/a.py", "c.execute(f'SELECT {x}')", "composed SQL", id="f-string"),
        pytest.param("controller/a.py", "c.execute('SELECT %s' % x)", "composed SQL", id="percent"),
        pytest.param("controller/a.py", "text('SELECT {}'.format(x))", "composed SQL", id="format"),
        pytest.param("controller/a.py", "import pickle", "import pickle", id="pickle"),
        pytest.param("controller/a.py", "from marshal import loads", "import marshal", id="marshal"),
        pytest.param("controller/a.py", "eval(x)", "eval", id="eval"),
        pytest.param("controller/a.py", "exec(x)", "exec", id="exec"),
        pytest.param("controller/a.py", "yaml.load(x)", "yaml.load", id="yaml"),
        pytest.param("controller/a.py", "run(x, shell=True)", "shell=True", id="shell"),
        pytest.param("controller/a.py", "get(x, verify=False)", "verify=False", id="verify"),
        pytest.param("controller/a.py", "asyncio.create_task(x())", "task outside a group", id="task"),
        pytest.param("controller/a.py", CATCH.format("Exception:  # why"), "catches everything", id="catch"),
        pytest.param("controller/a.py", CATCH.format(":"), WITHOUT_REASON, id="bare except"),
        pytest.param("controller/a.py", CATCH.format("(OSError, BaseException):"), WITHOUT_REASON, id="among others"),
        pytest.param("controller/gateway/a.py", "x = request.url.path", "request.url", id="url"),
        pytest.param("controller/gateway/a.py", "x = headers[b'Host']", "header host", id="host"),
        pytest.param("controller/gateway/a.py", "x = headers['x-tenant-id']", "header x-tenant-id", id="tenant"),
    ],
)
def test_a_forbidden_line_is_found(path: str, source: str, fault: str) -> None:
    """Each rule sees the line it forbids."""
    assert _faults(path, source) == {fault}


def test_the_product_breaks_no_source_rule() -> None:
    """Every file of the product keeps the rules, and every exception listed is still in use."""
    found: set[tuple[str, str]] = set()
    for file in sorted((*(ROOT / "controller").rglob("*.py"), *(ROOT / "infra").rglob("*.py"))):
        path = file.relative_to(ROOT).as_posix()
        found.update((path, fault) for fault in _faults(path, file.read_text(encoding="utf-8")))
    assert found == ALLOWED
