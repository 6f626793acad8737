/*
 * Files of weights behind one face: how elements are read wherever they lie, and what
 * is told of files that are none.  tests/outside/torch_files.py has whole files.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "format_made.h"

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

/* Of files that are empty but for the first. */
static struct strbuf
tarred_all(const char *const *names, const void *p, size_t n)
{
	struct strbuf all = {0};

	for (size_t i = 0; names[i] != NULL; i++) {
		struct strbuf one = tarred(names[i], p, i == 0 ? n : 0);
		sb_add(&all, one.s, one.len - 1024);
		sb_fini(&one);
	}
	for (int i = 0; i < 1024; i++)
		sb_addc(&all, '\0');
	return all;
}

T_CASE(of_the_files_of_an_archive_the_nearest_are_named_first)
{
	static const char *const names[] = { "z/best_accuracy.pdparams",
	    "a/train.log", "b/latest.pdopt", "b/latest.pdparams", "c/1", "c/2",
	    "c/3", "c/4", "c/5", "c/6", NULL };
	struct strbuf b = tarred_all(names, "x", 1);
	struct weights_how how = WEIGHTS_HOW;

	how.member = "best_acuracy.pdparams";
	refused_as(b.s, b.len, &how, RK_EINVAL, "has no file "
	    "\"best_acuracy.pdparams\"; there is "
	    "\"z/best_accuracy.pdparams\", \"b/latest.pdparams\", ");
	refused_as(b.s, b.len, &how, RK_EINVAL, " and 2 more");
	refused(b.s, b.len, "; there is \"c/1\", \"c/2\", ");
	sb_fini(&b);
}

T_CASE(bytes_that_must_have_a_digest_are_held_against_it)
{
	size_t n;
	uint8_t *p = archive(&plain, six, sizeof(six), &n);
	struct strbuf b = tarred("in/best.pt", p, n), gz = gzipped(p, n);
	struct weights_how how = WEIGHTS_HOW;
	char hex[RK_SHA256_HEX];

	/* Of the file in the archive, by a path as tar writes it ... */
	rk_sha256_of(p, n, hex);
	how.member = "./in/best.pt";
	how.sha256 = hex;
	weights_free(opened_as(b.s, b.len, &how));
	p[n - 1] ^= 1;
	sb_fini(&b);
	b = tarred("in/best.pt", p, n);
	refused_as(b.s, b.len, &how, RK_EINVAL, "is another file than was "
	    "meant: its SHA-256 is ");
	/* ... and of the file as it is, packed. */
	how.member = NULL;
	rk_sha256_of(gz.s, gz.len, hex);
	weights_free(opened_as(gz.s, gz.len, &how));
	hex[0] = hex[0] == '0' ? '1' : '0';
	refused_as(gz.s, gz.len, &how, RK_EINVAL, hex);
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

/* As a large mixture of experts has them. */
T_CASE(eighty_thousand_tensors_are_within_the_memory_that_is_taken)
{
	struct strbuf b = { 0 };
	struct weights *w;
	const int n = 80000;

	sb_add(&b, "........{", 9);
	for (int i = 0; i < n; i++)
		sb_addf(&b, "%s\"model.layers.%d.mlp.experts.%d.weight\":"
		    "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,"
		    "%d]}", i > 0 ? "," : "", i / 256, i % 256, i, i + 1);
	sb_addc(&b, '}');
	const uint64_t head = b.len - 8;
	for (int i = 0; i < n; i++)
		sb_addc(&b, (char)i);
	for (int i = 0; i < 8; i++)
		b.s[i] = (char)(head >> 8 * i);
	t_eq_int(weights_open_mem(b.s, b.len, NULL, &w, NULL), RK_OK);
	t_eq_int(w->n, n);
	unsigned char last;
	t_eq_int(weights_read(&w->v[n - 1], 0, 1, &last, NULL), RK_OK);
	t_eq_int(last, (n - 1) & 255);
	weights_free(w);
	sb_fini(&b);
}

T_MAIN
