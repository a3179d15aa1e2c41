#!/usr/bin/env bash
# Every Debian package the suites need, in one place. Does nothing where all are there; needs root where not.
set -euo pipefail
packages=(git make python3-venv postgresql-15 curl nodejs npm nginx-light iproute2)
{ command -v initdb || [ -x /usr/lib/postgresql/15/bin/initdb ]; } >/dev/null &&
  command -v git >/dev/null && command -v make >/dev/null && command -v curl >/dev/null && command -v npm >/dev/null &&
  { command -v nginx || [ -x /usr/sbin/nginx ]; } >/dev/null &&
  command -v ip >/dev/null &&
  python3 -c 'import venv, ensurepip' 2>/dev/null && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}"
