#!/bin/sh
# environments.sh FOLDER: the virtual environments that make check-interop asks, made
# once: FOLDER/paddle with paddlepaddle of Python's package index.  One that is named
# by PADDLE_PYTHON is not made.
set -eu
folder=$1
[ -z "${PADDLE_PYTHON:-}" ] || exit 0
[ ! -e "$folder/paddle/whole" ] || exit 0
rm -rf "$folder/paddle"
mkdir -p "$folder"
/usr/bin/python3 -m venv "$folder/paddle"
"$folder/paddle/bin/pip" install -q 'paddlepaddle>=2.6,<4' numpy
touch "$folder/paddle/whole"
