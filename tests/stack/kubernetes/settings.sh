# Sourced by build, up, down and image: where things are, and the few helpers that all of them need.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/opslib-stack
version=v1.34.2
# What is built depends on these files alone, so their digest names the folder: a change builds anew, beside the old.
digest=$(cd "$here" && cat build go.mod go.sum main.go pause.c */go.mod */go.sum */main.go | sha256sum | cut -c1-12)
built=$cache/kubernetes-$digest
run=${OPSLIB_KUBERNETES_RUN:-$cache/kubernetes-run}
node=node1 node_ip=10.200.0.1 pod_cidr=10.244.0.0/24 pod_net=10.244.0.0/16 service_net=10.96.0.0/16
api_service_ip=10.96.0.1 dns_ip=10.96.0.10 registry=127.0.0.1:5000 pause=registry.k8s.io/pause:3.10
begin=$(date +%s%N)

say() { awk -v a="$begin" -v b="$(date +%s%N)" -v text="$*" 'BEGIN { printf "%6.1f s  %s\n", (b - a) / 1e9, text }' >&2; }
fail() { printf 'error: %s\n  try: %s\n' "$1" "$2" >&2; exit 4; }
start_ticks() { awk '{ print $22 }' "/proc/$1/stat" 2>/dev/null; }
# A process is known by pid and start time together: a pid that came back is never taken for ours.
is_ours() {
  local pid ticks
  [ -s "$run/pid/$1" ] && read -r pid ticks <"$run/pid/$1" && [ "$(start_ticks "$pid")" = "$ticks" ] &&
    [ "$(awk '{ print $3 }' "/proc/$pid/stat" 2>/dev/null)" != Z ]
}
