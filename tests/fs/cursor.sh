#!/bin/bash
# .cursor: where a group stands, as a number that can be written.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all # cursors move back
setup
chmod 755 "$WORK"
start -o allow_other
cd "$MNT" || exit 99
# move WORD: writes it as a shell does.
move() { echo "$1" >.cursor/t; }
at() { cat .cursor/t; }
refused_move() { refused "$1" bash -c "echo '$2' >.cursor/t"; }

: >t
expect "empty" 0 "$(at)"
for i in {0..19}; do echo "entry $i"; done >>t
expect "nothing read yet" 0 "$(at)"
expect "taken" "entry 0" "$(head -n1 .drain/t)"
expect "one taken" 1 "$(at)"
while read -r word wanted; do
    move "$word" || fail "$word"
    expect "$word" "$wanted" "$(at)"
    expect "next after $word" "$([ "$wanted" -lt 20 ] && echo "entry $wanted")" "$(head -n1 .peek/t)"
done <<'END'
7 7
+5 12
-10 2
+0 2
end 20
-1 19
+1 20
begin 0
start 0
@0 0
1970-01-01 0
2999-01-01T00:00:00Z 20
-1h 0
END
expect "one move, one place" "20" "$(at >/dev/null; move end; at)"
printf 3 >.cursor/t
expect "without a newline" 3 "$(at)"
echo 4 >>.cursor/t
expect "appended, as it were" 4 "$(at)"
dd of=.cursor/t if=<(echo 5) status=none conv=notrunc
expect "without truncation" 5 "$(at)"
refused_move "Numerical result out of range" 21
refused_move "Numerical result out of range" +16
refused_move "Numerical result out of range" -6
refused_move "Numerical result out of range" +18446744073709551615
for word in '' ' ' x 1x +x 5,6 stored @ 2026-13-01 '1 2' --; do
    refused_move "Invalid argument" "$word"
done
expect "unmoved by all that" 5 "$(at)"
refused "No such file" cat .cursor/nosuch
refused "No such file" bash -c 'echo 1 >.cursor/nosuch'
refused "No such file" bash -c 'echo 1 >.cursor/@nosuch/t'
[ -e nosuch ] && fail "a topic made by writing its cursor"

# --- times ---
sleep 0.01
middle=$(date +%s.%N)
echo late >>t
move "@$middle"
expect "@seconds" late "$(head -n1 .peek/t)"
move "$(date -u -d "@$middle" +%Y-%m-%dT%H:%M:%S.%N)Z"
expect "ISO time" late "$(head -n1 .peek/t)"

# --- groups apart; what is read goes on from there; who waits is woken ---
mkdir .cursor/@billing
echo 3 >.cursor/@billing/t
expect "of the group" 3 "$(cat .cursor/@billing/t)"
expect "of the default group" 20 "$(at)"
expect "read from there" "entry 3" "$(head -n1 .drain/@billing/t)"
move end
timeout 20 head -n1 .consume/t >"$WORK/got" &
for ((i = 0; i < 300; i++)); do
    [[ "$(readlink /proc/"$(pgrep -P $! head)"/fd/* 2>/dev/null)" == *.consume/t* ]] && break
    sleep 0.01
done
move 9
wait $!
expect "a reader that waited" "entry 9" "$(cat "$WORK/got")"

# --- one open file ---
python3 - <<'PY' || fail "one open file"
import errno, os
f = os.open('.cursor/t', os.O_RDWR)
assert os.write(f, b'begin\n') == 6
assert os.pread(f, 100, 0) == b'0\n'
try:
    os.write(f, b'999\n')
    raise SystemExit('moved behind the end')
except OSError as e:
    assert e.errno == errno.ERANGE
os.write(f, b'2')
assert os.pread(f, 100, 0) == b'2\n'
# In the middle of an entry that leaves in pieces, a move ends the claim on it.
g = os.open('t', os.O_RDONLY | os.O_NONBLOCK)
assert os.read(g, 3) == b'ent'
os.write(f, b'7')
assert os.read(g, 100) == b'ry 2\n'
assert os.pread(f, 100, 0) == b'7\n', 'the piece took an entry that nobody saw'
assert os.read(g, 8) == b'entry 7\n'
PY

# --- before what is retained ---
WALRUS_DATA_DIR=$DATA "$WALRUS" trim t 10 >/dev/null || fail "trim"
move begin
expect "begin" 10 "$(at)"
refused_move "Numerical result out of range" 9
refused_move "Numerical result out of range" -1
refused_move "Numerical result out of range" @0
expect "unmoved" 10 "$(at)"

# --- whoever may not write a topic may not move cursors on it ---
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    as() { setpriv --reuid 4242 --regid 4242 --clear-groups "$@"; }
    chmod 644 t
    expect "may look" "$(at)" "$(as cat .cursor/t)"
    refused "Permission denied" as bash -c 'echo end >.cursor/t'
fi
before=$(at)
cd / && stop
start
expect "after a remount" "$before" "$(cat "$MNT/.cursor/t")"
finish
