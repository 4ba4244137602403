# lib.sh - sourced by the format tests: what they plant in logs, and how they compare what reader.py, written from
# docs/format.md alone, finds in a log with what the walrus command says.
# shellcheck shell=bash
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
skip() { echo "skipped: $*"; exit 77; }
[[ -n ${WALRUS:-} ]] || { echo "set WALRUS to the path of the walrus command" >&2; exit 2; }
[[ -x $WALRUS ]] || { echo "no command at '$WALRUS'" >&2; exit 2; }
for tool in python3 jq cmp mktemp; do command -v "$tool" >/dev/null || skip "no $tool"; done
python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' || skip "python3 is older than 3.8"

work=$(mktemp -d "${TMPDIR:-/tmp}/walrus-format.XXXXXX")
writer=
trap '[[ -z $writer ]] || kill -9 "$writer" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
unset WALRUS_DATA_DIR WALRUS_INSTANCE_KEY
failures=0 checks=0

walrus() { "$WALRUS" "$@"; }
reader() { python3 -B "$here/reader.py" "$@"; }
fail() { echo "FAIL: $*"; failures=$((failures + 1)); }
# same NAME A B: the files are equal
same() {
    checks=$((checks + 1))
    cmp -s "$2" "$3" || { fail "$1"; diff "$2" "$3" | head -8 || true; }
}

# compare NAME LOG TOPIC...: both agree on findings, topics, cursors, and the entries of these topics. Never alters LOG.
compare() {
    local name=$1 log=$2 copy=$work/copy topic
    shift 2
    # What is wrong. Behind a torn tail nothing counts: the page has no verdicts there, nor for superseded gaps.
    walrus -D "$log" check -v --json >check.json || [[ $? == 65 ]]
    jq -s -c '[.[] | select(.type == "item" and (.kind == "gap" and .verdict == "superseded" | not))]
        | ([.[] | select(.kind == "gap" and .verdict == "torn" and .topic) | {(.topic): .sequence}] | add // {}) as $ends
        | .[] | select((.kind == "entry" and .topic and $ends[.topic] != null and .sequence >= $ends[.topic]) | not)
        | select((.kind == "entry" and .verdict == "torn") | not)
        # Whose a slot without a valid copy was is no more than a guess.
        | if .file == "cursors" and .verdict == "damaged" then .topic = null | .sequence = 0 else . end
        | [(.verdict | sub("missing"; "damaged")), .file, .file_offset, .topic, .sequence // 0]' check.json |
        sort >findings.command
    reader "$log" --data >read.json || { fail "$name: the reader fails"; return; }
    jq -c 'select(.kind == "finding") | [.verdict, .file, .file_offset, .topic, .sequence // 0]' read.json |
        sort >findings.reader
    same "$name: findings (< command, > reader)" findings.command findings.reader
    # Topics and entries, by a copy: the command may repair a log that it opens.
    rm -rf "$copy"
    cp -r "$log" "$copy"
    [[ -z ${drop_mark:-} ]] || rm "$copy/mark" # the reader tells what is there without it
    walrus -D "$copy" topic ls --json | jq -c '[.topic, .id, .next_sequence]' | sort >topics.command
    jq -c 'select(.kind == "topic") | [.name, .id, .next_sequence]' read.json | sort >topics.reader
    same "$name: topics" topics.command topics.reader
    for topic in "$@"; do
        walrus -D "$copy" cat --skip-damage --json "$topic" 2>/dev/null |
            jq -c '[.sequence, .offset, .time_ns, .length, .base64 // (.data | @base64)]' >entries.command
        jq -c --arg topic "$topic" 'select(.kind == "entry" and .topic == $topic)
            | [.sequence, .offset, .time_ns, .length, .data]' read.json >entries.reader
        same "$name: entries of $topic" entries.command entries.reader
        [[ $name == whole || $name == killed ]] || continue
        walrus -D "$copy" cat "$topic" >stream.command
        reader "$log" --topic "$topic" --raw >stream.reader
        same "$name: stream of $topic" stream.command stream.reader
    done
    walrus -D "$log" dump --json | jq -c 'select(.kind == "cursor" and .verdict != "damaged") |
        [.topic_id, .sequence, (.note | capture("group (?<name>.*), generation") // {name: null} | .name)]' |
        sort >cursors.command
    jq -c 'select(.kind == "cursor") | [.topic_id, .sequence, .group]' read.json | sort >cursors.reader
    same "$name: cursors" cursors.command cursors.reader
    walrus -D "$copy" stat --json | jq -c 'select(.type == "log") | .retention' >retention.command
    jq -c 'select(.kind == "log") | .retention' read.json >retention.reader
    same "$name: retention" retention.command retention.reader
    walrus -D "$copy" group ls --json | jq -c '[.group, .id, if .consistency_inherited then "as the log" else .consistency end]' |
        sort >groups.command
    jq -c 'select(.kind == "group") | [.group, .id, .consistency]' read.json | sort >groups.reader
    same "$name: groups" groups.command groups.reader
}

# place LOG FILTER: segment file and byte of the last item of `walrus dump` that the jq filter selects
place() { walrus -D "$1" dump --json | jq -r "select($2) | \"\(.file) \(.file_offset) \(.file_bytes)\"" | tail -n 1; }
# zero FILE OFFSET BYTES, flip FILE OFFSET
zero() { dd if=/dev/zero of="$1" bs=1 seek="$2" count="$3" conv=notrunc status=none; }
flip() {
    python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); byte = f.read(1)[0]; f.seek(-1, 1); f.write(bytes([byte ^ 0x10]))' "$1" "$2"
}
# plant LOG: a fresh copy of it in `planted`
# Without the clean mark: what these tests take away must be judged by what is left.
plant() { rm -rf planted; cp -r "$1" planted; rm -f planted/mark; }
# found VERDICT FILE OFFSET: both said this of exactly this place
found() {
    checks=$((checks + 1))
    local said
    for said in findings.command findings.reader; do
        grep -q "^\[\"$1\",\"$2\",$3," "$said" || { fail "${said#*.}: no finding '$1' at $2:$3"; cat "$said"; }
    done
}
# judged FILE OFFSET: how a record with a broken header is to be judged, as a pattern for found(). Where one of the first two bytes of
# its checksum, which is random, is zero, they may be bytes that never came, and then it may be torn.
judged() {
    if od -An -tx1 -j "$2" -N 2 "$1" | grep -q 00; then echo '\(damaged\|torn\)'; else echo damaged; fi
}
clean() {
    checks=$((checks + 1))
    [[ ! -s findings.reader && ! -s findings.command ]] || fail "$1: findings in a whole log"
}

# but_trimmed NAME: nothing was found but what is trimmed
but_trimmed() {
    checks=$((checks + 1))
    ! grep -v '^\["trimmed"' findings.command findings.reader || fail "$1: findings in a whole log"
}

# the end of a test
report() {
    echo "$checks checks, $failures failed"
    [[ $failures == 0 ]]
}
