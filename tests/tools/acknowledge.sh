#!/bin/bash
# consume --ack=manual and --exec: what is acknowledged never comes again, and everything else does.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all

# new TOPIC: one, two, three
new() {
    expect 0 "$WALRUS" produce "$1" <<<$'one\ntwo\nthree'
}
# next_is SEQUENCE TOPIC: what the group would get next
next_is() {
    local entry
    entry=$("$WALRUS" consume -p -n 1 -f %o "$2")
    [ "$entry" = "$1" ] || fail "next in $2: '$entry', not '$1'"
}

# ---- words on standard input
new words
expect 0 "$WALRUS" consume --ack=manual words <<<$'ack\nack'
printf 'one\ntwo\nthree\n' >"$tmp/wanted"
out_is "$tmp/wanted" # the third was shown, and given back at the end of the input
next_is 2 words
expect 0 "$WALRUS" consume --ack=manual -n 1 words </dev/null
next_is 2 words
expect 0 "$WALRUS" consume --ack=manual -f '%o\n' words <<<$'nack\nnack\nack'
printf '2\n2\n2\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 1 "$WALRUS" consume --ack=manual words <<<ack
[ ! -s "$tmp/out" ] || fail "something after the end"
new other
expect 65 "$WALRUS" consume --ack=manual other <<<$'ack\nperhaps\nack'
err_has "'perhaps'"
next_is 1 other
expect 0 "$WALRUS" consume --ack=auto -n 1 other
next_is 2 other
expect 64 "$WALRUS" consume --ack=maybe other
expect 64 "$WALRUS" consume --ack=manual --peek other
expect 64 "$WALRUS" consume --ack=auto --exec true other
next_is 2 other

# ---- a shell that works entry by entry, and stops in the middle
new shell
coproc "$WALRUS" consume --ack=manual shell 2>"$tmp/err"
consumer=$COPROC_PID
read -r line <&"${COPROC[0]}"
[ "$line" = one ] || fail "the coprocess said '$line'"
echo ack >&"${COPROC[1]}"
read -r line <&"${COPROC[0]}"
[ "$line" = two ] || fail "the coprocess said '$line'"
kill -9 "$consumer"
wait "$consumer" 2>/dev/null
next_is 1 shell

# ---- a command for each
new command
expect 0 "$WALRUS" consume --exec "cat >>'$tmp/got'" command
printf 'one\ntwo\nthree\n' | cmp - "$tmp/got" || fail "what the commands got"
expect 1 "$WALRUS" consume --exec true command
new fails
expect 69 "$WALRUS" consume --exec '! grep -q two' fails
err_has "entry 1 was given back: the command ended with code 1"
next_is 1 fails
expect 0 "$WALRUS" consume --exec 'read -r x; echo "$x" | tr a-z A-Z' -n 1 fails # reads, writes
printf 'TWO\n' >"$tmp/wanted"
out_is "$tmp/wanted"
next_is 2 fails
expect 69 "$WALRUS" consume --exec 'kill -9 $$' fails
err_has "ended by signal 9"
expect 0 "$WALRUS" consume --ack=manual --exec "cat >'$tmp/got'" -f '%o:%s' fails
[ "$(cat "$tmp/got")" = 2:three ] || fail "-f with --exec: $(cat "$tmp/got")"
seq 100000 | expect 0 "$WALRUS" produce --whole-file large
expect 0 "$WALRUS" consume --exec true large # which does not read what does not fit into a pipe
expect 1 "$WALRUS" consume large

# ---- SIGTERM reaches the command; what it did not finish comes again
new stops
"$WALRUS" consume --exec "echo \$\$ >'$tmp/pid'; exec sleep 1000" stops 2>"$tmp/err" &
consumer=$!
until_true 10 test -s "$tmp/pid" || fail "no command ran"
kill -TERM "$consumer"
wait "$consumer"
[ $? = 143 ] || fail "not ended by SIGTERM"
! kill -0 "$(cat "$tmp/pid")" 2>/dev/null || fail "the command still runs"
next_is 0 stops

finish
