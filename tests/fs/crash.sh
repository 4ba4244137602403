#!/bin/bash
# kill -9 of the daemon under load, at random moments; remount; what was promised holds. Prints its seed; SEED=n repeats it,
# ROUNDS=n makes it longer.
. "$(dirname "$0")/lib.sh"
setup
SEED=${SEED:-$RANDOM}
ROUNDS=${ROUNDS:-2}
RANDOM=$SEED
echo "SEED=$SEED ROUNDS=$ROUNDS"

# A moment within the next second.
wait_a_little() {
    sleep "$(printf '0.%03d' $((RANDOM % 900 + 50)))"
}

# Every second crash leaves the dead mount for walrusfs itself to take away.
clear_dead_mount() {
    [ $((RANDOM % 2)) -eq 0 ] && fusermount3 -u "$MNT"
    return 0
}

# Appends numbered lines until the mount dies, the number of lines per write and the place of its end varying; remembers how
# many lines were acknowledged.
cat >"$WORK/writer.py" <<'PY'
import os, random, sys
path, acknowledged, seed, synced = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == 'synced'
random.seed(seed)
name = os.path.basename(acknowledged)
lines = 0
try:
    f = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | (os.O_SYNC if synced else 0), 0o644)
    while True:
        count = random.choice((1, 1, 2, 10, 300))
        data = b''.join(b'%s %d %s\n' % (name.encode(), lines + i, b'x' * random.randrange(120))
                        for i in range(count))
        cut = random.choice((len(data), len(data), random.randrange(len(data)) + 1))
        n = os.write(f, data[:cut])
        if n != cut:
            print('short write', n, cut, file=sys.stderr)
            break
        lines += data[:cut].count(b'\n')
        if not data[:cut].endswith(b'\n'):
            # The second write completes the line that the first one cut.
            os.write(f, data[cut:data.index(b'\n', cut) + 1])
            lines += 1
        with open(acknowledged, 'w') as out:
            out.write(str(lines))
except OSError:
    pass
PY

# verify FILE WRITER...: each writer's lines are 0, 1, 2, ... without a gap, whole, and at least those acknowledged.
cat >"$WORK/verify.py" <<'PY'
import os, sys
path, directory, writers = sys.argv[1], sys.argv[2], sys.argv[3:]
next_line = {w: 0 for w in writers}
with open(path, 'rb') as f:
    data = f.read()
bad = []
if data and not data.endswith(b'\n'):
    bad.append('no newline at the end')
if len(data) != os.stat(path).st_size:
    bad.append(f'st_size {os.stat(path).st_size}, read {len(data)}')
for line in data.split(b'\n')[:-1]:
    words = line.split(b' ')
    writer = words[0].decode('latin-1')
    if len(words) != 3 or writer not in next_line or words[2].strip(b'x'):
        bad.append(f'a torn line: {line[:60]!r}')
        break
    if int(words[1]) != next_line[writer]:
        bad.append(f'{writer}: line {words[1].decode()} where {next_line[writer]} was due')
        break
    next_line[writer] += 1
for writer in writers:
    try:
        acknowledged = int(open(os.path.join(directory, writer)).read() or 0)
    except FileNotFoundError:
        acknowledged = 0
    if next_line[writer] < acknowledged:
        bad.append(f'{writer}: {acknowledged} lines acknowledged, {next_line[writer]} there')
print(f'{sum(next_line.values())} lines', file=sys.stderr) if os.environ.get('VERBOSE') else None
if bad:
    print('\n'.join(bad), file=sys.stderr)
    sys.exit(1)
PY

# --- appends: whatever was acknowledged survives SIGKILL with every policy, and no line is torn ---
for policy in each every:20ms none; do
    for ((round = 1; round <= ROUNDS; round++)); do
        rm -rf "$DATA" "$WORK/acknowledged"
        mkdir "$WORK/acknowledged"
        start -o sync="$policy"
        pids=()
        for writer in a b; do
            python3 "$WORK/writer.py" "$MNT/shared" "$WORK/acknowledged/$writer" $RANDOM plain &
            pids+=($!)
        done
        python3 "$WORK/writer.py" "$MNT/synced" "$WORK/acknowledged/s" $RANDOM synced &
        pids+=($!)
        wait_a_little
        crash
        wait "${pids[@]}"
        clear_dead_mount
        start -o sync="$policy"
        [ -e "$MNT/shared" ] || : >>"$MNT/shared"
        [ -e "$MNT/synced" ] || : >>"$MNT/synced"
        python3 "$WORK/verify.py" "$MNT/shared" "$WORK/acknowledged" a b || fail "sync=$policy, round $round"
        python3 "$WORK/verify.py" "$MNT/synced" "$WORK/acknowledged" s || fail "sync=$policy, O_SYNC, round $round"
        echo after >>"$MNT/shared" || fail "no append after recovery"
        expect "after recovery" after "$(tail -n1 "$MNT/shared")"
        stop
    done
done

# --- batches: all or none ---
rm -rf "$DATA"
start
for ((round = 1; round <= ROUNDS; round++)); do
    : >"$WORK/committed"
    (
        i=0
        while { seq 500 | sed "s/^/batch\t$round.$i./"; echo COMMIT; } >"$MNT/.batch"; do
            echo $i >"$WORK/committed"
            i=$((i + 1))
        done
    ) 2>/dev/null &
    writer=$!
    wait_a_little
    crash
    wait $writer
    clear_dead_mount
    start
    [ -e "$MNT/batch" ] || : >"$MNT/batch"
    sed 's/\.[0-9]*$//' "$MNT/batch" | uniq -c >"$WORK/batches"
    expect "batches that are not whole" 0 "$(grep -vc '^ *500 ' "$WORK/batches")"
    last=$(cat "$WORK/committed")
    expect "batches of this round" yes "$([ "$(grep -c " $round\." "$WORK/batches")" -ge $((${last:--1} + 1)) ] && echo yes)"
done
stop

# --- cursors: strict hands nothing out twice; at-least-once:n loses nothing and repeats at most n ---
for consistency in strict at-least-once:10; do
    for ((round = 1; round <= ROUNDS; round++)); do
        rm -rf "$DATA"
        start -o consistency="$consistency"
        seq 20000 >"$MNT/queue"
        sync -f "$MNT" 2>/dev/null
        : >"$WORK/first"
        python3 -c "
import os, sys
out = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o600)
try:
    f = os.open(sys.argv[1], os.O_RDONLY)
    while True:
        data = os.read(f, 4096)
        if not data:
            break
        os.write(out, data)
except OSError:
    pass
" "$MNT/.drain/queue" "$WORK/first" &
        reader=$!
        wait_a_little
        crash
        wait $reader
        clear_dead_mount
        start -o consistency="$consistency"
        cat "$MNT/.drain/queue" >"$WORK/second"
        stop
        [ "$(wc -l <"$WORK/second")" -gt 0 ] || echo "note: everything was read before the crash" >&2
        sort -n "$WORK/first" "$WORK/second" | uniq -d | wc -l >"$WORK/twice"
        sort -n "$WORK/first" "$WORK/second" | uniq | comm -13 --nocheck-order - <(seq 20000) | wc -l >"$WORK/missing"
        if [ $consistency = strict ]; then
            expect "strict: handed out twice" 0 "$(cat "$WORK/twice")"
            # The one that was on its way when the daemon died.
            [ "$(cat "$WORK/missing")" -le 1 ] || fail "strict: $(cat "$WORK/missing") missing"
        else
            [ "$(cat "$WORK/twice")" -le 10 ] || fail "at-least-once:10: $(cat "$WORK/twice") repeated"
            expect "at-least-once: missing" 0 "$(cat "$WORK/missing")"
        fi
        rm -f "$WORK/first" "$WORK/second"
    done
done
finish
