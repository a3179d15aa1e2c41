"""What the pages say can be typed: every command, option and make target in them exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.cli.main import COMMANDS, build_app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "docker/README.md",
    ROOT / "README.md",
    ROOT / "infra/README.md",
    *sorted(ROOT.glob("controller/*/README.md")),
    *sorted(ROOT.glob("tests/**/README.md")),
]
CLUSTER_PAGES = sorted(ROOT.glob("helm/**/README.md"))  # where `spillway` is a namespace and a release, too
COMMAND = re.compile(r"(?:\.venv/bin/)?spillway ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)([^`\n#]*)")
IN_A_POD = re.compile(r"(?:-- |^)spillway ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)([^`\n#]*)", re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
GROUPS = {"route": ("explain",), "pool": ("list", "pin", "unpin", "drain"),
          "keys": ("create", "list", "new-pepper", "revoke"),
          "bench": ("policy",),
          "infra": ("plan", "preflight", "weights", "leftovers"),
          "ledger": ("report", "export", "verify"), "config": ("validate", "show", "schema")}  # fmt: skip


def _code(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    shell = [body for language, body in blocks if language in {"", "sh"}]
    return "\n".join([*shell, *re.findall(r"`([^`\n]+)`", text)])


def _commands() -> list[tuple[str, str, str]]:
    found = [(page, *words) for page in PAGES for words in COMMAND.findall(_code(page))]
    on_clusters = [(page, *words) for page in CLUSTER_PAGES for words in IN_A_POD.findall(_code(page))]
    return [(page.parent.name, words, rest) for page, words, rest in (*found, *on_clusters)]


@pytest.mark.parametrize(("page", "words", "rest"), _commands(), ids=lambda value: str(value).strip()[:40])
def test_every_command_of_the_pages_exists(page: str, words: str, rest: str) -> None:
    """The subcommand answers --help, and each option stands in it."""
    name, _, second = words.partition(" ")
    assert name.replace("-", "_") in (*COMMANDS, "help"), page
    if name == "help":
        return
    path = [name, second] if second in GROUPS.get(name, ()) else [name]
    if name in GROUPS:
        assert len(path) == 2 or not second, f"{words} in {page}"
    shown = CliRunner().invoke(build_app(), [*path, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, f"{words} in {page}"
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest):
        assert option in shown.output, f"{option} of spillway {words} in {page}"


@pytest.mark.parametrize("page", [*PAGES, *CLUSTER_PAGES], ids=lambda page: page.parent.name)
def test_every_make_target_of_the_pages_exists(page: Path) -> None:
    """`make X` is in the Makefile."""
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", _code(page)))
    assert named <= TARGETS


def test_the_first_commands_of_the_readme_are_up_and_test() -> None:
    """A newcomer finds both at the top, in this order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert first is not None
    assert text.index(first[0]) < 900
    assert re.findall(r"^make (\w+)", first[1], re.MULTILINE) == ["up", "test"]


def test_the_readme_explains_a_request_that_it_shows(tmp_path: Path) -> None:
    """The line works as it stands in a fresh clone, where nothing runs."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^.*spillway route explain.*$", text, re.MULTILINE)
    command = line.replace(".venv/bin/spillway", f"{shlex.quote(sys.executable)} -m controller.cli.main")
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "gpt-4o" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_folder_of_the_product_has_a_door_sign() -> None:
    """Each package of the controller has a README that names each of its modules, or says what they do together."""
    folders = [path for path in (ROOT / "controller").iterdir() if (path / "__init__.py").exists()]
    assert len(folders) >= 13
    for folder in folders:
        assert (folder / "README.md").is_file(), folder.name
