"""`spillway connect`: what it prints, what it writes and for whom, and that it can take all of it back."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.adapters.key_store import KeyTable
from controller.adapters.peppers import load_pepper
from controller.cli import connect, load
from controller.cli.connect_clients import CLIENTS
from controller.cli.connect_real import REAL
from controller.cli.errors import EXIT_FAILED, EXIT_KEY, EXIT_UNCHANGED, EXIT_USAGE, CliError
from controller.cli.main import build_app
from controller.cli.wiring import settings_from
from controller.core.keys import key_text
from tests.e2e.stack import free_ports

OTHER = {
    "claude-code": b'{\n    "model": "opus",\n    "env": {"A": "1"}\n}\n',
    "codex": b'# mine\nmodel = "o3" # best\n\n[mcp_servers.x]\ncommand = "y"\n',
}
ENV_FILE = b"# mine\nOPENAI_API_KEY=sk-old\nOTHER='x y'"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a project folder that hold nothing; the state folder of a gateway lies beside it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("SPILLWAY_API_KEY", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "SPILLWAY_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    load_pepper(tmp_path / "state" / "pepper")  # as a gateway leaves it
    return folder


def _run(home: Path, *arguments: str, stdin: str | None = None) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    connect.register(app)
    state = ["--state-dir", str(home.parent / "state")] if arguments else []
    return CliRunner().invoke(app, ["connect", *arguments, *state], input=stdin)


def _error(result: Result) -> CliError:
    assert isinstance(result.exception, CliError), result.output
    return result.exception


def _file(name: str) -> Path:
    return Path(CLIENTS[name].file).expanduser().absolute()


def _live_keys(home: Path) -> list[str]:
    keys = KeyTable(home.parent / "state" / "spillway.db", home.parent / "state" / "pepper")
    try:
        return [record.name for record in keys.list() if record.revoked_at_s is None]
    finally:
        keys.close()


def test_without_a_name_the_clients_are_listed(home: Path) -> None:
    """All nine, in words and as JSON."""
    assert len(CLIENTS) == 9
    assert all(name in _run(home).stdout for name in CLIENTS)
    app = typer.Typer()
    app.callback()(lambda: None)
    connect.register(app)
    listed = json.loads(CliRunner().invoke(app, ["connect", "--json"]).stdout)["data"]
    assert [client["name"] for client in listed] == list(CLIENTS)
    assert set(REAL) == set(CLIENTS) - {"open-webui"}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_setting_is_printed_without_a_key(home: Path, name: str) -> None:
    """The gateway's address and a reference to the key; nothing is written."""
    result = _run(home, name, "--no-trip")
    assert "127.0.0.1:8080" in result.stdout
    assert "SPILLWAY_API_KEY" in result.stdout
    assert "sp-" not in result.output
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("there", [False, True], ids=["no file", "a file"])
@pytest.mark.parametrize("name", CLIENTS)
def test_write_and_undo_leave_every_byte_as_it_was(home: Path, name: str, *, there: bool) -> None:
    """The file gets a new key, 0600, that is never shown; undo restores the bytes and revokes the key."""
    file, before = _file(name), OTHER.get(name, ENV_FILE)
    if there:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(before)
    written = _run(home, name, "--write", "--no-trip", "--json")
    document = json.loads(written.stdout)["data"]
    text = file.read_text()
    assert text.count(f"sp-{document['key_id']}-") == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "sp-" not in written.output
    assert _live_keys(home) == [f"connect-{name}"]
    undone = json.loads(_run(home, name, "--undo", "--json").stdout)["data"]
    assert undone["revoked_key_id"] == document["key_id"]
    assert _live_keys(home) == []
    if there:
        assert file.read_bytes() == before
    else:
        assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", ["codex", "openai-python", "claude-code"])
def test_a_dry_run_shows_only_what_comes_in(home: Path, name: str) -> None:
    """No file, no key, and nothing of what stands there already."""
    file = _file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(OTHER.get(name, ENV_FILE))
    result = _run(home, name, "--write", "--dry-run")
    assert "+ " in result.stdout
    assert "<a new key>" in result.stdout
    assert "sk-old" not in result.output
    assert file.read_bytes() == OTHER.get(name, ENV_FILE)
    assert _live_keys(home) == []


@pytest.mark.parametrize("source", ["file", "stdin", "environment"])
def test_a_given_key_is_used_and_no_other_is_made(home: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """From a file, stdin or SPILLWAY_API_KEY; it is not shown."""
    (home.parent / "key").write_text("sp-abc-def\n")
    if source == "environment":
        monkeypatch.setenv("SPILLWAY_API_KEY", "sp-abc-def")
    given = {"file": ["--key-file", str(home.parent / "key")], "stdin": ["--key-file", "-"], "environment": []}[source]
    result = _run(home, "curl", "--write", "--no-trip", *given, stdin="sp-abc-def\n")
    assert "sp-abc-def" in _file("curl").read_text()
    assert "sp-abc-def" not in result.output
    assert _live_keys(home) == []


def test_a_key_with_a_typing_error_is_told_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its check digits, before anything is asked or written; `spillway load` does the same."""
    wrong = key_text("0123456789ab", "0" * 64).replace("0123", "0132")
    monkeypatch.setenv("SPILLWAY_API_KEY", wrong)
    error = _error(_run(home, "curl", "--write", "--no-trip"))
    assert (error.exit_code, error.what) == (EXIT_KEY, "SPILLWAY_API_KEY has a typing error")
    with pytest.raises(CliError, match="typing error") as caught:
        load.key_text(settings_from(None, home))
    assert wrong not in f"{error.why}{error.fix}{caught.value.why}"


def test_the_way_back_is_told_as_it_must_be_typed(home: Path) -> None:
    """With the state folder that was named: from this folder it would not be found without."""
    told = _run(home, "curl", "--write", "--no-trip").stderr
    assert f"Undo: spillway connect curl --undo --state-dir {home.parent / 'state'}\n" in told


def test_connecting_twice_replaces_the_key(home: Path) -> None:
    """The first key is revoked, one is good, and undo still leads back to the beginning."""
    _file("openai-js").write_bytes(ENV_FILE)
    for _ in range(2):
        assert _run(home, "openai-js", "--write", "--no-trip").exit_code == 0
    assert _live_keys(home) == ["connect-openai-js"]
    _run(home, "openai-js", "--undo")
    assert _file("openai-js").read_bytes() == ENV_FILE


def test_a_file_changed_since_stays(home: Path) -> None:
    """Undo refuses with the place of the backup."""
    _run(home, "codex", "--write", "--no-trip")
    _file("codex").write_text("mine now")
    error = _error(_run(home, "codex", "--undo"))
    assert "changed since" in error.what
    assert ".before" in error.fix
    assert _file("codex").read_text() == "mine now"


def test_nobody_at_home_leaves_nothing_behind(home: Path) -> None:
    """With no gateway to answer, --write takes back the file and the key, and says so."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    result = _run(home, "openai-python", "--write", "--url", url)
    assert "nobody answers" in _error(result).what
    assert "--no-trip" in result.stderr
    assert list(home.iterdir()) == []
    assert _live_keys(home) == []


def test_a_failed_second_time_keeps_the_first(home: Path) -> None:
    """What stood connected before a failing --write stands connected after it, its key too."""
    _run(home, "curl", "--write", "--no-trip")
    first = _file("curl").read_bytes()
    _error(_run(home, "curl", "--write", "--url", f"http://127.0.0.1:{free_ports(1)[0]}"))
    assert _file("curl").read_bytes() == first
    assert _live_keys(home) == ["connect-curl"]
    assert _run(home, "curl", "--undo").exit_code == 0
    assert list(home.iterdir()) == []


def test_without_a_state_folder_no_key_is_made(home: Path) -> None:
    """A key made there would be good nowhere: told before anything is written, with the folder that was looked at."""
    shutil.rmtree(home.parent / "state")
    for arguments in (("--write",), ("--write", "--dry-run"), ("--write", "--no-trip"), ()):
        error = _error(_run(home, "curl", *arguments))
        assert error.exit_code == EXIT_KEY
        assert str(home.parent / "state") in f"{error.what} {error.why}"
        assert "--state-dir DIR" in error.fix
    assert "--key-file" in _error(_run(home, "curl", "--write")).fix
    assert list(home.parent.rglob("*")) == [home]


def test_a_key_from_elsewhere_needs_no_state_folder(home: Path) -> None:
    """The gateway runs elsewhere: what the file held before is kept with the user, and undo finds it there."""
    before = _file("openai-js")
    before.write_bytes(ENV_FILE)
    (home.parent / "key").write_text("sp-abc-def\n")
    words = ["connect", "openai-js", "--url", "https://gw.example", "--no-trip", "--key-file", str(home.parent / "key")]
    assert CliRunner().invoke(build_app(), [*words, "--write"]).exit_code == 0
    assert (home / ".local" / "state" / "spillway" / "connect").is_dir()
    assert not (home / ".spillway").exists()
    assert "sp-abc-def" in before.read_text()
    assert CliRunner().invoke(build_app(), ["connect", "openai-js", "--undo"]).exit_code == 0
    assert before.read_bytes() == ENV_FILE
    error = _error(CliRunner().invoke(build_app(), [*words, "--write", "--state-dir", "typo"]))
    assert "no Spillway state in" in error.what
    assert before.read_bytes() == ENV_FILE


def test_undo_after_a_system_has_begun_there(home: Path) -> None:
    """What was kept with the user is found too where a state folder has been made since."""
    (home.parent / "key").write_text("sp-abc-def\n")
    words = ["connect", "curl", "--no-trip", "--key-file", str(home.parent / "key"), "--write"]
    assert CliRunner().invoke(build_app(), words).exit_code == 0
    load_pepper(home / ".spillway" / "pepper")
    assert CliRunner().invoke(build_app(), ["connect", "curl", "--undo"]).exit_code == 0
    assert not _file("curl").exists()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        pytest.param(("codecs",), EXIT_USAGE, "did you mean codex", id="typo"),
        pytest.param(("codex", "--write", "--undo"), EXIT_USAGE, "use one", id="both"),
        pytest.param(("codex", "--url", "gw:8080"), EXIT_USAGE, "http(s)://HOST", id="url"),
        pytest.param(("codex", "--url", "http://u:p@gw"), EXIT_USAGE, "without a key", id="url with key"),
        pytest.param(("codex", "--model", "a b"), EXIT_USAGE, "letters", id="model"),
        pytest.param(("codex", "--key-file", "none"), EXIT_KEY, "none", id="no key file"),
        pytest.param(("codex", "--key-file", "-"), EXIT_KEY, "one word", id="empty stdin"),
        pytest.param(("codex",), EXIT_KEY, "SPILLWAY_API_KEY", id="nothing to try it with"),
        pytest.param(("codex", "--undo"), EXIT_UNCHANGED, "nothing was written", id="not connected"),
        pytest.param(("codex", "--write", "--no-trip", "--tenant", "a/b"), EXIT_USAGE, "letters", id="tenant"),
    ],
)
def test_refusals(home: Path, arguments: tuple[str, ...], exit_code: int, words: str) -> None:
    """One clear line each, with the exit code that says what kind it is, and nothing written."""
    error = _error(_run(home, *arguments, stdin=""))
    assert error.exit_code == exit_code
    assert words in f"{error.what} {error.why} {error.fix}"
    assert list(home.iterdir()) == []


def test_settings_that_are_not_what_they_should_be_are_refused(home: Path) -> None:
    """Broken JSON and text that is no text stay as they are; no key is made for them."""
    file = _file("claude-code")
    file.parent.mkdir()
    for content in (b"{ // mine\n}", b"\xff\xfe"):
        file.write_bytes(content)
        assert _error(_run(home, "claude-code", "--write", "--no-trip")).exit_code == EXIT_FAILED
        assert file.read_bytes() == content
    assert _live_keys(home) == []


def test_the_client_s_own_variable_says_where_the_file_lies(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CODEX_HOME is honoured, and undo finds the file without it."""
    monkeypatch.setenv("CODEX_HOME", str(home / "elsewhere"))
    _run(home, "codex", "--write", "--no-trip", "--url", "https://gw.example/v1/")
    assert 'base_url = "https://gw.example/v1"' in (home / "elsewhere" / "config.toml").read_text()
    monkeypatch.delenv("CODEX_HOME")
    assert _run(home, "codex", "--undo").exit_code == 0
    assert os.listdir(home) == []
