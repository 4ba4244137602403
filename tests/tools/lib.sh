# lib.sh - sourced by the tests of the command line. WALRUS is the binary; WALRUS_TEST_DATA a directory of real logs.
# shellcheck shell=bash

set -u
shopt -s lastpipe # so that `printf ... | expect ...` counts its failure here
: "${WALRUS:?set WALRUS to the path of the walrus binary}"

python=$(python3 -c 'import sys; print(sys.executable)') # not a wrapper that takes a third of a second
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset WALRUS_INSTANCE_KEY WALRUS_FSYNC WALRUS_RETENTION WALRUS_QUIET WALRUS_BACKEND WALRUS_THREADS WALRUS_DURATION
export WALRUS_DATA_DIR=$tmp/log
failures=0

fail() {
    echo "FAIL ${BASH_SOURCE[-1]##*/}:${BASH_LINENO[-2]} $*" >&2
    failures=$((failures + 1))
}

# expect CODE COMMAND...: runs it with stdout in $tmp/out and stderr in $tmp/err, and compares the exit code.
expect() {
    local wanted=$1 code=0
    shift
    "$@" >"$tmp/out" 2>"$tmp/err" || code=$?
    if [ "$code" != "$wanted" ]; then
        echo "FAIL ${BASH_SOURCE[-1]##*/}:${BASH_LINENO[-2]} exit code $code, not $wanted: $*" >&2
        head -n 3 "$tmp/err" >&2
        failures=$((failures + 1))
    fi
}

# out_is FILE: the last stdout is that file.
out_is() {
    cmp "$tmp/out" "$1" >&2 || fail "stdout differs from $1"
}

# out_has / err_has TEXT
out_has() {
    grep -qF -- "$1" "$tmp/out" || fail "stdout has no '$1': $(head -n 3 "$tmp/out")"
}
err_has() {
    grep -qF -- "$1" "$tmp/err" || fail "stderr has no '$1': $(head -n 3 "$tmp/err")"
}

# json EXPRESSION: true for the list `o` of the JSON objects, one per line, of the last stdout.
json() {
    "$python" -c '
import json, sys
o = [json.loads(line) for line in open(sys.argv[2], "rb")]
assert eval(sys.argv[1]), o[:3]
' "$1" "$tmp/out" 2>"$tmp/json" || fail "JSON: $1: $(tail -n 1 "$tmp/json")"
}

# until_true SECONDS COMMAND...: waits for a state; false when it does not come.
until_true() {
    local tries=$(($1 * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.05
    done
}

# lines N: N lines of real logs (each ends with a newline), or made up ones.
lines() {
    if [ -n "${WALRUS_TEST_DATA:-}" ] && ls "$WALRUS_TEST_DATA"/*.log >/dev/null 2>&1; then
        awk 1 "$WALRUS_TEST_DATA"/*.log | head -n "$1"
    else
        seq 1 "$1" | sed 's/$/ a made up line of a log, long enough to look like one: GET \/index.html 200 OK/'
    fi
}

finish() {
    [ "$failures" = 0 ] || { echo "$failures failed" >&2; exit 1; }
    exit 0
}
