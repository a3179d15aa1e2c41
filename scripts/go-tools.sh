# Sourced by the scripts that build tools out of Go modules. They set `sources`, the folder of the modules, and
# `releases`, the official binaries that do as well, and define `linker_flags FOLDER`.
cache="${SPILLWAY_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/spillway-tools}"

# The sum of all files in these folders, in the order of their names.
sum_of() { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat | sha256sum | cut -c1-12; }

# official TOOL ASK VERSION: prints the path of a binary of that version which is on this machine already.
official() {
  local folder binary folders said
  [ "$2" != - ] || return 1
  IFS=: read -ra folders <<<"${KUBEBUILDER_ASSETS:-}:$PATH"
  for folder in "${folders[@]}"; do
    binary="$folder/$1"
    [ -n "$folder" ] && [ -x "$binary" ] || continue
    said="$("$binary" ${2//,/ } 2>/dev/null)" && [[ "$said" == *"$3"* ]] || continue
    echo "$binary"
    return
  done
  return 1
}

check_go() {
  local minor
  minor="$(go env GOVERSION 2>/dev/null | sed -nE 's/^go1\.([0-9]+).*/\1/p' || true)"
  [ "${minor:-0}" -ge 26 ] && return
  echo "error: $1 must be built, and that needs Go 1.26 or later on PATH ($(go version 2>/dev/null || echo none found));" \
    "install Go, or put the official binaries of $releases on PATH" >&2
  exit 2
}

# build TOOL FOLDER PACKAGE TARGET: TARGET exists; another run that builds the same waits instead of building it again.
build() {
  local began=$SECONDS
  check_go "$1"
  mkdir -p "$(dirname "$4")"
  (
    flock 9
    [ -x "$4" ] && exit
    echo "building $1" >&2
    (cd "$sources/$2" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags "$(linker_flags "$2")" -o "$4.part" "$3")
    mv "$4.part" "$4"
    echo "built $1 in $((SECONDS - began)) s" >&2
  ) 9>"$4.lock"
}
