/*
 * What weights say to another process, and what that one believes: the same tensors,
 * values, parts, notes and metadata come back, elements are asked for by number, and
 * bytes that nobody of ours writes are refused.
 */
#include "format_made.h"

/* --- who is asked for elements -------------------------------------------- */

struct asked {
	const struct weights *w;
	int reads, freed;
};

static enum rk_err
read_it(void *ctx, uint64_t tensor, uint64_t from, size_t n, size_t size,
    void *dst, struct rk_why *why)
{
	struct asked *a = ctx;

	a->reads++;
	t_check(tensor < a->w->n);
	t_eq_int(size, dtype_bits(a->w->v[tensor].dtype) / 8);
	return weights_read(&a->w->v[tensor], from, n, dst, why);
}

static enum rk_err
read_floats(void *ctx, uint64_t tensor, uint64_t from, size_t n, float *dst,
    struct rk_why *why)
{
	struct asked *a = ctx;

	a->reads++;
	return weights_read_f32(&a->w->v[tensor], from, n, dst, why);
}

static void
freed(void *ctx)
{
	((struct asked *)ctx)->freed++;
}

static const struct weights_teller teller = { read_it, read_floats, freed };

/* --- both ways ------------------------------------------------------------ */

static struct strbuf
said(const struct weights *w, size_t room)
{
	struct strbuf b = {0};
	char *buf = malloc(room);
	struct rk_why why = {0};
	uint64_t next = 0;
	size_t n;

	do {
		if (weights_tell(w, &next, buf, room, &n, &why) != RK_OK)
			t_fail("%s", rk_why_first(&why));
		sb_add(&b, buf, n);
	} while (n > 0);
	free(buf);
	return b;
}

static enum rk_err
hear(const void *p, size_t n, struct asked *a, struct weights **out,
    struct rk_why *why)
{
	struct weights_told *t = weights_told_new(&teller, a);
	enum rk_err rc = weights_told_add(t, p, n, why);

	*out = NULL;
	if (rc == RK_OK)
		return weights_told_end(t, out, why);
	weights_told_free(t);
	return rc;
}

static const char header[] = "{\"__metadata__\":{\"format\":\"pt\",\"tied\":"
    "\"a\",\"epoch\":\"three\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],"
    "\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"F16\",\"shape\":[1],"
    "\"data_offsets\":[16,18]}}";

static struct strbuf
a_file(void)
{
	static const float data[] = { 1, 2, 3, 4 };
	struct strbuf b = {0};

	zip_le(&b, strlen(header), 8);
	sb_adds(&b, header);
	sb_add(&b, data, sizeof(data));
	sb_add(&b, "\0\x3c", 2);        /* 1 */
	return b;
}

static void
same_text(const char *a, const char *b)
{
	t_check((a == NULL) == (b == NULL));
	if (a != NULL)
		t_eq_str(a, b);
}

static void
same_tensors(const struct weights *a, const struct weights *b)
{
	t_eq_int(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		const struct weights_tensor *x = &a->v[i], *y = &b->v[i];
		same_text(x->name, y->name);
		same_text(x->path, y->path);
		same_text(x->alias, y->alias);
		same_text(x->of, y->of);
		same_text(x->slot, y->slot);
		t_eq_int(x->role, y->role);
		t_eq_int(x->dtype, y->dtype);
		t_eq_int(x->ndim, y->ndim);
		t_check(memcmp(x->d, y->d, sizeof(x->d)) == 0);
		t_eq_int(x->count, y->count);
		t_eq_int(x->bytes, y->bytes);
		t_eq_int(x->same_as, y->same_as);
		t_eq_int(x->lie, y->lie);
		t_check(y->data == NULL);
		t_check(weights_find(b, y->role, y->name) == y);
	}
}

static void
same_rest(const struct weights *a, const struct weights *b)
{
	t_eq_int(a->format, b->format);
	t_eq_int(a->framework, b->framework);
	t_eq_int(a->size, b->size);
	t_eq_int(a->packed, b->packed);
	same_text(a->writer, b->writer);
	same_text(a->model, b->model);
	same_text(a->optimizer, b->optimizer);
	t_eq_int(a->nvalues, b->nvalues);
	for (size_t i = 0; i < a->nvalues; i++) {
		same_text(a->values[i].path, b->values[i].path);
		same_text(a->values[i].text, b->values[i].text);
		t_eq_int(a->values[i].kind, b->values[i].kind);
		t_eq_int(a->values[i].i, b->values[i].i);
		t_near(a->values[i].f, b->values[i].f, 0);
	}
	t_eq_int(a->nparts, b->nparts);
	for (size_t i = 0; i < a->nparts; i++) {
		same_text(a->parts[i].path, b->parts[i].path);
		t_eq_int(a->parts[i].role, b->parts[i].role);
		t_eq_int(a->parts[i].tensors, b->parts[i].tensors);
		t_eq_int(a->parts[i].count, b->parts[i].count);
	}
	t_eq_int(a->nnotes, b->nnotes);
	for (size_t i = 0; i < a->nnotes; i++)
		same_text(a->notes[i], b->notes[i]);
}

/* rooms: an item at a time, and all at once. */
static void
goes_both_ways(const struct weights *w)
{
	static const size_t rooms[] = { 400, 1 << 20 };

	for (size_t k = 0; k < RK_ARRAY_LEN(rooms); k++) {
		struct strbuf b = said(w, rooms[k]);
		struct asked a = { .w = w };
		struct rk_why why = {0};
		struct weights *got;
		if (hear(b.s, b.len, &a, &got, &why) != RK_OK)
			t_fail("refused: %s", rk_why_first(&why));
		same_tensors(w, got);
		same_rest(w, got);
		t_check(weights_teller_ctx(got) == &a);
		weights_free(got);
		t_eq_int(a.freed, 1);
		sb_fini(&b);
	}
	t_check(weights_teller_ctx(w) == NULL);
}

T_CASE(what_a_file_says_is_the_same_when_it_is_told)
{
	struct strbuf b = a_file();
	struct weights *w = opened_as(b.s, b.len, NULL);

	goes_both_ways(w);
	weights_free(w);
	sb_fini(&b);
}

T_CASE(what_an_archive_says_is_the_same_when_it_is_told)
{
	size_t n;
	uint8_t *p = archive(&plain, six, sizeof(six), &n);
	struct weights *w = opened_as(p, n, NULL);

	goes_both_ways(w);
	weights_free(w);
	free(p);
}

T_CASE(metadata_come_whole_and_in_pairs)
{
	struct strbuf f = a_file(), b;
	struct weights *w = opened_as(f.s, f.len, NULL), *got;
	struct asked a = { .w = w };
	size_t n = 0;

	b = said(w, 1 << 20);
	t_eq_int(hear(b.s, b.len, &a, &got, NULL), RK_OK);
	while (got->meta[n] != NULL)
		n++;
	t_eq_int(n, 6);
	t_eq_str(got->meta[2], "tied");
	t_eq_str(got->meta[3], "a");
	weights_free(got);
	weights_free(w);
	sb_fini(&b);
	sb_fini(&f);
}

T_CASE(elements_are_asked_for_and_errors_come_back)
{
	struct strbuf f = a_file(), b;
	struct weights *w = opened_as(f.s, f.len, NULL), *got;
	struct asked a = { .w = w };
	static const float want[] = { 2, 3, 4 };
	float x[3];
	double number;

	b = said(w, 1 << 20);
	t_eq_int(hear(b.s, b.len, &a, &got, NULL), RK_OK);
	has_floats(model_tensor(got, "a"), 1, 3, want);
	t_eq_int(weights_read(model_tensor(got, "a"), 1, 3, x, NULL), RK_OK);
	t_check(memcmp(x, want, sizeof(x)) == 0);
	t_check(weights_number(got, "b", &number));
	t_near(number, 1, 0);
	t_eq_int(a.reads, 3);
	/* Nothing is asked for where there is nothing. */
	t_eq_int(weights_read(model_tensor(got, "a"), 4, 0, x, NULL), RK_OK);
	t_eq_int(a.reads, 3);
	t_aborts((void)!weights_read(model_tensor(got, "a"), 2, 3, x, NULL));
	t_aborts((void)!weights_read_f32(model_tensor(got, "a"), 2, 3, x,
	    NULL));
	weights_free(got);
	weights_free(w);
	sb_fini(&b);
	sb_fini(&f);
}

/* --- what nobody of ours says --------------------------------------------- */

T_CASE(less_or_more_than_was_promised_is_refused)
{
	struct strbuf f = a_file(), b;
	struct weights *w = opened_as(f.s, f.len, NULL), *got;
	struct asked a = { .w = w };

	b = said(w, 1 << 20);
	for (size_t n = 0; n < b.len; n++) {
		struct rk_why why = {0};
		t_eq_int(hear(b.s, n, &a, &got, &why), RK_EINVAL);
		t_has(rk_why_first(&why), "says what cannot be");
		t_check(got == NULL);
		rk_why_fini(&why);
	}
	sb_addc(&b, 'x');
	t_eq_int(hear(b.s, b.len, &a, &got, NULL), RK_EINVAL);
	t_eq_int(a.freed, 0);
	weights_free(w);
	sb_fini(&b);
	sb_fini(&f);
}

/* Of the words that follow the first "a" of a tensor: name, path, alias, of, slot,
 * role, dtype, lie, ndim, d[0], d[1], same_as. */
enum { ROLE, DTYPE, LIE, NDIM, D0, D1, SAME };

static size_t
word_at(const struct strbuf *b, int word)
{
	static const char name[] = "\1\0\0\0\0\0\0\0a";
	const char *p = memmem(b->s, b->len, name, 9);

	t_check(p != NULL);
	/* name, path (9 bytes each), three NULLs */
	return (size_t)(p - b->s) + 18 + 24 + 8 * (size_t)word;
}

static void
is_refused_with(int word, uint64_t value, const char *part)
{
	struct strbuf f = a_file(), b;
	struct weights *w = opened_as(f.s, f.len, NULL), *got;
	struct asked a = { .w = w };
	struct rk_why why = {0};

	b = said(w, 1 << 20);
	memcpy(b.s + word_at(&b, word), &value, sizeof(value));
	t_eq_int(hear(b.s, b.len, &a, &got, &why), RK_EINVAL);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
	weights_free(w);
	sb_fini(&b);
	sb_fini(&f);
}

T_CASE(numbers_out_of_their_range_are_refused)
{
	is_refused_with(ROLE, WEIGHTS_OTHER + 1, "cannot be");
	is_refused_with(DTYPE, DT_COUNT, "cannot be");
	is_refused_with(DTYPE, UINT64_MAX, "cannot be");
	is_refused_with(LIE, 3, "cannot be");
	is_refused_with(NDIM, 9, "cannot be");
	is_refused_with(SAME, 0, "cannot be");
	is_refused_with(SAME, (uint64_t)-2, "cannot be");
	is_refused_with(DTYPE, DT_F8_E4M3, "a: is of F8_E4M3");
	is_refused_with(D0, UINT64_MAX, "a: has a negative dimension");
	is_refused_with(D0, (uint64_t)1 << 62, "a: has more bytes than");
}

T_CASE(names_are_checked_as_those_of_a_file_are)
{
	struct strbuf f = a_file(), b;
	struct weights *w = opened_as(f.s, f.len, NULL), *got;
	struct asked a = { .w = w };
	struct rk_why why = {0};

	b = said(w, 1 << 20);
	char *name = b.s + word_at(&b, 0) - 24 - 18 + 8;
	t_eq_int(*name, 'a');
	*name = '\n';
	t_eq_int(hear(b.s, b.len, &a, &got, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "control character in its name");
	rk_why_fini(&why);
	/* The name of the other one: there twice. */
	*name = 'b';
	t_eq_int(hear(b.s, b.len, &a, &got, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "has the name of another tensor");
	rk_why_fini(&why);
	*name = '\0';
	t_eq_int(hear(b.s, b.len, &a, &got, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "cannot be");
	rk_why_fini(&why);
	weights_free(w);
	sb_fini(&b);
	sb_fini(&f);
}

T_CASE(what_is_longer_than_the_room_is_refused_by_who_tells)
{
	struct strbuf f = a_file();
	struct weights *w = opened_as(f.s, f.len, NULL);
	struct rk_why why = {0};
	uint64_t next = 0;
	char buf[20];
	size_t n;

	t_eq_int(weights_tell(w, &next, buf, sizeof(buf), &n, &why), RK_ELIMIT);
	t_has(rk_why_first(&why), "more than 20 bytes");
	t_eq_int(next, 0);
	t_eq_int(n, 0);
	rk_why_fini(&why);
	weights_free(w);
	sb_fini(&f);
}

T_MAIN
