/*
 * The file of --trace: Google's Trace Event Format, which Chrome's
 * (chrome://tracing) and Perfetto's viewers open.  A row a thread.  The first
 * is the main thread's, where a step holds the instructions one after the
 * other, and each of these the pieces that this thread took; the other rows
 * have the pieces of their threads.  Times are microseconds since the first
 * event.  Of each row the first events are kept, `left_out` counts the others.
 */
#include <stdlib.h>
#include <string.h>

#include "profile.h"

#define NAME_MAX_BYTES 80               /* of a layer, here */

/* A text that is cut short, with its quotation marks. */
static char *
quoted(const char *text)
{
	json_t *v = json_stringn(text, rk_text_fit(text, NAME_MAX_BYTES));
	char *s = rkj_text(v);

	json_decref(v);
	return s;
}

/* ["relu1"]: what the layer does besides. */
static char *
folded(const struct profile *p, size_t i)
{
	json_t *v = json_array();
	const char *name;

	for (size_t k = 0; (name = nn_folded_at(p->nn, i, k)) != NULL; k++)
		must(json_array_append_new(v, json_stringn(name,
		    rk_text_fit(name, NAME_MAX_BYTES))) == 0);
	char *s = rkj_text(v);
	json_decref(v);
	return s;
}

/* {"name":"conv1","cat":"forward","args":{"op":"conv2d","way":"direct"} */
static char *
head_of_instr(const struct profile *p, size_t i)
{
	static const char *const cats[] = { "forward", "loss", "backward" };
	struct nn_cost c;

	nn_cost_at(p->nn, i, &c);
	char *name = quoted(c.name), *type = quoted(c.type);
	char *way = quoted(c.way != NULL ? c.way : "");
	char *dx = quoted(c.way_dx != NULL ? c.way_dx : "");
	char *in = folded(p, i);
	char *s = xasprintf("{\"name\":%s,\"cat\":\"%s\",\"args\":{\"op\":%s,"
	    "\"way\":%s,\"way_dx\":%s,\"folded\":%s}", name, cats[c.part],
	    type, way, dx, in);
	free(in);
	free(name);
	free(type);
	free(way);
	free(dx);
	return s;
}

/* One for each tag. */
static char **
make_heads(const struct profile *p)
{
	char **h = xcalloc(p->ninstrs + PROFILE_PARTS, sizeof(*h));

	for (size_t i = 0; i < p->ninstrs; i++)
		h[i] = head_of_instr(p, i);
	for (size_t k = 0; k < PROFILE_PARTS; k++)
		h[p->ninstrs + k] = xasprintf("{\"name\":\"%s\","
		    "\"cat\":\"loop\"", profile_part_words[k]);
	return h;
}

static void
add_spans(struct strbuf *b, char *const *heads, const struct kernel_lane *l,
    int tid, int64_t t0)
{
	for (size_t i = 0; i < l->nspans; i++) {
		const struct kernel_span *s = &l->spans[i];
		sb_addf(b, ",\n%s,\"ph\":\"X\",\"pid\":1,\"tid\":%d,"
		    "\"ts\":%.3f,\"dur\":%.3f}", heads[s->tag], tid,
		    (double)(s->from_ns - t0) * 1e-3,
		    (double)(s->to_ns - s->from_ns) * 1e-3);
	}
}

static int64_t
first_ns(const struct profile *p)
{
	int64_t t0 = INT64_MAX;

	for (size_t i = 0; i < p->spans.nspans; i++)
		t0 = RK_MIN(t0, p->spans.spans[i].from_ns);
	return t0;
}

void
profile_trace(const struct profile *p, struct strbuf *b)
{
	char **heads = make_heads(p), *name = quoted(p->name);
	uint64_t left_out = p->spans.left_out;

	sb_addf(b, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"
	    "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":"
	    "{\"name\":%s}}", name);
	for (int i = 0; i < p->team->nlanes; i++) {
		left_out += p->team->lane[i].left_out;
		sb_addf(b, ",\n{\"name\":\"thread_name\",\"ph\":\"M\","
		    "\"pid\":1,\"tid\":%d,\"args\":{\"name\":\"thread %d\"}}",
		    i, i);
	}
	add_spans(b, heads, &p->spans, 0, first_ns(p));
	for (int i = 0; i < p->team->nlanes; i++)
		add_spans(b, heads, &p->team->lane[i], i, first_ns(p));
	sb_addf(b, "\n],\"otherData\":{\"left_out\":%llu}}\n",
	    (unsigned long long)left_out);
	for (size_t i = 0; i < p->ninstrs + PROFILE_PARTS; i++)
		free(heads[i]);
	free(heads);
	free(name);
}
