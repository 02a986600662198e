#!/bin/sh
# Sets up everything the project needs, inside the project's own folder; run by `make setup`.
#   .venv/    Python environment with the exact versions of requirements.lock
#   .tools/   uv (where the machine has none), download caches, the Kafka jars
# A second call with nothing changed returns at once. Needs git, make and Python 3.11 with pip or venv.
set -eu
cd "$(dirname "$0")"

say() { printf '%s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

stamp=.venv/.set-up
wanted=$(cat requirements.lock setup.cfg pyproject.toml learn_features/services/kafka-coordinates.txt | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) ;;
  *) fail "requirements.lock is for Linux on x86-64; this is $(uname -s) on $(uname -m).
  Use 'pip install -e .[content,train,mlflow,stream,airflow,local,dev]' in an environment of your own." ;;
esac

python=
for candidate in ${PYTHON:-} python3.11 python3 python; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    python=$(command -v "$candidate"); break
  fi
done
[ -n "$python" ] || fail "needs Python 3.11 and found none. Install it, or name it: make setup PYTHON=/path/to/python3.11"

available=$(df -Pk . | awk 'NR==2 {print int($4 / 1048576)}')
[ "$available" -ge 9 ] || fail "needs about 9 GB of free disk in $(pwd); $available GB are free."

export UV_CACHE_DIR="${UV_CACHE_DIR:-$(pwd)/.tools/uv-cache}" UV_PYTHON_DOWNLOADS=never
[ -t 2 ] || export UV_NO_PROGRESS=1
export PIP_CACHE_DIR="$(pwd)/.tools/pip-cache" PIP_DISABLE_PIP_VERSION_CHECK=1
mkdir -p .tools

say "setup: about 3 GB to download, 7 GB on disk (torch with CUDA is most of it), all below $(pwd)"
started=$(date +%s)

if command -v uv >/dev/null 2>&1; then
  uv=uv
else
  uv="$(pwd)/.tools/uv/bin/uv"
  if [ ! -x "$uv" ]; then
    say "setup: [1/4] uv, the installer (into .tools/uv)"
    rm -rf .tools/uv
    if "$python" -c 'import ensurepip' 2>/dev/null; then
      "$python" -m venv .tools/uv && .tools/uv/bin/python -m pip install -q 'uv>=0.8,<1' \
        || fail "uv could not be installed. Is the package index reachable? (message above)"
    elif "$python" -m pip --version >/dev/null 2>&1; then
      "$python" -m pip install -q --target .tools/uv 'uv>=0.8,<1' \
        || fail "uv could not be installed. Is the package index reachable? (message above)"
    else
      fail "$python has neither pip nor venv. On Debian: apt install python3.11-venv"
    fi
  fi
fi

say "setup: [2/4] Python environment .venv (exact versions, hashes checked)"
[ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
  || "$uv" venv -q --clear --python "$python" .venv || fail "the virtual environment .venv could not be created."
VIRTUAL_ENV="$(pwd)/.venv" "$uv" pip sync -q --require-hashes requirements.lock \
  || fail "the packages of requirements.lock could not be installed. Is the package index reachable, is the disk full? (message above); run 'make setup' again."

say "setup: [3/4] learn-features itself"
VIRTUAL_ENV="$(pwd)/.venv" "$uv" pip install -q --no-deps --no-build-isolation --offline -e . \
  || fail "the project could not be installed into .venv (message above)."

say "setup: [4/4] Apache Kafka (jars into .tools; Java comes as a wheel)"
.venv/bin/python -m learn_features.services.jars >/dev/null \
  || fail "Kafka's jars could not be fetched. Is the Maven repository reachable? (message above); run 'make setup' again."

printf '%s\n' "$wanted" > "$stamp"
say "setup: done in $(( $(date +%s) - started )) s"
