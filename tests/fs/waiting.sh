#!/bin/bash
# .consume: reads that wait for an entry. Woken by whatever appends, ended by signals and deletions, and in nobody's way.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all # it reads topics again
setup
start
cd "$MNT" || exit 99

# blocked PID: waits until the process, or a child of it, sleeps in a request that the daemon has not answered.
blocked() {
    local i pid
    for ((i = 0; i < 2000; i++)); do
        for pid in "$1" $(pgrep -P "$1"); do
            grep -qs 'fuse\|request_wait' "/proc/$pid/wchan" && sleep 0.05 &&
                grep -qs 'fuse\|request_wait' "/proc/$pid/wchan" && return 0
        done
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.01
    done
    fail "process $1 does not wait"
}

# worked COUNT: waits until the workers have written so many lines.
worked() {
    local i
    for ((i = 0; i < 2000; i++)); do
        [ "$(cat "$WORK"/worker.? | wc -l)" -ge "$1" ] && return 0
        sleep 0.01
    done
    fail "the workers have not got $1 entries"
}

# --- woken, however the entry arrives ---
: >orders
for way in 'echo one >>orders' 'echo one | tee -a orders >/dev/null' "printf 'orders\tone\nCOMMIT\n' >.batch" \
    'dd if=/dev/stdin of=orders oflag=append,sync conv=notrunc status=none <<<one'; do
    timeout 20 head -n1 .consume/orders >"$WORK/got" &
    blocked $!
    bash -c "$way"
    wait $! || fail "head -n1 after $way"
    expect "woken by $way" one "$(cat "$WORK/got")"
done
expect "nothing taken beyond that" "" "$(cat .drain/orders)"

# --- what is there comes at once, one entry a read, and none that was not asked for ---
seq 10 >numbers
expect "head -n1" 1 "$(head -n1 .consume/numbers)"
read -r line <.consume/numbers
expect "read -r" 2 "$line"
expect "head -n3" "3 4 5" "$(head -n3 .consume/numbers | xargs)"
expect "dd" "6" "$(dd if=.consume/numbers bs=100 count=1 status=none)"
expect "dash" 7 "$(dash -c 'read -r line <.consume/numbers; echo $line')"
expect "xargs" "8 9" "$(head -n2 .consume/numbers | xargs -n1 -P2 echo | sort | xargs)"
expect "socat" 10 "$(timeout 5 socat -u OPEN:.consume/numbers,rdonly STDOUT | head -n1)"
timeout 0.3 cat .consume/numbers >"$WORK/got"
expect "timeout ends cat" 124 $?
expect "and it got nothing" "" "$(cat "$WORK/got")"

# --- O_NONBLOCK ---
python3 - <<'PY' || fail "O_NONBLOCK"
import errno, os
def reads(f, size=100):
    try:
        return os.read(f, size)
    except OSError as e:
        return errno.errorcode[e.errno]
f = os.open('.consume/numbers', os.O_RDONLY | os.O_NONBLOCK)
assert reads(f) == 'EAGAIN'
with open('numbers', 'ab') as out:
    out.write(b'eleven\ntwelve\n')
assert [reads(f, 4), reads(f), reads(f), reads(f)] == [b'elev', b'en\n', b'twelve\n', 'EAGAIN']
g = os.open('.consume/numbers', os.O_RDONLY)
os.set_blocking(g, False)
assert reads(g) == 'EAGAIN', 'set later, as for a pipe'
os.close(f)
os.close(g)
for flags in (os.O_WRONLY, os.O_RDONLY | os.O_TRUNC):
    try:
        os.open('.consume/numbers', flags)
        raise SystemExit('opened for writing')
    except PermissionError:
        pass
PY

# --- a reader that goes while it waits loses nothing ---
for signal in INT TERM KILL; do
    # -I: does not look for modules here, so that its first request to the mount comes after SIGINT, which a shell's job ignores, ends it.
    python3 -I -c "
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.read(os.open('.consume/numbers', os.O_RDONLY), 100)" 2>/dev/null &
    blocked $!
    kill -$signal $!
    wait $! 2>/dev/null
    status=$?
    expect "ended by SIG$signal" $((128 + $(kill -l $signal))) $status
    echo "after $signal" >>numbers
    expect "kept for the next" "after $signal" "$(head -n1 .consume/numbers)"
done
python3 - <<'PY' || fail "EINTR"
import os, signal
class Alarm(Exception): pass
def on_alarm(*_): raise Alarm
signal.signal(signal.SIGALRM, on_alarm)
f = os.open('.consume/numbers', os.O_RDONLY)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    os.read(f, 100)
    raise SystemExit('a read that nobody answers returned')
except Alarm:
    pass
with open('numbers', 'ab') as out:
    out.write(b'then\n')
assert os.read(f, 100) == b'then\n'
PY

# --- workers that compete, some killed while they wait: each entry goes to exactly one, none is lost ---
: >work
pids=()
for worker in 1 2 3 4 5 6; do
    (while read -r line; do echo "$line"; done <.consume/work) >"$WORK/worker.$worker" &
    pids+=($!)
done
seq 1 500 >>work
worked 500
for pid in "${pids[@]}"; do
    blocked "$pid"
done
kill -9 "${pids[@]:0:3}"
wait "${pids[@]:0:3}" 2>/dev/null
seq 501 1000 >>work
worked 1000
expect "nothing left" 0 "$(cat .drain/work | wc -l)"
kill "${pids[@]:3}"
wait "${pids[@]}" 2>/dev/null
expect "each once" "$(seq 1000 | md5sum)" "$(cat "$WORK"/worker.? | sort -n | md5sum)"

# --- a topic that is deleted: end of file, after what was in it; a group: an error ---
echo last >gone
cat .consume/gone >"$WORK/got" &
blocked $!
rm gone
wait $! || fail "cat of a deleted topic"
expect "what was in it" last "$(cat "$WORK/got")"
exec 5<.consume/work
echo unread >>work
rm work
read -r line <&5
expect "read after the deletion" unread "$line"
read -r line <&5 && fail "there is no more"
exec 5<&-
mkdir .consume/@team
LC_ALL=C cat .consume/@team/orders >"$WORK/got" 2>"$WORK/said" &
blocked $!
rmdir .consume/@team
wait $! && fail "cat for a deleted group"
expect "what it got" "one one one one" "$(xargs <"$WORK/got")"
grep -q "Stale file handle" "$WORK/said" || fail "cat for a deleted group said $(cat "$WORK/said")"

# --- thousands that wait are in nobody's way ---
limit=$(ulimit -n)
[ "$limit" = unlimited ] && limit=20000
count=$((limit - 100 < 10000 ? limit - 100 : 10000))
: >crowd0
: >crowd1
timeout 100 python3 - "$count" <<'PY' || fail "a crowd of readers"
import os, sys, threading, time
count = int(sys.argv[1])
threading.stack_size(1 << 16)
files = [os.open(f'.consume/crowd{i % 2}', os.O_RDONLY) for i in range(count)]
got = [None] * count
started = [False] * count
def read(i):
    started[i] = True
    got[i] = os.read(files[i], 100)
threads = [threading.Thread(target=read, args=(i,), daemon=True) for i in range(count)]
for thread in threads:
    thread.start()
while not all(started):
    time.sleep(0.05)
for i in range(20): # the mount answers as ever
    begun = time.monotonic()
    os.stat('orders')
    with open('aside', 'a') as out:
        out.write(f'{i}\n')
    with open('aside') as back:
        assert back.read().splitlines()[-1] == str(i)
    took = time.monotonic() - begun
    assert took < 10, f'held up: {took} s'
for topic in range(2):
    with open(f'crowd{topic}', 'ab') as out:
        out.write(b''.join(b'%d.%d\n' % (topic, i) for i in range(len(range(topic, count, 2)))))
for thread in threads:
    thread.join(90)
wanted = {b'%d.%d\n' % (topic, i) for topic in range(2) for i in range(len(range(topic, count, 2)))}
assert set(got) == wanted, (len(set(got)), len(wanted))
PY

# --- so does taking the mount out of the tree while it is in use: lazily, and by force ---
cat .consume/orders >/dev/null 2>&1 &
reader=$!
blocked $reader
cd /
fusermount3 -u -z "$MNT"
wait $reader && fail "a reader that waits when the mount goes"
wait "$DAEMON"
expect "exit code after a lazy unmount" 0 $?
DAEMON=
start
if [ "$(id -u)" -eq 0 ]; then
    cat "$MNT/.consume/orders" >/dev/null 2>&1 &
    reader=$!
    blocked $reader
    umount -f "$MNT" 2>/dev/null # "busy", but it cuts the connection
    wait $reader && fail "a reader that waits when the connection is cut"
    wait "$DAEMON"
    expect "exit code after a forced unmount" 0 $?
    DAEMON=
    fusermount3 -u -z -q "$MNT"
    start
fi
cd "$MNT" || exit 99

# --- the end of the session ends them ---
cat .consume/orders >/dev/null 2>&1 &
reader=$!
blocked $reader
cd /
kill -TERM "$DAEMON"
wait "$DAEMON"
expect "exit code after SIGTERM" 0 $?
DAEMON=
wait $reader && fail "a reader that waits at the end"
start
[ "$(cat "$MNT/.drain/numbers" | wc -l)" = 0 ] || fail "cursor after a remount"
finish
