#!/usr/bin/env bash
# Usage: scripts/cluster-tools.sh [TOOL...]
# Afterwards .cluster-tools leads to a folder with every tool of the cluster suite (or at least with those named).
# A tool with the right version in KUBEBUILDER_ASSETS or on PATH is taken as it is; the others are built from the Go
# modules in tests/cluster/tools into ${SPILLWAY_TOOLS_DIR:-~/.cache/spillway-tools}, by the sum of their
# go.mod, go.sum and sources, so that clones share them and a second run builds nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
sources="$PWD/tests/cluster/tools"
releases="Kubernetes 1.34, etcd 3.6 and helm 3"
source scripts/go-tools.sh

# What is built: tool, folder in tests/cluster/tools, package, and how the right one answers when asked its version
# ("-": always built).
tools() {
  local kubernetes=k8s.io/kubernetes/cmd plugins=github.com/containernetworking/plugins/plugins
  local router=github.com/cloudnativelabs/kube-router/v2
  cat <<LIST
etcd                     etcd         go.etcd.io/etcd/server/v3                     --version         3.6.
kube-apiserver           kubernetes   $kubernetes/kube-apiserver                    --version         v1.34.
kubectl                  kubernetes   $kubernetes/kubectl                           version,--client  v1.34.
helm                     helm         helm.sh/helm/v3/cmd/helm                      version,--short   v3.
kubelet                  kubernetes   $kubernetes/kubelet                           --version         v1.34.
kube-controller-manager  kubernetes   $kubernetes/kube-controller-manager           --version         v1.34.
kube-scheduler           kubernetes   $kubernetes/kube-scheduler                    --version         v1.34.
kube-proxy               kubernetes   $kubernetes/kube-proxy                        --version         v1.34.
cni/bridge               cni          $plugins/main/bridge                          -                 -
cni/loopback             cni          $plugins/main/loopback                        -                 -
cni/host-local           cni          $plugins/ipam/host-local                      -                 -
cni/portmap              cni          $plugins/meta/portmap                         -                 -
coredns                  coredns      .                                             -                 -
pause                    images       ./pause                                       -                 -
answer                   images       ./answer                                      -                 -
kubeconform              kubeconform  github.com/yannh/kubeconform/cmd/kubeconform  -v                v0.7.
kube-router              policies     $router/cmd/kube-router                       -                 -
kwok                     kwok         sigs.k8s.io/kwok/cmd/kwok                     --version         v0.8.
metrics-server           metrics      sigs.k8s.io/metrics-server/cmd/metrics-server -                 -
docker-compose           compose      github.com/docker/compose/v2/cmd              version           v2.
LIST
}

# The version a tool is told to report, as its own release build does.
linker_flags() {
  local version
  case "$1" in
    kubernetes)
      version=k8s.io/component-base/version
      echo "-s -w -X $version.gitVersion=v1.34.2 -X $version.gitMajor=1 -X $version.gitMinor=34"
      ;;
    helm)
      version=helm.sh/helm/v3
      echo "-s -w -X $version/internal/version.version=v3.21.4 -X $version/pkg/chartutil.k8sVersionMajor=1" \
        "-X $version/pkg/chartutil.k8sVersionMinor=34 -X $version/pkg/lint/rules.k8sVersionMajor=1" \
        "-X $version/pkg/lint/rules.k8sVersionMinor=34"
      ;;
    kwok) echo "-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0" ;;
    kubeconform) echo "-s -w -X main.version=v0.7.0" ;;
    compose) echo "-s -w -X github.com/docker/compose/v2/internal.Version=v2.40.3" ;;
    *) echo "-s -w" ;;
  esac
}

main() {
  local wanted=" $* " links tool folder package ask version target
  links="$cache/set-$(sum_of scripts/cluster-tools.sh scripts/go-tools.sh "$sources")"
  mkdir -p "$links/cni"
  ln -sfn "$links" .cluster-tools
  while read -r tool folder package ask version; do
    [ "$wanted" = "  " ] || [[ "$wanted" == *" $tool "* ]] || continue
    [ -x "$links/$tool" ] && continue
    if ! target="$(official "$tool" "$ask" "$version")"; then
      target="$cache/$folder-$(sum_of "$sources/$folder")/$(basename "$tool")"
      [ -x "$target" ] || build "$tool" "$folder" "$package" "$target"
    fi
    ln -sfn "$target" "$links/$tool"
  done < <(tools)
}

main "$@"
