"""Keys of providers from variables and files."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.adapters.provider_keys import ProviderKeys
from controller.core.secret import Secret
from tests.routing.builders import provider


def keys_of(path: Path, **variables: str) -> ProviderKeys:
    """Of one provider with two variables and a file."""
    openai = replace(provider("openai"), more_key_envs=("OPENAI_KEY_2",), api_key_files=(str(path),))
    return ProviderKeys({"openai": openai, "groq": provider("groq")}, variables, refresh_s=0.02)


def told(keys: ProviderKeys) -> list[str]:
    """What is behind the stars."""
    return [key.reveal() for key in keys["openai"]]


def test_variables_and_files(tmp_path: Path) -> None:
    """All that are set, in order, each once."""
    path = tmp_path / "key"
    path.write_text("sk-file\n")
    keys = keys_of(path, OPENAI_KEY="sk-1", OPENAI_KEY_2="sk-2")
    assert told(keys) == ["sk-1", "sk-2", "sk-file"]
    assert keys["groq"] == ()
    assert (len(keys), list(keys)) == (2, ["openai", "groq"])
    assert keys_of(path, OPENAI_KEY="sk-file")["openai"] == (Secret("sk-file"),)


def test_a_key_is_replaced_while_it_runs(tmp_path: Path) -> None:
    """The new one is used soon after its file was written, and the log has no key."""
    path = tmp_path / "key"
    path.write_text("sk-old")
    keys = keys_of(path)
    with capture_logs() as logs:
        keys.start()
        keys.start()
        path.write_text("sk-new")
        deadline_s = time.monotonic() + 10.0
        while told(keys) != ["sk-new"] and time.monotonic() < deadline_s:
            time.sleep(0.01)
        keys.close()
    assert told(keys) == ["sk-new"]
    assert {"event": "provider_keys_changed", "provider": "openai", "keys": 1, "log_level": "info"} in logs
    assert "sk-" not in str(logs)


@pytest.mark.parametrize(
    "content", [b"", b"two words", b"\xff\xfe", b"sk-\x00"], ids=["empty", "words", "bytes", "nul"]
)
def test_a_file_that_holds_no_key_keeps_the_old_one(tmp_path: Path, content: bytes) -> None:
    """It may be in the middle of being written; the log says so, without what is in it."""
    path = tmp_path / "key"
    path.write_text("sk-old")
    keys = keys_of(path)
    path.write_bytes(content)
    with capture_logs() as logs:
        keys.refresh()
    assert told(keys) == ["sk-old"]
    assert [line["event"] for line in logs] == ["provider_key_unreadable"]
    path.unlink()
    keys.refresh()
    assert told(keys) == ["sk-old"]
    keys.close()
