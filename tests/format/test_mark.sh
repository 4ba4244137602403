#!/usr/bin/env bash
# As test_format.sh, for the clean mark: one that is damaged anywhere, and one that contradicts the log.
# WALRUS: the command.
set -euo pipefail

# shellcheck source=tests/format/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

seq 1300 | sed 's/^/a line of some length, so that the topic gets a second block: /' >lines
for i in 1 2; do walrus -D whole produce a <lines; done
seq 20 | walrus -D whole produce --each b
walrus -D whole trim b 5 >/dev/null
seq 3 | walrus -D whole produce gone
cp -r whole younger
walrus -D whole topic rm gone # the mark is of the same time; the one of `younger` still names it
compare "whole mark" whole a b
but_trimmed "whole mark"
[[ -s whole/mark ]] || fail "there is no mark"

mark() { rm -rf planted; cp -r whole planted; }
size=$(stat -c %s whole/mark)
number() { od -An -tu8 -j "$2" -N 8 "$1" | tr -d ' '; }
segments=$(number whole/mark 1064)
first_segment=$((size - segments * 32))
blocks_of_first=$(od -An -tu4 -j 4100 -N 4 whole/mark | tr -d ' ')
second_topic=$((4096 + 96 + blocks_of_first * 72))
[[ $blocks_of_first -gt 1 ]] || fail "the first topic of the mark has one block"

# --- a byte of each part: the place of the part
while read -r byte place; do
    mark
    flip planted/mark "$byte"
    compare "byte $byte of the mark" planted a b
    found damaged mark "$place"
    [[ $(grep -vc trimmed findings.reader) == 1 ]] || fail "byte $byte of the mark: not one finding"
    # It costs no data.
    mark
    flip planted/mark "$byte"
    walrus -D planted cat a 2>/dev/null | cmp -s - <(cat lines lines) || fail "byte $byte of the mark: a is not whole"
done <<EOF
30 0
1034 1024
4100 4096
4196 4096
$((second_topic + 50)) $second_topic
$((first_segment + 20)) $first_segment
$((size - 1)) $((size - 32))
EOF
mark
flip planted/mark 530 # the state: a crash may tear it
compare "state of the mark" planted a b
found torn mark 512
for cut in 0 50 3000 $((size - 1)); do
    mark
    truncate -s "$cut" planted/mark
    compare "mark of $cut bytes" planted a
done
found damaged mark $((size - 1))
mark
printf x >>planted/mark
compare "mark with a byte more" planted
found damaged mark "$size"

# --- contradictions: a mark of another time
cp younger/mark older.mark
rm -rf planted
cp -r younger planted
seq 3 | walrus -D planted produce b
cp older.mark planted/mark
compare "stale clean mark" planted a b
found damaged mark "$second_topic"

drop_mark=1
# --- the log lost what the mark knows: the last entry of b, with what would prove that it was there
mark
read -r file offset bytes < <(place planted '.kind == "entry" and .topic == "b" and .sequence == 19')
zero "planted/$file" "$offset" $((bytes + 64))
compare "an entry less than the mark says" planted
found damaged mark "$second_topic"
# --- and a whole block
mark
read -r file offset bytes < <(place planted '.kind == "block" and .topic == "a" and .sequence > 0')
zero "planted/$file" "$offset" "$bytes"
compare "a block less than the mark says" planted
found damaged mark 4096
found damaged mark $((4096 + 96 + (blocks_of_first - 1) * 72))

report
