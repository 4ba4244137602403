# Sourced by the tests of the mount. Each test has a directory of its own with a data directory and a mount point, and takes
# them away at its end. Wanted from the environment: WALRUSFS (path of the daemon); WALRUS_TEST_DATA (a directory of *.log files;
# lines are made up without it).
# shellcheck shell=bash
set -u

: "${WALRUSFS:=walrusfs}"
WORK=
MNT=
DATA=
DAEMON=
FAILURES=0

skip() {
    echo "skipped: $*" >&2
    exit 77
}

fail() {
    echo "FAILED: $*" >&2
    FAILURES=$((FAILURES + 1))
}

# expect NAME WANTED GOT
expect() {
    [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
}

# same NAME FILE_WANTED FILE_GOT
same() {
    cmp -s -- "$2" "$3" || fail "$1: $(cmp -- "$2" "$3" 2>&1)"
}

# refused MESSAGE COMMAND...: it fails, and says so (an errno in the words of coreutils).
refused() {
    local wanted=$1 message
    shift
    message=$(LC_ALL=C "$@" 2>&1) && fail "'$*' worked"
    [[ $message == *"$wanted"* ]] || fail "'$*': wanted '$wanted', got '$message'"
}

cleanup() {
    trap - EXIT
    [ -n "$MNT" ] && fusermount3 -u -z -q "$MNT" 2>/dev/null
    [ -n "$DAEMON" ] && kill -9 "$DAEMON" 2>/dev/null
    wait 2>/dev/null
    [ -n "$WORK" ] && rm -rf -- "$WORK"
}

setup() {
    command -v "$WALRUSFS" >/dev/null || skip "no walrusfs; set WALRUSFS"
    command -v fusermount3 >/dev/null || skip "no fusermount3"
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "no access to /dev/fuse"
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/walrusfs-test.XXXXXX") || exit 99
    MNT=$WORK/mnt
    DATA=$WORK/data
    mkdir "$MNT"
    trap cleanup EXIT
    trap 'exit 130' INT TERM
}

URING_SWITCH=/sys/module/fuse/parameters/enable_uring

# with_switch Y|N COMMAND...: runs it with FUSE-over-io_uring switched on or off in the kernel, and puts the switch back. A mount that is
# made meanwhile keeps what it has.
with_switch() {
    local before status wanted=$1
    shift
    [ -w "$URING_SWITCH" ] || skip "no FUSE-over-io_uring here, or nobody who may switch it on"
    exec 99>/tmp/walrusfs-test.uring.lock
    flock 99
    before=$(cat "$URING_SWITCH")
    echo "$wanted" >"$URING_SWITCH" || skip "cannot switch FUSE-over-io_uring on"
    "$@" 99>&-
    status=$?
    echo "$before" >"$URING_SWITCH"
    exec 99>&-
    return $status
}

with_uring() {
    with_switch Y "$@"
}

# start [OPTION...]: mounts, in the foreground of a job of ours so that its process id is known. WALRUS_TEST_TRANSPORT=uring: through
# io_uring.
start() {
    if [ "${WALRUS_TEST_TRANSPORT-}" = uring ]; then
        with_uring start_here -o transport=uring "$@"
    else
        start_here "$@"
    fi
}

start_here() {
    local before
    before=$(grep -c "^walrusfs: serving" "$WORK/stderr" 2>/dev/null)
    "$WALRUSFS" "$DATA" "$MNT" -f "$@" 2>>"$WORK/stderr" &
    DAEMON=$!
    local i
    for ((i = 0; i < 200; i++)); do
        mountpoint -q "$MNT" 2>/dev/null && [ "$(grep -c "^walrusfs: serving" "$WORK/stderr")" -gt "${before:-0}" ] && return 0
        kill -0 "$DAEMON" 2>/dev/null || break
        sleep 0.05
    done
    cat "$WORK/stderr" >&2
    echo "FAILED: the mount did not come up" >&2
    exit 1
}

# Unmounts, waits for the daemon and leaves its exit code in STOPPED.
stop() {
    fusermount3 -u "$MNT" || fail "unmount"
    wait "$DAEMON"
    STOPPED=$?
    DAEMON=
    expect "exit code of the daemon" 0 "$STOPPED"
}

# Kills the daemon as a crash would.
crash() {
    kill -9 "$DAEMON"
    wait "$DAEMON" 2>/dev/null
    DAEMON=
}

finish() {
    if [ -n "$DAEMON" ]; then
        stop
    fi
    if grep -qE 'AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error' "$WORK/stderr" 2>/dev/null; then
        cat "$WORK/stderr" >&2
        fail "a sanitizer reported"
    fi
    [ "$FAILURES" -eq 0 ] || exit 1
    echo "ok"
    exit 0
}

# Fills the array LOGS with three files of lines of uneven length, the second without a newline at its end.
find_logs() {
    LOGS=()
    if [ -n "${WALRUS_TEST_DATA:-}" ]; then
        local file
        for file in "$WALRUS_TEST_DATA"/*.log; do
            [ -f "$file" ] && LOGS+=("$file")
        done
        [ "${#LOGS[@]}" -gt 0 ] || skip "no *.log in WALRUS_TEST_DATA=$WALRUS_TEST_DATA"
        return
    fi
    local n
    for n in 1 2 3; do
        awk -v n="$n" 'BEGIN { srand(n); for (i = 1; i <= 2000; i++) { s = "line " i " of log " n " ";
            k = int(rand() * 200); for (j = 0; j < k; j++) s = s sprintf("%c", 33 + int(rand() * 90)); print s } }' \
            >"$WORK/made$n.log"
        LOGS+=("$WORK/made$n.log")
    done
    truncate -s -1 "$WORK/made2.log"
}

# The file with a newline at its end whether it had one or not.
with_last_newline() {
    cat -- "$1"
    if [ -n "$(tail -c1 -- "$1" | tr -d '\n')" ]; then
        echo
    fi
}
