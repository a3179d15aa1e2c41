#!/usr/bin/env bash
# Usage: scripts/env.sh NAME [VENV]
# Afterwards VENV (default .venv) holds exactly requirements/NAME.txt and this project, editable. Does nothing when it already does.
set -euo pipefail
cd "$(dirname "$0")/.."
name="$1"
venv="${2:-.venv}"
stamp="$venv/.stamp-$name"
lock="$(cat requirements/bootstrap.txt "requirements/$name.txt" pyproject.toml | cksum)"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$lock" ] && exit 0

python=""
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
  [ -n "$candidate" ] || continue
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python="$candidate"
    break
  fi
done
if [ -z "$python" ]; then
  echo "error: no Python 3.11 or later on PATH; install one, or name it: PYTHON=/path/to/python make up" >&2
  exit 2
fi
if [ ! -x "$venv/bin/python" ]; then
  echo "making $venv with $("$python" --version)" >&2
  # Debian keeps ensurepip in a package of its own: without it, the pip of the system fills the environment.
  if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
    rm -rf "$venv"
    if ! "$python" -m venv --without-pip "$venv" >/dev/null 2>&1 ||
      ! "$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
        --require-hashes -r requirements/bootstrap.txt 2>/dev/null; then
      rm -rf "$venv"
      echo "error: this Python has neither ensurepip nor pip; on Debian or Ubuntu: apt-get install python3-venv" >&2
      exit 2
    fi
  fi
fi
echo "installing requirements/$name.txt into $venv" >&2
if ! "$venv/bin/python" -m uv --version >/dev/null 2>&1; then
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
fi
"$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements/bootstrap.txt
"$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" --require-hashes -r "requirements/$name.txt"
"$venv/bin/python" -m uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
printf '%s' "$lock" >"$stamp"
