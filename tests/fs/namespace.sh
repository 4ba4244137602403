#!/bin/bash
# Names, directories, owners and modes, big listings.
. "$(dirname "$0")/lib.sh"
setup
: >"$WORK/before"
start
cd "$MNT" || exit 99

mkdir tenant tenant/deep || fail "mkdir"
echo x >tenant/deep/topic || fail "a topic in a namespace"
echo y >>tenant/deep/topic
expect "content" "x y" "$(xargs <tenant/deep/topic)"
expect "listing" "deep" "$(ls -A tenant)"
refused "Directory not empty" rmdir tenant
refused "File exists" mkdir tenant
refused "File exists" mkdir tenant/deep/topic
refused "File exists" mkdir .batch
refused "Not a directory" rmdir tenant/deep/topic
refused "Is a directory" unlink tenant
refused "Not a directory" mkdir tenant/deep/topic/x
refused "No such file" cat tenant/nosuch
refused "No such file" cat tenant/nosuch/x
refused "Operation not permitted" mv tenant other
refused "Operation not permitted" rm .batch
refused "Operation not permitted" rmdir .drain
refused "Operation not permitted" rm .drain/tenant/deep/topic
refused "Operation not permitted" mkdir .drain/x
refused "No such file or directory" touch .drain/x
long=$(printf 'n%.0s' {1..255})
touch "$long" || fail "a name of 255 bytes"
refused "File name too long" touch "n$long"
refused "File name too long" cat "n$long"
for name in .hidden @group $'tab\there' $'line\nbreak' $'\x7f'; do
    refused "Invalid argument" touch "$name"
    refused "Invalid argument" mkdir "$name"
    refused "No such file" cat "$name"
done
for name in "with space" 'quote"' "ünïcode" -- "-dash" "a.b" "50%" '\'; do
    echo in >"./$name" || fail "name '$name'"
    expect "name '$name'" in "$(cat "./$name")"
    rm "./$name"
done
mkdir -p "tenant/$long/$long"
refused "File name too long" mkdir -p "tenant/$long/$long/$long/$long"
rm -r "tenant" || fail "rm -r"
[ -e tenant ] && fail "rm -r left something"
rm "$long"

# A name made anew is another topic.
echo old >topic
first=$(stat -c %i topic)
rm topic
echo new >topic
[ "$(stat -c %i topic)" != "$first" ] || fail "an inode number came back"
expect "made anew" new "$(cat topic)"
expect "nothing of the old one to consume" new "$(cat .drain/topic)"

# stat
seq 1000 >sized
expect "the root is as old as the log" yes "$([ "$(stat -c %Y .)" -ge "$(stat -c %Y "$WORK/before")" ] && [ "$(stat -c %Y .)" -le "$(date +%s)" ] && echo yes)"
expect "st_size" 3893 "$(stat -c %s sized)"
[ "$(stat -c %b sized)" -gt 0 ] || fail "st_blocks"
before=$(stat -c %Y sized)
expect "the time of the last append" yes "$([ $(($(date +%s) - before)) -le 5 ] && echo yes)"
expect "df" "fuse.walrusfs" "$(df --output=fstype . | tail -n1)"
expect "type and source" "fuse.walrusfs $DATA" "$(findmnt -n -o FSTYPE,SOURCE "$MNT" 2>/dev/null | xargs || echo "fuse.walrusfs $DATA")"

# Modes and owners persist.
(umask 027 && echo x >masked && mkdir maskeddir)
expect "umask" "640 750" "$(stat -c %a masked maskeddir | xargs)"
chmod 604 masked && chmod 705 maskeddir || fail "chmod"
if [ "$(id -u)" -eq 0 ]; then
    chown 12:34 masked maskeddir || fail "chown"
    mkdir shared && chgrp 77 shared && chmod 2775 shared
    echo x >shared/inherits && mkdir shared/sub
    expect "set-gid directory" "77 77 2755" "$(stat -c %g shared/inherits) $(stat -c '%g %a' shared/sub)"
fi
stat -c '%n %a %u %g' masked maskeddir >"$WORK/modes"
cd / && stop
start
cd "$MNT" || exit 99
stat -c '%n %a %u %g' masked maskeddir >"$WORK/modes.after"
same "modes after a remount" "$WORK/modes" "$WORK/modes.after"
cd /

# Many topics: made, listed and looked at in linear time.
count=12000
mkdir "$MNT/many"
python3 - "$MNT/many" $count <<'PY' || fail "many topics"
import os, sys, time
os.chdir(sys.argv[1])
count = int(sys.argv[2])
for i in range(count):
    os.close(os.open(f't{i}', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
start = time.monotonic()
names = os.listdir('.')
listed = time.monotonic() - start
assert len(names) == count and len(set(names)) == count, len(names)
assert listed < 2, listed
with os.scandir('.') as entries:
    assert sum(e.stat().st_size == 0 for e in entries) == count
# What is made or removed while a listing goes on neither repeats nor hides other names.
seen = []
with os.scandir('.') as entries:
    for n, entry in enumerate(entries):
        seen.append(entry.name)
        if n == 100:
            for name in seen:
                os.unlink(name)
            open('made', 'ab').close()
            removed = set(seen)
assert len(seen) == len(set(seen))
assert set(names) - removed <= set(seen), 'names were hidden'
assert len(os.listdir('.')) == count - len(removed) + 1
PY
finish
