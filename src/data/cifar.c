/*
 * The binary records of CIFAR (https://www.cs.toronto.edu/~kriz/cifar.html):
 *
 *	CIFAR-10   label 0-9, 3072 pixels
 *	CIFAR-100  coarse label 0-19, fine label 0-99, 3072 pixels
 *
 * all of one byte, the pixels as planes red, green, blue of 32 rows of 32.  A
 * file has no header: it is as many records as it has bytes for, and a number
 * of bytes that fits no whole record shows one that is cut off, or of the other
 * form.
 */
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "rekindle/format.h"

#define CHANNELS 3
#define SIDE     32
#define PIXELS   ((size_t)CHANNELS * SIDE * SIDE)
#define LABELS   2                      /* of a record, at most */
#define FIRST    ((uint64_t)1024)       /* records, where gzip hides them */
#define BATCH    ((size_t)64)           /* records read at a time */

struct cifar {
	struct format_source *in;
	struct held *h;
	const struct form {
		const char *name;
		size_t labels;
		struct {
			const char *word;
			int count;
		} label[LABELS];
	} *form;
	size_t size;                    /* of a record */
	size_t chosen;                  /* which label */
	uint64_t room;                  /* records that h has memory for */
	struct rk_why *why;
};

static const struct form forms[] = {
	{ "CIFAR-10", 1, { { "label", 10 } } },
	{ "CIFAR-100", 2, { { "coarse label", 20 }, { "fine label", 100 } } },
};

static const struct form *
form_of(const struct spec_source *s)
{
	return &forms[s->classes == 100];
}

/* The other form, where that many bytes would be whole records of it. */
static const char *
hint(const struct cifar *c, uint64_t bytes)
{
	const struct form *other = &forms[c->form == &forms[0]];

	if (bytes % (PIXELS + other->labels) != 0)
		return "";
	return other->labels == 1 ? "; of CIFAR-10 it would be whole records: "
	    "classes: 10" : "; of CIFAR-100 it would be whole records: "
	    "classes: 100";
}

static enum rk_err
refuse_part(const struct cifar *c, uint64_t bytes)
{
	if (bytes == 0)
		return rk_refuse(c->why, "%s: has no records", c->in->what);
	return rk_refuse(c->why, "%s: has %llu byte%s%s, which %s %llu "
	    "record%s of %s (%zu bytes each) and %llu byte%s more%s",
	    c->in->what, (unsigned long long)bytes, rk_s((int64_t)bytes),
	    c->in->packed ? " unpacked" : "", bytes == 1 ? "is" : "are",
	    (unsigned long long)(bytes / c->size),
	    rk_s((int64_t)(bytes / c->size)), c->form->name, c->size,
	    (unsigned long long)(bytes % c->size),
	    rk_s((int64_t)(bytes % c->size)), hint(c, bytes));
}

/* Twice as many, or what is there where the file's size says it. */
static enum rk_err
make_room(struct cifar *c, uint64_t n)
{
	struct held *h = c->h;
	uint64_t room = RK_MAX(2 * c->room, n);

	if (n <= c->room)
		return RK_OK;
	if (c->room == 0)
		room = c->in->packed ? RK_MAX(n, FIRST) :
		    RK_MAX(n, c->in->size / c->size);
	enum rk_err rc = held_grow(&h->bytes, room, PIXELS, h->what, c->why);
	if (rc == RK_OK)
		rc = held_grow(&h->targets, room, sizeof(*h->targets), h->what,
		    c->why);
	if (rc == RK_OK)
		c->room = room;
	return rc;
}

static enum rk_err
take_record(struct cifar *c, const uint8_t *p)
{
	struct held *h = c->h;
	const size_t at = (size_t)h->pub.n;

	for (size_t i = 0; i < c->form->labels; i++)
		if (p[i] >= c->form->label[i].count)
			return rk_refuse(c->why, "%s: record %zu (from 0): the "
			    "%s is %d, want 0 to %d, so this is no file of "
			    "%s's binary records", c->in->what, at,
			    c->form->label[i].word, p[i],
			    c->form->label[i].count - 1, c->form->name);
	h->targets[at] = p[c->chosen];
	memcpy(h->bytes + at * PIXELS, p + c->form->labels, PIXELS);
	h->pub.n++;
	return RK_OK;
}

static enum rk_err
read_records(struct cifar *c, uint8_t *buf)
{
	const size_t most = BATCH * c->size;
	size_t got;

	do {
		enum rk_err rc = format_source_read(c->in, buf, most, &got,
		    c->why);
		const uint64_t n = (uint64_t)c->h->pub.n;
		if (rc == RK_OK)
			rc = make_room(c, n + got / c->size);
		for (size_t i = 0; rc == RK_OK && i < got / c->size; i++)
			rc = take_record(c, buf + i * c->size);
		if (rc == RK_OK && got % c->size != 0)
			rc = refuse_part(c, n * c->size + got);
		if (rc != RK_OK)
			return rc;
	} while (got == most);
	return c->h->pub.n == 0 ? refuse_part(c, 0) : RK_OK;
}

static struct held *
new_set(const char *what)
{
	struct held *h = held_new(what);

	h->by_channel = true;
	h->pub.ndim = 3;
	h->pub.d[0] = CHANNELS;
	h->pub.d[1] = h->pub.d[2] = SIDE;
	h->pub.width = (int64_t)PIXELS;
	return h;
}

enum rk_err
cifar_read(struct format_source *in, const struct spec_source *src,
    struct held **out, struct rk_why *why)
{
	struct cifar c = { .in = in, .form = form_of(src), .why = why };
	uint8_t *buf = NULL;

	c.size = PIXELS + c.form->labels;
	c.chosen = c.form->labels > 1 && src->label == SPEC_LABEL_FINE;
	if (!in->packed && in->size % c.size != 0)
		return refuse_part(&c, in->size);
	c.h = new_set(in->what);
	enum rk_err rc = held_alloc(&buf, BATCH, c.size, in->what, why);
	if (rc == RK_OK)
		rc = read_records(&c, buf);
	free(buf);
	if (rc == RK_OK) {
		held_shrink(c.h);
		rc = held_find_classes(c.h, why);
	}
	if (rc != RK_OK) {
		held_free(c.h);
		return rc;
	}
	*out = c.h;
	return RK_OK;
}

enum rk_err
cifar_join(struct held **v, int n, struct rk_why *why)
{
	struct held *all = v[0];
	uint64_t at = (uint64_t)all->pub.n, total = 0;

	if (n == 1)
		return RK_OK;
	all->parts = xcalloc((size_t)n, sizeof(*all->parts));
	for (int i = 0; i < n; i++) {
		total += (uint64_t)v[i]->pub.n;
		all->parts[i].what = xstrdup(v[i]->what);
		all->parts[i].n = v[i]->pub.n;
		all->nparts++;
	}
	enum rk_err rc = held_grow(&all->bytes, total, PIXELS, all->what, why);
	if (rc == RK_OK)
		rc = held_grow(&all->targets, total, sizeof(*all->targets),
		    all->what, why);
	if (rc != RK_OK)
		return rc;
	for (int i = 1; i < n; i++) {
		const size_t some = (size_t)v[i]->pub.n;
		memcpy(all->bytes + at * PIXELS, v[i]->bytes, some * PIXELS);
		memcpy(all->targets + at, v[i]->targets,
		    some * sizeof(*all->targets));
		at += some;
		held_free(v[i]);
		v[i] = NULL;
	}
	all->pub.n = (int64_t)total;
	all->pub.bytes = all->bytes;
	free(all->classes);
	all->classes = NULL;
	return held_find_classes(all, why);
}

enum rk_err
data_parse_cifar(const uint8_t *p, size_t n, const char *what,
    const struct spec_source *src, struct data_set **out, struct rk_why *why)
{
	struct format_source in;
	struct held *h;
	enum rk_err rc = format_source_open_mem(&in, p, n, what, why);

	if (rc == RK_OK)
		rc = cifar_read(&in, src, &h, why);
	format_source_close(&in);
	if (rc == RK_OK)
		*out = &h->pub;
	return rc;
}
