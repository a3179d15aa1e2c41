"""Which cluster a command means, and what it says when it cannot reach it: no case ends in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.adapters.kubernetes_exec import exit_code
from controller.adapters.kubernetes_refusals import NO_ANSWER, of_status
from controller.cli.cluster_errors import explained, kubeconfig_refusal
from controller.cli.cluster_gateway import as_typed_here, words_of
from controller.cli.cluster_options import ClusterWish, cluster_wish, with_flags_behind
from controller.cli.errors import EXIT_FAILED, EXIT_KEY, EXIT_USAGE, CliError
from controller.cli.keys import revoke
from controller.cli.ledger import report
from controller.cli.request import request
from controller.core.errors import ClusterUnavailable, ConfigError, SpillwayError

NONE: dict[str, str | None] = {"context": None, "namespace": None, "kubeconfig": None}
PLATFORM = {"SPILLWAY_PLATFORM": "kubernetes"}
WISH = ClusterWish(context="prod", namespace="models")
FLAGS = " --context prod --namespace models"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("status", "status"),
        ("-n models status", "status -n models"),
        ("-nmodels status --watch", "status --watch -nmodels"),
        ("--context=prod --namespace models pool list", "pool list --context=prod --namespace models"),
        ("--kubeconfig f pool pin x -n y", "pool pin x -n y --kubeconfig f"),
        ("-n models route explain -- -", "route explain -n models -- -"),
        ("-n", "-n"),
        ("--context prod", "--context prod"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_flags_stand_before_or_behind_the_command(typed: str, read: str) -> None:
    """As kubectl takes them; what is no flag of a cluster stays where it is."""
    assert with_flags_behind(typed.split()) == read.split()


@pytest.mark.parametrize(
    ("given", "environ", "meant"),
    [
        ({}, {}, None),
        ({}, {"SPILLWAY_PLATFORM": "processes"}, None),
        ({}, PLATFORM, ClusterWish()),
        ({"namespace": "models"}, {}, ClusterWish(namespace="models")),
        ({"context": "prod"}, {"SPILLWAY_PLATFORM": "processes"}, ClusterWish(context="prod")),
        ({}, {**PLATFORM, "SPILLWAY_PROGRAM": "kubectl spillway"}, ClusterWish(program="kubectl spillway")),
    ],
)
def test_a_command_is_about_this_machine_unless_a_cluster_is_named(
    given: dict[str, str], environ: dict[str, str], meant: ClusterWish | None
) -> None:
    """By a flag, by SPILLWAY_PLATFORM, or as a plug-in of kubectl."""
    assert cluster_wish({**NONE, **given}, environ) == meant


@pytest.mark.parametrize(
    ("given", "environ", "words"),
    [
        ({"context": " "}, {}, "--context is empty"),
        ({"namespace": ""}, {}, "--namespace is empty"),
        ({}, {"SPILLWAY_PLATFORM": "k8s"}, "SPILLWAY_PLATFORM 'k8s' is no platform"),
    ],
)
def test_what_names_no_cluster_is_refused(given: dict[str, str], environ: dict[str, str], words: str) -> None:
    """As wrong usage, with what is allowed."""
    with pytest.raises(CliError, match=words) as caught:
        cluster_wish({**NONE, **given}, environ)
    assert (caught.value.exit_code, bool(caught.value.fix)) == (EXIT_USAGE, True)


def test_commands_are_printed_as_they_must_be_typed() -> None:
    """With what named the cluster, quoted; under the name that the command was called by."""
    wish = ClusterWish(context="my prod", namespace="models", program="kubectl spillway")
    assert wish.command("pool unpin x") == "kubectl spillway pool unpin x --context 'my prod' --namespace models"
    assert wish.kubectl("get spool") == "kubectl get spool --context 'my prod' --namespace models"
    assert ClusterWish().command("status") == "spillway status"


CONTEXTS = {"contexts": [{"name": "prod"}, {"name": "staging"}, "odd"], "current-context": "prod"}


@pytest.mark.parametrize(
    ("document", "context", "words", "why"),
    [
        (CONTEXTS, None, None, None),
        (CONTEXTS, "staging", None, None),
        (CONTEXTS, "stagin", "no context 'stagin'", "did you mean staging"),
        (CONTEXTS, "elsewhere", "no context 'elsewhere'", "there are prod, staging"),
        ({"current-context": "gone"}, None, "no context 'gone'", "there are none"),
        ({"contexts": [{"name": "prod"}]}, None, "has no current context", "there are prod"),
        ({}, None, "has no current context", "it has none at all"),
        ([], None, "has no current context", "it has none at all"),
        (ValueError("line 3: odd"), None, "cannot be read", "line 3: odd"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_in_words(
    tmp_path: Path, document: object, context: str | None, words: str | None, why: str | None
) -> None:
    """Each with the contexts that there are, or the one that may be meant."""
    file = tmp_path / "config"
    file.touch()

    def read(_: Path) -> object:
        if isinstance(document, Exception):
            raise document
        return document

    refusal = kubeconfig_refusal(str(file), ClusterWish(context=context), read)
    assert (refusal is None) == (words is None)
    if refusal is not None and words is not None and why is not None:
        assert words in refusal.what
        assert why in refusal.why
        assert (refusal.exit_code, bool(refusal.fix)) == (EXIT_USAGE, True)


def test_several_kubeconfigs_are_read_together(tmp_path: Path) -> None:
    """As kubectl does with KUBECONFIG; one that is not there is passed over, none at all is told."""
    (tmp_path / "a").write_text("contexts: [{name: one}]\ncurrent-context: one\n", encoding="utf-8")
    (tmp_path / "b").write_text("contexts: [{name: two}]\n", encoding="utf-8")
    paths = f"{tmp_path}/a:{tmp_path}/b:{tmp_path}/gone"
    assert kubeconfig_refusal(paths, ClusterWish(context="two")) is None
    refusal = kubeconfig_refusal(f"{tmp_path}/gone", ClusterWish())
    assert refusal is not None
    assert "there is no kubeconfig" in refusal.what
    (tmp_path / "a").write_text("contexts: [{name", encoding="utf-8")
    broken = kubeconfig_refusal(f"{tmp_path}/a", ClusterWish())
    assert broken is not None
    assert "cannot be read" in broken.what


def refused(status: int, reason: str, words: str) -> SpillwayError:
    """What the API says."""
    return of_status(status, reason, words)


@pytest.mark.parametrize(
    ("error", "code", "what", "fix"),
    [
        (refused(401, "Unauthorized", "Unauthorized"), EXIT_KEY, "does not know you", "kubectl auth whoami"),
        (refused(403, "Forbidden", "pods is forbidden"), EXIT_KEY, "you may not do that", "kubectl auth can-i --list"),
        (refused(403, "Forbidden", "exceeded quota: q"), EXIT_FAILED, "does not let it through", "message of the API"),
        (refused(404, "NotFound", "the server could not find the requested resource"), EXIT_FAILED,
         "knows no ModelPools", "install the chart of helm/ops"),
        (refused(404, "NotFound", 'pods "x" not found'), EXIT_FAILED, "it is not in", "kubectl get modelpools"),
        (refused(409, "Conflict", "was modified"), EXIT_FAILED, "somebody else is changing it", "try again"),
        (refused(422, "Invalid", "spec.pin.replicas: too many"), EXIT_USAGE, "refuses it", "message of the API"),
        (refused(503, "ServiceUnavailable", "etcd"), EXIT_FAILED, "no answer from", "kubectl get --raw /readyz"),
        *((ClusterUnavailable("nothing", reason=reason), EXIT_FAILED, "no answer from", "/readyz --context prod")
          for reason in sorted(NO_ANSWER)),
    ],
)  # fmt: skip
def test_every_refusal_of_a_cluster_says_what_mends_it(error: SpillwayError, code: int, what: str, fix: str) -> None:
    """What, where, the API's own words as the reason, and a command that names the same cluster."""
    found = explained(error, WISH, "namespace models of https://k8s:6443")
    assert isinstance(found, CliError)
    assert what in found.what
    assert "namespace models of https://k8s:6443" in found.what
    assert fix in found.fix
    assert found.exit_code == code
    assert "kubectl" not in found.fix or "--context prod" in found.fix


def test_what_is_no_word_of_a_cluster_stays_as_it_is() -> None:
    """A configuration that is wrong, say."""
    error = ConfigError(())
    assert explained(error, WISH, "there") is error


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("next: spillway request req-1", "next: spillway request req-1" + FLAGS),
        ("fix: spillway keys list", "fix: spillway keys list" + FLAGS),
        ("next: export X=<the key>    Undo: spillway keys revoke 3f9c",
         "next: export X=<the key>    Undo: spillway keys revoke 3f9c" + FLAGS),
        ("note: keep it now, it cannot be shown again", "note: keep it now, it cannot be shown again"),
        ("next: spillway keys create NAME --tenant T", "next: spillway keys create NAME --tenant T" + FLAGS),
    ],
)  # fmt: skip
def test_commands_that_a_gateway_prints_name_the_cluster(line: str, typed: str) -> None:
    """Where a line ends with one; else it stays."""
    assert as_typed_here(line, WISH) == typed


def test_a_command_is_put_together_again_from_its_values() -> None:
    """Options that differ from their default, then arguments, which are never taken for options."""
    asked = {"key_id": "-3f9c", "yes": True, "error_unchanged": False, "as_json": True, "config": None}
    assert words_of(revoke, "keys revoke", asked) == ["keys", "revoke", "--yes", "--json", "--", "-3f9c"]
    asked = {"by": "tenant,day", "since": "7d", "until": "now", "as_json": False}
    assert words_of(report, "ledger report", asked) == ["ledger", "report", "--by", "tenant,day", "--since", "7d"]
    assert words_of(request, "request", {"request_id": None, "last": 20}) == ["request"]
    assert words_of(request, "request", {"request_id": None, "last": 5}) == ["request", "--last", "5"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b'{"status": "Success"}', 0),
        (b'{"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": '
         b'[{"reason": "ExitCode", "message": "3"}]}}', 3),
    ],
)  # fmt: skip
def test_the_exit_code_is_that_of_the_command_in_the_pod(said: bytes, code: int) -> None:
    """As the API says it last."""
    assert exit_code(said, "/exec") == code


@pytest.mark.parametrize(
    "said", [b'{"status": "Failure", "message": "container not found"}', b"gone", b'{"status": "Failure"}']
)
def test_a_command_that_could_not_be_run_is_no_exit_code(said: bytes) -> None:
    """It is an error of the cluster."""
    with pytest.raises(ClusterUnavailable):
        exit_code(said, "/exec")
