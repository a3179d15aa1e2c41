#!/usr/bin/env bash
# Usage: scripts/images.sh [ops|engine-sim|engine-cpu]...     (default: all)
# Afterwards each image stands as an archive in the cache that `ctr images import`, `docker load` and `podman load` take, and
# stdout has one line for each: NAME PATH. Built without Docker and without a registry of images: the base is made by debootstrap from
# Debian's packages, the wheels come by hash from requirements/, and the build itself sees no network.
# All of it lies in ${SPILLWAY_TOOLS_DIR:-~/.cache/spillway-tools}/images by the sum of what it is made of: an unchanged tree
# builds nothing, a change in controller/ builds one layer. Needs root, buildah and debootstrap (scripts/install-system.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${SPILLWAY_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/spillway-tools}/images"
version="$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml)"
# The time that files in the image bear: always the same, so that the same content is the same layer (1980, as old as zip knows).
epoch="${SOURCE_DATE_EPOCH:-315532800}"
suite=bookworm
python=3.11 # the suite's
storage_limit_kib=$((12 * 1024 * 1024))

sum_of() { sha256sum | cut -c1-12; }

# What the images are made of: content of every file, whether committed or not.
source_sum() {
  git ls-files -z --cached --others --exclude-standard -- "$@" | sort -z | xargs -0 sha256sum 2>/dev/null | sum_of
}

store() {
  local driver=overlay
  [ -e "$cache/storage/vfs" ] && driver=vfs # chosen where overlay cannot be mounted
  ${isolated:+unshare --net} buildah --root "$cache/storage" --runroot "$cache/run" --storage-driver "$driver" "$@"
}

require() {
  local command missing=""
  for command in buildah debootstrap; do
    PATH="$PATH:/usr/sbin" command -v "$command" >/dev/null || missing="$missing $command"
  done
  [ -z "$missing" ] && [ "$(id -u)" = 0 ] && return
  echo "error: images are built as root by buildah and debootstrap (missing:${missing:- none}); run scripts/install-system.sh as root" >&2
  exit 2
}

choose_storage() {
  [ -e "$cache/storage" ] && return
  mkdir -p "$cache/storage" "$cache/run"
  local probe
  if probe="$(store from scratch 2>/dev/null)" && store mount "$probe" >/dev/null 2>&1; then
    store rm "$probe" >/dev/null
    return
  fi
  rm -rf "$cache/storage" "$cache/run"
  mkdir -p "$cache/storage/vfs" "$cache/run"
}

# make_base ARCHIVE: the files of the stand-in for BASE_IMAGE, as good as Debian's packages were on the day it was made; remove
# the archive to renew it.
make_base() {
  local folder="$cache/rootfs.part"
  echo "making a base image of Debian $suite, about a minute" >&2
  rm -rf "$folder"
  PATH="$PATH:/usr/sbin" debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,libnuma1 "$suite" "$folder" >"$cache/debootstrap.log" 2>&1 ||
    { tail -5 "$cache/debootstrap.log" >&2; exit 1; }
  rm -rf "$folder"/var/cache/apt/* "$folder"/var/lib/apt/lists/*
  tar --create --file "$1.part" --directory "$folder" .
  mv "$1.part" "$1"
  rm -rf "$folder"
}

# load_base ARCHIVE NAME: the same as an image.
load_base() {
  local container
  container="$(store from scratch)"
  store add --quiet "$container" "$1" / >/dev/null
  store config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  store commit --quiet --rm "$container" "$2" >/dev/null
}

make_wheelhouse() {
  local platform platforms=()
  for platform in manylinux_2_28 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux2010 manylinux_2_5 manylinux1; do
    platforms+=(--platform "${platform}_$(uname -m)")
  done
  echo "fetching wheels" >&2
  rm -rf "$1.part"
  for lock in bootstrap runtime; do
    .venv/bin/python -m pip download --quiet --require-hashes --only-binary :all: --python-version "$python" --implementation cp \
      "${platforms[@]}" --dest "$1.part" -r "requirements/$lock.txt"
  done
  mv "$1.part" "$1"
}

# Old archives go, and the layers of half-way stages when they have grown past the limit: they can be made again.
tidy() {
  find "$cache" -maxdepth 1 -name '*.tar' ! -name 'base-*' -mtime +7 -delete
  [ "$(du -sk "$cache/storage" | cut -f1)" -lt "$storage_limit_kib" ] || store rmi --prune --force >/dev/null
}

# What an image is made of, besides requirements/: the first line is its Dockerfile.
inputs_of() {
  case "$1" in
    engine-cpu) printf '%s\n' docker/engine.Dockerfile docker/engine_start.py docker/healthcheck.py ;;
    ops | engine-sim)
      printf '%s\n' docker/ops.Dockerfile docker/rootfs.py docker/healthcheck.py controller pyproject.toml README.md LICENSE \
        requirements/bootstrap.txt requirements/runtime.txt
      ;;
  esac
}

# What its Dockerfile is told: engine-cpu has no vLLM in it (5.9 GB), but finds one that is mounted on /opt/vllm.
arguments_of() {
  case "$1" in
    engine-cpu) echo "--build-arg VLLM_SITE=/opt/vllm/lib/python$python/site-packages" ;;
    *) echo "--target $1" ;;
  esac
}

# build NAME ARCHIVE
build() {
  local began=$SECONDS base="$suite-$(declare -f make_base | sum_of)" wheels
  wheels="$cache/wheels-$(cat requirements/bootstrap.txt requirements/runtime.txt | sum_of)"
  choose_storage
  tidy
  [ -f "$cache/base-$base.tar" ] || make_base "$cache/base-$base.tar"
  base="localhost/spillway-base:$base"
  store inspect --type image "$base" >/dev/null 2>&1 || load_base "$cache/base-${base##*:}.tar" "$base"
  [ -d "$wheels" ] || make_wheelhouse "$wheels"
  echo "building image $1" >&2
  isolated=yes store bud --quiet --layers --isolation chroot --format docker --timestamp "$epoch" --pull-never \
    --build-arg BASE_IMAGE="$base" --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels --build-arg VERSION="$version" \
    --volume "$wheels:/wheels:ro" --file "$(inputs_of "$1" | head -1)" $(arguments_of "$1") --tag "docker.io/spillway/$1:$version" . >/dev/null
  store push --quiet "docker.io/spillway/$1:$version" "docker-archive:$2.part:docker.io/spillway/$1:$version"
  mv "$2.part" "$2"
  echo "built image $1 in $((SECONDS - began)) s, $(($(stat -c %s "$2") / 1000000)) MB" >&2
}

# archive_of NAME: where the image of this tree stands, or will.
archive_of() {
  local inputs
  inputs="$(inputs_of "$1")"
  echo "$cache/$1-$({ echo "$1 $epoch"; source_sum scripts/images.sh .dockerignore $inputs; } | sum_of).tar"
}

# Another run that builds the same is waited for, and then there is nothing to do.
build_once() {
  require
  mkdir -p "$cache"
  (
    flock 9
    [ -f "$2" ] && exit
    build "$1" "$2"
    [ "$(archive_of "$1")" = "$2" ] && exit
    rm "$2"
    echo "error: the sources changed while image $1 was built; run it again" >&2
    exit 1
  ) 9>"$cache/lock"
}

main() {
  local name archive
  [ $# -gt 0 ] || set -- ops engine-sim engine-cpu
  for name in "$@"; do
    [[ "$name" =~ ^(ops|engine-sim|engine-cpu)$ ]] && continue
    echo "error: no image '$name'; there are ops, engine-sim and engine-cpu" >&2
    exit 2
  done
  for name in "$@"; do
    archive="$(archive_of "$name")"
    [ -f "$archive" ] || build_once "$name" "$archive"
    touch "$archive"
    echo "$name $archive"
  done
}

main "$@"; exit # in one line, so that an edit of this file does not reach a run of it
