#!/bin/sh
# Tests the Makefile: what is rebuilt when something changes, and what is installed.
# Nothing is compiled here but the program itself, if it is not there yet.
set -u
. tests/lib/cases
BUILD=${BUILD:-build}
WORK=${WORK:-$BUILD/work/build_test}
make="${MAKE:-make} BUILD=$BUILD"
mkdir -p "$WORK"

# would_compile ARGUMENTS...: the sources that a build would compile, if make were run with these.
would_compile() {
    $make -n "$@" | sed -n "s/^  CC  *//p"
}
up_to_date() { $make all && $make -q all; }
only_the_source() { [ "$(would_compile -W core/text.c all)" = core/text.c ]; }
those_that_include() {
    files=$(would_compile -W core/net_addr.h all)
    echo "$files"
    echo "$files" | grep -qx core/net_addr.c && ! echo "$files" | grep -qx core/crc32c.c &&
        ! echo "$files" | grep -q mbedtls/
}
all_that_sees_the_config() {
    files=$(would_compile -W port/mbedtls/postern_mbedtls_config.h all)
    echo "$files"
    echo "$files" | grep -q mbedtls/library/ssl_tls.c && ! echo "$files" | grep -qx core/text.c
}
installs_stripped() {
    $make install-strip DESTDIR="$WORK/stripped" PREFIX=/opt >/dev/null || return 1
    cmp "$WORK/root/opt/share/man/man8/postern.8" "$WORK/stripped/opt/share/man/man8/postern.8" || return 1
    "$WORK/stripped/opt/sbin/postern" --version || return 1
    ls -l "$WORK/root/opt/sbin/postern" "$WORK/stripped/opt/sbin/postern"
    readelf -S "$WORK/root/opt/sbin/postern" | grep -q '\.symtab' &&
        ! readelf -S "$WORK/stripped/opt/sbin/postern" | grep -q '\.symtab'
}
everything_with() {
    files=$(would_compile "$@" all)
    echo "$files" | grep -qx core/text.c && echo "$files" | grep -q mbedtls/library/ssl_tls.c
}
installs() {
    $make install DESTDIR="$WORK/root" PREFIX=/opt >/dev/null || return 1
    for file in sbin/postern share/man/man5/postern.conf.5 share/man/man8/postern.8 \
        share/doc/postern/postern.conf; do
        [ -s "$WORK/root/opt/$file" ] || { echo "$file is not there" && return 1; }
    done
}
# compiled_in FOLDER: what the compiler's cache said to one object of a board, in another copy of the sources.
compiled_in() {
    mkdir -p "$WORK/$1" && cp -R Makefile core port boards "$WORK/$1/" || return 1
    (cd "$WORK/$1" &&
        CCACHE=ccache CCACHE_DIR="$WORK/ccache" CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1 \
            CCACHE_STATSLOG="$WORK/$1.said" ${MAKE:-make} BOARD=armv7 BUILD="$PWD/build" \
            "$PWD/build/armv7/core/buf.o" >/dev/null && grep -v "^#" "$WORK/$1.said")
}
once_for_all_clones() {
    compiled_in one | grep -qx cache_miss || { echo "the first is not compiled" && return 1; }
    compiled_in two | grep -x direct_cache_hit || { cat "$WORK/two.said" && return 1; }
}
names_boards() { $make BOARD=nowhere 2>&1 | grep "boards are: .*host"; }

check "a second build does nothing" up_to_date
check "a changed source is compiled alone" only_the_source
check "a changed header: those that include it" those_that_include
check "a changed library configuration" all_that_sees_the_config
check "other flags: everything" everything_with CFLAGS=-DOTHER
check "another compiler: everything" everything_with CC=othercc
check "the same flags: nothing" up_to_date
check "installs" installs
check "a board's object is compiled once for all clones" once_for_all_clones
check "an unknown board is refused" names_boards
check "installs without symbols" installs_stripped
finish
