/* One call in the caller's own thread, for programs without a loop. */
#include "impl.h"

void
http_now(const struct http_request *r, http_chunk_fn *chunk, void *cctx)
{
	static CURL *kept;      /* with its connections */
	struct http_call *c = call_new(r);
	CURLcode rc = CURLE_OK;

	easy_global();
	c->chunk = chunk;
	c->chunk_ctx = cctx;
	if (kept == NULL)
		kept = curl_easy_init();
	must(kept != NULL);
	if (easy_open(c, kept))
		rc = curl_easy_perform(c->easy);
	if (call_again(c, rc) && easy_open(c, kept))
		rc = curl_easy_perform(c->easy);
	call_end(c, rc);
	easy_close(c, true);
	c->done(c->ctx, &c->answer);
	call_free(c);
}
