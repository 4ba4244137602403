#!/bin/bash
# Groups are directories of the control directories: each consumes everything once, and none comes into being by a slip.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all # it reads the topics again
setup
chmod 755 "$WORK"
start -o allow_other
cd "$MNT" || exit 99
listed() { ls -A "$1" | LC_ALL=C sort | xargs; }

seq 10 >orders
mkdir ns
seq 5 >ns/deep
refused "No such file" cat .drain/@billing/orders
refused "No such file" ls .drain/@billing
mkdir .drain/@billing || fail "mkdir"
expect "listing" "@billing ns orders" "$(listed .drain)"
expect "listing of a group" "ns orders" "$(listed .drain/@billing)"
expect "listing in a group" deep "$(listed .drain/@billing/ns)"
expect "type" directory "$(stat -c %F .drain/@billing)"
expect "billing" "1 2 3" "$(head -n3 .drain/@billing/orders | xargs)"
expect "default" "1 2" "$(head -n2 .drain/orders | xargs)"
expect "billing goes on" "4" "$(head -n1 .drain/@billing/orders)"
expect "default goes on, by its name" "3" "$(head -n1 .drain/@default/orders)"
expect "billing in a namespace" "1 2 3 4 5" "$(xargs <.drain/@billing/ns/deep)"
expect "empty for it" "" "$(cat .drain/@billing/ns/deep)"
expect "not for the others" "1 2 3 4 5" "$(xargs <.drain/ns/deep)"
expect "one inode number each" 4 \
    "$(stat -c %i orders .drain/orders .drain/@billing/orders .drain/@default/orders | sort -u | wc -l)"
python3 - <<'PY' || fail "inode numbers of a listing"
import os
assert {e.name: e.inode() for e in os.scandir('.drain/@billing')} == {
    n: os.stat('.drain/@billing/' + n).st_ino for n in os.listdir('.drain/@billing')}
PY

refused "File exists" mkdir .drain/@billing
refused "File exists" mkdir .drain/@default
refused "Operation not permitted" rmdir .drain/@default
refused "Operation not permitted" mkdir .drain/billing
refused "Operation not permitted" mkdir .drain/@billing/more
refused "No such file" mkdir .drain/@billing/@more/x
refused "Invalid argument" mkdir .drain/@.x
refused "Invalid argument" mkdir .drain/@
refused "No such file" rmdir .drain/@nosuch
refused "No such file" cat .drain/@biling/orders
refused "No such file" cat .drain/@billing/nosuch
refused "No such file" cat .drain/@billing/@billing/orders
refused "No such file" cat @billing/orders
expect "no group by a slip" "@billing ns orders" "$(listed .drain)"

# Workers of several groups side by side: each group sees each entry once.
mkdir .drain/@other
seq 300 >shared
pids=()
for group in @billing @other; do
    for worker in 1 2 3; do
        while read -r line; do echo "$line"; done <".drain/$group/shared" >"$WORK/$group.$worker" &
        pids+=($!)
    done
done
wait "${pids[@]}"
for group in @billing @other; do
    expect "$group" "$(seq 300 | md5sum)" "$(sort -n "$WORK/$group".? | md5sum)"
done

# A group that is removed takes its position with it, also for whoever has it open.
exec 5<.drain/@billing/orders
read -r line <&5
expect "before" 5 "$line"
rmdir .drain/@billing || fail "rmdir"
read -r line <&5 2>/dev/null && fail "a read for a group that is gone gave '$line'"
mkdir .drain/@billing
read -r line <&5 2>/dev/null && fail "a read for a group that was made anew gave '$line'"
exec 5<&-
expect "made anew" "1 2" "$(head -n2 .drain/@billing/orders | xargs)"

# What a user may not write, he may not consume, whoever he says he is; and groups are made where topics are.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    as() { setpriv --reuid 4242 --regid 4242 --clear-groups "$@"; }
    refused "Permission denied" as cat .drain/@billing/orders
    refused "Permission denied" as mkdir .drain/@theirs
    refused "Permission denied" as rmdir .drain/@billing
    chmod 666 orders
    expect "allowed" "3" "$(as head -n1 .drain/@billing/orders)"
    chmod 777 .
    as mkdir .drain/@theirs || fail "mkdir where it is allowed"
    rmdir .drain/@theirs
fi

# Groups and their positions outlive the mount.
cd / && stop
start -o showctl
cd "$MNT" || exit 99
expect "listing after a remount" "@billing @other ns orders shared" "$(listed .drain)"
expect "position after a remount" 0 "$(cat .drain/@other/shared | wc -l)"
cd /
finish
