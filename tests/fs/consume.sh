#!/bin/bash
# Taking entries: each goes to exactly one reader, none is taken that was not asked for.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all # it reads again what was consumed
setup
find_logs
start
cd "$MNT" || exit 99

number=0
for log in "${LOGS[@]}"; do
    number=$((number + 1))
    with_last_newline "$log" >"$WORK/wanted"

    cat "$log" >>"drain$number"
    cat ".drain/drain$number" >"$WORK/got"
    same "cat .drain of $log" "$WORK/wanted" "$WORK/got"
    expect "drained" 0 "$(cat ".drain/drain$number" | wc -c)"

    cat "$log" >>"dd$number"
    dd if="dd$number" iflag=nonblock bs=64k status=none >"$WORK/got"
    same "dd iflag=nonblock of $log" "$WORK/wanted" "$WORK/got"
    expect "consumed" 0 "$(dd if="dd$number" iflag=nonblock bs=1M status=none | wc -c)"

    cat "$log" >>"workers$number"
    pids=()
    for worker in 1 2 3; do
        while IFS= read -r line; do
            printf '%s\n' "$line"
        done <".drain/workers$number" >"$WORK/worker.$worker" &
        pids+=($!)
    done
    wait "${pids[@]}"
    sort "$WORK/wanted" >"$WORK/wanted.sorted"
    sort "$WORK"/worker.? >"$WORK/got"
    same "three workers on $log" "$WORK/wanted.sorted" "$WORK/got"
    # Replay is untouched by all that.
    same "history of $log" "$WORK/wanted" "workers$number"
done

# --- one read, one entry ---
seq 30 >one
expect "head -n1" 1 "$(head -n1 .drain/one)"
expect "head -n1 again" 2 "$(head -n1 .drain/one)"
read -r line <.drain/one
expect "read -r" 3 "$line"
expect "head -n3" "4 5 6" "$(head -n3 .drain/one | tr '\n' ' ' | sed 's/ $//')"
exec 5<.drain/one
read -r a <&5
read -r b <&5
exec 5<&-
expect "read twice from one open file" "7 8" "$a $b"
expect "sed 2q" "9 10" "$(sed 2q .drain/one | tr '\n' ' ' | sed 's/ $//')"
expect "xargs -n1 -P3" "$(seq 11 30)" "$(xargs -n1 -P3 echo <.drain/one | sort -n)"
expect "empty" "" "$(head -n1 .drain/one)"
echo later >>one
expect "what came later" later "$(cat .drain/one)"

mkdir space
echo inside >space/topic
expect "in a namespace" inside "$(cat .drain/space/topic)"
expect "listing" topic "$(ls .drain/space)"
cat .drain/nosuch 2>/dev/null && fail ".drain of an unknown topic"
[ -e nosuch ] && fail "a topic made by reading"

# --- small buffers, seeking, guards ---
python3 - "$MNT" <<'PY' || fail "reads"
import fcntl, os, sys, time
os.chdir(sys.argv[1])
bad = 0
def expect(name, wanted, got):
    global bad
    if wanted != got:
        bad = 1
        print(f'{name}: wanted {wanted!r}, got {got!r}', file=sys.stderr)
def fill(name):
    with open(name, 'ab') as f:
        f.write(b'0123456789\nab\ncd\n\n')
NB = os.O_RDONLY | os.O_NONBLOCK
fill('nb')
f = os.open('nb', NB)
expect('pieces and whole entries', [b'0123', b'4567', b'89\n', b'ab\n', b'cd\n\n', b'', b''],
       [os.read(f, 4) for _ in range(7)])
fill('claim')
f = os.open('claim', NB)
expect('first piece', b'0123', os.read(f, 4))
g = os.open('claim', NB)
expect('nothing for another meanwhile', b'', os.read(g, 100))
os.close(f)
# The kernel tells of the last close in its own time, after close(2) has returned.
for _ in range(200):
    given_back = os.read(g, 100)
    if given_back:
        break
    time.sleep(0.01)
expect('not consumed by half', b'0123456789\nab\ncd\n\n', given_back)
expect('end', b'', os.read(g, 100))
os.close(g)
fill('dr')
f = os.open('.drain/dr', os.O_RDONLY)
expect('pieces', [b'0123', b'4567', b'89\n', b'ab\n'], [os.read(f, 4) for _ in range(4)])
expect('the last entry again', b'b\n', os.pread(f, 9, 12))
try:
    os.pread(f, 9, 3)
    expect('an earlier entry', 'an error', 'none')
except OSError as e:
    expect('an earlier entry', 'EINVAL', __import__('errno').errorcode[e.errno])
expect('next', b'cd\n', os.pread(f, 9, 14))
expect('empty entry', b'\n', os.pread(f, 9, 17))
expect('end', b'', os.pread(f, 9, 18))
expect('again after the end', b'\n', os.pread(f, 9, 17))
expect('size', 0, os.fstat(f).st_size)
for path, flags in (('.drain/dr', os.O_WRONLY), ('.drain/dr', os.O_RDWR | os.O_APPEND), ('.drain/no', os.O_CREAT)):
    try:
        os.open(path, flags)
        expect(path, 'an error', 'none')
    except OSError:
        pass
fill('guard')
whole = b'0123456789\nab\ncd\n\n'
f = os.open('guard', os.O_RDONLY)
fcntl.fcntl(f, fcntl.F_SETFL, os.O_NONBLOCK)
expect('O_NONBLOCK set later', whole, os.read(f, 100))
f = os.open('guard', NB | os.O_NOFOLLOW)
expect('O_NOFOLLOW', whole, os.read(f, 100))
f = os.open('guard', os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
expect('read-write', whole, os.read(f, 100))
f = os.open('guard', NB)
expect('nothing of it consumed', whole, os.read(f, 100))
expect('now it is', b'', os.read(os.open('guard', NB), 100))
sys.exit(bad)
PY

# --- the cursor survives a remount; -o nonblock= ---
seq 10 >kept
head -n4 .drain/kept >/dev/null
cd / && stop
start -o nonblock=peek
cd "$MNT" || exit 99
expect "peek" "5 6 7 8 9 10" "$(dd if=kept iflag=nonblock status=none | xargs)"
expect "peek again" "5 6 7 8 9 10" "$(dd if=kept iflag=nonblock bs=2 status=none | xargs)"
cd / && stop
start -o nonblock=off
cd "$MNT" || exit 99
expect "off" "1 2 3 4 5 6 7 8 9 10" "$(dd if=kept iflag=nonblock status=none | xargs)"
expect "unmoved" "5 6 7 8 9 10" "$(cat .drain/kept | xargs)"
cd /
finish
