#!/bin/bash
# How requests come: FUSE-over-io_uring or the device; whatever fails on the way, the mount answers or is not there.
. "$(dirname "$0")/lib.sh"
command -v cc >/dev/null || skip "no C compiler, to make things fail"
setup
[ "$(id -u)" -eq 0 ] || skip "not root, who may switch FUSE-over-io_uring on"
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0

# How the mount that was started last is served.
through() {
    grep "^walrusfs: serving" "$WORK/stderr" | tail -n1 | sed 's/.* through //'
}

# The mount answers, to many at a time.
works() {
    local i pids=()
    for i in 1 2 3 4 5 6 7 8; do
        timeout 20 bash -c "for n in 1 2 3 4 5; do echo $1 >>'$MNT/works' || exit 1; done; ls '$MNT' >/dev/null" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || fail "$1: the mount does not answer"
    done
    expect "$1: lines" 40 "$(timeout 20 grep -c "^$1\$" "$MNT/works")"
}

# --- without it ---
start -o transport=plain
expect "asked for" "/dev/fuse (as the option transport says)" "$(through)"
works plain
stop
if [ -w "$URING_SWITCH" ]; then
    with_switch N start_here
    [[ $(through) == "/dev/fuse (switched off"* ]] || fail "switched off: $(through)"
    works off
    stop
    with_switch N timeout 20 "$WALRUSFS" "$DATA" "$MNT" -o transport=uring 2>"$WORK/message"
    expect "demanded, and switched off" 69 $?
    grep -q "transport=uring: switched off" "$WORK/message" || fail "message: $(cat "$WORK/message")"
    mountpoint -q "$MNT" && fail "mounted all the same"
fi
timeout 20 "$WALRUSFS" "$DATA" "$MNT" -o transport=pigeon 2>/dev/null
expect "no such transport" 64 $?

# --- with it ---
with_uring start_here
[[ $(through) == "io_uring, "* ]] || fail "switched on: $(through)"
works uring
resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON/status")
echo "resident: $resident KiB"
# Large requests side by side; what they touched is given back.
for i in 1 2 3 4 5 6 7 8; do
    dd if=/dev/zero of="$MNT/large$i" bs=1M count=20 conv=notrunc oflag=append status=none &
done
wait_for_jobs=$(jobs -p | grep -v "^$DAEMON$")
# shellcheck disable=SC2086
wait $wait_for_jobs
stop

# Those who wait use nothing up: more of them than entries were registered.
with_uring start_here
: >"$MNT/lock"
exec 8>>"$MNT/lock"
flock 8
pids=()
for ((i = 0; i < 300; i++)); do
    flock "$MNT/lock" true 8>&- &
    pids+=($!)
done
sleep 1
works waiting
exec 8>&-
for pid in "${pids[@]}"; do
    wait "$pid" || fail "a waiter of many"
done
stop

# --- ends under load: nobody hangs ---
for how in TERM KILL unmount abort; do
    with_uring start_here -o sync=every:10ms
    : >"$MNT/t"
    pids=()
    for ((i = 0; i < 12; i++)); do
        case $((i % 4)) in
        0) bash -c "while echo x >>'$MNT/t'; do :; done" 2>/dev/null & ;;
        1) dd if=/dev/zero of="$MNT/t" bs=300k oflag=append conv=notrunc status=none 2>/dev/null & ;;
        2) bash -c "while cat '$MNT/t'; do :; done" >/dev/null 2>&1 & ;;
        3) bash -c "while dd if=/dev/zero of='$MNT/t' bs=100 count=20 oflag=append,dsync conv=notrunc; do :; done" 2>/dev/null & ;;
        esac
        pids+=($!)
    done
    sleep 1
    case $how in
    TERM) kill -TERM $DAEMON ;;
    KILL) kill -KILL $DAEMON ;;
    unmount) fusermount3 -u -z "$MNT" && kill -TERM $DAEMON ;;
    abort) { echo 1 >"/sys/fs/fuse/connections/$(stat -c %d "$MNT")/abort"; } 2>/dev/null || kill -TERM $DAEMON ;;
    esac
    for ((i = 0; i < 300; i++)); do
        kill -0 $DAEMON 2>/dev/null || break
        sleep 0.1
    done
    kill -0 $DAEMON 2>/dev/null && fail "$how: the daemon goes on"
    wait $DAEMON
    status=$?
    [ $how = KILL ] || expect "$how: exit code" 0 $status
    DAEMON=
    fusermount3 -u -z -q "$MNT" 2>/dev/null
    for ((i = 0; i < 100; i++)); do
        kill -0 "${pids[@]}" 2>/dev/null || break
        sleep 0.1
    done
    # Those that can only be ended by a signal have an unmounted directory to write into, and no mount.
    kill -KILL "${pids[@]}" 2>/dev/null
    for ((i = 0; i < 100; i++)); do
        kill -0 "${pids[@]}" 2>/dev/null || break
        sleep 0.1
    done
    for pid in "${pids[@]}"; do
        kill -0 "$pid" 2>/dev/null && fail "$how: a client hangs"
    done
    wait "${pids[@]}" 2>/dev/null
    rm -rf "$DATA" "$MNT"
    mkdir "$MNT"
done

# --- failures on the way ---
cat >"$WORK/broken.c" <<'C'
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int is(const char *how)
{
    const char *wanted = getenv("BREAK");
    return wanted != NULL && strcmp(wanted, how) == 0;
}
static atomic_int rings;
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
    int (*real)(unsigned, struct io_uring *, struct io_uring_params *) = dlsym(RTLD_NEXT, "io_uring_queue_init_params");
    if ((p->flags & IORING_SETUP_SQE128) != 0) {
        int number = atomic_fetch_add(&rings, 1);
        if (is("setup") || (is("setup-second") && number == 1)) {
            return -EPERM;
        }
    }
    return real(entries, ring, p);
}
int io_uring_submit(struct io_uring *ring)
{
    int (*real)(struct io_uring *) = dlsym(RTLD_NEXT, "io_uring_submit");
    static atomic_int registers;
    struct io_uring_sqe *sqe = ring->sq.sqes;
    int is_register = (ring->flags & IORING_SETUP_SQE128) != 0 && ring->sq.sqe_tail - ring->sq.sqe_head > 0;
    if (is_register) {
        sqe = &ring->sq.sqes[(ring->sq.sqe_head & *ring->sq.kring_mask) << 1];
        is_register = sqe->opcode == IORING_OP_URING_CMD && sqe->cmd_op == 1;
    }
    if (!is_register && (ring->flags & IORING_SETUP_SQE128) != 0 && is("enter")) {
        return -EPERM;
    }
    /* The one that tells the kernel to give up has a small ring. */
    if (is_register && *ring->sq.kring_entries > 8) {
        int number = atomic_fetch_add(&registers, 1);
        if (is("refused") || (is("refused-second") && number == 1)) {
            ((unsigned short *)sqe->cmd)[8] = 0xffff;
        } else if (is("lost") || (is("lost-second") && number == 1)) {
            return -EIO;
        } else if (is("late") && number == 1) {
            sleep(8);
        }
    }
    return real(ring);
}
C
if cc -shared -fPIC -O1 -o "$WORK/broken.so" "$WORK/broken.c" 2>"$WORK/cc"; then
    for how in setup setup-second enter refused refused-second lost lost-second; do
        export BREAK=$how
        LD_PRELOAD="$WORK/broken.so" with_uring start_here
        case $(through) in
        "io_uring,"*) [ "$(nproc)" -lt 2 ] && [[ $how == *second ]] || fail "$how: nothing was broken" ;;
        "/dev/fuse ("*) ;;
        *) fail "$how: $(through)" ;;
        esac
        echo "$how: $(through)"
        works "$how"
        rm -f "$MNT/works"
        stop
        LD_PRELOAD="$WORK/broken.so" with_uring timeout 30 "$WALRUSFS" "$DATA" "$MNT" -o transport=uring 2>"$WORK/message"
        status=$?
        [ $status -ne 0 ] && [ $status -ne 124 ] || [[ $how == *second ]] || fail "$how: demanded, exit code $status"
        fusermount3 -u -q "$MNT" 2>/dev/null
        mountpoint -q "$MNT" && fail "$how: a mount was left"
    done
    if [ "$(nproc)" -ge 2 ]; then
        # There is no safe way on: the mount goes, and says so.
        export BREAK=late
        LD_PRELOAD="$WORK/broken.so" with_uring timeout 60 "$WALRUSFS" "$DATA" "$MNT" 2>"$WORK/message"
        status=$?
        [ $status -ne 0 ] && [ $status -ne 124 ] || fail "late: exit code $status"
        grep -q "registered" "$WORK/message" || fail "late: $(cat "$WORK/message")"
        mountpoint -q "$MNT" && fail "late: a mount was left"
    fi
    unset BREAK
else
    echo "note: cannot build against liburing: $(head -n1 "$WORK/cc")" >&2
fi

# Forbidden by seccomp, in the two ways that are met.
cat >"$WORK/forbid.c" <<'C'
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    unsigned number = atoi(argv[1]), error = atoi(argv[2]);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (argc < 4 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        return 99;
    }
    execv(argv[3], argv + 3);
    return 99;
}
C
cc -o "$WORK/forbid" "$WORK/forbid.c" || fail "cannot build the launcher"
real=$(command -v "$WALRUSFS")
for call in "425 1" "425 38" "426 1"; do
    printf '#!/bin/sh\nexec %s %s "%s" "$@"\n' "$WORK/forbid" "$call" "$real" >"$WORK/forbidden"
    chmod +x "$WORK/forbidden"
    WALRUSFS=$WORK/forbidden
    with_uring start_here
    [[ $(through) == "/dev/fuse (io_uring: "* ]] || fail "forbidden ($call): $(through)"
    works forbidden
    rm -f "$MNT/works"
    stop
done
WALRUSFS=$real
finish
