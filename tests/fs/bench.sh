#!/bin/bash
# `walrus bench mount` runs its rows, and leaves nothing behind. What it measures is no test.
. "$(dirname "$0")/lib.sh"
setup
"$WALRUS" --json bench mount --runs=1 --duration=50ms --size=1M --dir="$WORK" write write10x1 cat-in cat-out each10x1 \
    >"$WORK/out" || fail "bench mount"
expect "rows and sides" 16 "$(wc -l <"$WORK/out")"
python3 - "$WORK/out" <<'PY' || fail "what it says"
import json, sys
for line in open(sys.argv[1]):
    row = json.loads(line)
    assert row['per_second'] > 0 and row['ratio'] > 0, row
PY
expect "left over" "" "$(ls -d "$WORK"/walrus-bench-* 2>/dev/null)"
"$WALRUS" bench mount --walrusfs=/nosuch/walrusfs --runs=1 --dir="$WORK" write >/dev/null 2>"$WORK/message"
expect "no daemon" 69 $?
grep -q "/nosuch/walrusfs does not mount" "$WORK/message" || fail "message: $(cat "$WORK/message")"
finish
