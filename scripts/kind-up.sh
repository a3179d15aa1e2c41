#!/usr/bin/env bash
# Afterwards a kind cluster named `spillway` runs the charts with simulated engines: no GPU, no provider's key, no database server.
# Run again after a change: images are built and loaded anew and the releases upgraded. `kind delete cluster --name spillway` takes it away.
set -euo pipefail
cd "$(dirname "$0")/.."
version="$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)"
cluster=spillway
namespace=spillway

require() {
  local command missing=""
  for command in docker kind helm kubectl openssl; do
    command -v "$command" >/dev/null || missing="$missing $command"
  done
  [ -z "$missing" ] && return
  echo "error: make kind-up needs$missing on PATH; kind itself needs a Docker that runs" >&2
  exit 2
}

on_cluster() { kubectl --context "kind-$cluster" --namespace "$namespace" "$@"; }
chart() { helm --kube-context "kind-$cluster" --namespace "$namespace" upgrade --install --wait --timeout 5m "$@"; }

make_images() {
  local target
  for target in ops engine-sim; do
    docker build --file docker/ops.Dockerfile --target "$target" --build-arg VERSION="$version" --tag "spillway/$target:$version" .
  done
}

make_cluster() {
  kind get clusters | grep -qx "$cluster" || kind create cluster --config docker/kind.yaml --wait 3m
  kind load docker-image --name "$cluster" "spillway/ops:$version" "spillway/engine-sim:$version"
}

# Made once: a new pepper would make every key worthless.
make_secret() {
  local folder
  kubectl --context "kind-$cluster" create namespace "$namespace" --dry-run=client --output yaml | on_cluster apply --filename -
  on_cluster get secret spillway >/dev/null 2>&1 && return
  folder="$(mktemp -d)"
  chmod 700 "$folder"
  openssl rand 32 >"$folder/pepper"
  openssl rand -hex 32 | tr -d '\n' >"$folder/engine-key"
  on_cluster create secret generic spillway --from-file="$folder/pepper" --from-file="$folder/engine-key"
  rm -r "$folder"
}

require
make_images
make_cluster
make_secret
chart spillway helm/ops --values helm/ops/values/trial.yaml
chart llama-8b helm/serving --values helm/serving/values/sim.yaml
on_cluster wait modelpool/llama-8b --for=condition=Ready --timeout=5m
cat <<WORDS
ready. The gateway, and a key for it:
  kubectl --context kind-$cluster -n $namespace port-forward service/spillway-gateway 8080:80
  kubectl --context kind-$cluster -n $namespace exec deployment/spillway-gateway -- spillway keys create me
what it is doing:
  kubectl --context kind-$cluster -n $namespace get modelpools
WORDS
