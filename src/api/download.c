/*
 * A checkpoint's file that is made while it is sent.
 *
 *	download() ──▶ sup_export() ··· its size ──▶ an answer whose bytes are read
 *	               (the request waits)            out of the process as they go
 *
 * The connection is suspended while the process has nothing yet, and the
 * process waits while the client takes nothing.  A client that goes away ends
 * the process.  One whose process ends too early gets a connection that is
 * closed before the last byte: the length was said before.
 */
#include "impl.h"

#include <string.h>

#define BLOCK 65536

struct download {
	unsigned tag;
	struct api *api;
	struct MHD_Connection *conn;
	struct download *prev, *next;
	struct sup_export *from;
	bool asleep;
};

static void
wake(void *ctx)
{
	struct download *d = ctx;

	must_be(d, DOWNLOAD_TAG);
	if (!d->asleep)
		return;
	d->asleep = false;
	MHD_resume_connection(d->conn);
}

static ssize_t
download_read(void *ctx, uint64_t at, char *buf, size_t max)
{
	struct download *d = ctx;

	(void)at;
	must_be(d, DOWNLOAD_TAG);
	if (d->api->closing)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	const ssize_t n = sup_export_read(d->from, buf, max, wake, d);
	if (n > 0)
		return n;
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	d->asleep = true;
	MHD_suspend_connection(d->conn);
	return 0;
}

static void
download_free(void *ctx)
{
	struct download *d = ctx;

	must_be(d, DOWNLOAD_TAG);
	sup_export_end(&d->from);
	if (d->prev != NULL)
		d->prev->next = d->next;
	else
		d->api->downloads = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	d->tag = 0;
	free(d);
}

/* Takes what the request exports. */
static struct download *
download_new(struct req *q)
{
	struct download *d = xcalloc(1, sizeof(*d));

	*d = (struct download){ .tag = DOWNLOAD_TAG, .api = q->api,
		.conn = q->conn, .next = q->api->downloads,
		.from = q->exporting };
	if (d->next != NULL)
		d->next->prev = d;
	q->api->downloads = d;
	q->exporting = NULL;
	return d;
}

static void
send_it(struct req *q, uint64_t size)
{
	struct MHD_Response *r;
	struct file_part p;

	if (!file_part(q, size, &p)) {
		sup_export_end(&q->exporting);
		return;
	}
	/* From the end was not to be told before. */
	if (p.is && p.from != file_from(q))
		p = (struct file_part){ .size = size, .len = size };
	struct download *d = download_new(q);
	r = MHD_create_response_from_callback(p.len, BLOCK, download_read, d,
	    download_free);
	if (r == NULL) {
		download_free(d);
		reply_err(q, RK_ENOMEM, NULL, "file");
		return;
	}
	file_reply(q, r, &p);
}

void
download_begun(void *ctx, enum rk_err rc, uint64_t bytes, const struct rk_why *why)
{
	struct req *q = ctx;

	must_be(q, REQ_TAG);
	if (rc == RK_OK) {
		send_it(q, bytes);
	} else {
		sup_export_end(&q->exporting);
		reply_err(q, rc, why, "checkpoint any more");
	}
	req_wake(q);
}

/*
 * The same checkpoint gives the same bytes, with this version of rekindle; but
 * for the optimiser's, which also have what the job says of it now.
 */
static bool
client_has_it(struct req *q, const struct ckpt_info *i, const char *file)
{
	const enum ckpt_form form = ckpt_form_of(file);
	const char *m = req_header(q, "If-None-Match");

	if (form == CKPT_PDOPT || form == CKPT_OPTIMIZER_PT)
		return false;
	snprintf(q->etag, sizeof(q->etag), "\"%.24s-%d-" REKINDLE_VERSION "\"",
	    i->digest, (int)form);
	return m != NULL && strstr(m, q->etag) != NULL;
}

void
download(struct req *q, const struct ckpt_info *i, const char *file)
{
	if (client_has_it(q, i, file)) {
		reply_empty(q, 304);
		return;
	}
	const enum rk_err rc = sup_export(q->api->sup, q->arg[0], i->dir, file,
	    file_from(q), download_begun, q, &q->exporting, &q->why);
	if (rc != RK_OK)
		reply_err(q, rc, &q->why, "job of that id");
	else
		req_wait(q);
}

void
download_close_all(struct api *a)
{
	for (struct download *d = a->downloads; d != NULL; d = d->next)
		wake(d);
}
