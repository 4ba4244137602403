#!/bin/bash
# Damage in the middle is reported with its exact place and can be gone past; a torn tail is no damage.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all # it reads again what was consumed

# place SEQUENCE: file, offset and length of an entry of topic t, as dump has them.
place() {
    "$WALRUS" dump --json --topic t | "$python" -c '
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    if item["kind"] == "entry" and item["sequence"] == int(sys.argv[1]):
        print(item["file"], item["file_offset"], item["file_bytes"])
        break
' "$1"
}

# overwrite FILE OFFSET BYTES: with the complement of what is there.
complement() {
    "$python" -c '
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    data = bytes(255 - byte for byte in file.read(int(sys.argv[3])))
    file.seek(int(sys.argv[2]))
    file.write(data)
' "$WALRUS_DATA_DIR/$1" "$2" "$3"
}

zero() {
    dd if=/dev/zero of="$WALRUS_DATA_DIR/$1" bs=1 seek="$2" count="$3" conv=notrunc status=none
}

lines 1000 >"$tmp/lines"

# ---- a byte in the middle, among entries appended one by one and among those of a batch
for how in "--each" ""; do
    rm -rf "$WALRUS_DATA_DIR"
    # shellcheck disable=SC2086
    expect 0 "$WALRUS" produce t $how "$tmp/lines"
    expect 0 "$WALRUS" check
    read -r file offset bytes < <(place 500)
    complement "$file" $((offset + bytes / 2)) 1

    expect 65 "$WALRUS" check
    out_has "$file:$offset"
    out_has "'t'"
    out_has "sequence 500"
    expect 65 "$WALRUS" check --json
    json "[(i['file'], i['file_offset'], i['sequence'], i['topic']) for i in o if i.get('verdict') == 'damaged'] == [('$file', $offset, 500, 't')]"
    json 'o[-1]["clean"] is False and o[-1]["damaged"] == 1'

    head -n 500 "$tmp/lines" >"$tmp/before"
    sed 501d "$tmp/lines" >"$tmp/without"
    expect 65 "$WALRUS" cat t
    out_is "$tmp/before"
    err_has "skip-damage"
    expect 0 "$WALRUS" cat t --skip-damage
    out_is "$tmp/without"
    expect 0 "$WALRUS" cat t -o 501
    tail -n +502 "$tmp/lines" >"$tmp/wanted"
    out_is "$tmp/wanted"
    expect 65 "$WALRUS" consume t
    out_is "$tmp/before"
    expect 65 "$WALRUS" consume t
    [ ! -s "$tmp/out" ] || fail "consume went past the damage by itself"
    expect 0 "$WALRUS" consume t --skip-damage
    out_is "$tmp/wanted"
    err_has "skipped 1 entries"
    expect 1 "$WALRUS" consume t --skip-damage
    expect 65 "$WALRUS" check
    # the same in at-least-once mode, and appends go on
    expect 0 "$WALRUS" produce t <<<"after"
    expect 0 "$WALRUS" cat t --skip-damage
    { cat "$tmp/without"; echo after; } >"$tmp/wanted"
    out_is "$tmp/wanted"
done

rm -rf "$WALRUS_DATA_DIR"
expect 0 "$WALRUS" produce t --each "$tmp/lines"
read -r file offset bytes < <(place 0)
complement "$file" $((offset + bytes / 2)) 1
read -r file offset bytes < <(place 700)
complement "$file" "$offset" "$bytes"
expect 65 "$WALRUS" check
expect 0 "$WALRUS" consume t --skip-damage --consistency at-least-once:100
sed '1d;701d' "$tmp/lines" >"$tmp/wanted"
out_is "$tmp/wanted"

# ---- a torn tail: the writer is killed, its last entry did not reach the disk whole
for tear in zeros garbage half; do
    rm -rf "$WALRUS_DATA_DIR"
    rm -f "$tmp/fifo"
    mkfifo "$tmp/fifo"
    WALRUS_FSYNC=no-fsync "$WALRUS" produce t --each <"$tmp/fifo" &
    writer=$!
    exec 7>"$tmp/fifo"
    head -n 100 "$tmp/lines" >&7
    until_true 10 sh -c "'$WALRUS' dump --topic t | grep -q 'seq=99 '" || fail "no entry 99"
    kill -9 "$writer"
    wait "$writer" 2>/dev/null
    exec 7>&-
    read -r file offset bytes < <(place 99)
    case $tear in
    zeros) zero "$file" "$offset" "$bytes" ;;
    half) zero "$file" $((offset + bytes / 2)) $((bytes - bytes / 2)) ;;
    garbage) complement "$file" $((offset + bytes)) 20 ;;
    esac
    kept=$([ $tear = garbage ] && echo 100 || echo 99)
    expect 0 "$WALRUS" check
    out_has "clean:"
    expect 0 "$WALRUS" check -v --json
    json "o[-1]['clean'] and o[-1]['entries'] == $kept"
    expect 0 "$WALRUS" cat t
    head -n "$kept" "$tmp/lines" >"$tmp/wanted"
    out_is "$tmp/wanted"
    expect 0 "$WALRUS" produce t <<<"after"
    expect 0 "$WALRUS" cat t -o "$kept"
    echo after >"$tmp/wanted"
    out_is "$tmp/wanted"
    expect 0 "$WALRUS" check
done

# --- files that are gone: said until somebody mends it, and no sequence is used twice ---
rm -rf "$WALRUS_DATA_DIR"
expect 0 "$WALRUS" produce t < <(seq 100)
expect 0 "$WALRUS" consume t -n 5
rm "$WALRUS_DATA_DIR"/segment-* # the clean mark knows how far the topic went
expect 65 "$WALRUS" check
out_has "the file is missing"
expect 0 "$WALRUS" produce t <<<"after"
err_has "missing"
expect 65 "$WALRUS" check
expect 65 "$WALRUS" consume t
expect 0 "$WALRUS" consume t --skip-damage
echo after >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" topic info t --json
json "o[0]['next_sequence'] == 101"

rm -rf "$WALRUS_DATA_DIR"
expect 0 "$WALRUS" produce t < <(seq 100)
expect 0 "$WALRUS" consume t -n 5
rm "$WALRUS_DATA_DIR"/{segment-*,mark} # then the cursor is all that knows
expect 65 "$WALRUS" check
out_has "the file is missing"
expect 0 "$WALRUS" produce t <<<"after"
err_has "missing"
expect 65 "$WALRUS" check
expect 0 "$WALRUS" consume t
echo after >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" topic info t --json
json "o[0]['next_sequence'] == 6"
rm "$WALRUS_DATA_DIR"/cursors
expect 65 "$WALRUS" check
out_has "the file is missing"

finish
