#!/bin/bash
# The command line beside a mount, through the control socket: each command says and does what it does on a log of its own.
. "$(dirname "$0")/lib.sh"
setup
: "${WALRUS:?}"
unset WALRUS_INSTANCE_KEY WALRUS_FSYNC WALRUS_RETENTION WALRUS_QUIET WALRUS_BACKEND
ALONE=$WORK/alone

# both NAME COMMAND...: on the log of the mount and on one that nobody holds, with the same input (stdin); same exit code, output and
# messages. Times differ, and how much is durable: the log of the mount stays open.
both() {
    local name=$1 input=$WORK/input alone served
    shift
    cat >"$input"
    WALRUS_DATA_DIR=$ALONE "$WALRUS" "$@" <"$input" >"$WORK/alone.out" 2>"$WORK/alone.err"
    alone=$?
    WALRUS_DATA_DIR=$DATA "$WALRUS" "$@" <"$input" >"$WORK/served.out" 2>"$WORK/served.err"
    served=$?
    expect "exit code of $name" "$alone" "$served"
    sed -i -E 's/"(created_ns|appended_ns|checkpointed_ns|time_ns|durable_sequence|durable)": ?[0-9]+/"\1":0/g; s/^(created|last entry|durable sequence) .*/\1/; s/[0-9TZ:.-]{20,}//g' \
        "$WORK/alone.out" "$WORK/served.out"
    same "output of $name" "$WORK/alone.out" "$WORK/served.out"
    same "messages of $name" "$WORK/alone.err" "$WORK/served.err"
}

find_logs
start
[ -S "$DATA/control.sock" ] || fail "no socket in the data directory"
expect "mode of the socket" 600 "$(stat -c %a "$DATA/control.sock")"

both produce produce logs/one --json <"${LOGS[0]}"
both "produce one by one" produce --each --sync=each two < <(seq 100)
both "produce -0" produce -0 nul < <(printf 'a\nb\0c\0')
both "produce a file" produce --whole-file whole "${LOGS[1]}" </dev/null
both "produce nothing" produce empty </dev/null
both "create" topic create --framing write --sync each --mode 600 made </dev/null
both "create what is there" topic create made </dev/null
both "a bad name" topic create .hidden </dev/null
both ls topic ls </dev/null
both "ls --json" topic ls --json </dev/null
both info topic info two </dev/null
both "info of none" topic info nosuch </dev/null
both "info of a namespace" topic info logs </dev/null
both config topic config two --retention bytes:1M </dev/null
both "show config" topic config two --json </dev/null
both cat cat logs/one </dev/null
both "cat --json" cat --json -o +10:+20 logs/one </dev/null
both "cat from an end" cat -o -5 two </dev/null
both "tail" tail -n 3 two </dev/null
WALRUS_DATA_DIR=$DATA "$WALRUS" tail -f -n 1 two >"$WORK/followed" 2>"$WORK/tail.err" &
tail=$!
both "produce behind a tail -f" produce two <<<"and one more"
tries=0
until [ "$(tail -n 1 "$WORK/followed")" = "and one more" ] || [ $((tries += 1)) -gt 100 ]; do sleep 0.1; done
expect "tail -f beside the daemon" "and one more" "$(tail -n 1 "$WORK/followed")"
kill "$tail"
wait "$tail"
expect "messages of tail -f" "" "$(cat "$WORK/tail.err")"
both "cat by time" cat -o -1h two </dev/null
both "cat past the end" cat -o 1000 two </dev/null
both "consume" consume -n 7 two </dev/null
both "consume at least once" consume --consistency at-least-once:3 -n 5 two </dev/null
both "peek" consume --peek -n 2 two </dev/null
both "peek by its name" peek -n 2 two --json </dev/null
both "acknowledge" consume --ack=manual -n 3 two <<<$'ack\nnack\nack'
both "the end of the words" consume --ack=manual two </dev/null
both "a command" consume --exec 'grep .' -n 2 two </dev/null
both "a command that fails" consume --exec 'cat; false' two </dev/null
both "what is next after that" consume --peek -n 1 two </dev/null
both "what was given back" consume --exec cat -n 1 two </dev/null
both "an unknown group" consume -g nosuch two </dev/null
both "group create" group create readers --consistency at-least-once:10 </dev/null
both "group create again" group create readers </dev/null
both "group ls" group ls </dev/null
both "consume by a group" consume -g readers logs/one </dev/null
both "nothing left" consume -g readers logs/one </dev/null
both "group describe" group describe readers default </dev/null
both "group config" group config readers --consistency strict </dev/null
both "cursor get" cursor get two </dev/null
both "cursor set" cursor set two 50 </dev/null
both "cursor set --dry-run" cursor set --dry-run two start </dev/null
both "cursor out of range" cursor set two 101 </dev/null
both "stored" cat -o stored two </dev/null
both batch batch --json < <(printf 'two\tx\nthree\ty\ntwo =3\na\nb\n')
both "a batch with an error" batch < <(printf 'two\tx\nnonsense\n')
both "a batch on a namespace" batch < <(printf 'logs\tx\n')
both "more than a batch takes" batch < <(seq -f 'two	%g' 2001)
both trim trim two 20 --json </dev/null
both "read before the head" cat -o 3 two </dev/null
both "cursor rm" cursor rm two </dev/null
both "group rm" group rm readers nosuch </dev/null
both rm topic rm made nosuch three </dev/null
both "ls at the end" topic ls -l </dev/null

# The mount sees it at once, and the other way round.
export WALRUS_DATA_DIR=$DATA
same "what was produced" "${LOGS[0]}" <(head -c "$(stat -c %s "${LOGS[0]}")" "$MNT/logs/one")
[ -e "$MNT/made" ] && fail "a topic that was removed through the socket is in the mount"
echo from the mount >>"$MNT/two"
expect "the mount's entry" "from the mount" "$("$WALRUS" cat -o -1 two)"
tail -n0 -f "$MNT/two" >"$WORK/followed" &
tail=$!
for ((i = 0; i < 100; i++)); do
    echo tick | "$WALRUS" produce two
    [ -s "$WORK/followed" ] && break
    sleep 0.05
done
[ -s "$WORK/followed" ] || fail "tail -f did not see what came through the socket"
kill $tail
wait $tail 2>/dev/null

# An entry that is larger than what one read hands out, and one call for many.
head -c 5000000 /dev/urandom >"$WORK/large"
"$WALRUS" produce --whole-file large "$WORK/large" || fail "a large entry"
same "a large entry" "$WORK/large" <("$WALRUS" consume large)
seq 100000 >"$WORK/many"
"$WALRUS" produce many <"$WORK/many"
same "a long stream" "$WORK/many" <("$WALRUS" cat many)
same "many entries" "$WORK/many" <("$WALRUS" consume many)
seq -f 'batch/%g	x' 20 | "$WALRUS" batch || fail "a batch over 20 topics" # each locked twice; the thread sanitizer knows 64 locks at once
expect "topics of a batch" 20 "$("$WALRUS" topic ls batch | wc -l)"
seq -f 'namespace/with/a/long/name/so/that/a/list/has/parts/%g' 2000 | xargs "$WALRUS" topic create || fail "2000 topics"
expect "a long list" 2000 "$("$WALRUS" topic ls namespace | wc -l)"

# For Prometheus, the same as from the mount: names, kinds and words; and the figures of topics and groups.
"$WALRUS" topic create 'quo"te\d' || fail "a name to be escaped"
"$WALRUS" metrics >"$WORK/metrics" || fail metrics
cp "$MNT/.walrus/metrics" "$WORK/mount-metrics"
same "words for Prometheus" <(grep '^#' "$WORK/mount-metrics" | grep -v 'start_time\|open_files' | sort) <(grep '^#' "$WORK/metrics" | sort)
same "topics for Prometheus" <(grep '^walrus_\(topic\|group\)_' "$WORK/mount-metrics" | grep -v durable | sort) \
    <(grep '^walrus_\(topic\|group\)_' "$WORK/metrics" | grep -v durable | sort)
grep -q '^walrus_group_lag_entries{topic="many",group="default"} 0' "$WORK/metrics" || fail "no group in the metrics"
grep -qF 'walrus_topic_entries{topic="quo\"te\\d"} 0' "$WORK/metrics" || fail "a name that is not escaped"

# What needs the log for itself says so.
"$WALRUS" check >/dev/null 2>"$WORK/message"
expect "exit code of check" 75 $?
grep -q "fusermount3 -u" "$WORK/message" || fail "check does not say what to do"
expect "nothing left in the daemon" 0 "$(ls -l "/proc/$DAEMON/fd" | grep -c deleted)"
stop
[ -e "$DATA/control.sock" ] && fail "the socket outlived the daemon"

# A socket that a killed daemon left is no obstacle: for the command line, nor for the next daemon.
start
crash
fusermount3 -u -z "$MNT"
[ -S "$DATA/control.sock" ] || fail "the test has no stale socket"
echo after | "$WALRUS" produce two || fail "produce beside a stale socket"
start
expect "through the new socket" after "$("$WALRUS" cat -o -1 two)"
stop

# The path may be longer than the address of a socket.
long=$WORK/$(printf 'd%.0s' {1..150})
mkdir "$long"
DATA=$long/data
start
echo far | WALRUS_DATA_DIR=$DATA "$WALRUS" produce far || fail "produce by a long path"
expect "by a long path" far "$(cat "$MNT/far")"
stop

# Each instance has its own.
start -o key=tenant
[ -S "$DATA/tenant/control.sock" ] || fail "no socket in the directory of the instance"
echo own | WALRUS_DATA_DIR=$DATA "$WALRUS" -k tenant produce own || fail "produce to an instance"
expect "of the instance" own "$(cat "$MNT/own")"
stop

# Something else in its place is left alone, and the mount goes on without.
echo mine >"$DATA/control.sock"
start
grep -q "control socket" "$WORK/stderr" || fail "no word of the missing socket"
echo on >>"$MNT/on" || fail "the mount without a socket"
stop
expect "the file in the socket's place" mine "$(cat "$DATA/control.sock")"
finish
