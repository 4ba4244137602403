# lib.sh - for the shell tests of the library: a directory that goes away, and checks that say what they compared.
set -u
scratch=$(mktemp -d "${TMPDIR:-/tmp}/walrus-library-XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
failures=0

fail() {
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# same WHAT WANTED GOT
same() {
    [ "$2" = "$3" ] && return
    fail "$1"
    diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") >&2
}

finish() {
    [ $failures = 0 ] && echo ok
    exit $((failures > 0))
}
