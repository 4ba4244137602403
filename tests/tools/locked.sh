#!/bin/bash
# A log that another process holds: exit code 75, its name, and what to do instead.
. "$(dirname "$0")/lib.sh"

lines 10 >"$tmp/lines"
expect 0 "$WALRUS" produce t "$tmp/lines"

"$WALRUS" consume --follow t >"$tmp/followed" 2>"$tmp/holder-err" &
holder=$!
until_true 10 cmp "$tmp/followed" "$tmp/lines" || fail "consume --follow did not deliver"

for command in "produce t" "cat t" "topic rm t" check "consume t"; do # each waits a second for the lock
    # shellcheck disable=SC2086
    expect 75 "$WALRUS" $command </dev/null
    err_has "$holder"
    err_has "mount"
    [ ! -s "$tmp/out" ] || fail "$command printed data"
done
printf 't\tx\n' | expect 75 "$WALRUS" batch
err_has "$holder"
expect 0 "$WALRUS" dump --topic t

kill -TERM "$holder"
wait "$holder"
[ $? = 143 ] || fail "the holder did not end by SIGTERM"
[ ! -s "$tmp/holder-err" ] || fail "the holder said: $(cat "$tmp/holder-err")"
expect 0 "$WALRUS" cat t
out_is "$tmp/lines"
expect 1 "$WALRUS" consume t

# who is about to let go of it is waited for
sh -c 'exec 9<>"$0"; flock 9; echo >"$1"; sleep 0.3' "$WALRUS_DATA_DIR/lock" "$tmp/held" &
holder=$!
until_true 10 test -e "$tmp/held" || fail "no holder"
expect 0 "$WALRUS" check
wait "$holder"

# another key is another log
"$WALRUS" -k one topic create t
"$WALRUS" -k one consume --follow t &
holder=$!
until_true 10 sh -c "! '$WALRUS' -k one topic ls" || fail "no holder"
expect 0 "$WALRUS" -k two topic create t
kill -9 "$holder"
wait "$holder" 2>/dev/null
expect 0 "$WALRUS" -k one topic ls

finish
