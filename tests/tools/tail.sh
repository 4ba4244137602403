#!/bin/bash
# tail and peek: what they show, and that they take nothing.
. "$(dirname "$0")/lib.sh"

seq 30 | expect 0 "$WALRUS" produce t

# ---- the last entries
expect 0 "$WALRUS" tail t
seq 21 30 >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" tail -n 2 --format '%o=%s ' t
[ "$(cat "$tmp/out")" = "28=29 29=30 " ] || fail "--format: $(cat "$tmp/out")"
expect 0 "$WALRUS" tail -n 100 --json t
json '[e["data"] for e in o] == [str(i) for i in range(1, 31)]'
expect 0 "$WALRUS" tail -n 0 t
[ ! -s "$tmp/out" ] || fail "-n 0 printed something"
expect 66 "$WALRUS" tail nothing
expect 64 "$WALRUS" tail -n some t
expect 64 "$WALRUS" tail

# ---- following a log that nobody serves: producers get at it meanwhile
"$WALRUS" tail -f -n 1 t >"$tmp/followed" 2>"$tmp/tail-err" &
tail=$!
echo 30 >"$tmp/wanted"
until_true 10 cmp "$tmp/followed" "$tmp/wanted" || fail "tail -f shows: $(cat "$tmp/followed")"
for i in 31 32 33; do
    expect 0 "$WALRUS" produce t <<<$i
    echo $i >>"$tmp/wanted"
    until_true 10 cmp "$tmp/followed" "$tmp/wanted" || fail "tail -f shows: $(cat "$tmp/followed")"
done
kill -TERM "$tail"
wait "$tail"
[ $? = 143 ] || fail "tail -f did not end by SIGTERM"
[ ! -s "$tmp/tail-err" ] || fail "tail -f said: $(cat "$tmp/tail-err")"

# ---- it goes away with its reader
"$WALRUS" tail -f t 2>"$tmp/err" | head -n 2 >"$tmp/part" &
until_true 10 test -s "$tmp/part" || fail "nothing through a pipe"
wait $!
[ "$(wc -l <"$tmp/part")" = 2 ] || fail "not two lines"

# ---- peek
expect 0 "$WALRUS" group create billing
expect 0 "$WALRUS" consume -n 5 -g billing t
for _ in 1 2; do
    expect 0 "$WALRUS" peek -n 2 -g billing t
    printf '6\n7\n' >"$tmp/wanted"
    out_is "$tmp/wanted"
    expect 0 "$WALRUS" peek -n 1 t
    echo 1 >"$tmp/wanted"
    out_is "$tmp/wanted"
done
expect 0 "$WALRUS" consume -n 1 -g billing t
echo 6 >"$tmp/wanted"
out_is "$tmp/wanted"
expect 66 "$WALRUS" peek -g nosuch t
expect 0 "$WALRUS" consume t
expect 1 "$WALRUS" peek t
expect 64 "$WALRUS" peek --ack=manual t

finish
