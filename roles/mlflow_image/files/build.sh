#!/bin/sh
# Installs MLflow's server into /opt/mlflow, and takes out what no server reads. Arguments: packages beyond the lock file.
set -eu
mounted=/run/mlflow-image
if [ -e $mounted/ca.pem ]; then export PIP_CERT=$mounted/ca.pem; fi
if [ -d $mounted/cache ]; then export PIP_CACHE_DIR=$mounted/cache; fi
source=
if [ -d $mounted/wheels ]; then source="--no-index --find-links $mounted/wheels"; fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 PIP_ONLY_BINARY=:all: PIP_NO_COMPILE=1

python3 -m venv --without-pip /opt/mlflow
pip() { python3 -m pip --python /opt/mlflow/bin/python "$@"; }
# shellcheck disable=SC2086 # two options or none
pip install $source --quiet --no-deps --require-hashes --requirement /build/requirements.txt

cd /opt/mlflow/lib/python3*/site-packages
find numpy pandas graphene -depth -type d -name tests -exec rm -r {} +
find . -type f '(' -name '*.a' -o -name '*.h' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.map' ')' -delete
# The descriptions of four hundred services: S3, the ways to authenticate, and what the gateway calls are needed.
find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name 's3' ! -name 'sts' ! -name 'sso*' ! -name 'signin' ! -name 'bedrock*' -exec rm -r {} +

if [ $# -gt 0 ]; then
  pip freeze > /build/constraints.txt
  # shellcheck disable=SC2086
  pip install $source --quiet --constraint /build/constraints.txt "$@"
fi

mkdir -p /opt/mlflow/share
for name in server:serve schema:schema; do
  printf '#!/bin/sh\nexec /opt/mlflow/bin/python /opt/mlflow/share/%s.py "$@"\n' "${name#*:}" > "/opt/mlflow/bin/mlflow-${name%:*}"
  chmod 0755 "/opt/mlflow/bin/mlflow-${name%:*}"
done
# The root of a pod is read-only, and its files never change: no need to look whether a source is newer.
/opt/mlflow/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/mlflow/lib
