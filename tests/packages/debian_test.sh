#!/bin/sh
# What the Debian package says of itself. debian_root installs it, where somebody is root.
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/debian_test}
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
${MAKE:-make} --no-print-directory BUILD="${BUILD:-build}" install install-sendmail DESTDIR="$WORK/root" PREFIX=/usr >/dev/null || exit 1
deb=$(packages/debian/build "$WORK/root" 0.1 "$(dpkg --print-architecture)" "$WORK") || exit 1

# An older C library would not start the program, and dpkg must know.
needs_the_c_library() {
    dpkg-deb -f "$deb" Depends | tee "$WORK/out"
    least=$(sed -n 's/^libc6 (>= \([0-9.]*\)), passwd$/\1/p' "$WORK/out")
    here=$(dpkg-query -W -f '${Version}' libc6)
    [ -n "$least" ] && dpkg --compare-versions "$least" le "$here"
}

check "depends on the C library that it was built with" needs_the_c_library
finish
