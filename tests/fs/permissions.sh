#!/bin/bash
# Other users: what the kernel checks (default_permissions), and what it cannot: consuming, and batches.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || skip "needs root, to be somebody else"
command -v setpriv >/dev/null || skip "no setpriv"
setup
chmod 755 "$WORK"
start -o allow_other
cd "$MNT" || exit 99

# Somebody in group 5000 beside the own one; nobody in particular.
as() { setpriv --reuid 4242 --regid 4242 --groups 5000 "$@"; }
refused() { as "$@" 2>/dev/null && fail "'$*' worked"; }
allowed() { as "$@" >/dev/null || fail "'$*' was refused"; }
append() { as bash -c "echo theirs >>'$1'" 2>/dev/null; }
batch() { as bash -c "printf '$1\ttheirs\nCOMMIT\n' >.batch" 2>/dev/null; }
nonblock() { as dd if="$1" iflag=nonblock status=none; }

echo ours | tee private readable writable grouped >/dev/null
mkdir closed open
echo ours | tee closed/topic open/topic >/dev/null
chmod 600 private
chmod 644 readable
chmod 666 writable closed/topic
chmod 660 grouped && chgrp 5000 grouped
chmod 700 closed
chmod 1777 open

refused cat private
allowed cat readable
append private && fail "append to private"
append readable && fail "append to readable"
append writable || fail "append to writable"
append grouped || fail "append by the supplementary group"
append new && fail "a topic made in a directory of others"
append open/new || fail "a topic made where all may"
expect "its owner" "4242 4242" "$(stat -c '%u %g' open/new)"
refused rm -f readable
refused rm -f open/topic
allowed rm -f open/new
refused chmod 777 readable
refused chown 4242 readable
refused mkdir space
refused cat closed/topic

# Consuming takes the right to write.
for topic in private readable; do
    refused cat ".drain/$topic"
done
refused cat .drain/closed/topic
expect "O_NONBLOCK without it is replay" "ours ours" "$(nonblock readable) $(nonblock readable)"
expect "O_NONBLOCK with it" "ours theirs " "$(nonblock writable | xargs) $(nonblock writable | xargs)"
expect ".drain by the group" "ours theirs" "$(as cat .drain/grouped | xargs)"

batch private && fail "batch to private"
batch readable && fail "batch to readable"
batch closed/topic && fail "batch to a closed directory"
batch closed/new && fail "a topic made by a batch in a closed directory"
batch new && fail "a topic made by a batch in a directory of others"
batch writable || fail "batch to writable"
batch grouped || fail "batch by the supplementary group"
batch open/batched || fail "a topic made by a batch"
expect "its owner" "4242 4242 644" "$(stat -c '%u %g %a' open/batched)"
[ -e new ] || [ -e closed/new ] && fail "made all the same"

# Who opened .batch counts, not who writes into it.
as bash -c 'exec 9>.batch; exec 8<>/dev/null; sleep 0.1; printf "private\tx\nCOMMIT\n" >&9' 2>/dev/null && fail "batch"
expect "private" ours "$(cat private)"
cd /
finish
