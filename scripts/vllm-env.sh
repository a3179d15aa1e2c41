#!/usr/bin/env bash
# Afterwards .venv-vllm holds the real vLLM server for CPU (about 6 GB). Linux on x86-64 only, as its wheels are.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=.venv-vllm
stamp="$venv/.stamp"
lock="$(cksum <requirements/vllm.txt)"
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$lock" ] && exit 0
scripts/env.sh runtime
echo "installing the real vLLM server (CPU) into $venv, about 6 GB" >&2
.venv/bin/python -m uv venv --quiet --allow-existing --python .venv/bin/python "$venv"
.venv/bin/python -m uv pip install --quiet --python "$venv/bin/python" --require-hashes --no-deps -r requirements/vllm.txt
printf '%s' "$lock" >"$stamp"
