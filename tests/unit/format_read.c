/* Reading safetensors: what is whole loads, all else gets a sentence. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "rekindle/format.h"
#include "t.h"

/* A file out of a header and n bytes of data: 0, 1, 2, ... */
static struct strbuf
file_of(const char *header, size_t n)
{
	struct strbuf b = {0};
	uint64_t len = strlen(header);

	for (int i = 0; i < 8; i++)
		sb_addc(&b, (char)(len >> 8 * i & 0xff));
	sb_adds(&b, header);
	for (size_t i = 0; i < n; i++)
		sb_addc(&b, (char)i);
	return b;
}

static void
refused_bytes(const void *p, size_t n, const char *part)
{
	struct tensor_set *s;
	struct rk_why why = {0};

	if (format_parse(p, n, &s, &why) != RK_EINVAL)
		t_fail("was not refused; want: %s", part);
	t_check(s == NULL);
	t_eq_int(why.n, 1);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

static void
refused(const char *header, size_t n, const char *part)
{
	struct strbuf b = file_of(header, n);

	refused_bytes(b.s, b.len, part);
	sb_fini(&b);
}

/* The set's data point into b. */
static struct tensor_set *
loaded(const struct strbuf *b)
{
	struct tensor_set *s;
	struct rk_why why = {0};

	if (format_parse(b->s, b->len, &s, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return s;
}

T_CASE(a_small_file_gives_its_tensors_in_file_order)
{
	struct strbuf b = file_of("{\"b\":{\"dtype\":\"U8\",\"shape\":[2,1],"
	    "\"data_offsets\":[4,6]},\"a\":{\"shape\":[],\"data_offsets\":"
	    "[0,4],\"dtype\":\"F32\"}}", 6);
	struct tensor_set *s = loaded(&b);

	t_eq_int(s->n, 2);
	t_eq_str(s->v[0].name, "b");
	t_eq_int(s->v[0].ndim, 2);
	t_eq_int(((const char *)s->v[0].data)[0], 4);
	t_eq_int(tensor_find(s, "a")->dtype, DT_F32);
	t_eq_int(tensor_find(s, "a")->nbytes, 4);
	tensor_set_free(s);
	sb_fini(&b);
}

T_CASE(metadata_and_escapes_are_understood)
{
	struct strbuf b = file_of("{\"__meta\\u0064ata__\":{\"k\":\"\\\"\\n"
	    "\\ud83d\\ude00\"},\"a\\u00e9\\u6c49\\/\":{\"dtype\":\"U8\","
	    "\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
	struct tensor_set *s = loaded(&b);

	t_eq_str(s->v[0].name, "a\xc3\xa9\xe6\xb1\x89/");
	t_eq_str(s->meta[0], "k");
	t_eq_str(s->meta[1], "\"\n\xf0\x9f\x98\x80");
	t_check(s->meta[2] == NULL);
	tensor_set_free(s);
	sb_fini(&b);
}

T_CASE(metadata_that_are_null_are_none)
{
	struct strbuf b = file_of("{\"__metadata__\":null,\"a\":{\"dtype\":"
	    "\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
	struct tensor_set *s = loaded(&b);

	t_eq_int(s->n, 1);
	t_check(s->meta == NULL);
	tensor_set_free(s);
	sb_fini(&b);
	refused("{\"__metadata__\":nul}", 0, "want a value");
	refused("{\"__metadata__\":null,\"__metadata__\":null}", 0,
	    "only once");
}

T_CASE(unknown_fields_are_passed_over_whatever_they_hold)
{
	struct strbuf b = file_of("{\"a\":{\"x\":[{},[],{\"y\":[1,-2.5e+3,"
	    "null,true]},\"]}\"],\"dtype\":\"U8\",\"shape\":[1],"
	    "\"data_offsets\":[0,1],\"z\":{\"q\":{}}}}", 1);
	tensor_set_free(loaded(&b));
	sb_fini(&b);
}

#define U8(shape, off) "{\"dtype\":\"U8\",\"shape\":" shape \
	",\"data_offsets\":" off "}"

T_CASE(headers_that_lie_are_refused_with_a_sentence)
{
	refused("{\"a\":" U8("[2]", "[0,1]") "}", 1, "has 1 byte of data");
	refused("{\"a\":" U8("[1]", "[0,2]") "}", 2, "has 2 bytes of data");
	refused("{\"a\":" U8("[1]", "[1,2]") "}", 2, "belong to no tensor");
	refused("{\"a\":" U8("[2]", "[0,2]") ",\"b\":" U8("[2]", "[1,3]") "}",
	    3, "overlap");
	refused("{\"a\":" U8("[2]", "[0,2]") "}", 1, "cut short");
	refused("{\"a\":" U8("[2]", "[0,2]") "}", 3, "appended");
	refused("{\"a\":" U8("[1]", "[0,1]") ",\"a\":" U8("[1]", "[1,2]") "}",
	    2, "occurs twice");
	refused("{\"a\":" U8("[0]", "[1,0]") "}", 1, "before they begin");
	refused("{\"a\":" U8("[-1]", "[0,1]") "}", 1, "not negative");
	refused("{\"a\":" U8("[1.0]", "[0,1]") "}", 1, "whole number");
	refused("{\"a\":" U8("[01]", "[0,1]") "}", 1, "whole number");
	refused("{\"a\":" U8("[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1,
	    "8 dimensions");
	refused("{\"a\":" U8("[18446744073709551616]", "[0,1]") "}", 1,
	    "below 2^64");
	refused("{\"a\":" U8("[9223372036854775808]", "[0,1]") "}", 1,
	    "below 2^63");
	refused("{\"a\":" U8("[4294967296,4294967296]", "[0,0]") "}", 0,
	    "counted");
	refused("{\"a\":" U8("[1]", "[0]") "}", 1, "\",\"");
	refused("{\"a\":" U8("[1]", "[0,1,2]") "}", 1, "\"]\"");
	refused("{\"a\":{\"dtype\":\"F128\",\"shape\":[1],\"data_offsets\":"
	    "[0,1]}}", 1, "type of safetensors");
	refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
	    "a: has no dtype");
	refused("{\"a\":{}}", 0, "has no dtype");
	refused("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", 0, "only once");
	refused("{\"a\\u0000\":" U8("[1]", "[0,1]") "}", 1, "no NUL");
	refused("{\"\":" U8("[1]", "[0,1]") "}", 1, "empty name");
	refused("{\"a\\n\":" U8("[1]", "[0,1]") "}", 1, "control character");
	refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"
	    "}}", 1, "whole number of bytes");
}

T_CASE(headers_that_are_no_json_are_refused_with_a_sentence)
{
	refused("{", 0, "want");
	refused("{}{}", 0, "nothing more");
	refused("{\"a\"}", 0, "\":\"");
	refused("{\"a\":3}", 0, "\"{\"");
	refused("{\"a\":" U8("[0]", "[0,0]") ",}", 0, "want");
	refused("{\"\\ud800\":{}}", 0, "escape");
	refused("{\"\\x\":{}}", 0, "escape");
	refused("{\"a", 0, "end of a string");
	refused("{\"a\tb\":{}}", 0, "control character");
	refused("{\"\xc0\xaf\":{}}", 0, "UTF-8");
	refused("{\"\xed\xa0\x80\":{}}", 0, "UTF-8");
	refused("{\"a\":{\"x\":nul}}", 0, "a value");
	refused("{\"a\":{\"x\":1.}}", 0, "a digit");
	refused("{\"__metadata__\":{\"a\":1}}", 0, "only those");
	refused("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "twice");
	refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "only once");
}

/* {"a":{"x":[[[...]]]}} */
static char *
nested(int depth)
{
	struct strbuf b = {0};

	sb_adds(&b, "{\"a\":{\"x\":");
	for (int i = 0; i < depth; i++)
		sb_addc(&b, '[');
	for (int i = 0; i < depth; i++)
		sb_addc(&b, ']');
	sb_adds(&b, ",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
	return sb_detach(&b);
}

T_CASE(nesting_ends_at_64_levels)
{
	char *ok = nested(64), *deep = nested(65), *abyss = nested(1000000);
	struct strbuf b = file_of(ok, 0);

	tensor_set_free(loaded(&b));
	refused(deep, 0, "64 levels");
	refused(abyss, 0, "64 levels");
	sb_fini(&b);
	free(ok);
	free(deep);
	free(abyss);
}

T_CASE(a_name_may_have_512_bytes_and_no_more)
{
	for (int n = 512; n <= 513; n++) {
		char name[514];
		memset(name, 'n', sizeof(name));
		name[n] = '\0';
		char *h = xasprintf("{\"%s\":" U8("[]", "[0,1]") "}", name);
		struct strbuf b = file_of(h, 1);
		if (n == 512)
			tensor_set_free(loaded(&b));
		else
			refused(h, 1, "512 bytes");
		sb_fini(&b);
		free(h);
	}
}

T_CASE(lengths_that_cannot_be_are_refused_before_anything_is_read)
{
	refused_bytes("", 0, "empty file");
	refused_bytes("\1\0\0", 3, "3 bytes");
	refused_bytes("\0\0\0\0\0\0\0\0{}", 10, "length is 0");
	refused_bytes("\377\377\377\377\377\377\377\377{}", 10, "at most");
	refused_bytes("\1\341\365\5\0\0\0\0{}", 10, "100000001");
	refused_bytes("\0\341\365\5\0\0\0\0{}", 10, "has only 10");
}

T_CASE(other_formats_are_called_by_their_names)
{
	refused_bytes("PK\3\4....", 8, "zip archive");
	refused_bytes("\x80\2}q\0.", 6, "pickle");
	refused_bytes("\x80\2\x8a\nl\xfc\x9c" "F\xf9 j\xa8P\x19.", 15,
	    "old torch.save");
	refused_bytes("\x1f\x8b\x08.....", 8, "gzip");
	refused_bytes("\x89HDF\r\n\x1a\n", 8, "HDF5");
	refused_bytes("hello, world\n", 13, "text");
	refused_bytes("{\"metadata\": {}}", 16, "JSON");
	refused_bytes("<!DOCTYPE html>", 15, "web page");
	refused_bytes("version https://git-lfs.github.com/spec/v1\n", 43,
	    "Git LFS");
	refused_bytes("\0\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0" "\4\0\0\0"
	    "\x08\5\x10\1", 24, "LoDTensor");
}

T_CASE(what_is_no_file_is_refused)
{
	struct tensor_set *s;
	struct rk_why why = {0};

	t_eq_int(format_load("nowhere", &s, &why), RK_ENOENT);
	t_has(rk_why_first(&why), "cannot open");
	t_eq_int(format_load(".", &s, NULL), RK_EINVAL);
	t_check(mkfifo("fifo", 0600) == 0);
	t_eq_int(format_load("fifo", &s, NULL), RK_EINVAL);
	t_check(close(open("empty", O_CREAT | O_WRONLY, 0600)) == 0);
	t_eq_int(format_load("empty", &s, NULL), RK_EINVAL);
	rk_why_fini(&why);
}

/* A hundred megabytes of header, a million tensors and more. */
T_CASE(a_million_tensors_and_no_more)
{
	struct strbuf b = {0};

	sb_add(&b, "\0\0\0\0\0\0\0\0{", 9);
	for (int i = 0; i <= 1000000; i++) {
		if (i > 0)
			sb_addc(&b, ',');
		sb_addf(&b, "\"%d\":" U8("[0]", "[0,0]"), i);
	}
	sb_addc(&b, '}');
	for (int i = 0; i < 8; i++)
		b.s[i] = (char)((b.len - 8) >> 8 * i & 0xff);
	refused_bytes(b.s, b.len, "1000000 tensors");
	sb_fini(&b);
}

T_CASE(every_sample_is_taken_or_refused_as_its_name_says)
{
	const char *dir = t_shared("data/samples/safetensors");
	DIR *d = opendir(dir);
	int ok = 0, bad = 0;

	t_check(d != NULL);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct tensor_set *s;
		struct rk_why why = {0};
		char *path = xasprintf("%s/%s", dir, e->d_name);
		bool want = strncmp(e->d_name, "OK_", 3) == 0 ||
		    strstr(e->d_name, "-of-") != NULL;
		if (e->d_name[0] != '.') {
			enum rk_err rc = format_load(path, &s, &why);
			if (rc != (want ? RK_OK : RK_EINVAL))
				t_fail("%s: %s, %s", e->d_name,
				    rk_strerror(rc), rk_why_first(&why));
			*(want ? &ok : &bad) += 1;
			t_check(want || why.n == 1);
			tensor_set_free(s);
		}
		rk_why_fini(&why);
		free(path);
	}
	closedir(d);
	t_check(ok >= 12 && bad >= 24);
}

T_MAIN
