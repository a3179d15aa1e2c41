"""What environment variables change: the phase, the state folder, and pools that somebody else runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_files import KEYS, TODAY, Check, Load

from controller.config.load import load_settings
from controller.core.requests import Phase

VARIABLES = {"LLAMA_8B_ENDPOINT": "llama-8b", "MIXTRAL_ENDPOINT": "mixtral-8x7b", "LLAMA_70B_ENDPOINT": "llama-70b"}


@pytest.mark.parametrize(
    ("value", "endpoints"),
    [
        ("http://gpu-1:8001/v1", ("http://gpu-1:8001",)),
        ("http://gpu-1:8001", ("http://gpu-1:8001",)),
        ("http://gpu-1:8001/v1/", ("http://gpu-1:8001",)),
        ("http://llm.example.com/v1", ("http://llm.example.com",)),
        ("http://[::1]:8000/v1", ("http://[::1]:8000",)),
        ("http://vllm_8b:8000", ("http://vllm_8b:8000",)),
        ("http://a:1/v1,http://b:2/v1", ("http://a:1", "http://b:2")),
        (" http://a:1/v1 , ,http://b:2, ", ("http://a:1", "http://b:2")),
        ("http://a:1/v1,http://a:1", ("http://a:1",)),
        ("", ()),
        (" , ", ()),
    ],
    ids=[
        "v1",
        "bare",
        "v1-slash",
        "without-port",
        "ipv6",
        "underscore",
        "two",
        "blanks",
        "same-twice",
        "empty",
        "commas-only",
    ],
)
@pytest.mark.parametrize(("variable", "name"), VARIABLES.items(), ids=list(VARIABLES))
def test_an_endpoint_variable_makes_its_pool_fixed(
    variable: str, name: str, value: str, endpoints: tuple[str, ...], settings_of: Load
) -> None:
    """Endpoints without their /v1, several with commas between; the other pools stay as they are."""
    pools = settings_of("", {variable: value}).pools
    assert {pool.name: pool.endpoints for pool in pools.values()} == {
        other: endpoints if other == name else () for other in VARIABLES.values()
    }


def test_the_pool_is_found_by_its_model(settings_of: Load) -> None:
    """Whatever the user calls it, and in place of endpoints of its own."""
    text = "pools:\n  - {name: mine, model: llama-8b-self, endpoints: ['http://old:1']}\n"
    pools = settings_of(text, {"LLAMA_8B_ENDPOINT": "http://new:1/v1"}).pools
    assert {name: pool.endpoints for name, pool in pools.items()} == {"mine": ("http://new:1",)}


def test_a_pool_that_the_file_lacks_is_added(settings_of: Load) -> None:
    """The default one of that model."""
    pools = settings_of("pools: []\n", {"MIXTRAL_ENDPOINT": "http://gpu-1:8002/v1"}).pools
    assert {name: (pool.model, pool.endpoints) for name, pool in pools.items()} == {
        "mixtral-8x7b": ("mixtral-8x7b-self", ("http://gpu-1:8002",))
    }


def test_what_runs_already_is_not_asked_whether_it_fits(settings_of: Load) -> None:
    """Mixtral on two A100-40 is refused, but not when its replicas answer elsewhere."""
    text = (
        "pools:\n  - {name: a, model: mixtral-8x7b-self, instance_type: p4d.24xlarge, engine: {tensor_parallel: 2}}\n"
    )
    assert settings_of(text, {"MIXTRAL_ENDPOINT": "http://gpu-1:8002/v1"}).pools["a"].endpoints


@pytest.mark.parametrize("phase", list(Phase))
def test_the_phase_of_the_environment_goes_before_that_of_the_file(phase: Phase, settings_of: Load) -> None:
    """An empty variable says nothing."""
    assert settings_of("phase: phase2\n", {"AI_PHASE": phase.value}).phase is phase
    assert settings_of(f"phase: {phase.value}\n", {"AI_PHASE": ""}).phase is phase


@pytest.mark.parametrize(
    ("flag", "variable", "state_dir"),
    [(Path("flag"), "variable", "flag"), (None, "variable", "variable"), (None, "", "file")],
    ids=["flag", "variable", "file"],
)
def test_the_state_folder_of_flag_variable_or_file(
    tmp_path: Path, flag: Path | None, variable: str, state_dir: str
) -> None:
    """In this order."""
    file = tmp_path / "spillway.yaml"
    file.write_text("state_dir: file\n")
    environ = {**KEYS, "SPILLWAY_STATE_DIR": variable}
    assert load_settings(file, environ, today=TODAY, state_dir=flag).state_dir == Path(state_dir)


def test_only_keys_that_the_present_phase_uses_are_missed(settings_of: Load, problems_of: Check) -> None:
    """Each provider once, with the first model that needs it; a warning where the file names it, else a note."""
    nothing = dict.fromkeys(KEYS, "")
    missed = {problem.key: problem.severity for problem in problems_of("", nothing) if problem.file == "environment"}
    assert missed == dict.fromkeys(("ANTHROPIC_API_KEY", "GROQ_API_KEY", "OPENAI_API_KEY"), "note")
    assert settings_of("", nothing).warnings == ()
    text = "pools: []\nrules: {default_model: gpt-6-luna}\nfallbacks:\n  gpt-6-luna: [gpt-6-terra]\n"
    (warning,) = settings_of(text, nothing).warnings
    assert (warning.key, warning.value) == ("OPENAI_API_KEY", None)
