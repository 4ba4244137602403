#!/bin/bash
# flock(2) and fcntl(2) locks hold between writers of one topic, which the kernel sees as several files.
. "$(dirname "$0")/lib.sh"
setup
start
cd "$MNT" || exit 99

# Read, add one, append: without the lock, numbers come twice.
count_up() {
    local i
    for ((i = 0; i < 20; i++)); do
        (
            flock 9
            last=$(tail -n1 counter)
            echo $((${last:-0} + 1)) >&9
        ) 9>>counter
    done
}
pids=()
for i in 1 2 3 4; do
    count_up &
    pids+=($!)
done
wait "${pids[@]}"
seq 80 | cmp -s - counter || fail "flock: $(wc -l <counter) numbers, last $(tail -n1 counter)"

python3 - <<'PY' || fail "locks"
import errno, fcntl, os, signal, struct, subprocess, sys, time
def opened():
    return os.open('locked', os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
a, b = opened(), opened()
assert os.fstat(a).st_ino == os.fstat(b).st_ino
# flock: between two open files of one process.
fcntl.flock(a, fcntl.LOCK_EX)
def refused(operation):
    try:
        operation()
    except OSError as e:
        assert e.errno in (errno.EAGAIN, errno.EACCES), e
        return True
    return False
assert refused(lambda: fcntl.flock(b, fcntl.LOCK_SH | fcntl.LOCK_NB))
fcntl.flock(a, fcntl.LOCK_SH)
fcntl.flock(b, fcntl.LOCK_SH | fcntl.LOCK_NB)
os.close(a)
fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
# POSIX: between processes, by range, F_GETLK, gone with any close.
a = opened()
fcntl.lockf(a, fcntl.LOCK_EX, 10, 5)
def child(code):
    return subprocess.run([sys.executable, '-c', 'import fcntl, os, sys\n'
        'f = os.open("locked", os.O_RDWR | os.O_APPEND)\n' + code]).returncode
try_lock = ('try:\n    fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, {}, {})\nexcept OSError:\n    sys.exit(7)\n')
assert child(try_lock.format(5, 0)) == 0
assert child(try_lock.format(6, 0)) == 7
assert child(try_lock.format(0, 15)) == 0
get = ('import struct\nr = struct.unpack("hhqqi", fcntl.fcntl(f, fcntl.F_GETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0)))\n'
       'sys.exit(0 if r[0] == fcntl.F_WRLCK and r[2:5] == (5, 10, %d) else 9)\n' % os.getpid())
assert child(get) == 0
os.close(opened())
assert child(try_lock.format(0, 0)) == 0, 'a close by the process did not end its locks'
# A read-only descriptor's too.
r = os.open('locked', os.O_RDONLY)
fcntl.lockf(r, fcntl.LOCK_SH)
assert child(try_lock.format(0, 0)) == 7
os.close(r)
assert child(try_lock.format(0, 0)) == 0
# OFD locks go with the last close of the open file.
F_OFD_SETLK = 37
whole = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)
c = opened()
fcntl.fcntl(c, F_OFD_SETLK, whole)
assert refused(lambda: fcntl.fcntl(a, F_OFD_SETLK, whole))
os.close(c)
for _ in range(100):  # RELEASE comes a moment after close
    if not refused(lambda: fcntl.fcntl(a, F_OFD_SETLK, whole)):
        break
    time.sleep(0.05)
else:
    raise SystemExit('an OFD lock outlived its open file')
os.close(a)
# Who waits can be interrupted and killed, and holds up nobody.
fcntl.flock(b, fcntl.LOCK_EX)
waiters = [subprocess.Popen(['flock', 'locked', 'true'], stderr=subprocess.DEVNULL) for _ in range(40)]
def is_waiting(process):
    try:
        with open(f'/proc/{process.pid}/wchan') as f:
            return 'fuse' in f.read() or 'request_wait' in f.read()
    except OSError:
        return False
for _ in range(100):
    if all(is_waiting(w) for w in waiters):
        break
    time.sleep(0.05)
for w in waiters:
    assert w.poll() is None
os.stat('locked')
open('other', 'ab').close()
for n, w in enumerate(waiters[:20]):
    w.send_signal(signal.SIGKILL if n % 2 else signal.SIGINT)
deadline = time.monotonic() + 20
for w in waiters[:20]:
    w.wait(deadline - time.monotonic())
for w in waiters[20:]:
    assert w.poll() is None
os.close(b)
for w in waiters[20:]:
    assert w.wait(20) == 0
PY

# Those who wait when the daemon ends are let go.
exec 8>>locked
flock 8
flock locked true &
waiter=$!
sleep 0.5
cd /
kill -TERM $DAEMON
wait $DAEMON
expect "exit code with a lock that is waited for" 0 $?
DAEMON=
exec 8>&-
wait $waiter && fail "the lock was had after the end"
finish
