"""`python -m tests.faults`: runs the fault matrix row by row and prints its table with times."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.faults import table
from tests.faults.rows import D9_VARIABLE, OUT_VARIABLE, SEED_VARIABLE

HERE = Path(__file__).parent
PIPE_WIDTH = 180


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--only", metavar="WORDS", help="rows whose test names match, as for pytest -k, e.g. 'a1 or b4'"
    )
    parser.add_argument("--count", type=int, default=1, help="how often each row runs")
    parser.add_argument("--seed", type=int, help="repeat the rows with this seed")
    parser.add_argument("--vllm", action="store_true", help="also the rows that need the real vLLM (make vllm-env)")
    parser.add_argument("--cluster", action="store_true", help="also the rows on Kubernetes (scripts/cluster-tools.sh)")
    parser.add_argument("--d9-s", type=int, help="D9: no room for so many seconds, e.g. 1800; 45 where it is not said")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add the JSON lines to FILE")
    parser.add_argument("--table", type=Path, metavar="FILE", help="run nothing: print the table of FILE as Markdown")
    parser.add_argument("--readme", action="store_true", help="put these rows into the table of tests/faults/README.md")
    return parser.parse_args()


def _run(given: argparse.Namespace, out: Path) -> int:
    """The rows one after another, as times count; those on Kubernetes, which wait most of theirs, three at once."""
    chosen = [["-m", "faults and not cluster" + ("" if given.vllm else " and not vllm")]]
    if given.cluster:
        chosen.append(["-m", "faults and cluster", "-n", "3", "--dist", "loadfile"])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", str(HERE)]
    if given.only:
        command += ["-k", given.only]
    codes = []
    for _ in range(given.count):
        seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
        print(f"seed {seed}: repeat with --seed {seed}", flush=True)
        environ = {**os.environ, OUT_VARIABLE: str(out), SEED_VARIABLE: str(seed)}
        environ |= {} if given.d9_s is None else {D9_VARIABLE: str(given.d9_s)}
        codes += [subprocess.run([*command, *words], env=environ, check=False).returncode for words in chosen]
    return max((code for code in codes if code != pytest.ExitCode.NO_TESTS_COLLECTED), default=max(codes))


def main() -> int:
    """The exit code: that of the rows."""
    given, code = _parse(), 0
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        out = given.table or given.keep or Path(folder) / "rows.jsonl"
        began_s = time.monotonic()
        if given.table is None:
            code = _run(given, out)
        documents = table.read(out) if out.exists() else []
        if given.table is not None:
            sys.stdout.write(table.markdown(documents))
        else:
            table.show(documents, console)
            failed = sum(not document["passed"] for document in documents)
            console.print(f"{len(documents)} rows, {failed} failed, {time.monotonic() - began_s:.0f} s")
        if given.readme:
            table.into_readme(HERE / "README.md", documents)
    return code


if __name__ == "__main__":
    sys.exit(main())
