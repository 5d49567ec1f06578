#!/bin/sh
# Tests port/mbedtls/fetch with made-up archives and an empty machine; nothing is downloaded.
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/fetch_test}
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
fetch=$PWD/port/mbedtls/fetch

# A release archive of two files, and a list of versions that pins it.
mkdir -p "$WORK/tree/mbedtls-3.6.7/include/mbedtls" "$WORK/tree/mbedtls-3.6.7/library" \
    "$WORK/tree/mbedtls-3.6.7/3rdparty" "$WORK/cache/postern" "$WORK/etc/sources.list.d"
echo '#define MBEDTLS_VERSION_STRING         "3.6.7"' \
    >"$WORK/tree/mbedtls-3.6.7/include/mbedtls/build_info.h"
: >"$WORK/tree/mbedtls-3.6.7/LICENSE"
tar -cjf "$WORK/good.tar.bz2" -C "$WORK/tree" mbedtls-3.6.7
echo spoilt >"$WORK/bad.tar.bz2"
good=$(sha256sum "$WORK/good.tar.bz2" | cut -d ' ' -f 1)
bad=$(sha256sum "$WORK/bad.tar.bz2" | cut -d ' ' -f 1)
echo "3.6.7 $good" >"$WORK/versions"

run_fetch() { # settings...
    rm -rf "$WORK/out"
    env -u MBEDTLS_SRC MBEDTLS_VERSIONS="$WORK/versions" MBEDTLS_UPSTREAM= APT_ETC="$WORK/etc" \
        XDG_CACHE_HOME="$WORK/cache" "$@" "$fetch" "$WORK/out" 2>&1
}
unpacked() {
    [ -f "$WORK/out/include/mbedtls/build_info.h" ]
}

takes_directory() { run_fetch MBEDTLS_SRC="$WORK/tree/mbedtls-3.6.7" && unpacked; }
takes_archive() { run_fetch MBEDTLS_SRC="$WORK/good.tar.bz2" && unpacked; }
takes_cache() {
    cp "$WORK/good.tar.bz2" "$WORK/cache/postern/mbedtls-3.6.7.tar.bz2"
    run_fetch && unpacked
}
# fails_with LINE SETTINGS...: it stops, says exactly that one line, and leaves nothing behind.
fails_with() {
    line=$1
    shift
    output=$(run_fetch "$@") && return 1
    [ "$output" = "mbedtls: $line" ] && ! unpacked && return 0
    printf 'expected: mbedtls: %s\ngot:      %s\n' "$line" "$output"
    return 1
}
refuses_spoilt_cache() {
    cp "$WORK/bad.tar.bz2" "$WORK/cache/postern/mbedtls-3.6.7.tar.bz2"
    fails_with "$WORK/cache/postern/mbedtls-3.6.7.tar.bz2 has the wrong SHA-256: expected $good (Mbed TLS 3.6.7), got $bad"
}
refuses_unknown_version() {
    sed 's/3\.6\.7/3.6.1/' "$WORK/tree/mbedtls-3.6.7/include/mbedtls/build_info.h" >"$WORK/info"
    mkdir -p "$WORK/other/include/mbedtls"
    mv "$WORK/info" "$WORK/other/include/mbedtls/build_info.h"
    fails_with "MBEDTLS_SRC=$WORK/other is version 3.6.1, tested are: 3.6.7" \
        MBEDTLS_SRC="$WORK/other"
}
says_no_mirror() {
    rm -f "$WORK/cache/postern/mbedtls-3.6.7.tar.bz2"
    fails_with "no Debian or Ubuntu mirror of this release in $WORK/etc: set MBEDTLS_SRC"
}

# A signal while curl downloads ends it: no other place is looked into.
stops_when_told() {
    mkdir -p "$WORK/bin"
    printf '#!/bin/sh\nkill -TERM "$PPID"\nexit 1\n' >"$WORK/bin/curl"
    chmod +x "$WORK/bin/curl"
    output=$(run_fetch MBEDTLS_UPSTREAM=http://upstream.invalid PATH="$WORK/bin:$PATH")
    [ "$? $output" = "130 " ] && return 0
    echo "$output"
    return 1
}

# sources_of FILE TEXT: what the scripts make of an apt file of a machine that runs bookworm.
sources_of() {
    printf '%b' "$2" |
        awk -v names="stable bookworm" -v suite=sid -f "port/apt/$1.awk"
}
reads_deb822() {
    got=$(sources_of deb822 "Types: deb\nURIs: http://mirror.invalid/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By:\n -----BEGIN\n .\n Key\n\nTypes: deb\nURIs: http://other.invalid/x\nSuites: nodistro\n\nEnabled: no\nTypes: deb\nURIs: http://off.invalid\nSuites: bookworm\n")
    [ "$got" = "$(printf 'Types: deb-src\nSuites: sid\nComponents: main\nURIs: http://mirror.invalid/debian\nSigned-By:\n -----BEGIN\n .\n Key')" ] ||
        { echo "$got" && false; }
}
reads_one_line() {
    got=$(sources_of oneline "# deb http://no.invalid bookworm main\ndeb [ arch=amd64 signed-by=/k.gpg ] http://mirror.invalid/debian bookworm main\ndeb http://mirror.invalid/debian-security bookworm-security main\ndeb http://second.invalid/ubuntu/ bookworm main universe\n")
    [ "$got" = "$(printf 'Types: deb-src\nSuites: sid\nComponents: main\nURIs: http://mirror.invalid/debian\nSigned-By: /k.gpg\n\nTypes: deb-src\nSuites: sid\nComponents: main universe\nURIs: http://second.invalid/ubuntu/')" ] ||
        { echo "$got" && false; }
}

check "MBEDTLS_SRC may be a directory" takes_directory
check "MBEDTLS_SRC may be an archive" takes_archive
check "the download cache is used" takes_cache
check "an archive with a wrong sum is refused" fails_with \
    "$WORK/bad.tar.bz2 has the wrong SHA-256: expected one of $good (3.6.7) got $bad" \
    MBEDTLS_SRC="$WORK/bad.tar.bz2"
check "a spoilt cache is refused" refuses_spoilt_cache
check "another version is refused" refuses_unknown_version
check "a missing MBEDTLS_SRC is named" fails_with "MBEDTLS_SRC=/nonexistent does not exist" \
    MBEDTLS_SRC=/nonexistent
check "a machine without a mirror is told so" says_no_mirror
check "a signal ends it" stops_when_told
check "deb822 sources are read" reads_deb822
check "one-line sources are read" reads_one_line
finish
