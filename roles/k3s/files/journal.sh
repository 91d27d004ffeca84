# shellcheck shell=sh
# Prints what k3s has to say about its failure: the last warnings and errors of its journal, each once, or its last lines. Changes nothing.
# Arguments: the unit, since when (seconds since 1970).
journalctl --unit "$1" --since "@$2" --output cat --no-pager --lines 1000 2>/dev/null | awk '
  /^([[:space:]]|goroutine |created by |[a-z.]+\/|$)/ || /^(Started|Starting|Stopped|Stopping) / {next}
  {
    line = substr($0, 1, 300)
    bare = line
    gsub(/^time="[^"]*" |^[EWIF][0-9]+ [0-9:.]+ +[0-9]+ /, "", bare)
    lines[++count] = line
    bad = line ~ /level="?(fatal|error|warning|panic)|^[EF][0-9][0-9][0-9][0-9] |[Ff]atal|[Pp]anic|[Ee]rror/
    if (bad) {last[bare] = count; text[count] = line; key[count] = bare; any = 1}
  }
  END {
    if (!any) {for (i = count > 10 ? count - 9 : 1; i <= count; i++) print lines[i]; exit}
    for (i = 1; i <= count; i++) if (i in text && last[key[i]] == i) kept[++n] = text[i]
    for (i = n > 10 ? n - 9 : 1; i <= n; i++) print kept[i]
  }'
