#!/bin/sh
# Tests the judgement of 'make size', with a size(1) that says what it is told.
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/size_test}
mkdir -p "$WORK/lib" "$WORK/bin"
cp boards/lib/sizes "$WORK/lib/sizes"
cat >"$WORK/bin/size" <<'TOOL'
#!/bin/sh
echo "text data bss dec hex filename"
echo "$((BYTES - 10)) 10 0 $BYTES 0 x"
TOOL
printf '#!/bin/sh\n' >"$WORK/bin/nm"
chmod +x "$WORK/bin/size" "$WORK/bin/nm"
: >"$WORK/map"

# judged BYTES NAME: what is said of a program of so many bytes, against a line 'known 1000'.
judged() {
    [ "${SIZES-}" = write ] || echo "known 1000" >"$WORK/sizes"
    BYTES=$1 SIZE="$WORK/bin/size" "$WORK/lib/sizes" program "$2"
}
says() { # text, command...
    wanted=$1
    shift
    output=$("$@")
    echo "$output"
    case $output in *"$wanted"*) ;; *) return 1 ;; esac
}
growth_fails() { ! judged 1001 known >"$WORK/out" && grep -q '^0 passed, 1 failed$' "$WORK/out"; }
written() {
    judged 900 known >/dev/null
    (export SIZES=write && judged 1001 known >/dev/null) && [ "$(cat "$WORK/sizes")" = "known 1001" ]
}
goal() { # bytes, goal
    BYTES=$1 SIZE="$WORK/bin/size" NM="$WORK/bin/nm" tests/lib/size program program "$WORK/map" "$2"
}

check "as large as before" says "1 passed, 0 failed" judged 1000 known
check "smaller" says "100 bytes less" judged 900 known
check "larger" growth_fails
check "larger, and written down" written
check "another compiler has no line" says "0 passed, 0 failed, 1 skipped" judged 1001 unknown
check "a goal that is missed" says "goal 1000 bytes, missed by 1" goal 1001 1000
check "a goal that is met" says "goal 1000 bytes, met, left: 0" goal 1000 1000
check "no goal" says "1001 bytes" goal 1001 0
finish
