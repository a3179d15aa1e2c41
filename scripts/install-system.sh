#!/usr/bin/env bash
# Usage: scripts/install-system.sh [cluster|infra]
# Every Debian package the suites need, in one place; with `cluster` also those of `make test-cluster`, with `infra` of
# `make test-infra`.
# Does nothing where all are there; needs root where not.
# Only what is missing is installed: a Node.js from elsewhere brings its own npm, which Debian's package conflicts with.
set -euo pipefail
missing=()
# needs COMMAND PACKAGE: the package is missing where the command is not found.
needs() { PATH="$PATH:/usr/sbin:/usr/lib/postgresql/15/bin" command -v "$1" >/dev/null || missing+=("$2"); }
needs git git
needs make make
needs curl curl
needs npm npm
needs node nodejs
needs initdb postgresql-15
needs nginx nginx-light
needs ip iproute2
if [[ "${1:-}" =~ ^(cluster|infra)$ ]]; then
  needs openssl openssl
  needs flock util-linux
fi
if [ "${1:-}" = cluster ]; then
  needs containerd containerd
  needs runc runc
  needs buildah buildah
  needs debootstrap debootstrap
  needs dockerd docker.io
  needs iptables iptables
  needs ipset ipset
  needs conntrack conntrack
  needs socat socat
  needs nsenter util-linux
fi
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
[ ${#missing[@]} -eq 0 ] && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
