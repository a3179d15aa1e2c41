#!/usr/bin/env bash
# Afterwards .venv-bench-litellm holds LiteLLM, a peer in `make bench`. Does nothing when it already does.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv-bench-litellm
stamp="$venv/.stamp"
lock="$(cksum <requirements/bench-litellm.txt)"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$lock" ] && exit 0
echo "installing LiteLLM, a peer in the bench, into $venv" >&2
.venv/bin/python -m uv venv --quiet --allow-existing --python .venv/bin/python "$venv"
.venv/bin/python -m uv pip sync --quiet --python "$venv/bin/python" --require-hashes requirements/bench-litellm.txt
printf '%s' "$lock" >"$stamp"
