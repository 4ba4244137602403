#!/bin/bash
# A line longer than the largest request stays one entry, whoever writes it; a write(2) is all or nothing.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all
setup
command -v jq >/dev/null || skip "no jq"
start
cd "$MNT" || exit 99

entries() { sed -n 's/^entries //p' ".stat/$1"; }

# A line of 24 MiB between short ones, by tools with buffers from 4 KiB to the whole.
python3 - "$WORK/wanted" <<'PY'
import random, sys
random.seed(1)
line = random.randbytes(24 << 20).replace(b'\n', b'_')
open(sys.argv[1], 'wb').write(b'short\n' + line + b'\nshort\n\n')
PY
cat "$WORK/wanted" >>cat
dd if="$WORK/wanted" bs=4k status=none >>dd4k
tee -a tee <"$WORK/wanted" >/dev/null
cp "$WORK/wanted" cp
python3 - "$WORK/wanted" <<'PY' || fail "one write(2) of 24 MiB"
import os, sys
data = open(sys.argv[1], 'rb').read()
f = os.open('python', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
assert os.write(f, data) == len(data)
with open('buffered', 'ab') as g:
    g.write(data)
PY
for name in cat dd4k tee cp python buffered; do
    same "$name" "$WORK/wanted" "$name"
    expect "entries by $name" 4 "$(entries "$name")"
done
expect "as JSON" "5 $((24 << 20)) 5 0" "$(jq .length .records/cat | xargs)"
expect "consumed" "short" "$(head -n1 .drain/cat)"
head -n1 .drain/cat >"$WORK/got"
tail -n +2 "$WORK/wanted" | head -n1 >"$WORK/line"
same "the long one, consumed" "$WORK/line" "$WORK/got"
dd if=dd4k iflag=nonblock bs=64k status=none >"$WORK/got"
same "consumed in pieces" "$WORK/wanted" "$WORK/got"

# The limit of an entry; nothing of the line that goes over it stays, and the file can still be used. Sparse memory: only what is
# held counts.
python3 - <<'PY' || fail "a write is all or nothing"
import errno, os
f = os.open('write', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
assert os.write(f, b'held') == 4
r, w = os.pipe()
# A fault in the middle of the data: what lies before it may or may not be taken, but the count says how much.
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.mmap(-1, 8192)
page[:4096] = b'x' * 4095 + b'\n'
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
libc.mprotect(ctypes.c_void_p(address + 4096), 4096, 0)
written = libc.write(f, ctypes.c_void_p(address), 8192)
libc.mprotect(ctypes.c_void_p(address + 4096), 4096, 3)
before = os.stat('write').st_size
assert written in (-1, 4096), written
assert before == (0 if written == -1 else 4 + 4096), (before, written)
os.write(f, b' and ended\n')
os.close(f)
content = open('write', 'rb').read()
assert content == (b'held and ended\n' if written == -1 else b'held' + b'x' * 4095 + b'\n and ended\n'), content[-30:]
PY
cd /
finish
