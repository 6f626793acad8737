/*
 * One download for all who wait.
 *
 * An address that is pinned by a digest, or whose object is still the one that
 * the cache has (same ETag), is not fetched again.  A download goes to a partial
 * file, beside it a note of the ranges that are done, so that it is gone on with
 * after a restart; a file that does not have its digest is thrown away and
 * fetched anew, twice, before that is believed.
 *
 *	ASK ──► HEAD ──► GET ──► DONE          kept for a minute
 *	         │        │
 *	         └────────┴──► WAIT (and again) or FAILED (told once)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "impl.h"

#define DAMAGED_TRIES 3
#define DONE_KEPT_MS  60000
#define PART_NOTE_MAX (1u << 20)

enum fetch_state { FETCH_HEAD, FETCH_GET, FETCH_WAIT, FETCH_DONE,
	FETCH_FAILED };

struct fetch {
	unsigned tag;
	struct ship *h;
	struct fetch *next;
	enum fetch_state state;
	char *uri, *bare;               /* with and without #sha256= */
	char want[RK_SHA256_HEX], hex[RK_SHA256_HEX];
	uint64_t size, max;             /* 0: not known yet; no limit */
	bool patient;
	char (*jobs)[RK_ID];            /* who waits */
	size_t njobs;
	struct remote_op *op;
	int fd;
	char part[RK_SHA256_HEX + 8], note[RK_SHA256_HEX + 8];
	char *etag;
	struct remote_range *have;
	size_t nhave;
	int damaged, fails;
	int64_t at_ms;                  /* mono: WAIT until, DONE since */
	enum rk_err err;                /* FAILED */
	char *error;                    /* a sentence, also of WAIT */
};

static void begin(struct fetch *f);

/* --- the partial file and its note -------------------------------------------------- */

static void
forget_part(struct fetch *f)
{
	rk_close(&f->fd);
	(void)unlinkat(f->h->part_fd, f->part, 0);
	(void)unlinkat(f->h->part_fd, f->note, 0);
	free(f->have);
	f->have = NULL;
	f->nhave = 0;
	free(f->etag);
	f->etag = NULL;
}

static void
write_note(struct fetch *f)
{
	json_t *ranges = json_array(), *o;

	for (size_t i = 0; i < f->nhave; i++)
		json_array_append_new(ranges, json_pack("[I,I]",
		    (json_int_t)f->have[i].at, (json_int_t)f->have[i].n));
	o = json_pack("{s:s, s:s, s:I, s:o}", "uri", f->bare, "etag",
	    f->etag != NULL ? f->etag : "", "size", (json_int_t)f->size,
	    "have", ranges);
	must(o != NULL);
	char *text = rkj_text(o);
	(void)!rk_replace_file(f->h->part_fd, f->note, text, strlen(text));
	free(text);
	json_decref(o);
}

static int
by_at(const void *a, const void *b)
{
	uint64_t x = ((const struct remote_range *)a)->at;
	uint64_t y = ((const struct remote_range *)b)->at;

	return (x > y) - (x < y);
}

static void
add_range(struct fetch *f, uint64_t at, uint64_t n)
{
	size_t k = 0;

	f->have = xrealloc(f->have, (f->nhave + 1) * sizeof(*f->have));
	f->have[f->nhave++] = (struct remote_range){ at, n };
	qsort(f->have, f->nhave, sizeof(*f->have), by_at);
	for (size_t i = 1; i < f->nhave; i++) {
		struct remote_range *last = &f->have[k];
		if (f->have[i].at <= last->at + last->n)
			last->n = RK_MAX(last->n, f->have[i].at +
			    f->have[i].n - last->at);
		else
			f->have[++k] = f->have[i];
	}
	f->nhave = k + 1;
}

/* What an earlier download, of a daemon before us even, has done. */
static void
read_note(struct fetch *f)
{
	char *text = NULL;
	size_t len = 0, i;
	json_t *o = NULL, *v;

	if (rk_read_file(f->h->part_fd, f->note, PART_NOTE_MAX, &text, &len) !=
	    RK_OK || rkj_parse_json(text, len, &o, NULL) != RK_OK) {
		free(text);
		return;
	}
	const char *uri = json_string_value(json_object_get(o, "uri"));
	const char *etag = json_string_value(json_object_get(o, "etag"));
	if (uri != NULL && etag != NULL && etag[0] != '\0' &&
	    strcmp(uri, f->bare) == 0) {
		free(f->etag);
		f->etag = xstrdup(etag);
		json_array_foreach(json_object_get(o, "have"), i, v) {
			int64_t at = json_integer_value(json_array_get(v, 0));
			int64_t n = json_integer_value(json_array_get(v, 1));
			if (at >= 0 && n > 0 && at <= INT64_MAX - n)
				add_range(f, (uint64_t)at, (uint64_t)n);
		}
	}
	json_decref(o);
	free(text);
}

static uint64_t
have_bytes(const struct fetch *f)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->nhave; i++)
		sum += f->have[i].n;
	return sum;
}

/* --- the end ------------------------------------------------------------------------ */

static void
free_fetch(struct fetch *f)
{
	struct fetch **q = &f->h->fetches;

	must_be(f, FETCH_TAG);
	while (*q != f)
		q = &(*q)->next;
	*q = f->next;
	remote_cancel(&f->op);
	if (f->nhave == 0)
		forget_part(f);         /* nothing of it is worth keeping */
	rk_close(&f->fd);
	free(f->uri);
	free(f->bare);
	free(f->jobs);
	free(f->etag);
	free(f->have);
	free(f->error);
	f->tag = 0;
	free(f);
}

void
fetch_fini(struct ship *h)
{
	while (h->fetches != NULL)
		free_fetch(h->fetches);
}

static void
failed(struct fetch *f, enum rk_err err, const char *error)
{
	row_set(&f->error, error);
	f->err = err;
	f->state = FETCH_FAILED;
	f->at_ms = mono_ms();
	rk_close(&f->fd);
	log_warn("ship: cannot fetch %s: %s", f->bare, error);
	sup_supplied(f->h->sup);
}

static void
wait_and_again(struct fetch *f, const char *error)
{
	struct ship *h = f->h;
	int64_t wait = h->c.retry_ms;

	for (int i = 0; i < f->fails && wait < h->c.retry_max_ms; i++)
		wait *= 2;
	if (f->fails++ == 0)
		log_warn("ship: cannot fetch %s: %s; tried again until it "
		    "works", f->bare, error);
	row_set(&f->error, error);
	rk_close(&f->fd);
	f->state = FETCH_WAIT;
	f->at_ms = mono_ms() + RK_MIN(wait, h->c.retry_max_ms);
	loop_timer_at(h->fetch_timer, mono_ms());
	sup_supplied(h->sup);
}

static void
done(struct fetch *f, const char *hex)
{
	if (f->fails > 0)
		log_info("ship: %s can be fetched again", f->bare);
	memcpy(f->hex, hex, sizeof(f->hex));
	f->state = FETCH_DONE;
	f->at_ms = mono_ms();
	for (size_t i = 0; i < f->njobs; i++)
		cache_use(f->h, f->jobs[i], hex);
	loop_timer_at(f->h->fetch_timer, mono_ms());
	sup_supplied(f->h->sup);
}

/* Trouble of the store: does waiting help? */
static void
trouble(struct fetch *f, const struct remote_result *r)
{
	switch (r->end) {
	case REMOTE_UNAVAILABLE:
		wait_and_again(f, r->error);
		break;
	case REMOTE_CHANGED:
		forget_part(f);
		f->state = FETCH_WAIT;
		f->at_ms = mono_ms();
		loop_timer_at(f->h->fetch_timer, mono_ms());
		break;
	case REMOTE_LOCAL:
		failed(f, r->err == RK_ENOSPC ? RK_ENOSPC : RK_EIO, r->error);
		break;
	case REMOTE_DAMAGED:
		forget_part(f);
		if (++f->damaged < DAMAGED_TRIES) {
			log_warn("ship: %s: %s; fetched again", f->bare,
			    r->error);
			f->state = FETCH_WAIT;
			f->at_ms = mono_ms();
			loop_timer_at(f->h->fetch_timer, mono_ms());
		} else {
			failed(f, RK_ECORRUPT, r->error);
		}
		break;
	case REMOTE_MISSING:
		failed(f, RK_ENOENT, r->error);
		break;
	default:
		if (f->patient)
			wait_and_again(f, r->error);
		else
			failed(f, RK_EINVAL, r->error);
		break;
	}
}

/* --- the download ------------------------------------------------------------------- */

/* Room for what is still to come. */
static bool
sized(void *ctx, uint64_t size, const char *etag)
{
	struct fetch *f = ctx;
	struct rk_why why = {0};

	must_be(f, FETCH_TAG);
	if (f->etag == NULL || strcmp(f->etag, etag) != 0) {
		free(f->have);
		f->have = NULL;
		f->nhave = 0;
		row_set(&f->etag, etag);
	}
	f->size = size;
	uint64_t have = RK_MIN(have_bytes(f), size);
	if (cache_room(f->h, f->bare, size - have, &why) == RK_OK) {
		/* Several at once: each takes its room now.  A file system
		 * that cannot is told by the writes. */
		if (size > 0 && fallocate(f->fd, 0, 0, (off_t)size) == 0)
			return true;
		if (size == 0 || errno != ENOSPC)
			return true;
		rk_refuse(&why, "%s does not fit on the disk: %s", f->bare,
		    strerror(errno));
	}
	row_set(&f->error, rk_why_first(&why));
	rk_why_fini(&why);
	f->err = RK_ENOSPC;
	return false;
}

static void
got(void *ctx, uint64_t at, uint64_t n)
{
	struct fetch *f = ctx;

	must_be(f, FETCH_TAG);
	add_range(f, at, n);
	write_note(f);
}

static void
downloaded(void *ctx, const struct remote_result *r)
{
	struct fetch *f = ctx;

	must_be(f, FETCH_TAG);
	f->op = NULL;
	if (f->err == RK_ENOSPC) {              /* sized() said no */
		char *text = xstrdup(f->error);
		forget_part(f);
		failed(f, RK_ENOSPC, text);
		free(text);
		return;
	}
	if (r->end != REMOTE_OK) {
		trouble(f, r);
		return;
	}
	f->h->pulled_bytes += r->size;
	enum rk_err rc = cache_take(f->h, f->part, f->fd, r->sha256, f->bare,
	    r->etag);
	forget_part(f);
	if (rc == RK_OK)
		done(f, r->sha256);
	else
		failed(f, rc, "the cache cannot be written");
}

static void
download(struct fetch *f)
{
	struct remote_download a = { .sha256 = f->want[0] ? f->want : NULL,
		.sized = sized, .got = got, .done = downloaded, .ctx = f,
		.patience = push_patience() };

	f->fd = openat(f->h->part_fd, f->part, O_RDWR | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0640);
	if (f->fd < 0) {
		enum rk_err rc = rk_from_errno(errno);
		log_errno("ship: cannot write in the cache");
		failed(f, rc, "the cache cannot be written");
		return;
	}
	free(f->have);
	f->have = NULL;
	f->nhave = 0;
	read_note(f);
	f->state = FETCH_GET;
	f->err = RK_OK;
	a.fd = f->fd;
	a.max = f->max;
	a.etag = f->nhave > 0 ? f->etag : NULL;
	a.have = f->nhave > 0 ? f->have : NULL;
	a.nhave = f->nhave;
	f->op = remote_download(f->h->remote, f->bare, &a);
}

static void
headed(void *ctx, const struct remote_result *r)
{
	struct fetch *f = ctx;
	struct cache_row c;

	must_be(f, FETCH_TAG);
	f->op = NULL;
	if (r->end != REMOTE_OK) {
		trouble(f, r);
		return;
	}
	f->size = r->size;
	if (r->etag != NULL && r->etag[0] != '\0' && store_cache_get(
	    f->h->store, f->bare, r->etag, &c) == RK_OK) {
		bool here = c.size == r->size && cache_has(f->h, c.digest,
		    c.size);
		char hex[RK_SHA256_HEX];
		memcpy(hex, c.digest, sizeof(hex));
		store_cache_fini(&c);
		if (here) {
			done(f, hex);
			return;
		}
	}
	download(f);
}

/* What is pinned need not be asked for. */
static void
begin(struct fetch *f)
{
	struct remote_patience pt = push_patience();

	if (f->want[0] != '\0') {
		download(f);
		return;
	}
	f->state = FETCH_HEAD;
	f->op = remote_head(f->h->remote, f->bare, &pt, headed, f);
}

/* --- who waits ---------------------------------------------------------------------- */

static void
add_job(struct fetch *f, const char *job)
{
	for (size_t i = 0; i < f->njobs; i++) {
		if (strcmp(f->jobs[i], job) == 0)
			return;
	}
	f->jobs = xrealloc(f->jobs, (f->njobs + 1) * sizeof(*f->jobs));
	snprintf(f->jobs[f->njobs++], RK_ID, "%s", job);
}

/* A download that nobody waits for any more is stopped; what there is of it is
 * kept for another time. */
void
fetch_unwait(struct ship *h, const char *job)
{
	struct fetch *f, *next;

	for (f = h->fetches; f != NULL; f = next) {
		size_t was = f->njobs;
		next = f->next;
		for (size_t i = 0; i < f->njobs; i++) {
			if (strcmp(f->jobs[i], job) == 0)
				memcpy(f->jobs[i--], f->jobs[--f->njobs],
				    RK_ID);
		}
		if (was > 0 && f->njobs == 0 && f->state != FETCH_DONE)
			free_fetch(f);
	}
}

/* Waits that are over, and results that are not believed for ever. */
void
fetch_timer_fn(void *ctx)
{
	struct ship *h = ctx;
	struct fetch *f, *next;
	int64_t now = mono_ms(), at = INT64_MAX;

	must_be(h, SHIP_TAG);
	for (f = h->fetches; f != NULL; f = next) {
		next = f->next;
		int64_t due = f->at_ms + (f->state == FETCH_WAIT ? 0 :
		    DONE_KEPT_MS);
		if (f->state == FETCH_HEAD || f->state == FETCH_GET)
			continue;
		if (due > now)
			at = RK_MIN(at, due);
		else if (f->state == FETCH_WAIT)
			begin(f);
		else
			free_fetch(f);
	}
	if (at != INT64_MAX)
		loop_timer_at(h->fetch_timer, at);
}

/* --- asking ------------------------------------------------------------------------- */

static struct fetch *
fetch_new(struct ship *h, const char *uri, const char *bare, const char *want,
    uint64_t size)
{
	struct fetch *f = xcalloc(1, sizeof(*f));
	char name[RK_SHA256_HEX];

	f->tag = FETCH_TAG;
	f->h = h;
	f->uri = xstrdup(uri);
	f->bare = xstrdup(bare);
	snprintf(f->want, sizeof(f->want), "%s", want);
	f->size = f->max = size;
	f->fd = -1;
	rk_sha256_of(uri, strlen(uri), name);
	snprintf(f->part, sizeof(f->part), "%s", name);
	snprintf(f->note, sizeof(f->note), "%s.json", name);
	f->next = h->fetches;
	h->fetches = f;
	return f;
}

static enum rk_err
say_busy(const struct fetch *f, struct rk_why *why)
{
	uint64_t done_bytes = 0, total = 0;

	if (f->state == FETCH_WAIT && f->error != NULL) {
		rk_refuse(why, "waits for %s: %s", f->bare, f->error);
		return RK_EBUSY;
	}
	if (f->op != NULL && f->state == FETCH_GET)
		remote_moved(f->op, &done_bytes, &total);
	if (total == 0)
		rk_refuse(why, "fetches %s", f->bare);
	else
		rk_refuse(why, "fetches %s, %d %%", f->bare,
		    (int)((double)done_bytes * 100 / (double)total));
	return RK_EBUSY;
}

static enum rk_err
answer(struct fetch *f, const struct fetch_ask *a, char hex[RK_SHA256_HEX],
    struct rk_why *why)
{
	enum rk_err rc = f->err != RK_OK ? f->err : RK_EINVAL;

	if (f->state == FETCH_DONE) {
		if (!cache_has(f->h, f->hex, 0)) {      /* evicted since */
			begin(f);
			return say_busy(f, why);
		}
		memcpy(hex, f->hex, RK_SHA256_HEX);
		cache_use(f->h, a->job, hex);
		return RK_OK;
	}
	if (f->state != FETCH_FAILED)
		return say_busy(f, why);
	rk_refuse(why, "cannot fetch %s: %s", f->bare, f->error);
	free_fetch(f);
	return rc;
}

bool
fetch_known(struct ship *h, const char *uri, const char *job,
    char hex[RK_SHA256_HEX])
{
	struct cache_row c;
	char *bare = spec_address_bare(uri, hex);

	if (hex[0] == '\0' && store_cache_get(h->store, bare, NULL, &c) ==
	    RK_OK) {
		memcpy(hex, c.digest, RK_SHA256_HEX);
		store_cache_fini(&c);
	}
	free(bare);
	if (hex[0] == '\0' || !cache_has(h, hex, 0))
		return false;
	cache_use(h, job, hex);
	return true;
}

enum rk_err
fetch_want(struct ship *h, const struct fetch_ask *a, char hex[RK_SHA256_HEX],
    struct rk_why *why)
{
	char want[RK_SHA256_HEX] = "";
	struct fetch *f;
	enum rk_err rc;

	if (a->sha256 == NULL && a->known && fetch_known(h, a->uri, a->job,
	    hex))
		return RK_OK;
	char *bare = a->sha256 != NULL ? xstrdup(a->uri) :
	    spec_address_bare(a->uri, want);
	if (a->sha256 != NULL)
		snprintf(want, sizeof(want), "%s", a->sha256);
	if (want[0] != '\0' && cache_has(h, want, a->size)) {
		memcpy(hex, want, sizeof(want));
		cache_use(h, a->job, hex);
		free(bare);
		return RK_OK;
	}
	for (f = h->fetches; f != NULL && (strcmp(f->bare, bare) != 0 ||
	    strcmp(f->want, want) != 0); f = f->next)
		;
	if (f == NULL) {
		f = fetch_new(h, a->uri, bare, want, a->size);
		f->patient = a->patient;
		add_job(f, a->job);
		begin(f);
	}
	f->patient = f->patient || a->patient;
	add_job(f, a->job);
	rc = answer(f, a, hex, why);
	free(bare);
	return rc;
}
