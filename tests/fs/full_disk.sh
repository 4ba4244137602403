#!/bin/bash
# A full disk: the writer is told, each write is all or nothing, everything acknowledged stays readable, appends resume.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root, for a small tmpfs"
setup
mkdir "$DATA"
mount -t tmpfs -o size=4m,mode=700 walrus-test "$DATA" || skip "no tmpfs can be mounted"
trap 'cleanup_disk' EXIT
cleanup_disk() {
    local data=$DATA
    fusermount3 -u -z -q "$MNT" 2>/dev/null
    [ -n "$DAEMON" ] && kill -9 "$DAEMON" 2>/dev/null
    wait 2>/dev/null
    umount -l "$data" 2>/dev/null
    DAEMON=
    cleanup
}
start
cd "$MNT" || exit 99
python3 - "$DATA" <<'PY' || fail "full disk"
import errno, os, sys
def content():
    with open('topic', 'rb') as f:
        return f.read()
filler = os.path.join(sys.argv[1], 'filler')
f = os.open('topic', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
with open(filler, 'wb') as out:
    out.write(b'\0' * (2 << 20))
wanted = b''
number = 0
held = b''
refusals = 0
while refusals < 3:
    # Ten lines, and a part of one that the next write completes.
    lines = b''.join(b'line %d %s\n' % (number + i, b'x' * 2000) for i in range(10))
    tail = b'tail %d ' % number
    data = lines + tail
    try:
        n = os.write(f, data)
        assert n == len(data), n
        wanted += held + lines
        held = tail
        number += 10
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        refusals += 1
        assert content() == wanted, 'what was refused shows, or what was accepted does not'
    assert number < 100000
assert number > 10
try:
    os.fsync(f)
    wanted += held + b'\n'
except OSError as e:
    assert e.errno == errno.ENOSPC, e
    assert content() == wanted
    os.unlink(filler)
    os.fsync(f)
    wanted += held + b'\n'
    filler = None
if filler:
    os.unlink(filler)
assert content() == wanted
assert os.write(f, b'resumed\n') == 8
wanted += b'resumed\n'
os.close(f)
assert content() == wanted
with open(sys.argv[1] + '.wanted', 'wb') as out:
    out.write(wanted)
PY
# What a shell sees.
head -c 6m /dev/zero | tr '\0' 'z' | fold -w 1000 >"$WORK/much"
cat "$WORK/much" >>second 2>"$WORK/message" && fail "cat onto a full disk succeeded"
grep -q "No space left" "$WORK/message" || fail "cat: $(cat "$WORK/message")"
# And what the mount remembers of it, while the disk is still full.
sed -n 's/^last_error //p' .stat/second | grep -q "^ENOSPC .*'second'" || fail "last error: $(cat .stat/second)"
grep -q "ENOSPC uid=0 .*'second'" .walrus/errors || fail "errors: $(cat .walrus/errors)"
used=$(df --output=pcent . | tail -n1 | tr -d ' %')
[ "$used" -ge 95 ] || fail "df of a full disk: $used %"
# What was accepted before: a prefix. Its last line, of which the rest was refused, ends where it was cut.
size=$(($(stat -c %s second) - 1))
[ "$size" -gt 100000 ] || fail "only $size bytes"
cmp -s <(head -c $size "$WORK/much"; echo) second || fail "not a prefix of what was written"
cmp -s topic "$DATA.wanted" || fail "the other topic changed"
rm second || fail "rm on a full disk"
echo again >>third || fail "append after rm"
cd / && stop
start
cmp -s "$MNT/topic" "$DATA.wanted" || fail "after a remount"
expect "third" again "$(cat "$MNT/third")"
finish
