#!/bin/bash
# .batch: all or nothing, only with COMMIT.
. "$(dirname "$0")/lib.sh"
setup
find_logs
start
cd "$MNT" || exit 99

head -n 1000 "${LOGS[0]}" >"$WORK/lines"
{ sed 's/^/orders\t/' "$WORK/lines"; echo COMMIT; } >.batch || fail "commit"
same "a batch" "$WORK/lines" orders
sed 's/^/nothing\t/' "$WORK/lines" >.batch || fail "staging"
[ -e nothing ] && fail "written without COMMIT"
{ sed 's/^/nothing\t/' "$WORK/lines"; echo ABORT; } >.batch || fail "abort"
[ -e nothing ] && fail "written after ABORT"
{ sed 's/^/orders\t/' "$WORK/lines"; echo COMMIT; } >>.batch || fail "commit with >>"
expect "two batches" 2000 "$(wc -l <orders)"

{ { seq 2001 | sed 's/^/nothing\t/'; echo COMMIT; } >.batch; } 2>/dev/null && fail "2,001 entries"
[ -e nothing ] && fail "written over the limit"
{ seq 2000 | sed 's/^/full\t/'; echo COMMIT; } >.batch || fail "2,000 entries"
expect "2,000 entries" 2000 "$(wc -l <full)"

# Several topics at once, also in a namespace.
mkdir deep || fail "mkdir"
printf 'one\ta\ndeep/two\tb\none\tc\nthree\td\nCOMMIT\n' >.batch || fail "a batch over three topics"
expect "first topic" "a c" "$(tr '\n' ' ' <one | sed 's/ $//')"
expect "topic in a namespace" b "$(cat deep/two)"
expect "third topic" d "$(cat three)"
printf 'one\te\nnosuch/t\tf\nCOMMIT\n' >.batch 2>/dev/null && fail "a topic in no namespace"
printf 'four\te\ndeep\tf\nCOMMIT\n' >.batch 2>/dev/null && fail "a namespace as topic"
[ -e four ] && fail "a batch that was refused made a topic"
expect "nothing of them" 2 "$(wc -l <one)"
paste <(seq 1000 | sed 's/^/left\t/') -d '\n' <(seq 1000 | sed 's/^/right\t/') >"$WORK/both"
echo COMMIT >>"$WORK/both"
cat "$WORK/both" >.batch || fail "2,000 entries of two topics"
expect "left" 1000 "$(wc -l <left)"
same "right" left right

# Killed before COMMIT.
mkfifo "$WORK/fifo"
cat <"$WORK/fifo" >.batch &
writer=$!
exec 6>"$WORK/fifo"
printf 'nothing\tx\n' >&6
sleep 0.3
kill -9 $writer
wait $writer 2>/dev/null
exec 6>&-
[ -e nothing ] && fail "written by a killed writer"

exec 5<>.batch
printf 'orders\tq\nCOMMIT\nwrong\n' >&5 2>/dev/null && fail "a wrong line"
read -r first <&5
read -r second <&5
exec 5>&-
expect "reply" "OK entries=1 sequence=2000" "${first% offset=*}"
expect "reply" "ERR 22 line 3" "${second%%: *}"

python3 - <<'PY' || fail "replies and errors"
import errno, os, sys
bad = 0
def expect(name, wanted, got):
    global bad
    if wanted != got:
        bad = 1
        print(f'{name}: wanted {wanted!r}, got {got!r}', file=sys.stderr)
def send(f, data):
    try:
        return os.write(f, data)
    except OSError as e:
        return errno.errorcode[e.errno]
def reply(f):
    return os.read(f, 4096).decode().rstrip('\n')
def content(name):
    with open(name, 'rb') as topic:
        return topic.read()

f = os.open('.batch', os.O_RDWR)
expect('two topics', 38, send(f, b'two/x\t1\ntwo y\t2\ntwo/x =1\n3\nCOMMIT\nABORT\n'[:38]) if os.mkdir('two') is None else 0)
expect('reply', 'OK entries=3 topics=2', reply(f))
expect('content', b'1\n3\n', content('two/x'))
expect('content', b'2\n', content('two y'))
os.close(f)

f = os.open('.batch', os.O_RDWR)
staged = b'bin\tone\nbin\ttwo\tx\nbin =6\na\nb\0\tc\nbin =0\n\nbin\t\n'
expect('stage', len(staged), send(f, staged))
expect('no reply yet', '', reply(f))
expect('COMMIT', 7, send(f, b'COMMIT\n'))
expect('reply', 'OK entries=5 sequence=0 offset=0', reply(f))
expect('content', b'one\ntwo\tx\na\nb\0\tc\n\n\n', content('bin'))
for byte in b'bin\tslow\nCOMMIT\n':
    expect('one byte', 1, send(f, bytes([byte])))
expect('reply', 'OK entries=1 sequence=5 offset=19', reply(f))
expect('two at once', 20, send(f, b'bin\ta\nCOMMIT\nbin\tb\nABORT\n'[:20]))
expect('the rest', 5, send(f, b'BORT\n'))
expect('replies', 'OK entries=1 sequence=6 offset=24\nOK aborted=1', reply(f))
expect('empty batch', 7, send(f, b'COMMIT\n'))
expect('reply', 'OK entries=0', reply(f))
expect('content', b'slow\na\n', content('bin')[-7:])
os.close(f)

for data, number, line in (
        (b'no tab\n', 'EINVAL', 1),
        (b'never\tb\nnever =x\n', 'EINVAL', 2),
        (b'never =2\n\n\n\n\n', 'EINVAL', 5),
        (b'\n', 'EINVAL', 1),
        (b'commit\n', 'EINVAL', 1),
        (b'.hidden\tx\n', 'EINVAL', 1),
        (b'@group\tx\n', 'EINVAL', 1),
        (b'a//b\tx\n', 'EINVAL', 1),
        (b'never =3\nabcd\n', 'EINVAL', 2),
        (b'never =1073741825\n', 'EMSGSIZE', 1),
        (b'never =99999999999999999999\n', 'EMSGSIZE', 1),
        (b'n' * 2000 + b'\tx\n', 'EINVAL', 1),
        (b'never\tx\n' * 2001, 'E2BIG', 2001)):
    f = os.open('.batch', os.O_RDWR)
    name = data[:20]
    expect(name, number, send(f, data))
    wanted = f'ERR {getattr(errno, number)} line {line}: '
    expect(name, wanted, reply(f)[:len(wanted)])
    expect(f'{name}: COMMIT after it', number, send(f, b'never\tx\nCOMMIT\n'))
    expect(f'{name}: ABORT', 6, send(f, b'ABORT\n'))
    expect(f'{name}: ABORT', 'OK aborted=0', reply(f))
    expect(f'{name}: next batch', 14, send(f, b'good\tx\nCOMMIT\n'))
    expect(f'{name}: next batch', 'OK entries=1', reply(f)[:12])
    os.close(f)
expect('nothing of them', False, os.path.exists('never'))
expect('the good ones', b'x\n' * 13, content('good'))

os.mkdir('space')
for topic, number in (('nosuch/t', 'ENOENT'), ('good/t', 'ENOTDIR'), ('space', 'EISDIR'), ('space/t', 'ok')):
    f = os.open('.batch', os.O_RDWR)
    data = topic.encode() + b'\tx\nCOMMIT\n'
    expect(topic, len(data) if number == 'ok' else number, send(f, data))
    os.close(f)
expect('in a namespace', b'x\n', content('space/t'))
sys.exit(bad)
PY
cd /
finish
