/*
 * Guests: who is connected, and who has been sitting there the longest without
 * a word.  When a door is nearly full, those have to make room: their patience
 * is cut to a second.  So connections that only sit, however many, keep nobody
 * out for long; requests and streams are never cut.
 */
#include "impl.h"

#define NEARLY_FULL(limit) ((limit) - (limit) / 16 - 1)
#define CUT_SECONDS 1

struct guest {
	struct door *door;
	struct MHD_Connection *conn;
	struct guest *prev, *next;      /* in the list of the idle ones */
	struct guest *all_prev, *all_next;
	bool idle, cut;
	bool watches, told;             /* a job; its last word has gone out */
};

static void
idle_add(struct guest *g)
{
	struct door *d = g->door;

	must(!g->idle);
	g->idle = true;
	g->next = NULL;
	g->prev = d->idle_last;
	if (d->idle_last != NULL)
		d->idle_last->next = g;
	else
		d->idle_first = g;
	d->idle_last = g;
}

static void
idle_del(struct guest *g)
{
	struct door *d = g->door;

	if (!g->idle)
		return;
	g->idle = false;
	if (g->prev != NULL)
		g->prev->next = g->next;
	else
		d->idle_first = g->next;
	if (g->next != NULL)
		g->next->prev = g->prev;
	else
		d->idle_last = g->prev;
}

static void
set_patience(struct guest *g, unsigned seconds)
{
	(void)MHD_set_connection_option(g->conn, MHD_CONNECTION_OPTION_TIMEOUT,
	    seconds);
}

static struct guest *
guest_of(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(c,
	    MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

void
guest_busy(struct MHD_Connection *c)
{
	struct guest *g = guest_of(c);

	if (g == NULL)
		return;
	idle_del(g);
	if (!g->cut)
		return;
	g->cut = false;
	g->door->ncut--;
	set_patience(g, g->door->api->idle_seconds);
}

void
guest_idle(struct MHD_Connection *c)
{
	struct guest *g = guest_of(c);

	if (g != NULL && !g->idle && !g->cut)
		idle_add(g);
}

/* Who asks with Rekindle-Watch will ask again, soon and on this connection. */
void
guest_watches(struct MHD_Connection *c)
{
	struct guest *g = guest_of(c);

	if (g == NULL || g->watches)
		return;
	g->watches = true;
	g->door->api->watchers++;
}

/* It was answered a question that came after the last word was written. */
void
guest_told(struct MHD_Connection *c)
{
	struct guest *g = guest_of(c);

	if (g == NULL || !g->watches || g->told)
		return;
	g->told = true;
	g->door->api->told++;
}

void
api_last_words(struct api *a)
{
	must_be(a, API_TAG);
	a->last_words_ns = mono_ns();
}

int
api_untold(const struct api *a)
{
	return a->watchers - a->told;
}

/* A connection has come, or is about to be closed. */
void
guest_notify(void *door, struct MHD_Connection *c, void **ctx,
    enum MHD_ConnectionNotificationCode code)
{
	struct door *d = door;
	struct guest *g = *ctx;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		g = xcalloc(1, sizeof(*g));
		g->door = d;
		g->conn = c;
		*ctx = g;
		g->all_next = d->guests;
		if (d->guests != NULL)
			d->guests->all_prev = g;
		d->guests = g;
		idle_add(g);
		d->nguests++;
		return;
	}
	linger_keep(d->api, c);
	if (g == NULL)
		return;
	*ctx = NULL;
	if (g->all_prev != NULL)
		g->all_prev->all_next = g->all_next;
	else
		d->guests = g->all_next;
	if (g->all_next != NULL)
		g->all_next->all_prev = g->all_prev;
	idle_del(g);
	d->nguests--;
	d->ncut -= g->cut;
	d->api->watchers -= g->watches;
	d->api->told -= g->told;
	free(g);
}

/*
 * Called between two rounds of libmicrohttpd, when no connection is half
 * closed: only then may an option of one be set from outside.
 */
void
guests_thin(struct door *d)
{
	int most = NEARLY_FULL(accept_limit(d));

	while (d->nguests - d->ncut > most && d->idle_first != NULL) {
		struct guest *g = d->idle_first;
		idle_del(g);
		g->cut = true;
		d->ncut++;
		set_patience(g, CUT_SECONDS);
	}
}

/* We, or the machine, stood still: nobody was silent in that time.  The library
 * counts anew where a limit comes after none. */
void
guests_pardon(struct door *d)
{
	for (struct guest *g = d->guests; g != NULL; g = g->all_next) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		    g->conn, MHD_CONNECTION_INFO_CONNECTION_SUSPENDED);
		if (info == NULL || info->suspended == MHD_YES)
			continue;
		set_patience(g, 0);
		set_patience(g, g->cut ? CUT_SECONDS :
		    d->api->idle_seconds);
	}
}
