#!/bin/sh
# The breakages of core/teeth.h are in the test build alone: the objects of the shipped program have no
# trace of them. And tests/teeth/run says so if one is not noticed. Shell test.
set -u
. tests/lib/cases
BUILD=${BUILD:-build}
WORK=${WORK:-$BUILD/work/teeth_test}
host=$BUILD/host
mkdir -p "$WORK/core" "$WORK/tests/teeth" "$WORK/bin/tests/unit"

# Whatever asks which breakage holds needs this name.
asks() { # objects or programs...
    nm "$@" 2>/dev/null | grep -q 'teeth_broken$'
}
no_trace() {
    ! asks "$host"/core/*.o "$host"/port/posix/*.o "$host/postern" &&
        ! strings -a "$host/postern" | grep -q POSTERN_TOOTH
}
compiled() { # name, flags...
    name=$1
    shift
    ${CC:-gcc} -std=c11 -Os -Icore -Iport "$@" -c -o "$WORK/core/$name.o" "core/$name.c"
}
breaks_in_the_test_build() {
    compiled timer -DPOSTERN_TEETH && asks "$WORK/core/timer.o" &&
        compiled timer && ! asks "$WORK/core/timer.o"
}

# A list of two, and a program in which one of them shows.
cp tests/teeth/run "$WORK/tests/teeth/run"
cat >"$WORK/core/teeth.def" <<'LIST'
TOOTH(SEEN, "shows", "unit/x")
TOOTH(UNSEEN, "does not", "unit/x:a,b")
LIST
cat >"$WORK/bin/tests/unit/x_test" <<'PROGRAM'
#!/bin/sh
case ${POSTERN_TOOTH-} in
SEEN) echo "x.c:1: not so" >&2; echo "FAILED a" >&2; echo "0 passed, 1 failed"; exit 1 ;;
CRASH) kill -SEGV $$ ;;
esac
echo "1 passed, 0 failed"
PROGRAM
chmod +x "$WORK/bin/tests/unit/x_test"
judged() { "$WORK/tests/teeth/run" "$WORK/bin" "$@" >"$WORK/said" 2>&1; }
caught() { judged SEEN && grep -q '^SEEN *unit/x: a: x.c:1: not so$' "$WORK/said"; }
not_caught() { ! judged && grep -q '^UNSEEN *NOT CAUGHT by unit/x:a,b: does not$' "$WORK/said" &&
    grep -qx '2 passed, 1 failed' "$WORK/said"; }
unknown() { ! judged NONE && grep -q 'has no breakage named NONE' "$WORK/said"; }
crashed() {
    echo 'TOOTH(CRASH, "crashes", "unit/x")' >"$WORK/core/teeth.def"
    ! judged && grep -q '^CRASH *NOT CAUGHT by unit/x: exit status -11' "$WORK/said"
}

check "the shipped program has no trace" no_trace
check "the test build has" breaks_in_the_test_build
check "caught" caught
check "not caught" not_caught
check "unknown" unknown
check "a crash is no catch" crashed
finish
