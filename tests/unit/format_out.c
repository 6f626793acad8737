/* What we write for other programs: bytes, sizes, refusals, and reading it back. */
#include "rekindle/format.h"
#include "rekindle/format_out.h"
#include "rekindle/format_weights.h"
#include "t.h"

/* A sink into memory. */
static enum rk_err
put_mem(void *ctx, const void *p, size_t n, struct rk_why *why)
{
	(void)why;
	sb_add(ctx, p, n);
	return RK_OK;
}

static const float w[6] = { 1, 2, 3, 4, 5, 6 };
static const float b[2] = { 0.5f, -0.5f };
static const uint16_t half[2] = { 0x3f80, 0xc000 };     /* 1 and -2 of BF16 */
static const int64_t count[1] = { 7 };

#define OF(array) .read = format_read_memory, .ctx = array
static const struct format_out_tensor some[] = {
	{ "fc.bias", "linear_0.b_0", DT_F32, 1, { 2 }, OF(b) },
	{ "fc.weight", "linear_0.w_0", DT_F32, 2, { 2, 3 }, OF(w) },
	{ "n", NULL, DT_I64, 0, { 0 }, OF(count) },
	{ "h", NULL, DT_BF16, 1, { 2 }, OF(half) },
	{ "none", NULL, DT_F32, 2, { 0, 3 }, OF(w) },
};
#define SOME RK_ARRAY_LEN(some)

/* All writers have this form. */
typedef enum rk_err writer(const struct format_sink *to,
    const struct format_out_tensor *v, size_t n, uint64_t *size,
    struct rk_why *why);

static enum rk_err
safetensors(const struct format_sink *to, const struct format_out_tensor *v,
    size_t n, uint64_t *size, struct rk_why *why)
{
	return format_out_safetensors(to, v, n, NULL, size, why);
}

static enum rk_err
paddle(const struct format_sink *to, const struct format_out_tensor *v,
    size_t n, uint64_t *size, struct rk_why *why)
{
	return format_out_paddle(to, v, n, NULL, size, why);
}

static writer *const writers[] = { safetensors, paddle, format_out_torch };

static struct strbuf
written(writer *write, const struct format_out_tensor *v, size_t n)
{
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };
	struct rk_why why = {0};
	uint64_t size = 0;

	if (write(&to, v, n, &size, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_eq_int(size, out.len);
	return out;
}

T_CASE(a_safetensors_file_has_the_widest_type_first_and_is_read_back)
{
	static const char *const order[] = { "n", "fc.bias", "fc.weight",
	    "none", "h" };
	char key[] = "format", value[] = "pt", *meta[] = { key, value, NULL };
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };
	struct tensor_set *s;

	t_eq_int(format_out_safetensors(&to, some, SOME, meta, NULL, NULL),
	    RK_OK);
	t_eq_int(format_parse(out.s, out.len, &s, NULL), RK_OK);
	t_eq_int(s->n, SOME);
	for (size_t i = 0; i < SOME; i++)
		t_eq_str(s->v[i].name, order[i]);
	t_eq_str(s->meta[1], "pt");
	t_check(memcmp(tensor_find(s, "fc.weight")->data, w, sizeof(w)) == 0);
	t_check(memcmp(tensor_find(s, "n")->data, count, 8) == 0);
	/* The data begin at a multiple of 8, as the reference has them. */
	t_eq_int(((const char *)s->v[0].data - out.s) % 8, 0);
	tensor_set_free(s);
	sb_fini(&out);
}

/* What paddle.save 3.3 with numpy makes of such a dict, but that it memoises each
 * value; `python3 -m pickletools` shows both alike. */
T_CASE(a_state_dict_of_paddle_is_this_pickle)
{
	static const char want[] =
	    "\x80\4}("
	    "X\7\0\0\0fc.bias"
	    "cnumpy.core.multiarray\n_reconstruct\nq\0"
	    "cnumpy\nndarray\nq\1"
	    "(K\0tC\1b\x87R"
	    "(K\1(K\2t"
	    "cnumpy\ndtype\nq\2X\2\0\0\0f4\x89\x88\x87Rq\x14"
	    "(K\3X\1\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
	    "\x89" "B\x08\0\0\0" "\0\0\0?\0\0\0\xbf" "tb"
	    "X\4\0\0\0flag"
	    "h\0h\1(K\0tC\1b\x87R"
	    "(K\1)"
	    "h\2X\2\0\0\0b1\x89\x88\x87Rq\3"
	    "(K\3X\1\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
	    "\x89" "B\1\0\0\0" "\1" "tb"
	    "X\x0c\0\0\0LR_Scheduler}("
	    "X\x0a\0\0\0last_epochK\x05"
	    "X\7\0\0\0last_lrG\x3f\xd0\0\0\0\0\0\0u"
	    "X\x1b\0\0\0StructuredToParameterName@@}("
	    "X\7\0\0\0fc.biasX\x0c\0\0\0linear_0.b_0"
	    "X\4\0\0\0flagX\4\0\0\0flagu"
	    "u.";
	static const uint8_t yes[1] = { 1 };
	const struct format_out_tensor v[] = { some[0],
	    { "flag", NULL, DT_BOOL, 0, { 0 }, OF(yes) } };
	const struct format_paddle_rate rate = { 5, 0.25 };
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };

	t_eq_int(format_out_paddle(&to, v, 2, &rate, NULL, NULL), RK_OK);
	for (size_t i = 0; i < out.len && i < sizeof(want) - 1; i++)
		if (out.s[i] != want[i])
			t_fail("byte %zu is %02x, want %02x", i,
			    (unsigned char)out.s[i], (unsigned char)want[i]);
	t_eq_int(out.len, sizeof(want) - 1);
	sb_fini(&out);
}

T_CASE(numbers_of_any_size_are_what_a_pickle_has_for_them)
{
	const struct format_out_tensor v = { "e", NULL, DT_F32, 4,
	    { 0, 300, 70000, INT64_C(5000000000) }, OF(w) };
	const struct format_paddle_rate rate = { -1, 0 };
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };

	t_eq_int(format_out_paddle(&to, &v, 1, &rate, NULL, NULL), RK_OK);
	static const char sizes[] = "(K\0M\x2c\1J\x70\x11\1\0"
	    "\x8a\x08\0\xf2\x05*\1\0\0\0t";
	t_check(memmem(out.s, out.len, sizes, sizeof(sizes) - 1) != NULL);
	t_check(memmem(out.s, out.len, "last_epochJ\xff\xff\xff\xff", 15) !=
	    NULL);
	sb_fini(&out);
}

/* Where a zip's members begin, by its directory. */
static size_t
member_at(const struct strbuf *z, const char *name, size_t *size)
{
	for (size_t i = 0; i + 46 < z->len; i++) {
		const unsigned char *p = (const unsigned char *)z->s + i;
		const size_t n = p[28] + 256u * p[29];
		if (memcmp(p, "PK\1\2", 4) != 0 || n != strlen(name) ||
		    memcmp(p + 46, name, n) != 0)
			continue;
		*size = p[24] + 256u * p[25];
		const size_t at = p[42] + 256u * p[43] + 65536u * p[44];
		const unsigned char *l = (const unsigned char *)z->s + at;
		t_check(memcmp(l, "PK\3\4", 4) == 0);
		return at + 30 + (l[26] + 256u * l[27]) + (l[28] + 256u * l[29]);
	}
	t_fail("no member %s", name);
}

T_CASE(each_tensor_of_a_pt_file_begins_at_a_multiple_of_64)
{
	struct strbuf out = written(format_out_torch, some, SOME);
	size_t size, at;

	at = member_at(&out, "archive/data/1", &size);
	t_eq_int(at % 64, 0);
	t_eq_int(size, sizeof(w));
	t_check(memcmp(out.s + at, w, sizeof(w)) == 0);
	at = member_at(&out, "archive/data/2", &size);
	t_eq_int(at % 64, 0);
	t_check(memcmp(out.s + at, count, 8) == 0);
	at = member_at(&out, "archive/data/4", &size);
	t_eq_int(size, 0);
	at = member_at(&out, "archive/version", &size);
	t_check(memcmp(out.s + at, "3\n", 2) == 0);
	at = member_at(&out, "archive/data.pkl", &size);
	t_check(memmem(out.s + at, size, "torch\nBFloat16Storage\n", 22) !=
	    NULL);
	sb_fini(&out);
}

/* Elements of a file that nobody asks for. */
static enum rk_err
read_never(const struct format_out_tensor *t, uint64_t from, size_t n,
    void *dst, struct rk_why *why)
{
	(void)from, (void)n, (void)dst, (void)why;
	t_fail("%s was read", t->name);
}

T_CASE(a_sink_that_takes_nothing_is_told_the_size_and_no_element_is_read)
{
	static const struct format_sink nowhere = { 0 };
	struct format_out_tensor v[SOME];

	memcpy(v, some, sizeof(v));
	for (size_t i = 0; i < SOME; i++)
		v[i].read = read_never;
	for (size_t i = 0; i < RK_ARRAY_LEN(writers); i++) {
		struct strbuf out = written(writers[i], some, SOME);
		uint64_t size = 0;
		t_eq_int(writers[i](&nowhere, v, SOME, &size, NULL), RK_OK);
		t_eq_int(size, out.len);
		sb_fini(&out);
	}
}

/* Sizes that take more than 32 bits have longer fields: BINBYTES8 is 4 bytes
 * longer than BINBYTES; a zip has 20 more before the member and 8 behind it, 20 in
 * the directory, and 76 at the end when the directory begins that late; what
 * pads is the rest. */
T_CASE(tensors_of_more_than_4_gib_have_fields_of_64_bits)
{
	static const struct format_sink nowhere = { 0 };
	const int64_t wide = INT64_C(1) << 30;
	struct format_out_tensor v = { "e", NULL, DT_F32, 1, { wide - 1 },
	    read_never, NULL };
	uint64_t below, above;

	t_eq_int(paddle(&nowhere, &v, 1, &below, NULL), RK_OK);
	v.d[0] = wide;
	t_eq_int(paddle(&nowhere, &v, 1, &above, NULL), RK_OK);
	t_eq_int(above - below, 4 + 4);
	t_eq_int(format_out_torch(&nowhere, &v, 1, &above, NULL), RK_OK);
	v.d[0] = wide - 1024;
	t_eq_int(format_out_torch(&nowhere, &v, 1, &below, NULL), RK_OK);
	t_check(above - below >= 4096 + 8 + 20 + 76);
	t_check(above - below < 4096 + 8 + 20 + 76 + 64 + 20 + 12);
}

T_CASE(many_tensors_of_a_pt_file_have_an_end_of_64_bits)
{
	const size_t n = 70000;
	struct format_out_tensor *v = xcalloc(n, sizeof(*v));
	char *names = xmalloc(n * 8);

	for (size_t i = 0; i < n; i++) {
		snprintf(names + 8 * i, 8, "t%zu", i);
		v[i] = (struct format_out_tensor){ names + 8 * i, NULL, DT_F32,
		    1, { 0 }, OF(w) };
	}
	struct strbuf out = written(format_out_torch, v, n);
	t_check(memcmp(out.s + out.len - 22 - 20, "PK\6\7", 4) == 0);
	t_check(memcmp(out.s + out.len - 22 - 20 - 56, "PK\6\6", 4) == 0);
	sb_fini(&out);
	free(names);
	free(v);
}

T_CASE(what_a_format_has_no_type_for_is_refused_by_name)
{
	const struct format_out_tensor odd[] = {
		{ "odd", NULL, DT_U32, 1, { 2 }, OF(w) },
		{ "odd", NULL, DT_F8_E4M3, 1, { 8 }, OF(w) },
	};
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };
	struct rk_why why = {0};

	t_eq_int(paddle(&to, &odd[0], 1, NULL, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "odd: is U32, a type that Paddle does "
	    "not have");
	rk_why_fini(&why);
	t_eq_int(format_out_torch(&to, &odd[1], 1, NULL, &why), RK_EINVAL);
	t_eq_str(rk_why_first(&why), "odd: is F8_E4M3, a type that PyTorch's "
	    "format does not have");
	rk_why_fini(&why);
	t_eq_int(out.len, 0);
}

T_CASE(names_that_no_reader_can_tell_are_refused_before_a_byte)
{
	static const struct {
		const char *one, *two, *part;
	} bad[] = {
		{ "a", "a", "occurs twice" },
		{ "a", "", "empty name" },
		{ "a", "\xff", "not UTF-8" },
		{ "a", "b\n", "control character" },
	};
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };

	for (size_t k = 0; k < RK_ARRAY_LEN(bad); k++) {
		struct format_out_tensor v[2] = { some[0], some[0] };
		v[0].name = bad[k].one;
		v[1].name = bad[k].two;
		for (size_t i = 0; i < RK_ARRAY_LEN(writers); i++) {
			struct rk_why why = {0};
			t_eq_int(writers[i](&to, v, 2, NULL, &why), RK_EINVAL);
			t_has(rk_why_first(&why), bad[k].part);
			rk_why_fini(&why);
		}
	}
	struct format_out_tensor own = some[0];
	own.name = "LR_Scheduler";
	t_eq_int(paddle(&to, &own, 1, NULL, NULL), RK_EINVAL);
	t_eq_int(out.len, 0);
}

static enum rk_err
put_full(void *ctx, const void *p, size_t n, struct rk_why *why)
{
	size_t *left = ctx;

	(void)p;
	if (n <= *left) {
		*left -= n;
		return RK_OK;
	}
	rk_refuse(why, "the disk is full");
	return RK_ENOSPC;
}

T_CASE(a_sink_that_fails_ends_the_writing_with_its_error)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(writers); i++) {
		struct strbuf whole = written(writers[i], some, SOME);
		for (size_t room = 0; room < whole.len; room += 7) {
			struct rk_why why = {0};
			size_t left = room;
			const struct format_sink to = { put_full, &left };
			t_eq_int(writers[i](&to, some, SOME, NULL, &why),
			    RK_ENOSPC);
			t_eq_str(rk_why_first(&why), "the disk is full");
			rk_why_fini(&why);
		}
		sb_fini(&whole);
	}
}

/* Of several chunks, and no whole number of them. */
#define LARGE 900001

static enum rk_err
large(const struct format_out_tensor *t, uint64_t from, size_t n, void *dst,
    struct rk_why *why)
{
	uint32_t *to = dst;

	if (t->ctx != NULL && from + n > *(const uint64_t *)t->ctx) {
		rk_refuse(why, "cannot be read from there on");
		return RK_EIO;
	}
	for (size_t i = 0; i < n; i++)
		to[i] = (uint32_t)(from + i) * 2654435761u;
	return RK_OK;
}

/* Bit by bit, from the definition. */
static uint32_t
slow_crc(const unsigned char *p, size_t n)
{
	uint32_t c = ~0u;

	for (size_t i = 0; i < n; i++) {
		c ^= p[i];
		for (int k = 0; k < 8; k++)
			c = (c >> 1) ^ (c & 1 ? 0xedb88320u : 0);
	}
	return ~c;
}

T_CASE(a_tensor_of_several_chunks_is_whole_and_in_order_in_each_format)
{
	const struct format_out_tensor v[] = {
		{ "a", NULL, DT_I32, 1, { LARGE }, large, NULL },
		{ "b", NULL, DT_I32, 1, { 1 }, large, NULL },
		{ "c", NULL, DT_I32, 1, { LARGE }, large, NULL },
	};
	const size_t bytes = LARGE * sizeof(uint32_t);
	uint32_t *want = xmalloc(bytes);
	(void)!large(&v[0], 0, LARGE, want, NULL);

	for (size_t k = 0; k < RK_ARRAY_LEN(writers); k++) {
		struct strbuf out = written(writers[k], v, 3);
		const char *a = memmem(out.s, out.len, want, bytes);
		t_check(a != NULL);
		const char *c = memmem(a + bytes, out.len - (size_t)(a + bytes -
		    out.s), want, bytes);
		t_check(c != NULL);
		if (writers[k] == format_out_torch) {
			const uint32_t crc = slow_crc((unsigned char *)want,
			    bytes);
			t_check(memcmp(a + bytes, "PK\7\10", 4) == 0);
			t_check(memcmp(a + bytes + 4, &crc, 4) == 0);
			t_check(memcmp(c + bytes + 4, &crc, 4) == 0);
		}
		sb_fini(&out);
	}
	free(want);
}

T_CASE(what_fails_in_the_middle_of_a_tensor_ends_the_writing)
{
	const uint64_t most[] = { 0, 1, 300000, LARGE - 1 };

	for (size_t k = 0; k < RK_ARRAY_LEN(writers); k++)
		for (size_t i = 0; i < RK_ARRAY_LEN(most); i++) {
			struct format_out_tensor v = { "a", NULL, DT_I32, 1,
				{ LARGE }, large, &most[i] };
			size_t room = SIZE_MAX;
			const struct format_sink to = { put_full, &room };
			struct rk_why why = {0};
			t_eq_int(writers[k](&to, &v, 1, NULL, &why), RK_EIO);
			t_has(rk_why_first(&why), "cannot be read from there");
			rk_why_fini(&why);
			v.ctx = NULL;
			room = (size_t)most[i] * 4;
			t_eq_int(writers[k](&to, &v, 1, NULL, &why),
			    RK_ENOSPC);
			t_eq_str(rk_why_first(&why), "the disk is full");
			rk_why_fini(&why);
		}
}

T_CASE(each_file_that_is_written_is_read_back_as_weights)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(writers); i++) {
		struct strbuf out = written(writers[i], some, SOME);
		struct rk_why why = {0};
		struct weights *got;
		if (weights_open_mem(out.s, out.len, NULL, &got, &why) != RK_OK)
			t_fail("%s", rk_why_first(&why));
		t_eq_int(got->n, SOME);
		for (size_t k = 0; k < SOME; k++) {
			const struct weights_tensor *t = weights_find(got,
			    WEIGHTS_MODEL, some[k].name);
			char a[64], b2[64];
			t_check(t != NULL);
			t_eq_int(t->dtype, some[k].dtype);
			t_eq_int(t->ndim, some[k].ndim);
			t_check(memcmp(t->d, some[k].d, (size_t)t->ndim *
			    sizeof(t->d[0])) == 0);
			t_eq_int(t->lie, WEIGHTS_MAPPED);
			t_eq_int(weights_read(t, 0, (size_t)t->count, a, NULL),
			    RK_OK);
			t_eq_int(some[k].read(&some[k], 0, (size_t)t->count,
			    b2, NULL), RK_OK);
			t_check(memcmp(a, b2, (size_t)t->bytes) == 0);
			if (i == 1 && some[k].alias != NULL)
				t_eq_str(t->alias, some[k].alias);
		}
		weights_free(got);
		sb_fini(&out);
	}
}

T_CASE(whole_numbers_without_a_sign_are_what_pytorch_has_for_them)
{
	const struct format_out_tensor v[] = {
		{ "a", NULL, DT_U16, 1, { 4 }, OF(count) },
		{ "b", NULL, DT_F32, 1, { 2 }, OF(b) },
		{ "c", NULL, DT_U32, 2, { 2, 1 }, OF(count) },
		{ "d", NULL, DT_U64, 0, { 0 }, OF(count) },
		{ "e", NULL, DT_U16, 1, { 2 }, OF(half) },
	};
	struct strbuf out = written(format_out_torch, v, RK_ARRAY_LEN(v));
	const char *text = memmem(out.s, out.len, "torch\nuint16\n", 13);
	struct weights *r;

	t_check(text != NULL);
	t_eq_int(weights_open_mem(out.s, out.len, NULL, &r, NULL), RK_OK);
	t_eq_int(r->n, RK_ARRAY_LEN(v));
	for (size_t i = 0; i < r->n; i++) {
		t_eq_int(r->v[i].dtype, v[i].dtype);
		t_eq_int(r->v[i].ndim, v[i].ndim);
		t_check(memcmp(r->v[i].data, v[i].ctx, r->v[i].bytes) == 0);
	}
	weights_free(r);
	sb_fini(&out);
}

T_CASE(a_transposed_matrix_is_read_from_any_element_on)
{
	const struct format_out_tensor t = { "t", NULL, DT_F32, 2, { 3, 2 },
	    format_read_transposed, w };
	const float want[6] = { 1, 4, 2, 5, 3, 6 };
	float got[6];

	for (size_t from = 0; from < 6; from++) {
		t_eq_int(t.read(&t, from, 6 - from, got, NULL), RK_OK);
		t_check(memcmp(got, want + from, (6 - from) * 4) == 0);
	}
	const struct format_out_tensor bytes = { "t", NULL, DT_U8, 2, { 2, 2 },
	    format_read_transposed, "abcd" };
	char out[4];
	t_eq_int(bytes.read(&bytes, 0, 4, out, NULL), RK_OK);
	t_check(memcmp(out, "acbd", 4) == 0);
}

T_CASE(an_optimiser_of_pytorch_has_its_slots_and_its_group)
{
	static const struct format_torch_slot slots[] = {
		{ 0, "exp_avg" }, { 0, "exp_avg_sq" }, { 2, "exp_avg" } };
	const struct format_out_tensor v[] = { some[0], some[0], some[1] };
	json_t *group = json_pack("{s:f, s:[ff], s:b, s:n, s:i}", "lr", 0.5,
	    "betas", 0.5, 0.25, "amsgrad", 0, "foreach", "n", 3);
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };
	size_t size;

	t_eq_int(format_out_torch_optimizer(&to, v, slots, 3, 3, group, NULL,
	    NULL), RK_OK);
	const size_t at = member_at(&out, "archive/data.pkl", &size);
	const char *p = out.s + at;
	t_check(memmem(p, size, "X\5\0\0\0state}(K\0}(X\7\0\0\0exp_avg", 28) !=
	    NULL);
	t_check(memmem(p, size, "uK\2}(X\7\0\0\0exp_avg", 17) != NULL);
	static const char end[] = "X\x0c\0\0\0param_groups](}("
	    "X\2\0\0\0lrG?\xe0\0\0\0\0\0\0"
	    "X\5\0\0\0betas(G?\xe0\0\0\0\0\0\0G?\xd0\0\0\0\0\0\0t"
	    "X\7\0\0\0amsgrad\x89" "X\7\0\0\0foreachN" "X\1\0\0\0nK\3"
	    "X\6\0\0\0params](K\0K\1K\2eueu.";
	t_check(size > sizeof(end) - 1);
	t_check(memcmp(p + size - (sizeof(end) - 1), end, sizeof(end) - 1) ==
	    0);
	sb_fini(&out);
	json_decref(group);
}

T_CASE(what_a_group_cannot_hold_is_refused_by_its_key)
{
	json_t *group = json_pack("{s:{}}", "lr");
	struct strbuf out = {0};
	const struct format_sink to = { put_mem, &out };
	struct rk_why why = {0};

	t_eq_int(format_out_torch_optimizer(&to, some, NULL, 0, 1, group, NULL,
	    &why), RK_EINVAL);
	t_has(rk_why_first(&why), "lr: want a number");
	t_eq_int(out.len, 0);
	rk_why_fini(&why);
	json_decref(group);
}

T_MAIN
