# Sums up by where it comes from what is in a program: the code of our own and of Mbed TLS from the
# output of nm -S -l, the C library from a GNU ld map; what is left of `flash` is constants.
function number(hex, i, value) { # "0x1f" or "1f", as awk without strtonum reads it
    value = 0
    sub(/^0x/, "", hex)
    for (i = 1; i <= length(hex); i++)
        value = value * 16 + index("0123456789abcdef", tolower(substr(hex, i, 1))) - 1
    return value
}
function family(file) {
    if (file ~ /\/mbedtls-src\//)
        return "Mbed TLS"
    if (file ~ /(^|\/)core\//)
        return "core"
    if (file ~ /(^|\/)port\//)
        return "port"
    return ""
}
function count(name, size) {
    sum[name] += size
    counted += size
}
# nm: address, size, kind, name, file:line; names for the same code count once.
FILENAME == "-" {
    if (NF >= 5 && $3 ~ /^[tTwW]$/ && !($1 in seen) && family($5) != "") {
        seen[$1] = 1
        count(family($5), number($2))
    }
    next
}
/^Linker script and memory map/ { inside = 1 }
!inside { next }
/^ \.[a-z_]/ && NF == 1 { pending = $1; next }
/^ \.[a-z_]/ && NF >= 4 { section = $1; size = $3; file = $4 }
pending != "" && $1 ~ /^0x/ { section = pending; size = $2; file = $3 }
{ pending = "" }
file != "" && file !~ /\.ltrans/ && file !~ /lib(core|posix|mbed)\.a/ && file !~ /port\/posix\// &&
    section ~ /^\.(text|rodata|data|init|fini|eh_frame|tdata)/ {
    count("C library and start-up", number(size))
}
{ file = "" }
END {
    count("constants and strings", flash - counted)
    for (name in sum)
        printf "%8d  %s\n", sum[name], name
}
