# Shared by the scripts of this folder; sourced, not run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

VENV=build/venv             # Python packages, scripts/install-deps python
NODE_DIR=build/node         # Node packages, scripts/install-deps node
NODE_HOME=build/nodejs      # and Node.js itself, where the system's is absent or too old
PATH=$ROOT/$NODE_HOME/bin:$PATH
JOBS=${BUILD_JOBS:-2}       # one Beast or gRPC file takes up to 2 GB

if [[ -t 2 ]]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi
say() { printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Prints the comment at the top of the calling script.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

# Configures if needed and builds.  build PRESET [TARGET…]
build() {
  local preset=$1; shift
  local dir=build/$preset; mkdir -p build
  if [[ ! -f $dir/build.ninja ]]; then
    say "configure preset $preset"
    cmake --preset "$preset" >"$ROOT/build/configure-$preset.log" 2>&1 ||
      { tail -n 30 "$ROOT/build/configure-$preset.log" >&2; die "configuring preset $preset failed"; }
  fi
  say "build preset $preset${*:+: $*}"
  cmake --build --preset "$preset" --parallel "$JOBS" ${1:+--target "$@"}
}
