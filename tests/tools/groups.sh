#!/bin/bash
# Consumer groups: each with a place of its own on every topic, shown, moved and forgotten from the command line.
. "$(dirname "$0")/lib.sh"

lines 100 >"$tmp/lines"
expect 0 "$WALRUS" produce a/orders "$tmp/lines"
expect 0 "$WALRUS" produce events <<<$'one\ntwo\nthree\nfour'

# ---- groups
expect 0 "$WALRUS" group ls
out_has "default"
expect 0 "$WALRUS" group create billing "audit trail"
expect 64 "$WALRUS" group create billing
expect 64 "$WALRUS" group create a/b
expect 64 "$WALRUS" group create default
expect 0 "$WALRUS" group create slow --consistency at-least-once:25
expect 64 "$WALRUS" group create never --consistency at-least-once:0
expect 0 "$WALRUS" group ls --json
json '[(g["group"], g["consistency"], g["consistency_inherited"]) for g in o] == [("default", "strict", True),
    ("billing", "strict", True), ("audit trail", "strict", True), ("slow", "at-least-once:25", False)]'
json 'o[0]["id"] == 0 and o[0]["created_ns"] is None and o[1]["created_ns"] > 10**18'
expect 0 "$WALRUS" group config slow default --consistency at-least-once:30
expect 0 "$WALRUS" group ls
out_has "at-least-once:30"
expect 0 "$WALRUS" group config slow default --consistency log
expect 0 "$WALRUS" group ls --json
json 'all(g["consistency"] == "strict" for g in o)'
expect 66 "$WALRUS" group config nobody --consistency strict

# ---- consuming: to each group its own
expect 66 "$WALRUS" consume -g nobody events
err_has "no group 'nobody'"
expect 0 "$WALRUS" consume -g billing -n 3 events
printf 'one\ntwo\nthree\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" consume -g billing -n 40 a/orders
expect 0 "$WALRUS" consume -n 1 -f '%s\n' events
printf 'one\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" consume -g billing events
printf 'four\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 1 "$WALRUS" consume -g billing events
expect 0 "$WALRUS" cat events -g billing -o stored
[ ! -s "$tmp/out" ] || fail "-g billing -o stored"
expect 0 "$WALRUS" cat events -o stored -f '%o\n'
printf '1\n2\n3\n' >"$tmp/wanted"
out_is "$tmp/wanted"

# ---- describe
expect 0 "$WALRUS" group describe billing
printf '%s\n' 'TOPIC CURSOR END LAG BYTES' "a/orders 40 100 60 $(tail -n 60 "$tmp/lines" | wc -c)" 'events 4 4 0 0' >"$tmp/wanted"
tr -s ' ' <"$tmp/out" >"$tmp/squeezed"
cmp "$tmp/squeezed" "$tmp/wanted" || fail "describe: $(cat "$tmp/squeezed")"
expect 0 "$WALRUS" group describe --json billing default
json '([(c["group"], c["topic"], c["cursor"], c["durable"], c["lag"]) for c in o] ==
    [("billing", "a/orders", 40, 40, 60), ("billing", "events", 4, 4, 0), ("default", "events", 1, 1, 3)])'
expect 66 "$WALRUS" group describe nobody
expect 64 "$WALRUS" group describe

# ---- cursor get, set, rm
expect 0 "$WALRUS" cursor get -g billing a/orders
printf '40\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" cursor get events --json
json 'o == [{"topic": "events", "group": "default", "cursor": 1}]'
expect 66 "$WALRUS" cursor get -g nobody events
expect 66 "$WALRUS" cursor get nothing
set_to() { # SEQUENCE ARGUMENT...: where that leads
    local wanted=$1
    shift
    expect 0 "$WALRUS" cursor set --dry-run -g billing a/orders "$@"
    expect 0 "$WALRUS" cursor get -g billing a/orders
    out_has 40
    expect 0 "$WALRUS" cursor set -g billing a/orders "$@"
    out_has "a/orders: 40 -> $wanted"
    expect 0 "$WALRUS" cursor get -g billing a/orders --json
    json "o[0]['cursor'] == $wanted"
    expect 0 "$WALRUS" cursor set -g billing a/orders 40
}
set_to 0 start
set_to 0 begin
set_to 100 end
set_to 17 17
set_to 5 +5
set_to 90 -o -10
set_to 100 @4102444800
set_to 0 -o 2001-02-03T04:05
set_to 0 -o -1h
expect 64 "$WALRUS" cursor set -g billing a/orders 101
expect 64 "$WALRUS" cursor set -g billing a/orders somewhere
expect 64 "$WALRUS" cursor set -g billing a/orders
expect 64 "$WALRUS" cursor set -g billing a/orders 1:5
expect 0 "$WALRUS" cursor set --json events end
json 'o == [{"topic": "events", "group": "default", "from": 1, "to": 4, "moved": True}]'
expect 1 "$WALRUS" consume events
expect 0 "$WALRUS" cursor rm events
expect 66 "$WALRUS" cursor rm events
expect 0 "$WALRUS" group describe default --json
[ ! -s "$tmp/out" ] || fail "a cursor that was forgotten"
expect 0 "$WALRUS" consume -n 1 events
out_has one

# ---- what the log says of them
expect 0 "$WALRUS" dump
out_has "group created: audit trail"
out_has "group billing, generation"
expect 0 "$WALRUS" check
expect 0 "$WALRUS" group rm billing slow --json
json '[g["group"] for g in o] == ["billing", "slow"] and all(g["removed"] for g in o)'
expect 66 "$WALRUS" group rm billing
expect 64 "$WALRUS" group rm default
expect 66 "$WALRUS" consume -g billing events
expect 0 "$WALRUS" dump
out_has "group deleted: billing"
! grep -q "group billing, generation" "$tmp/out" || fail "a cursor of a group that is gone"
expect 0 "$WALRUS" check

# ---- lag, where topics are told of
expect 0 "$WALRUS" cursor set events 1
expect 0 "$WALRUS" topic info events
grep -qE '^default +1 +3 ' "$tmp/out" || fail "topic info tells no lag"
out_has "last error        none since the log was opened"
expect 0 "$WALRUS" topic info events --json
json '(o[0]["lag"] == 3 and o[0]["last_error"] is None) and [
    (g["group"], g["cursor"], g["lag"]) for g in o[0]["groups"]] == [("default", 1, 3)]'
expect 0 "$WALRUS" topic ls -l
grep -qE '^ +4 +[0-9]+ +[0-9]+ +3 .* events$' "$tmp/out" || fail "topic ls -l tells no lag"
expect 66 "$WALRUS" group describe nobody
err_has "walrus group ls"
expect 66 "$WALRUS" consume -g nobody events
err_has "walrus group ls"
expect 66 "$WALRUS" cursor get -g nobody events
err_has "walrus group ls"

# ---- damaged cursors
damage() { # OFFSET LENGTH
    head -c "$2" /dev/zero | tr '\0' 'Z' | dd of="$WALRUS_DATA_DIR/cursors" bs=1 seek="$1" conv=notrunc status=none
}
slot_of() { # TOPIC: where its default cursor stands
    "$WALRUS" dump --json | $python -c 'import json, sys
print([o["file_offset"] for o in map(json.loads, sys.stdin) if o["kind"] == "cursor" and o["topic"] == sys.argv[1]][0])' "$1"
}
expect 0 "$WALRUS" cursor set events 2
slot=$(slot_of events)
damage $((slot + 32)) 8
damage $((slot + 96)) 8
expect 65 "$WALRUS" check
out_has "of group default: keeps its topic's entries"
expect 0 "$WALRUS" group describe default
grep -qE '^events .* damaged: where it stood is lost' "$tmp/out" || fail "the damage is not told"
expect 0 "$WALRUS" cursor set events 2
expect 0 "$WALRUS" group describe default --json
json '[c["damaged"] for c in o if c["topic"] == "events"] == [False]'
expect 0 "$WALRUS" check
damage "$slot" 128
expect 65 "$WALRUS" check
out_has "it may be of any topic"
expect 0 "$WALRUS" stat
out_has "1 damaged, of topics that nobody knows"
expect 64 "$WALRUS" cursor rm --damaged events
expect 0 "$WALRUS" cursor rm --damaged --json
json 'o == [{"forgotten": 1}]'
expect 0 "$WALRUS" check

# ---- settings of a topic
expect 0 "$WALRUS" topic config events
printf 'sync=every:200ms (log)\nretention=consumed (log)\nframing=line\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" topic config events --sync each --retention age:7d
expect 0 "$WALRUS" topic config events --json
json 'o == [{"topic": "events", "sync": "each", "sync_inherited": False, "retention": "age:604800000ms",
    "retention_inherited": False, "framing": "line"}]'
expect 0 "$WALRUS" topic info events
out_has "retention         age:604800000ms"
expect 64 "$WALRUS" topic config events --framing nul
expect 64 "$WALRUS" topic config events --retention sometimes
expect 0 "$WALRUS" topic config events --sync log --retention bytes:1G
expect 0 "$WALRUS" topic config events
printf 'sync=every:200ms (log)\nretention=bytes:1073741824\nframing=line\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" topic create new --retention all
expect 0 "$WALRUS" topic config new --framing nul
expect 0 "$WALRUS" topic info new --json
json 'o[0]["framing"] == "nul" and o[0]["retention"] == "all"'
expect 66 "$WALRUS" topic config nothing

# ---- the log's own: what one opener has named, the next goes by
expect 0 "$WALRUS" stat
out_has "retention      consumed;"
WALRUS_RETENTION=all expect 0 "$WALRUS" stat
expect 0 "$WALRUS" stat
out_has "retention      all;"
expect 0 "$WALRUS" dump
out_has "log changed"
expect 0 "$WALRUS" check

finish
