# Sourced by the scripts that measure: puts what they print into the document that shows it.

# put_figures DOCUMENT PART FIGURES: replaces what stands between the comments `PART:begin` and `PART:end`.
put_figures() {
    local document=$1 begin="<!-- $2:begin -->" end="<!-- $2:end -->" fresh
    if ! grep -qF "$begin" "$document" || ! grep -qF "$end" "$document"; then
        echo "$document has no $begin and $end" >&2
        return 65
    fi
    fresh=$(mktemp "$document.XXXXXX")
    { sed "/$begin/q" "$document"; printf '\n%s\n\n' "$3"; sed -n "/$end/,\$p" "$document"; } >"$fresh"
    chmod --reference="$document" "$fresh"
    mv "$fresh" "$document"
}
