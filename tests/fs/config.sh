#!/bin/bash
# Options from a configuration file and from fstab, and what SIGHUP does.
. "$(dirname "$0")/lib.sh"
setup
: "${WALRUS:?}" "${MOUNT_HELPER:?}"
CONF=$WORK/walrusfs.conf

# refused MESSAGE LINE...: a file of these lines is refused, with a message that holds the first argument.
refused() {
    local wanted=$1 message code
    shift
    printf '%s\n' "$@" >"$CONF"
    message=$("$WALRUSFS" "$DATA" "$MNT" -o "config=$CONF" 2>&1)
    code=$?
    expect "exit code with $*" 64 "$code"
    [[ $message == *"$CONF:$wanted"* ]] || fail "with $*: wanted '$wanted', got '$message'"
    expect "lines of the message with $*" 1 "$(wc -l <<<"$message")"
}
setting() { WALRUS_DATA_DIR=$DATA "$WALRUS" stat | sed -n "s/^$1 *\([^ ;]*\).*/\1/p"; }
# said COUNT TEXT: waits until the daemon has said it so many times.
said() {
    local i
    for ((i = 0; i < 100; i++)); do
        [ "$(grep -cF -- "$2" "$WORK/stderr")" -ge "$1" ] && return 0
        sleep 0.05
    done
    fail "the daemon did not say '$2' $1 times: $(tail -n3 "$WORK/stderr")"
}

refused "1: sync=sometimes" "sync = sometimes"
refused "4: 'colour = blue' is no setting" "# a comment" "" "sync = each" "colour = blue"
refused "1: 'showctl = perhaps' is no setting" "showctl = perhaps"
refused "1: 'sync' is no setting" "sync"
refused "1: 'config = $CONF' is no setting" "config = $CONF"
refused "1: '-f' is no setting" "-f"
refused "2: batch_bytes=0" "nonblock = off" "batch_bytes = 0"
printf 'sync = each\0\n' >"$CONF"
"$WALRUSFS" "$DATA" "$MNT" -o "config=$CONF" 2>/dev/null && fail "a file with a zero byte"
"$WALRUSFS" "$DATA" "$MNT" -o "config=$WORK/nosuch" 2>/dev/null
expect "exit code without the file" 64 $?
"$WALRUSFS" "$DATA" "$MNT" -o "config=$WORK" 2>/dev/null
expect "exit code with a directory for the file" 64 $?
[ -e "$DATA" ] && fail "the data directory was made although the file is wrong"

# What the file says holds, unless the command line says otherwise. Spaces, comments and flags as one expects.
cat >"$CONF" <<'END'
# the log of the tests
sync=each
  consistency =  at-least-once:7

	showctl
retention = bytes:64K
no_uring = no
END
start -o "config=$CONF,consistency=strict"
expect "sync of the file" each "$(setting sync)"
expect "consistency of the command line" strict "$(setting consistency)"
expect "retention of the file" bytes:65536 "$(setting retention)"
[[ " $(ls -A "$MNT" | xargs) " == *" .batch "* ]] || fail "showctl of the file"

# SIGHUP reads it again: what may change changes, the rest is named, and an error changes nothing.
seq 3 >"$MNT/t"
expect "consumed" 1 "$(dd if="$MNT/t" iflag=nonblock bs=2 count=1 status=none)"
printf 'sync = none\nnonblock = peek\nretention = bytes:64K\n' >"$CONF"
kill -HUP "$DAEMON"
said 1 "in force now: nonblock, showctl; with the next mount: sync"
expect "peek, since the file says so" "2 2" "$(for i in 1 2; do dd if="$MNT/t" iflag=nonblock bs=2 count=1 status=none; done | xargs)"
[[ " $(ls -A "$MNT" | xargs) " == *" .batch "* ]] && fail "showctl is still on"
printf 'nonblock = consume\nsync = maybe\n' >"$CONF"
kill -HUP "$DAEMON"
said 1 "nothing is changed"
said 1 "$CONF:2: sync=maybe"
expect "still peek" 2 "$(dd if="$MNT/t" iflag=nonblock bs=2 count=1 status=none)"
printf 'sync = each\nretention = bytes:64K\n' >"$CONF"
kill -HUP "$DAEMON"
said 1 "in force now: nonblock; with the next mount: nothing more"
expect "consumes again" "2 3" "$(for i in 1 2; do dd if="$MNT/t" iflag=nonblock bs=2 count=1 status=none; done | xargs)"
stop
start -o "config=$CONF,backend=mmap"
expect "backend" mmap "$(setting backend)"
expect "what the mapped files hold" "1 2 3" "$(xargs <"$MNT/t")"
stop

# By a relative path, from the background, too: the daemon has left the directory when it reads the file again.
(cd "$WORK" && "$WALRUSFS" data mnt -o config=walrusfs.conf) || fail "a relative path"
expect "by a relative path" each "$(setting sync)"
printf 'showctl\n' >"$CONF"
DAEMON=$(grep -o '[0-9]*' "$DATA/lock" | head -n1)
kill -HUP "$DAEMON" || fail "no daemon"
for ((i = 0; i < 100; i++)); do
    [ -n "$(ls -A "$MNT" | grep -x .batch)" ] && break
    sleep 0.05
done
[ "$i" -lt 100 ] || fail "SIGHUP in the background"
DAEMON=
fusermount3 -u "$MNT"

# What mount(8) calls, with the words that fstab has for others.
options=rw,noauto,user,users,nofail,_netdev,x-systemd.automount,x-custom=1,comment=log,defaults,sync=each,config=none
WALRUSFS=$WALRUSFS sh "$MOUNT_HELPER" "$DATA" "$MNT" -sn -o "$options" || fail "mount.walrusfs"
mountpoint -q "$MNT" || fail "mount.walrusfs did not mount"
expect "an option by mount.walrusfs" each "$(setting sync)"
fusermount3 -u "$MNT"
sh "$MOUNT_HELPER" "$DATA" "$MNT" -f || fail "mount.walrusfs -f"
mountpoint -q "$MNT" && fail "mount.walrusfs -f, which only pretends, did mount"
WALRUSFS=$WALRUSFS sh "$MOUNT_HELPER" "$DATA" "$WORK/nosuch" 2>/dev/null
expect "exit code of a mount that fails" 32 $?
WALRUSFS=$WALRUSFS sh "$MOUNT_HELPER" "$DATA" "$MNT" -o nonsense 2>/dev/null
expect "exit code of a wrong option" 1 $?

# And by mount(8) itself, which looks for its helpers in /sbin only: a copy of that with the helper in it, for us alone.
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    cp -a /usr/sbin "$WORK/sbin"
    printf '#!/bin/sh\nWALRUSFS=%q exec sh %q "$@"\n' "$WALRUSFS" "$MOUNT_HELPER" >"$WORK/sbin/mount.walrusfs"
    chmod 755 "$WORK/sbin/mount.walrusfs"
    echo "$DATA $MNT walrusfs sync=each,nofail,x-test,config=none 0 0" >"$WORK/fstab"
    cat >"$WORK/inside" <<END
mount --bind "$WORK/sbin" /usr/sbin || exit 77
mount -t walrusfs "$DATA" "$MNT" -o rw || exit 1
echo by mount >>"$MNT/fstab" || exit 2
umount "$MNT" || exit 3
mount -T "$WORK/fstab" "$MNT" || exit 4
echo by its mount point >>"$MNT/fstab" || exit 5
umount "$MNT" || exit 6
mount -a -T "$WORK/fstab" || exit 7
echo with all others >>"$MNT/fstab" || exit 8
mount -a -T "$WORK/fstab" || exit 9
[ "\$(grep -c " $MNT " /proc/self/mounts)" = 1 ] || exit 10
umount "$MNT"
END
    unshare -m --propagation private bash "$WORK/inside"
    expect "mount -t walrusfs, mount MOUNTPOINT, mount -a" 0 $?
    WALRUS_DATA_DIR=$DATA "$WALRUS" cat fstab >"$WORK/got"
    expect "what was appended through them" "by mount by its mount point with all others" "$(xargs <"$WORK/got")"
fi
finish
