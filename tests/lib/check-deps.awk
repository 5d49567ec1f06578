# Checks every #include of core/ against layers.mk, which is read first.

function matches(name, patterns, i, n, p) { # name against "a b_* c"
    n = split(patterns, p, /[ \t]+/)
    for (i = 1; i <= n; i++) {
        if (p[i] == "")
            continue
        if (p[i] == name)
            return 1
        if (p[i] ~ /\*$/ && index(name, substr(p[i], 1, length(p[i]) - 1)) == 1)
            return 1
    }
    return 0
}
# An exact name wins over a prefix: ocsp_check is in one layer, ocsp_* may be in another.
function layer_of(name, i, found) {
    if (name in known)
        return known[name]
    found = 0
    for (i = 1; i <= num_layers; i++) {
        if (index(" " files[i] " ", " " name " ")) {
            found = i
            break
        }
        if (!found && matches(name, files[i]))
            found = i
    }
    return known[name] = found
}
function bad(text) {
    print FILENAME ":" FNR ": " text
}

FILENAME ~ /layers\.mk$/ {
    sub(/#.*/, "")
    more = sub(/\\[ \t]*$/, "")
    if (match($0, /^[A-Za-z_]+ *=/)) {
        variable = substr($0, 1, index($0, "=") - 1)
        gsub(/ /, "", variable)
        sub(/^[^=]*=/, "")
    }
    gsub(/[ \t]+/, " ")
    value[variable] = value[variable] " " $0
    next
}
FNR == 1 {
    if (!num_layers) {
        num_layers = split(value["LAYERS"], name_of, " ")
        for (i = 1; i <= num_layers; i++)
            files[i] = value["LAYER_" name_of[i]]
    }
    self = substr(FILENAME, length(core) + 1)
    is_header = self ~ /\.h$/
    sub(/\.[ch]$/, "", self)
    layer = layer_of(self)
    if (!layer)
        bad("is in no layer of " core "layers.mk")
}
/^[ \t]*#[ \t]*include/ {
    if (!match($0, /["<][^">]*[">]/))
        next
    system_header = substr($0, RSTART, 1) == "<"
    file = substr($0, RSTART + 1, RLENGTH - 2)
    if (file ~ /^std(int|def|bool)\.h$/ || file == "string.h")
        next
    if (file ~ /^(mbedtls|psa)\//) {
        if (!matches(self, value["MBEDTLS_USERS"]))
            bad("may not include <" file ">: not one of MBEDTLS_USERS")
        next
    }
    if (file == "common.h" || file ~ /^ssl_(misc|tls13_keys)\.h$/) {
        if (is_header || !matches(self, value["MBEDTLS_INTERNALS"]))
            bad("may not include " file ": internals of Mbed TLS are for " value["MBEDTLS_INTERNALS"] ".c")
        next
    }
    if (file == "port.h") {
        if (!matches(name_of[layer], value["PORT_USERS"]))
            bad("layer " name_of[layer] " may not include port.h")
        next
    }
    if (system_header) {
        bad("may not include <" file ">: core/ knows no operating system")
        next
    }
    target = file
    sub(/\.(h|def|inc)$/, "", target)
    other = layer_of(target)
    if (!other)
        bad("includes " file ", which is in no layer")
    else if (layer && other > layer)
        bad("layer " name_of[layer] " may not include " file " of layer " name_of[other])
}
