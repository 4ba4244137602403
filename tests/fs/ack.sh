#!/bin/bash
# .consume opened for reading and writing: an entry is its reader's until it says `ack`, and comes back if it goes without.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all
setup
chmod 755 "$WORK"
start -o allow_other
cd "$MNT" || exit 99

# --- in a shell ---
seq 10 >jobs
exec 5<>.consume/jobs
read -r job <&5
expect "first" 1 "$job"
expect "others meanwhile" 2 "$(head -n1 .consume/jobs)"
echo ack >&5 || fail "ack"
read -r job <&5
expect "next" 3 "$job"
exec 5<&-
# The kernel tells of the last close in its own time.
for ((i = 0; i < 500; i++)); do
    [ "$(head -n1 .peek/jobs)" = 3 ] && break
    sleep 0.01
done
expect "closed without" 3 "$(head -n1 .consume/jobs)"
expect "in dash" "4 5" "$(dash -c 'exec 5<>.consume/jobs; read -r a <&5; echo ack >&5; read -r b <&5; printf ack >&5; echo $a $b')"
expect "on" 6 "$(head -n1 .consume/jobs)"
refused "Operation not permitted" bash -c 'echo ack >.consume/jobs'
refused "Operation not permitted" bash -c 'echo ack >>.consume/jobs'

# --- several in one, ends, errors ---
timeout 60 python3 - <<'PY' || fail "acknowledging"
import errno, os, select, subprocess, sys, time
RW = os.O_RDWR
def fill(topic, *entries):
    with open(topic, 'ab') as out:
        out.write(b''.join(b'%s\n' % e for e in entries))
def position(path):
    with open(path) as f:
        return int(f.read())
def fails(number, call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        assert e.errno == number, e
    else:
        raise AssertionError('no error')
fill('t', *[b'%d' % i for i in range(20)])
f, g = os.open('.consume/t', RW), os.open('.consume/t', RW)
assert (os.read(f, 100), os.read(g, 100), os.read(f, 100)) == (b'0\n', b'1\n', b'2\n'), 'two readers get different ones'
assert os.write(f, b'ack\n') == 4   # both that it has read
fails(errno.ENODATA, os.write, f, b'ack')
fails(errno.EINVAL, os.write, f, b'nack')
fails(errno.EINVAL, os.write, f, b'acknowledge')
assert os.read(f, 100) == b'3\n'
os.close(f)                          # gives 3 back, and only that
deadline = time.monotonic() + 20
while True:
    again = os.open('.peek/t', os.O_RDONLY)
    if os.read(again, 2) == b'3\n' or time.monotonic() > deadline:
        break
    os.close(again)
    time.sleep(0.01)
h = os.open('.consume/t', RW)
assert os.read(h, 100) == b'3\n'
assert os.read(h, 100) == b'4\n'
os.write(h, b'ack')
os.write(g, b'ack')
os.close(g)
# In pieces, with the position that the acknowledgement moves.
assert (os.read(h, 1), os.read(h, 1)) == (b'5', b'\n')
os.write(h, b'ack\n')
assert os.read(h, 100) == b'6\n'
os.write(h, b'ack\n')
# close(2) of a duplicate and of a child's copy sends FLUSH, which acknowledges nothing and gives nothing back.
assert os.read(h, 100) == b'7\n'
os.close(os.dup(h))
subprocess.run(['true'], pass_fds=[h], check=True)
other = os.open('.consume/t', RW | os.O_NONBLOCK)
assert os.read(other, 100) == b'8\n'
os.write(h, b'ack')
os.write(other, b'ack')
# A waiting reader gets what is given back.
k = os.open('.consume/t', RW)
for i in range(9, 20):
    assert os.read(k, 100) == b'%d\n' % i
fails(errno.EAGAIN, os.read, other, 100)
assert not select.select([other], [], [], 0)[0]
os.close(k)
assert select.select([other], [], [], 30)[0]
assert os.read(other, 100) == b'9\n'
# The cursor is moved: what was taken is the taker's no more.
with open('.cursor/t', 'w') as c:
    c.write('begin')
fails(errno.ERANGE, os.write, other, b'ack')
assert os.read(other, 100) == b'0\n'
os.write(other, b'ack')
# The group is removed.
os.mkdir('.consume/@g')
m = os.open('.consume/@g/t', RW)
assert os.read(m, 100) == b'0\n'
os.rmdir('.consume/@g')
fails(errno.ESTALE, os.write, m, b'ack')
fails(errno.ESTALE, os.read, m, 100)
PY

# --- workers that are killed in the middle: their entries go to others, and each is done ---
cat >"$WORK/worker.py" <<'PY'
import os, signal, sys
f = os.open('.consume/work', os.O_RDWR)
with open(sys.argv[1], 'ab', buffering=0) as done:
    while True:
        entry = os.read(f, 1000)
        if sys.argv[2] == 'stuck':
            os.write(1, b'took\n')
            signal.pause()
        done.write(entry)
        os.write(f, b'ack\n')
PY
: >work
pids=()
for worker in 1 2 3; do
    python3 "$WORK/worker.py" "$WORK/done.stuck" stuck >"$WORK/took.$worker" &
    pids+=($!)
done
seq 3 >>work
for ((i = 0; i < 1000 && $(cat "$WORK"/took.? | wc -l) < 3; i++)); do sleep 0.01; done
expect "three have taken one each" 3 "$(cat "$WORK"/took.? | wc -l)"
expect "nobody else gets them" "" "$(cat .peek/work | head -n0)$(dd if=.consume/work iflag=nonblock bs=100 count=1 status=none 2>/dev/null)"
kill -9 "${pids[@]}"
wait "${pids[@]}" 2>/dev/null
pids=()
: >"$WORK/done.1"
for worker in 1 2; do
    python3 "$WORK/worker.py" "$WORK/done.$worker" works &
    pids+=($!)
done
seq 4 200 >>work
for ((i = 0; i < 2000 && $(cat "$WORK"/done.? | wc -l) < 200; i++)); do sleep 0.01; done
expect "all done, each once" "$(seq 200)" "$(cat "$WORK"/done.? | sort -n)"
for ((i = 0; i < 500 && $(cat .cursor/work) < 200; i++)); do sleep 0.01; done
kill "${pids[@]}"
wait "${pids[@]}" 2>/dev/null

# --- the daemon is killed: what was not acknowledged comes again, what was does not ---
seq 5 >crashed
exec 5<>.consume/crashed
read -r a <&5
echo ack >&5
read -r b <&5
expect "taken" "1 2" "$a $b"
cd / && crash
exec 5<&-
fusermount3 -u -z "$MNT"
start
expect "after a crash" "2 3 4 5" "$(xargs <"$MNT/.drain/crashed")"

if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    cd "$MNT" || exit 99
    refused "Permission denied" setpriv --reuid 4242 --regid 4242 --clear-groups bash -c 'exec 5<>.consume/jobs'
    cd /
fi
finish
