# Sums up a GNU ld map by where the code and the constants come from.
function number(hex, i, value) { # "0x1f", as awk without strtonum reads it
    value = 0
    for (i = 3; i <= length(hex); i++)
        value = value * 16 + index("0123456789abcdef", tolower(substr(hex, i, 1))) - 1
    return value
}
function family(file) {
    if (file ~ /libcore\.a/)
        return "core"
    if (file ~ /libmbed\.a/)
        return "Mbed TLS"
    if (file ~ /port\/[a-z]*\//)
        return "port"
    return "C library and start-up"
}
function count(section, size, file) {
    if (section ~ /^\.(text|rodata|data|init|fini|eh_frame|tdata)/)
        sum[family(file)] += number(size)
}
/^Linker script and memory map/ { inside = 1 }
!inside { next }
/^ \.[a-z_]/ && NF == 1 { pending = $1; next }
/^ \.[a-z_]/ && NF >= 4 { count($1, $3, $4); next }
pending != "" && $1 ~ /^0x/ { count(pending, $2, $3) }
{ pending = "" }
END {
    for (name in sum)
        printf "%8d  %s\n", sum[name], name
}
