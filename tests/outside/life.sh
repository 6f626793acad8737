#!/bin/bash
# The life of a job, with the real programs: queue, pause, resume from a
# checkpoint with a name, cancel, retry, priorities, and the daemon's own end.
. "$(dirname "$0")/../lib.sh"

# The digest of the final weights of ./tiny.yaml as nobody disturbed it, from
# the trainer run alone.
undisturbed() {
	"$BUILD/rekindle-train" --run-dir "$PWD/alone-$1" "$1.yaml" >alone.log 2>&1
	cat "$PWD/alone-$1"/checkpoints/step-*/checkpoint.json >/dev/null
	local d
	d=$(ls -d "$PWD/alone-$1"/checkpoints/step-* | sort | tail -n 1)
	cat "$d/model.safetensors" "$d/optimizer.safetensors" | sha256sum | cut -c1-64
}

t_case "a job runs from submit to its last checkpoint"
a_job_runs() {
	tiny_job
	daemon_start
	id=$(submit tiny.yaml)
	eq "$(status)" 201
	succeeds "$id"
	eq "$(field "$id" .progress.step)" "$(field "$id" .progress.steps_total)"
	eq "$(field "$id" .progress.epoch)" "$(field "$id" .progress.epochs_total)"
	eq "$(field "$id" .attempt)" 1
	eq "$(weights "$id")" "$(undisturbed tiny)" "weights"
	has "$(api GET "/v1/jobs/$id/metrics?split=validation" | jq -c '.metrics[-1]')" accuracy
}

t_case "a paused job goes on from the name it was given and nothing is lost"
pause_and_resume() {
	slow_job
	daemon_start
	id=$(submit tiny.yaml)
	wait_for 20 step_at_least "$id" 200
	api POST "/v1/jobs/$id/checkpoints" '{"name": "before-lunch"}' >/dev/null
	eq "$(status)" 201 "naming a checkpoint"
	api POST "/v1/jobs/$id/pause" >/dev/null
	wait_for 20 job_is "$id" paused
	no_trainers || wait_for 5 no_trainers
	eq "$(field "$id" .reason)" user
	api POST "/v1/jobs/$id/resume" '{"from": "before-lunch"}' >/dev/null
	succeeds "$id" 120
	eq "$(weights "$id")" "$(undisturbed tiny)" "weights"
	# The named one is still there, long after keep.last forgot its age.
	eq "$(api GET "/v1/jobs/$id/checkpoints/before-lunch" | jq -r '.names[0]')" before-lunch
}

t_case "a resume from an older checkpoint opens a branch and keeps the old one"
a_branch() {
	slow_job
	daemon_start
	id=$(submit tiny.yaml)
	wait_for 20 step_at_least "$id" 100
	api POST "/v1/jobs/$id/checkpoints" '{"name": "early"}' >/dev/null
	step=$(api GET "/v1/jobs/$id/checkpoints/early" | jq .step)
	wait_for 20 step_at_least "$id" $((step + 1500))
	api POST "/v1/jobs/$id/pause" >/dev/null
	wait_for 20 job_is "$id" paused
	old=$(api GET "/v1/jobs/$id/checkpoints/latest" | jq -r .checkpoint)
	api POST "/v1/jobs/$id/resume" '{"from": "early", "overrides":
	    {"training": {"optimizer": {"learning_rate": 0.0001}}}}' >/dev/null
	wait_for 20 job_is "$id" running
	wait_for 20 step_at_least "$id" $((step + 600))
	[ -d "state/jobs/$id/checkpoints/$old" ] || t_fail "$old is gone"
	has "$(api GET "/v1/jobs/$id/attempts" | jq -c .)" '"branch":2'
	has "$(api GET "/v1/jobs/$id/events" | jq -r '.events[].message')" learning_rate
	succeeds "$id" 120
	[ "$(weights "$id")" != "$(undisturbed tiny)" ] || t_fail "the override did nothing"
}

t_case "a queued job survives kill -9 of the daemon"
a_queued_job_survives() {
	long_job
	tiny_job
	daemon_start --threads 1
	long=$(submit long.yaml)
	id=$(submit tiny.yaml)
	job_is "$id" queued || t_fail "the second job is $(field "$id" .state)"
	rk show "$id" | grep -q "^running now  .* (. thread" ||
	    t_fail "who has the cores: $(rk show "$id" | head -8)"
	daemon_kill9
	daemon_start --threads 1
	api POST "/v1/jobs/$long/cancel" >/dev/null
	succeeds "$id"
	wait_for 10 job_is "$long" cancelled
}

t_case "kill -9 of the trainer costs no more than what the checkpoint had not"
kill_trainer() {
	slow_job
	daemon_start
	id=$(submit tiny.yaml)
	wait_for 20 step_at_least "$id" 3000
	had=$(basename "$(checkpoint_dir "$id")")
	kill -9 "$(trainer_of "$id")"
	succeeds "$id" 120
	eq "$(weights "$id")" "$(undisturbed tiny)" "weights"
	api GET "/v1/jobs/$id/attempts" | jq -r '.attempts[] | "\(.n // .attempt) \(.outcome) \(.start_step)"' >attempts
	has "$(cat attempts)" crashed
	# The second attempt began where the last checkpoint was, not at 0.
	had=$((10#${had//[^0-9]/}))
	[ "$had" -gt 0 ] || t_fail "$had"
	[ "$(tail -n 1 attempts | cut -d' ' -f3)" -ge "$had" ] || t_fail "$had, $(cat attempts)"
}

t_case "SIGTERM saves every job and the next daemon goes on with it"
sigterm() {
	slow_job
	daemon_start
	id=$(submit tiny.yaml)
	wait_for 20 step_at_least "$id" 130
	daemon_stop
	no_trainers || t_fail "trainers left: $(trainers)"
	saved=$(basename "$(checkpoint_dir "$id")")
	daemon_start
	wait_for 20 job_is "$id" running
	eq "$(api GET "/v1/jobs/$id/attempts" | jq -r '.attempts[-1].from')" "$saved" \
	    "what the next attempt went on from"
	eq "$(api GET "/v1/jobs/$id" | jq .failures)" 0 "failures" || true
	succeeds "$id" 120
	eq "$(weights "$id")" "$(undisturbed tiny)" "weights"
}

t_case "a job of higher priority pauses a lower one which goes on by itself"
priorities() {
	slow_job
	EPOCHS=20 NAME=urgent tiny_job "priority: 10"
	daemon_start --threads 1
	low=$(submit tiny.yaml)
	wait_for 20 step_at_least "$low" 100
	high=$(submit urgent.yaml)
	succeeds "$high"
	has "$(api GET "/v1/jobs/$low/events" | jq -r '.events[].message')" priority
	wait_for 20 job_is "$low" running
	succeeds "$low" 120
	eq "$(weights "$low")" "$(undisturbed tiny)" "weights"
}

t_case "of two jobs that do not fit together the second waits"
slots() {
	long_job
	THREADS=2 NAME=two long_job
	daemon_start --threads 2
	one=$(submit long.yaml)
	two=$(submit two.yaml)
	wait_for 20 job_is "$one" running
	sleep 0.3
	job_is "$two" queued || t_fail "two is $(field "$two" .state)"
	api POST "/v1/jobs/$one/cancel" >/dev/null
	wait_for 20 job_is "$two" running
}

t_case "a job that asks for more than the machine has is refused with both numbers"
too_big() {
	THREADS=64 tiny_job
	daemon_start --threads 2
	api POST /v1/jobs @tiny.yaml application/yaml >/dev/null
	eq "$(status)" 422
	has "$(cat body)" resources.threads
	has "$(cat body)" 64
	has "$(cat body)" 2
}

t_case "a held job waits until it is started"
held() {
	EPOCHS=5 tiny_job "hold: true"
	daemon_start
	id=$(submit tiny.yaml)
	sleep 0.3
	job_is "$id" held || t_fail "$(field "$id" .state)"
	api POST "/v1/jobs/$id/start" >/dev/null
	succeeds "$id"
}

t_case "a cancelled job keeps its checkpoints and can be taken further"
cancelled() {
	slow_job
	daemon_start
	id=$(submit tiny.yaml)
	wait_for 20 step_at_least "$id" 150
	api POST "/v1/jobs/$id/cancel" >/dev/null
	wait_for 20 job_is "$id" cancelled
	[ -d "$(checkpoint_dir "$id")" ] || t_fail "no checkpoint"
	api POST "/v1/jobs/$id/retry" >/dev/null
	succeeds "$id" 120
	eq "$(weights "$id")" "$(undisturbed tiny)" "weights"
}

t_case "an ended job can be deleted and a live one cannot"
deletion() {
	EPOCHS=3 tiny_job
	long_job
	daemon_start
	id=$(submit tiny.yaml)
	succeeds "$id"
	long=$(submit long.yaml)
	wait_for 20 job_is "$long" running
	api DELETE "/v1/jobs/$long" >/dev/null
	eq "$(status)" 409
	api DELETE "/v1/jobs/$id" >/dev/null
	eq "$(status)" 204
	api GET "/v1/jobs/$id" >/dev/null
	eq "$(status)" 404
	[ ! -e "state/jobs/$id" ] || t_fail "its folder is still there"
}

t_case "a second daemon on the same state directory is refused with a sentence"
second_daemon() {
	daemon_start
	if "$BUILD/rekindled" --state-dir "$PWD/state" --listen 127.0.0.1:0 \
	    --socket "$PWD/sock2" >second.out 2>&1; then
		t_fail "it started"
	fi
	has "$(cat second.out)" "$PWD/state"
	curl -sf "$URL/readyz" >/dev/null || t_fail "the first daemon was hurt"
}

t_case "a start behind a daemon that was killed waits until the kernel is done with that"
dying_daemon() {
	mkdir -p state
	# As one that is being torn down: it holds the lock and does nothing.
	flock -x state/lock sleep 1 &
	wait_for 10 sh -c '! flock -n state/lock true'
	daemon_start
	curl -sf "$URL/readyz" >/dev/null || t_fail "it is not ready"
}

t_case "drain saves every job and takes no more work"
drain() {
	slow_job
	daemon_start
	id=$(submit tiny.yaml)
	wait_for 20 step_at_least "$id" 130
	api POST /v1/drain '{"deadline_seconds": 20}' >/dev/null
	wait_for 20 no_trainers
	api POST /v1/jobs @tiny.yaml application/yaml >/dev/null
	eq "$(status)" 503
	daemon_stop
	daemon_start
	succeeds "$id" 120
	eq "$(weights "$id")" "$(undisturbed tiny)" "weights"
}

t_case "a trainer that stops answering is killed and counts as crashed"
stalled() {
	slow_job
	# A relay between the trainer and the daemon that falls silent once.  (A
	# trainer that is stopped by a signal is waited for.)
	cat >relay <<-END
	#!/usr/bin/env python3
	import os, select, socket, subprocess, sys
	train = "$BUILD/rekindle-train"
	if "--wire" not in sys.argv:
	    os.execv(train, [train] + sys.argv[1:])
	ours, its = socket.socketpair()
	up = socket.socket(fileno=3)
	fd = os.dup2(its.fileno(), 9)
	p = subprocess.Popen(["sh", "-c", 'exec 3<&9 9<&-; exec "\$@"', "sh", train] + sys.argv[1:], pass_fds=[9])
	its.close()
	os.close(9)
	while True:
	    for s in select.select([up, ours], [], [], 0.1)[0]:
	        b = s.recv(65536)
	        if not b:
	            sys.exit(p.wait())
	        (ours if s is up else up).sendall(b)
	    if os.path.exists("$PWD/silent"):
	        os.unlink("$PWD/silent")
	        select.select([], [], [])
	END
	chmod +x relay
	printf 'stall_timeout: 2\npreempt: {cloud: none}\n' >config.yaml
	daemon_start --config "$PWD/config.yaml" --trainer "$PWD/relay"
	id=$(submit tiny.yaml)
	wait_for 20 step_at_least "$id" 130
	: >silent
	wait_for 30 stalled_seen "$id"
	succeeds "$id" 120
	eq "$(weights "$id")" "$(undisturbed tiny)" "weights"
}
stalled_seen() {
	api GET "/v1/jobs/$1/attempts" | jq -r '.attempts[].outcome' | grep -q stalled
}

t_case "a new job goes on from the best of a finished one by job URI"
further() {
	EPOCHS=10 tiny_job
	daemon_start
	id=$(submit tiny.yaml)
	succeeds "$id"
	EPOCHS=2 NAME=next tiny_job
	sed -i "s|^model: {|model: {checkpoint: 'job://$id/best', |" next.yaml
	next=$(submit next.yaml)
	succeeds "$next"
	has "$(field "$next" .plan_summary)" "loaded 4 of 4 tensors"
	has "$(api GET "/v1/jobs/$next/events" | jq -r '.events[].message')" "learning rate"
	# Its first epoch is better than the cold start's first epoch.
	warm=$(api GET "/v1/jobs/$next/metrics?split=validation" | jq '.metrics[0].loss')
	cold=$(api GET "/v1/jobs/$id/metrics?split=validation" | jq '.metrics[0].loss')
	awk -v w="$warm" -v c="$cold" 'BEGIN {exit !(w < c)}' || t_fail "warm $warm, cold $cold"
}

t_case "weights that are not finite stop the attempt with a reason"
non_finite() {
	EPOCHS=50 tiny_job
	sed -i 's/type: adam, learning_rate: 0.003/type: sgd, learning_rate: 1.0e+6/' tiny.yaml
	daemon_start
	id=$(submit tiny.yaml)
	wait_for 30 job_ended "$id"
	eq "$(field "$id" .state)" failed
	eq "$(field "$id" .reason)" non_finite_loss
}

t_run
