/* module: format */
/* Any bytes as a file of tensors: refused with a sentence, or a set whose data
 * lie in the bytes, which is then written and read again. */
#include <stdlib.h>
#include <string.h>

#include "rekindle/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Every byte of every tensor is ours to read, and each only once. */
static void
check_data(const struct tensor_set *s, const uint8_t *p, size_t n)
{
	size_t total = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct tensor *t = &s->v[i];
		const uint8_t *d = t->data;
		must(t->nbytes == 0 || (d >= p && d + t->nbytes <= p + n));
		must(tensor_count(t) * dtype_bits(t->dtype) == t->nbytes * 8);
		must(tensor_find(s, t->name) == t);
		total += t->nbytes;
		if (tensor_count(t) > 4096)
			continue;
		float *f = xmalloc((tensor_count(t) + 1) * sizeof(*f));
		(void)!tensor_to_f32(t, f);
		free(f);
	}
	must(total <= n);
}

/* Its own header and the data again, parsed: the same set. */
static void
again(const struct tensor_set *s)
{
	struct tensor_set *r;
	struct strbuf b = {0};
	char *header;
	size_t len;

	format_header(s, 8, &header, &len);
	sb_add(&b, header, len);
	for (size_t i = 0; i < s->n; i++)
		sb_add(&b, s->v[i].data, s->v[i].nbytes);
	must(format_parse(b.s, b.len, &r, NULL) == RK_OK);
	must(r->n == s->n);
	for (size_t i = 0; i < s->n; i++) {
		must(strcmp(r->v[i].name, s->v[i].name) == 0);
		must(tensor_same_shape(&r->v[i], &s->v[i]));
		must(memcmp(r->v[i].data, s->v[i].data, s->v[i].nbytes) == 0);
	}
	tensor_set_free(r);
	sb_fini(&b);
	free(header);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tensor_set *s;
	struct rk_why why = {0};

	enum rk_err rc = format_parse(p, n, &s, &why);
	must((rc == RK_OK) == (s != NULL));
	must((rc == RK_OK) == (why.n == 0));
	if (rc == RK_OK) {
		check_data(s, p, n);
		again(s);
	}
	tensor_set_free(s);
	rk_why_fini(&why);
	return 0;
}
