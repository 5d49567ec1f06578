# Fills the tables of core/ into a page for people:  awk -v form=FORM -f doc.awk - PAGE
#
# Input first: conf.def, ocsp_reason.def and deliver_reason.def after the preprocessor, where GROUP,
# OPTION, REASON and DELIVER_REASON have become (see the Makefile)
#   @GROUP "name"
#   @OPTION type @@ "name" @@ "default" @@ "help"
#   @REASON class @@ "name" @@ "help"
#   @WHY status @@ "name" @@ "help"
# In PAGE a line '@OPTIONS@', '@REASONS@' or '@WHYS@' stands for a table, and so does everything between the
# lines '[options: ...]' and '[end of options]', which are kept.
#
# form: man (man(7) macros), list (plain text), sample (a configuration, all in comments)

function unquote(text, out) { # adjacent string literals -> what they say
    out = ""
    while (match(text, /"([^"\\]|\\.)*"/)) {
        out = out substr(text, RSTART + 1, RLENGTH - 2)
        text = substr(text, RSTART + RLENGTH)
    }
    gsub(/\\"/, "\"", out)
    gsub(/\\\\/, "\\", out)
    return out
}
function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    return text ~ /^[.']/ ? "\\&" text : text
}
# Text in lines of at most 78 columns, each with the indent in front.
function filled(text, indent, i, n, words, line, out) {
    n = split(text, words, / +/)
    line = indent words[1]
    out = ""
    for (i = 2; i <= n; i++) {
        if (length(line) + 1 + length(words[i]) > 78) {
            out = out line "\n"
            line = indent words[i]
        } else
            line = line " " words[i]
    }
    return out line "\n"
}
function group_text(name) {
    if (form == "man")
        return ".SS " roff(name) "\n"
    return form == "sample" ? "\n# --- " name " ---\n" : "\n" name "\n"
}
function option_text(type, name, preset, help) {
    if (form == "man")
        return ".TP\n.BR " name " \" = \\fI" value[type] "\\fR (" \
            (preset == "" ? "not set" : "default: " roff(preset)) ")\"\n" roff(help) "\n"
    if (form == "sample")
        return "\n" filled(help, "# ") "#" name " =" (preset == "" ? "" : " " preset) "\n"
    return sprintf("    %-32s %s\n", name, preset == "" ? "(not set)" : preset) \
        filled(help, "        ")
}
function reason_text(name, help) {
    return form == "man" ? ".TP\n.B " roff(name) "\n" roff(help) "\n" : \
        sprintf("    %-20s %s\n", name, help)
}

# What a value looks like, for those types of conf.h whose name does not say it.
BEGIN {
    value["yes_no"] = "yes or no"
    value["sni_path"] = "path"
    value["clock"] = "yes or auto"
    value["interfaces"] = "addresses"
    value["log"] = "stderr or syslog"
    value["string"] = "text"
    value["peers"] = "servers"
    value["time_ms"] = value["time_s"] = "time"
}

FILENAME == "-" && /^ *@GROUP/ {
    options = options group_text(unquote($0))
}
FILENAME == "-" && /^ *@OPTION/ {
    split($0, part, /@@/)
    type = part[1]
    gsub(/ *@OPTION| /, "", type)
    if (!(type in value))
        value[type] = type
    options = options option_text(type, unquote(part[2]), unquote(part[3]), unquote(part[4]))
}
FILENAME == "-" && /^ *@REASON/ {
    split($0, part, /@@/)
    if (part[1] !~ /ACCEPT/)
        reasons = reasons reason_text(unquote(part[2]), unquote(part[3]))
}
FILENAME == "-" && /^ *@WHY/ {
    split($0, part, /@@/)
    gsub(/ *@WHY| /, "", part[1])
    if (part[1] != "4.0.0")
        whys = whys reason_text(unquote(part[2]), part[1] ": " unquote(part[3]))
}
FILENAME == "-" { next }

/^@OPTIONS@$/ { printf "%s", options; next }
/^@REASONS@$/ { printf "%s", reasons; next }
/^@WHYS@$/ { printf "%s", whys; next }
/^\[end of options\]$/ {
    printf "%s\n", options
    inside = 0
}
!inside { print }
/^\[options: .*\]$/ { inside = 1 }
