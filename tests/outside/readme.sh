#!/bin/bash
# What the README says, as it says it.
. "$(dirname "$0")/../lib.sh"

t_case "the lines for curl work when pasted"
curl_lines() {
	awk '/pastes this block into a shell/{want=1; next} want && /^```sh/{on=1; next}
	    on && /^```/{exit} on' "$T_ROOT/README.md" >lines
	[ "$(grep -c curl lines)" -ge 8 ] || t_fail "the block was not found"
	daemon_start
	sed "s|http://127.0.0.1:7450|$URL|" lines >pasted
	# Long enough to be still running when it is paused.
	cp -r "$T_ROOT/etc" etc
	sed -i 's/^  epochs: .*/  epochs: 500/' etc/jobs/fashion-mlp.yaml
	[ -r "$FASHION/train-images-idx3-ubyte.gz" ] || t_skip "no Fashion-MNIST"
	sed -i 's/^# save now/wait_for 30 step_at_least "$ID" 20\n&/' pasted
	sed -i 's/^# stop for good/wait_for 30 job_is "$ID" running\n&/' pasted
	sed -i 's/timeout 2 curl/timeout 60 curl/' pasted      # however busy the machine
	. ./pasted >said 2>&1
	[ -n "$ID" ] || t_fail "no id: $(cat said)"
	wait_for 20 job_is "$ID" cancelled
	has "$(cat said)" '"names":["before-lr-drop"]'
	has "$(cat said)" '"split":"train"'
	eq "$(api GET "/v1/jobs/$ID/checkpoints/before-lr-drop" | jq -r '.names[0]')" before-lr-drop
	# It went on from there, not from its latest.
	eq "$(api GET "/v1/jobs/$ID/attempts" | jq -r '.attempts[-1].from')" \
	    "$(api GET "/v1/jobs/$ID/checkpoints/before-lr-drop" | jq -r .checkpoint)"
	grep -q '"status": *[45]' said && t_fail "$(grep '"status"' said)"
	return 0
}

t_case "the line that takes a finished job further is taken, and says what becomes of its schedule"
further() {
	[ -r "$FASHION/train-images-idx3-ubyte.gz" ] || t_skip "no Fashion-MNIST"
	awk '/^build\/rekindle resume fashion-mlp/{on=1} on{print} on && !/\\$/{exit}' \
	    "$T_ROOT/README.md" >line
	daemon_start
	sed 's/^  epochs: .*/  epochs: 1/' "$T_ROOT/etc/jobs/fashion-mlp.yaml" >short.yaml
	"$BUILD/rekindle" submit short.yaml --watch >out 2>&1 || t_fail "$(cat out)"
	ln -s "$BUILD" build
	sed 's/--set training.schedule.on_resume=[a-z]*//' line >without
	! . ./without >out 2>&1 || t_fail "taken without on_resume: $(cat out)"
	has "$(cat out)" "makes the learning rate leap"
	. ./line >out 2>&1 || t_fail "$(cat line out)"
	has "$(cat out)" "training.epochs 1 -> 12"
	"$BUILD/rekindle" cancel fashion-mlp >/dev/null
}

t_case "the lines about models work when pasted, behind the job that they name"
models() {
	[ -r "$FASHION/train-images-idx3-ubyte.gz" ] || t_skip "no Fashion-MNIST"
	awk '/pastes this block, behind/{want=1} want && /^```sh/{on=1; next} on && /^```/{exit} on' \
	    "$T_ROOT/README.md" >lines
	[ "$(grep -c '^build/rekindle models' lines)" -ge 10 ] || t_fail "the block was not found"
	daemon_start
	sed 's/^  epochs: .*/  epochs: 1/' "$T_ROOT/etc/jobs/fashion-mlp.yaml" >short.yaml
	"$BUILD/rekindle" submit short.yaml --watch >out 2>&1 || t_fail "$(cat out)"
	ln -s "$BUILD" build
	while read -r line; do
		eval "$line" >>said 2>&1 || t_fail "$line: $(cat said)"
	done <lines
	has "$(cat said)" "fashion@production is version 2, was 1"
	has "$(cat said)" "fashion@production is version 1, was 2"
	has "$(cat card.md)" "# fashion, version 1"
	[ -s pulled/model.pdparams ] || t_fail "$(ls pulled)"
}

t_case "the job in the README is one that is taken"
readme_job() {
	awk '/^## A job/{want=1} want && /^```yaml/{on=1; next} on && /^```/{exit} on' \
	    "$T_ROOT/README.md" >job.yaml
	[ -r "$FASHION/train-images-idx3-ubyte.gz" ] || t_skip "no Fashion-MNIST"
	daemon_start
	api POST /v1/jobs @job.yaml application/yaml >/dev/null
	eq "$(status)" 201 "$(cat body)"
	api POST "/v1/jobs/$(jq -r .id body)/cancel" >/dev/null
}

t_case "the network in the README is one that trains"
readme_network() {
	awk '/compiles this block/{want=1} want && /^```yaml/{on=1; next} on && /^```/{exit} on' \
	    "$T_ROOT/README.md" >job.yaml
	cat >>job.yaml <<-END
	name: network
	training: {steps: 2, batch_size: 4}
	data: {train: {type: synthetic, shape: [3, 32, 32], samples: 8}}
	END
	"$BUILD/rekindle-train" job.yaml >out 2>&1 || t_fail "$(cat out)"
	has "$(cat out)" "finished at step 2"
}

t_case "every example job is taken"
example_jobs() {
	[ -r "$FASHION/train-images-idx3-ubyte.gz" ] || t_skip "no Fashion-MNIST"
	daemon_start
	for f in "$T_ROOT"/etc/jobs/*.yaml; do
		! grep -q /var/lib/rekindle/data "$f" || continue       # the reader's own
		"$BUILD/rekindle" submit "$f" --hold >/dev/null || t_fail "$f"
	done
}

# own NAME: that example of etc/jobs, with its data here, a cold start and two steps.
own() {
	sed -e "s,/var/lib/rekindle/data,$PWD," -e 's/^  epochs: .*/  steps: 2/' \
	    -e '/^  checkpoint: \//d' -e '/^  strict:/d' -e '/^  warm_start:/d' \
	    -e 's/: 224/: 32/' -e 's/: 256/: 40/' "$T_ROOT/etc/jobs/$1.yaml" >"$1.yaml"
}

t_case "the examples for one's own texts, pictures and tables train on such"
own_data() {
	python3 - <<-'END'
		import os, struct, zlib
		def chunk(kind, data):
		    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
		def png(path, side, grey):
		    rows = b"".join(b"\0" + bytes((grey + x * y) % 256 for x in range(side)) for y in range(side))
		    with open(path, "wb") as f:
		        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) +
		                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
		for k in range(6):
		    os.makedirs(f"pictures/class-{k}")
		    for i in range(10):
		        png(f"pictures/class-{k}/{i}.png", 48, 40 * k + i)
		with open("reviews.tsv", "w") as f:
		    f.write("text\tlabel\n")
		    for i in range(200):
		        f.write(f"a {('dull', 'great')[i % 2]} film, number {i}\t{('neg', 'pos')[i % 2]}\n")
		with open("measurements.csv", "w") as f:
		    f.write(",".join([f"x{i}" for i in range(13)] + ["strength"]) + "\n")
		    for i in range(100):
		        f.write(",".join(str((i * k) % 17) for k in range(1, 15)) + "\n")
	END
	own texts
	"$BUILD/rekindle-train" --make-vocabulary texts.yaml --size 8000 >out 2>&1 || t_fail "$(cat out)"
	for job in texts pictures csv-regression; do
		own $job
		"$BUILD/rekindle-train" $job.yaml >out 2>&1 || t_fail "$job: $(cat out)"
		has "$(cat out)" "finished at step 2"
	done
}

t_run
