/*
 * One download for all who wait.
 *
 * An address that is pinned by a digest, or whose object is still the one that
 * the cache has (same ETag), is not fetched again.  A download goes to a
 * partial file, beside it a note of the ranges that are done, so that it is
 * gone on with after a restart; a file that does not have its digest is thrown
 * away and fetched anew, twice, before that is believed.
 *
 * Of a version of a model the registry is asked first, in WAIT.
 *
 *	ASK ──► HEAD ──► GET ──► DONE          kept for a minute
 *	         │ ▲      │        │
 *	         │ └──────┼────────┘           somebody else asks
 *	         └────────┴──► WAIT (and again) or FAILED (told once)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"

#define DAMAGED_TRIES 3
#define DONE_KEPT_MS  60000
#define SAME_TIME_MS  2000      /* a second's bytes may be of two objects */
#define VALIDATOR     64

static void begin(struct fetch *f);

/* --- the end ------------------------------------------------------------- */

static void
free_fetch(struct fetch *f)
{
	struct fetch **q = &f->h->fetches;

	must_be(f, FETCH_TAG);
	while (*q != f)
		q = &(*q)->next;
	*q = f->next;
	remote_cancel(&f->op);
	sums_drop(&f->sums);
	if (f->begun && f->nhave == 0)
		part_forget(f);         /* nothing of it is worth keeping */
	rk_close(&f->fd);
	free(f->bare);
	free(f->from);
	free(f->folder);
	free(f->jobs);
	whole_free(&f->whole);
	version_free(&f->version);
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

void
fetch_failed(struct fetch *f, enum rk_err err, const char *error)
{
	row_set(&f->error, error);
	f->err = err;
	f->state = FETCH_FAILED;
	f->at_ms = mono_ms();
	rk_close(&f->fd);
	log_warn("ship: cannot fetch %s: %s", f->bare, error);
	if (err == RK_ENOENT || err == RK_ECORRUPT)
		version_seen(f, NULL, error);
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

void
fetch_asks(struct fetch *f, const char *error)
{
	row_set(&f->error, error);
	f->asks = true;
	f->state = FETCH_WAIT;
	f->at_ms = mono_ms() + f->h->c.retry_ms;
	loop_timer_at(f->h->fetch_timer, mono_ms());
}

void
ship_registry_told(struct ship *h)
{
	must_be(h, SHIP_TAG);
	for (struct fetch *f = h->fetches; f != NULL; f = f->next) {
		if (f->asks)
			f->at_ms = mono_ms();
	}
	loop_timer_at(h->fetch_timer, mono_ms());
}

void
fetch_done(struct fetch *f, const char *hex)
{
	if (f->fails > 0)
		log_info("ship: %s can be fetched again", f->bare);
	version_seen(f, NULL, NULL);
	memcpy(f->hex, hex, sizeof(f->hex));
	f->state = FETCH_DONE;
	f->at_ms = mono_ms();
	for (size_t i = 0; i < f->njobs; i++) {
		struct asker *k = &f->jobs[i];
		if (!k->looked)
			continue;
		k->looked = false;
		memcpy(k->hex, hex, sizeof(k->hex));
		cache_use(f->h, k->job, hex);
	}
	loop_timer_at(f->h->fetch_timer, mono_ms());
	sup_supplied(f->h->sup);
}

/* Once may be the line, or a store that is not of one mind. */
void
fetch_damaged(struct fetch *f, const char *error)
{
	part_forget(f);
	if (++f->damaged >= DAMAGED_TRIES) {
		fetch_failed(f, RK_ECORRUPT, error);
		return;
	}
	log_warn("ship: %s: %s; fetched again", f->bare, error);
	f->state = FETCH_WAIT;
	f->at_ms = mono_ms();
	loop_timer_at(f->h->fetch_timer, mono_ms());
}

/* Trouble of the store: does waiting help? */
void
fetch_trouble(struct fetch *f, const struct remote_result *r)
{
	f->silent_ms = r->end == REMOTE_UNAVAILABLE && r->status == 0 ?
	    mono_ms() : 0;
	switch (r->end) {
	case REMOTE_UNAVAILABLE:
		wait_and_again(f, r->error);
		break;
	case REMOTE_CHANGED:
		part_forget(f);
		f->state = FETCH_WAIT;
		f->at_ms = mono_ms();
		loop_timer_at(f->h->fetch_timer, mono_ms());
		break;
	case REMOTE_LOCAL:
		fetch_failed(f, r->err == RK_ENOSPC ? RK_ENOSPC : RK_EIO,
		    r->error);
		break;
	case REMOTE_DAMAGED:
		fetch_damaged(f, r->error);
		break;
	case REMOTE_MISSING:
		fetch_failed(f, RK_ENOENT, r->error);
		break;
	default:
		if (r->hidden && f->optional)
			fetch_failed(f, RK_ENOENT, r->error);
		else if (f->patient)
			wait_and_again(f, r->error);
		else
			fetch_failed(f, RK_EINVAL, r->error);
		break;
	}
}

/* --- the download -------------------------------------------------------- */

/* Is it what was said to be there (0: the store does not say), and is there
 * room for what is still to come? */
static bool
sized(void *ctx, uint64_t size, const char *etag)
{
	struct fetch *f = ctx;
	struct rk_why why = {0};

	must_be(f, FETCH_TAG);
	if (f->max > 0 && size > 0 && size != f->max) {
		char has[RK_HUMAN], want[RK_HUMAN], *text = xasprintf("it has "
		    "%s bytes, want %s", rk_group_digits(has, (int64_t)size),
		    rk_group_digits(want, (int64_t)f->max));
		row_set(&f->error, text);
		free(text);
		f->err = RK_ECORRUPT;
		return false;
	}
	if (f->etag == NULL || strcmp(f->etag, etag) != 0) {
		free(f->have);
		f->have = NULL;
		f->nhave = 0;
		row_set(&f->etag, etag);
	}
	f->size = size;
	uint64_t have = RK_MIN(part_bytes(f), size);
	f->room = size - have;
	if (cache_room(f->h, f->bare, f->room, &why) == RK_OK) {
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
	part_add(f, at, n);
	part_note(f);
}

/* All of it is there, and is what was wanted. */
void
fetch_keep(struct fetch *f, const char *sha256, const char *etag)
{
	enum rk_err rc = cache_take(f->h, f->part, f->fd, sha256, f->bare,
	    etag);

	part_forget(f);
	if (rc == RK_OK)
		fetch_done(f, sha256);
	else if (rc == RK_ENOENT)
		fetch_damaged(f, "the cache's folder was taken away");
	else
		fetch_failed(f, rc, "the cache cannot be written");
}

static void
summed(void *ctx, enum rk_err rc, const struct ckpt_file *files,
    const char *why)
{
	struct fetch *f = ctx;

	must_be(f, FETCH_TAG);
	f->sums = NULL;
	if (rc == RK_OK) {
		fetch_keep(f, files->sha256, f->etag);
	} else {
		char *text = xasprintf("%s: %s", f->from, why);
		fetch_damaged(f, text);
		free(text);
	}
}

/* By what an object is known again: its ETag, or, of a server that has none,
 * the time of its last change (RFC 9110, section 8.8.2.2) and its size.  "": by
 * nothing. */
static const char *
validator(const struct remote_result *r, char text[VALIDATOR])
{
	text[0] = '\0';
	if (r->etag != NULL && r->etag[0] != '\0')
		return r->etag;
	if (r->modified_ms > 0 && r->modified_ms + SAME_TIME_MS < now_ms())
		snprintf(text, VALIDATOR, "modified %lld, %llu bytes",
		    (long long)r->modified_ms, (unsigned long long)r->size);
	return text;
}

/* By the digest that its checkpoint.json has. */
static void
check(struct fetch *f, const struct remote_result *r)
{
	struct ckpt_file file = { .name = CKPT_MODEL_FILE, .size = r->size };

	snprintf(file.sha256, sizeof(file.sha256), "%s", r->sha256);
	memcpy(file.xxh128, f->xxh128, sizeof(file.xxh128));
	row_set(&f->etag, r->etag != NULL ? r->etag : "");
	f->sums = sums_start(f->h, &f->fd, &file, 1, summed, f);
}

static void
downloaded(void *ctx, const struct remote_result *r)
{
	struct fetch *f = ctx;
	char by[VALIDATOR];

	must_be(f, FETCH_TAG);
	f->op = NULL;
	if (f->err != RK_OK) {                  /* sized() said no */
		char *text = xstrdup(f->error);
		part_forget(f);
		if (f->err == RK_ECORRUPT)
			fetch_damaged(f, text);
		else
			fetch_failed(f, f->err, text);
		free(text);
		return;
	}
	if (r->end != REMOTE_OK) {
		fetch_trouble(f, r);
		return;
	}
	f->h->pulled_bytes += r->size;
	if (f->xxh128[0] != '\0')
		check(f, r);
	else
		fetch_keep(f, r->sha256, validator(r, by));
}

bool
fetch_part_open(struct fetch *f)
{
	rk_close(&f->fd);
	f->fd = openat(f->h->part_fd, f->part, O_RDWR | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0640);
	if (f->fd >= 0) {
		f->begun = true;
		return true;
	}
	enum rk_err rc = rk_from_errno(errno);
	log_errno("ship: cannot write in the cache");
	fetch_failed(f, rc, "the cache cannot be written");
	return false;
}

void
fetch_download(struct fetch *f)
{
	struct remote_download a = { .sha256 = f->need[0] ? f->need : NULL,
		.sized = sized, .got = got, .done = downloaded, .ctx = f,
		.patience = push_patience() };

	cache_again(f->h);
	f->room = 0;
	if (!fetch_part_open(f))
		return;
	free(f->have);
	f->have = NULL;
	f->nhave = 0;
	part_read(f);
	f->state = FETCH_GET;
	f->err = RK_OK;
	a.fd = f->fd;
	a.etag = f->nhave > 0 ? f->etag : NULL;
	a.have = f->nhave > 0 ? f->have : NULL;
	a.nhave = f->nhave;
	f->op = remote_download(f->h->remote, f->from, &a);
}

static void
headed(void *ctx, const struct remote_result *r)
{
	struct fetch *f = ctx;
	struct cache_row c;
	char text[VALIDATOR];

	must_be(f, FETCH_TAG);
	f->op = NULL;
	if (r->end != REMOTE_OK) {
		fetch_trouble(f, r);
		return;
	}
	f->size = r->size;
	const char *known_by = validator(r, text);
	if (known_by[0] != '\0' && store_cache_get(f->h->store, f->bare,
	    known_by, &c) == RK_OK) {
		bool here = c.size == r->size && cache_has(f->h, c.digest,
		    c.size);
		char hex[RK_SHA256_HEX];
		memcpy(hex, c.digest, sizeof(hex));
		store_cache_fini(&c);
		if (here) {
			fetch_done(f, hex);
			return;
		}
	}
	fetch_download(f);
}

/* What is pinned need not be asked for. */
static void
begin(struct fetch *f)
{
	struct remote_patience pt = push_patience();

	for (size_t i = 0; i < f->njobs; i++)
		f->jobs[i].looked = f->jobs[i].looked ||
		    f->jobs[i].hex[0] == '\0';
	whole_free(&f->whole);
	f->asks = false;
	if (spec_is_version(f->bare)) {
		version_find(f);
		return;
	}
	if (f->model && model_named(f)) {
		model_find(f);
		return;
	}
	if (f->want[0] != '\0') {
		fetch_download(f);
		return;
	}
	f->state = FETCH_HEAD;
	f->op = remote_head(f->h->remote, f->bare, &pt, headed, f);
}

/* --- who waits ----------------------------------------------------------- */

static bool
asks(const struct fetch *f, const char *job)
{
	for (size_t i = 0; i < f->njobs; i++) {
		if (strcmp(f->jobs[i].job, job) == 0)
			return true;
	}
	return false;
}

bool
fetch_silent(struct ship *h, const char *job, int64_t since_ms,
    struct rk_why *why)
{
	for (const struct fetch *f = h->fetches; f != NULL; f = f->next) {
		if (f->silent_ms == 0 || f->silent_ms < since_ms ||
		    f->error == NULL || !asks(f, job))
			continue;
		rk_refuse(why, "cannot reach %s: %s", f->bare, f->error);
		return true;
	}
	return false;
}

static struct asker *
add_job(struct fetch *f, const char *job, int64_t attempt)
{
	struct asker *k;
	size_t i = 0;

	while (i < f->njobs && strcmp(f->jobs[i].job, job) != 0)
		i++;
	if (i == f->njobs) {
		f->jobs = xrealloc(f->jobs, (i + 1) * sizeof(*f->jobs));
		f->jobs[f->njobs++] = (struct asker){ .attempt = attempt };
		snprintf(f->jobs[i].job, RK_ID, "%s", job);
	}
	k = &f->jobs[i];
	if (k->attempt != attempt) {
		k->attempt = attempt;
		k->looked = false;
		k->hex[0] = '\0';
	}
	return k;
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
			if (strcmp(f->jobs[i].job, job) == 0)
				f->jobs[i--] = f->jobs[--f->njobs];
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
		if (f->state == FETCH_HEAD || f->state == FETCH_GET ||
		    f->state == FETCH_PARTS)
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

/* --- asking -------------------------------------------------------------- */

static struct fetch *
fetch_new(struct ship *h, const char *bare, const char *want, uint64_t size)
{
	struct fetch *f = xcalloc(1, sizeof(*f));
	char name[RK_SHA256_HEX], *key = xasprintf("%s#%s", bare, want);

	f->tag = FETCH_TAG;
	f->h = h;
	f->bare = xstrdup(bare);
	f->from = xstrdup(bare);
	snprintf(f->want, sizeof(f->want), "%s", want);
	memcpy(f->need, f->want, sizeof(f->need));
	f->size = f->max = size;
	f->fd = -1;
	/* With a digest and without are two downloads. */
	rk_sha256_of(key, strlen(key), name);
	free(key);
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

/* For another who asks. */
static void
begin_anew(struct fetch *f)
{
	f->damaged = f->fails = 0;
	begin(f);
}

static enum rk_err
answer(struct fetch *f, struct asker *k, const struct fetch_ask *a,
    char hex[RK_SHA256_HEX], struct rk_why *why)
{
	enum rk_err rc = f->err != RK_OK ? f->err : RK_EINVAL;

	if (k->hex[0] != '\0' && cache_has(f->h, k->hex, 0)) {
		memcpy(hex, k->hex, RK_SHA256_HEX);
		cache_use(f->h, a->job, hex);
		return RK_OK;
	}
	if (k->hex[0] != '\0' || f->state == FETCH_DONE) {
		k->hex[0] = '\0';       /* evicted since, or never looked for */
		if (f->state == FETCH_DONE)
			begin_anew(f);
		return say_busy(f, why);
	}
	if (f->state == FETCH_FAILED && !k->looked)
		begin_anew(f);
	if (f->state == FETCH_PARTS)
		return whole_go(f, a, why);
	if (f->state != FETCH_FAILED)
		return say_busy(f, why);
	rk_refuse(why, "cannot fetch %s: %s", f->bare, f->error);
	/* A disk that is full stays so without the store being asked, and
	 * without a word of it in the log, each time that somebody looks. */
	if (rc == RK_ENOSPC && f->room > 0 && cache_room(f->h, f->bare,
	    f->room, NULL) != RK_OK)
		f->at_ms = mono_ms();
	else if (rc == RK_ENOENT && a->optional)
		loop_timer_at(f->h->fetch_timer, mono_ms());
	else
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
		f = fetch_new(h, bare, want, a->size);
		f->patient = a->patient;
		f->model = a->model;
		f->optional = a->optional;
		add_job(f, a->job, a->attempt);
		begin(f);
	}
	f->patient = f->patient || a->patient;
	/* Who comes anew may know that the trouble is over. */
	if (f->state == FETCH_WAIT && !asks(f, a->job)) {
		add_job(f, a->job, a->attempt);
		begin(f);
	}
	const bool in_trouble = f->state == FETCH_WAIT ||
	    f->state == FETCH_FAILED;
	struct asker *k = add_job(f, a->job, a->attempt);
	if (a->had && k->looked && in_trouble && fetch_known(h, a->uri,
	    a->job, hex))
		rc = RK_OK;
	else
		rc = answer(f, k, a, hex, why);
	free(bare);
	return rc;
}
