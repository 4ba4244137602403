#!/bin/bash
# Starting, refusing to start, ending.
. "$(dirname "$0")/lib.sh"
setup

# refused CODE MESSAGE ARGUMENT...: walrusfs ends with the code and one line that holds the message.
refused() {
    local code=$1 wanted=$2 message got
    shift 2
    message=$("$WALRUSFS" "$@" 2>&1 >/dev/null)
    got=$?
    expect "exit code of walrusfs $*" "$code" "$got"
    [[ $message == *"$wanted"* ]] || fail "walrusfs $*: wanted '$wanted', got '$message'"
    expect "lines of the message of walrusfs $*" 1 "$(wc -l <<<"$message")"
}

# wait_for COMMAND...: until it succeeds.
wait_for() {
    local i
    for ((i = 0; i < 100; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    fail "waited for: $*"
}
not_mounted() { ! mountpoint -q "$MNT"; }

: >"$WORK/file"
mkdir "$WORK/other"
refused 64 "no mount point"
refused 64 "too many arguments" a b c
refused 66 "No such file or directory" "$DATA" "$WORK/nosuch"
refused 66 "not a directory" "$DATA" "$WORK/file"
refused 66 "data directory" "$WORK/file" "$MNT"
refused 73 "data directory" "$WORK/no/such" "$MNT"
refused 64 "lie in one another" "$MNT" "$MNT"
refused 64 "lie in one another" "$MNT/data" "$MNT"
refused 64 "sync=sometimes" "$DATA" "$MNT" -o sync=sometimes
refused 64 "consistency=loose" "$DATA" "$MNT" -o consistency=loose
refused 64 "backend=tape" "$DATA" "$MNT" -o backend=tape
refused 64 "nonblock=maybe" "$DATA" "$MNT" -o nonblock=maybe
refused 64 "batch_bytes=-1" "$DATA" "$MNT" -o batch_bytes=-1
refused 64 "nonsense" "$DATA" "$MNT" -o nonsense
refused 64 "" "$DATA" "$MNT" -o key=../up
# Without /dev/fuse, and without the right to use it: in a mount namespace of our own, so that nobody else is without.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && unshare -m true 2>/dev/null; then
    chmod 755 "$WORK" && mkdir "$WORK/theirs" "$WORK/bin" && cp "$WALRUSFS" "$WORK/bin" && chown 65534 "$WORK/theirs" "$MNT"
    in_private() { # CODE MESSAGE COMMANDS
        local message code
        message=$(unshare -m --propagation private bash -c "$3" 2>&1 >/dev/null)
        code=$?
        expect "exit code where $2" "$1" "$code"
        [[ $message == *"$2"* ]] || fail "wanted '$2', got '$message'"
    }
    in_private 69 "modprobe fuse" "mount -t tmpfs none /dev && '$WORK/bin/walrusfs' '$WORK/theirs' '$MNT'"
    in_private 77 "whoever mounts needs to read and write it" "mount -t tmpfs none /dev && mknod -m 600 /dev/fuse c 10 229 &&
        setpriv --reuid 65534 --regid 65534 --clear-groups '$WORK/bin/walrusfs' '$WORK/theirs' '$MNT'"
    chown 0 "$MNT"
fi
"$WALRUSFS" --help | grep -q '^usage: walrusfs' || fail "--help"
"$WALRUSFS" --version | grep -q '^walrusfs [0-9]' || fail "--version"
rmdir "$MNT/data" 2>/dev/null

# In the background: when the command returns, the mount answers.
"$WALRUSFS" "$DATA" "$MNT" || fail "start in the background"
echo one >"$MNT/topic" || fail "the first append"
expect "data directory" 700 "$(stat -c %a "$DATA")"
refused 75 "$DATA" "$DATA" "$WORK/other"
cd "$MNT" && fusermount3 -u "$MNT" 2>/dev/null && fail "unmounted while in use"
cd "$WORK" && fusermount3 -u "$MNT" || fail "fusermount3 -u"

# At once again, while the first may still be closing. Relative paths; a directory of one's own for an instance.
(cd "$WORK" && "$WALRUSFS" data mnt) || fail "start again"
expect "still there" one "$(cat "$MNT/topic")"
fusermount3 -u "$MNT"
wait_for not_mounted
"$WALRUSFS" "$DATA" "$MNT" -o key=tenant || fail "-o key"
[ -e "$MNT/topic" ] && fail "instances share a topic"
fusermount3 -u "$MNT"
WALRUS_DATA_DIR=$DATA "$WALRUSFS" "$MNT" || fail "DATADIR from the environment"
expect "the same log" one "$(cat "$MNT/topic")"
fusermount3 -u "$MNT"

# Signals end it cleanly: held lines are appended, the mount is gone, the exit code is 0.
for signal in TERM INT; do
    start
    python3 -c "
import os, sys, time
f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(f, b'held by $signal')
open(sys.argv[2], 'w').close()
time.sleep(60)" "$MNT/topic" "$WORK/written.$signal" &
    writer=$!
    wait_for test -e "$WORK/written.$signal"
    kill -$signal $DAEMON
    wait $DAEMON
    expect "exit code after SIG$signal" 0 $?
    DAEMON=
    not_mounted || fail "still mounted after SIG$signal"
    kill $writer
    wait $writer 2>/dev/null
    start
    expect "held at SIG$signal" "held by $signal" "$(tail -n1 "$MNT/topic")"
    stop
done

# However it ends, the log is clean: the next opening reads no block.
: "${WALRUS:?}"
walked() { WALRUS_DATA_DIR=$DATA "$WALRUS" stat --json | python3 -c 'import json, sys
print(json.loads(sys.stdin.readline())["recovery_walked_bytes"])'; }
for end in TERM umount crash; do
    start
    seq 1000 >>"$MNT/clean"
    case $end in
    TERM)
        kill -TERM $DAEMON
        wait $DAEMON
        DAEMON=
        ;;
    umount) stop ;;
    crash) # the figure is one that can be something else
        crash
        fusermount3 -u -z "$MNT"
        [ "$(walked)" -gt 0 ] || fail "a killed daemon left a clean log"
        continue
        ;;
    esac
    expect "bytes read by the opening after $end" 0 "$(walked)"
done

# A lazy unmount serves what is open until it is closed.
start
exec 7>>"$MNT/topic"
exec 8<"$MNT/topic"
fusermount3 -u -z "$MNT" || fail "lazy unmount"
echo lazy >&7 || fail "append after a lazy unmount"
expect "read after a lazy unmount" lazy "$(tail -n1 <&8)"
exec 7>&- 8<&-
wait $DAEMON
expect "exit code after a lazy unmount" 0 $?
DAEMON=

# A dead mount of ours is taken away; what was acknowledged is there.
start
echo before >>"$MNT/topic"
crash
ls "$MNT" 2>/dev/null && fail "the mount outlived its daemon"
"$WALRUSFS" "$DATA" "$MNT" 2>"$WORK/message" || fail "start on a dead mount"
grep -q "took away" "$WORK/message" || fail "said nothing of the dead mount"
expect "after the crash" "lazy before" "$(tail -n2 "$MNT/topic" | xargs)"
fusermount3 -u "$MNT"
finish
