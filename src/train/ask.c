/* What the daemon, a signal or a closed socket ask of the run. */
#include <string.h>

#include "run.h"

static void
leave(struct ask *a, enum wire_outcome outcome, double deadline_s)
{
	if (a->leave)
		return;
	a->leave = true;
	a->outcome = outcome;
	a->deadline_ms = deadline_s > 0 ?
	    mono_ms() + (int64_t)(RK_MIN(deadline_s, 1e9) * 1e3) : 0;
}

static void
take_name(struct ask *a, const char *name)
{
	struct rk_why why = {0};

	if (name[0] != '\0' && spec_checkpoint_name_ok(name, &why) != RK_OK)
		log_warn("train: the daemon asks for a checkpoint by a name "
		    "that cannot be: %s", rk_why_first(&why));
	else if (a->n == ASK_MAX)
		log_warn("train: more than %d checkpoints asked for at a time",
		    ASK_MAX);
	else
		snprintf(a->name[a->n++], sizeof(a->name[0]), "%s", name);
	rk_why_fini(&why);
}

static void
obey(struct ask *a, const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_PAUSE:
		leave(a, WIRE_PAUSED, m->deadline_seconds);
		break;
	case WIRE_STOP:
		leave(a, WIRE_STOPPED, m->deadline_seconds);
		break;
	case WIRE_CHECKPOINT:
		take_name(a, m->name);
		break;
	default:
		break;
	}
}

static void
listen_to(struct wire *w, struct run *r)
{
	enum rk_err filled = wire_fill(w), rc;
	struct wire_msg m;
	struct rk_why why = {0};

	while (wire_next(w, &m, &rc, &why)) {
		if (rc == RK_OK) {
			obey(&r->ask, &m);
			wire_msg_fini(&m);
		} else {
			log_warn("train: the daemon said what cannot be "
			    "understood: %s", rk_why_first(&why));
		}
		rk_why_fini(&why);
	}
	if (filled != RK_OK || (wire_pending(w) && wire_flush(w) != RK_OK))
		r->rep.gone = true;
}

void
ask_poll(struct run *r)
{
	if (signals_came())
		leave(&r->ask, WIRE_STOPPED, 0);
	if (r->rep.wire != NULL && !r->rep.gone)
		listen_to(r->rep.wire, r);
	/* Nobody is there to say where to go on: keep what there is. */
	if (r->rep.gone)
		leave(&r->ask, WIRE_STOPPED, 0);
}
