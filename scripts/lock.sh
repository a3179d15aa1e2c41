#!/usr/bin/env bash
# Remakes requirements/*.txt from *.in. Nothing younger than seven days is taken.
set -euo pipefail
cd "$(dirname "$0")/.."
before="$(date -u -d '7 days ago' +%Y-%m-%d)"
compile() { .venv/bin/python -m uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --exclude-newer "$before" "$@"; }
compile --universal requirements/bootstrap.in -o requirements/bootstrap.txt
compile --universal requirements/runtime.in -o requirements/runtime.txt
compile --universal requirements/report.in -c requirements/runtime.txt -o requirements/report.txt
compile --universal requirements/dev.in -c requirements/report.txt -o requirements/dev.txt
for peer in litellm vllm-router sglang-router; do
  compile --universal "requirements/bench-$peer.in" -o "requirements/bench-$peer.txt"
done
compile --universal requirements/clients.in -o requirements/clients.txt
# The versions that the product runs with, but for the one that the two sides cannot share.
shared() { sed -nE 's/^([a-z][^ ]*==[^ ]*).*/\1/p' requirements/runtime.txt | grep -v '^python-dateutil='; }
compile --universal --no-annotate --override requirements/infra-overrides.txt requirements/infra.in -c <(shared) -o requirements/infra.txt
compile --python-platform x86_64-manylinux_2_28 --override requirements/vllm-overrides.txt requirements/vllm.in -o requirements/vllm.txt
