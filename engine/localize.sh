#!/bin/sh
# Makes the static library that is installed: one object in which only the API's names are global, so that a program may
# have functions called crc32c or topic_append of its own.
#
#   localize.sh OUTPUT INPUT.a AR OBJCOPY COMPILER [ARGUMENT]...
set -eu
output=$1 input=$2 ar=$3 objcopy=$4
shift 4

object=$(dirname "$output")/walrus.o
trap 'rm -f "$object"' EXIT
"$@" -r -nostdlib -o "$object" -Wl,--whole-archive "$input" -Wl,--no-whole-archive
"$objcopy" --wildcard --keep-global-symbol='walrus_*' "$object"
rm -f "$output"
"$ar" rcsD "$output" "$object"
