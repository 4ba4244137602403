#!/bin/bash
# A damaged entry: what is before it is read, then the read fails and says where; nothing wrong is ever handed out.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all
setup
start
cd "$MNT" || exit 99
seq -f 'entry number %g' 1000 >>topic
seq -f 'entry number %g' 1000 >"$WORK/wanted"
echo fine >>other
cd / && stop
python3 - "$DATA" <<'PY' || exit 99
import pathlib, sys
hits = 0
for path in pathlib.Path(sys.argv[1]).iterdir():
    content = path.read_bytes()
    at = content.find(b'entry number 500')
    if at >= 0:
        hits += 1
        with open(path, 'r+b') as f:
            f.seek(at + 14)
            f.write(b'6')
sys.exit(hits != 1)
PY
start
cd "$MNT" || exit 99
cat topic >"$WORK/got" 2>"$WORK/message" && fail "cat of a damaged topic succeeded"
grep -q "Bad message" "$WORK/message" || fail "cat: $(cat "$WORK/message")"
head -n 499 "$WORK/wanted" | cmp - "$WORK/got" || fail "what is before the damage"
grep -c . .records/topic >"$WORK/got" 2>"$WORK/message" && fail ".records of a damaged topic"
grep -q "Bad message" "$WORK/message" || fail ".records: $(cat "$WORK/message")"
cat .drain/topic >"$WORK/got" 2>"$WORK/message" && fail ".drain of a damaged topic succeeded"
grep -q "Bad message" "$WORK/message" || fail ".drain: $(cat "$WORK/message")"
head -n 499 "$WORK/wanted" | cmp - "$WORK/got" || fail "what was consumed before the damage"
# Where it is.
sed -n 's/^last_error //p' .stat/topic | grep -qE "^EBADMSG .*'topic'.*segment" || fail "last error: $(cat .stat/topic)"
grep -qE " EBADMSG uid=[0-9]+ .*segment" .walrus/errors || fail "errors: $(cat .walrus/errors)"
# What lies behind it is there, and so is everything else.
offset=$(head -n 500 "$WORK/wanted" | wc -c)
tail -n +501 "$WORK/wanted" | cmp - <(dd if=topic iflag=skip_bytes skip="$offset" status=none) || fail "what is behind the damage"
expect "the other topic" fine "$(cat other)"
echo more >>topic || fail "an append to a damaged topic"
expect "appended" more "$(tail -n1 topic)"
cd /
finish
