#!/bin/bash
# What an append-only file refuses. The oracle is a file with chattr +a (ext4, as root); without one, the table of what
# it was seen to answer.
. "$(dirname "$0")/lib.sh"
setup
start

cat >"$WORK/table.py" <<'PY'
import errno, os, sys
# Prints one line per operation: its name and what came of it. What is to be tried exists as `topic` with one line.
os.chdir(sys.argv[1])
def attempt(name, operation):
    try:
        operation()
        result = 'ok'
    except OSError as e:
        result = errno.errorcode[e.errno]
    print(f'{name}: {result}')
def opened(*flags):
    value = 0
    for flag in flags:
        value |= flag
    return lambda: os.close(os.open('topic', value))
def on(flags, operation):
    def run():
        f = os.open('topic', flags)
        try:
            operation(f)
        finally:
            os.close(f)
    return run
attempt('read', opened(os.O_RDONLY))
attempt('write', opened(os.O_WRONLY))
attempt('read-write', opened(os.O_RDWR))
attempt('write trunc', opened(os.O_WRONLY, os.O_TRUNC))
attempt('write creat trunc', opened(os.O_WRONLY, os.O_CREAT, os.O_TRUNC))
attempt('write creat', opened(os.O_WRONLY, os.O_CREAT))
attempt('write creat excl', opened(os.O_WRONLY, os.O_CREAT, os.O_EXCL))
attempt('append', opened(os.O_WRONLY, os.O_APPEND))
attempt('append creat', opened(os.O_WRONLY, os.O_APPEND, os.O_CREAT))
attempt('append creat excl', opened(os.O_WRONLY, os.O_APPEND, os.O_CREAT, os.O_EXCL))
attempt('append trunc', opened(os.O_WRONLY, os.O_APPEND, os.O_TRUNC))
attempt('append read-write', opened(os.O_RDWR, os.O_APPEND))
attempt('read trunc', opened(os.O_RDONLY, os.O_TRUNC))
attempt('directory', opened(os.O_RDONLY, os.O_DIRECTORY))
attempt('truncate 0', lambda: os.truncate('topic', 0))
attempt('truncate larger', lambda: os.truncate('topic', 100))
attempt('ftruncate', on(os.O_RDWR | os.O_APPEND, lambda f: os.ftruncate(f, 0)))
attempt('rename away', lambda: os.rename('topic', 'other'))
attempt('rename over', lambda: (open('new', 'ab').close(), os.rename('new', 'topic')))
attempt('link', lambda: os.link('topic', 'other'))
attempt('append write', on(os.O_WRONLY | os.O_APPEND, lambda f: os.write(f, b'second\n')))
attempt('append pwrite', on(os.O_WRONLY | os.O_APPEND, lambda f: os.pwrite(f, b'third\n', 0)))
attempt('append writev', on(os.O_WRONLY | os.O_APPEND, lambda f: os.writev(f, [b'four', b'th\n'])))
attempt('read of append', on(os.O_WRONLY | os.O_APPEND, lambda f: os.read(f, 1)))
attempt('write to read', on(os.O_RDONLY, lambda f: os.write(f, b'x')))
attempt('utime now', lambda: os.utime('topic'))
print('content:', open('topic', 'rb').read())
print('size:', os.stat('topic').st_size)
PY

cat >"$WORK/wanted" <<'EOT'
read: ok
write: EPERM
read-write: EPERM
write trunc: EPERM
write creat trunc: EPERM
write creat: EPERM
write creat excl: EEXIST
append: ok
append creat: ok
append creat excl: EEXIST
append trunc: EPERM
append read-write: ok
read trunc: EPERM
directory: ENOTDIR
truncate 0: EPERM
truncate larger: EPERM
ftruncate: EPERM
rename away: EPERM
rename over: EPERM
link: EPERM
append write: ok
append pwrite: ok
append writev: ok
read of append: EBADF
write to read: EBADF
utime now: ok
content: b'first\nsecond\nthird\nfourth\n'
size: 26
EOT

mkdir "$WORK/oracle"
echo first >"$WORK/oracle/topic"
if chattr +a "$WORK/oracle/topic" 2>/dev/null; then
    python3 "$WORK/table.py" "$WORK/oracle" >"$WORK/seen"
    chattr -a "$WORK/oracle/topic"
    same "the table and chattr +a" "$WORK/seen" "$WORK/wanted"
else
    echo "note: no chattr +a here, its table stands in" >&2
fi
echo first >"$MNT/topic" || fail "making a topic by >"
python3 "$WORK/table.py" "$MNT" >"$WORK/got"
diff "$WORK/wanted" "$WORK/got" >&2 || fail "the mount differs from an append-only file"

cd "$MNT" || exit 99
# What chattr +a knows nothing of.
for command in "mv topic x" "ln topic x" "ln -s topic x" "mkfifo x" "truncate -s 0 topic" "cp /etc/hostname topic" \
    "fallocate -l 100 topic" "dd if=/dev/zero of=topic count=1 status=none" "mkdir .x" "mkdir @x" "touch .x"; do
    $command 2>/dev/null && fail "'$command' worked"
done
expect "unchanged" "first second third fourth" "$(xargs <topic)"
touch topic || fail "touch of a topic"
touch -d 2001-02-03 topic || fail "touch -d"
touch made || fail "touch makes a topic"
expect "empty topic" 0 "$(stat -c %s made)"
echo once >gt && expect ">" once "$(cat gt)"
{ echo a; echo b; } >gt2 && expect "> by a group" "a b" "$(xargs <gt2)"
cp /etc/passwd copied && same "cp to a new topic" /etc/passwd copied
rm topic || fail "rm"
[ -e topic ] && fail "rm left it"
echo anew >>topic && expect "after rm" anew "$(cat topic)"

# rm: who has it open reads on; appends say so.
python3 - <<'PY' || fail "a deleted topic that is open"
import os
f = os.open('topic', os.O_RDWR | os.O_APPEND)
os.unlink('topic')
assert os.read(f, 100) == b'anew\n'
assert os.fstat(f).st_nlink == 0
try:
    os.write(f, b'x\n')
    raise SystemExit('an append to a deleted topic worked')
except OSError:
    pass
g = os.open('topic', os.O_RDWR | os.O_APPEND | os.O_CREAT)
assert os.fstat(g).st_ino != os.fstat(f).st_ino
assert os.read(g, 100) == b''
PY
cd /
finish
