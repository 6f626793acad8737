/*
 * PyTorch's files of weights, of now and of before 1.6: how the elements of tensors
 * are read wherever they lie, and archives and storages that lie about themselves.
 */
#include "format_made.h"

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

T_MAIN
