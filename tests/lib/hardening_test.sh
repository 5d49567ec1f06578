#!/bin/sh
# The programs that are built, by their ELF headers: no stack or segment that can be written and run,
# guarded stacks; that of a C library with more to offer can be anywhere, and its tables are closed
# before main. Boards that have not been built are skipped.
set -u
. tests/lib/cases
BUILD=${BUILD:-build}

stack_is_not_code() { readelf -lW "$1" | awk '$1 == "GNU_STACK" { good = $7 !~ /E/ } END { exit !good }'; }
nothing_is_written_and_run() { readelf -lW "$1" | awk '$1 == "LOAD" && /W/ && /E/ && $7 $8 ~ /W/ && $7 $8 ~ /E/ { exit 1 }'; }
stacks_are_guarded() { readelf -sW "$1" | grep -q '__stack_chk_fail'; }
is_anywhere() { readelf -hW "$1" | grep -q 'Type: *DYN' && readelf -dW "$1" | grep -q 'Flags: .*PIE'; }
tables_are_closed() { readelf -lW "$1" | grep -q GNU_RELRO && readelf -dW "$1" | grep -qE '(BIND_NOW|Flags: .*NOW)'; }
nothing_is_relocated_in_code() { ! readelf -dW "$1" | grep -qE 'TEXTREL|RPATH|RUNPATH'; }
lengths_are_checked() { readelf -sW "$1" | grep -qE '__(memcpy|memmove|memset|read|recv|pread64|snprintf|vsnprintf|readlink)_chk'; }
# Shows that the checks can fail.
a_bad_one_is_found() {
    dir=$(mktemp -d) || return 1
    echo 'int main(void) { return 0; }' >"$dir/bad.c"
    "${CC:-cc}" -fno-stack-protector -no-pie -Wl,-z,execstack -Wl,-z,norelro -Wl,-z,lazy -o "$dir/bad" "$dir/bad.c" || return 1
    found=0
    for one in stack_is_not_code stacks_are_guarded is_anywhere tables_are_closed lengths_are_checked; do
        ! "$one" "$dir/bad" || { echo "$one lets a bad one pass" && found=1; }
    done
    rm -rf "$dir"
    return $found
}

check "a program without any of it is found out" a_bad_one_is_found
for board in boards/*/board.mk; do
    board=$(basename "$(dirname "$board")")
    program=$BUILD/$board/postern
    if [ ! -f "$program" ]; then
        skip "$board" "has not been built here"
        continue
    fi
    check "$board: the stack is not code" stack_is_not_code "$program"
    check "$board: nothing is written and run" nothing_is_written_and_run "$program"
    check "$board: stacks are guarded" stacks_are_guarded "$program"
    # Static programs have one place, and no tables that are filled in later.
    readelf -lW "$program" | grep -q INTERP || continue
    check "$board: the program can be anywhere" is_anywhere "$program"
    check "$board: tables are closed" tables_are_closed "$program"
    check "$board: no relocations in code" nothing_is_relocated_in_code "$program"
    check "$board: lengths are checked" lengths_are_checked "$program"
done
finish
