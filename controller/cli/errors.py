"""How a command fails: one struct (what, why, how to mend it), one printer, one table of exit codes."""

from __future__ import annotations

from controller.core.errors import ConfigError, RequestError, SpillwayError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2  # wrong command line or configuration
EXIT_UNCHANGED = 3  # nothing changed, where that was asked to be told
EXIT_KEY = 4  # key missing or refused
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class CliError(SpillwayError):
    """A command cannot go on. `fix` is a command or a change the reader can make."""

    def __init__(self, what: str, why: str = "", fix: str = "", exit_code: int = EXIT_FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.exit_code = exit_code


def exit_code_of(error: SpillwayError) -> int:
    """The exit code that says what kind of failure this was."""
    if isinstance(error, CliError):
        return error.exit_code
    if isinstance(error, ConfigError):
        return EXIT_USAGE
    if isinstance(error, RequestError) and error.status in {401, 403}:
        return EXIT_KEY
    return EXIT_FAILED


def error_document(error: SpillwayError) -> dict[str, object]:
    """The same error as data, for `--json`."""
    document: dict[str, object] = {"what": str(error), "exit_code": exit_code_of(error)}
    if isinstance(error, CliError):
        document |= {"why": error.why or None, "fix": error.fix or None}
    if isinstance(error, RequestError):
        document |= {"status": error.status, "code": error.code, "param": error.param}
    if isinstance(error, ConfigError):
        document["problems"] = [
            {
                "file": problem.file,
                "line": problem.line,
                "key": problem.key,
                "value": problem.value,
                "allowed": problem.allowed,
                "message": problem.message,
                "severity": problem.severity,
            }
            for problem in error.problems
        ]
    return document


def print_error(error: SpillwayError, *, as_json: bool) -> None:
    """Says the error on stderr in words, or on stdout as one JSON document."""
    from controller.cli.output import emit_json, say

    if as_json:
        emit_json("error", error_document(error))
        return
    if isinstance(error, CliError):
        say("error", f"{error.what}: {error.why}" if error.why else error.what)
        if error.fix:
            say("fix", error.fix)
        return
    for line in str(error).splitlines():
        say("error", line)
