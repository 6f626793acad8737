/* Are the data those that the checkpoint was made with: see same.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"
#include "seen.h"

#define AT_ONCE_BYTES ((uint64_t)256 << 20)
/* To ask for the size of a file takes as long as to digest so much. */
#define ASKED_BYTES   ((uint64_t)64 << 10)
/* ... and what a hash and a label are in a digest. */
#define KNOWN_BYTES   ((uint64_t)64)
#define KEPT_FILE     "data.json"
#define KEPT_MAX      4096      /* bytes of it */
#define KEPT_VERSION  1
#define YOUNG_NS      ((int64_t)2000000000)
#define WAIT_US       2000

/* --- words ---------------------------------------------------------------- */

static json_t *
set_json(const struct data_set *d, const char *digest)
{
	json_t *shape = json_array();
	json_t *o = json_pack("{s:s, s:I}", "digest", digest, "samples",
	    (json_int_t)d->n);

	for (int i = 0; i < d->ndim; i++)
		must(json_array_append_new(shape, json_integer(d->d[i])) == 0);
	js_put(o, "shape", shape);
	return o;
}

json_t *
same_json(const struct run *r)
{
	struct spec_data d = r->spec->data;     /* borrows all it points to */
	struct spec_file f[SPEC_FILES];
	json_t *files = json_object();
	json_t *o = json_pack("{s:o}", "train", set_json(r->train,
	    r->data_digest));
	const size_t n = spec_files(&d, f);

	for (size_t i = 0; i < n; i++)
		js_put(files, f[i].field, js_text(*f[i].name));
	if (r->valid != NULL)
		js_put(o, "validation", set_json(r->valid, r->same.valid));
	js_put(o, "files", files);
	return o;
}

bool
same_but_moved(const struct run *r, const struct ckpt_info *i)
{
	const json_t *files = json_object_get(json_object_get(i->state,
	    "data"), "files");
	struct spec old = *r->spec;     /* borrows all it points to */
	char hex[RK_SHA256_HEX];
	struct spec_file f[SPEC_FILES];
	const size_t n = spec_files(&old.data, f);

	for (size_t k = 0; k < n; k++) {
		const char *was = json_string_value(json_object_get(files,
		    f[k].field));
		if (was == NULL)
			return false;
		*f[k].name = (char *)(uintptr_t)was;
	}
	spec_digest(&old, hex);
	return strcmp(hex, i->spec_digest) == 0;
}

/* "60,000 samples of 1x28x28" */
static void
add_set(struct strbuf *b, const json_t *set)
{
	const json_t *shape = json_object_get(set, "shape"), *v;
	const json_t *samples = json_object_get(set, "samples");
	char digits[RK_HUMAN];
	size_t k;

	if (!json_is_integer(samples))
		return;
	sb_addf(b, ", %s samples", rk_group_digits(digits,
	    json_integer_value(samples)));
	json_array_foreach((json_t *)(uintptr_t)shape, k, v)
		sb_addf(b, "%s%lld", k == 0 ? " of " : "x",
		    (long long)json_integer_value(v));
}

/* --- judging -------------------------------------------------------------- */

/* name: of a sample that is not as it was, or NULL; freed. */
static void
add_change(struct strbuf *b, const char *what, const char *was_hex,
    const json_t *was, const char *is_hex, const json_t *is, char *name)
{
	sb_addf(b, "%sthe %s data: digest %s", b->len > 0 ? "; " : "", what,
	    was_hex);
	add_set(b, was);
	sb_addf(b, " then, %s", is_hex[0] != '\0' ? is_hex : "none");
	add_set(b, is);
	sb_adds(b, " now");
	if (name != NULL)
		sb_addf(b, "; the first that is not as it was is %s", name);
	free(name);
}

/* want "": whatever they were.  A job that begins or ceases to have transforms
 * has the same data. */
static bool
is_other(const struct data_set *d, const char *want, const char *is)
{
	char hex[RK_SHA256_HEX];

	return want[0] != '\0' && strcmp(want, is) != 0 &&
	    !(data_digest_other(d, hex) && strcmp(want, hex) == 0);
}

/* True: they are the same, or the difference is accepted. */
static bool
compare(struct run *r)
{
	struct same *s = &r->same;
	struct strbuf b = {0};
	const bool train = is_other(r->train, s->want, r->data_digest);
	const bool valid = is_other(r->valid, s->want_valid, s->valid);

	if (!train && !valid)
		return true;
	json_t *is = same_json(r);
	json_object_del(is, "files");
	if (train)
		add_change(&b, "training", s->want, json_object_get(s->was,
		    "train"), r->data_digest, json_object_get(is, "train"),
		    s->final ? seen_changed(r, r->train) : NULL);
	if (valid)
		add_change(&b, "validation", s->want_valid, json_object_get(
		    s->was, "validation"), s->valid, json_object_get(is,
		    "validation"), s->final ?
		    seen_changed(r, r->valid) : NULL);
	if (r->o->accept_data) {
		report_event(&r->rep, "data_changed", "the data has changed "
		    "since %s was taken, which was accepted: %s", s->from,
		    sb_str(&b));
		s->want[0] = s->want_valid[0] = '\0';
		r->exact.other_data = true;
		seen_forget(r);
		json_decref(is);
	} else {
		json_t *details = json_pack("{s:s, s:O*, s:o}", "checkpoint",
		    s->from, "was", s->was, "is", is);
		must(details != NULL);
		run_fail_waits(r, "data_changed", details, "the data has "
		    "changed since %s was taken: %s%s", s->from, sb_str(&b),
		    r->rep.wire != NULL ? "" : "; --accept data goes on with "
		    "what there is now, --from none begins anew");
	}
	sb_fini(&b);
	return r->fail.reason == NULL;
}

bool
same_judge(struct run *r, const struct ckpt_info *i)
{
	const json_t *data = json_object_get(i->state, "data");
	const char *valid = json_string_value(json_object_get(
	    json_object_get(data, "validation"), "digest"));
	struct same *s = &r->same;

	snprintf(s->from, sizeof(s->from), "%s", i->dir);
	memcpy(s->want, i->data_digest, sizeof(s->want));
	snprintf(s->want_valid, sizeof(s->want_valid), "%s",
	    valid != NULL && r->valid != NULL ? valid : "");
	s->was = json_is_object(data) ? json_deep_copy(data) :
	    json_pack("{s:{s:s}}", "train", "digest", i->data_digest);
	must(s->was != NULL);
	json_object_del(s->was, "files");
	seen_load(r, i);
	return !(s->final || s->kept) || compare(r);
}

/* --- data.json ------------------------------------------------------------ */

static bool
add_stat(struct strbuf *b, const char *path)
{
	struct stat st;

	/* Of a folder its own times say nothing of what is in it. */
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	int64_t m = (int64_t)st.st_mtim.tv_sec * 1000000000 +
	    st.st_mtim.tv_nsec;
	int64_t c = (int64_t)st.st_ctim.tv_sec * 1000000000 +
	    st.st_ctim.tv_nsec;
	sb_addf(b, "%llu %llu %lld %lld %lld\n",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
	    (long long)st.st_size, (long long)m, (long long)c);
	return now_ms() * 1000000 - RK_MAX(m, c) > YOUNG_NS;
}

/* Of the files and how they are read; "" where that cannot be relied on. */
static void
key_of(struct run *r, struct spec_data *local, char hex[RK_SHA256_HEX])
{
	struct strbuf b = {0};
	struct spec_file f[SPEC_FILES];
	json_t *tree = spec_json(r->spec), *data;
	bool good = true;
	const size_t n = spec_files(local, f);

	data = json_object_get(tree, "data");
	for (size_t i = 0; i < n; i++) {
		char *key = strrchr(f[i].field, '.') + 1;
		const bool valid = strncmp(f[i].field, "data.v", 6) == 0;
		key[strcspn(key, "[")] = '\0';
		json_object_del(json_object_get(data, valid ? "validation" :
		    "train"), key);
		good = add_stat(&b, *f[i].name) && good;
	}
	char *text = rkj_text(data);
	sb_addf(&b, "%s %llu", text, (unsigned long long)
	    r->spec->training.seed);
	rk_sha256_of(b.s, b.len, hex);
	if (!good)
		hex[0] = '\0';
	free(text);
	json_decref(tree);
	sb_fini(&b);
}

static bool
is_digest(const char *s, bool may_be_empty)
{
	return s != NULL && ((may_be_empty && s[0] == '\0') ||
	    (strlen(s) == RK_SHA256_HEX - 1 &&
	    strspn(s, "0123456789abcdef") == RK_SHA256_HEX - 1));
}

/* Of what is in the file: a flipped bit must not look like other data. */
static void
check_of(const char *key, const char *train, const char *valid,
    char hex[RK_SHA256_HEX])
{
	char *text = xasprintf("%s %s %s", key, train, valid);

	rk_sha256_of(text, strlen(text), hex);
	free(text);
}

/* True: the digests are taken from there. */
static bool
kept_read(struct run *r)
{
	struct same *s = &r->same;
	char *text = NULL, hex[RK_SHA256_HEX];
	json_t *o = NULL;
	size_t len;

	if (s->key[0] == '\0' || rk_read_file(r->dir_fd, KEPT_FILE, KEPT_MAX,
	    &text, &len) != RK_OK)
		return false;
	if (rkj_parse_json(text, len, &o, NULL) != RK_OK)
		o = NULL;
	const char *key = json_string_value(json_object_get(o, "key"));
	const char *train = json_string_value(json_object_get(o, "train"));
	const char *valid = json_string_value(json_object_get(o,
	    "validation"));
	bool good = json_integer_value(json_object_get(o, "version")) ==
	    KEPT_VERSION && key != NULL && strcmp(key, s->key) == 0 &&
	    is_digest(train, false) && is_digest(valid, r->valid == NULL) &&
	    (r->valid != NULL || valid[0] == '\0');
	if (good) {
		const char *check = json_string_value(json_object_get(o,
		    "check"));
		check_of(key, train, valid, hex);
		good = check != NULL && strcmp(check, hex) == 0;
	}
	if (good) {
		memcpy(r->data_digest, train, RK_SHA256_HEX);
		snprintf(s->valid, sizeof(s->valid), "%s", valid);
	}
	json_decref(o);
	free(text);
	return good;
}

/* One that cannot be written costs an early word at the next start. */
static void
kept_write(const struct run *r)
{
	char check[RK_SHA256_HEX];

	if (r->same.key[0] == '\0')
		return;
	check_of(r->same.key, r->data_digest, r->same.valid, check);
	json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:s}", "version",
	    KEPT_VERSION, "key", r->same.key, "train", r->data_digest,
	    "validation", r->same.valid, "check", check);
	char *text = rkj_text(o);

	(void)!rk_replace_file(r->dir_fd, KEPT_FILE, text, strlen(text));
	free(text);
	json_decref(o);
}

/* --- the digests ---------------------------------------------------------- */

static void *
same_main(void *arg)
{
	struct run *r = arg;
	struct same *s = &r->same;

	if (data_digest_each(r->train, s->got, seen_files(r, r->train),
	    &s->stop) && r->valid != NULL)
		(void)data_digest_each(r->valid, s->got_valid,
		    seen_files(r, r->valid), &s->stop);
	atomic_store(&s->done, true);
	return NULL;
}

static uint64_t
bytes_of(const struct data_set *d)
{
	if (d == NULL)
		return 0;
	if (d->lazy == NULL)
		return (uint64_t)d->n * data_sample_bytes(d);
	return (uint64_t)d->n * (data_knows_content(d) ? KNOWN_BYTES :
	    ASKED_BYTES);
}

static uint64_t
at_once_bytes(void)
{
	const char *s = getenv("REKINDLE_TRAIN_DIGEST_AT_ONCE");
	char *end;

	if (s == NULL || s[0] < '0' || s[0] > '9')
		return AT_ONCE_BYTES;
	uint64_t n = strtoull(s, &end, 10);
	return *end == '\0' ? n : AT_ONCE_BYTES;
}

bool
same_before(struct run *r)
{
	struct spec_data local;

	if (!place_data(r, &local))
		return false;
	key_of(r, &local, r->same.key);
	return true;
}

/* Who validates is no matter of the files alone. */
static void
add_split(struct run *r)
{
	const struct data_split *how = &r->held.how;
	char *text = xasprintf("%s %d %llu", r->same.key, (int)how->rule,
	    (unsigned long long)how->seed);

	if (r->same.key[0] != '\0')
		rk_sha256_of(text, strlen(text), r->same.key);
	free(text);
}

bool
same_begin(struct run *r)
{
	struct same *s = &r->same;
	struct spec_data local;
	char key[RK_SHA256_HEX];

	if (!place_data(r, &local))
		return false;
	key_of(r, &local, key);
	if (strcmp(key, s->key) != 0)
		s->key[0] = '\0';       /* changed while it was read */
	add_split(r);
	seen_open(r);
	if (bytes_of(r->train) + bytes_of(r->valid) >= at_once_bytes()) {
		s->kept = kept_read(r);
		s->begun_ms = mono_ms();
		s->running = rk_thread_start(&s->thread, same_main, r) == 0;
	}
	if (!s->running) {
		must(data_digest_each(r->train, r->data_digest,
		    seen_files(r, r->train), NULL));
		if (r->valid != NULL)
			must(data_digest_each(r->valid, s->valid,
			    seen_files(r, r->valid), NULL));
		s->final = true;
	}
	return true;
}

bool
same_look(struct run *r)
{
	struct same *s = &r->same;

	if (s->final || !atomic_load(&s->done))
		return true;
	pthread_join(s->thread, NULL);
	s->running = false;
	s->final = true;
	memcpy(r->data_digest, s->got, sizeof(s->got));
	memcpy(s->valid, s->got_valid, sizeof(s->got_valid));
	if (!compare(r))
		return false;
	kept_write(r);
	report_event(&r->rep, "data_checked", "the data are %s, read through "
	    "in %.1f s behind the first %lld steps",
	    s->want[0] != '\0' ? "those of the checkpoint" : "known now",
	    (double)(mono_ms() - s->begun_ms) * 1e-3,
	    (long long)(r->at.step - r->begun_step));
	return true;
}

bool
same_wait(struct run *r)
{
	while (!r->same.final) {
		loop_tick(r, false);
		if (!same_look(r))
			return false;
		if (r->ask.leave && r->ask.deadline_ms > 0 &&
		    mono_ms() >= r->ask.deadline_ms)
			break;
		if (!r->same.final)
			usleep(WAIT_US);
	}
	return true;
}

void
same_end(struct run *r)
{
	atomic_store(&r->same.stop, true);
	if (r->same.running)
		pthread_join(r->same.thread, NULL);
	r->same.running = false;
	json_decref(r->same.was);
	r->same.was = NULL;
}
