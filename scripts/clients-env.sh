#!/usr/bin/env bash
# Afterwards .clients leads to the Node clients that the suites drive (openai, Codex, Claude Code; about 660 MB), and
# .venv-clients to the Python ones that the development environment has not (LangChain, LlamaIndex; about 330 MB).
# They lie in the user's cache, by the sums of their locks, so that clones share them.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/spillway"

node_clients() {
  local folder="$cache/clients-$(cksum <tests/clients/package-lock.json | tr ' ' -)"
  ln -sfn "$folder" .clients
  [ -f "$folder/.stamp" ] && return
  echo "installing openai for Node, Codex and Claude Code into $folder, about 660 MB" >&2
  mkdir -p "$folder"
  cp tests/clients/package.json tests/clients/package-lock.json "$folder"
  npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent
  node "$folder/node_modules/@anthropic-ai/claude-code/install.cjs" >&2 # its own install script, which puts its program in place
  touch "$folder/.stamp"
}

python_clients() {
  local venv="$cache/clients-python-$(cksum <requirements/clients.txt | tr ' ' -)"
  ln -sfn "$venv" .venv-clients
  [ -f "$venv/.stamp" ] && return
  scripts/env.sh runtime
  echo "installing LangChain and LlamaIndex into $venv, about 330 MB" >&2
  mkdir -p "$venv"
  .venv/bin/python -m uv venv --quiet --allow-existing --python .venv/bin/python "$venv"
  .venv/bin/python -m uv pip install --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes -r requirements/clients.txt
  touch "$venv/.stamp"
}

node_clients
python_clients
