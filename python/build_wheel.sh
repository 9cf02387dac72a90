#!/bin/sh
# Builds the wheel, installs it into a fresh virtual environment, and tries it there: `python/build_wheel.sh [FOLDER]`.
#
# The wheel is written to FOLDER, target/wheels by default. Needs a Rust toolchain and Python 3.9 or newer; what else it needs (maturin)
# is installed into target/wheel-tools. Compilers take flags from CARGO_* as always.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
mkdir -p "${1:-$root/target/wheels}"
wheels=$(CDPATH= cd -- "${1:-$root/target/wheels}" && pwd)
tools=$root/target/wheel-tools
python=${PYTHON:-python3}

if ! "$tools/bin/maturin" --version >/dev/null 2>&1; then
    "$python" -m venv "$tools"
    "$tools/bin/pip" install --quiet "maturin>=1.9,<2"
fi
rm -f "$wheels"/oodseg-*.whl
# without --compatibility the wheel is marked for the glibc of this machine; releases ask zig for an older one
(cd "$root" && "$tools/bin/maturin" build --release --out "$wheels")
wheel=$(ls "$wheels"/oodseg-*.whl)
echo "wheel: $wheel, $(($(wc -c < "$wheel") / 1000000)) MB"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/oodseg-wheel.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet "$wheel" pyarrow
# from a folder without the sources, so that nothing of the checkout is taken for the installed package
cp -R "$root/python/tests" "$scratch/tests"
cd "$scratch"
unset OODSEG_BIN PYTHONPATH
venv/bin/oodseg --version
test "$(venv/bin/python -m oodseg -V)" = "$(venv/bin/oodseg -V)"
venv/bin/python -m unittest discover --start-directory tests
echo "installed and tried in a fresh environment"
