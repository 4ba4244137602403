#!/bin/bash
# What an installation gives: a program is built with pkg-config against the installed files, with the shared library and
# with the static one, and runs; names of the library's own are nobody else's business.
#
#   install.sh MESON BUILD_DIR EXAMPLES_SOURCE_DIR CC VERSION
source "$(dirname "$0")/lib.sh"
meson=$1 build_dir=$2 source_dir=$3 cc=$4 version=$5
unset WALRUS_DATA_DIR WALRUS_INSTANCE_KEY WALRUS_FSYNC WALRUS_RETENTION WALRUS_BACKEND DESTDIR

if nm "$build_dir/engine/libwalrus.a" | grep -q '__asan_init\|__tsan_init\|__tsan_func_entry'; then
    echo "a sanitizer's library is not what is installed"
    exit 77
fi

root=$scratch/root
"$meson" install -C "$build_dir" --no-rebuild --destdir "$root" >"$scratch/install.log" 2>&1 ||
    { cat "$scratch/install.log"; fail install; finish; }
pc=$(find "$root" -name walrus.pc)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
libdir=$(dirname "${pc%/*}")

same 'version of the package' "$version" "$(pkg-config --modversion walrus)"
same 'headers' 'walrus.h walrus_consume.h walrus_error.h walrus_inspect.h' \
    "$(find "$root" -path '*/include/walrus/*' -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')"
same 'libraries' "libwalrus.a libwalrus.so libwalrus.so.0 libwalrus.so.$version" \
    "$(find "$libdir" -maxdepth 1 -name 'lib*' -printf '%f\n' | sort | tr '\n' ' ' | sed 's/ $//')"
same 'soname' libwalrus.so.0 "$(readelf -d "$libdir/libwalrus.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')"

# The sysroot is put before the paths of packages that are installed for real too: those are found without it.
flags() {
    pkg-config "$@" walrus | sed "s|$root/usr/include|/usr/include|g; s|$root/usr/lib|/usr/lib|g"
}
try() { # WHAT PROGRAM
    same "$1" '5 entries, the last one is number 4 at offset 8' "$(seq 5 | LD_LIBRARY_PATH=$libdir "$2" "$scratch/log-$1" orders)"
}

# shellcheck disable=SC2046
"$cc" "$source_dir/produce.c" $(flags --cflags --libs) -o "$scratch/shared" || fail 'link with the shared library'
try shared "$scratch/shared"
same 'needs the shared library' libwalrus.so.0 "$(readelf -d "$scratch/shared" | sed -n 's/.*NEEDED.*\[\(libwalrus.*\)\]/\1/p')"

# shellcheck disable=SC2046
"$cc" "$source_dir/produce.c" $(flags --cflags) -l:libwalrus.a -Wl,--as-needed $(flags --static --libs) -o "$scratch/static" ||
    fail 'link with the static library'
try static "$scratch/static"
same 'needs no shared library' '' "$(readelf -d "$scratch/static" | sed -n 's/.*NEEDED.*\[\(libwalrus.*\)\]/\1/p')"

# A program with functions that are called as some inside the library: each side gets its own.
cat >"$scratch/clash.c" <<'C'
#include <stdlib.h>
#define main produce_main
#include "produce.c"
#undef main
#define MINE(name) void name(void); void name(void) { abort(); }
MINE(crc32c) MINE(topic_append) MINE(error_set) MINE(io_full_write) MINE(log_open_on) MINE(cursor_read) MINE(topic_wake)
int main(int argc, char **argv) { return produce_main(argc, argv); }
C
for kind in shared static; do
    first=()
    [ $kind = static ] && first=(-l:libwalrus.a)
    # shellcheck disable=SC2046
    "$cc" -I"$source_dir" "$scratch/clash.c" $(flags --cflags) "${first[@]}" -Wl,--as-needed $(flags --static --libs) \
        -o "$scratch/clash-$kind" || fail "link with names of its own, $kind"
    try "clash-$kind" "$scratch/clash-$kind"
done
finish
