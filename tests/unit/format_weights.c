/*
 * Files of weights behind one face: how elements are read wherever they lie, and what
 * is told of files that are none.  tests/outside/torch_files.py has whole files.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "format_zip.h"
#include "rekindle/format_weights.h"

/* --- opening -------------------------------------------------------------- */

static struct weights *
opened_as(const void *p, size_t n, const struct weights_how *how)
{
	struct rk_why why = {0};
	struct weights *w;

	if (weights_open_mem(p, n, how, &w, &why) != RK_OK)
		t_fail("refused: %s", rk_why_first(&why));
	t_eq_int(why.n, 0);
	return w;
}

static void
refused_as(const void *p, size_t n, const struct weights_how *how,
    enum rk_err want, const char *part)
{
	struct rk_why why = {0};
	struct weights *w;

	t_eq_int(weights_open_mem(p, n, how, &w, &why), want);
	t_check(w == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

static void
refused(const void *p, size_t n, const char *part)
{
	refused_as(p, n, NULL, RK_EINVAL, part);
}

/* Elements in C order from `from` on, all floats. */
static void
has_floats(const struct weights_tensor *t, uint64_t from, size_t n,
    const float *want)
{
	float *got = malloc((n + 1) * sizeof(*got));
	struct rk_why why = {0};

	if (weights_read_f32(t, from, n, got, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	for (size_t i = 0; i < n; i++)
		t_near(got[i], want[i], 0);
	free(got);
}

static const struct weights_tensor *
model_tensor(const struct weights *w, const char *name)
{
	const struct weights_tensor *t = weights_find(w, WEIGHTS_MODEL, name);

	if (t == NULL)
		t_fail("there is no %s", name);
	return t;
}

/* --- safetensors ---------------------------------------------------------- */

static struct strbuf
safetensors(const char *header, const void *data, size_t n)
{
	struct strbuf b = {0};

	zip_le(&b, strlen(header), 8);
	sb_adds(&b, header);
	sb_add(&b, data, n);
	return b;
}

T_CASE(a_safetensors_file_is_mapped_and_says_whose_it_is)
{
	static const float data[] = { 1, 2, 3, 4 };
	struct strbuf b = safetensors("{\"__metadata__\":{\"format\":\"pd\","
	    "\"tied\":\"a\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],"
	    "\"data_offsets\":[0,16]}}", data, sizeof(data));
	struct weights *w = opened_as(b.s, b.len, NULL);
	const struct weights_tensor *t = model_tensor(w, "a");

	t_eq_int(w->format, WEIGHTS_SAFETENSORS);
	t_eq_int(w->framework, WEIGHTS_FROM_PADDLE);
	t_eq_str(w->model, "");
	t_check(t->lie == WEIGHTS_MAPPED && t->data != NULL);
	t_eq_int(t->count, 4);
	t_eq_int(t->bytes, 16);
	has_floats(t, 1, 3, data + 1);
	/* What PyTorch left out because it is "a", too. */
	t = model_tensor(w, "tied");
	t_eq_int(t->same_as, 0);
	has_floats(t, 0, 4, data);
	t_eq_str(weights_value(w, "__metadata__.format")->text, "pd");
	t_check(weights_find(w, WEIGHTS_OTHER, "a") == NULL);
	t_check(weights_find(w, WEIGHTS_MODEL, "b") == NULL);
	weights_free(w);
	sb_fini(&b);
}

T_CASE(floats_of_eight_bits_are_refused_by_name)
{
	struct strbuf b = safetensors("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":"
	    "[2],\"data_offsets\":[0,2]}}", "xy", 2);

	refused(b.s, b.len, "a: is of F8_E4M3, which is not taken: save it "
	    "again as float32");
	sb_fini(&b);
}

/* --- npz ------------------------------------------------------------------ */

/* An npy of version 1.0 whose header has 64 bytes in all. */
static struct strbuf
npy(const char *descr, const char *fortran, const char *shape,
    const void *data, size_t n)
{
	struct strbuf b = {0};
	char *dict = xasprintf("{'descr': '%s', 'fortran_order': %s, 'shape': "
	    "%s}", descr, fortran, shape);
	const size_t len = RK_ROUND_UP(strlen(dict) + 10, 64) - 10;

	sb_add(&b, "\x93NUMPY\1\0", 8);
	zip_le(&b, len, 2);
	sb_addf(&b, "%-*s", (int)len, dict);
	sb_add(&b, data, n);
	free(dict);
	return b;
}

static void
put_npy(struct zip_test *z, const char *name, const char *descr,
    const char *fortran, const char *shape, const void *data, size_t n)
{
	struct strbuf b = npy(descr, fortran, shape, data, n);

	zip_put(z, name, b.s, b.len);
	sb_fini(&b);
}

T_CASE(arrays_of_an_npz_lie_as_they_were_saved)
{
	static const float data[] = { 0, 1, 2, 3, 4, 5 };
	static const float turned[] = { 0, 2, 4, 1, 3, 5 };
	static const unsigned char big[] = { 0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0 };
	static const float big_values[] = { 1.5f, -2.0f };
	struct zip_test z = {0};
	size_t n;

	put_npy(&z, "plain.npy", "<f4", "False", "(2, 3)", data, sizeof(data));
	put_npy(&z, "turned.npy", "<f4", "True", "(2, 3)", data, sizeof(data));
	put_npy(&z, "big.npy", ">f4", "False", "(2,)", big, sizeof(big));
	z.deflate = true;
	put_npy(&z, "packed.npy", "<f4", "False", "(2, 3)", data, sizeof(data));
	put_npy(&z, "packed_turned.npy", "<f4", "True", "(2, 3)", data,
	    sizeof(data));
	uint8_t *p = zip_end(&z, &n);
	struct weights *w = opened_as(p, n, NULL);
	t_eq_int(w->format, WEIGHTS_NPZ);
	t_eq_int(w->framework, WEIGHTS_FROM_UNKNOWN);
	t_eq_int(w->n, 5);
	t_eq_int(model_tensor(w, "plain")->lie, WEIGHTS_MAPPED);
	has_floats(model_tensor(w, "plain"), 0, 6, data);
	t_eq_int(model_tensor(w, "turned")->lie, WEIGHTS_STRIDED);
	has_floats(model_tensor(w, "turned"), 0, 6, turned);
	has_floats(model_tensor(w, "turned"), 2, 3, turned + 2);
	t_eq_int(model_tensor(w, "big")->lie, WEIGHTS_STRIDED);
	has_floats(model_tensor(w, "big"), 0, 2, big_values);
	t_eq_int(model_tensor(w, "packed")->lie, WEIGHTS_STREAMED);
	has_floats(model_tensor(w, "packed"), 0, 6, data);
	has_floats(model_tensor(w, "packed_turned"), 0, 6, turned);
	/* Back to where it was before, and on. */
	has_floats(model_tensor(w, "packed"), 1, 2, data + 1);
	has_floats(model_tensor(w, "packed"), 4, 2, data + 4);
	weights_free(w);
	free(p);
}

T_CASE(an_npz_whose_array_is_longer_or_shorter_is_refused)
{
	struct zip_test z = {0};
	size_t n;

	put_npy(&z, "a.npy", "<f4", "False", "(2,)", "12345678x", 9);
	uint8_t *p = zip_end(&z, &n);
	refused(p, n, "its array \"a\": has 137 bytes, its header says 136");
	free(p);
	put_npy(&z, "a.npy", "<f4", "False", "(2,)", "1234567", 7);
	p = zip_end(&z, &n);
	refused(p, n, "its array \"a\"");
	free(p);
}

/* --- PyTorch -------------------------------------------------------------- */

static void
put_ints(struct strbuf *b, int n, const int64_t *v)
{
	sb_addc(b, '(');
	for (int i = 0; i < n; i++) {
		sb_add(b, "\x8a\x08", 2);
		zip_le(b, (uint64_t)v[i], 8);
	}
	sb_addc(b, 't');
}

static void
put_str(struct strbuf *b, const char *s)
{
	sb_addc(b, 'U');
	sb_addc(b, (char)strlen(s));
	sb_adds(b, s);
}

struct torch_tensor {
	const char *key, *type;         /* "FloatStorage" */
	int64_t elements, offset;
	int ndim;
	int64_t d[9], stride[9];
	const char *view;               /* bytes behind the id; legacy: "N" */
	const char *dtype;              /* of _rebuild_tensor_v3, or NULL */
};

/* What PyTorch writes for a tensor. */
static void
put_tensor(struct strbuf *b, const struct torch_tensor *t)
{
	sb_addf(b, "ctorch._utils\n_rebuild_tensor_v%c\n((", t->dtype != NULL ?
	    '3' : '2');
	put_str(b, "storage");
	sb_addf(b, "ctorch\n%s\n", t->type);
	put_str(b, t->key);
	put_str(b, "cpu");
	sb_add(b, "\x8a\x08", 2);
	zip_le(b, (uint64_t)t->elements, 8);
	sb_adds(b, t->view != NULL ? t->view : "");
	sb_adds(b, "tQ");
	sb_add(b, "\x8a\x08", 2);
	zip_le(b, (uint64_t)t->offset, 8);
	put_ints(b, t->ndim, t->d);
	put_ints(b, t->ndim, t->stride);
	sb_adds(b, "\x89N");
	if (t->dtype != NULL)
		sb_addf(b, "ctorch\n%s\nN", t->dtype);
	sb_adds(b, "tR");
}

/* A dict of one tensor, "a", as a pickle. */
static struct strbuf
dict_of(const struct torch_tensor *t)
{
	struct strbuf b = {0};

	sb_adds(&b, "\x80\x02}U\1a");
	put_tensor(&b, t);
	sb_adds(&b, "s.");
	return b;
}

static const struct torch_tensor plain = {
	.key = "0", .type = "FloatStorage", .elements = 6, .ndim = 2,
	.d = { 2, 3 }, .stride = { 3, 1 },
};
static const float six[] = { 0, 1, 2, 3, 4, 5 };

static void
put_pickle(struct zip_test *z, const struct torch_tensor *t)
{
	struct strbuf b = dict_of(t);

	zip_put(z, "x/data.pkl", b.s, b.len);
	sb_fini(&b);
}

/* An archive of one tensor and its storage. */
static uint8_t *
archive(const struct torch_tensor *t, const void *data, size_t bytes, size_t *n)
{
	struct zip_test z = {0};

	put_pickle(&z, t);
	zip_put(&z, "x/data/0", data, bytes);
	return zip_end(&z, n);
}

static void
tensor_refused(struct torch_tensor t, const char *part)
{
	size_t n;
	uint8_t *p = archive(&t, six, sizeof(six), &n);

	refused(p, n, part);
	free(p);
}

T_CASE(each_element_of_a_view_lies_in_its_storage)
{
	struct torch_tensor t = plain;
	size_t n;
	uint8_t *p = archive(&t, six, sizeof(six), &n);
	struct weights *w = opened_as(p, n, NULL);

	t_eq_int(w->format, WEIGHTS_PYTORCH_ZIP);
	t_eq_int(w->framework, WEIGHTS_FROM_PYTORCH);
	t_eq_int(model_tensor(w, "a")->lie, WEIGHTS_MAPPED);
	has_floats(model_tensor(w, "a"), 0, 6, six);
	weights_free(w);
	free(p);

	t.offset = 1;
	tensor_refused(t, "a: is [2,3] from element 1 on, which reaches out of "
	    "its storage of 6 elements");
	t = plain;
	t.stride[0] = 4;
	tensor_refused(t, "reaches out of its storage");
	t.stride[0] = INT64_MAX;
	tensor_refused(t, "reaches out of its storage");
	/* The sum goes over 2^64 at the last dimension and fits at the first. */
	t.stride[0] = 1;
	t.stride[1] = INT64_MAX;
	t.offset = 3;
	tensor_refused(t, "reaches out of its storage");
	t.stride[0] = -1;
	tensor_refused(t, "has a negative stride");
	t = plain;
	t.offset = -1;
	tensor_refused(t, "an offset that is no whole number from 0 on");
	t = plain;
	t.d[0] = -2;
	tensor_refused(t, "has a negative dimension: [-2,3]");
	t.d[0] = INT64_MAX;
	tensor_refused(t, "has more elements than can be counted");
	t = plain;
	t.ndim = 9;
	tensor_refused(t, "has 9 dimensions, at most 8");
	t = plain;
	t.elements = 5;
	tensor_refused(t, "its storage has 24 bytes in the archive, the pickle "
	    "says 5 elements of 4");
	t.elements = INT64_MAX;
	tensor_refused(t, "its storage has 24 bytes");
	t = plain;
	t.key = "1";
	tensor_refused(t, "its storage, \"1\", is not in the archive");
	/* Keys are compared, never opened. */
	t.key = "../../../etc/passwd";
	tensor_refused(t, "is not in the archive");
	t = plain;
	t.type = "QInt8Storage";
	tensor_refused(t, "is quantised (qint8)");
	t.type = "Tensor";
	tensor_refused(t, "its type is none of torch's storages");
}

T_CASE(a_view_gives_its_elements_in_c_order)
{
	/* [3,2] of the storage's columns; the last of them alone. */
	static const float turned[] = { 0, 3, 1, 4, 2, 5 };
	struct torch_tensor t = plain;
	size_t n;

	t.d[0] = 3;
	t.d[1] = 2;
	t.stride[0] = 1;
	t.stride[1] = 3;
	uint8_t *p = archive(&t, six, sizeof(six), &n);
	struct weights *w = opened_as(p, n, NULL);
	t_eq_int(model_tensor(w, "a")->lie, WEIGHTS_STRIDED);
	for (size_t from = 0; from < 6; from++)
		has_floats(model_tensor(w, "a"), from, 6 - from, turned + from);
	weights_free(w);
	free(p);
	/* The stride of one element, or of none, does not matter. */
	t = (struct torch_tensor){ .key = "0", .type = "FloatStorage",
	    .elements = 6, .offset = 5, .ndim = 2, .d = { 1, 1 },
	    .stride = { 77, 99 } };
	p = archive(&t, six, sizeof(six), &n);
	w = opened_as(p, n, NULL);
	t_eq_int(model_tensor(w, "a")->lie, WEIGHTS_MAPPED);
	has_floats(model_tensor(w, "a"), 0, 1, six + 5);
	weights_free(w);
	free(p);
	t.d[1] = 0;
	t.offset = 600;
	p = archive(&t, six, sizeof(six), &n);
	w = opened_as(p, n, NULL);
	t_eq_int(model_tensor(w, "a")->count, 0);
	weights_free(w);
	free(p);
}

T_CASE(types_that_only_new_files_have_come_with_their_tensor)
{
	struct torch_tensor t = { .key = "0", .type = "UntypedStorage",
		.elements = 24, .offset = 1, .ndim = 1, .d = { 2 },
		.stride = { 5 }, .dtype = "uint16" };
	uint16_t data[12] = { 0, 7, 0, 0, 0, 0, 9 };
	const float want[] = { 7, 9 };
	size_t n;
	uint8_t *p = archive(&t, data, sizeof(data), &n);
	struct weights *w = opened_as(p, n, NULL);

	t_eq_int(model_tensor(w, "a")->dtype, DT_U16);
	has_floats(model_tensor(w, "a"), 0, 2, want);
	weights_free(w);
	free(p);
	t.dtype = "float8_e4m3fn";
	tensor_refused(t, "a: is of F8_E4M3, which is not taken");
	t.dtype = "float4_e2m1fn_x2";
	tensor_refused(t, "a: is of float4_e2m1fn_x2, which is not taken");
	t.dtype = "FloatStorage";
	tensor_refused(t, "has a type that is none of torch's");
	t.dtype = "uint16";
	t.stride[0] = 11;
	tensor_refused(t, "reaches out of its storage of 12 elements");
}

T_CASE(the_byte_order_of_an_archive_counts_for_all_its_storages)
{
	static const unsigned char big[] = { 0x3f, 0xc0, 0, 0 };
	const struct torch_tensor t = { .key = "0", .type = "FloatStorage",
		.elements = 1 };
	const float want = 1.5f;
	struct zip_test z = {0};
	size_t n;

	put_pickle(&z, &t);
	zip_put(&z, "x/data/0", big, sizeof(big));
	zip_put(&z, "x/byteorder", "big", 3);
	uint8_t *p = zip_end(&z, &n);
	struct weights *w = opened_as(p, n, NULL);
	has_floats(model_tensor(w, "a"), 0, 1, &want);
	weights_free(w);
	free(p);
	put_pickle(&z, &t);
	zip_put(&z, "x/data/0", big, sizeof(big));
	zip_put(&z, "x/byteorder", "middle", 6);
	p = zip_end(&z, &n);
	refused(p, n, "its byteorder is neither little nor big");
	free(p);
}

/* Elements that do not pack to nothing, and are more than one chunk of any. */
#define MANY ((size_t)100000)
static float *
many(void)
{
	float *p = malloc(MANY * sizeof(*p));

	for (size_t i = 0; i < MANY; i++)
		p[i] = (float)((i * 2654435761u) % 1000003);
	return p;
}

T_CASE(a_deflated_storage_is_streamed_and_its_checksum_is_looked_at)
{
	struct torch_tensor t = { .key = "0", .type = "FloatStorage",
		.elements = MANY, .ndim = 1, .d = { MANY }, .stride = { 1 } };
	struct zip_test z = {0};
	float *data = many(), *got = malloc(MANY * sizeof(*got));
	struct rk_why why = {0};
	size_t n;

	for (int damaged = 0; damaged < 2; damaged++) {
		put_pickle(&z, &t);
		z.deflate = true;
		z.crc_off = (uint32_t)damaged;
		zip_put(&z, "x/data/0", data, MANY * sizeof(*data));
		uint8_t *p = zip_end(&z, &n);
		struct weights *w = opened_as(p, n, NULL);
		const struct weights_tensor *a = model_tensor(w, "a");
		t_eq_int(a->lie, WEIGHTS_STREAMED);
		t_check(a->data == NULL);
		has_floats(a, 90000, 10, data + 90000);
		has_floats(a, 70000, 1000, data + 70000);
		t_eq_int(weights_read(a, 0, MANY, got, &why), damaged ?
		    RK_EINVAL : RK_OK);
		if (damaged)
			t_has(rk_why_first(&why), "a: its data: is damaged: its "
			    "CRC-32 is");
		else
			t_check(memcmp(got, data, MANY * sizeof(*data)) == 0);
		weights_free(w);
		free(p);
	}
	rk_why_fini(&why);
	free(data);
	free(got);
}

T_CASE(a_view_of_a_deflated_storage_is_read_out_of_memory)
{
	struct torch_tensor t = { .key = "0", .type = "FloatStorage",
		.elements = MANY, .ndim = 2, .d = { 1000, MANY / 1000 },
		.stride = { 1, 1000 } };
	struct zip_test z = { .deflate = true };
	float *data = many();
	size_t n;

	put_pickle(&z, &t);
	zip_put(&z, "x/data/0", data, MANY * sizeof(*data));
	uint8_t *p = zip_end(&z, &n);
	struct weights *w = opened_as(p, n, NULL);
	const float want[] = { data[99 * 1000], data[1], data[1001] };
	has_floats(model_tensor(w, "a"), 99, 3, want);
	weights_free(w);
	free(p);
	free(data);
}

T_CASE(archives_that_lie_are_refused)
{
	struct zip_test z = {0};
	size_t n;

	z.flags = 1;
	put_pickle(&z, &plain);
	uint8_t *p = zip_end(&z, &n);
	refused(p, n, "its member \"data.pkl\" is encrypted");
	free(p);
	put_pickle(&z, &plain);
	z.flags = 1;
	zip_put(&z, "x/data/0", six, sizeof(six));
	p = zip_end(&z, &n);
	refused(p, n, "a: its member \"data/0\" is encrypted");
	free(p);
	put_pickle(&z, &plain);
	zip_put(&z, "x/data/0", six, sizeof(six));
	zip_put(&z, "x/data/0", six, sizeof(six));
	p = zip_end(&z, &n);
	refused(p, n, "has two members of one name, \"x/data/0\"");
	free(p);
	put_pickle(&z, &plain);
	zip_put(&z, "y/data.pkl", "N.", 2);
	p = zip_end(&z, &n);
	refused(p, n, "with more than one data.pkl");
	free(p);
	zip_put(&z, "x/data/0", six, sizeof(six));
	p = zip_end(&z, &n);
	refused(p, n, "without data.pkl");
	free(p);
	put_pickle(&z, &plain);
	zip_put(&z, "x/data/0", six, sizeof(six));
	zip_put(&z, "x/code/__torch__.py", "", 0);
	p = zip_end(&z, &n);
	refused(p, n, "is a TorchScript archive");
	free(p);
	/* Deflate makes at most 1032 bytes of one. */
	put_pickle(&z, &(struct torch_tensor){ .key = "0", .type =
	    "ByteStorage", .elements = 1 << 24, .ndim = 1, .d = { 1 << 24 },
	    .stride = { 1 } });
	z.deflate = true;
	z.size_off = (1 << 24) - 24;
	zip_put(&z, "x/data/0", six, 24);
	p = zip_end(&z, &n);
	refused(p, n, "which cannot unpack to the 16777216 that it says");
	free(p);
	refused("PK\3\4 and nothing more, really nothing", 37,
	    "is no whole zip archive");
}

/* The second member is the tail of the first: the same bytes, two storages. */
T_CASE(storages_that_overlap_are_refused)
{
	struct zip_test z = {0}, inner = {0};
	struct strbuf b = {0};
	struct torch_tensor t = plain;
	size_t n;

	zip_put(&inner, "x/data/0", six, sizeof(six));
	sb_adds(&b, "\x80\x02](");
	t.key = "1";
	t.elements = (int64_t)inner.b.len;
	t.type = "ByteStorage";
	put_tensor(&b, &t);
	put_tensor(&b, &plain);
	sb_adds(&b, "e.");
	zip_put(&z, "x/data.pkl", b.s, b.len);
	zip_put(&z, "x/data/1", inner.b.s, inner.b.len);
	/* An entry for what lies in the other's bytes. */
	const size_t before = z.b.len;
	z.at_off = -(int64_t)sizeof(six) - 38;
	zip_put(&z, "x/data/0", six, sizeof(six));
	sb_cut(&inner.b, inner.b.len);
	z.b.len = before;
	uint8_t *p = zip_end(&z, &n);
	refused(p, n, "its members \"x/data/1\" and \"x/data/0\" overlap");
	free(p);
	sb_fini(&b);
	sb_fini(&inner.b);
	sb_fini(&inner.dir);
}

/* --- PyTorch before 1.6 --------------------------------------------------- */

#define MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define LITTLE "\x80\x02}U\x0dlittle_endian\x88s."

struct legacy {
	const char *protocol, *system;  /* pickles */
	const char *keys;               /* the fifth pickle */
	int64_t elements;               /* of the storage that comes */
	size_t bytes;
};
static const struct legacy whole = {
	"\x80\x02M\xe9\x03.", LITTLE, "\x80\x02]U\1" "0a.", 6, 24
};

static struct strbuf
legacy_of(const struct legacy *l, const struct torch_tensor *t)
{
	struct strbuf b = {0}, object = dict_of(t);

	sb_add(&b, MAGIC, sizeof(MAGIC) - 1);
	sb_adds(&b, l->protocol);
	sb_adds(&b, l->system);
	sb_add(&b, object.s, object.len);
	sb_adds(&b, l->keys);
	zip_le(&b, (uint64_t)l->elements, 8);
	sb_add(&b, six, l->bytes);
	sb_fini(&object);
	return b;
}

static void
legacy_refused(struct legacy l, struct torch_tensor t, const char *part)
{
	struct strbuf b = legacy_of(&l, &t);

	refused(b.s, b.len, part);
	sb_fini(&b);
}

T_CASE(an_old_file_has_its_storages_behind_its_pickles)
{
	struct torch_tensor t = plain;

	t.view = "N";
	struct strbuf b = legacy_of(&whole, &t);
	struct weights *w = opened_as(b.s, b.len, NULL);
	t_eq_int(w->format, WEIGHTS_PYTORCH_LEGACY);
	has_floats(model_tensor(w, "a"), 0, 6, six);
	weights_free(w);
	sb_fini(&b);

	/* A window of the storage, of elements 2 to 4. */
	t.view = "(U\1vK\2K\3t";
	t.ndim = 1;
	t.d[0] = 2;
	t.stride[0] = 1;
	t.offset = 1;
	b = legacy_of(&whole, &t);
	w = opened_as(b.s, b.len, NULL);
	has_floats(model_tensor(w, "a"), 0, 2, six + 3);
	weights_free(w);
	sb_fini(&b);
	t.offset = 2;
	legacy_refused(whole, t, "reaches out of its storage of 3 elements");
	t.view = "(U\1vK\2K\5t";
	legacy_refused(whole, t, "its window is no part of it");
}

T_CASE(old_files_that_lie_are_refused)
{
	struct torch_tensor t = plain;
	struct legacy l = whole;

	t.view = "N";
	l.protocol = "\x80\x02M\xe8\x03.";
	legacy_refused(l, t, "not of its protocol 1001");
	l = whole;
	l.system = "\x80\x02}U\x0dlittle_endian\x89s.";
	legacy_refused(l, t, "the most significant byte first");
	l.system = "\x80\x02}.";
	legacy_refused(l, t, "does not say of which byte order");
	l = whole;
	l.keys = "\x80\x02].";
	legacy_refused(l, t, "its storage, \"0\", is not in the file");
	l.keys = "\x80\x02]U\1" "1a.";
	legacy_refused(l, t, "for which no tensor asks");
	l.keys = "\x80\x02N.";
	legacy_refused(l, t, "has no list of storages");
	l = whole;
	l.elements = 5;
	legacy_refused(l, t, "has 5 elements, the pickle says 6");
	l = whole;
	l.bytes = 23;
	legacy_refused(l, t, "ends inside of its storage, \"0\": it is cut off");
	/* A storage that is taken twice would be two. */
	l = whole;
	l.keys = "\x80\x02](U\1" "0U\1" "0e.";
	legacy_refused(l, t, "has \"0\" twice");
	t.type = "QInt8Storage";
	l = whole;
	l.bytes = 6;
	legacy_refused(l, t, "is quantised");
}

/* --- what is round a file ------------------------------------------------- */

static void
write_file(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "we");

	t_check(f != NULL && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

static struct strbuf
gzipped(const void *p, size_t n)
{
	struct strbuf b = {0}, packed = zip_pack(p, n);

	sb_add(&b, "\x1f\x8b\x08\0\0\0\0\0\0\3", 10);
	sb_add(&b, packed.s, packed.len);
	zip_le(&b, crc32(0, p, (uInt)n), 4);
	zip_le(&b, n, 4);
	sb_fini(&packed);
	return b;
}

T_CASE(a_gzipped_file_is_the_file)
{
	size_t n;
	uint8_t *p = archive(&plain, six, sizeof(six), &n);
	struct strbuf b = gzipped(p, n);
	struct weights_how how = WEIGHTS_HOW;
	struct weights *w;

	write_file("a.pt.gz", b.s, b.len);
	t_eq_int(weights_open("a.pt.gz", NULL, &w, NULL), RK_OK);
	t_check(w->packed && w->size == b.len);
	t_eq_int(model_tensor(w, "a")->lie, WEIGHTS_MAPPED);
	has_floats(model_tensor(w, "a"), 0, 6, six);
	weights_free(w);
	/* Into a file that the caller has, out of one that is open. */
	how.scratch = open("scratch", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	how.fd = open("a.pt.gz", O_RDONLY | O_CLOEXEC);
	t_check(unlink("a.pt.gz") == 0);
	t_eq_int(weights_open("gone", &how, &w, NULL), RK_OK);
	has_floats(model_tensor(w, "a"), 0, 6, six);
	weights_free(w);
	t_check(fcntl(how.fd, F_GETFD) >= 0 && close(how.fd) == 0);
	close(how.scratch);
	how = (struct weights_how)WEIGHTS_HOW;
	how.unpacked = n - 1;
	refused_as(b.s, b.len, &how, RK_ELIMIT, "its gzip: unpacks to more than");
	b.s[b.len - 8] ^= 1;
	refused(b.s, b.len, "its gzip");
	sb_fini(&b);
	free(p);
}

T_CASE(a_bomb_of_gzip_is_refused)
{
	char *zeros = calloc(1, (size_t)65 << 20);
	struct strbuf b = gzipped(zeros, (size_t)65 << 20);

	refused_as(b.s, b.len, NULL, RK_ELIMIT, "unpacks to more than 64 MiB");
	free(zeros);
	sb_fini(&b);
}

/* A tar of one file. */
static struct strbuf
tarred(const char *name, const void *p, size_t n)
{
	unsigned char h[512] = { 0 };
	unsigned sum = 0;
	struct strbuf b = {0};

	strcpy((char *)h, name);
	memcpy(h + 100, "0000644", 8);
	snprintf((char *)h + 124, 12, "%011zo", n);
	memcpy(h + 257, "ustar\00000", 8);
	h[156] = '0';
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
	sb_add(&b, h, sizeof(h));
	sb_add(&b, p, n);
	while (b.len % 512 != 0)
		sb_addc(&b, '\0');
	memset(h, 0, sizeof(h));
	sb_add(&b, h, sizeof(h));
	sb_add(&b, h, sizeof(h));
	return b;
}

T_CASE(a_file_in_a_tar_is_taken_by_its_name)
{
	size_t n;
	uint8_t *p = archive(&plain, six, sizeof(six), &n);
	struct strbuf b = tarred("in/best.pt", p, n), gz = gzipped(b.s, b.len);
	struct weights_how how = WEIGHTS_HOW;

	how.member = "in/best.pt";
	struct weights *w = opened_as(b.s, b.len, &how);
	has_floats(model_tensor(w, "a"), 0, 6, six);
	weights_free(w);
	w = opened_as(gz.s, gz.len, &how);
	has_floats(model_tensor(w, "a"), 0, 6, six);
	weights_free(w);
	how.member = "best.pt";
	refused_as(b.s, b.len, &how, RK_EINVAL, "has no file \"best.pt\"; there "
	    "is \"in/best.pt\"");
	refused(b.s, b.len, "is a tar archive: say which file of it is meant, "
	    "#member=NAME");
	sb_fini(&b);
	sb_fini(&gz);
	free(p);
}

T_CASE(what_is_no_file_of_weights_is_told_by_what_it_is)
{
	struct rk_why why = {0};
	struct weights *w;

	refused("<!DOCTYPE html><html>", 21, "a web page");
	refused("version https://git-lfs.github.com/spec/v1\n", 43,
	    "a Git LFS pointer");
	refused("", 0, "an empty file");
	refused("\x01\x02\x03\x04\xff\xfe\xfd\xfc", 8, "is of no format of weights that is known");
	t_eq_int(weights_open("nowhere", NULL, &w, &why), RK_ENOENT);
	t_has(rk_why_first(&why), "cannot open the file");
	t_check(w == NULL);
	rk_why_fini(&why);
	why = (struct rk_why){0};
	t_check(mkfifo("fifo", 0600) == 0);
	t_eq_int(weights_open("fifo", NULL, &w, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "is not a regular file");
	rk_why_fini(&why);
	weights_free(NULL);
}

/* --- parts and values ----------------------------------------------------- */

/* {"model": {"w": tensor}, "ema": {"w": tensor}, "step": 12, "t": tensor of one} */
static uint8_t *
checkpoint(size_t *n)
{
	const struct torch_tensor one = { .key = "0", .type = "FloatStorage",
		.elements = 6, .offset = 3 };
	struct zip_test z = {0};
	struct strbuf b = {0};

	sb_adds(&b, "\x80\x02}(U\5model}U\1w");
	put_tensor(&b, &plain);
	sb_adds(&b, "sU\3ema}U\1w");
	put_tensor(&b, &plain);
	sb_adds(&b, "sU\4stepK\x0cU\1t");
	put_tensor(&b, &one);
	sb_adds(&b, "u.");
	zip_put(&z, "data.pkl", b.s, b.len);
	zip_put(&z, "data/0", six, sizeof(six));
	sb_fini(&b);
	return zip_end(&z, n);
}

T_CASE(the_caller_may_say_which_part_is_the_model)
{
	struct weights_how how = WEIGHTS_HOW;
	size_t n;
	uint8_t *p = checkpoint(&n);
	struct weights *w = opened_as(p, n, NULL);

	t_eq_str(w->model, "model");
	t_eq_str(model_tensor(w, "w")->path, "model.w");
	t_eq_str(weights_find(w, WEIGHTS_AVERAGE, "w")->path, "ema.w");
	t_eq_int(weights_find(w, WEIGHTS_AVERAGE, "w")->same_as, 0);
	t_eq_str(weights_find(w, WEIGHTS_OTHER, "t")->path, "t");
	t_eq_int(w->nparts, 3);
	weights_free(w);
	how.part = "ema";
	w = opened_as(p, n, &how);
	t_eq_str(w->model, "ema");
	t_eq_str(model_tensor(w, "w")->path, "ema.w");
	t_check(weights_find(w, WEIGHTS_AVERAGE, "w") == NULL);
	t_check(weights_find(w, WEIGHTS_OTHER, "model.w") != NULL);
	weights_free(w);
	how.part = "";
	w = opened_as(p, n, &how);
	t_check(weights_find(w, WEIGHTS_MODEL, "model.w") != NULL);
	weights_free(w);
	how.part = "generator";
	refused_as(p, n, &how, RK_EINVAL, "has no part \"generator\" with "
	    "tensors; there is \"model\", \"ema\"");
	free(p);
}

T_CASE(a_number_is_a_value_or_a_tensor_of_one_element)
{
	size_t n;
	uint8_t *p = checkpoint(&n);
	struct weights *w = opened_as(p, n, NULL);
	double got = 0;

	t_check(weights_number(w, "step", &got) && got == 12);
	t_check(weights_number(w, "t", &got) && got == 3);
	t_check(!weights_number(w, "model.w", &got));
	t_check(!weights_number(w, "nothing", &got));
	weights_free(w);
	free(p);
}

T_CASE(values_over_the_limit_are_counted_and_left_out)
{
	struct zip_test z = {0};
	struct strbuf b = {0};
	size_t n;

	sb_adds(&b, "\x80\x02}(U\1w");
	put_tensor(&b, &plain);
	for (int i = 0; i < 70000; i++) {
		sb_addc(&b, 'J');
		zip_le(&b, (uint64_t)i, 4);
		sb_addc(&b, 'N');
	}
	sb_adds(&b, "u.");
	zip_put(&z, "x/data.pkl", b.s, b.len);
	zip_put(&z, "x/data/0", six, sizeof(six));
	uint8_t *p = zip_end(&z, &n);
	struct weights *w = opened_as(p, n, NULL);
	t_eq_int(w->nvalues, WEIGHTS_VALUES);
	t_eq_int(w->nnotes, 1);
	t_has(w->notes[0], "4464 numbers and texts of the file are left out");
	weights_free(w);
	free(p);
	sb_fini(&b);
}

T_CASE(bools_become_floats_and_complex_numbers_do_not)
{
	const float want[] = { 0, 1, 1 };
	struct torch_tensor t = { .key = "0", .type = "BoolStorage",
		.elements = 3, .ndim = 1, .d = { 3 }, .stride = { 1 } };
	struct rk_why why = {0};
	float f[3];
	size_t n;
	uint8_t *p = archive(&t, "\0\1\2", 3, &n);
	struct weights *w = opened_as(p, n, NULL);

	has_floats(model_tensor(w, "a"), 0, 3, want);
	weights_free(w);
	free(p);
	t.type = "ComplexFloatStorage";
	p = archive(&t, six, sizeof(six), &n);
	w = opened_as(p, n, NULL);
	t_eq_int(weights_read_f32(model_tensor(w, "a"), 0, 3, f, &why),
	    RK_EINVAL);
	t_has(rk_why_first(&why), "a: is of C64, which cannot become float32");
	rk_why_fini(&why);
	weights_free(w);
	free(p);
	/* More than the bytes that are turned at a time. */
	float *data = many(), *got = malloc(MANY * sizeof(*got));
	t.type = "ComplexDoubleStorage";
	t.elements = t.d[0] = 2000;
	p = archive(&t, data, 32000, &n);
	w = opened_as(p, n, NULL);
	t_eq_int(weights_read_f32(model_tensor(w, "a"), 0, 2000, got, NULL),
	    RK_EINVAL);
	t_eq_int(weights_read(model_tensor(w, "a"), 1, 1999, got, NULL), RK_OK);
	t_check(memcmp(got, data + 4, 31984) == 0);
	weights_free(w);
	free(data);
	free(got);
	free(p);
}

T_MAIN
