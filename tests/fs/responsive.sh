#!/bin/bash
# A slow disk holds up who asked for it, and nobody else: with every sync taking seconds, stat, ls and replay answer at once.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip "no C compiler, to make the disk slow"
setup
cat >"$WORK/slow.c" <<'C'
#include <dlfcn.h>
#include <unistd.h>
#include <sys/syscall.h>
static void wait_for_the_disk(void)
{
    usleep(access(getenv("SLOW_DISK"), F_OK) == 0 ? 1500000 : 0);
}
int fdatasync(int fd)
{
    wait_for_the_disk();
    return (int)syscall(SYS_fdatasync, fd);
}
int fsync(int fd)
{
    wait_for_the_disk();
    return (int)syscall(SYS_fsync, fd);
}
C
sed -i '1i #include <stdlib.h>' "$WORK/slow.c"
cc -shared -fPIC -O1 -o "$WORK/slow.so" "$WORK/slow.c" || skip "cannot build a library"
export SLOW_DISK=$WORK/slow
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0

for policy in each every:100ms; do
    LD_PRELOAD="$WORK/slow.so" start -o sync=$policy,no_uring
    cd "$MNT" || exit 99
    seq 1000 >"replay.$policy"
    echo x >"busy.$policy"
    mkdir "quiet.$policy"
    echo x >"quiet.$policy/topic"
    for ((i = 0; i < 50; i++)); do
        : >"quiet.$policy/synced$i"
    done
    : >"$SLOW_DISK"
    pids=()
    begun=$(date +%s%N)
    echo slow >>"busy.$policy" &
    pids+=($!)
    { printf 'batch\tslow\nCOMMIT\n' >.batch; } &
    pids+=($!)
    # More than there are threads to wait in.
    python3 -c "
import os, sys, threading
def synced(number):
    f = os.open(f'quiet.{sys.argv[1]}/synced{number}', os.O_WRONLY | os.O_APPEND)
    os.write(f, b'line\n')
    os.fsync(f)
threads = [threading.Thread(target=synced, args=(i,)) for i in range(50)]
for t in threads:
    t.start()
for t in threads:
    t.join()" "$policy" &
    pids+=($!)
    head -n1 ".drain/replay.$policy" >/dev/null &
    pids+=($!)
    sleep 0.3
    # In a process that runs already: only the mount's own time counts.
    python3 - "$policy" <<'PY' || fail "held up with sync=$policy"
import os, sys, time
policy = sys.argv[1]
worst = ('nothing', 0)
def timed(name, operation):
    global worst
    start = time.monotonic()
    operation()
    took = time.monotonic() - start
    if took > worst[1]:
        worst = (name, took)
for _ in range(20):
    timed('stat', lambda: os.stat(f'replay.{policy}'))
    timed('stat of the busy topic', lambda: os.stat(f'busy.{policy}'))
    timed('listing', lambda: os.listdir(f'quiet.{policy}'))
    timed('replay', lambda: open(f'replay.{policy}', 'rb').read())
    timed('replay of the busy topic', lambda: open(f'busy.{policy}', 'rb').read())
    timed('statfs', lambda: os.statvfs('.'))
    timed('open .batch', lambda: open('.batch', 'wb').close())
    time.sleep(0.03)
if worst[1] > 0.5:
    sys.exit(f'{worst[0]} took {worst[1]:.2f} s')
PY
    wait "${pids[@]}"
    took=$((($(date +%s%N) - begun) / 1000000))
    [ "$took" -ge 1200 ] || fail "the disk was not slow: ${took} ms"
    rm -f "$SLOW_DISK"
    cd / && stop
done
finish
