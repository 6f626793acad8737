/* One answer for each request. */
#include "impl.h"

#include <string.h>

#define TYPE_JSON    "application/json"
#define TYPE_PROBLEM "application/problem+json"

void
reply_json(struct req *q, int status)
{
	must(q->status == 0);
	q->status = status;
	q->ctype = TYPE_JSON;
}

void
reply_empty(struct req *q, int status)
{
	must(q->status == 0);
	q->status = status;
	q->ctype = NULL;
	sb_reset(&q->out);
}

void
reply_tree(struct req *q, int status, json_t *v)
{
	char *text = rkj_text(v);

	sb_reset(&q->out);
	sb_adds(&q->out, text);
	sb_addc(&q->out, '\n');
	free(text);
	json_decref(v);
	reply_json(q, status);
}

void
reply_with(struct req *q, int status, struct MHD_Response *r)
{
	must(q->status == 0);
	q->status = status;
	q->resp = r;
}

void
reply_shared(struct req *q, int status, struct MHD_Response *r)
{
	reply_with(q, status, r);
	q->shared = true;
}

bool
api_taking_over(const struct api *a)
{
	return a->mirror != NULL && sup_held(a->sup);
}

char *
api_mirror_error(const struct api *a)
{
	json_t *m = a->mirror != NULL ? mirror_json(a->mirror) : NULL;
	const char *s = json_string_value(json_object_get(m, "error"));
	char *error = xstrdup(s != NULL ? s : "");

	json_decref(m);
	return error;
}

/* What is not here may be there: nobody is told that it does not exist. */
static bool
may_come(const struct req *q, enum problem p)
{
	return p == P_NOT_FOUND && q->route != NULL && rk_id_ok(q->arg[0]) &&
	    api_taking_over(q->api);
}

static void
reply_document(struct req *q, enum problem p, const char *detail,
    const struct rk_why *faults)
{
	must(q->status == 0);
	sb_reset(&q->out);
	if (may_come(q, p)) {
		reply_taking_over(q);
		return;
	}
	problem_write(&q->out, p, detail, faults);
	q->status = problems[p].status;
	q->ctype = TYPE_PROBLEM;
	q->etag[0] = '\0';
	q->retry_later = q->status == 503;
}

void
reply_problem(struct req *q, enum problem p, const char *fmt, ...)
{
	struct strbuf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	sb_vaddf(&b, fmt, ap);
	va_end(ap);
	reply_document(q, p, sb_str(&b), NULL);
	sb_fini(&b);
}

void
reply_taking_over(struct req *q)
{
	char *error = api_mirror_error(q->api);

	reply_problem(q, P_NOT_READY, "the jobs of this instance are %staken "
	    "over from the bucket%s%s", error[0] != '\0' ? "not " : "being ",
	    error[0] != '\0' ? " yet: " : "", error);
	free(error);
}

void
reply_faults(struct req *q, enum problem p, const struct rk_why *why)
{
	struct strbuf b = { 0 };
	bool paths = why->n > 1;

	for (size_t i = 0; i < why->n; i++)
		paths |= why->v[i].path[0] != '\0';
	if (!paths) {
		reply_document(q, p, rk_why_first(why), NULL);
		return;
	}
	if (why->n + why->more == 1)
		sb_adds(&b, rk_why_first(why));
	else
		sb_addf(&b, "%zu faults; the first: %s", why->n + why->more,
		    rk_why_first(why));
	reply_document(q, p, sb_str(&b), why);
	sb_fini(&b);
}

void
reply_too_long(struct req *q, const char *what, uint64_t max)
{
	char *sentence = rk_too_long(what, max);

	reply_problem(q, P_TOO_LARGE, "%s", sentence);
	free(sentence);
}

void
reply_err(struct req *q, enum rk_err e, const struct rk_why *why,
    const char *what)
{
	static const struct {
		enum rk_err e;
		enum problem p;
		const char *sentence;
	} map[] = {
		{ RK_EINVAL, P_INVALID_FIELDS, "the request is not valid" },
		{ RK_ECONFLICT, P_CONFLICT, "it is not in a state for that" },
		{ RK_EEXIST, P_CONFLICT, "it is there already" },
		{ RK_EBUSY, P_DRAINING,
		    "the daemon is draining and takes no new work" },
		{ RK_ENOSPC, P_NO_SPACE,
		    "the disk of the state directory is full; nothing was "
		    "changed" },
		{ RK_EROFS, P_READ_ONLY,
		    "the state directory cannot be written; nothing was "
		    "changed" },
		{ RK_EGONE, P_DATABASE_GONE,
		    "the database was removed or replaced; nobody may rely on "
		    "what is changed now" },
		{ RK_ETIMEDOUT, P_TIMEOUT, "it took too long" },
		{ RK_ECORRUPT, P_CORRUPT, "what is stored of it is damaged" },
		{ RK_ELIMIT, P_NOT_READY, "a limit is reached" },
		{ RK_ENOMEM, P_NOT_READY, "there is not enough memory" },
	};

	if (e == RK_ENOENT) {
		if (why != NULL && why->n > 0)
			reply_faults(q, P_NOT_FOUND, why);
		else
			reply_problem(q, P_NOT_FOUND, "there is no %s", what);
		return;
	}
	for (size_t i = 0; i < RK_ARRAY_LEN(map); i++) {
		if (map[i].e != e)
			continue;
		if (why != NULL && why->n > 0)
			reply_faults(q, map[i].p, why);
		else
			reply_problem(q, map[i].p, "%s", map[i].sentence);
		return;
	}
	reply_problem(q, P_INTERNAL, "%s (%s)", why != NULL && why->n > 0 ?
	    rk_why_first(why) : "the disk or the kernel said no",
	    rk_strerror(e));
}

static void
add(struct MHD_Response *r, const char *name, const char *value)
{
	/* It fails for lack of memory only, and then the header is missing. */
	(void)MHD_add_response_header(r, name, value);
}

/* The bytes in out, and the headers that go with them. */
static struct MHD_Response *
make_response(struct req *q)
{
	size_t len = q->out.len;
	struct MHD_Response *r;

	if (len == 0)
		r = MHD_create_response_from_buffer(0, NULL,
		    MHD_RESPMEM_PERSISTENT);
	else
		r = MHD_create_response_from_buffer(len, sb_detach(&q->out),
		    MHD_RESPMEM_MUST_FREE);
	if (r == NULL)
		return NULL;
	if (q->ctype != NULL)
		add(r, "Content-Type", q->ctype);
	if (q->etag[0])
		add(r, "ETag", q->etag);
	if (q->location != NULL)
		add(r, "Location", q->location);
	if (q->allow != NULL)
		add(r, "Allow", q->allow);
	if (q->replayed)
		add(r, "Idempotent-Replayed", "true");
	if (q->draining != NULL && q->draining[0] != '\0')
		add(r, "Rekindle-Draining", q->draining);
	if (q->retry_later)
		add(r, "Retry-After", "5");
	add(r, "Cache-Control", "no-cache");
	add(r, "X-Content-Type-Options", "nosniff");
	return r;
}

/* Has the client, by its If-None-Match, these very bytes already? */
static bool
unchanged(struct req *q)
{
	const char *m;

	if (q->etag[0] == '\0' || q->status != 200)
		return false;
	m = req_header(q, "If-None-Match");
	return m != NULL && strstr(m, q->etag) != NULL;
}

enum MHD_Result
reply_send(struct req *q)
{
	enum MHD_Result ok;
	bool mine = !q->shared;

	must(q->status != 0);
	if (q->resp == NULL) {
		size_t size = q->out.len;
		bool keep = q->route != NULL && q->status == 200 &&
		    (q->route->flags & ROUTE_CACHE) != 0 &&
		    !api_taking_over(q->api);
		if (unchanged(q)) {
			sb_reset(&q->out);
			q->status = 304;
			q->ctype = NULL;
			keep = false;
		}
		q->resp = make_response(q);
		if (q->resp == NULL)
			return MHD_NO;
		mine = !keep || !cache_keep(q, size);
	}
	ok = MHD_queue_response(q->conn, (unsigned)q->status, q->resp);
	if (mine)
		MHD_destroy_response(q->resp);
	q->resp = NULL;
	stats_count(&q->api->stats, q->route, q->status,
	    mono_ns() - q->began_ns);
	q->counted = true;
	return ok;
}
