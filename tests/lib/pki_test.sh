#!/bin/sh
# The proofs that tests/lib/pki makes, as OpenSSL judges them.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/cases
WORK=${WORK:-$(mktemp -d)}

# What openssl ocsp prints of a proof, on one line.
judge() { # directory, file
    openssl ocsp -respin "$1/$2" -issuer "$1/inter.pem" -cert "$1/leaf.pem" -CAfile "$1/root.pem" \
        -verify_other "$1/inter.pem" -no_nonce 2>&1 | tr '\n' ' '
}

says() { # directory, file, pattern
    judge "$1" "$2" | grep -E "Response verify OK.*$3"
}

for kind in ec rsa; do
    dir=$WORK/$kind
    check "$kind: make" tests/lib/pki make "$dir" "$kind"
    check "$kind: chain" openssl verify -CAfile "$dir/root.pem" -untrusted "$dir/inter.pem" \
        -verify_hostname localhost -verify_ip 127.0.0.1 "$dir/leaf.pem"
    tests/lib/pki respond "$dir" "$dir/good" 7
    check "$kind: good" says "$dir" good 'leaf.pem: good'
    tests/lib/pki respond "$dir" "$dir/revoked" 7 revoked
    check "$kind: revoked" says "$dir" revoked 'leaf.pem: revoked'
    tests/lib/pki delegate "$dir" "$dir/delegate" 7
    check "$kind: delegate" says "$dir" delegate 'leaf.pem: good'
    for status in good revoked unknown; do
        tests/lib/pki proof "$dir" "$dir/own-$status" -60 3600 "$status"
        check "$kind: own $status" says "$dir" "own-$status" "leaf.pem: $status"
    done
    tests/lib/pki proof "$dir" "$dir/expired" -90000 -3600
    check "$kind: expired" says "$dir" expired 'status expired'
    tests/lib/pki proof "$dir" "$dir/future" 3600 90000
    check "$kind: future" says "$dir" future 'status not yet valid'
    tests/lib/pki proof "$dir" "$dir/other" -60 3600 other
    check "$kind: other" says "$dir" other 'No Status found'
    tests/lib/pki renew "$dir"
    check "$kind: of the old certificate" says "$dir" good 'No Status found'
done
finish
