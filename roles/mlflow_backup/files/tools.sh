#!/bin/sh
# Copies pg_dump and pg_restore to a folder, with the libraries and the loader that they need, so that they run in any other image: tools.sh FOLDER.
set -eu
folder=$1
mkdir -p "$folder/libraries"
for program in pg_dump pg_restore; do
  # Debian's own, in the search path, are Perl scripts that choose among clusters.
  for file in /usr/lib/postgresql/*/bin/"$program" /usr/local/bin/"$program" "$(command -v "$program" || true)"; do
    [ ! -x "$file" ] || break
  done
  [ -x "$file" ] || { echo "mlflow_backup_postgresql_image: the image has no $program; set one of PostgreSQL" >&2; exit 1; }
  needed=$(ldd "$file" | sed -n 's/.*=> *\(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p')
  loader=$(echo "$needed" | grep -E '/ld[-.][^/]*$|/ld64[^/]*$' | head -n 1)
  for library in $needed; do
    cp -L "$library" "$folder/libraries/"
  done
  cp -L "$file" "$folder/libraries/$program"
  printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' \
    "$folder/libraries/${loader##*/}" "$folder/libraries" "$folder/libraries/$program" >"$folder/$program"
  chmod 755 "$folder/$program"
done
