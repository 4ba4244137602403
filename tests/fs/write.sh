#!/bin/bash
# Appending by shell tools and others: each line arrives once, whole, in its writer's order, byte for byte.
. "$(dirname "$0")/lib.sh"
setup
find_logs
start
cd "$MNT" || exit 99

# --- the whole log, and the same split over four concurrent writers ---
writer_cat() { cat "$1" >>"$2"; }
writer_tee() { tee -a "$2" <"$1" >/dev/null; }
writer_loop() {
    local line
    while IFS= read -r line || [ -n "$line" ]; do
        printf '%s\n' "$line" >>"$2"
    done <"$1"
}
writer_python() {
    python3 - "$1" "$2" <<'PY'
import logging, sys
handler = logging.FileHandler(sys.argv[2], mode='a', encoding='latin-1')
handler.setFormatter(logging.Formatter('%(message)s'))
log = logging.getLogger('t')
log.setLevel(logging.INFO)
log.addHandler(handler)
with open(sys.argv[1], encoding='latin-1', newline='\n') as f:
    for line in f:
        log.info('%s', line.rstrip('\n'))
PY
}
WRITERS=(cat tee loop python)

number=0
for log in "${LOGS[@]}"; do
    number=$((number + 1))
    cat "$log" >>"whole$number"
    with_last_newline "$log" >"$WORK/wanted"
    same "cat of $log" "$WORK/wanted" "whole$number"
    expect "st_size of $log" "$(stat -c %s "$WORK/wanted")" "$(stat -c %s "whole$number")"
    expect "wc -c and cat | wc -c" "$(wc -c <"whole$number")" "$(cat "whole$number" | wc -c)"

    # Tagged with its writer, and numbered, every line is distinct and its order can be seen. The last part, which may
    # lack its newline, goes to another writer for every log.
    lines=$(with_last_newline "$log" | wc -l)
    rm -f "$WORK"/part.*
    split -l $(((lines + 3) / 4)) "$log" "$WORK/part."
    parts=("$WORK"/part.*)
    expect "parts of $log" 4 "${#parts[@]}"
    pids=()
    for i in 0 1 2 3; do
        writer=${WRITERS[$(((i + number) % 4))]}
        sed "s/^/$writer:/" "${parts[$i]}" >"$WORK/in.$writer"
        "writer_$writer" "$WORK/in.$writer" "split$number" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a writer of $log"
    done
    for writer in "${WRITERS[@]}"; do
        with_last_newline "$WORK/in.$writer" >"$WORK/wanted"
        grep -a "^$writer:" "split$number" >"$WORK/got"
        same "$log by $writer" "$WORK/wanted" "$WORK/got"
    done
    expect "lines of $log" "$lines" "$(wc -l <"split$number")"
    expect "st_size of split $log" "$(cat "split$number" | wc -c)" "$(stat -c %s "split$number")"
done

# --- lines longer than the writers' buffers, and than the largest request ---
for i in 1 2 3; do
    for size in 300000 5000 700001; do
        head -c $size /dev/zero | tr '\0' "$i"
        echo
    done >"$WORK/long.$i"
done
pids=()
for i in 1 2 3; do
    cat "$WORK/long.$i" >>long &
    pids+=($!)
done
wait "${pids[@]}"
for i in 1 2 3; do
    grep "^$i" long >"$WORK/got"
    same "long lines of writer $i" "$WORK/long.$i" "$WORK/got"
done
seq 200000 >>numbers
seq 200000 | cmp -s - numbers || fail "seq, which splits lines at 4 KiB"

# --- what ends a partial line: see SPEC 3.2 ---
python3 - "$MNT" <<'PY' || fail "partial lines"
import os, subprocess, sys
os.chdir(sys.argv[1])
bad = 0
def expect(name, wanted, got):
    global bad
    if wanted != got:
        bad = 1
        print(f'{name}: wanted {wanted!r}, got {got!r}', file=sys.stderr)
def content():
    with open('partial', 'rb') as f:
        return f.read()
def size():
    return os.stat('partial').st_size
f = os.open('partial', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
os.write(f, b'one')
expect('held', b'', content())
os.write(f, b' line\ntwo')
expect('first line', b'one line\n', content())
expect('st_size', 9, size())
subprocess.run(['true'], pass_fds=[f])
expect('a child that closes', b'one line\n', content())
os.write(f, b' lines\n\n\n')
expect('empty lines', b'one line\ntwo lines\n\n\n', content())
os.write(f, b'synced')
os.fsync(f)
expect('fsync', b'one line\ntwo lines\n\n\nsynced\n', content())
os.write(f, b'closed')
os.close(os.dup(f))
expect('close by the writer', b'one line\ntwo lines\n\n\nsynced\nclosed\n', content())
g = os.open('partial', os.O_WRONLY | os.O_APPEND)
os.write(f, b'from f ')
os.write(g, b'from g\n')
os.write(f, b'on\n')
expect('two open files', b'from g\nfrom f on\n', content()[-17:])
pid = os.fork()
if pid == 0:
    os.write(g, b'of a child')
    os._exit(0)
os.waitpid(pid, 0)
expect('end of the writer', b'of a child\n', content()[-11:])
os.close(g)
os.close(f)
expect('nothing more at close', size(), len(content()))

f = os.open('million', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
expect('a MiB of empty lines', 1 << 20, os.write(f, b'\n' * (1 << 20)))
expect('its size', 1 << 20, os.stat('million').st_size)
f = os.open('sync', os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC, 0o644)
expect('O_SYNC', 4, os.write(f, b'a\nb\n'))
f = os.open('sync', os.O_WRONLY | os.O_APPEND | os.O_DSYNC)
expect('O_DSYNC', 2, os.write(f, b'c\n'))
f = os.open('sync', os.O_WRONLY | os.O_APPEND)
expect('RWF_DSYNC', 2, os.pwritev(f, [b'd\n'], 0, os.RWF_DSYNC))
os.fdatasync(f)
expect('synced', b'a\nb\nc\nd\n', open('sync', 'rb').read())
f = os.open('sync', os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
expect('O_NONBLOCK writer', 2, os.write(f, b'e\n'))
sys.exit(bad)
PY

# --- everything is still there after a clean remount ---
find . -type f -exec sha256sum {} + | sort -k2 >"$WORK/before"
cd / && stop
start
cd "$MNT" && find . -type f -exec sha256sum {} + | sort -k2 >"$WORK/after"
cd /
same "remount" "$WORK/before" "$WORK/after"
expect "files" 11 "$(wc -l <"$WORK/after")"
finish
