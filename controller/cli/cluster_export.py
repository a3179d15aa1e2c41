"""`spillway ledger export` on a cluster: rows come out of a pod of the gateway, and the file is written here."""

from __future__ import annotations

import os
from pathlib import Path

from controller.cli.cluster_gateway import finish, run_there
from controller.cli.cluster_options import ClusterWish
from controller.cli.errors import EXIT_USAGE, CliError
from controller.cli.ledger_export import Format


def export(wish: ClusterWish, *, since: str, until: str, out: Path | None, form: Format | None, as_json: bool) -> None:
    """As CSV; the file takes its name once it is whole."""
    from controller.cli.ledger import span_s

    span_s(since, until)
    words = ["ledger", "export", "--since", since, "--until", until]
    if form is Format.PARQUET or (form is None and out is not None and out.suffix == ".parquet"):
        why = "from a cluster the rows come through the API server, as CSV"
        raise CliError("Parquet cannot be had from a cluster", why, "--format csv --out FILE.csv", EXIT_USAGE)
    if out is None:
        if as_json:
            why = "--json does not go to stdout with the rows"
            raise CliError("this needs a file", why, "--out FILE", EXIT_USAGE)
        finish(run_there(wish, words))
        return
    if not out.absolute().parent.is_dir():
        raise CliError(f"--out {out}", f"there is no folder {out.absolute().parent}", exit_code=EXIT_USAGE)
    _to_file(wish, words, out, as_json=as_json)


def _to_file(wish: ClusterWish, words: list[str], out: Path, *, as_json: bool) -> None:
    from controller.adapters.ledger_export import write_whole
    from controller.cli.output import emit_json, say

    def write(draft: Path) -> int:
        lines = 0

        def take(data: bytes) -> None:
            nonlocal lines
            lines += data.count(b"\n")
            file.write(data)

        with draft.open("wb") as file:
            finish(run_there(wish, words, stdout=take))
            file.flush()
            os.fsync(file.fileno())
        return max(0, lines - 1)

    try:
        count = write_whole(out, write)
    except OSError as error:
        raise CliError(f"{out} cannot be written", str(error.strerror)) from error
    if as_json:
        emit_json("ledger_export", {"file": out, "format": Format.CSV.value, "rows": count})
    else:
        say("ok", f"{count} rows in {out}")
