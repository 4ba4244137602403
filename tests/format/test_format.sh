#!/usr/bin/env bash
# Compares what reader.py, written from docs/format.md alone, finds in logs with what the walrus command says: whole
# logs, logs of a killed process, and logs with planted damage.
# WALRUS: the command. WALRUS_TEST_DATA: a directory with real *.log files (default: made lines).
set -euo pipefail

# shellcheck source=tests/format/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# --- lines to log
lines=()
if [[ -n ${WALRUS_TEST_DATA:-} ]]; then
    for file in "$WALRUS_TEST_DATA"/*.log; do [[ -f $file ]] && lines+=("$file"); done
    [[ ${#lines[@]} -gt 0 ]] || skip "no *.log files in '$WALRUS_TEST_DATA'"
else
    for i in 1 2 3; do seq -f "made line %.0f of file $i, as long as a line of a log may well be" 250 >"made$i.log"; done
    lines=(made1.log made2.log made3.log)
fi

# --- a whole log, closed each time
for file in "${lines[@]}"; do
    topic=logs/$(basename "$file" .log)
    head -n 250 "$file" >part
    walrus -D whole produce "$topic" <part
    head -n 7 part | walrus -D whole produce "$topic"
    walrus -D whole cat "$topic" >stream.command
    { cat part; [[ -z $(tail -c 1 part) ]] || echo; head -n 7 part; } >expected
    same "what was appended to $topic" expected stream.command
    last=$topic
done
head -c 20000 /dev/urandom >blob
printf 'x' >one
: >empty
walrus -D whole produce --whole-file blobs blob one empty blob
printf 'a\0\0b c\0' | walrus -D whole produce -0 nuls
seq 150 | walrus -D whole produce --each singles
for i in 1 2 3 4; do seq "$i" 40 | sed $'s/^/batches\t/' | walrus -D whole batch; done
for i in 1 2 3 4 5; do # over two or three topics
    seq "$i" 9 | awk -v i="$i" '{ print "shared/" (NR % (2 + i % 2)) "\t" $0 " of " i }' | walrus -D whole batch
done
walrus -D whole topic create ns/a/empty ns/b ns/empty
seq 20 | walrus -D whole produce ns/b
walrus -D whole topic rm ns/empty ns/b
for i in 1 2 3; do walrus -D whole consume singles -n 5 >/dev/null; walrus -D whole consume "$last" -n "$i" >/dev/null; done
walrus -D whole group create billing "audit trail" gone
walrus -D whole group config billing --consistency at-least-once:12
walrus -D whole group config default --consistency strict
for group in billing "audit trail" gone; do walrus -D whole consume -g "$group" singles -n 7 >/dev/null; done
walrus -D whole group rm gone
walrus -D whole group create again
walrus -D whole topic config nuls --sync each --retention bytes:1G
mapfile -t topics < <(walrus -D whole topic ls)
compare whole whole "${topics[@]}"
clean whole

# --- a log whose process was killed: nothing closed it, and nothing says what is durable
mkfifo lines
walrus -D killed topic create --sync=none killed/batches killed/singles
for topic in killed/batches killed/singles; do
    each=
    [[ $topic == killed/batches ]] || each=--each
    # shellcheck disable=SC2086 # no word when empty
    "$WALRUS" -D killed produce $each "$topic" <lines & writer=$!
    exec 9>lines
    for i in 1 2 3 4 5; do
        seq "$((i * 7))" >&9
        for ((wait = 0; wait < 200; wait++)); do
            have=$(walrus -D killed dump --json --topic="$topic" | jq -s '[.[] | select(.kind == "entry")] | length')
            [[ $have -lt $((i * (i + 1) / 2 * 7)) ]] || break
            sleep 0.01
        done
    done
    kill -9 "$writer"
    exec 9>&-
    wait "$writer" 2>/dev/null || true
    writer=
done
compare killed killed killed/batches killed/singles
clean killed

# --- batches over several topics: of a process that was killed, and then with a part missing
rm -rf shared
for i in 1 2 3; do
    printf 'x\tbefore %s\n' "$i" | walrus -D shared batch
    seq 4 | awk '{ print (NR % 2 ? "x" : "y") "\t" $0 }' | walrus -D shared batch
done
walrus -D shared topic create --sync=none z
{ seq 3 | sed $'s/^/x\t/'; seq 4 | sed $'s/^/y\t/'; seq 5 | sed $'s/^/z\t/'; } >last
walrus -D shared batch last
plant shared
# The durable marks that closing wrote would prove the last batch: without them it is as after a kill.
while read -r file offset bytes; do zero "planted/$file" "$offset" "$bytes"; done < <(walrus -D planted dump --json |
    jq -r -s '[.[] | select(.kind == "mark" and .note == "durable up to here")] | group_by(.topic)[] | last |
        "\(.file) \(.file_offset) \(.file_bytes)"')
rm -rf shared
cp -r planted shared
compare "parts" shared x y z
clean "parts"
for topic in x y z; do
    plant shared
    read -r file offset bytes < <(place planted ".kind == \"mark\" and .topic == \"$topic\" and (.note | test(\"part\"))")
    zero "planted/$file" "$offset" "$bytes"
    compare "no mark in $topic" planted x y z
    grep -q '"uncommitted"' findings.reader || fail "no mark in $topic: the batch is not dropped"
    expected=$(jq -c 'select(.kind == "topic") | [.name, .next_sequence]' read.json | sort | tr '\n' ' ')
    [[ $expected == '["x",9] ["y",6] ["z",0] ' ]] || fail "no mark in $topic: $expected"
done
plant shared # a part below what is known to be durable: damage there, nothing elsewhere
walrus -D planted batch --sync <<<$'y\tafter'
read -r file offset bytes < <(place planted '.kind == "mark" and .topic == "y" and (.note | test("part 2 of 3"))')
zero "planted/$file" "$offset" "$bytes"
compare "a durable part without its mark" planted x y z
found damaged "$file" "$offset"
grep -q uncommitted findings.reader && fail "a durable batch was dropped"

# --- planted damage
middle='.kind == "entry" and .topic == "singles" and .sequence == 60'
plant whole # in a payload
read -r file offset bytes < <(place planted "$middle")
flip "planted/$file" $((offset + 32))
compare "byte of a payload" planted singles
found damaged "$file" "$offset"

for byte in 2 9 20; do # in a record's header: crc, size, kind
    plant whole
    flip "planted/$file" $((offset + byte))
    compare "byte $byte of a record's header" planted
    found "$(judged "planted/$file" "$offset")" "$file" "$offset"
done

plant whole # two neighbours are one place
flip "planted/$file" $((offset + 5))
flip "planted/$file" $((offset + bytes + 5))
compare "two records" planted singles
found "$(judged "planted/$file" "$offset")" "$file" "$offset"

plant whole # in an entry of a batch, and in a commit mark, both in the middle
read -r file offset bytes < <(place planted '.kind == "entry" and .topic == "batches" and .sequence == 50')
flip "planted/$file" $((offset + 33))
compare "entry of a batch" planted batches
found damaged "$file" "$offset"
for sequence in 79 154; do # what follows the last mark is the durable mark alone
    plant whole
    read -r file offset bytes < <(
        place planted ".note == \"batch commit\" and .topic == \"batches\" and .sequence == $sequence")
    flip "planted/$file" $((offset + 10))
    compare "commit mark at $sequence" planted batches
    found "$(judged "planted/$file" "$offset")" "$file" "$offset"
done

plant whole # no entry behind the mark is known to be durable: it may be an unfinished write
zero "planted/$file" "$offset" 56
compare "last commit mark, unwritten" planted batches
found torn "$file" "$offset"

plant whole # the last entry and the mark behind it never reached the disk: nothing tells that they were
read -r file offset bytes < <(place planted '.kind == "entry" and .topic == "singles"')
zero "planted/$file" "$offset" $((bytes + 32))
compare "last entry and durable mark" planted singles
clean "last entry and durable mark"
plant whole # the same, but for the end of the mark
zero "planted/$file" "$offset" $((bytes + 20))
compare "last entry and most of the durable mark" planted singles
found torn "$file" "$offset"
plant whole # the last entry alone: the mark says that it was durable
zero "planted/$file" "$offset" "$bytes"
compare "last entry, durable" planted singles
found damaged "$file" "$offset"

plant killed # an unfinished write with others behind it, none of them known to be durable
read -r file offset bytes < <(place planted '.kind == "entry" and .topic == "killed/singles" and .sequence == 102')
zero "planted/$file" "$offset" "$bytes"
compare "unfinished write" planted killed/singles
found torn "$file" "$offset"
seq 3 | walrus -D planted produce killed/singles # a new block supersedes the rest
compare "append behind an unfinished write" planted killed/singles
read -r file offset bytes < <(place killed '.kind == "entry" and .topic == "killed/singles" and .sequence == 103')
found superseded "$file" "$offset"

plant killed # one flipped bit is no unfinished write
read -r file offset bytes < <(place planted '.kind == "entry" and .topic == "killed/singles" and .sequence == 102')
flip "planted/$file" $((offset + 32))
compare "bit of a payload, nothing durable" planted killed/singles
found damaged "$file" "$offset"

plant killed # the last batch without its mark
read -r file first bytes < <(place planted '.kind == "entry" and .topic == "killed/batches" and .sequence == 70')
read -r file offset bytes < <(place planted '.note == "batch commit" and .topic == "killed/batches"')
zero "planted/$file" "$offset" "$bytes"
compare "last batch without its mark" planted killed/batches
found uncommitted "$file" "$first"
seq 3 | walrus -D planted produce killed/batches
compare "append behind a batch without its mark" planted killed/batches
found superseded "$file" "$first"

# --- cursors: slot 0 is that of the first cursor made
plant whole
flip planted/cursors $((4096 + 64 + 32)) # generation 3 is in the second copy
compare "newer copy of a cursor" planted
found torn cursors 4096
flip planted/cursors $((4096 + 8))
compare "both copies of a cursor" planted
found damaged cursors 4096

# --- catalog
records=$(walrus -D whole dump --json | jq -s '[.[] | select(.kind == "catalog")] | length')
for record in $((records / 2)) "$records"; do
    plant whole
    offset=$(walrus -D planted dump --json | jq -s "[.[] | select(.kind == \"catalog\")][$((record - 1))].file_offset")
    flip planted/catalog $((offset + 34))
    compare "record $record of the catalog" planted
    if [[ $record == "$records" ]]; then found torn catalog "$offset"; else found damaged catalog "$offset"; fi
done

report
