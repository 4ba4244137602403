#!/bin/bash
# Every subcommand: what it prints, as text and as JSON, and its exit codes.
. "$(dirname "$0")/lib.sh"

lines 3000 >"$tmp/lines"
printf 'no newline at the end' >>"$tmp/lines"
{ cat "$tmp/lines"; echo; } >"$tmp/whole"
count=3001

# ---- usage
expect 64 "$WALRUS"
expect 64 "$WALRUS" nonsense
err_has "walrus help"
expect 64 "$WALRUS" topic
err_has "topic ls"
expect 64 "$WALRUS" produce
expect 64 "$WALRUS" cat --no-such-option t
expect 64 "$WALRUS" topic create .hidden
err_has "no topic name"
expect 64 env WALRUS_FSYNC=sometimes "$WALRUS" topic ls
expect 0 "$WALRUS" help
out_has "produce"
expect 0 "$WALRUS" version
expect 0 "$WALRUS" version --json
json 'len(o) == 1 and o[0]["version"].count(".") == 2'
for command in "topic ls" "topic create" "topic info" "topic config" "topic rm" "group ls" "group create" "group config" \
               "group rm" "group describe" "cursor get" "cursor set" "cursor rm" produce cat tail consume peek batch trim check dump stat \
               "bench writes" "bench reads" "bench batch" "bench mount" "bench scale" "bench open" "bench topics" version; do
    # shellcheck disable=SC2086
    expect 0 "$WALRUS" $command --help
    out_has "Usage: walrus $command"
    out_has "--json"
done

# ---- no log, no topic
expect 66 "$WALRUS" topic ls
err_has "hint:"
expect 66 "$WALRUS" cat t
[ ! -e "$WALRUS_DATA_DIR" ] || fail "a reading command made the log"

# ---- topic create, ls, info
expect 0 "$WALRUS" topic create a/empty b
expect 64 "$WALRUS" topic create b
expect 0 "$WALRUS" topic ls
printf 'a/empty\nb\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" topic ls a
out_has a/empty
expect 0 "$WALRUS" topic ls -l
out_has ENTRIES
out_has LAG
expect 0 "$WALRUS" topic ls --json
json '[t["topic"] for t in o] == ["a/empty", "b"] and all(t["entries"] == 0 for t in o)'
expect 66 "$WALRUS" topic info nothing
expect 66 "$WALRUS" topic info a
expect 66 "$WALRUS" cat nothing

# ---- global options before and after the command
expect 0 "$WALRUS" -D "$tmp/other" produce t "$tmp/lines"
expect 0 "$WALRUS" cat --data-dir="$tmp/other" t
out_is "$tmp/whole"
expect 0 "$WALRUS" -D "$tmp/other" -k key topic create keyed
expect 0 "$WALRUS" topic ls -D "$tmp/other" -k key
out_has keyed

# ---- produce and cat
expect 0 "$WALRUS" produce t "$tmp/lines" --json
json "len(o) == 1 and o[0]['topic'] == 't' and o[0]['entries'] == $count and o[0]['next_sequence'] == $count"
expect 0 "$WALRUS" cat t
out_is "$tmp/whole"
expect 0 "$WALRUS" produce ns/each --each --sync=each <<<"one"
[ ! -s "$tmp/out" ] || fail "produce printed something"
expect 0 "$WALRUS" produce ns/each --sync - <<<"two"
expect 0 "$WALRUS" cat ns/each
printf 'one\ntwo\n' >"$tmp/wanted"
out_is "$tmp/wanted"
expect 66 "$WALRUS" produce never "$tmp/no-such-file"
expect 66 "$WALRUS" topic info never

printf 'a\nb\0c\0\0d' >"$tmp/nul"
expect 0 "$WALRUS" produce nul -0 "$tmp/nul"
expect 0 "$WALRUS" cat nul --json
json '[e["data"] for e in o] == ["a\nb", "c", "", "d"]'
expect 0 "$WALRUS" cat nul
{ cat "$tmp/nul"; printf '\0'; } >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" produce comma -d , <<<"x,y"
expect 0 "$WALRUS" cat comma --json
json '[e["data"] for e in o] == ["x", "y\n"]'
expect 0 "$WALRUS" produce whole --whole-file "$tmp/lines" "$tmp/nul"
expect 0 "$WALRUS" topic info whole --json
json 'o[0]["entries"] == 2 and o[0]["framing"] == "write"'
expect 0 "$WALRUS" cat whole
cat "$tmp/lines" "$tmp/nul" >"$tmp/wanted"
out_is "$tmp/wanted"
head -c 5000000 /dev/zero | tr '\0' x >"$tmp/long"
{ echo short; cat "$tmp/long"; echo; echo end; } >"$tmp/wanted"
expect 0 "$WALRUS" produce long "$tmp/wanted"
expect 0 "$WALRUS" cat long
out_is "$tmp/wanted"
expect 0 "$WALRUS" cat long -f '%o %S\n'
printf '0 5\n1 5000000\n2 3\n' >"$tmp/wanted"
out_is "$tmp/wanted"

# lines that trickle are there before the writer ends
mkfifo "$tmp/fifo"
"$WALRUS" produce trickle <"$tmp/fifo" &
exec 7>"$tmp/fifo"
echo first-drop >&7
until_true 10 sh -c "'$WALRUS' dump --payload | grep -q first-drop" || fail "a trickling line was held back"
exec 7>&-
wait

# ---- offsets, formats
expect 0 "$WALRUS" cat t -o 10:13
sed -n 11,13p "$tmp/whole" >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" cat t -o 10:+3
out_is "$tmp/wanted"
expect 0 "$WALRUS" cat t -o +10 -n 3
out_is "$tmp/wanted"
expect 0 "$WALRUS" cat t -o -2
tail -n 2 "$tmp/whole" >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" cat t -o end
[ ! -s "$tmp/out" ] || fail "-o end printed something"
expect 0 "$WALRUS" cat t -o -1h
out_is "$tmp/whole"
expect 0 "$WALRUS" cat t -o 2001-01-01T00:00:00:@1000000000
[ ! -s "$tmp/out" ] || fail "a range of times long ago printed something"
expect 0 "$WALRUS" cat ns/each --json
second=$("$python" -c 'import json, sys; t = [json.loads(l)["time_ns"] for l in sys.stdin][1]
print("@%d.%09d" % divmod(t, 10**9))' <"$tmp/out")
expect 0 "$WALRUS" cat ns/each -o "$second"
echo two >"$tmp/wanted"
out_is "$tmp/wanted"
expect 0 "$WALRUS" cat ns/each -o ":$second"
echo one >"$tmp/wanted"
out_is "$tmp/wanted"
expect 64 "$WALRUS" cat t -o 999999
expect 64 "$WALRUS" cat t -o yesterday
expect 0 "$WALRUS" cat t -n 1 -f '%t:%o:%S:%R|\x41%%\n'
printf 't:0:%d:' "$(($(head -n 1 "$tmp/whole" | wc -c) - 1))" >"$tmp/wanted"
cmp -n "$(stat -c %s "$tmp/wanted")" "$tmp/out" "$tmp/wanted" || fail "-f"
out_has '|A%'
expect 64 "$WALRUS" cat t -f '%q'
expect 0 "$WALRUS" cat t --json -n 5
json '[e["sequence"] for e in o] == [0, 1, 2, 3, 4] and all(e["time_ns"] > 10**18 and len(e["data"]) == e["length"] for e in o)'
printf '\377\376\n' | "$WALRUS" produce binary
expect 0 "$WALRUS" cat binary --json
json 'o[0]["base64"] == "//4=" and "data" not in o[0]'

# ---- output that goes nowhere
"$WALRUS" cat t 2>"$tmp/err" | head -n 1 >/dev/null
"$WALRUS" dump 2>>"$tmp/err" | head -n 1 >/dev/null
[ ! -s "$tmp/err" ] || fail "noise on SIGPIPE: $(cat "$tmp/err")"
code=0
"$WALRUS" cat t >/dev/full 2>"$tmp/err" || code=$?
[ "$code" = 74 ] || fail "a full output gave $code"
err_has "No space left"

# ---- batch
printf 'bt\tone\nbt =5\nt\nwo\n\nbt\t\n' | expect 0 "$WALRUS" batch --json
json 'len(o) == 1 and o[0]["topic"] == "bt" and o[0]["entries"] == 3 and o[0]["next_sequence"] == 3'
expect 0 "$WALRUS" cat bt --json
json '[e["data"] for e in o] == ["one", "t\nwo\n", ""]'
printf 'bt\tfour\nthis is no entry\n' | expect 65 "$WALRUS" batch
err_has "line 2"
printf 'bt\tfour\nbt =10\nshort' | expect 65 "$WALRUS" batch
seq 2001 | sed 's/^/bt\t/' | expect 64 "$WALRUS" batch
printf 'bt\tfour\nABORT\n' | expect 0 "$WALRUS" batch
expect 0 "$WALRUS" topic info bt --json
json 'o[0]["entries"] == 3'
seq 2000 | sed 's/^/bt\t/' >"$tmp/batch"
expect 0 "$WALRUS" batch --sync "$tmp/batch"
expect 0 "$WALRUS" topic info bt --json
json 'o[0]["entries"] == 2003 and o[0]["durable_sequence"] == 2003'
printf 'b1\tone\nns/b2\ttwo\nb1\tthree\nCOMMIT\nns/b2 =4\nfour\nb3\t\n' | expect 0 "$WALRUS" batch --json
json '[(e["batch"], e["topic"], e["entries"]) for e in o] == [(1, "b1", 2), (1, "ns/b2", 1), (2, "ns/b2", 1), (2, "b3", 1)]'
json '[(e["first_sequence"], e["next_sequence"]) for e in o] == [(0, 2), (0, 1), (1, 2), (0, 1)]'
expect 0 "$WALRUS" cat ns/b2 --json
json '[e["data"] for e in o] == ["two", "four"]'
# A topic that cannot be there: nothing is written, and none of the others is made.
printf 'b4\tone\nns\ttwo\n' | expect 66 "$WALRUS" batch
expect 66 "$WALRUS" topic info b4
printf 'b1\tx\nb4\tone\nb1/below\ttwo\n' | expect 66 "$WALRUS" batch
expect 0 "$WALRUS" topic info b1 --json
json 'o[0]["entries"] == 2'
mkfifo "$tmp/batch-fifo"
"$WALRUS" batch <"$tmp/batch-fifo" 2>"$tmp/err" &
holder=$!
exec 7>"$tmp/batch-fifo"
printf 'bt\tinterrupted\n' >&7
until_true 10 grep -q "SigCgt:.*[4-7c-f]...$" "/proc/$holder/status" || fail "batch catches no SIGTERM"
kill -TERM "$holder"
wait "$holder"
[ $? = 143 ] || fail "batch did not end by SIGTERM"
exec 7>&-
expect 0 "$WALRUS" topic info bt --json
json 'o[0]["entries"] == 2003'

# ---- check, dump, stat
expect 0 "$WALRUS" check
out_has "clean:"
expect 0 "$WALRUS" check --json
json 'o[-1]["type"] == "summary" and o[-1]["clean"] is True and o[-1]["entries"] > 5000'
expect 0 "$WALRUS" dump --topic t
[ "$(grep -c '^entry ' "$tmp/out")" = "$count" ] || fail "dump shows $(grep -c '^entry ' "$tmp/out") entries"
expect 0 "$WALRUS" dump --json --payload
json 'all(i["type"] == "item" for i in o) and any(i.get("data") == "first-drop" for i in o)'
expect 0 "$WALRUS" stat
out_has LAG
expect 0 "$WALRUS" stat --json
json "o[0]['type'] == 'log' and [t['lag'] for t in o if t.get('topic') == 't'] == [$count]"

# ---- rm
expect 0 "$WALRUS" topic rm whole long
expect 66 "$WALRUS" cat long
expect 66 "$WALRUS" topic rm long
expect 0 "$WALRUS" check

# ---- trim: what is before the place is gone, also for whoever opens the log next; a dry run touches nothing
seq 1 100 | expect 0 "$WALRUS" produce trimmed
expect 0 "$WALRUS" trim --dry-run trimmed 40
out_has "40 entries would go"
expect 0 "$WALRUS" cat trimmed
[ "$(wc -l <"$tmp/out")" = 100 ] || fail "a dry run of trim took $((100 - $(wc -l <"$tmp/out"))) entries"
expect 0 "$WALRUS" trim trimmed 40
expect 0 "$WALRUS" cat trimmed
[ "$(head -n 1 "$tmp/out") $(wc -l <"$tmp/out")" = "41 60" ] || fail "after trim: $(head -n 1 "$tmp/out") first"
expect 0 "$WALRUS" trim --json trimmed -o -10
[ "$(jq -c '[.from, .to, .entries, .trimmed]' "$tmp/out")" = "[40,90,50,true]" ] || fail "trim --json: $(cat "$tmp/out")"
expect 64 "$WALRUS" trim trimmed 200
expect 64 "$WALRUS" trim trimmed
expect 66 "$WALRUS" trim nothing-there 1
expect 0 "$WALRUS" stat --json
[ "$(jq -r 'select(.type == "log") | .retention' "$tmp/out")" = consumed ] || fail "stat --json: $(head -n 1 "$tmp/out")"
expect 0 "$WALRUS" topic rm trimmed

# ---- bench, small: it runs, verifies what it wrote, and leaves nothing behind
mkdir "$tmp/bench"
small=(--threads 2 --runs 1 --entries 2000 --dir "$tmp/bench")
expect 0 "$WALRUS" bench writes "${small[@]}" --fsync none,each --duration 1s --csv "$tmp/csv" --json
json 'len(o) == 4 and all(s["entries_per_second"] > 0 for s in o)'
grep -q '^timestamp,elapsed_seconds,writes_per_second,' "$tmp/csv" || fail "no CSV header"
grep -q '^#summary,writes,walrus append,' "$tmp/csv" || fail "no CSV summary"
expect 0 "$WALRUS" bench batch "${small[@]}" --batch 100
expect 0 "$WALRUS" bench reads "${small[@]}" --duration 1s --json
json 'len(o) == 10'
[ -z "$(ls -A "$tmp/bench")" ] || fail "bench left $(ls "$tmp/bench")"
expect 64 env WALRUS_THREADS=many "$WALRUS" bench writes

# ---- bench open, bench topics: each opening is told of, and nothing is left
expect 0 "$WALRUS" bench open --bytes 8M --since 4M --topics 2 --rounds 2 --dir "$tmp" --json
[ "$(jq -r .what "$tmp/out" | xargs)" = \
    "written open after a kill open after a close open after a kill open after a close" ] || fail "bench open: $(cat "$tmp/out")"
[ "$(jq -s '[.[] | select(.what == "open after a close")] | map(.detail | contains(" walked 0.0 MiB")) | all' "$tmp/out")" = true ] ||
    fail "an open after a close walked something: $(cat "$tmp/out")"
[ "$(jq -s '.[1].detail | contains(" walked 0.0 ")' "$tmp/out")" = false ] || fail "nothing was walked after a kill"
expect 0 "$WALRUS" bench topics --topics 300 --rounds 1 --dir "$tmp" --json
[ "$(jq -s '[.[] | .value > 0] | all and length == 5' "$tmp/out")" = true ] || fail "bench topics: $(cat "$tmp/out")"
[ -z "$(find "$tmp" -maxdepth 1 -name 'walrus-bench-*')" ] || fail "bench open or topics left something"
expect 64 "$WALRUS" bench topics --topics 0

# ---- bench scale: a row for each size of each axis, in all three forms
expect 0 "$WALRUS" bench scale --bytes 10M --topics 10 --groups 1 --dir "$tmp/bench" --csv "$tmp/csv" --json
[ "$(jq -s '[.[] | select(.axis == "bytes" and .operation == "append") | .size] | join(" ")' -r "$tmp/out")" = "1048576 10485760" ] ||
    fail "bench scale: $(head -n 3 "$tmp/out")"
[ "$(jq -s '[.[] | select(.ns <= 0)] | length' "$tmp/out")" = 0 ] || fail "bench scale: something cost nothing"
[ "$(grep -c '^topics,10,' "$tmp/csv")" -ge 4 ] || fail "bench scale --csv: $(head -n 3 "$tmp/csv")"
[ -z "$(ls -A "$tmp/bench")" ] || fail "bench scale left $(ls "$tmp/bench")"
if command -v gnuplot >/dev/null; then
    expect 0 "$WALRUS" bench scale --bytes 0 --topics 10 --groups 0 --dir "$tmp/bench" --plot "$tmp/plot.svg"
    grep -q '<svg' "$tmp/plot.svg" || fail "bench scale --plot drew no SVG"
fi
expect 64 "$WALRUS" bench scale --plot "it's.svg"

# --- help on a group of commands ---
expect 0 "$WALRUS" topic --help
out_has "walrus topic ls"

finish
