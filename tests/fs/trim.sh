#!/bin/bash
# A hole punched at the head of a topic trims it: whole entries, for good, and nothing else can be punched. For the rest of
# fallocate(2) the oracle is a file with chattr +a (ext4, as root); without one, what it was seen to answer.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all
setup
start

cat >"$WORK/fallocate.py" <<'PY'
# fallocate.py FILE MODE OFFSET LENGTH: prints ok or the errno's name. Opens for appending.
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
f = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
mode, offset, length = int(sys.argv[2], 0), int(sys.argv[3]), int(sys.argv[4])
result = libc.fallocate64(f, mode, ctypes.c_int64(offset), ctypes.c_int64(length))
print('ok' if result == 0 else errno.errorcode[ctypes.get_errno()])
PY
KEEP_SIZE=1 PUNCH=3 COLLAPSE=8 ZERO=16 INSERT=32
fallocate_of() { python3 "$WORK/fallocate.py" "$@"; }
figure() { getfattr --absolute-names --only-values -n "user.walrus.$1" "$2"; }
command -v getfattr >/dev/null || skip "no getfattr"

cd "$MNT" || exit 99
seq -f 'line %g' 0 999 >>topic
expect "within the first entry" ok "$(fallocate_of topic $PUNCH 0 6)"
expect "which is whole" "0 line 0" "$(figure first_sequence topic) $(head -n1 topic)"
expect "up to the delimiter" ok "$(fallocate_of topic $PUNCH 0 7)"
expect "is gone with its last byte" "1 line 1" "$(figure first_sequence topic) $(head -n1 topic)"
expect "two and a half entries" ok "$(fallocate_of topic $PUNCH 0 18)"
expect "the half one is whole" "3 line 3" "$(figure first_sequence topic) $(head -n1 topic)"
expect "offsets stay" 21 "$(figure first_offset topic)"
expect "the rest" 997 "$(wc -l <topic)"
expect "wc -c" "$(cat topic | wc -c)" "$(stat -c %s topic)"
seq -f 'line %g' 3 999 >"$WORK/wanted"
same "what is left" "$WORK/wanted" topic

# Elsewhere, or otherwise.
expect "a hole in the middle" ENOTSUP "$(fallocate_of topic $PUNCH 7 7)"
expect "space beforehand" ENOTSUP "$(fallocate_of topic $KEEP_SIZE 0 4096)"
expect "no length" EINVAL "$(fallocate_of topic $PUNCH 0 0)"
mkdir "$WORK/oracle"
echo first >"$WORK/oracle/topic"
for mode in $COLLAPSE $ZERO $INSERT; do
    wanted=EPERM
    if chattr +a "$WORK/oracle/topic" 2>/dev/null; then
        wanted=$(fallocate_of "$WORK/oracle/topic" $mode 0 4096)
        chattr -a "$WORK/oracle/topic"
    fi
    got=$(fallocate_of topic $mode 0 4096)
    # Modes that the kernel keeps from a FUSE daemon.
    [ "$got" = ENOTSUP ] && [ $mode != $ZERO ] && continue
    expect "mode $mode" "$wanted" "$got"
done
fallocate -p -o 0 -l 100 topic 2>/dev/null && fail "an open without O_APPEND"
expect "nothing changed" 997 "$(wc -l <topic)"

# An open file keeps its numbering: what it has read stays where it was, and its holes count from there.
python3 - topic "$WORK/fallocate.py" <<'PY' || fail "an open file"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
f = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
size = os.fstat(f).st_size
assert os.pread(f, 7, 7) == b'line 4\n'
assert libc.fallocate64(f, 3, ctypes.c_int64(0), ctypes.c_int64(14)) == 0
assert os.pread(f, 7, 14) == b'line 5\n', os.pread(f, 7, 14)
assert libc.fallocate64(f, 3, ctypes.c_int64(0), ctypes.c_int64(14)) == 0
assert libc.fallocate64(f, 3, ctypes.c_int64(14), ctypes.c_int64(7)) == 0, 'a hole that begins at the head'
assert os.pread(f, 7, 21) == b'line 6\n', os.pread(f, 7, 21)
PY
expect "trimmed" "6 line 6" "$(figure first_sequence topic) $(head -n1 topic)"

expect "everything and more" ok "$(fallocate_of topic $PUNCH 0 100000000)"
expect "empty" "1000 1000 0" "$(figure first_sequence topic) $(figure next_sequence topic) $(cat topic | wc -c)"
expect "of nothing" ok "$(fallocate_of topic $PUNCH 0 1)"
echo more >>topic
expect "goes on" "1000 more" "$(figure first_sequence topic) $(cat topic)"

# Who has it open sees no file that shrinks, and where its place is gone, goes on at the first entry that is left.
seq 1000 1999 >>overtaken
python3 - "$WORK/fallocate.py" <<'PY' || fail "a reader that is overtaken"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
w = os.open('overtaken', os.O_RDWR | os.O_APPEND)
f = os.open('overtaken', os.O_RDONLY)
assert os.read(f, 50) == b''.join(b'%d\n' % i for i in range(1000, 1010))
assert libc.fallocate64(w, 3, ctypes.c_int64(0), ctypes.c_int64(500)) == 0
assert os.fstat(f).st_size == 5000 and os.stat('overtaken').st_size == 4500, os.fstat(f).st_size
assert os.lseek(f, 0, os.SEEK_END) == 5000
os.lseek(f, 50, os.SEEK_SET)
rest = b''
while part := os.read(f, 1000):
    rest += part
assert rest == b''.join(b'%d\n' % i for i in range(1100, 2000)), rest[:20]
os.write(w, b'2000\n')
assert os.read(f, 100) == b'2000\n'
assert os.fstat(f).st_size == 5005
g = os.open('overtaken', os.O_RDONLY)
assert os.fstat(g).st_size == 4505 and os.pread(g, 5, 0) == b'1100\n'
assert os.fstat(g).st_ino == os.fstat(f).st_ino
# In the middle of an entry: its rest comes first, so that no two are glued together.
c = os.open('overtaken', os.O_RDONLY)
assert os.read(c, 12) == b'1100\n1101\n11'
assert libc.fallocate64(w, 3, ctypes.c_int64(0), ctypes.c_int64(1000)) == 0
assert os.read(c, 1) == b'0', 'the rest, in pieces'
assert os.read(c, 10) == b'2\n'
assert os.read(c, 10) == b'1200\n1201\n'
os.close(c)
# Of a long entry, not more than a delimiter is kept.
os.write(w, b'x' * 100000 + b'\nbehind\n')
c = os.open('overtaken', os.O_RDWR | os.O_APPEND)
size = os.fstat(c).st_size
assert os.pread(c, size - 100000, 0)[-6:] == b'x' * 6
assert libc.fallocate64(c, 3, ctypes.c_int64(0), ctypes.c_int64(size - 7)) == 0
assert os.pread(c, 1000, size - 100000) == b'\n'
assert os.pread(c, 1000, size - 100000 + 1) == b'behind\n'
os.close(c)
# Everything is gone: the end, and no error.
h = os.open('overtaken', os.O_RDONLY)
assert libc.fallocate64(w, 3, ctypes.c_int64(0), ctypes.c_int64(1 << 30)) == 0
assert os.read(h, 100) == b''
os.write(w, b'2001\n')
assert os.read(h, 100) == b'2001\n'
PY
timeout 30 tail -n1 -f overtaken >"$WORK/follow" 2>&1 &
follow=$!
for ((i = 0; i < 100; i++)); do
    grep -q 2001 "$WORK/follow" && break
    sleep 0.1
done
for n in 2002 2003; do
    echo $n >>overtaken
    expect "a trim under tail -f" ok "$(fallocate_of overtaken $PUNCH 0 5)"
    for ((i = 0; i < 100; i++)); do
        grep -q $n "$WORK/follow" && break
        sleep 0.1
    done
done
kill $follow 2>/dev/null
wait $follow 2>/dev/null
expect "tail -f" "2001 2002 2003" "$(xargs <"$WORK/follow")"

# While entries come and go right in front of a reader, it sees whole ones only, whatever place its reads end at.
python3 - <<'PY' || fail "a reader right behind whoever trims"
import ctypes, os, threading, time, zlib
libc = ctypes.CDLL(None, use_errno=True)
w = os.open('race', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
stop = False
def line(number):
    text = b'%d %s' % (number, b'x' * (number * 37 % 150))
    return b'%s %08x\n' % (text, zlib.crc32(text))
def write():
    number = 0
    while not stop:
        os.write(w, b''.join(line(number + i) for i in range(50)))
        number += 50
def trim():
    while not stop:
        f = os.open('race', os.O_RDWR | os.O_APPEND)
        libc.fallocate64(f, 3, ctypes.c_int64(0), ctypes.c_int64(max(os.fstat(f).st_size - 3000, 1)))
        os.close(f)
threads = [threading.Thread(target=work, daemon=True) for work in (write, trim)]
for thread in threads:
    thread.start()
lines = 0
torn = []
end = time.monotonic() + 60
while lines < 100000 and time.monotonic() < end:
    f = os.open('race', os.O_RDONLY)
    rest = b''
    for _ in range(300):
        *whole, rest = (rest + os.read(f, 700)).split(b'\n')
        lines += len(whole)
        torn += [x for x in whole if x.rpartition(b' ')[2] != b'%08x' % zlib.crc32(x.rpartition(b' ')[0])]
    os.close(f)
stop = True
for thread in threads:
    thread.join()
assert lines > 1000, lines
assert not torn, (len(torn), torn[0])
PY

cd / && crash
fusermount3 -u -z -q "$MNT"
start
expect "for good" "1000 more" "$(figure first_sequence "$MNT/topic") $(cat "$MNT/topic")"
finish
