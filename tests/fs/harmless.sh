#!/bin/bash
# Tools that look at everything consume nothing, and never meet the control files.
. "$(dirname "$0")/lib.sh"
setup
find_logs
start
cd "$MNT" || exit 99

mkdir space
for log in "${LOGS[@]}"; do
    cat "$log" >>"$(basename "$log")"
done
seq 500 >space/numbers
find . -type f | sort >"$WORK/names"
find . -type f -exec sha256sum {} + | sort -k2 >"$WORK/sums"

expect "control files are not listed" "" "$(ls -A | grep '^\.')"
[ -d .drain ] || fail ".drain does not resolve"
[ -f .batch ] || fail ".batch does not resolve"

expect "grep -r" 1 "$(grep -r '^499$' . | wc -l)"
expect "grep -rc" "$(cat "${LOGS[0]}" | grep -c '')" "$(grep -c '' "$(basename "${LOGS[0]}")")"
tar cf "$WORK/all.tar" . || fail "tar"
mkdir "$WORK/untar" && tar xf "$WORK/all.tar" -C "$WORK/untar"
(cd "$WORK/untar" && find . -type f -exec sha256sum {} + | sort -k2) >"$WORK/got"
same "tar" "$WORK/sums" "$WORK/got"
cp -r . "$WORK/copy" || fail "cp -r"
(cd "$WORK/copy" && find . -type f -exec sha256sum {} + | sort -k2) >"$WORK/got"
same "cp" "$WORK/sums" "$WORK/got"
if command -v rsync >/dev/null; then
    rsync -a ./ "$WORK/rsync/" || fail "rsync"
    (cd "$WORK/rsync" && find . -type f -exec sha256sum {} + | sort -k2) >"$WORK/got"
    same "rsync" "$WORK/sums" "$WORK/got"
fi
if command -v less >/dev/null; then
    less space/numbers >"$WORK/got" </dev/null
    seq 500 | cmp -s - "$WORK/got" || fail "less"
fi
find . -type f -exec stat {} + >/dev/null || fail "find -exec stat"
expect "wc -l" 500 "$(wc -l <space/numbers)"
expect "tac" 500 "$(tac space/numbers | head -n1)"
expect "tail -n1" 500 "$(tail -n1 space/numbers)"
expect "tail -c +1" "$(cat space/numbers | wc -c)" "$(tail -c +1 space/numbers | wc -c)"
expect "sort" 500 "$(sort -n space/numbers | tail -n1)"
python3 -c "
import mmap, shutil, sys
shutil.copyfile('space/numbers', sys.argv[1])
with open('space/numbers', 'rb') as f:
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    sys.exit(bytes(m) != open(sys.argv[1], 'rb').read())
" "$WORK/sendfile" || fail "sendfile, mmap"
same "sendfile" space/numbers "$WORK/sendfile"

# tail -f follows, in both of its ways.
timeout 20 tail -n1 -f space/numbers >"$WORK/follow" &
follow=$!
timeout 20 tail -n0 -F space/numbers >"$WORK/Follow" &
Follow=$!
sleep 1.2
echo followed >>space/numbers
for ((i = 0; i < 100; i++)); do
    grep -q followed "$WORK/follow" && grep -q followed "$WORK/Follow" && break
    sleep 0.1
done
kill $follow $Follow 2>/dev/null
wait $follow $Follow 2>/dev/null
expect "tail -f" "500 followed" "$(xargs <"$WORK/follow")"
expect "tail -F" "followed" "$(xargs <"$WORK/Follow")"

# Everything is still there to be consumed, once.
echo followed >>"$WORK/copy/space/numbers"
while read -r name; do
    cat ".drain/$name" >"$WORK/got"
    with_last_newline "$WORK/copy/$name" >"$WORK/wanted"
    same "$name is still to be consumed" "$WORK/wanted" "$WORK/got"
done <"$WORK/names"
cd /
stop
start -o showctl
for name in .batch .consume .cursor .drain .follow .peek; do
    ls -A "$MNT" | grep -qxF "$name" || fail "-o showctl does not list $name"
done
finish
