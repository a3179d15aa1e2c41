#!/usr/bin/env bash
# Usage: scripts/infra-tools.sh
# Afterwards .infra-tools leads to a folder with the engine of Pulumi and its host for Python programs.
# A `pulumi` of the right version on PATH is taken as it is; what is missing is built from the Go modules in
# tests/infra/tools into ${SPILLWAY_TOOLS_DIR:-~/.cache/spillway-tools}, by the sum of their go.mod and go.sum, so that
# clones share them and a second run builds nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
sources="$PWD/tests/infra/tools"
version=v3.259.0 # of the SDK in requirements/infra.txt: engine and SDK of one release
releases="Pulumi $version"
source scripts/go-tools.sh

linker_flags() { echo "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$version"; }

# add TOOL FOLDER PACKAGE: it is in $links; a hard link, as the host looks for its script beside the file it really is.
add() {
  local target="$cache/$2-$(sum_of "$sources/$2")/$1"
  [ -x "$target" ] || build "$1" "$2" "$3" "$target"
  ln -f "$target" "$links/$1"
}

# The script with which the host starts a program comes with the SDK of the engine's own version.
add_starter() {
  local folder name=pulumi-language-python-exec
  check_go "$name"
  folder="$(cd "$sources/pulumi" && go mod download github.com/pulumi/pulumi/sdk/v3 &&
    go list -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)"
  install -m 755 "$folder/python/cmd/$name" "$links/$name"
}

main() {
  local links found
  links="$cache/set-infra-$(sum_of scripts/infra-tools.sh scripts/go-tools.sh "$sources")"
  mkdir -p "$links"
  ln -sfn "$links" .infra-tools
  if [ ! -x "$links/pulumi" ]; then
    if found="$(official pulumi version "$version")"; then
      ln -sfn "$found" "$links/pulumi"
    else
      add pulumi pulumi github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
    fi
  fi
  [ -x "$links/pulumi-language-python" ] ||
    add pulumi-language-python language-host github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python
  [ -x "$links/pulumi-language-python-exec" ] || add_starter
}

main
