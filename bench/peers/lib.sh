# Shared by the `start` scripts of the peers; sourced, not run.
#
# Sets ROOT, PORT (the script's argument), NODE_MODULES.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PORT=${1:?usage: start PORT}
PATH=$ROOT/build/nodejs/bin:$PATH  # where scripts/install-deps puts Node.js if the system has none
export NODE_MODULES=$ROOT/build/bench-node/node_modules

# A file a session: as many as we may open.
ulimit -n "$(ulimit -Hn)"

# Ends with the code that means "this peer is not there".  missing HOW TO GET IT
missing() { printf '%s: not installed: %s\n' "$(basename "$(dirname "$0")")" "$*" >&2; exit 77; }

# Makes a directory for the server's files and sets STATE to it. It goes away with the server, however that ends: the server
# inherits one end of a pipe, and a process at the other end, in a session of its own, removes the directory when that closes.
make_state() {
  STATE=$(mktemp -d)
  exec 9> >(exec setsid sh -c 'trap "" INT TERM HUP; read -r _; rm -rf "$1"' - "$STATE")
}

# Handles `start --version`: prints what is installed, and ends.  version WORDS…
version() { [[ $PORT != --version ]] || { printf '%s\n' "$*"; exit 0; }; }
# Of a package in NODE_MODULES.
node_package_version() { sed -n 's/^  "version": "\(.*\)",\{0,1\}$/\1/p' "$NODE_MODULES/$1/package.json"; }
