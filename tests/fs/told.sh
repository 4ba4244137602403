#!/bin/bash
# Who is told what: sizes and names are right at once however they changed, watchers hear of what goes through the mount, and nobody
# learns through a control file what the modes keep from him.
. "$(dirname "$0")/lib.sh"
: "${WALRUS:=walrus}"
command -v "$WALRUS" >/dev/null || skip "no walrus; set WALRUS"
export WALRUS_RETENTION=all
setup
chmod 755 "$WORK"
options=()
[ "$(id -u)" -eq 0 ] && options=(-o allow_other)
start "${options[@]}"
cd "$MNT" || exit 99
wait_for() { # wait_for NAME COMMAND...
    local i name=$1
    shift
    for ((i = 0; i < 150; i++)); do
        "$@" && return
        sleep 0.1
    done
    fail "$name"
}

# --- changes by another way than the mount: the command line, through the daemon's socket ---
produce() { "$WALRUS" -D "$DATA" produce "$1" || fail "produce to $1"; }
[ -e new ] && fail "new is there already"
echo one | produce new
expect "a topic made elsewhere" "4 one" "$(stat -c %s new) $(cat new)"
exec 9<new
timeout 60 tail -n +1 -f new >"$WORK/follow" &
follow=$!
ls -l >/dev/null
for n in 2 3 4; do
    echo "line $n" | produce new
    size=$((4 + (n - 1) * 7))
    expect "stat" $size "$(stat -c %s new)"
    expect "ls -l" $size "$(ls -l new | awk '{ print $5 }')"
    expect "fstat" $size "$(python3 -c 'import os; print(os.fstat(9).st_size)')"
    expect ".stat" $n "$(sed -n 's/^entries //p' .stat/new)"
    expect "wc" $size "$(wc -c <new)"
done
wait_for "tail -f" grep -q "line 4" "$WORK/follow"
kill $follow
wait $follow 2>/dev/null
exec 9<&-
"$WALRUS" -D "$DATA" topic config new --sync each || fail "topic config"
expect ".config" sync=each "$(head -n1 .config/new)"
expect "listed" "new" "$(ls)"
"$WALRUS" -D "$DATA" topic rm new >/dev/null || fail "topic rm"
[ -e new ] && fail "a topic removed elsewhere is still there"
expect "listed" "" "$(ls)"
echo again >>new
expect "made anew" again "$(cat new)"

# The page cache never shows what was not written, though it may know of the end only after a stat.
for by in mount socket; do
    python3 - "$WALRUS" "$DATA" "$by" <<'PY' || fail "sendfile and mmap, data by the $by"
import mmap, os, subprocess, sys
walrus, data, by = sys.argv[1:]
def append(text):
    command = f"cat >>paged.{by}" if by == 'mount' else f"'{walrus}' -D '{data}' produce paged.{by}"
    subprocess.run(['bash', '-c', command], input=text, check=True)
def sent(f):
    r, w = os.pipe()
    got = os.sendfile(w, f, 0, 60000)
    os.close(w)
    with os.fdopen(r, 'rb') as reader:
        return reader.read()
def mapped(f):
    with mmap.mmap(f, 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE) as m:
        return bytes(m)
wanted = b''
append(b'first\n')
wanted += b'first\n'
f = os.open(f'paged.{by}', os.O_RDONLY)
for size in (5, 100, 5000, 4096, 10000, 3):
    assert wanted.startswith(sent(f))
    os.fstat(f)
    assert sent(f) == wanted and mapped(f) == wanted, size
    line = b'x' * size + b'\n'
    append(line)
    wanted += line
    assert wanted.startswith(sent(f)), size
PY
done

# --- inotify ---
if command -v inotifywait >/dev/null; then
    inotifywait -m -q -e modify,create,delete --format '%e %f' . >"$WORK/events" 2>/dev/null &
    watcher=$!
    wait_for "inotifywait starts" bash -c "echo probe >>probe; [ -s '$WORK/events' ]"
    echo x >>watched
    echo y >>watched
    rm watched
    wait_for "events of the directory" grep -q "DELETE watched" "$WORK/events"
    kill $watcher
    # The kernel makes one of events that are the same.
    expect "events" "CREATE watched MODIFY watched DELETE watched" "$(grep watched "$WORK/events" | uniq | xargs)"
fi

# --- two users ---
[ "$(id -u)" -eq 0 ] || finish
command -v setpriv >/dev/null || finish
as() { setpriv --reuid 4242 --regid 4242 --clear-groups "$@"; }
refused() {
    local got
    got=$(as "$@" 2>&1) && fail "'$*' worked"
    case $got in *"Permission denied"*) ;; *) fail "'$*': $got" ;; esac
}
allowed() { as "$@" >/dev/null || fail "'$*' was refused"; }
mkdir closed
echo secret | tee private readable writable closed/topic >/dev/null
chmod 600 private
chmod 644 readable
chmod 666 writable closed/topic
chmod 700 closed
for topic in private closed/topic; do
    for view in . .stat .records .config .cursor .peek .follow .consume .drain; do
        refused cat "$view/$topic"
    done
    command -v getfattr >/dev/null && refused getfattr --only-values -n user.walrus.entries "$topic"
done
for view in . .stat .records .config .cursor .peek .follow .drain; do
    refused ls "$view/closed"
done
for view in .stat .records .config; do
    allowed cat "$view/readable"
done
for view in .consume .drain; do
    refused cat "$view/readable"
done
for topic in private readable closed/topic; do
    refused bash -c "echo retention=bytes:1 >.config/$topic"
    refused bash -c "echo x >>$topic"
    refused fallocate -p -l 100 ".config/$topic"
done
expect "nothing of it changed" "secret secret secret" "$(cat private readable closed/topic | xargs)"
allowed bash -c "echo retention=bytes:1000 >.config/writable"
expect "by who may write" retention=bytes:1000 "$(grep retention .config/writable)"
expect "fallocate on .config" ok "$(as fallocate -p -l 100 .config/writable && [ ! -s writable ] && echo ok)"

as cat .walrus/metrics >"$WORK/metrics" || fail "metrics"
grep -q 'topic="readable"' "$WORK/metrics" || fail "a topic that he may read is missing"
grep -qE 'private|closed' "$WORK/metrics" && fail "metrics tell of topics that he may not read"
grep -q 'topic="closed/topic"' .walrus/metrics || fail "root sees all"
bash -c "printf 'root only\n' >.batch" 2>/dev/null
as bash -c "printf 'his own\n' >.batch" 2>/dev/null
expect "errors of others" 0 "$(as cat .walrus/errors | grep -vc uid=4242)"
[ "$(as cat .walrus/errors | grep -c uid=4242)" -ge 1 ] || fail "his own errors"
grep -q uid=0 .walrus/errors && grep -q uid=4242 .walrus/errors || fail "root sees all errors"
for file in version options stats.json; do
    allowed cat .walrus/$file
done
refused bash -c "echo x >.walrus/options"
cd /
finish
