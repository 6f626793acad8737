#!/bin/bash
# The command line: every command, its exit codes, how it finds jobs and the
# daemon, and what a shell completes.
. "$(dirname "$0")/../lib.sh"

# exits CODE rk...: with exactly this exit code; output in ./out and ./err.
exits() {
	local want=$1 rc=0
	shift
	"$@" >out 2>err || rc=$?
	eq "$rc" "$want" "exit of $* ($(head -c 400 out err))"
}
# ended FILE: the id of a job of EPOCHS epochs that has succeeded.
ended() {
	rk submit --json "$1" --watch >submitted
	jq -rs '.[0].id' <(sed -n '1,/^}/p' submitted)
}
says() {
	has "$(cat out err)" "$1"
}

t_case "the exit codes are those that --help documents"
exit_codes() {
	for n in "0 done" "1 the daemon refused" "2 wrong" "3 no daemon" "4 no such job" "5 it failed" "6 it waits" "7 the machine"; do
		has "$(rk --help | tr '\n' ' ' | sed 's/  */ /g')" "$n"
	done
	EPOCHS=1 tiny_job
	exits 3 rk --server http://127.0.0.1:1 list
	says "127.0.0.1:1"
	exits 3 rk --server "$PWD/nowhere.sock" list
	says nowhere.sock
	daemon_start
	exits 0 rk list
	exits 2 rk
	exits 2 rk no-such-command
	exits 2 rk list --no-such-option
	exits 2 rk submit
	exits 2 rk show
	exits 2 rk show a b
	exits 2 rk list --limit many
	exits 2 rk list --rehearse              # an option of another command
	exits 2 rk resume -f tiny
	exits 2 rk submit nowhere.yaml
	says nowhere.yaml
	exits 2 rk submit tiny.yaml --set epochs
	exits 2 rk submit tiny.yaml --set training..epochs=1
	exits 4 rk show 01hzzzzzzzzzzzzzzzzzzzzzzz
	exits 4 rk pause no-such-name
	says no-such-name
	exits 4 rk log "../../etc/passwd"
	exits 1 rk submit tiny.yaml --set training.epochs=0
	says training.epochs
	exits 1 rk list --state sleeping
	says sleeping
	exits 0 rk submit tiny.yaml --watch
	id=$(rk list --json | jq -r '.[0].id')
	exits 1 rk pause "$id"
	says succeeded
	exits 1 rk resume "$id" --from no-such-checkpoint
	says no-such-checkpoint
	eq "$(wc -l <err)" 1 "lines that say it"
	exits 1 rk submit tiny.yaml --set training.epochs=0 --set training.batch_size=0
	says training.epochs
	says training.batch_size
}

t_case "every command has its help, and it names its options"
helps() {
	for c in $(rk --help | awk '/^  [a-z]+ /{print $1}'); do
		exits 0 rk "$c" --help
		says "usage: rekindle $c"
		for o in $(head -n 1 out | grep -oE -- '--[a-z]+'); do
			has "$(rk "$c" --help)" "$o"
		done
	done
	[ "$(rk --help | grep -cE '^  [a-z]+ ')" -ge 17 ] || t_fail "$(rk --help)"
	exits 0 rk help
	exits 0 rk --version
}

t_case "a job is found by id, by the beginning of one, and by name"
finds_jobs() {
	tiny_job "hold: true"
	daemon_start
	a=$(rk submit tiny.yaml --name first | cut -d' ' -f1)
	b=$(rk submit tiny.yaml --name twin | cut -d' ' -f1)
	c=$(rk submit tiny.yaml --name twin | cut -d' ' -f1)
	eq "$(rk show --json "$a" | jq -r .id)" "$a"
	eq "$(rk show --json first | jq -r .id)" "$a"
	# The shortest beginning that only one has.
	n=1
	while [ "$(printf '%s\n' "$a" "$b" "$c" | grep -c "^${b:0:n}")" -gt 1 ]; do n=$((n + 1)); done
	eq "$(rk show --json "${b:0:n}" | jq -r .id)" "$b"
	if [ $n -gt 1 ]; then
		exits 4 rk show "${b:0:n-1}"
		says "more than one"
	fi
	exits 4 rk show twin
	says "more than one"
	eq "$(sed -n 2p err | grep -c "$c  held, .* ago")" 1 "the newest first"
	says "$b  held"
	for n in 1 2 3 4; do rk submit tiny.yaml --name twin >/dev/null; done
	exits 4 rk show twin
	eq "$(grep -c "  held, " err)" 5 "jobs to choose from"
	says "and more"
	exits 4 rk show ""
	# A name that looks like the beginning of an id is a name first.
	d=$(rk submit tiny.yaml --name "${a:0:8}" | cut -d' ' -f1)
	eq "$(rk show --json "${a:0:8}" | jq -r .id)" "$d"
}

t_case "every command prints JSON for programs when asked"
json_everywhere() {
	EPOCHS=3 tiny_job
	daemon_start
	id=$(ended tiny.yaml)
	for c in "list" "show $id" "checkpoints $id" "metrics $id" "events $id" "attempts $id" \
	    "checkpoint $id --name mine" "resume $id" "drain --rehearse"; do
		# shellcheck disable=SC2086
		exits 0 rk --json $c
		jq -e . out >jq.out 2>&1 || t_fail "rk --json $c: $(cat out)"
	done
	exits 0 rk list --json --state succeeded,queued,running
	eq "$(jq 'type' out)" '"array"'
	exits 0 rk metrics "$id" --json --split validation
	eq "$(jq -r '[.[].split] | unique[]' out)" validation
	wait_for 20 job_is "$id" succeeded
	exits 0 rk cancel --json "$(rk submit tiny.yaml --hold | cut -d' ' -f1)"
	eq "$(jq -r .state out)" cancelled
}

t_case "for people it prints tables and lines"
tables() {
	EPOCHS=3 tiny_job 'labels: {team: qa}'
	daemon_start
	exits 0 rk list
	says "no jobs"
	id=$(ended tiny.yaml)
	exits 0 rk list --label team=qa
	says "ID "
	says "$id"
	says succeeded
	exits 0 rk list --label team=ml
	says "no jobs"
	exits 0 rk show tiny
	says '"sizes"'
	exits 0 rk checkpoints tiny
	says step-000000171
	exits 0 rk metrics tiny --split validation
	eq "$(tail -n +2 out | wc -l)" 3 "lines of metrics"
	exits 0 rk attempts tiny
	says succeeded
	exits 0 rk events tiny
	says submitted
	exits 0 rk log tiny --tail 1
	eq "$(wc -l <out)" 1
	exits 0 rk checkpoint tiny --name best-one
	says step-000000171
	exits 0 rk checkpoints tiny
	says best-one
	exits 0 rk delete tiny
	says deleted
	exits 4 rk show tiny
}

t_case "list goes past one page"
long_list() {
	tiny_job "hold: true"
	daemon_start
	for n in $(seq 60); do
		api POST /v1/jobs "@tiny.yaml" application/yaml >/dev/null
	done
	eq "$(rk list --json | jq length)" 50
	eq "$(rk list --json --all | jq length)" 60
	eq "$(rk list --json --limit 55 | jq length)" 55
	eq "$(rk list --json --limit 3 | jq length)" 3
	eq "$(rk list --all --json | jq '[.[].id] | unique | length')" 60
	exits 0 rk list
	says "there are more"
}

t_case "submit takes --set, --name, --hold, JSON and stdin"
submit_ways() {
	tiny_job
	daemon_start
	id=$(rk submit tiny.yaml --hold --name mine --set training.epochs=2 \
	    --set training.optimizer.learning_rate=0.01 --set 'model.sizes=[4, 8, 3]' \
	    --set labels.team=qa | cut -d' ' -f1)
	rk show --json "$id" >job
	eq "$(jq -c '[.state, .name, .spec.training.epochs, .spec.training.optimizer.learning_rate,
	    .spec.model.sizes, .labels.team]' job)" '["held","mine",2,0.01,[4,8,3],"qa"]'
	id=$(rk submit - --hold --set name=from-stdin <tiny.yaml | cut -d' ' -f1)
	eq "$(field "$id" .name)" from-stdin
	jq .spec job >job.json
	id=$(rk submit job.json --set name=from-json | cut -d' ' -f1)
	eq "$(field "$id" .spec.training.epochs)" 2
	exits 0 rk start mine
	succeeds "$(rk show --json mine | jq -r .id)"
	printf 'name: [\n' >bad.yaml
	exits 2 rk submit bad.yaml
	says "line 2"
	head -c 100000 /dev/urandom >bad.yaml
	exits 2 rk submit bad.yaml
	head -c 3000000 /dev/zero | tr '\0' '#' >bad.yaml
	exits 1 rk submit bad.yaml
	says "longer than 1 MiB"
	exits 2 rk submit "$PWD"
	exits 2 rk submit - </dev/null
}

t_case "data and checkpoints in a job are found from the job's folder"
relative_paths() {
	EPOCHS=2 tiny_job
	daemon_start
	mkdir -p a/b
	mv tiny.csv a/data.csv
	sed "s|$PWD/tiny.csv|../data.csv|" tiny.yaml >a/b/job.yaml
	exits 0 rk submit a/b/job.yaml --watch
	(cd a/b && exits 0 rk submit job.yaml --watch)
	(cd a/b && exits 0 rk submit - --watch <job.yaml)
	# So is the model that it starts from.
	cp "$(checkpoint_dir "$(rk list --json | jq -r '.[0].id')")/model.safetensors" a/old.safetensors
	exits 0 rk submit a/b/job.yaml --set model.checkpoint=../old.safetensors --watch
	eq "$(rk list --json --limit 1 | jq -r '.[0].plan_summary' | cut -c1-23)" "loaded 4 of 4 tensors ("
	exits 1 rk submit a/b/job.yaml --set data.train.path=nowhere.csv
	says "$PWD/a/b/nowhere.csv"
	# And so is each file of a list; a file: address is never relative.
	{ printf '\0%3072s' ''; printf '\1%3072s' ''; } >a/one.bin
	cp a/one.bin a/b/two:2.bin
	cat >a/b/images.yaml <<-EOF
		name: images
		resources: {threads: 1, memory: 256MiB}
		model: {layers: [flatten, {type: linear, out: 2}]}
		training: {epochs: 1}
		data: {train: {type: cifar, path: [../one.bin, "two:2.bin"]}}
	EOF
	exits 0 rk submit a/b/images.yaml --watch
	exits 1 rk submit a/b/images.yaml --set "data.train.path=file:two.bin"
	says "write file:///absolute/path, or the path alone"
	exits 0 rk submit a/b/images.yaml --set "data.train.path=file:$PWD/a/one.bin" --watch
}

t_case "watch ends with the job and its exit code tells how"
watch() {
	EPOCHS=30 tiny_job
	long_job
	daemon_start
	exits 0 rk submit tiny.yaml --watch
	says succeeded
	says "100%"
	printf 'a,b,c,d,class\n1,2,x,4,0\n' >broken.csv
	exits 5 rk submit tiny.yaml --watch --set "data.train.path=$PWD/broken.csv"
	says failed
	says "line 2"
	id=$(rk submit long.yaml | cut -d' ' -f1)
	rk watch "$id" >watched 2>&1 &
	watcher=$!
	echo $watcher >>pids
	wait_for 20 grep -qE 'epoch [0-9]+/200,?000 .*step .*loss .*samples/s.*left' watched
	rk cancel "$id" >/dev/null
	rc=0
	wait $watcher || rc=$?
	eq $rc 5 "exit of watch of a cancelled job"
	# Paused by a person it will not move by itself: watch says so and ends.
	id=$(rk retry "$id" | cut -d' ' -f1)
	wait_for 20 job_is "$id" running
	rk pause "$id" >/dev/null
	exits 6 rk watch "$id"
	says paused
}

t_case "a restart of the daemon in the middle of watch is survived"
watch_over_restart() {
	EPOCHS=3000 tiny_job
	socket=$PWD/sock
	daemon_start
	rk --server "$socket" submit tiny.yaml --watch >watched 2>&1 &
	watcher=$!
	echo $watcher >>pids
	wait_for 20 grep -q running watched
	daemon_kill9
	sleep 0.3
	daemon_start
	rc=0
	wait $watcher || rc=$?
	eq $rc 0 "exit of watch ($(cat watched))"
	has "$(tail -n 3 watched)" succeeded
	# And a clean one, in the middle of following events.
	EPOCHS=3000 NAME=next tiny_job
	id=$(submit next.yaml)
	rk --server "$socket" events -f "$id" >followed 2>&1 &
	follower=$!
	echo $follower >>pids
	wait_for 20 grep -q "runs from the start" followed
	daemon_stop
	daemon_start
	succeeds "$id"
	rc=0
	wait $follower || rc=$?
	eq $rc 0 "exit of events -f ($(cat followed))"
	eq "$(grep -c submitted followed)" 1 "what came twice"
	has "$(cat followed)" "goes on from"
	has "$(tail -n 1 followed)" "finished"
}

t_case "log -f, events -f and metrics -f end with the job"
follows() {
	EPOCHS=300 tiny_job
	daemon_start
	id=$(submit tiny.yaml)
	for c in log events metrics; do
		rk $c -f "$id" >$c.out 2>&1 &
		eval "${c}_pid=$!"
		echo $! >>pids
	done
	succeeds "$id"
	for c in log events metrics; do
		eval "p=\$${c}_pid"
		wait_for 10 gone "$p"
		rc=0
		wait "$p" || rc=$?
		eq $rc 0 "exit of $c -f ($(tail -n 2 $c.out))"
	done
	eq "$(cat log.out)" "$(rk log "$id")" "the log"
	eq "$(awk '{print $2}' events.out)" "$(rk events "$id" | tail -n +2 | awk '{print $2}')" "the events"
	eq "$(jq -c '[.step, .split]' metrics.out)" "$(rk metrics --json "$id" | jq -c '.[] | [.step, .split]')"
	# Of a job that has ended, what there is, and the end.
	exits 0 rk events -f "$id"
	eq "$(wc -l <out)" "$(wc -l <events.out)"
	exits 0 rk log -f "$id" --tail 1
	says finished
}
gone() {
	! kill -0 "$1" 2>/dev/null
}

t_case "pause, checkpoint, resume, retry, cancel and delete do as they say"
verbs() {
	long_job
	daemon_start
	id=$(rk submit long.yaml | cut -d' ' -f1)
	wait_for 20 step_at_least "$id" 100
	exits 0 rk checkpoint long --name before
	has "$(cat out)" before
	exits 0 rk pause long
	wait_for 20 job_is "$id" paused
	exits 0 rk resume long --from before --set training.optimizer.learning_rate=0.0001
	wait_for 20 job_is "$id" running
	eq "$(field "$id" .spec.training.optimizer.learning_rate)" 0.0001
	exits 1 rk delete long
	says running
	exits 0 rk cancel long
	wait_for 20 job_is "$id" cancelled
	exits 0 rk retry long
	wait_for 20 job_is "$id" running
	exits 0 rk drain --rehearse
	says "long"
	exits 0 rk drain --in 20
	wait_for 20 no_trainers
	exits 1 rk submit long.yaml
	daemon_stop
}

t_case "the daemon is found by --server, REKINDLE_SERVER and REKINDLE_STATE_DIR"
finds_daemon() {
	tiny_job "hold: true"
	"$BUILD/rekindled" --state-dir "$PWD/state" --listen 127.0.0.1:0 \
	    --trainer "$BUILD/rekindle-train" >daemon.out 2>daemon.log &
	DAEMON=$!
	echo $DAEMON >>pids
	wait_for 20 daemon_said_where
	URL=$(grep -o 'http://[0-9.:]*' daemon.out | head -n 1)
	unset REKINDLE_SERVER
	id=$(rk --server "$URL" submit tiny.yaml | cut -d' ' -f1)
	sock=$PWD/state/rekindled.sock
	for s in "$URL" "$URL/" "${URL#http://}" "$sock" "unix:$sock" "./state/rekindled.sock"; do
		eq "$(rk --server "$s" list --json | jq -r '.[0].id')" "$id" "list by $s"
		eq "$(REKINDLE_SERVER=$s rk list --json | jq -r '.[0].id')" "$id" "list by REKINDLE_SERVER=$s"
		# The option goes before the variable, wherever it stands.
		eq "$(REKINDLE_SERVER=127.0.0.1:1 rk list --json --server "$s" | jq -r '.[0].id')" "$id"
	done
	eq "$(REKINDLE_STATE_DIR=$PWD/state rk list --json | jq -r '.[0].id')" "$id"
	eq "$(http_proxy=http://127.0.0.1:1 rk --server "$URL" list --json | jq -r '.[0].id')" "$id" "past a proxy"
}

t_case "what it says of others holds no control characters"
clean_output() {
	EPOCHS=1 tiny_job
	daemon_start
	exits 1 rk submit tiny.yaml --set "data.train.path=/nowhere/$(printf '\033[31mred')"
	grep -q "$(printf '\033')" out err && t_fail "an escape came through"
	[ -s err ] || t_fail "it says nothing"
}

# complete WORD...: what a shell offers for the last word, sorted.
complete_words() {
	PATH=$BUILD:$PATH bash --norc -c '
		. "$1"; shift
		COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_rekindle; printf "%s\n" "${COMPREPLY[@]}" | sort' - \
	    "$T_ROOT/etc/rekindle.bash" "$@" | xargs
}

t_case "a shell completes commands, options, jobs and checkpoints"
completes() {
	EPOCHS=2 tiny_job
	daemon_start
	id=$(ended tiny.yaml)
	rk checkpoint tiny --name precious >/dev/null
	eq "$(complete_words rekindle pa)" pause
	eq "$(complete_words rekindle che)" "checkpoint checkpoints"
	eq "$(complete_words rekindle --server "$URL" star)" start
	# Every command is offered.
	eq "$(complete_words rekindle "" | tr ' ' '\n' | grep -v '^-' | sort | xargs)" \
	    "$( (echo help; rk --help | awk '/^  [a-z]+ /{print $1}') | sort | xargs)" "commands"
	eq "$(complete_words rekindle show ti)" tiny
	eq "$(complete_words rekindle show "${id:0:6}")" "$id"
	eq "$(complete_words rekindle resume tiny --from pre)" precious
	eq "$(complete_words rekindle resume tiny --from la)" latest
	eq "$(complete_words rekindle list --state su)" succeeded
	eq "$(complete_words rekindle metrics tiny --split v)" validation
	eq "$(complete_words rekindle submit --wa)" --watch
	eq "$(complete_words rekindle drain --re)" --rehearse
	touch job-1.yaml job-2.yaml
	eq "$(complete_words rekindle submit job-)" "job-1.yaml job-2.yaml"
	eq "$(complete_words rekindle models pu)" pull
	eq "$(complete_words rekindle models pull --fo)" "--force --format"
	eq "$(complete_words rekindle models pull tiles . --format p)" "paddle pytorch"
	rk models register surfaces tiny --alias production >/dev/null
	eq "$(complete_words rekindle models list su)" surfaces
	eq "$(complete_words rekindle models show su)" surfaces/1
	eq "$(complete_words rekindle models rollback surfaces p)" production
	eq "$(complete_words rekindle models register new ti)" tiny
	# Without a daemon there is nothing to offer, and no noise.
	eq "$(REKINDLE_SERVER=127.0.0.1:1 complete_words rekindle show ti 2>&1)" ""
}

t_run
