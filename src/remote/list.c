/*
 * Lists: objects below a prefix, and multipart uploads that were not completed.
 *
 * A list that does not advance, or a page that lies about its prefix, ends it:
 * a store may not keep us busy for ever.
 */
#include <stdlib.h>
#include <string.h>

#include "list.h"

#define LIST_TAG   0x6c697374u
#define PAGE_MAX   (8u << 20)           /* 1000 keys, encoded, with the rest */
#define PAGES_MAX  20000
#define EMPTY_MAX  100                  /* pages in a row without an entry */
#define TOKEN_MAX  8192

struct list {
	struct remote_op op;
	unsigned tag;
	struct place bucket;            /* the key is empty; borrowed */
	bool folders, uploads;
	remote_entry_fn *each;
	remote_pending_fn *each_upload;
	struct req *req;
	char *token, *mark, *mark_id, *last;
	int pages, empty, tries;
};

/* --- the list ------------------------------------------------------------- */

static void ask(struct list *l);

static void
drop(struct remote_op *op)
{
	struct list *l = (struct list *)(void *)op;

	must_be(l, LIST_TAG);
	req_cancel(&l->req);
	free(l->token);
	free(l->mark);
	free(l->mark_id);
	free(l->last);
}

static void
end_as(struct list *l, enum remote_end end, const char *error)
{
	struct strbuf b = {0};

	if (error[0] != '\0')
		sb_addf(&b, "%s: %s", l->bucket.store->host, error);
	op_end(&l->op, &(struct remote_result){ .end = end,
	    .error = sb_str(&b), .tries = l->tries });
	sb_fini(&b);
}

/* All keys are below the prefix, and the page gets further than the last. */
static const char *
check_page(struct list *l, const struct page *p)
{
	size_t n = strlen(l->op.place.key);

	for (size_t i = 0; i < p->n; i++) {
		if (strncmp(p->v[i].key, l->op.place.key, n) != 0)
			return "its list has keys that do not begin with the "
			    "prefix";
	}
	l->empty = p->n > 0 ? 0 : l->empty + 1;
	if (++l->pages > PAGES_MAX || l->empty > EMPTY_MAX)
		return "its list does not end";
	if (p->n == 0)
		return NULL;
	const char *last = p->v[p->n - 1].key;
	int d = l->last == NULL ? 1 : strcmp(last, l->last);
	if (d < 0 || (d == 0 && !l->uploads))
		return "its list does not advance";
	page_set(&l->last, last);
	return NULL;
}

static bool
deliver_objects(struct list *l, const struct page *p)
{
	struct remote_entry *v = xcalloc(p->n + 1, sizeof(*v));
	char (*etags)[ETAG_MAX] = xcalloc(p->n + 1, sizeof(*etags));
	size_t skip = strlen(l->op.place.key), n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct item *it = &p->v[i];
		if (it->key[skip] == '\0')
			continue;       /* the prefix's own marker */
		etag_clean(it->etag, etags[i]);
		v[n++] = (struct remote_entry){ it->key + skip, it->size,
		    it->at_ms, etags[i] };
	}
	bool on = n == 0 || l->each(l->op.ctx, v, n);
	free(v);
	free(etags);
	return on;
}

static bool
deliver_uploads(struct list *l, const struct page *p)
{
	size_t skip = strlen(l->op.place.key);
	bool on = true;

	for (size_t i = 0; i < p->n && on; i++) {
		if (p->v[i].id != NULL)
			on = l->each_upload(l->op.ctx, p->v[i].key + skip,
			    p->v[i].id, p->v[i].at_ms);
	}
	return on;
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Where the next page begins; a reason if that cannot be. */
static const char *
advance(struct list *l, struct page *p)
{
	const char *next = l->uploads ? p->mark : p->token;

	if (next == NULL || next[0] == '\0' || strlen(next) > TOKEN_MAX)
		return "its list goes on, and does not say where";
	if (l->uploads ? same(p->mark, l->mark) &&
	    (p->mark_id == NULL || same(p->mark_id, l->mark_id)) :
	    same(p->token, l->token))
		return "its list does not advance";
	page_set(l->uploads ? &l->mark : &l->token, next);
	if (l->uploads)
		page_set(&l->mark_id, p->mark_id != NULL ? p->mark_id : "");
	return NULL;
}

static void
take_page(struct list *l, const struct req_result *q)
{
	const char *root = l->uploads ? "ListMultipartUploadsResult" :
	    "ListBucketResult", *wrong = NULL;
	struct page p = {0};
	bool on = true;

	if (!page_read(&p, q->a->body, q->a->len, root))
		wrong = "its answer is no list that we can read";
	else
		wrong = check_page(l, &p);
	if (wrong == NULL)
		on = l->uploads ? deliver_uploads(l, &p) :
		    deliver_objects(l, &p);
	bool more = p.more && on && wrong == NULL;
	if (more)
		wrong = advance(l, &p);
	page_fini(&p);
	if (wrong != NULL)
		end_as(l, REMOTE_REFUSED, wrong);
	else if (more)
		ask(l);
	else
		end_as(l, on ? REMOTE_OK : REMOTE_CANCELLED, "");
}

static void
answered(void *ctx, const struct req_result *q)
{
	struct list *l = ctx;

	must_be(l, LIST_TAG);
	l->req = NULL;
	l->tries += q->tries;
	if (q->fault == F_NONE) {
		take_page(l, q);
	} else if (l->uploads && (q->fault == F_DENIED ||
	    (q->fault == F_PERMANENT && q->a != NULL && q->a->status != 0))) {
		/* Some stores have no such list; some keys may not see it. */
		log_info("remote: pending uploads cannot be listed: %s",
		    q->error);
		end_as(l, REMOTE_OK, "");
	} else {
		struct remote_result res;
		char etag[ETAG_MAX];
		op_result(q, &res, etag);
		res.tries = l->tries;
		op_end(&l->op, &res);
	}
}

static void
add(struct req_spec *q, const char *name, const char *value)
{
	if (value != NULL)
		q->query[q->nquery++] = (struct sign_query){ name, value };
}

static void
ask(struct list *l)
{
	const char *prefix = l->op.place.key;
	struct req_spec q = { .place = &l->bucket, .method = "GET",
		.body_fd = -1, .sink_fd = -1, .patience = l->op.patience,
		.max = PAGE_MAX, .fn = answered, .ctx = l };

	/* Uploads without encoding-type: RADOS Gateway encodes their keys, but
	 * does not say so. */
	add(&q, l->uploads ? "uploads" : "list-type", l->uploads ? "" : "2");
	if (!l->uploads)
		add(&q, "encoding-type", "url");
	if (prefix[0] != '\0')
		add(&q, "prefix", prefix);
	add(&q, l->uploads ? "max-uploads" : "max-keys", "1000");
	if (l->folders)
		add(&q, "delimiter", "/");
	add(&q, "continuation-token", l->token);
	add(&q, "key-marker", l->mark);
	if (l->mark_id != NULL && l->mark_id[0] != '\0')
		add(&q, "upload-id-marker", l->mark_id);
	l->req = req_send(l->op.r, &q);
}

static struct list *
begin(struct remote *r, const char *prefix, const struct remote_patience *p,
    remote_done_fn *fn, void *ctx, bool *go)
{
	struct remote_op *op;

	*go = op_begin(r, sizeof(struct list), prefix, p, fn, ctx, &op);
	struct list *l = (struct list *)(void *)op;
	l->tag = LIST_TAG;
	op->cancel = drop;
	if (!*go)
		return l;
	static char none[1];
	l->bucket = (struct place){ .store = op->place.store,
	    .bucket = op->place.bucket, .key = none };
	if (op->place.store->kind == STORE_HTTPS) {
		op_later(op, REMOTE_REFUSED, "%s: https:// addresses cannot be "
		    "listed", op->place.bucket);
		*go = false;
	}
	return l;
}

struct remote_op *
remote_list(struct remote *r, const char *prefix, bool folders,
    remote_entry_fn *each, const struct remote_patience *p, remote_done_fn *fn,
    void *ctx)
{
	bool go;
	struct list *l = begin(r, prefix, p, fn, ctx, &go);

	l->folders = folders;
	l->each = each;
	if (go && l->op.place.store->kind == STORE_FILE)
		file_list(&l->op, folders, each);
	else if (go)
		ask(l);
	return &l->op;
}

struct remote_op *
remote_pending(struct remote *r, const char *prefix, remote_pending_fn *each,
    const struct remote_patience *p, remote_done_fn *fn, void *ctx)
{
	bool go;
	struct list *l = begin(r, prefix, p, fn, ctx, &go);

	l->uploads = true;
	l->each_upload = each;
	if (go && l->op.place.store->kind == STORE_FILE)
		op_later(&l->op, REMOTE_OK, "%s", "");
	else if (go)
		ask(l);
	return &l->op;
}
