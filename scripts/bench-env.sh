#!/usr/bin/env bash
# Afterwards each peer of `make bench-gateway` that is a Python package has an environment of its own, .venv-bench-PEER.
# Does nothing where it already has.
set -euo pipefail
cd "$(dirname "$0")/.."
for peer in litellm vllm-router sglang-router; do
  venv=".venv-bench-$peer"
  stamp="$venv/.stamp"
  lock="$(cksum <"requirements/bench-$peer.txt")"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$lock" ] && continue
  echo "installing $peer, a peer in the bench, into $venv" >&2
  .venv/bin/python -m uv venv --quiet --allow-existing --python .venv/bin/python "$venv"
  .venv/bin/python -m uv pip sync --quiet --python "$venv/bin/python" --require-hashes "requirements/bench-$peer.txt"
  printf '%s' "$lock" >"$stamp"
done
