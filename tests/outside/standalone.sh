#!/bin/bash
# rekindle-train without a daemon: its progress line, its exit codes, going on
# after kill -9 by the same command, and what it answers without training.
. "$(dirname "$0")/../lib.sh"

train() {               # train JOB.yaml [flags]: in ./run; output in ./out, ./err
	"$BUILD/rekindle-train" --run-dir "$PWD/${RUN:-run}" "$@" >out 2>err
}
# train_behind JOB.yaml: the same, behind the scenes; sets TRAINER.
train_behind() {
	"$BUILD/rekindle-train" --run-dir "$PWD/${RUN:-run}" "$@" >out 2>err &
	TRAINER=$!
	echo $TRAINER >>pids
}
# exits CODE train...: with exactly this exit code.
exits() {
	local want=$1 rc=0
	shift
	"$@" || rc=$?
	eq "$rc" "$want" "exit of $* ($(tail -n 3 err))"
}
newest() {
	ls -d "$PWD/${1:-run}"/checkpoints/step-* | sort | tail -n 1
}
digest() {              # of the newest checkpoint's weights and moments
	cat "$(newest "$1")/model.safetensors" "$(newest "$1")/optimizer.safetensors" |
	    sha256sum | cut -c1-64
}
checkpoints_at_least() {
	[ "$(find "${RUN:-run}/checkpoints" -maxdepth 1 -name 'step-*' | wc -l)" -ge "$1" ]
}
saved_step() {          # of the newest checkpoint; 0: none
	local d
	d=$(newest 2>/dev/null)
	[ -n "$d" ] && basename "$d" | sed 's/step-0*//' || echo 0
}
past_step() {           # past_step N: a checkpoint of step N or later is there
	[ "$(saved_step)" -ge "$1" ]
}

t_case "a job trained alone ends with its last checkpoint and its metrics"
trains_alone() {
	EPOCHS=3 tiny_job
	exits 0 train tiny.yaml
	has "$(cat err out)" "finished at step 171"
	eq "$(basename "$(newest)")" step-000000171
	eq "$(jq -s '[.[] | select(.split == "validation")] | length' run/metrics.jsonl)" 3 \
	    "validation lines"
	eq "$(jq -s 'map(.epoch) | max' run/metrics.jsonl)" 3 "epochs measured"
}

t_case "it says how far it is while it trains"
progress() {
	long_job
	train_behind long.yaml
	wait_for 20 grep -qE 'epoch [0-9]+/200,?000 .*step .* loss [0-9.]+.* samples/s.* left ' out
	kill -9 "$TRAINER"
}

t_case "the run directory is named after the job unless one is given"
default_dir() {
	EPOCHS=1 tiny_job
	"$BUILD/rekindle-train" tiny.yaml >out 2>err || t_fail "$(cat err)"
	[ -d tiny.run/checkpoints/step-000000057 ] || t_fail "$(ls)"
}

t_case "run again after kill -9 it goes on and ends with the undisturbed bytes"
killed_and_run_again() {
	EPOCHS=1500 tiny_job
	RUN=calm exits 0 train tiny.yaml
	for more in 100 3000 300; do
		at=$(($(saved_step) + more))
		train_behind tiny.yaml
		wait_for 30 past_step $at
		kill -9 "$TRAINER"
		wait "$TRAINER" 2>/dev/null || true
	done
	exits 0 train tiny.yaml
	has "$(cat out err)" "goes on from step-"
	eq "$(digest run)" "$(digest calm)" "weights"
	# Each run is an attempt with a number of its own.
	# A line that kill -9 tore is skipped, as every reader does.
	eq "$(jq -R 'fromjson? | .attempt' run/metrics.jsonl | sort -u | wc -l)" 4 "attempts"
	# Run once more there is nothing to do, and that is no failure.
	exits 0 train tiny.yaml
	has "$(cat out err)" "nothing is left to do"
	eq "$(digest run)" "$(digest calm)" "weights"
}

t_case "an edited job that a daemon would not resume is refused with exit 3, and begun anew when asked to"
edited_job() {
	EPOCHS=2 tiny_job
	exits 0 train tiny.yaml
	before=$(digest run)
	sed 's/batch_size: [0-9]*/batch_size: 30/' tiny.yaml >edited.yaml
	exits 3 train edited.yaml
	has "$(cat err)" "training.batch_size: is 16 and cannot be changed to 30 on a resume: the checkpoint counts batches of this size"
	sed 's/^  seed: .*/&\n  schedule: cosine/' tiny.yaml >cosine.yaml
	RUN=cosine exits 0 train cosine.yaml
	RUN=cosine exits 3 train --set training.epochs=4 cosine.yaml
	has "$(cat err)" "training.epochs: makes the learning rate leap"
	has "$(cat err)" "keep (the old schedule goes on"
	RUN=cosine exits 0 train --set training.epochs=4 --set training.schedule.on_resume=keep cosine.yaml
	eq "$(digest run)" "$before" "weights"
	exits 0 train --from none edited.yaml
}

t_case "SIGTERM and SIGINT save a checkpoint and leave with 0"
told_to_leave() {
	EPOCHS=300 EVERY=100000 tiny_job
	RUN=calm exits 0 train tiny.yaml
	for sig in TERM INT; do
		rm out          # the last one's, in which there is an epoch
		# A shell has what it puts behind ignore SIGINT, as nohup SIGHUP.
		env --default-signal=INT "$BUILD/rekindle-train" \
		    --run-dir "$PWD/run" tiny.yaml >out 2>err &
		TRAINER=$!
		echo $TRAINER >>pids
		wait_for 20 grep -q 'epoch' out
		kill -$sig "$TRAINER"
		rc=0
		wait "$TRAINER" || rc=$?
		eq "$rc" 0 "exit after SIG$sig ($(cat err))"
		checkpoints_at_least 1 || t_fail "nothing was saved"
		has "$(cat out err)" "$(basename "$(newest)")"
	done
	exits 0 train tiny.yaml
	eq "$(digest run)" "$(digest calm)" "weights"
}

t_case "exit 2 is wrong usage with a sentence"
wrong_usage() {
	EPOCHS=1 tiny_job
	exits 2 train
	has "$(cat err)" "no job file"
	exits 2 train tiny.yaml tiny.yaml
	exits 2 train --no-such-option tiny.yaml
	has "$(cat err)" "--no-such-option"
	exits 2 train --threads many tiny.yaml
	has "$(cat err)" many
	exits 2 train --threads 1000 tiny.yaml
	exits 2 train --set epochs tiny.yaml
	exits 2 train --from step:x tiny.yaml
	exits 2 train --attempt 0 tiny.yaml
	exits 2 train --job ../x tiny.yaml
	exits 2 train --summary --plan tiny.yaml
	exits 2 train --wire tiny.yaml
	[ ! -e run ] || t_fail "a run was begun"
}

t_case "exit 3 is a job or data that trying again cannot help"
wrong_job() {
	EPOCHS=1 tiny_job
	exits 3 train nowhere.yaml
	has "$(cat err)" nowhere.yaml
	sed 's/epochs: 1/epochs: -1/' tiny.yaml >bad.yaml
	exits 3 train bad.yaml
	has "$(cat err)" training.epochs
	sed "s|$PWD/tiny.csv|$PWD/nowhere.csv|" tiny.yaml >bad.yaml
	exits 3 train bad.yaml
	has "$(cat err)" nowhere.csv
	sed 's/sizes: \[4,/sizes: [5,/' tiny.yaml >bad.yaml
	exits 3 train bad.yaml
	has "$(cat err)" 5
	exits 3 train --from no-such-name tiny.yaml
	has "$(cat err)" no-such-name
	exits 3 train --model nowhere.safetensors tiny.yaml
	has "$(cat err)" nowhere.safetensors
	exits 3 train --set training.epochs=many tiny.yaml
	has "$(cat err)" training.epochs
	# The same job diverges at the same step, each time it is tried.
	sed 's/type: adam, learning_rate: 0.003/type: sgd, learning_rate: 1.0e+6/' tiny.yaml >hot.yaml
	exits 3 train hot.yaml
	has "$(cat err)" "not finite"
}

t_case "exit 1 is what may go better another time"
world_wrong() {
	EPOCHS=1 tiny_job
	: >file
	RUN=file/run exits 1 train tiny.yaml
	[ -s err ] || t_fail "it says nothing"
}

t_case "--set overrides a field and --threads the job"
overrides() {
	EPOCHS=5 tiny_job
	exits 0 train --threads 2 --set training.epochs=1 --set training.batch_size=30 tiny.yaml
	eq "$(basename "$(newest)")" step-000000030
}

t_case "paths in a job are from the job's folder"
relative_paths() {
	mkdir -p a/b
	EPOCHS=1 tiny_job
	sed "s|$PWD/tiny.csv|../data.csv|" tiny.yaml >a/b/job.yaml
	mv tiny.csv a/data.csv
	exits 0 train a/b/job.yaml
	RUN=again exits 0 train --set training.epochs=2 a/b/job.yaml
}

t_case "--file says where the bytes of an address are, and what is said has the address"
addresses() {
	EPOCHS=1 tiny_job
	exits 0 train tiny.yaml
	mv "$(newest)/model.safetensors" old.safetensors
	mv tiny.csv bytes
	sed -i "s|$PWD/tiny.csv|s3://lab/tiny.csv|" tiny.yaml
	RUN=far exits 3 train tiny.yaml
	has "$(cat err)" "data.train.path is s3://lab/tiny.csv, which only the daemon can find"
	has "$(cat err)" "--file s3://lab/tiny.csv=PATH"
	RUN=far exits 0 train --file "s3://lab/tiny.csv=$PWD/bytes" \
	    --set model.checkpoint=https://h/m.safetensors --file "https://h/m.safetensors=$PWD/old.safetensors" tiny.yaml
	eq "$(jq -r .source far/plan.json)" https://h/m.safetensors "where the weights are from"
	! grep -rqF "$PWD/old.safetensors" far out err || t_fail "a path is told in place of the address"
	exits 2 train --file s3://lab/tiny.csv tiny.yaml
	exits 3 train --file "s3://other=$PWD/bytes" tiny.yaml
	has "$(cat err)" "names no such address"
}

t_case "--summary tells network, data, memory and arithmetic as JSON and begins nothing"
summary() {
	EPOCHS=2 tiny_job
	exits 0 train --summary tiny.yaml
	[ ! -e run ] || t_fail "a run was begun"
	eq "$(jq -r '.model.parameters' out)" $((4 * 32 + 32 + 32 * 3 + 3)) "parameters"
	eq "$(jq -c '[.model.tensors[] | [.name, .shape]]' out)" \
	    '[["fc1.weight",[32,4]],["fc1.bias",[32]],["fc2.weight",[3,32]],["fc2.bias",[3]]]' tensors
	eq "$(jq '.data.train.samples, .data.validation.samples' out | xargs)" "900 100" samples
	eq "$(jq '.steps_per_epoch, .steps_total' out | xargs)" "57 114" steps
	eq "$(jq '.memory.fits' out)" true "fits"
	[ -n "$(jq -r '.arithmetic.gemm // empty' out)" ] || t_fail "no arithmetic"
	# One that does not fit is told as such, with the numbers.
	local large='model.sizes=[4, 10000, 10000, 3]'
	exits 0 train --summary --set resources.memory=1GiB --set "$large" tiny.yaml
	eq "$(jq '.memory.fits' out)" false "fits"
	eq "$(jq '.memory.total > .memory.limit' out)" true "more than the limit"
	eq "$(jq '.memory | .available == .limit' out)" true "what total is compared with"
	exits 3 train --set resources.memory=1GiB --set "$large" tiny.yaml
	has "$(cat err)" "resources.memory"
	# Not said: the total and a tenth.
	exits 0 train --summary --set resources.memory=null --set "$large" tiny.yaml
	eq "$(jq '.memory | .limit == .total + (.total / 10 | floor)' out)" true "a tenth more"
	exits 0 train --summary --memory 100000000 --set resources.memory=null --set "$large" tiny.yaml
	eq "$(jq '.memory | .available, .fits' out | xargs)" "100000000 false" "available"
	exits 0 train --summary tiny.yaml
	eq "$(jq '.memory | .network + .optimizer + .checkpoint_copy + .data + .process == .total' out)" true sum
	eq "$(jq '.memory | .parameters + .gradients + .buffers + .arena == .network' out)" true sum
	eq "$(jq -c '[.model.layers[] | [.name, .shape, .parameters, .multiply_adds]]' out)" \
	    '[["flatten",[4],0,0],["fc1",[32],160,128],["fc2",[3],99,96]]' layers
}

t_case "--summary needs no data where the job gives the input, and writes the layers out"
summary_yaml() {
	cat > bare.yaml <<-'END'
	name: bare
	model: {arch: resnet18, stem: cifar, classes: 10, input: [3, 32, 32]}
	training: {epochs: 1}
	data: {train: {type: idx, images: /nowhere, labels: /nowhere}}
	END
	exits 0 train --summary bare.yaml
	eq "$(jq '.model.parameters, .data.train, .steps_total' out | xargs)" "11173962 null null" "without data"
	exits 3 train --summary --set model.input=null bare.yaml
	has "$(cat err)" "/nowhere"
	exits 0 train --summary --yaml bare.yaml
	has "$(cat out)" "- {type: conv2d, name: conv1, out: 64, kernel: [3, 3]"
	{ grep -v '^model' bare.yaml; cat out; } > written.yaml
	jq_of() { jq -c '.model' out; }
	exits 0 train --summary bare.yaml
	local was; was=$(jq_of)
	exits 0 train --summary written.yaml
	eq "$(jq_of)" "$was" "the model written out"
	exits 2 train --yaml bare.yaml
	has "$(cat err)" "--yaml without --summary"
}

t_case "--plan tells what a warm start would load and begins nothing"
plan() {
	EPOCHS=1 tiny_job
	exits 0 train tiny.yaml
	mv "$(newest)/model.safetensors" ./old.safetensors
	rm -r run
	exits 0 train --plan --json --model "$PWD/old.safetensors" tiny.yaml
	eq "$(jq .accepted out)" true accepted
	has "$(jq -r .summary out)" "loaded 4 of 4 tensors (259 of 259 parameters)"
	exits 3 train --plan --json --model "$PWD/old.safetensors" --set 'model.sizes=[4, 32, 5]' tiny.yaml
	eq "$(jq .accepted out)" false "accepted when strict"
	has "$(jq -r '.refused[]' out)" "fc2.weight: does not match: file [3,32], model [5,32]"
	exits 0 train --plan --json --model "$PWD/old.safetensors" --set 'model.sizes=[4, 32, 5]' \
	    --set model.strict=false tiny.yaml
	eq "$(jq .accepted out)" true "accepted when not"
	exits 0 train --plan --model "$PWD/old.safetensors" tiny.yaml
	has "$(cat out)" "copy       fc1.weight"
	exits 0 train --plan --json --model "$PWD/old.safetensors" --set 'model.sizes=[4, 32, 5]' \
	    --set model.strict=false tiny.yaml
	eq "$(jq -c '[.tensors[] | .action]' out)" '["copy","copy","init","init"]' actions
	[ ! -e run ] || t_fail "a run was begun"
}

t_case "a second trainer on the same run waits for the first and then goes on from it"
two_trainers() {
	EPOCHS=800 tiny_job
	RUN=calm exits 0 train tiny.yaml
	"$BUILD/rekindle-train" --run-dir "$PWD/run" tiny.yaml >first 2>&1 &
	first=$!
	echo $first >>pids
	wait_for 20 checkpoints_at_least 1
	kill -STOP $first       # a fast machine would be done in the meantime
	train_behind tiny.yaml
	sleep 0.5
	kill -0 "$TRAINER" || t_fail "the second left: $(cat err)"
	[ ! -s out ] || t_fail "the second trains: $(cat out)"
	kill -TERM $first
	kill -CONT $first
	wait $first || t_fail "the first: $(cat first)"
	saved=$(basename "$(newest)")
	rc=0
	wait "$TRAINER" || rc=$?
	eq "$rc" 0 "exit of the second"
	has "$(cat out err)" "goes on from $saved"
	eq "$(digest run)" "$(digest calm)" "weights"
}

t_case "a second trainer that is told to leave while it waits says who is in its way"
second_gives_up() {
	long_job
	"$BUILD/rekindle-train" --run-dir "$PWD/run" long.yaml >first 2>&1 &
	first=$!
	echo $first >>pids
	wait_for 20 checkpoints_at_least 1
	train_behind long.yaml
	sleep 0.3
	kill -TERM "$TRAINER"
	rc=0
	wait "$TRAINER" || rc=$?
	eq "$rc" 1 "exit of the second"
	has "$(cat err)" "another trainer"
	has "$(cat err)" "$PWD/run"
	kill -0 $first || t_fail "the first is gone: $(cat first)"
}

t_case "a run whose checkpoints were moved away waits for them, and begins anew only from none"
moved_away() {
	EPOCHS=6 tiny_job
	exits 0 train tiny.yaml
	saved=$(basename "$(newest)")
	mv run/checkpoints away
	exits 4 train tiny.yaml
	has "$(cat err)" "had $saved, and there is no $PWD/run/checkpoints: put it back, or begin anew with --from none"
	[ ! -e run/checkpoints ] || t_fail "made in their place: $(ls -a run/checkpoints)"
	mkdir run/checkpoints
	exits 4 train tiny.yaml
	has "$(cat err)" "had $saved, and none can be used"
	rm -r run/checkpoints
	mv away run/checkpoints
	exits 0 train tiny.yaml
	has "$(cat out err)" "goes on from $saved"
	mv run/checkpoints away
	exits 0 train --from none tiny.yaml
	has "$(cat out err)" "starts cold"
	exits 0 train tiny.yaml
	has "$(cat out err)" "goes on from $saved"
}

t_case "a word for its arithmetic that nobody knows is refused with the words wanted"
unknown_words() {
	tiny_job
	REKINDLE_SIMD=foo exits 2 train tiny.yaml
	has "$(cat err)" 'REKINDLE_SIMD in the environment is "foo", want plain, avx2 or avx512'
	REKINDLE_GEMM=foo exits 2 train --summary tiny.yaml
	has "$(cat err)" 'REKINDLE_GEMM in the environment is "foo", want own, openblas or onednn'
	REKINDLE_SIMD=foo exits 0 train --version
	REKINDLE_GEMM='' exits 0 train --summary tiny.yaml
}

# limited OPTION VALUE train...: with that limit of ulimit.
limited() {
	(ulimit "$1" "$2" && shift 2 && timeout -s KILL 60 "$BUILD/rekindle-train" "$@") >out 2>err
}

t_case "limits that no library can live with are said, and nothing spins or crashes"
limits_of_libraries() {
	grep -q __asan_init "$BUILD/rekindle-train" && t_skip "the sanitizer needs address space itself"
	for kib in 120000 200000 340000; do
		exits 1 limited -v $kib --version
		has "$(cat err)" "the limit of address space (ulimit -v) is $kib KiB, and the libraries need 524288 KiB"
	done
	exits 0 limited -v 524288 --version
	exits 1 limited -s 100 --version
	has "$(cat err)" "the limit of stack (ulimit -s) is 100 KiB"
	exits 0 limited -s 256 --version
}

t_case "a checkpoint that is over the limit of a file's size is not called a full disk"
limit_of_files() {
	EPOCHS=1 tiny_job
	exits 1 limited -f 1 --run-dir "$PWD/run" tiny.yaml
	has "$(cat err)" "the limit of a file's size (ulimit -f) is 1 KiB"
}

t_case "every job in etc is understood"
jobs_of_etc() {
	[ -r "$FASHION/train-images-idx3-ubyte.gz" ] || t_skip "no $FASHION"
	for f in "$T_ROOT"/etc/jobs/*.yaml; do
		! grep -q /var/lib/rekindle/data "$f" || continue       # the reader's own
		exits 0 train --summary "$f"
		eq "$(jq .memory.fits out)" true "$f fits"
	done
}

t_run
