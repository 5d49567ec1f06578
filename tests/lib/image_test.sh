#!/bin/sh
# An image that would not fit into its board's flash or disk is refused, by what and by how much is
# said, and nothing is left that could be written to a device (boards/lib/image).
set -u
. tests/lib/cases
WORK=${WORK:-${BUILD:-build}/work/image_test}
rm -rf "$WORK"
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
tests/lib/need image || exit 1
mkdir -p "$WORK/tests"
cp -r boards "$WORK/boards"
cp -r tests/lib "$WORK/tests/lib"

# fresh BOARD: its parts, each of some bytes that cannot be packed.
fresh() {
    dir=$WORK/$1
    rm -rf "$dir"
    mkdir -p "$dir"
    head -c 300000 /dev/urandom >"$dir/postern"
    head -c 20000 /dev/urandom >"$dir/init"
    head -c 100000 /dev/urandom >"$dir/kernel"
}
image() { "$WORK/boards/lib/image" "$1" "$WORK/$1" >"$WORK/out" 2>&1; }
refused() { # board, file, words
    ! image "$1" && grep -q -- "$3" "$WORK/out" && [ ! -e "$WORK/$1/$2" ] || { cat "$WORK/out" && return 1; }
    [ -z "$(find "$WORK/$1" -name 'image.*')" ]
}
fits() { # board, file
    fresh "$1"
    image "$1" && [ -s "$WORK/$1/$2" ] && grep -q '^[a-z]* *root *[0-9]* of *1048576 bytes$' "$WORK/out" || {
        cat "$WORK/out"
        return 1
    }
}
# The root is 300 KiB and more too long: it says so, whatever squashfs adds.
large_program() {
    head -c 1400000 /dev/urandom >"$WORK/mips24kc/postern"
    refused mips24kc nor "mips24kc: root takes 14[0-9]* bytes, 3[0-9]* more than the 1048576 of its part of nor"
}
large_kernel() { # 64 bytes are the loader's header
    fresh armv7
    head -c 3145728 /dev/urandom >"$WORK/armv7/kernel"
    refused armv7 nor "armv7: kernel takes 3145792 bytes, 64 more than the 3145728 of its part of nor"
}
large_parts() { # one block more than there is
    fresh mips24kc
    sed -i 's/rest:2048/rest:2112/' "$WORK/boards/mips24kc/machine"
    refused mips24kc nor "the parts of nor take 4259840 bytes, 65536 more than the 4194304 that it has"
}
large_disk_part() {
    fresh vm-amd64
    head -c 1400000 /dev/urandom >"$WORK/vm-amd64/postern"
    refused vm-amd64 disk "vm-amd64: root takes 14[0-9]* bytes, 3[0-9]* more than the 1048576 of its part of disk"
}

# A file that its owner alone may read: the server's, whose uid is 100.
private_files() {
    fresh vm-amd64
    mkdir -p "$WORK/private" && cp boards/lib/config/postern.conf "$WORK/private/" && chmod 644 "$WORK/private/postern.conf"
    echo "relay.example device secret" >"$WORK/private/passwords" && chmod 400 "$WORK/private/passwords"
    CONFIG=$WORK/private image vm-amd64 &&
        dd if="$WORK/vm-amd64/disk" of="$WORK/part" bs=1024 skip=1024 count=4096 status=none &&
        debugfs -R "stat /passwords" "$WORK/part" 2>&1 | tee "$WORK/out" | grep -q 'User: *100 *Group: *100 ' &&
        grep -q 'Mode: *0600 ' "$WORK/out" &&
        debugfs -R "stat /postern.conf" "$WORK/part" 2>&1 | tee "$WORK/out" | grep -q 'Mode: *0644 '
}

# One whose name the tools would read as two words, and leave readable for all.
private_file_of_two_words() {
    fresh vm-amd64
    cp "$WORK/private/passwords" "$WORK/private/my passwords"
    CONFIG=$WORK/private refused vm-amd64 disk "CONFIG/my passwords: expected a name of letters"
}

# Links, as tools that renew certificates make them: their targets are in the image, as private as they are, and stay
# so here.
private_files_by_links() {
    fresh vm-amd64
    rm -rf "$WORK/private/my passwords" "$WORK/outside" "$WORK/linked"
    mkdir "$WORK/outside" && mv "$WORK/private/passwords" "$WORK/outside/" &&
        ln -s ../outside/passwords "$WORK/private/passwords" && ln -s private "$WORK/linked"
    CONFIG=$WORK/linked image vm-amd64 &&
        [ "$(stat -c %a "$WORK/outside/passwords")" = 400 ] &&
        dd if="$WORK/vm-amd64/disk" of="$WORK/part" bs=1024 skip=1024 count=4096 status=none &&
        debugfs -R "stat /passwords" "$WORK/part" 2>&1 | tee "$WORK/out" | grep -q 'Type: regular *Mode: *0600 ' &&
        grep -q 'User: *100 *Group: *100 ' "$WORK/out"
}

check "NOR flash and a disk: fits" fits mips24kc nor
check "the program is too large" large_program
check "NOR flash alone: fits" fits armv7 nor
check "the kernel is 64 bytes too large" large_kernel
check "a disk: fits" fits vm-amd64 disk
check "passwords are the server's alone" private_files
check "passwords with a name of two words" private_file_of_two_words
check "passwords that links lead to" private_files_by_links
check "the program is too large for its part of a disk" large_disk_part
check "the parts are more than the flash" large_parts
finish
