/* The block `checkpoint`: when to save, what to keep, where to send it. */
#include <stdlib.h>
#include <string.h>

#include "read.h"

static void
read_every(struct spec_checkpoint *c, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;

	sp_open(&s, v, "checkpoint.every", why);
	rkj_int(o, "steps", &c->every_steps, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_int(o, "epochs", &c->every_epochs, 0, SP_MAX_COUNT, RKJ_OPTIONAL);
	rkj_real(o, "seconds", &c->every_seconds, 0, 1e9, RKJ_OPTIONAL);
	bool said = rkj_any(o, "steps") != NULL ||
	    rkj_any(o, "epochs") != NULL || rkj_any(o, "seconds") != NULL;
	if (!said)
		c->every_epochs = 1;
	else if (!o->bad && c->every_steps == 0 && c->every_epochs == 0 &&
	    c->every_seconds == 0)
		rk_refuse_at(why, o->path, "is never: want steps, seconds or "
		    "epochs above 0");
	sp_close(&s);
}

static void
read_keep(struct spec_checkpoint *c, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;
	int word;

	sp_open(&s, v, "checkpoint.keep", why);
	rkj_int(o, "last", &c->keep_last, 1, 1000000, RKJ_OPTIONAL);
	rkj_int(o, "best", &c->keep_best, 0, 1000000, RKJ_OPTIONAL);
	if (rkj_enum(o, "metric", &word, sp_metric_words, RKJ_OPTIONAL))
		c->metric = xstrdup(sp_metric_words[word]);
	if (rkj_enum(o, "mode", &word, sp_mode_words, RKJ_OPTIONAL))
		c->mode_max = word == 0;
	sp_close(&s);
}

void
sp_read_checkpoint(struct spec_checkpoint *c, const json_t *v,
    struct rk_why *why)
{
	struct rk_why w = {0};
	struct sp_obj s;

	c->keep_last = 3;
	c->keep_best = 1;
	sp_open(&s, v, "checkpoint", why);
	read_every(c, rkj_any(&s.o, "every"), why);
	read_keep(c, rkj_any(&s.o, "keep"), why);
	if (rkj_str(&s.o, "push", &c->push, SP_MAX_PATH, RKJ_OPTIONAL) &&
	    sp_prefix(&c->push, &w) != RK_OK)
		rkj_fault(&s.o, "push", "%s", w.v[0].message);
	c->require_said = rkj_bool(&s.o, "require_remote", &c->require_remote,
	    RKJ_OPTIONAL);
	rk_why_fini(&w);
	sp_close(&s);
}
