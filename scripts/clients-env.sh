#!/usr/bin/env bash
# Afterwards .clients leads to the Node clients that the suites drive (openai, Codex, Claude Code; about 660 MB).
# They lie in the user's cache, by the sum of their lock, so that clones share them.
set -euo pipefail
cd "$(dirname "$0")/.."
lock="$(cksum <tests/clients/package-lock.json | tr ' ' -)"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/spillway/clients-$lock"
ln -sfn "$folder" .clients
[ -f "$folder/.stamp" ] && exit 0
echo "installing openai for Node, Codex and Claude Code into $folder, about 660 MB" >&2
mkdir -p "$folder"
cp tests/clients/package.json tests/clients/package-lock.json "$folder"
npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent
node "$folder/node_modules/@anthropic-ai/claude-code/install.cjs" >&2 # its own install script, which puts its program in place
touch "$folder/.stamp"
