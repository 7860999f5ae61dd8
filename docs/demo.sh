#!/usr/bin/env bash
# Starts a development server on this machine, publishes to it, queries it, and shows a live
# subscription receive a record. Every command is printed before it runs. Nothing is left behind.
set -euo pipefail
cd "$(dirname "$0")/.."

binaries="${CARGO_TARGET_DIR:-target}/release"
export PATH="$(cd "$binaries" && pwd):$PATH"
scratch=$(mktemp -d)
export MOSAIC_CONFIG_DIR="$scratch/client"
server_pid=""
subscriber_pid=""
finish() {
  [ -z "$subscriber_pid" ] || kill "$subscriber_pid" 2>/dev/null || true
  [ -z "$server_pid" ] || { kill "$server_pid" 2>/dev/null && wait "$server_pid" 2>/dev/null; } || true
  rm -rf "$scratch"
}
trap finish EXIT
show() { printf '\n$ %s\n' "$*"; "$@"; }
wait_for() { # file, pattern
  for _ in $(seq 1 300); do
    grep -q "$2" "$1" 2>/dev/null && return 0
    sleep 0.1
  done
  echo "did not see '$2' within 30 seconds:" >&2
  cat "$1" >&2
  return 1
}

printf '\n$ mosaicd serve --dev --data %s --listen 127.0.0.1:0 &\n' "$scratch/server"
mosaicd serve --dev --data "$scratch/server" --listen 127.0.0.1:0 >"$scratch/server.out" 2>"$scratch/server.err" &
server_pid=$!
wait_for "$scratch/server.out" 'mosrv0'
cat "$scratch/server.out"
server=$(grep -o 'mosrv0[a-z0-9]*@[0-9.:]*' "$scratch/server.out" | head -n 1)

show mosaic key new
show mosaic info --server "$server"
show mosaic publish --server "$server" "the first record"
show mosaic query --server "$server" --kind microblog

printf '\n$ mosaic subscribe --server %s --kind microblog --count 2 &\n' "$server"
mosaic subscribe --server "$server" --kind microblog --count 2 >"$scratch/subscriber.out" 2>"$scratch/subscriber.err" &
subscriber_pid=$!
wait_for "$scratch/subscriber.err" 'LOCALLY COMPLETE'
show mosaic publish --server "$server" "seen live"
wait "$subscriber_pid"
subscriber_pid=""
printf '\nthe subscriber saw:\n'
cat "$scratch/subscriber.out"
grep -q 'seen live' "$scratch/subscriber.out"
printf '\nThe record reached the live subscriber.\n'
