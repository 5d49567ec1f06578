#!/bin/sh
# What make prove is made of fits core/ as it is, so that it has not to be run to find that out. Shell test.
set -u
. tests/lib/cases

fits() { # proof
    ${CC:-gcc} -std=c11 -fsyntax-only -Werror -Wno-unused-function -Icore "tests/prove/$1.c"
}
stands_once() { # file in core/, line: as tests/prove/run looks for it
    [ "$(sed 's/^ *//' "core/$1" | grep -cxF -e "$2")" -eq 1 ]
}
changes() { # file in core/, sed expression
    ! sed "$2" "core/$1" | cmp -s - "core/$1"
}

for proof in slice der text; do
    check "the contracts of $proof fit its functions" fits "$proof"
done
while IFS='|' read -r file line known; do
    case $file in '' | '#'* | *' '*) continue ;; esac
    check "$file has once: $line" stands_once "$file" "$line"
done <tests/prove/loops
while read -r proof function file expression; do
    case $proof in '' | '#'*) continue ;; esac
    check "a fault in $function: $expression" changes "$file" "$expression"
done <tests/prove/faults
finish
