/* Opening, closing, and what is shown. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

const char *const preempt_cloud_words[CLOUD_COUNT + 1] = {
	"none", "auto", "aws", "gcp", "azure", "alibaba", "tencent",
	"volcengine", NULL
};

const char *const preempt_ack_words[ACK_COUNT + 1] = {
	"none", "ends", "all", NULL
};

static char *
copy_of(const char *s)
{
	return s != NULL ? xstrdup(s) : NULL;
}

enum rk_err
preempt_open(struct preempt **pp, struct loop *l, struct http *h,
    struct sup *su, struct ship *sh, struct mirror *m,
    const struct preempt_config *c, preempt_left_fn *left, void *ctx,
    struct rk_why *why)
{
	struct preempt *p = xcalloc(1, sizeof(*p));

	(void)why;
	*p = (struct preempt){ .tag = PREEMPT_TAG, .loop = l, .http = h,
	    .sup = su, .ship = sh, .mirror = m, .c = *c, .left = left,
	    .ctx = ctx };
	for (int i = 0; i < CLOUD_COUNT; i++)
		p->c.url[i] = copy_of(c->url[i]);
	p->c.azure_name = copy_of(c->azure_name);
	leave_init(p);
	stand_init(p);
	p->cloud = c->cloud;
	if (c->cloud != CLOUD_NONE)
		watch_open(p);
	*pp = p;
	return RK_OK;
}

void
preempt_close(struct preempt **pp)
{
	struct preempt *p = *pp;

	if (p == NULL)
		return;
	must_be(p, PREEMPT_TAG);
	*pp = NULL;
	watch_close(p);
	stand_fini(p);
	leave_fini(p);
	for (int i = 0; i < CLOUD_COUNT; i++)
		free((void *)(uintptr_t)p->c.url[i]);
	free((void *)(uintptr_t)p->c.azure_name);
	p->tag = 0;
	free(p);
}

json_t *
preempt_json(const struct preempt *p)
{
	static const char *const kinds[] = { "none", "early", "leave" };
	char t[RK_TIME];
	json_t *n = json_null(), *v;

	if (p->notice.kind != NOTICE_NONE)
		n = json_pack("{s:s, s:s, s:o}", "kind",
		    kinds[p->notice.kind], "text", p->notice.text, "deadline",
		    p->notice.when_ms != 0 ? json_string(rk_time_text(t,
		    p->notice.when_ms)) : json_null());
	v = json_pack("{s:s, s:b, s:o, s:b, s:I, s:I}", "cloud",
	    preempt_cloud_words[p->cloud], "watching", p->watch != NULL,
	    "notice", n, "saved", p->stage == LEAVE_LEFT, "asked",
	    (json_int_t)p->asked, "failed",
	    (json_int_t)p->failed);
	must(v != NULL);
	return v;
}
