#!/bin/bash
# environments.sh FOLDER BENCH: the virtual environments that make check-interop asks,
# made once, of Python's package index:
#
#	FOLDER/torch        PyTorch, torchvision, timm, transformers
#	FOLDER/paddle       PaddlePaddle 3
#	FOLDER/paddleclas   PaddleClas with the last PaddlePaddle that it works with
#	FOLDER/paddlenlp    PaddleNLP likewise
#
# One that TORCH_PYTHON, PADDLE_PYTHON, PADDLECLAS_PYTHON or PADDLENLP_PYTHON stands for
# is not made.  Where make bench-deps has made BENCH/torch or BENCH/paddle with the same
# version, the first two are laid over that, and fetch less than 100 MB; PyTorch comes
# to 3 GB.  One that cannot be made is left out, and so are its cases.
set -u
folder=$1 bench=$2
rc=0

# environment NAME VARIABLE PACKAGE...: the first is the one that BENCH may have.
environment() {
	local name=$1 variable=$2 path=$folder/$1 found
	shift 2
	[ -z "${!variable:-}" ] || return 0
	[ "$(cat "$path/made" 2>/dev/null)" != "$*" ] || return 0
	echo "check-interop: making $path with $*"
	rm -rf "$path"
	/usr/bin/python3 -m venv "$path"
	for found in "$bench/$name"/lib/python3*/site-packages; do
		if [ -e "$bench/$name/made" ] &&
		    [ -d "$found/${1//==/-}.dist-info" ]; then
			echo "$found" >"$(echo "$path"/lib/python3*/site-packages)/bench.pth"
		fi
	done
	if "$path/bin/pip" install -q --no-cache-dir "$@" &&
	    if [ "$name" = paddleclas ]; then
		# What it asks for does not work together.
		"$path/bin/pip" install -q --no-cache-dir --no-deps paddleclas==2.6.0
	    fi
	then
		echo "$*" >"$path/made"
		return 0
	fi
	echo "check-interop: could not make $path: its cases are left out" >&2
	rm -rf "$path"
	rc=1
}

mkdir -p "$folder"
environment torch TORCH_PYTHON torch==2.15.0 torchvision==0.29.2 \
    transformers==5.24.0 timm==1.0.31 safetensors==0.8.0 numpy
environment paddle PADDLE_PYTHON paddlepaddle==3.3.1 numpy
# The versions are those of tests/numerics/make_keys.py.
environment paddleclas PADDLECLAS_PYTHON paddlepaddle==2.6.2 numpy==1.26.4 \
    scikit-learn==1.9.1 opencv-python-headless==4.11.0.86 visualdl faiss-cpu \
    easydict prettytable ujson tqdm PyYAML
environment paddlenlp PADDLENLP_PYTHON paddlepaddle==2.6.2 paddlenlp==2.8.1 \
    numpy==1.26.4 huggingface_hub==0.23.5 aistudio-sdk==0.2.4 datasets==2.21.0 \
    pyarrow==17.0.0 scipy==1.12.0 scikit-learn==1.4.2 pandas==2.2.3 setuptools
exit $rc
