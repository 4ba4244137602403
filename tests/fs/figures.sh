#!/bin/bash
# What the mount tells: figures of a topic as extended attributes, of the log as df. They are right, can only be read, and asking for
# other attributes, as the kernel does, costs no requests for each write.
. "$(dirname "$0")/lib.sh"
: "${WALRUS:=walrus}"
export WALRUS_RETENTION=all
setup
command -v getfattr >/dev/null || skip "no getfattr"
start -o sync=each
cd "$MNT" || exit 99

figure() { getfattr --absolute-names --only-values -n "user.walrus.$1" "$2" 2>/dev/null; }
seq 1000 >>topic
mkdir space && echo x >>space/other
touch empty
expect "of ten lines" "1000 0 1000 3893 0 3893 1000 line each yes" \
    "$(for key in entries first_sequence next_sequence bytes first_offset next_offset durable_sequence framing sync sync_inherited; do
        figure $key topic; echo; done | xargs)"
expect "no group yet" "" "$(getfattr -d -m '^user.walrus.group' topic)"
dd if=topic iflag=nonblock bs=10 count=2 status=none >/dev/null
expect "the group" "9 991 3875" "$(figure group.default.cursor topic) $(figure group.default.lag topic) $(figure group.default.lag_bytes topic)"
expect "in a namespace" 1 "$(figure entries space/other)"
expect "empty" "0 0" "$(figure entries empty) $(figure bytes empty)"
for topic in topic empty space/other; do
    expect "st_size of $topic" "$(stat -c %s $topic)" "$(figure bytes $topic)"
    expect "st_blocks of $topic" "$(($(stat -c %b $topic) * 512))" "$(figure disk_bytes $topic)"
done
expect "all that are listed can be read" "" "$(getfattr -d -m - topic 2>&1 | grep -v '^# file: \|^user\.walrus\.[a-z_.]*="[^"]*"$' | xargs)"
expect "unknown" "No such attribute" "$(getfattr -n user.walrus.nothing topic 2>&1 | sed 's/.*: //')"
expect "of others" "No such attribute" "$(getfattr -n user.other topic 2>&1 | sed 's/.*: //')"
expect "a directory" "" "$(getfattr -d -m - space 2>&1)"

# As on an append-only file.
python3 - <<'PY' || fail "attributes cannot be set"
import errno, os
for name in ('user.walrus.entries', 'user.other', 'security.x', 'trusted.x'):
    for call in (lambda: os.setxattr('topic', name, b'1'), lambda: os.removexattr('topic', name)):
        try:
            call()
            raise SystemExit(f'{name} was set')
        except OSError as e:
            assert e.errno == errno.EPERM, (name, e)
PY

# df: what the log uses, and what is free below.
df_of() { df --block-size=1 --output="$1" "$2" | tail -n1 | xargs; }
expect "used" "$(du -s --block-size=1 "$DATA" | cut -f1)" "$(($(df_of used "$MNT") + $(stat -c %b "$DATA") * 512))"
[ "$(df_of avail "$MNT")" -gt 0 ] || fail "nothing is available"
difference=$(($(df_of avail "$MNT") - $(df_of avail "$DATA")))
[ "${difference#-}" -lt $((256 << 20)) ] || fail "available: it differs by $difference from what is below"
expect "topics and namespaces" 4 "$(df_of iused "$MNT")"
[ "$(df_of iavail "$MNT")" -gt 1000 ] || fail "room for topics"
cd / && stop

# The kernel asks for security.capability: not before each write.
start -d
python3 - "$MNT/topic" <<'PY' || fail "writes"
import os, sys
f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for i in range(100):
    os.write(f, b'x\n')
PY
stop
expect "requests for writes" 100 "$(grep -c 'opcode: WRITE' "$WORK/stderr")"
asked=$(grep -c 'opcode: GETXATTR' "$WORK/stderr")
[ "$asked" -le 2 ] || fail "$asked requests for attributes"

# Of an instance in a sub-directory, too.
start -o key=one
seq 1000 >>"$MNT/topic"
expect "used by an instance" "$(du -s --block-size=1 "$DATA/one" | cut -f1)" \
    "$(($(df_of used "$MNT") + $(stat -c %b "$DATA/one") * 512))"
finish
