#!/bin/bash
# .follow, .peek, and poll, select and epoll on what can wait.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all # it reads topics again
setup
start
cd "$MNT" || exit 99

# --- .peek: what comes next, and the cursor stays ---
seq 10 >numbers
expect "peek" "1 2 3" "$(head -n3 .peek/numbers | xargs)"
expect "take" 1 "$(head -n1 .drain/numbers)"
expect "peek on" "2 10" "$(head -n1 .peek/numbers) $(tail -n1 .peek/numbers)"
expect "peek all" 9 "$(wc -l <.peek/numbers)"
expect "unmoved" 2 "$(head -n1 .drain/numbers)"
mkdir .peek/@watch
expect "peek of a group" "1" "$(head -n1 .peek/@watch/numbers)"
expect "no cursor made by it" "1" "$(head -n1 .drain/@watch/numbers)"
refused "Operation not permitted" dd of=.peek/numbers if=/dev/null conv=notrunc status=none
refused "No such file" cat .peek/@wach/numbers
expect "none" "" "$(: >empty && cat .peek/empty)"

# --- .follow: from the end on, by several, consuming nothing ---
pids=()
for reader in 1 2 3; do
    timeout 30 head -n3 .follow/numbers >"$WORK/followed.$reader" &
    pids+=($!)
done
opened() { # each says it has the file open
    local i n
    for ((i = 0; i < 500; i++)); do
        n=0
        for pid in "${pids[@]}"; do
            [[ "$(readlink /proc/"$(pgrep -P "$pid" head)"/fd/* 2>/dev/null)" == *".follow/numbers"* ]] && n=$((n + 1))
        done
        [ "$n" = "${#pids[@]}" ] && return 0
        sleep 0.01
    done
    fail "the followers have not opened the file"
}
opened
echo eleven >>numbers
printf 'numbers\ttwelve\nnumbers\tthirteen\nCOMMIT\n' >.batch
wait "${pids[@]}"
for reader in 1 2 3; do
    expect "follower $reader" "eleven twelve thirteen" "$(xargs <"$WORK/followed.$reader")"
done
expect "nothing consumed" 3 "$(head -n1 .drain/numbers)"
: >gone
timeout 30 cat .follow/gone >"$WORK/got" &
pids=($!)
for ((i = 0; i < 500; i++)); do
    [[ "$(readlink /proc/"$(pgrep -P "$!" cat)"/fd/* 2>/dev/null)" == *".follow/gone"* ]] && break
    sleep 0.01
done
echo last >>gone
rm gone
wait "${pids[@]}" || fail "following a topic that is deleted"
expect "what was in it" last "$(cat "$WORK/got")"
timeout 0.2 cat .follow/numbers
expect "a signal ends it" 124 $?

# --- poll, select, epoll ---
timeout 60 python3 - <<'PY' || fail "polls"
import errno, os, select, subprocess, threading, time
RD = os.O_RDONLY
def append(topic, data):
    with open(topic, 'ab') as out:
        out.write(data)
def polled(f, ms, events=select.POLLIN):
    p = select.poll()
    p.register(f, events)
    return [e for _, e in p.poll(ms)]
def later(what):
    """Does it from another thread once this one is asleep in a poll."""
    def run():
        for _ in range(200):
            time.sleep(0.01)
            with open(f'/proc/self/task/{main}/wchan') as w:
                if 'poll' in w.read():
                    break
        what()
    thread = threading.Thread(target=run)
    thread.start()
    return thread
main = threading.get_native_id()
WAYS = (lambda t: append(t, b'more\n'),
        lambda t: subprocess.run(['tee', '-a', t], input=b'more\n', stdout=subprocess.DEVNULL, check=True),
        lambda t: open('.batch', 'wb').write(b'%s\tmore\nCOMMIT\n' % t.encode()))
for name in ('plain', '.follow/plain', '.consume/plain'):
    append('plain', b'first\n')
    f = os.open(name, RD)
    if name == 'plain':
        assert polled(f, 0) == [select.POLLIN]
        assert os.read(f, 1000).endswith(b'first\n')
        # Until it is found, the end is no reason to wait: socat and others then read it, and stop.
        assert polled(f, 0) == [select.POLLIN]
        assert os.read(f, 1000) == b''
    elif name == '.consume/plain':
        while polled(f, 0):
            assert os.read(f, 3) # in pieces
    for way in WAYS:
        assert polled(f, 0) == [], name
        thread = later(lambda: way('plain'))
        begun = time.monotonic()
        assert polled(f, 30000) == [select.POLLIN], name
        assert time.monotonic() - begun < 20
        thread.join()
        assert os.read(f, 1000) == b'more\n'
        if name == 'plain':
            assert os.read(f, 1000) == b''
    assert select.select([f], [], [], 0) == ([], [], [])
    with select.epoll() as e:
        e.register(f, select.EPOLLIN)
        assert e.poll(0) == []
        thread = later(lambda: append('plain', b'again\n'))
        assert e.poll(30) == [(f, select.EPOLLIN)]
        thread.join()
        assert os.read(f, 1000) == b'again\n'
        if name == 'plain':
            assert os.read(f, 1000) == b''
        assert e.poll(0) == []
    os.close(f)
# Two who wait for one entry: one gets it, and the other waits on.
for t in ('.consume/pair',):
    open('pair', 'wb').close()
    files = [os.open(t, RD | os.O_NONBLOCK) for _ in range(2)]
    thread = later(lambda: append('pair', b'one\n'))
    ready, _, _ = select.select(files, [], [], 30)
    thread.join()
    assert ready
    got = []
    for f in files:
        try:
            got.append(os.read(f, 100))
        except BlockingIOError:
            got.append(None)
    assert sorted(got, key=str) == sorted([b'one\n', None], key=str), got
    assert select.select(files, [], [], 0)[0] == []
# The deletion of a topic wakes, too: there is its end.
for t in ('.consume/doomed', '.follow/doomed', 'doomed'):
    open('doomed', 'wb').close()
    f = os.open(t, RD)
    if t == 'doomed':
        assert os.read(f, 1) == b''
    thread = later(lambda: os.unlink('doomed'))
    assert polled(f, 30000) == [select.POLLIN], t
    thread.join()
    assert os.read(f, 100) == b''
    os.close(f)
# Writing never waits, and what cannot wait is always ready.
f = os.open('plain', os.O_WRONLY | os.O_APPEND)
assert polled(f, 0, select.POLLOUT) == [select.POLLOUT]
for t in ('.drain/plain', '.peek/plain', '.batch'):
    assert polled(os.open(t, RD), 0) == [select.POLLIN], t
# O_NONBLOCK at the end of .follow.
f = os.open('.follow/plain', RD | os.O_NONBLOCK)
try:
    os.read(f, 100)
    raise SystemExit('a read at the end of .follow returned')
except BlockingIOError:
    pass
append('plain', b'so\n')
assert os.read(f, 100) == b'so\n'
# It is a file of its own: what was read since the open can be read again.
assert os.pread(f, 100, 1) == b'o\n'
PY
expect "socat ends at the end" "$(cat plain)" "$(timeout 10 socat -u OPEN:plain,rdonly STDOUT)"
cd /
finish
