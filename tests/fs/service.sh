#!/bin/bash
# The daemon as a service: what it tells systemd, where its messages go, the unit; and `walrus mount`.
. "$(dirname "$0")/lib.sh"
setup
: "${WALRUS:?}" "${SYSTEMD_UNIT:?}"

# Type=notify: a socket of ours stands for systemd's. Each datagram is a line of the file, with its newlines as spaces.
cat >"$WORK/listen.py" <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
s.bind("\0" + name[1:] if name[0] == "@" else name)
with open(sys.argv[2], "w", buffering=1) as out:
    out.write("listening\n")
    while True:
        out.write(s.recv(4096).decode().replace("\n", " ") + "\n")
END
# told COUNT TEXT: waits until systemd has been told so many times.
told() {
    local i
    for ((i = 0; i < 200; i++)); do
        [ "$(grep -cE -- "$2" "$WORK/told")" -ge "$1" ] && return 0
        sleep 0.05
    done
    fail "systemd was not told '$2' $1 times: $(cat "$WORK/told")"
}
for socket in "$WORK/notify" "@walrusfs-test-$$"; do
    : >"$WORK/told"
    python3 "$WORK/listen.py" "$socket" "$WORK/told" &
    listener=$!
    told 1 listening
    export NOTIFY_SOCKET=$socket
    start -o config=none
    unset NOTIFY_SOCKET
    told 1 "^READY=1 MAINPID=$DAEMON STATUS=serving $MNT"
    tr '\0' '\n' <"/proc/$DAEMON/environ" | grep -q NOTIFY_SOCKET || fail "the test does not test"
    kill -HUP "$DAEMON"
    told 1 "^RELOADING=1 MONOTONIC_USEC=[0-9]"
    told 2 "^READY=1"
    stop
    told 1 "^STOPPING=1"
    expect "the last word" "STOPPING=1" "$(tail -n1 "$WORK/told" | xargs)"
    kill $listener
    wait $listener 2>/dev/null
done
# In the background the process that answers is the child.
: >"$WORK/told"
python3 "$WORK/listen.py" "$WORK/notify2" "$WORK/told" &
listener=$!
told 1 listening
NOTIFY_SOCKET=$WORK/notify2 "$WALRUSFS" "$DATA" "$MNT" -o config=none || fail "start in the background"
told 1 "MAINPID=$(grep -o '[0-9]*' "$DATA/lock" | head -n1) "
fusermount3 -u "$MNT"
told 1 "^STOPPING=1"
kill $listener
wait $listener 2>/dev/null
NOTIFY_SOCKET=$WORK/nobody "$WALRUSFS" "$DATA" "$MNT" -o config=none || fail "with a notify socket that nobody has"
fusermount3 -u "$MNT"

# Where stderr is the journal, lines begin with their priority: 5 for a word, 3 for a failure.
: >"$WORK/stderr"
JOURNAL_STREAM=$(stat -Lc %d:%i "$WORK/stderr") "$WALRUSFS" "$DATA" "$MNT" -f -o config=none 2>>"$WORK/stderr" &
DAEMON=$!
for ((i = 0; i < 200; i++)); do
    grep -q "^<5>serving" "$WORK/stderr" && break
    sleep 0.05
done
[ "$i" -lt 200 ] || fail "no priority: $(cat "$WORK/stderr")"
JOURNAL_STREAM=$(stat -Lc %d:%i "$WORK/stderr") "$WALRUSFS" "$DATA" "$WORK" -o config=none 2>>"$WORK/stderr"
grep -q "^<3>.*lie in one another" "$WORK/stderr" || fail "no priority of a failure: $(cat "$WORK/stderr")"
stop
JOURNAL_STREAM=1:2 "$WALRUSFS" "$DATA" "$WORK" 2>"$WORK/message"
grep -q "^walrusfs: " "$WORK/message" || fail "a stderr that is not the journal got a priority"

# In the background, messages go to the system log; here is none, so the test is it.
if [ "$(id -u)" = 0 ] && [ ! -e /dev/log ]; then
    mkdir "$WORK/dev"
    : >"$WORK/told"
    python3 "$WORK/listen.py" "$WORK/dev/log" "$WORK/told" &
    listener=$!
    told 1 listening
    ln -sf "$WORK/dev/log" /dev/log
    printf 'nonblock = off\n' >"$WORK/conf"
    "$WALRUSFS" "$DATA" "$MNT" -o "config=$WORK/conf" || fail "start in the background"
    echo "nonsense = 1" >"$WORK/conf"
    kill -HUP "$(grep -o '[0-9]*' "$DATA/lock" | head -n1)"
    told 1 "^<27>.*walrusfs\[[0-9]*\]: $WORK/conf:1: 'nonsense = 1' is no setting"
    rm /dev/log
    fusermount3 -u "$MNT"
    kill $listener
    wait $listener 2>/dev/null
fi

# The unit is one that systemd understands; and with what it takes away, root can still mount, serve and unmount.
grep -q "^Type=notify" "$SYSTEMD_UNIT" || fail "no unit"
if command -v systemd-analyze >/dev/null; then
    sed "s|^ExecStart=[^ ]*|ExecStart=$WALRUSFS|" "$SYSTEMD_UNIT" >"$WORK/walrusfs@.service"
    message=$(systemd-analyze verify "$WORK/walrusfs@.service" 2>&1) || fail "systemd-analyze verify: $message"
    grep "walrusfs@" <<<"$message" && fail "systemd-analyze verify has something to say of the unit"
fi
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    allowed=$(sed -n 's/^CapabilityBoundingSet=//p' "$SYSTEMD_UNIT" | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
    chown -R 65534 "$DATA" # not root's own
    limited=(setpriv --no-new-privs --bounding-set "-all,$allowed")
    "${limited[@]}" "$WALRUSFS" "$DATA" "$MNT" -o config=none || fail "start with the capabilities of the unit"
    echo limited >>"$MNT/limited" && chown 1:1 "$MNT/limited" || fail "append and chown with those capabilities"
    "${limited[@]}" fusermount3 -u "$MNT" || fail "unmount with those capabilities"
fi

# walrus mount and umount.
PATH=$(dirname "$WALRUSFS"):$PATH
"$WALRUS" -D "$DATA" -k inst mount -o config=none,sync=each "$MNT" || fail "walrus mount"
echo one >>"$MNT/t"
expect "through the instance that was mounted" one "$("$WALRUS" -D "$DATA" -k inst cat t)"
"$WALRUS" umount "$MNT" || fail "walrus umount"
mountpoint -q "$MNT" && fail "walrus umount left it mounted"
"$WALRUS" -D "$DATA" mount "$WORK/nosuch" 2>/dev/null
expect "exit code of walrus mount" 66 $?
"$WALRUS" mount 2>/dev/null
expect "walrus mount without a mount point" 64 $?
finish
