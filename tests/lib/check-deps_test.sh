#!/bin/sh
# Tests tests/lib/check-deps: a small tree that is in order, then each rule broken once.
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/check-deps_test}
rm -rf "$WORK"
mkdir -p "$WORK"
core=$WORK/core

fresh_tree() {
    rm -rf "$core" "$WORK/obj"
    mkdir -p "$core" "$WORK/obj"
    cat >"$core/layers.mk" <<'TABLE'
LAYERS = base upper
LAYER_base = one two
LAYER_upper = three_* \
    four
MBEDTLS_USERS = three_tls
MBEDTLS_INTERNALS = three_tls
PORT_USERS = upper
PROCESS_STATE = two
TABLE
    printf '#include <stdint.h>\n#include "two.h"\nint one(int);\n' >"$core/one.h"
    printf 'int two(int);\n' >"$core/two.h"
    printf '#include "one.h"\nint one(int x)\n{\n    return two(x);\n}\n' >"$core/one.c"
    printf '#include "two.h"\nint two(int x)\n{\n    return x + 1;\n}\n' >"$core/two.c"
    printf '#include "one.h"\n#include "port.h"\n#include "mbedtls/ssl.h"\n' >"$core/three_tls.c"
    printf '#include "common.h"\n#include "three_tls.h"\n' >>"$core/three_tls.c"
    : >"$core/three_tls.h"
    printf '#include "three_tls.h"\n' >"$core/four.h"
}
run_it() {
    CORE=$core tests/lib/check-deps "$@"
}
in_order() { run_it | grep -qx '7 passed, 0 failed'; }

# breaks FILE LINE: with that line in it, exactly one file is at fault, and the message names TEXT.
breaks() { # file, line, text of the message
    fresh_tree
    printf '%s\n' "$2" >>"$core/$1"
    output=$(run_it) && return 1
    printf '%s\n' "$output"
    printf '%s\n' "$output" | grep -qF "$core/$1:" && printf '%s\n' "$output" | grep -qF "$3" &&
        printf '%s\n' "$output" | grep -q ' 1 failed$'
}
# object_with CODE TEXT: compiled as one.c, it is refused with that text.
object_with() {
    fresh_tree
    rm "$core/three_tls.c"
    printf '%s\n' "$1" >>"$core/one.c"
    for name in one two; do
        ${CC:-cc} -std=c11 -O1 -I"$core" -c -o "$WORK/obj/$name.o" "$core/$name.c" || return 1
    done
    if [ -z "$2" ]; then
        run_it "$WORK/obj"
    else
        run_it "$WORK/obj" | grep -F "$core/one.c: $2"
    fi
}
state_in_two() {
    fresh_tree
    rm "$core/three_tls.c"
    printf 'int g(void);\nint g(void)\n{\n    static int n;\n    return n++;\n}\n' >>"$core/two.c"
    for name in one two; do
        ${CC:-cc} -std=c11 -O1 -I"$core" -c -o "$WORK/obj/$name.o" "$core/$name.c" || return 1
    done
    run_it "$WORK/obj"
}

fresh_tree
check "a tree in order passes" in_order
check "an include that points up" breaks two.h '#include "four.h"' "layer base may not include four.h of layer upper"
check "the port from below" breaks one.c '#include "port.h"' "layer base may not include port.h"
check "a system header" breaks four.h '#include <stdio.h>' "may not include <stdio.h>"
check "crypto headers by others" breaks four.h '#include <psa/crypto.h>' "not one of MBEDTLS_USERS"
check "library internals by others" breaks four.h '#include "ssl_misc.h"' "internals of Mbed TLS"
check "a file in no layer" breaks five.c '' "is in no layer"
check "objects in order" object_with 'static const char *const table[] = {"a", "b"}; const char *name(int i); const char *name(int i) { return table[i]; }' ''
check "a system call" object_with 'int getpid(void); int f(void); int f(void) { return getpid(); }' "needs a symbol of the system: getpid"
check "allocated memory" object_with 'void *malloc(unsigned long); void *f(void); void *f(void) { return malloc(9); }' "needs a symbol of the system: malloc"
check "global state" object_with 'int f(void); int f(void) { static int n; return n++; }' "has state that is not constant: n"
check "state where it is allowed" state_in_two
finish
