/*
 * remote, driven by lines: what remote_drive.c says about them.  For it, and
 * for unit tests that give the lines themselves.
 */
#ifndef REMOTE_DRIVE_H
#define REMOTE_DRIVE_H

#include <fcntl.h>

#include "t.h"

#include "impl.h"

struct job {
	struct job *next;
	struct drive *d;
	struct remote_op *op;
	char *id;
	bool yes;                       /* the answer to began and sized */
	int64_t pages;
	struct remote_range *have;
};

struct drive {
	struct loop *loop;
	struct http *http;
	struct remote *r;
	struct loop_fd *watch;
	struct strbuf in;
	struct job *jobs;
	bool over;
	FILE *out;
};

/* --- lines ---------------------------------------------------------------- */

static void
say(struct drive *d, json_t *v)
{
	char *s = rkj_text(v);

	fprintf(d->out, "%s\n", s);
	fflush(d->out);
	free(s);
	json_decref(v);
}

static const char *
text_of(const json_t *v, const char *name)
{
	return json_string_value(json_object_get(v, name));
}

static int64_t
number_of(const json_t *v, const char *name, int64_t otherwise)
{
	const json_t *n = json_object_get(v, name);

	return json_is_integer(n) ? json_integer_value(n) : otherwise;
}

static bool
bool_of(const json_t *v, const char *name, bool otherwise)
{
	const json_t *b = json_object_get(v, name);

	return json_is_boolean(b) ? json_is_true(b) : otherwise;
}

/* Strings may be any bytes: those that are not UTF-8 are shown with '?'. */
static json_t *
shown(const char *s)
{
	char *copy = rk_text_clean(xstrdup(s));
	json_t *v = json_string(copy);

	free(copy);
	return v;
}

/* --- operations ----------------------------------------------------------- */

static struct job **
find(struct drive *d, const char *id)
{
	struct job **j = &d->jobs;

	while (*j != NULL && (id == NULL || strcmp((*j)->id, id) != 0))
		j = &(*j)->next;
	return j;
}

static void
forget(struct job *j)
{
	struct job **at = &j->d->jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	free(j->have);
	free(j->id);
	free(j);
}

static void
look(struct drive *d)
{
	if (d->over && d->jobs == NULL)
		loop_stop(d->loop);
}

static void
done(void *ctx, const struct remote_result *r)
{
	struct job *j = ctx;
	struct drive *d = j->d;
	json_t *v = json_pack("{s:s, s:s, s:o, s:s, s:i, s:i, s:s, s:I, s:I, "
	    "s:s}", "id", j->id, "end", remote_end_words[r->end], "error",
	    shown(r->error), "code", r->code, "status", r->status, "tries",
	    r->tries, "etag", r->etag, "size", (json_int_t)r->size,
	    "modified_ms", (json_int_t)r->modified_ms, "sha256", r->sha256);

	t_check(v != NULL);
	if (r->end == REMOTE_LOCAL)
		json_object_set_new(v, "err", json_string(rk_strerror(r->err)));
	json_t *body = json_stringn(r->body, r->len);
	if (body != NULL) {
		json_object_set_new(v, "body", body);
	} else {
		char *s = rk_base64(r->body, r->len);
		json_object_set_new(v, "body_base64", json_string(s));
		free(s);
	}
	say(d, v);
	forget(j);
	look(d);
}

static bool
each_entry(void *ctx, const struct remote_entry *v, size_t n)
{
	struct job *j = ctx;
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("[o, I, s, I]",
		    shown(v[i].key), (json_int_t)v[i].size, v[i].etag,
		    (json_int_t)v[i].modified_ms));
	say(j->d, json_pack("{s:s, s:s, s:o}", "id", j->id, "event", "entries",
	    "entries", list));
	return --j->pages != 0;
}

static bool
each_pending(void *ctx, const char *key, const char *upload_id, int64_t at)
{
	struct job *j = ctx;

	say(j->d, json_pack("{s:s, s:s, s:o, s:s, s:I}", "id", j->id, "event",
	    "pending", "key", shown(key), "upload_id", upload_id,
	    "initiated_ms", (json_int_t)at));
	return true;
}

static bool
began(void *ctx, const char *upload_id, uint64_t part_size)
{
	struct job *j = ctx;

	say(j->d, json_pack("{s:s, s:s, s:s, s:I}", "id", j->id, "event",
	    "began", "upload_id", upload_id, "part_size",
	    (json_int_t)part_size));
	return j->yes;
}

static bool
sized(void *ctx, uint64_t size, const char *etag)
{
	struct job *j = ctx;

	say(j->d, json_pack("{s:s, s:s, s:I, s:s}", "id", j->id, "event",
	    "sized", "size", (json_int_t)size, "etag", etag));
	return j->yes;
}

static void
got(void *ctx, uint64_t at, uint64_t n)
{
	struct job *j = ctx;

	say(j->d, json_pack("{s:s, s:s, s:I, s:I}", "id", j->id, "event",
	    "got", "at", (json_int_t)at, "n", (json_int_t)n));
}

/* --- commands ------------------------------------------------------------- */

static struct remote_op *
do_put(struct job *j, const json_t *v, const char *uri,
    const struct remote_patience *p)
{
	const char *text = text_of(v, "text"), *path = text_of(v, "file");
	bool if_absent = bool_of(v, "if_absent", false);
	char *bytes = NULL;
	size_t n = 0;

	if (path != NULL && rk_read_file(AT_FDCWD, path, SIZE_MAX / 2, &bytes,
	    &n) != RK_OK)
		t_fail("cannot read %s", path);
	if (path == NULL) {
		const json_t *t = json_object_get(v, "text");
		n = json_string_length(t);
	}
	struct remote_op *op = remote_put(j->d->r, uri,
	    path != NULL ? bytes : text, n, if_absent, p, done, j);
	free(bytes);
	return op;
}

static struct remote_op *
do_upload(struct job *j, const json_t *v, const char *uri,
    const struct remote_patience *p)
{
	int fd = open(text_of(v, "file"), O_RDONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);

	if (fd < 0 || size < 0)
		t_fail("cannot read %s", text_of(v, "file"));
	j->yes = bool_of(v, "began", true);
	struct remote_upload a = { .fd = fd, .size = (uint64_t)size,
		.sha256 = text_of(v, "sha256"),
		.upload_id = text_of(v, "upload_id"),
		.part_size = (uint64_t)number_of(v, "part_size", 0),
		.began = began, .done = done, .ctx = j, .patience = *p };
	struct remote_op *op = remote_upload(j->d->r, uri, &a);
	close(fd);
	return op;
}

static struct remote_op *
do_download(struct job *j, const json_t *v, const char *uri,
    const struct remote_patience *p)
{
	const json_t *have = json_object_get(v, "have"), *e;
	int fd = open(text_of(v, "file"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	size_t i;

	if (fd < 0)
		t_fail("cannot write %s", text_of(v, "file"));
	j->yes = bool_of(v, "room", true);
	j->have = xcalloc(json_array_size(have) + 1, sizeof(*j->have));
	json_array_foreach(have, i, e)
		j->have[i] = (struct remote_range){
			(uint64_t)json_integer_value(json_array_get(e, 0)),
			(uint64_t)json_integer_value(json_array_get(e, 1)) };
	struct remote_download a = { .fd = fd, .sha256 = text_of(v, "sha256"),
		.max = (uint64_t)number_of(v, "max", 0),
		.etag = text_of(v, "etag"), .have = j->have,
		.nhave = json_array_size(have), .sized = sized,
		.got = bool_of(v, "sync", true) ? got : NULL,
		.done = done, .ctx = j, .patience = *p };
	struct remote_op *op = remote_download(j->d->r, uri, &a);
	close(fd);
	return op;
}

static struct remote_op *
begin(struct job *j, const char *what, const json_t *v, const char *uri,
    const struct remote_patience *p)
{
	struct remote *r = j->d->r;

	if (strcmp(what, "head") == 0)
		return remote_head(r, uri, p, done, j);
	if (strcmp(what, "get") == 0)
		return remote_get(r, uri, (size_t)number_of(v, "max", 65536),
		    p, done, j);
	if (strcmp(what, "put") == 0)
		return do_put(j, v, uri, p);
	if (strcmp(what, "delete") == 0)
		return remote_delete(r, uri, p, done, j);
	if (strcmp(what, "list") == 0) {
		j->pages = number_of(v, "pages", 0);
		return remote_list(r, uri, bool_of(v, "folders", false),
		    each_entry, p, done, j);
	}
	if (strcmp(what, "pending") == 0)
		return remote_pending(r, uri, each_pending, p, done, j);
	if (strcmp(what, "abort") == 0)
		return remote_abort(r, uri, text_of(v, "upload_id"), p, done,
		    j);
	if (strcmp(what, "upload") == 0)
		return do_upload(j, v, uri, p);
	if (strcmp(what, "download") == 0)
		return do_download(j, v, uri, p);
	t_fail("no command \"%s\"", what);
	return NULL;
}

static void
say_totals(struct drive *d)
{
	struct remote_totals t;

	remote_totals(d->r, &t);
	say(d, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "sent",
	    (json_int_t)t.sent, "received", (json_int_t)t.received, "requests",
	    (json_int_t)t.requests, "retries", (json_int_t)t.retries,
	    "throttled", (json_int_t)t.throttled, "failures",
	    (json_int_t)t.failures, "up_rate", t.up_rate, "down_rate",
	    t.down_rate));
}

static void
say_check(struct drive *d, const char *id, const char *uri)
{
	struct rk_why why = {0};
	bool ok = remote_check(d->r, uri, &why) == RK_OK;

	say(d, json_pack("{s:s, s:b, s:s}", "id", id, "ok", ok, "error",
	    ok ? "" : rk_why_first(&why)));
	rk_why_fini(&why);
}

/* What is asked of an operation under way. */
static bool
about(struct drive *d, const char *what, const char *id)
{
	struct job *j = *find(d, id);
	uint64_t n, all;

	if (strcmp(what, "moved") == 0 && j != NULL) {
		remote_moved(j->op, &n, &all);
		say(d, json_pack("{s:s, s:s, s:I, s:I}", "id", id, "event",
		    "moved", "done", (json_int_t)n, "total", (json_int_t)all));
	} else if (strcmp(what, "cancel") == 0 && j != NULL) {
		remote_cancel(&j->op);
		say(d, json_pack("{s:s, s:s}", "id", id, "event",
		    "cancelled"));
		forget(j);
	} else if ((strcmp(what, "hold") == 0 || strcmp(what, "go") == 0) &&
	    j != NULL) {
		remote_hold(j->op, what[0] == 'h');
	} else {
		return j == NULL && (strcmp(what, "moved") == 0 ||
		    strcmp(what, "cancel") == 0 || strcmp(what, "hold") == 0 ||
		    strcmp(what, "go") == 0);
	}
	return true;
}

static void
command(struct drive *d, const json_t *v)
{
	const char *what = text_of(v, "do"), *id = text_of(v, "id");
	int64_t left = number_of(v, "deadline_ms", 0);
	struct remote_patience p = { .deadline_ms = left != 0 ?
		mono_ms() + left : 0, .tries = (int)number_of(v, "tries", 0) };

	t_check(what != NULL);
	if (strcmp(what, "totals") == 0) {
		say_totals(d);
	} else if (strcmp(what, "rates") == 0) {
		http_rates(d->http, (uint64_t)number_of(v, "up", 0),
		    (uint64_t)number_of(v, "down", 0));
	} else if (strcmp(what, "check") == 0) {
		say_check(d, id, text_of(v, "uri"));
	} else if (!about(d, what, id)) {
		struct job *j = xcalloc(1, sizeof(*j));
		*j = (struct job){ .next = d->jobs, .d = d,
		    .id = xstrdup(id) };
		d->jobs = j;
		j->op = begin(j, what, v, text_of(v, "uri"), &p);
	}
}

static void
configure(struct drive *d, const json_t *v)
{
	struct http_config h = { .up_rate = (uint64_t)number_of(v, "up_rate",
		0), .down_rate = (uint64_t)number_of(v, "down_rate", 0) };
	struct remote_config c = { .stores = json_object_get(v, "stores"),
		.aws_metadata_url = text_of(v, "aws_metadata_url"),
		.alibaba_metadata_url = text_of(v, "alibaba_metadata_url"),
		.parts = (int)number_of(v, "parts", 0),
		.part_size = (uint64_t)number_of(v, "part_size", 0),
		.stall_ms = number_of(v, "stall_ms", 0) };
	struct rk_why why = {0};
	enum log_level level;

	if (text_of(v, "log") != NULL &&
	    log_level_from_name(text_of(v, "log"), &level))
		log_set_level(level);
	t_eq_int(http_open(&d->http, d->loop, &h), RK_OK);
	if (remote_open(&d->r, d->loop, d->http, &c, &why) == RK_OK) {
		say(d, json_pack("{s:b}", "ok", true));
	} else {
		char *all = rk_why_text(&why);
		say(d, json_pack("{s:s}", "error", all));
		free(all);
		d->over = true;
	}
	rk_why_fini(&why);
}

static void
on_line(struct drive *d, const char *s, size_t n)
{
	struct rk_why why = {0};
	json_t *v = NULL;

	if (rkj_parse_json(s, n, &v, &why) != RK_OK)
		t_fail("%.*s: %s", (int)n, s, rk_why_first(&why));
	if (d->r == NULL)
		configure(d, v);
	else
		command(d, v);
	json_decref(v);
	look(d);
}

static void
on_input(void *ctx, unsigned events)
{
	struct drive *d = ctx;
	char b[65536];
	ssize_t n = read(0, b, sizeof(b));
	char *end;

	(void)events;
	if (n > 0)
		sb_add(&d->in, b, (size_t)n);
	while (d->in.len > 0 && (end = memchr(d->in.s, '\n', d->in.len))) {
		on_line(d, d->in.s, (size_t)(end - d->in.s));
		sb_cut(&d->in, (size_t)(end + 1 - d->in.s));
	}
	if (n <= 0) {
		d->over = true;
		loop_fd_del(&d->watch);
		look(d);
	}
}

static void
close_all(struct drive *d)
{
	remote_close(&d->r);
	while (d->jobs != NULL)
		forget(d->jobs);
	http_close(&d->http);
	loop_fd_del(&d->watch);
	loop_close(&d->loop);
	sb_fini(&d->in);
}

__attribute__((constructor)) static void
drive_main(int argc, char **argv)
{
	struct drive d = { .out = stdout };

	if (argc < 2 || strcmp(argv[1], "--drive") != 0)
		return;
	t_eq_int(loop_open(&d.loop), RK_OK);
	d.watch = loop_fd_add(d.loop, 0, LOOP_IN, on_input, &d);
	t_check(d.watch != NULL);
	loop_run(d.loop);
	close_all(&d);
	exit(0);
}

#endif
