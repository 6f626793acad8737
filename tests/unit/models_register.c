/* What becomes a version: requests, lineage, records, the folder between. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "register.h"
#include "t.h"

static json_t *
tree(const char *text)
{
	struct rk_why w = {0};
	json_t *v = NULL;

	if (rkj_parse_yaml(text, strlen(text), &v, &w) != RK_OK)
		t_fail("%s: %s", text, rk_why_first(&w));
	return v;
}

/* --- requests ------------------------------------------------------------- */

static void
refused(const char *text, const char *path, const char *words)
{
	struct reg_request r;
	struct rk_why w = {0};
	json_t *v = tree(text);

	if (request_read(v, &r, &w) != RK_EINVAL || w.n != 1)
		t_fail("%s: want one fault, got %s", text, rk_why_text(&w));
	t_eq_str(w.v[0].path, path);
	t_has(w.v[0].message, words);
	request_fini(&r);
	rk_why_fini(&w);
	json_decref(v);
}

T_CASE(a_request_is_read_and_what_is_kept_of_it_reads_back)
{
	json_t *v = tree("{job: j, checkpoint: best, notes: n, author: a, "
	    "alias: p, labels: {k: v}, optimizer: false}");
	struct reg_request r, s;
	struct rk_why w = {0};

	t_eq_int(request_read(v, &r, &w), RK_OK);
	t_eq_str(r.job, "j");
	t_check(!r.optimizer);
	json_t *kept = request_json(&r);
	t_eq_int(request_read(kept, &s, &w), RK_OK);
	json_t *again = request_json(&s);
	t_check(json_equal(kept, again));
	t_eq_str(json_string_value(json_object_get(s.labels, "k")), "v");
	request_fini(&r);
	request_fini(&s);
	json_decref(v);
	json_decref(kept);
	json_decref(again);
}

T_CASE(a_request_names_a_job_or_a_file)
{
	refused("{}", "job", "one of both");
	refused("{job: j, address: /x}", "address", "one of both");
	refused("{address: /x, checkpoint: best}", "checkpoint", "goes with");
	refused("{address: ''}", "address", "want the address");
	refused("{job: j, checkpoint: none}", "checkpoint", "is none");
	refused("{job: j, checkpoint: 'step:x'}", "checkpoint", "step");
	refused("{job: j, alias: latest}", "alias", "not latest");
	refused("{job: j, labels: {k: 1}}", "labels", "no label");
	refused("{job: j, labels: []}", "labels", "want an object");
	refused("{job: j, spec: {}}", "spec", "a job has its own");
	refused("{job: j, x: 1}", "x", "not a known field");
	refused("[]", "", "want an object");
}

/* --- addresses ------------------------------------------------------------ */

static void
shown(const char *address, const char *want)
{
	char *text = lineage_address(address);

	t_eq_str(text, want);
	free(text);
}

T_CASE(an_address_is_shown_without_user_password_and_query)
{
	shown("https://u:p@h/x?token=1", "https://h/x");
	shown("https://u:p@h/x?a=1#sha256=" "0123456789abcdef0123456789abcdef"
	    "0123456789abcdef0123456789abcdef", "https://h/x#sha256="
	    "0123456789abcdef0123456789abcdef0123456789abcdef"
	    "0123456789abcdef");
	shown("HTTP://a@b@h?x", "HTTP://h");
	shown("https://h/a@b?x", "https://h/a@b");
	shown("s3://b/k?x@y", "s3://b/k?x@y");
	shown("s3://u@b/k", "s3://b/k");
	shown("model://m@production", "model://m@production");
	shown("/a/b?c@d", "/a/b?c@d");
	shown("", "");
	shown("://x@y", "://x@y");
	json_t *v = tree("{a: ['https://u@h/?q', {b: 'see https://u@h/'}], "
	    "c: 's3://b/k'}");
	lineage_scrub(v);
	char *text = rkj_text(v);
	t_eq_str(text, "{\"a\":[\"https://h/\",{\"b\":\"see https://u@h/\"}],"
	    "\"c\":\"s3://b/k\"}");
	free(text);
	json_decref(v);
}

/* --- lineage -------------------------------------------------------------- */

#define JOB "name: %s\n" \
	"model: {arch: mlp, sizes: [4, 3, 2], checkpoint: '%s'}\n" \
	"training: {epochs: 1}\n" \
	"data: {train: {type: idx, images: /i, labels: /l}}\n" \
	"metadata: {data_source: line 7}\n"

/* Jobs of the world: job N was begun from N + 1. */
static int chain;

static char *
spec_text(int n)
{
	char *from = n == 1 ? xstrdup("https://h/x.pdparams?k") :
	    n == 2 ? xstrdup("model://m/3") : xasprintf("job://%026d/best",
	    n - 1);
	char *text = xasprintf(JOB, "j", from);
	json_t *v = tree(text);
	char *out = rkj_text(v);

	json_decref(v);
	free(from);
	free(text);
	return out;
}

static bool
w_job(void *ctx, const char *id, struct job_row *out)
{
	const int n = atoi(id);

	(void)ctx;
	if (n < 1 || n > chain)
		return false;
	*out = (struct job_row){ .name = xasprintf("job-%d", n),
		.spec = spec_text(n), .plan_summary = xstrdup("loaded all") };
	snprintf(out->id, sizeof(out->id), "%s", id);
	return true;
}

static bool
w_checkpoint(void *ctx, const struct job_row *r, const struct spec *spec,
    const char *selector, struct ckpt_info *out)
{
	(void)ctx;
	(void)r;
	(void)spec;
	if (strcmp(selector, "step-000000005") != 0)
		return false;
	*out = (struct ckpt_info){ .step = 5, .epoch = 1,
		.created_ms = 1000 };
	snprintf(out->dir, sizeof(out->dir), "%s", selector);
	return true;
}

static char *
w_began(void *ctx, const char *job)
{
	(void)ctx;
	return atoi(job) % 2 == 0 ? NULL : xasprintf("job://%026d/"
	    "step-000000005", atoi(job) - 1);
}

static json_t *
w_kept(void *ctx, const char *job)
{
	const json_t *kept = ctx;

	return json_deep_copy(json_object_get(kept, job));
}

static json_t *
w_version(void *ctx, const char *model, int64_t version)
{
	(void)ctx;
	t_eq_str(model, "m");
	return version != 3 ? NULL : tree("{digest: dd, author: ana, "
	    "lineage: {kind: file, address: a, sha256: s, parents: []}}");
}

static void
w_digest(void *ctx, const char *bare, char hex[RK_SHA256_HEX])
{
	(void)ctx;
	t_eq_str(bare, "https://h/x.pdparams?k");
	snprintf(hex, RK_SHA256_HEX, "%s", "feed");
}

static json_t *
lineage(json_t *kept, int n)
{
	const struct lineage_world w = { kept, w_job, w_checkpoint, w_began,
		w_kept, w_version, w_digest };
	struct spec *spec = NULL;
	struct job_row r;
	char id[RK_ID];

	snprintf(id, sizeof(id), "%026d", n);
	t_check(w_job(NULL, id, &r));
	json_t *v = NULL;
	t_eq_int(rkj_parse_json(r.spec, strlen(r.spec), &v, NULL), RK_OK);
	t_eq_int(spec_parse(v, &spec, NULL), RK_OK);
	json_t *o = lineage_of_job(&w, &r, spec, NULL, "best");
	json_decref(v);
	spec_free(spec);
	store_job_fini(&r);
	return o;
}

static const json_t *
up(const json_t *node)
{
	return json_array_get(json_object_get(node, "parents"), 0);
}

static const char *
of(const json_t *node, const char *key)
{
	const char *s = json_string_value(json_object_get(node, key));

	return s != NULL ? s : "";
}

T_CASE(a_lineage_goes_by_jobs_and_versions_to_a_file)
{
	chain = 4;
	json_t *o = lineage(NULL, 4), *first;

	t_eq_str(of(o, "name"), "job-4");
	t_eq_str(of(o, "checkpoint"), "best");
	t_eq_str(of(o, "plan"), "loaded all");
	/* The checkpoint that it was begun from is known, or the selector. */
	t_eq_str(of(up(o), "checkpoint"), "best");
	t_eq_str(of(up(up(o)), "checkpoint"), "step-000000005");
	t_eq_str(of(up(up(o)), "at"), "1970-01-01T00:00:01.000Z");
	t_eq_str(of(json_object_get(up(up(o)), "data"), "source"), "line 7");
	t_eq_str(of(up(up(up(o))), "kind"), "version");
	t_eq_str(of(up(up(up(o))), "author"), "ana");
	t_eq_str(of(up(up(up(up(o)))), "address"), "a");
	json_decref(o);
	first = lineage(NULL, 1);
	t_eq_str(of(up(first), "address"), "https://h/x.pdparams");
	t_eq_str(of(up(first), "sha256"), "feed");
	json_decref(first);
}

T_CASE(of_a_job_that_is_gone_its_id_is_known_and_what_was_kept)
{
	chain = 5;
	struct lineage_world w = { NULL, w_job, w_checkpoint, w_began,
		w_kept, w_version, w_digest };
	json_t *o = lineage_of_address(&w, "job://00000000000000000000000009/"
	    "step:7"), *kept;

	t_eq_str(of(o, "job"), "00000000000000000000000009");
	t_eq_str(of(o, "checkpoint"), "step:7");
	json_decref(o);
	kept = tree("{'00000000000000000000000005': [{kind: job, job: x, "
	    "parents: []}]}");
	o = lineage(kept, 5);
	t_eq_str(of(up(o), "job"), "x");
	json_decref(o);
	json_decref(kept);
}

static int
depth(const json_t *o)
{
	return o == NULL ? 0 : 1 + depth(up(o));
}

T_CASE(a_lineage_has_an_end_and_can_be_parsed_again)
{
	chain = 300;
	json_t *o = lineage(NULL, 300), *wrapped, *again = NULL;
	const json_t *last = o;

	t_eq_int(depth(o), LINEAGE_DEPTH);
	while (up(last) != NULL)
		last = up(last);
	t_check(json_is_true(json_object_get(last, "cut")));
	wrapped = json_pack("{s:{s:o}}", "record", "lineage", o);
	char *text = rkj_text(wrapped);
	t_eq_int(rkj_parse_json(text, strlen(text), &again, NULL), RK_OK);
	free(text);
	json_decref(again);
	json_decref(wrapped);
}

/* --- records -------------------------------------------------------------- */

static json_t *
record(const char *evaluations, size_t classes)
{
	struct reg_request q = { .author = (char *)(uintptr_t)"ana" };
	const struct record_head h = { .model = "m", .id = "i",
		.instance = "", .created_ms = 1, .request = &q };
	struct ckpt_info i = { .step = 5, .branch = 1 };
	struct spec *spec = NULL;
	struct job_row r;
	json_t *v, *o;

	chain = 1;
	t_check(w_job(NULL, "00000000000000000000000001", &r));
	v = tree(r.spec);
	t_eq_int(spec_parse(v, &spec, NULL), RK_OK);
	i.metrics = tree("{val_accuracy: 0.5, loss: 1}");
	i.state = tree("{data: {train: {digest: t, samples: 9}}}");
	i.classes = json_array();
	for (size_t k = 0; k < classes; k++)
		json_array_append_new(i.classes, json_string("a long name of "
		    "a class"));
	o = record_of_job(&h, &r, spec, &i, evaluations, strlen(evaluations),
	    json_object());
	ckpt_info_fini(&i);
	json_decref(v);
	spec_free(spec);
	store_job_fini(&r);
	return o;
}

T_CASE(a_record_takes_the_newest_evaluation_at_its_step)
{
	json_t *o = record("{\"evaluation\":1,\"step\":5,\"branch\":1,"
	    "\"metrics\":{\"macro_f1\":0.1}}\n"
	    "{\"evaluation\":2,\"step\":5,\"branch\":1,"
	    "\"metrics\":{\"macro_f1\":0.2,\"accuracy\":0.75}}\n"
	    "{\"evaluation\":3,\"step\":5,\"branch\":2,"
	    "\"metrics\":{\"macro_f1\":0.3}}\n"
	    "{\"evaluation\":4,\"step\":55,\"branch\":1,"
	    "\"metrics\":{\"macro_f1\":0.4}}\nnonsense\n{\"evaluation\":", 2);
	const json_t *m = json_object_get(o, "metrics");

	t_near(json_number_value(json_object_get(m, "val_macro_f1")), 0.2, 0);
	t_near(json_number_value(json_object_get(m, "val_accuracy")), 0.75, 0);
	t_near(json_number_value(json_object_get(m, "loss")), 1, 0);
	t_check(json_is_null(json_object_get(o, "per_class")));
	t_eq_str(of(json_object_get(json_object_get(o, "spec"), "model"),
	    "checkpoint"), "https://h/x.pdparams");
	t_eq_str(of(json_object_get(json_object_get(o, "data"), "train"),
	    "digest"), "t");
	t_check(json_is_null(json_object_get(json_object_get(o, "data"),
	    "validation")));
	t_check(json_object_get(o, "left_out") == NULL);
	json_decref(o);
}

T_CASE(what_is_too_long_for_a_record_is_left_out_and_named)
{
	json_t *o = record("", 65536);
	char *text = rkj_text(o);

	t_check(json_is_null(json_object_get(o, "classes")));
	t_eq_str(json_string_value(json_array_get(json_object_get(o,
	    "left_out"), 0)), "classes");
	t_check(strlen(text) < RECORD_PART);
	free(text);
	json_decref(o);
}

/* --- the folder ----------------------------------------------------------- */

static struct loop *loop;
static enum rk_err staged_rc;
static struct staged got;
static char got_digest[RK_SHA256_HEX], got_why[512];

static void
staged_told(void *ctx, enum rk_err rc, const struct staged *s,
    const char *digest, const char *why)
{
	(void)ctx;
	staged_rc = rc;
	got = *s;
	snprintf(got_digest, sizeof(got_digest), "%s", digest);
	snprintf(got_why, sizeof(got_why), "%s", why);
	loop_stop(loop);
}

static void
stage(struct staged *s)
{
	t_eq_int(loop_open(&loop), RK_OK);
	t_check(staging_start(loop, "staging/x", s, 0, staged_told, NULL) !=
	    NULL);
	loop_run(loop);
	loop_close(&loop);
}

static void
file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	t_check(fd >= 0 && rk_write_all(fd, text, strlen(text)) == 0);
	close(fd);
}

static bool
same_file(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino;
}

T_CASE(files_are_linked_or_copied_and_known_by_their_digests)
{
	struct staged s = {0}, back;
	struct rk_why w = {0};

	file("kept", "abc");
	file("own", "abc");
	staged_add(&s, "model.safetensors", xstrdup("kept"))->model = true;
	staged_add(&s, "copy", xstrdup("own"))->copy = true;
	t_check(!staged_whole(&s, "staging/x"));
	stage(&s);
	t_eq_int(staged_rc, RK_OK);
	t_check(same_file("kept", "staging/x/model.safetensors"));
	t_check(!same_file("own", "staging/x/copy"));
	t_eq_str(got_digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
	    "b410ff61f20015ad");
	t_eq_int(got.v[1].size, 3);
	t_eq_str(got.v[1].sha256, got_digest);
	/* What is there is not brought again, and what is known must be so. */
	file("own", "other");
	memcpy(s.v[1].sha256, got_digest, sizeof(got_digest));
	stage(&s);
	t_eq_int(staged_rc, RK_OK);
	s.v[0].size = s.v[1].size = 3;
	t_check(staged_whole(&s, "staging/x"));
	json_t *v = staged_json(&s);
	t_eq_int(staged_read(&back, v, &w), RK_OK);
	json_t *again = staged_json(&back);
	t_check(json_equal(v, again));
	json_decref(v);
	json_decref(again);
	staged_fini(&back);
	file("kept", "abd");            /* in place: a flipped bit */
	snprintf(s.v[0].sha256, sizeof(s.v[0].sha256), "%s", got_digest);
	stage(&s);
	t_eq_int(staged_rc, RK_ECORRUPT);
	t_has(got_why, "model.safetensors has the SHA-256");
	staged_fini(&s);
}

T_CASE(a_file_that_is_gone_is_no_version)
{
	struct staged s = {0};

	staged_add(&s, "m", xstrdup("nowhere"))->model = true;
	t_eq_int(staged_link(&s, "staging/x"), RK_ENOENT);
	stage(&s);
	t_eq_int(staged_rc, RK_ENOENT);
	staged_fini(&s);
	t_eq_int(mkdir("folder", 0755), 0);
	staged_add(&s, "m", xstrdup("folder"))->copy = true;
	stage(&s);
	t_eq_int(staged_rc, RK_EINVAL);
	t_has(got_why, "is no file");
	staged_fini(&s);
}

T_CASE(a_list_of_files_leads_nowhere_else)
{
	static const char *const texts[] = { "{}", "[{}]", "[{name: ../x, "
	    "size: 1}]", "[{name: a/b, size: 1}]", "[{name: .a, size: 1}]",
	    "[{name: a, size: -1}]", "[{name: a, size: 1, sha256: x}]",
	    "[{name: a, size: 1, x: 1}]" };

	for (size_t k = 0; k < RK_ARRAY_LEN(texts); k++) {
		struct rk_why w = {0};
		struct staged s;
		json_t *v = tree(texts[k]);
		if (staged_read(&s, v, &w) != RK_EINVAL || s.n != 0)
			t_fail("%s is taken for files", texts[k]);
		rk_why_fini(&w);
		json_decref(v);
	}
}

static bool
needs_c(void *ctx, const char *name)
{
	(void)ctx;
	return strcmp(name, "c") == 0;
}

T_CASE(folders_that_nobody_needs_are_removed)
{
	t_eq_int(rk_mkdirs("s/a/b", 0755), RK_OK);
	t_eq_int(rk_mkdirs("s/c", 0755), RK_OK);
	staged_sweep("s", needs_c, NULL);
	t_eq_int(access("s/c", F_OK), 0);
	t_check(access("s/a", F_OK) != 0);
	staged_sweep("none", NULL, NULL);
}

T_MAIN
