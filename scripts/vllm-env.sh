#!/usr/bin/env bash
# Afterwards .venv-vllm leads to the real vLLM server for CPU (about 6 GB). Linux on x86-64 only, as its wheels are.
# It lies in the user's cache, by the sum of its lock: clones share it, and a clone may stand on a path with a space,
# which vLLM itself cannot bear (it names its libraries in LD_PRELOAD).
set -euo pipefail
cd "$(dirname "$0")/.."
lock="$(cksum <requirements/vllm.txt | tr ' ' -)"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/spillway/vllm-$lock"
stamp="$venv/.stamp"
[ -d .venv-vllm ] && [ ! -L .venv-vllm ] && rm -rf .venv-vllm
ln -sfn "$venv" .venv-vllm
[ -f "$stamp" ] && exit 0
scripts/env.sh runtime
echo "installing the real vLLM server (CPU) into $venv, about 6 GB" >&2
mkdir -p "$venv"
.venv/bin/python -m uv venv --quiet --allow-existing --python .venv/bin/python "$venv"
.venv/bin/python -m uv pip install --quiet --python "$venv/bin/python" --require-hashes --no-deps -r requirements/vllm.txt
touch "$stamp"
