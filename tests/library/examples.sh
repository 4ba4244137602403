#!/bin/bash
# Each program of examples/ does what its head says, on a log of its own.
#
#   examples.sh EXAMPLES_SOURCE_DIR EXAMPLES_BUILD_DIR LIBWALRUS
source "$(dirname "$0")/lib.sh"
source_dir=$1 build_dir=$2 libwalrus=$3
unset WALRUS_DATA_DIR WALRUS_INSTANCE_KEY WALRUS_FSYNC WALRUS_RETENTION WALRUS_BACKEND
log=$scratch/log

example() {
    local name=$1
    shift
    "$build_dir/example-$name" "$@"
}

# What was forgotten here would never be run.
for source in "$source_dir"/*.c "$source_dir"/*.cpp; do
    name=$(basename "$source")
    grep -q "^example_${name%.*}()" "$0" || fail "no test for $name"
    [ -x "$build_dir/example-${name%.*}" ] || [ "$name" = raii.cpp ] || fail "$name was not built"
done

example_produce() {
    same produce '5 entries, the last one is number 4 at offset 8' "$(seq 5 | example produce "$log" shop/orders)"
    same 'produce, again' '1 entries, the last one is number 5 at offset 10' "$(echo six | example produce "$log" shop/orders)"
    same 'produce nothing' '' "$(example produce "$log" shop/orders </dev/null)"
    same 'produce into a bad name' "produce: '.x' is not a valid name (components without '/', control characters, leading '.' or '@')
1" "$(echo x | example produce "$log" .x 2>&1; echo $?)"
    example produce 2>/dev/null
    same 'produce without arguments' 64 $?
}

example_batch() {
    same batch 'transfer 0: ann -> bob: 25
ann has -25, bob has 25' "$(example batch "$log" ann bob 25)"
    same 'batch, again' 'transfer 1: bob -> carl: 5
bob has 20, carl has 5' "$(example batch "$log" bob carl 5)"
    example batch "$log" ann .x 5 >"$scratch/out" 2>&1 && fail 'batch: a bad name is no error'
    same 'batch: what fails does nothing' 'ann has -26, bob has 21' "$(example batch "$log" ann bob 1 | tail -n1)"
}

example_consume() {
    { seq 300; echo '!once more'; seq 300; } | example produce "$log" jobs >"$scratch/out"
    local output
    output=$(example consume "$log" jobs 4)
    same 'consume: each job is done once' "$({ seq 300; echo '!once more'; seq 300; } | awk '{print "done " NR - 1 ": " $0}' | sort)" \
        "$(grep ^done <<<"$output" | sort)"
    same 'consume: what failed came back' 'failed 300: !once more' "$(grep -v ^done <<<"$output")"
    same 'consume: nothing is left' '' "$(example consume "$log" jobs 2)"
    echo late | example produce "$log" jobs >"$scratch/out"
    same 'consume: only what is new' 'done 601: late' "$(example consume "$log" jobs 1)"
}

example_follow() {
    same follow "$(printf '0: a\n1: b')" "$(printf 'a\nb\n' | example follow "$log" followed)"
    same 'follow, from the end on' "$(seq 1000 | awk '{print $1 + 1 ": " $1}')" "$(seq 1000 | example follow "$log" followed)"
}

example_replay() {
    seq 5 | example produce "$log" replayed >"$scratch/out"
    same replay "$(seq 5 | awk '{print "T " $1 - 1 " " $1}')" \
        "$(example replay "$log" replayed 3600 2>"$scratch/err" | sed 's/^[0-9]*-[0-9]*-[0-9]*T[0-9:]*Z/T/')"
    same 'replay, the count' '5 entries' "$(cat "$scratch/err")"
    sleep 1.1
    echo late | example produce "$log" replayed >"$scratch/out"
    same 'replay: what is late enough' 'late' "$(example replay "$log" replayed 1 2>"$scratch/err" | cut -d' ' -f3)"
    example replay "$scratch/none" replayed 1 2>"$scratch/err" && fail 'replay made a log'
}

example_retention() {
    example retention "$log" kept >"$scratch/out" || fail 'retention fails'
    same 'retention: empty' 'empty: entries 0 to 0, 0 bytes, 0 on disk' "$(head -n1 "$scratch/out")"
    # At least the newest MiB stays of 16, and some of the rest goes; then all stays; then ten entries do.
    awk -F'[^0-9]+' '
        /^written/ && ($3 != 16384 || $2 == 0 || $4 < 1048576) {exit 1}
        /^written/ {first = $2}
        /^kept/ && ($3 != 20480 || $2 < first || ($3 - $2) * 1025 < 5 * 1048576) {exit 1}
        /^trimmed/ && ($2 != 20470 || $3 != 20480 || $4 != 10250 || $5 > 8388608) {exit 1}
        END {if (NR != 4) exit 1}' "$scratch/out" || fail "retention: $(cat "$scratch/out")"
}

example_raii() {
    [ -x "$build_dir/example-raii" ] || return # without a C++ compiler
    same raii "$(printf '0: hello\n1: world\n2: the end\nnot found: no topic %sthere/is/no/such/topic%s' "'" "'")" \
        "$(example raii "$log" greetings hello world)"
    same 'raii, an exception' "raii: open log '$scratch/none/log': the directory above it does not exist" \
        "$(example raii "$scratch/none/log" t x 2>&1)"
}

from_python() {
    # The Python program is not of the sanitizer's making, and a library that is cannot be loaded into it.
    if nm -D "$libwalrus" | grep -q '__asan_init\|__tsan_init'; then return; fi
    same from_python "$(printf '0: a\n1: b c\n2: däöü')" \
        "$(LIBWALRUS=$libwalrus python3 "$source_dir/from_python.py" "$log" python a 'b c' däöü)"
    same 'from_python, an error' "OSError: [Errno 22] '.x' is not a valid name" \
        "$(LIBWALRUS=$libwalrus python3 "$source_dir/from_python.py" "$log" .x a 2>&1 | tail -n1 | cut -d'(' -f1 | sed 's/ $//')"
}

for run in $(declare -F | awk '$3 ~ /^example_/ {print $3}') from_python; do
    $run
done
finish
