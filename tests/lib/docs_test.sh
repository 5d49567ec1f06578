#!/bin/sh
# Tests what people read: every option and reason is in the manual, and README's list is current.
set -u
. tests/lib/cases
BUILD=${BUILD:-build}
docs=$BUILD/docs
make=${MAKE:-make}

pages_are_made() { "$make" -s BUILD="$BUILD" "$docs/postern.conf.5" "$docs/postern.8" "$docs/postern.conf"; }
options() { sed -n 's/^OPTION([^"]*"\([a-z_0-9]*\)".*/\1/p' core/conf.def; }
reasons() { sed -n '/ACCEPT/d; s/^REASON([A-Z_0-9]*, *"\([a-z0-9-]*\)".*/\1/p' core/ocsp_reason.def; }
whys() { sed -n '/"none"/d; s/^DELIVER_REASON([A-Z_0-9]*, *"\([a-z0-9-]*\)".*/\1/p' core/deliver_reason.def; }
# each_in FILE PREFIX NAMES...: every one stands in the file, once, at the beginning of a line.
each_in() {
    file=$1
    prefix=$2
    shift 2
    [ $# -gt 10 ] || { echo "only $# names" && return 1; }
    for name in "$@"; do
        count=$(sed 's/\\-/-/g' "$file" | grep -c "^$prefix$name\( \|\$\)")
        [ "$count" -eq 1 ] || { echo "$name is $count times in $file" && return 1; }
    done
}
readme_is_current() {
    "$make" -s BUILD="$BUILD" "$docs/README" && cmp README "$docs/README" || return 1
    sed -n '/^\[options:/,/^\[end of options/p' README >"$docs/README.list"
    each_in "$docs/README.list" "    " $(options)
}

check "the pages can be made" pages_are_made
check "every option is in postern.conf(5)" each_in "$docs/postern.conf.5" "\.BR " $(options)
check "every option is in the example" each_in "$docs/postern.conf" "#" $(options)
check "every reason is in postern(8)" each_in "$docs/postern.8" "\.B " $(reasons)
check "every reason why mail waits is in postern(8)" each_in "$docs/postern.8" "\.B " $(whys)
check "README's list is what 'make docs' makes" readme_is_current
finish
