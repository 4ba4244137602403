#!/bin/bash
# docs/semantics.md, row by row, through real tools; ext4 with chattr +a is the oracle where it has something to say.
. "$(dirname "$0")/lib.sh"
export WALRUS_RETENTION=all
setup
here=$(cd "$(dirname "$0")" && pwd)
oracle=
cleanup_oracle() {
    [ -n "$oracle" ] && umount -l "$oracle" 2>/dev/null
    cleanup
}
trap cleanup_oracle EXIT
if [ "$(id -u)" = 0 ] && truncate -s 64M "$WORK/ext4" && mkfs.ext4 -q "$WORK/ext4" 2>/dev/null && mkdir "$WORK/oracle" &&
    mount -o loop "$WORK/ext4" "$WORK/oracle" 2>/dev/null; then
    oracle=$WORK/oracle
fi
start
python3 "$here/semantics_table.py" "$here/../../docs/semantics.md" "$here" "$MNT" $oracle || fail "the table"
finish
