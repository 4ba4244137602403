#!/bin/bash
# Each line to exactly one reader; what a kill re-delivers or loses under each consistency.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all # it reads again what was consumed

lines 6000 >"$tmp/lines"

# sequences FILE: the sequence numbers in complete lines of JSON (the last one may be cut by a kill).
sequences() {
    "$python" -c '
import json, sys
for line in open(sys.argv[1], "rb"):
    if line.endswith(b"\n"):
        print(json.loads(line)["sequence"])
' "$1"
}

# ---- one after the other
expect 0 "$WALRUS" produce t "$tmp/lines"
: >"$tmp/taken"
calls=0
while [ $calls -lt 20 ] && "$WALRUS" consume -n 700 t >>"$tmp/taken"; do
    calls=$((calls + 1))
done
[ $calls = 9 ] || fail "$calls calls took something"
cmp "$tmp/taken" "$tmp/lines" || fail "not each line once, in order"
expect 1 "$WALRUS" consume t
[ ! -s "$tmp/out" ] || fail "something after the end"
expect 0 "$WALRUS" cat t -o stored
[ ! -s "$tmp/out" ] || fail "-o stored"
expect 0 "$WALRUS" topic info t --json
json 'o[0]["entries"] == 6000'

# ---- peek, -n, follow, time-out
expect 0 "$WALRUS" produce p <<<$'one\ntwo\nthree'
for _ in 1 2; do
    expect 0 "$WALRUS" consume -p -n 2 p
    printf 'one\ntwo\n' >"$tmp/wanted"
    out_is "$tmp/wanted"
done
expect 0 "$WALRUS" consume -n 1 -f '%o=%s\n' p
out_has "0=one"
expect 0 "$WALRUS" consume --json p
json '[(e["sequence"], e["data"]) for e in o] == [(1, "two"), (2, "three")]'
expect 1 "$WALRUS" consume p
expect 1 "$WALRUS" consume -p p
expect 1 timeout 20 "$WALRUS" consume --follow -e p
expect 124 "$WALRUS" consume --timeout 100ms p
expect 66 "$WALRUS" consume nothing
expect 64 "$WALRUS" consume -n 0 p
expect 64 "$WALRUS" consume --consistency perhaps p

# ---- competing workers: each line to exactly one of them
expect 0 "$WALRUS" produce w < <(head -n 60 "$tmp/lines")
worker() {
    local code
    while :; do
        code=0
        "$WALRUS" consume -n 5 w 2>/dev/null || code=$?
        [ $code = 0 ] || [ $code = 75 ] || return $code
    done
}
for i in 1 2 3; do
    worker >"$tmp/worker-$i" &
done
wait
cat "$tmp"/worker-[123] | sort >"$tmp/taken"
head -n 60 "$tmp/lines" | sort | cmp - "$tmp/taken" || fail "workers did not take each line once"

# ---- kill -9 in the middle: the reader of a pipe stops reading, the consumer is stuck in write(2)
killed() { # TOPIC CONSISTENCY: leaves sequences in $tmp/first and $tmp/rest
    rm -f "$tmp/fifo"
    mkfifo "$tmp/fifo"
    "$WALRUS" consume --json --consistency "$2" "$1" >"$tmp/fifo" 2>/dev/null &
    local consumer=$!
    exec 8<"$tmp/fifo"
    head -c 100000 <&8 >"$tmp/part"
    # the pipe is full again when it sleeps in pipe_write
    until_true 2 grep -q pipe "/proc/$consumer/wchan" || sleep 0.3
    kill -9 "$consumer"
    wait "$consumer" 2>/dev/null
    cat <&8 >>"$tmp/part"
    exec 8<&-
    sequences "$tmp/part" >"$tmp/first"
    "$WALRUS" consume --json --consistency "$2" "$1" >"$tmp/part"
    sequences "$tmp/part" >"$tmp/rest"
}

for n in 1 50 1000; do
    expect 0 "$WALRUS" produce "alo-$n" "$tmp/lines"
    killed "alo-$n" "at-least-once:$n"
    again=$(sort "$tmp/first" "$tmp/rest" | uniq -d | wc -l)
    [ "$again" -le "$n" ] || fail "at-least-once:$n delivered $again entries twice"
    [ "$(sort -u "$tmp/first" "$tmp/rest" | wc -l)" = 6000 ] || fail "at-least-once:$n lost entries"
    [ "$(wc -l <"$tmp/first")" -gt 100 ] || fail "the kill came too early to prove anything"
    [ "$(wc -l <"$tmp/rest")" -gt 100 ] || fail "the kill came too late to prove anything"
done
expect 0 "$WALRUS" produce strict "$tmp/lines"
killed strict strict
[ -z "$(sort "$tmp/first" "$tmp/rest" | uniq -d)" ] || fail "strict delivered something twice"
[ "$(wc -l <"$tmp/rest")" -gt 100 ] || fail "strict: nothing was left"

# ---- output that fails: the file takes 100 KiB and no more, so what left the process is known to the byte
for how in strict at-least-once:500; do
    expect 0 "$WALRUS" produce "full-$how" "$tmp/lines"
    code=0
    (
        trap '' XFSZ
        ulimit -f 100
        exec "$WALRUS" consume --json --consistency $how "full-$how" >"$tmp/part" 2>"$tmp/err"
    ) || code=$?
    [ "$code" = 74 ] || fail "a full output gave $code"
    err_has "File too large"
    sequences "$tmp/part" >"$tmp/first"
    expect 0 "$WALRUS" consume --json "full-$how"
    next=$(tail -n 1 "$tmp/first")
    # at-least-once repeats the entry that was cut in two; strict gives none twice, not even half of one
    [ $how = strict ] && [ "$(tail -c 1 "$tmp/part" | od -An -c)" != '  \n' ] && next=$((next + 1))
    json "[e['sequence'] for e in o] == list(range($next + 1, 6000))"
done

# ---- SIGTERM while it is stuck in write(2): it ends, and gives back what was not written
expect 0 "$WALRUS" produce term "$tmp/lines"
rm -f "$tmp/fifo"
mkfifo "$tmp/fifo"
"$WALRUS" consume --json --consistency at-least-once:500 term >"$tmp/fifo" &
consumer=$!
exec 8<"$tmp/fifo"
head -c 100000 <&8 >"$tmp/part"
until_true 2 grep -q pipe "/proc/$consumer/wchan" || sleep 0.3
kill -TERM "$consumer"
until_true 10 sh -c "! kill -0 $consumer" || { fail "SIGTERM did not end it"; kill -9 "$consumer"; }
wait "$consumer"
[ $? = 143 ] || fail "not ended by SIGTERM"
cat <&8 >>"$tmp/part"
exec 8<&-
sequences "$tmp/part" >"$tmp/first"
expect 0 "$WALRUS" consume --json term
json "[e['sequence'] for e in o] == list(range($(tail -n 1 "$tmp/first") + 1, 6000))"

# ---- a reader that goes away is no error to talk about
"$WALRUS" produce pipe "$tmp/lines"
"$WALRUS" consume pipe 2>"$tmp/err" | head -n 5 >"$tmp/part"
[ ! -s "$tmp/err" ] || fail "noise on SIGPIPE: $(cat "$tmp/err")"
head -n 5 "$tmp/lines" | cmp - "$tmp/part" || fail "not the first lines"
expect 0 "$WALRUS" consume pipe
[ "$(wc -l <"$tmp/out")" -gt 3000 ] || fail "what was not written was not given back"

finish
