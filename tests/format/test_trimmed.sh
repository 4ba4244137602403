#!/usr/bin/env bash
# As test_format.sh, for logs that were trimmed: whole blocks and parts of blocks, what a crash may leave of them, heads
# that are damaged, batches over several topics of which a part is gone; and for the log's own settings.
# WALRUS: the command.
set -euo pipefail

# shellcheck source=tests/format/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

long() { seq "$1" "$2" | sed "s/^/$3a line of some length, so that the topic gets a second block: /"; }

# --- three topics of two blocks each; the first block of one and of the other are freed
{ long 1 1300 ''; } | walrus -D whole produce inside
for topic in p q r; do printf '%s\tfirst\n' "$topic"; done | walrus -D whole batch # a part in p's first block
long 1 1300 '' | walrus -D whole produce p
printf 'q\tbetween\nr\tbetween\n' | walrus -D whole batch
for topic in p q r; do printf '%s\tlast\n' "$topic"; done | walrus -D whole batch
seq 40 | walrus -D whole produce gone
walrus -D whole group create one two three
for group in one two three; do
    for topic in p q gone; do walrus -D whole consume -g "$group" "$topic" -n "$((${#group} - 2))" >/dev/null; done
done
long 1 1300 '' | walrus -D whole produce inside
walrus -D whole group rm two
cp -r whole before
begin() { walrus -D whole dump --json | jq -r "select(.kind == \"block\" and .topic == \"$1\") | .sequence" | tail -n 1; }
second=$(begin p)
[[ $second -gt 1 ]] || fail "p has no second block"
walrus -D whole trim p "$second" >/dev/null
walrus -D whole trim inside 700 >/dev/null
walrus -D whole trim gone end >/dev/null
compare trimmed whole inside p q r gone
but_trimmed trimmed
grep -q '"trimmed"' findings.reader || fail "nothing was trimmed"
! walrus -D whole dump --json | jq -e 'select(.kind == "block" and .topic == "p" and .sequence == 0)' >/dev/null ||
    fail "the first block of p was not freed"

# --- a crash left the blocks before the heads, whole or in part
for take in 1 2; do
    plant whole
    for segment in before/segment-*; do cp "$segment" planted/; done
    if [[ $take == 2 ]]; then
        read -r file offset bytes < <(place planted '.kind == "block" and .topic == "p" and .sequence == 0')
        zero "planted/$file" $((offset + 4096)) 20000
    fi
    compare "blocks before the head, $take" planted inside p q r gone
    but_trimmed "blocks before the head, $take"
done

# --- a batch of which a part was trimmed was durable: what misses of it is damage
plant whole
while read -r file offset bytes; do zero "planted/$file" "$offset" "$bytes"; done < <(walrus -D planted dump --json |
    jq -r -s '[.[] | select(.kind == "mark" and .note == "durable up to here")] | group_by(.topic)[] | last |
        "\(.file) \(.file_offset) \(.file_bytes)"')
compare "a part is trimmed" planted inside p q r gone
but_trimmed "a part is trimmed"
read -r file offset bytes < <(place planted '.kind == "mark" and .topic == "r" and .sequence == 1')
zero "planted/$file" "$offset" "$bytes"
compare "a part is trimmed, the mark of another missing" planted p q r
expected=$(jq -c 'select(.kind == "topic" and (.name == "q" or .name == "r")) | [.name, .next_sequence]' read.json | sort | tr '\n' ' ')
[[ $expected == '["q",3] ["r",3] ' ]] || fail "a batch that was durable is dropped: $expected"

# --- heads: the slot of one, by what `walrus dump` says of it
head=$(walrus -D whole dump --json | jq -r 'select(.kind == "head" and .topic == "inside") | .file_offset')
for copy in 0 64; do
    plant whole
    zero planted/cursors $((head + copy + 16)) 24
    compare "copy at $copy of a head" planted inside p
    found torn cursors "$head"
done
plant whole
zero planted/cursors $((head + 12)) 40
zero planted/cursors $((head + 76)) 40
compare "both copies of a head" planted inside p
found damaged cursors "$head"
found damaged cursors 0

# --- the log's settings: a record made by hand, as the page says
settings() { # LOG MODE LIMIT
    python3 -B - "$here" "$@" <<'EOF'
import struct, sys
sys.path.insert(0, sys.argv[1])
from reader import FILE_HEADER, File, crc, u64, up8
log, mode, limit = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
catalog = File(log, "catalog", b"walrusCT")
place, number = FILE_HEADER, 0
while place + 24 <= len(catalog.data) and struct.unpack_from("<I", catalog.data, place + 4)[0]:
    size, number = struct.unpack_from("<IQ", catalog.data, place + 4)
    place = up8(place + 24 + size)
body = struct.pack("<QQHHBHHQ", 0, 1, 8, 1, mode, 9, 8, limit)
record = struct.pack("<IQH6x", len(body), number + 1, 12) + body
with open(log + "/catalog", "r+b") as file:
    file.seek(place)
    file.write(struct.pack("<I", crc(u64(catalog.log_id), record)) + record + bytes(up8(len(record) + 4) - len(record) - 4))
EOF
}
plant whole
for setting in "2 0 all" "3 123456789 bytes:123456789" "4 5000000 age:5000000ms" "1 0 consumed"; do
    read -r mode limit text <<<"$setting"
    settings planted "$mode" "$limit"
    compare "retention $text" planted
    but_trimmed "retention $text"
    grep -qx "\"$text\"" retention.reader || fail "retention $text: $(cat retention.reader)"
done

report
