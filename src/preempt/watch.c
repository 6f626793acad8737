/*
 * Asking a cloud.
 *
 * Each question has a timer and at most one call under way; a cloud with tokens
 * gets one first, and another when it expires or is refused.  Nothing here
 * waits for anything: closing cancels what is on its way.
 */
#include <stdlib.h>
#include <string.h>

#include <time.h>

#include "clouds.h"

#define CONNECT_MS   1000
#define TOTAL_MS     2000
#define HANG_S       60         /* of a hanging question */
#define TOKEN_EARLY_MS 15000    /* renewed so long before it expires */
#define TOKEN_AGAIN_MS 60000    /* between tries where none is given */
#define SLOW_MS      10000      /* between tries while nobody answers: a
                                   notice may be of thirty seconds */
#define UNREAD       5          /* answers that tell nothing, to be said */
#define NAME_MS      5000       /* between tries to learn our name */
#define BODY_MAX     65536
#define TOKEN_MAX    2048
#define NAME_MAX_    256
#define SKEW_MS      60000      /* clocks that differ by less are right */

struct ask {
	struct watch *w;
	int i;
	struct loop_timer *timer;
	struct http_call *call;
	bool answered;                  /* at least once */
	char etag[128];                 /* of a hanging question's last
					   answer */
	int64_t begun_ms;               /* mono: when it was asked */
	bool said;                      /* an answer could be read */
	int unread;                     /* answers in a row that could not */
};

struct watch {
	struct preempt *p;
	const struct cloud *cloud;
	char *base;
	struct ask ask[QUESTIONS_MAX];
	int n;
	struct http_call *token_call, *name_call, *ack_call;
	char token[TOKEN_MAX];
	int64_t token_until_ms;         /* mono */
	bool no_token;                  /* the service gives none */
	char name[NAME_MAX_];           /* "": not known (yet) */
	int64_t name_ms;                /* mono: when it was asked for */
	bool nameless;                  /* that was said */
	bool asking;                    /* the questions have begun */
	int silent;                     /* failures in a row */
	int64_t skew_ms;                /* their clock less ours */
	bool clock_known;               /* they have said what time it is */
	int64_t began_ms;               /* mono: when this daemon began */
	int64_t up_ms;                  /* the machine's uptime then; 0: not
					   known */
	struct sight sight;
	char acked[EVENT_ID];           /* the event that was acknowledged */
};

static void send_ask(void *ctx);

static void
again(struct ask *a, int64_t ms)
{
	loop_timer_at(a->timer, mono_ms() + ms);
}

static int64_t
pace(const struct watch *w, const struct ask *a)
{
	int64_t ms = w->p->c.poll_ms > 0 ? w->p->c.poll_ms :
	    w->cloud->q[a->i].poll_ms;

	/* A service that is not there is asked seldom. */
	return w->silent >= 5 ? RK_MAX(ms, SLOW_MS) : ms;
}

static struct http_request
request(const struct watch *w, const char *method, const char *url,
    const char *const *headers, http_done_fn *done, void *ctx)
{
	(void)w;
	return (struct http_request){ .method = method, .url = url,
	    .headers = headers, .body_fd = -1, .sink_fd = -1, .max = BODY_MAX,
	    .connect_ms = CONNECT_MS, .total_ms = TOTAL_MS, .no_proxy = true,
	    .done = done, .ctx = ctx };
}

static void
count(struct watch *w, const struct http_answer *a)
{
	w->p->asked++;
	if (a->end == HTTP_ANSWERED) {
		if (w->silent >= 5)
			log_info("preempt: the metadata service answers "
			    "again");
		w->silent = 0;
		return;
	}
	w->p->failed++;
	if (++w->silent == 5)
		log_warn("preempt: the metadata service at %s does not answer "
		    "(%s); it is asked every %d s", w->base, a->error,
		    SLOW_MS / 1000);
}

/* --- tokens --------------------------------------------------------------- */

static void
ask_all(struct watch *w)
{
	for (int i = 0; i < w->n; i++) {
		if (w->ask[i].call == NULL)
			again(&w->ask[i], 0);
	}
}

static bool
token_ok(const char *s, size_t len)
{
	if (len == 0 || len >= TOKEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	}
	return true;
}

/* Where a token is refused there are none.  Where none comes in time, this may
 * be a container that is a hop too far away for it, while questions are
 * answered. */
static bool
goes_without(const struct http_answer *a)
{
	return a->end == HTTP_ANSWERED || a->end == HTTP_STALLED;
}

static void
on_token(void *ctx, const struct http_answer *a)
{
	struct watch *w = ctx;
	size_t len = a->len;

	w->token_call = NULL;
	count(w, a);
	while (len > 0 && (a->body[len - 1] == '\n' || a->body[len - 1] == '\r'))
		len--;
	if (a->end == HTTP_ANSWERED && a->status == 200 &&
	    token_ok(a->body, len)) {
		memcpy(w->token, a->body, len);
		w->token[len] = '\0';
		w->token_until_ms = mono_ms() + w->cloud->token_ms -
		    TOKEN_EARLY_MS;
		w->no_token = false;
	} else if (goes_without(a)) {
		if (!w->no_token)
			log_info("preempt: the metadata service gives no token "
			    "(%s); it is asked without", a->end ==
			    HTTP_ANSWERED ? "refused" : "no answer in time");
		w->no_token = true;     /* the older form */
		w->token_until_ms = mono_ms() + TOKEN_AGAIN_MS;
	} else {
		for (int i = 0; i < w->n; i++)
			again(&w->ask[i], pace(w, &w->ask[i]));
		return;
	}
	ask_all(w);
}

/* True: there is one, or it is known to go without: another try for one holds
 * no question up. */
static bool
have_token(struct watch *w)
{
	if (w->cloud->token_path == NULL || mono_ms() < w->token_until_ms)
		return true;
	if (w->token_call == NULL) {
		char *url = xasprintf("%s%s", w->base, w->cloud->token_path);
		const char *h[] = { w->cloud->token_ttl, NULL };
		struct http_request r = request(w, "PUT", url, h, on_token, w);
		r.body = "";
		w->token_call = http_send(w->p->http, &r);
		free(url);
	}
	return w->no_token;
}

/* --- their clock ---------------------------------------------------------- */

/*
 * What a notice says is a time by the cloud's clock, which their Date tells.
 * Were ours ahead, a notice would look like one that is long over.  It is
 * learned once, so that one notice keeps its time.
 */
static void
learn_clock(struct watch *w, const struct http_answer *a)
{
	const char *date = http_header(a, "Date");
	int64_t at, skew;

	if (date == NULL || !rk_time_parse(date, &at))
		return;
	if (!w->clock_known) {
		w->clock_known = true;
		w->sight.begun_ms = at - (mono_ms() - w->began_ms);
	}
	/* A date has no fractions: rather a second too early than too late. */
	skew = at + 999 - now_ms();
	if (llabs(skew - w->skew_ms) < SKEW_MS)
		return;
	w->skew_ms = llabs(skew) < SKEW_MS ? 0 : skew;
	log_warn("preempt: the clock of the metadata service is %+lld s from "
	    "ours; notices count by theirs", (long long)(w->skew_ms / 1000));
}

/* A service that is switched off, or is another's, answers and says nothing. */
static void
count_unread(struct ask *k, bool read, int status)
{
	struct watch *w = k->w;
	const char *path = w->cloud->q[k->i].path;

	if (read) {
		if (k->unread >= UNREAD)
			log_info("preempt: %s is answered again", path);
		k->unread = 0;
		return;
	}
	w->p->failed++;
	if (k->unread < UNREAD && ++k->unread == UNREAD)
		log_warn("preempt: the metadata service answers %d to %s, "
		    "which tells nothing: a notice there would not be seen; is "
		    "the service switched on for this machine, and %s its "
		    "cloud?", status, path, preempt_cloud_words[w->p->cloud]);
}

/* False: the answer says nothing. */
static bool
read_answer(struct ask *k, const struct http_answer *a, struct notice *n)
{
	struct watch *w = k->w;
	struct sight *s = &w->sight;

	learn_clock(w, a);
	s->me = w->name;
	s->now_ms = now_ms() + w->skew_ms;
	s->boot_ms = w->up_ms > 0 ? s->begun_ms - w->up_ms : 0;
	s->first = !k->said;
	const bool read = w->cloud->read(k->i, a->status, a->body, a->len, s,
	    n);
	count_unread(k, read, a->status);
	if (!read)
		return false;
	k->said = true;
	if (n->when_ms != 0)
		n->when_ms -= w->skew_ms;
	return true;
}

/* Ours, until they have said theirs. */
static void
begin_clock(struct watch *w)
{
	struct timespec up;

	w->began_ms = mono_ms();
	w->sight.begun_ms = now_ms();
	if (clock_gettime(CLOCK_BOOTTIME, &up) == 0)
		w->up_ms = (int64_t)up.tv_sec * 1000;
}

/* --- questions ------------------------------------------------------------ */

static bool ask_name(struct watch *w);

/* A hanging question goes on at once; one that does not hang after all, like
 * any other. */
static void
go_on(struct ask *k)
{
	int64_t ms = pace(k->w, k);

	if (k->etag[0] != '\0')
		ms = RK_MAX(k->begun_ms + ms - mono_ms(), 0);
	again(k, ms);
}

static void
on_answer(void *ctx, const struct http_answer *a)
{
	struct ask *k = ctx;
	struct watch *w = k->w;
	const struct question *q = &w->cloud->q[k->i];
	const char *etag = http_header(a, "ETag");
	struct notice n = { 0 };
	bool quick = a->end == HTTP_ANSWERED && a->status == 200;

	k->call = NULL;
	/* A hanging question that nothing came of is no failure. */
	if (!(q->hanging && a->end == HTTP_STALLED && k->etag[0] != '\0'))
		count(w, a);
	if (a->end == HTTP_ANSWERED && a->status == 401)
		w->token_until_ms = 0;
	k->etag[0] = '\0';
	if (q->hanging && quick && etag != NULL && strlen(etag) <
	    sizeof(k->etag) && strspn(etag, "0123456789abcdefABCDEF") ==
	    strlen(etag))
		memcpy(k->etag, etag, strlen(etag) + 1);
	if (a->end != HTTP_ANSWERED) {
		go_on(k);
		return;
	}
	k->answered = true;
	if (w->name[0] == '\0' && w->name_call == NULL &&
	    mono_ms() - w->name_ms >= NAME_MS)
		(void)ask_name(w);
	if (read_answer(k, a, &n))
		stand_answer(w->p, k->i, &n);
	/* Whether it is withdrawn is not waited for. */
	if (w->p->stand[k->i].stands && n.kind == NOTICE_NONE)
		k->etag[0] = '\0';
	go_on(k);
}

static void
send_ask(void *ctx)
{
	struct ask *k = ctx;
	struct watch *w = k->w;
	const struct question *q = &w->cloud->q[k->i];
	const char *h[3] = { NULL };
	char *token = NULL, *url;
	int n = 0;

	if (k->call != NULL || !have_token(w))
		return;
	if (w->cloud->header != NULL)
		h[n++] = w->cloud->header;
	if (w->cloud->token_path != NULL && !w->no_token)
		h[n++] = token = xasprintf("%s%s", w->cloud->token_header,
		    w->token);
	url = k->etag[0] != '\0' ? xasprintf("%s%s?wait_for_change=true"
	    "&timeout_sec=%d&last_etag=%s", w->base, q->path, HANG_S,
	    k->etag) : xasprintf("%s%s", w->base, q->path);
	struct http_request r = request(w, "GET", url, h, on_answer, k);
	if (k->etag[0] != '\0')
		r.total_ms = (HANG_S + 5) * 1000;
	else if (q->first_ms > 0 && !k->answered)
		r.total_ms = q->first_ms;
	k->begun_ms = mono_ms();
	k->call = http_send(w->p->http, &r);
	free(url);
	if (token != NULL)
		rk_wipe(token, strlen(token));
	free(token);
}

/* --- the machine's name ----------------------------------------------------- */

static void
on_name(void *ctx, const struct http_answer *a)
{
	struct watch *w = ctx;
	bool first = !w->asking;

	w->asking = true;
	w->name_call = NULL;
	count(w, a);
	if (a->end == HTTP_ANSWERED && a->status == 200 && a->len > 0 &&
	    a->len < sizeof(w->name)) {
		memcpy(w->name, a->body, a->len);
		w->name[a->len] = '\0';
		w->name[strcspn(w->name, "\r\n")] = '\0';
	}
	if (w->name[0] == '\0' && !w->nameless)
		log_warn("preempt: the name of this machine is not known: "
		    "events of others may be taken for its own; set "
		    "preempt.azure_name");
	w->nameless = w->name[0] == '\0';
	if (first)
		ask_all(w);
}

static bool
ask_name(struct watch *w)
{
	if (w->cloud->name_path == NULL)
		return false;
	if (w->p->c.azure_name != NULL) {
		snprintf(w->name, sizeof(w->name), "%s", w->p->c.azure_name);
		return false;
	}
	char *url = xasprintf("%s%s", w->base, w->cloud->name_path);
	const char *h[] = { w->cloud->header, NULL };
	struct http_request r = request(w, "GET", url, h, on_name, w);
	w->name_ms = mono_ms();
	w->name_call = http_send(w->p->http, &r);
	free(url);
	return w->name_call != NULL;
}

/* --- open, close, acknowledge ------------------------------------------------ */

void
watch_open(struct preempt *p)
{
	const struct cloud *c;
	struct watch *w;

	if (p->cloud == CLOUD_AUTO)
		p->cloud = detect_cloud();
	c = cloud_of(p->cloud);
	if (c == NULL)
		return;
	w = xcalloc(1, sizeof(*w));
	w->p = p;
	w->cloud = c;
	begin_clock(w);
	w->base = xstrdup(p->c.url[p->cloud] != NULL ? p->c.url[p->cloud] :
	    c->base);
	for (size_t n = strlen(w->base); n > 0 && w->base[n - 1] == '/'; n--)
		w->base[n - 1] = '\0';
	while (w->n < QUESTIONS_MAX && c->q[w->n].path != NULL) {
		struct ask *a = &w->ask[w->n];
		*a = (struct ask){ .w = w, .i = w->n };
		a->timer = loop_timer_add(p->loop, send_ask, a);
		w->n++;
	}
	p->watch = w;
	log_info("preempt: notices come from %s at %s",
	    preempt_cloud_words[p->cloud], w->base);
	if (!ask_name(w))
		ask_all(w);
}

static void
on_ack(void *ctx, const struct http_answer *a)
{
	struct watch *w = ctx;

	w->ack_call = NULL;
	if (a->end != HTTP_ANSWERED || a->status / 100 != 2)
		log_warn("preempt: the event was not acknowledged: %s",
		    a->end == HTTP_ANSWERED ? "refused" : a->error);
	leave_tell(w->p);
}

/* Is this notice one that the cloud is to be told of? */
static bool
wants_word(const struct preempt *p)
{
	const struct notice *n = &p->notice;

	return p->cloud == CLOUD_AZURE && n->kind == NOTICE_LEAVE && n->alone &&
	    n->id[0] != '\0' && strcmp(n->id, p->watch->acked) != 0 &&
	    (p->c.acknowledge == ACK_ALL ||
	    (p->c.acknowledge == ACK_ENDS && n->ends));
}

bool
watch_acknowledge(struct preempt *p)
{
	struct watch *w = p->watch;
	json_t *v;

	if (w == NULL || w->ack_call != NULL || !wants_word(p))
		return false;
	snprintf(w->acked, sizeof(w->acked), "%s", p->notice.id);
	v = json_pack("{s:[{s:s}]}", "StartRequests", "EventId", p->notice.id);
	char *text = rkj_text(v);
	char *url = xasprintf("%s%s", w->base, w->cloud->q[0].path);
	const char *h[] = { w->cloud->header, "Content-Type: application/json",
	    NULL };
	struct http_request r = request(w, "POST", url, h, on_ack, w);
	r.body = text;
	r.body_len = strlen(text);
	w->ack_call = http_send(p->http, &r);
	free(url);
	free(text);
	json_decref(v);
	return w->ack_call != NULL;
}

void
watch_close(struct preempt *p)
{
	struct watch *w = p->watch;

	if (w == NULL)
		return;
	p->watch = NULL;
	for (int i = 0; i < w->n; i++) {
		if (w->ask[i].call != NULL)
			http_cancel(&w->ask[i].call);
		loop_timer_del(&w->ask[i].timer);
	}
	if (w->token_call != NULL)
		http_cancel(&w->token_call);
	if (w->name_call != NULL)
		http_cancel(&w->name_call);
	if (w->ack_call != NULL)
		http_cancel(&w->ack_call);
	rk_wipe(w->token, sizeof(w->token));
	free(w->base);
	free(w);
}
