#!/bin/bash
# What the control files tell and take: .stat, .records, .config, .walrus.
. "$(dirname "$0")/lib.sh"
: "${WALRUS:=walrus}"
export WALRUS_RETENTION=all
setup
command -v jq >/dev/null || skip "no jq"
find_logs
start
cd "$MNT" || exit 99

figure() { sed -n "s/^$1 //p" ".stat/$2"; }

# --- .stat ---
mkdir -p space/inner
seq 100 >>space/inner/topic
expect "figures" "100 0 100 292 line" \
    "$(for key in entries first_sequence next_sequence next_offset framing; do figure $key space/inner/topic; done | xargs)"
if command -v getfattr >/dev/null; then
    getfattr --absolute-names -d -m '^user.walrus' space/inner/topic | sed -n 's/^user.walrus.\([^=]*\)="\(.*\)"$/\1 \2/p' >"$WORK/got"
    sort ".stat/space/inner/topic" >"$WORK/wanted"
    same "the same as extended attributes" "$WORK/wanted" "$WORK/got"
fi
for ((i = 0; i < 100; i++)); do
    [ "$(figure durable_sequence space/inner/topic)" = 100 ] && break
    sleep 0.1
done
expect "durable after its interval" 100 "$(figure durable_sequence space/inner/topic)"
python3 - <<'PY' || fail "figures are new each time they are read from the start"
import os
f = os.open('.stat/space/inner/topic', os.O_RDONLY)
first = os.read(f, 100000)
assert b'\nentries 100\n' in first
assert os.read(f, 100000) == b''
with open('space/inner/topic', 'ab') as topic:
    topic.write(b'more\n')
assert os.pread(f, 100000, 10) == first[10:], 'in the middle it stays as it is'
assert b'\nentries 101\n' in os.pread(f, 100000, 0)
PY
head -n1 .drain/space/inner/topic >/dev/null
mkdir ".drain/@a group"
cat ".drain/@a group/space/inner/topic" >/dev/null
expect "lag" "100 0" "$(figure group.default.lag space/inner/topic) $(figure group.a%20group.lag space/inner/topic)"
expect "of nothing" "No such file or directory" "$(cat .stat/nothing 2>&1 | sed 's/.*: //')"
expect "cannot be written" "Operation not permitted" "$( (echo x >.stat/space/inner/topic) 2>&1 | sed 's/.*: //')"

# --- .records ---
number=0
for log in "${LOGS[@]}"; do
    number=$((number + 1))
    cat "$log" >>"log$number"
    python3 - "log$number" <<'PY' || fail ".records of $log"
import base64, json, sys
name = sys.argv[1]
payloads = open(name, 'rb').read().split(b'\n')[:-1]
offset = 0
count = 0
time = 0
for number, line in enumerate(open('.records/' + name, 'rb')):
    record = json.loads(line)
    payload = record['data'].encode() if 'data' in record else base64.b64decode(record['base64'], validate=True)
    assert record['sequence'] == number and record['offset'] == offset and record['length'] == len(payload), record
    assert payload == payloads[number], (record, payloads[number])
    assert record['time_ns'] >= time and record['time'].endswith('%09dZ' % (record['time_ns'] % 10**9)), record
    time = record['time_ns']
    offset += len(payload) + 1
    count += 1
assert count == len(payloads), (count, len(payloads))
PY
    expect "tail -n3" "$(tail -n3 "log$number" | head -n1)" "$(tail -n3 ".records/log$number" | head -n1 | jq -r .data)"
    # As the command line says it, but for the time in words, which that lacks.
    jq -c 'del(.time)' ".records/log$number" >"$WORK/got"
    "$WALRUS" -D "$DATA" cat --json "log$number" 2>/dev/null | jq -c . >"$WORK/wanted"
    [ -s "$WORK/wanted" ] && same "walrus cat --json" "$WORK/wanted" "$WORK/got"
done

python3 - "$RANDOM" <<'PY' || fail ".records"
import base64, json, os, random, sys
seed = int(sys.argv[1])
print('seed', seed, file=sys.stderr)
random.seed(seed)
def payload():
    kind = random.randrange(6)
    if kind == 0:
        return random.randbytes(random.randrange(50)).replace(b'\n', b'')
    if kind == 1:
        return ''.join(random.choice('aé€😀"\\\x01\t/') for _ in range(random.randrange(200))).encode()
    if kind == 2:
        return b''
    return b'x' * random.randrange(1000)
large = ['€'.encode() * 700000, b'a' + '😀'.encode() * 300001, b'\xff' + b'y' * 1999999, b'z' * 1000000 + b'\xe2\x82']
payloads = [payload() for _ in range(5000)] + large + [payload() for _ in range(1000)]
with open('mixed', 'ab') as f:
    f.write(b'\n'.join(payloads) + b'\n')
f = os.open('.records/mixed', os.O_RDONLY)
whole = b''
while part := os.read(f, random.choice([1 << 20, 100000, 7777])):
    whole += part
def decoded(data):
    result = []
    for line in data.splitlines():
        record = json.loads(line)
        result.append(record['data'].encode() if 'data' in record else base64.b64decode(record['base64'], validate=True))
    return result
assert decoded(whole) == payloads
# Anywhere, in any order, the same bytes.
for _ in range(300):
    at = random.randrange(len(whole) + 10)
    length = random.choice([1, 100, 70000])
    got = os.pread(f, length, at)
    assert whole[at:at + length].startswith(got) and (got or at >= len(whole)), (at, length)
# Grows with the topic: an open file goes on.
assert os.pread(f, 100, len(whole)) == b''
with open('mixed', 'ab') as topic:
    topic.write(b'later\n')
assert json.loads(os.pread(f, 1000, len(whole)))['data'] == 'later'
g = os.open('.records/mixed', os.O_RDONLY)
os.lseek(g, len(whole), os.SEEK_SET)
assert json.loads(os.read(g, 1000))['data'] == 'later', 'a place that was never read'
# What is trimmed away in the middle is passed over.
g = os.open('.records/mixed', os.O_RDONLY)
first = os.read(g, 100)
assert json.loads(whole.splitlines()[0])['sequence'] == 0
import ctypes
t = os.open('mixed', os.O_RDWR | os.O_APPEND)
cut = json.loads(whole.splitlines()[5500])
assert ctypes.CDLL(None).fallocate64(t, 3, ctypes.c_int64(0), ctypes.c_int64(cut['offset'])) == 0
rest = first
while part := os.read(g, 1 << 20):
    rest += part
sequences = [json.loads(line)['sequence'] for line in rest.splitlines()]
assert sequences == sorted(sequences) and sequences[0] == 0 and sequences[-1] == len(payloads), sequences[-1]
assert all(s < 3000 or s >= 5500 for s in sequences), 'entries that are gone'
assert set(range(5500, len(payloads) + 1)) <= set(sequences), 'entries that are there'
assert json.loads(open('.records/mixed', 'rb').readline())['sequence'] == 5500
PY

# --- .config ---
touch settings
expect "settings of a new topic" "sync=log retention=log framing=line" "$(xargs <.config/settings)"
echo sync=each >.config/settings || fail "echo >.config"
/usr/bin/printf '# both at once\n\nretention=bytes:10M\nframing=nul' >.config/settings || fail "several lines"
expect "settings" "sync=each retention=bytes:10485760 framing=nul" "$(xargs <.config/settings)"
expect "in force" "each no bytes:10485760 nul" "$(for key in sync sync_inherited retention framing; do figure $key settings; done | xargs)"
refused() {
    # bash's own printf writes line by line.
    expect "'$2'" "$1" "$( (/usr/bin/printf "$2" >.config/settings) 2>&1 | sed 's/.*: //')"
}
refused "Invalid argument" 'colour=red\n'
refused "Invalid argument" 'sync=sometimes\n'
refused "Invalid argument" 'sync\n'
refused "Invalid argument" 'sync=none\nretention=for ever\n'
expect "all or nothing" "sync=each retention=bytes:10485760 framing=nul" "$(xargs <.config/settings)"
printf 'one\0two\0' >>settings
expect "framing" "2 8" "$(figure entries settings) $(stat -c %s settings)"
refused "Directory not empty" 'framing=line\n'
echo framing=nul >.config/settings || fail "the same framing"
cat .config/settings >.config/settings || fail "what it shows, it takes"
echo sync=log >.config/settings
expect "as the log" "yes" "$(figure sync_inherited settings)"
expect "reasons" "configure 'settings': its framing is fixed, since it has entries" \
    "$(sed -n 's/^last_error ENOTEMPTY //p' .stat/settings)"

# Those who wait for entries likewise.
touch late
timeout 30 head -c4 .consume/late >"$WORK/late" &
waiter=$!
exec 8<.drain/late
echo framing=nul >.config/late
printf 'one\0' >>late
wait $waiter
printf 'two\0' >>late
head -c4 <&8 >"$WORK/drained"
exec 8<&-
printf 'one\0' | cmp -s - "$WORK/late" || fail "a reader that waits: $(od -c "$WORK/late")"
printf 'two\0' | cmp -s - "$WORK/drained" || fail "a reader that was there before: $(od -c "$WORK/drained")"

# One write(2), one entry; and a file that is open when the framing changes goes by the new one.
touch chunks
exec 8>>chunks
echo framing=write >.config/chunks
/usr/bin/printf 'a\nb\n' >&8
/usr/bin/printf 'c' >&8
exec 8>&-
expect "framing=write" '"a\nb\n" "c"' "$(jq -c .data .records/chunks | paste -sd' ')"
expect "its content" "a b c" "$(xargs <chunks)"
expect "its figures" "2 5" "$(figure entries chunks) $(stat -c %s chunks)"

# --- .walrus ---
grep -q '^walrusfs [0-9]' .walrus/version || fail "version"
for option in "data_dir=$DATA" "mountpoint=$MNT" sync=every:200ms retention=all consistency=strict nonblock=consume backend=fd showctl=no; do
    grep -qxF "$option" .walrus/options || fail "option $option"
done
grep -q '^transport_in_use=.' .walrus/options || fail "transport in use"
expect "topics" "$(find . -type f | wc -l) 2" "$(jq -r '"\(.topics) \(.namespaces)"' .walrus/stats.json)"
expect "figures of the log" "$(figure sync log1)" "$(jq -r .sync .walrus/stats.json)"
expect "metrics" "$(figure entries log1)" "$(sed -n 's/^walrus_topic_entries{topic="log1"} //p' .walrus/metrics)"
expect "lag of groups" "100 0" "$(sed -n 's/^walrus_group_lag_entries{topic="space\/inner\/topic",group="[a-z ]*"} //p' .walrus/metrics | sort -rn | xargs)"
python3 - <<'PY' || fail "the format of the metrics"
import re
seen, typed = [], {}
for line in open('.walrus/metrics'):
    if m := re.fullmatch(r'# HELP (\w+) .+\n', line):
        assert m[1] not in seen, 'one block for each metric'
        seen.append(m[1])
    elif m := re.fullmatch(r'# TYPE (\w+) (gauge|counter)\n', line):
        assert m[1] == seen[-1]
    else:
        m = re.fullmatch(r'(\w+)(\{\w+="([^"\\]|\\["\\n])*"(,\w+="([^"\\]|\\["\\n])*")*\})? [0-9.]+\n', line)
        assert m and m[1] == seen[-1], line
assert len(seen) > 25
PY
bash -c "printf 'no tab\n' >.batch" 2>/dev/null && fail "a batch without a tab"
grep -q ' EINVAL uid=[0-9]* \.batch: line 1' .walrus/errors || fail "the reason of a refused batch: $(cat .walrus/errors)"
for i in 1 2 3; do bash -c "printf 'no tab\n' >.batch" 2>/dev/null; done
grep -q 'times=4 .batch' .walrus/errors || fail "counted: $(tail -n1 .walrus/errors)"
expect "nothing can be made there" "No such file or directory" "$(touch .walrus/x 2>&1 | sed 's/.*: //')"
expect "not listed" "" "$(find . -name '.?*')"
cd / && stop

# Settings stay; the framing too.
start
expect "settings after a restart" "sync=log retention=bytes:10485760 framing=nul" "$(xargs <"$MNT/.config/settings")"
printf 'three\0' >>"$MNT/settings"
expect "framing after a restart" 3 "$(sed -n 's/^entries //p' "$MNT/.stat/settings")"
cd / && stop
start -o showctl
for name in .config .records .stat .walrus; do
    ls -A "$MNT" | grep -qxF -- "$name" || fail "-o showctl does not list $name"
done
expect "in .walrus" "errors metrics options stats.json version" "$(ls "$MNT/.walrus" | xargs)"
finish
