# Which columns the mapping writes, read from its files as they stand: "once TABLE COLUMN N" for each column that the rule or
# derivation N writes at birth only, "written TABLE COLUMN N" for each other one, "owner TABLE - N" where it owns columns of
# rows that others make, "skipped - - N" where it is not run.
function flush_list(word, text,    n, i, part) {
    gsub(/[][]/, "", text)
    n = split(text, part, /[ ,]+/)
    for (i = 1; i <= n; i++)
        if (part[i] != "")
            print word, table, part[i], number
}
/^[a-z]/ { section = $1; list = "" }
section != "rows:" && section != "derive:" { next }
{ sub(/ +#.*$/, "") }
/^  - / { table = ""; list = ""; number++ }
/^(  - |    )to: / { table = $NF; print "rule", table, "-", number }
/^    owns:/ { print "owner", table, "-", number }
/^    skip: true/ { print "skipped", "-", "-", number }
# a list that goes on over lines
list != "" && open { flush_list(list, $0); if (/\]/) { open = 0; list = "" } next }
list != "" && /^      - / { flush_list(list, $2); next }
/^    (once|owns|columns):/ {
    list = $1 == "    once:" || $1 == "once:" ? "once" : "written"
    rest = $0
    sub(/^[^:]*: */, "", rest)
    block = rest == ""
    open = rest ~ /\[/ && rest !~ /\]/
    if (rest ~ /^\{/) { n = split(rest, part, /[{,]/); for (i = 2; i <= n; i++) { sub(/:.*/, "", part[i]); flush_list(list, part[i]) } list = "" }
    else if (!block) { flush_list(list, rest); if (!open) list = "" }
    next
}
/^    [a-z]/ { list = "" }
list == "written" && block && /^      [a-z_]+:/ { name = $1; sub(/:.*/, "", name); print "written", table, name, number }
