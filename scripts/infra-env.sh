#!/usr/bin/env bash
# Afterwards .venv-infra holds what the program in infra/ and its tests need (the SDKs of Pulumi for AWS and Kubernetes,
# boto3, moto, pyright; 1.2 GB) and this project, editable. Does nothing when it already does.
# In the checkout, not in the user's cache: the project is installed in it.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv-infra
stamp="$venv/.stamp"
lock="$(cat requirements/bootstrap.txt requirements/infra.txt pyproject.toml | cksum)"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$lock" ] && exit 0
scripts/env.sh dev
echo "installing requirements/infra.txt into $venv" >&2
uv() { .venv/bin/python -m uv "$@"; }
uv venv --quiet --allow-existing --python .venv/bin/python "$venv"
# Compiled at once: an engine that runs a program for the first time would compile 60 MB of SDK within its deadline.
uv pip install --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes --no-deps \
  -r requirements/bootstrap.txt -r requirements/infra.txt
uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
printf '%s' "$lock" >"$stamp"
