#!/bin/bash
# Writers of one topic run side by side: where each append is synced, they share syncs. And for all others it is one file.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip "no C compiler, to count syncs"
setup
cat >"$WORK/count.c" <<'C'
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
static atomic_long syncs;
static void one_more(void)
{
    atomic_fetch_add(&syncs, 1);
    usleep(20000); /* a disk slow enough for others to come along */
}
int fdatasync(int fd)
{
    one_more();
    return (int)syscall(SYS_fdatasync, fd);
}
int fsync(int fd)
{
    one_more();
    return (int)syscall(SYS_fsync, fd);
}
__attribute__((destructor)) static void tell(void)
{
    FILE *out = fopen(getenv("SYNCS"), "w");
    fprintf(out, "%ld\n", atomic_load(&syncs));
    fclose(out);
}
C
cc -shared -fPIC -o "$WORK/count.so" "$WORK/count.c" || skip "the compiler does not make shared objects"
export SYNCS=$WORK/syncs
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0

# run WRITERS: that many write 20 lines each; the syncs that it took go to $TOOK.
run() {
    rm -rf "$DATA"
    LD_PRELOAD="$WORK/count.so" start -o sync=each,no_uring
    : >"$MNT/topic"
    python3 - "$MNT/topic" "$1" <<'PY' || fail "$1 writers"
import os, sys, threading
path, count = sys.argv[1], int(sys.argv[2])
barrier = threading.Barrier(count)
errors = []
def write(number):
    try:
        barrier.wait()
        f = os.open(path, os.O_WRONLY | os.O_APPEND)
        for i in range(20):
            os.write(f, b'%d %d\n' % (number, i))
        os.close(f)
    except OSError as e:
        errors.append(e)
threads = [threading.Thread(target=write, args=(n,)) for n in range(count)]
for t in threads:
    t.start()
for t in threads:
    t.join()
lines = {n: [] for n in range(count)}
for line in open(path):
    n, i = line.split()
    lines[int(n)].append(int(i))
assert not errors, errors
assert all(v == list(range(20)) for v in lines.values()), lines
PY
    stop
    TOOK=$(cat "$SYNCS")
}
run 1
alone=$TOOK
run 10
[ "$alone" -ge 20 ] || fail "only $alone syncs were counted for one writer"
# One after the other they would need 200.
[ "$TOOK" -le 100 ] || fail "10 writers of one topic took $TOOK syncs for 200 lines"
echo "syncs: one writer $alone, ten writers $TOOK"

rm -rf "$DATA"
start
cd "$MNT" || exit 99
python3 - <<'PY' || fail "not one file"
import os, subprocess
writers = [os.open('topic', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) for _ in range(50)]
inodes = {os.fstat(f).st_ino for f in writers} | {os.stat('topic').st_ino, os.stat('./topic').st_ino}
assert len(inodes) == 1, inodes
reader = os.open('topic', os.O_RDONLY)
total = b''
for n, f in enumerate(writers):
    line = b'writer %d\n' % n
    os.write(f, line)
    total += line
    assert os.fstat(reader).st_size == len(total)
    assert os.fstat(writers[0]).st_size == len(total)
    assert os.lseek(writers[(n + 7) % 50], 0, os.SEEK_END) == len(total)
assert os.read(reader, 10000) == total
# Partial lines belong to the open file.
for f in writers:
    os.write(f, b'half')
for n, f in enumerate(writers):
    os.write(f, b' and half of %d\n' % n)
lines = os.pread(reader, 10000, len(total)).splitlines()
assert lines == [b'half and half of %d' % n for n in range(50)], lines
# The same file for tools that compare device and inode.
assert subprocess.run(['cp', 'topic', './topic'], stderr=subprocess.PIPE).stderr.count(b'same file') == 1
assert os.path.samefile('topic', f'/proc/self/fd/{writers[3]}')
assert subprocess.run(['find', '.', '-samefile', 'topic'], stdout=subprocess.PIPE).stdout == b'./topic\n'
# Deleted while all have it open.
os.chmod('topic', 0o600)
assert all(os.fstat(f).st_mode & 0o777 == 0o600 for f in writers)
os.unlink('topic')
assert all(os.fstat(f).st_nlink == 0 for f in writers + [reader])
for f in writers:
    try:
        os.write(f, b'x\n')
        raise SystemExit('an append to a deleted topic worked')
    except OSError:
        pass
    os.close(f)
assert len(os.pread(reader, 100000, 0)) > len(total)
assert os.listdir('.') == []
PY

# Rotated logs: the name comes back as another file, and tail -F sees that.
echo first >>log
timeout 30 tail -n1 -F log >"$WORK/tail" 2>/dev/null &
tail=$!
sleep 1.2
exec 7>>log 8>>log
echo by 7 >&7
echo by 8 >&8
sleep 1.5
rm log
echo new >>log
for ((i = 0; i < 100; i++)); do
    grep -q new "$WORK/tail" && break
    sleep 0.1
done
kill $tail
wait $tail 2>/dev/null
exec 7>&- 8>&-
expect "tail -F over two writers and a new file" "first by 7 by 8 new" "$(xargs <"$WORK/tail")"

# A hundred thousand opens: in turn, and as many at a time as the limit on descriptors allows.
python3 - <<'PY' || fail "many opens"
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)) if resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 4096 else None
def flags(n):
    return os.O_WRONLY | os.O_APPEND | os.O_CREAT
for round in range(10):
    files = [os.open('many', flags(n), 0o644) for n in range(1000)]
    for f in files:
        os.close(f)
for n in range(10000):
    os.close(os.open('many', flags(n), 0o644))
PY
resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status")
echo "resident after it: $resident KiB"
cd /
finish
