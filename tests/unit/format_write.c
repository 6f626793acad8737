/* Writing safetensors: what is written reads back, and is what was hashed. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "rekindle/format.h"
#include "t.h"

#define MIB (1u << 20)

static struct tensor_set *
three(const float *a, const float *b, const void *c)
{
	struct tensor_set *s = tensor_set_new();
	int64_t ab[2] = { 2, 3 }, none[1] = { 0 };

	t_eq_int(tensor_set_add(s, "fc.weight", DT_F32, 2, ab, a, NULL), RK_OK);
	t_eq_int(tensor_set_add(s, "empty", DT_F32, 1, none, NULL, NULL),
	    RK_OK);
	t_eq_int(tensor_set_add(s, "fc \"1\"\\", DT_F32, 0, NULL, b, NULL),
	    RK_OK);
	t_eq_int(tensor_set_add(s, "odd", DT_U8, 1, (int64_t[]){ 3 }, c, NULL),
	    RK_OK);
	return s;
}

static const float a_data[6] = { 1, 2, 3, 4, 5, 6 }, b_data[1] = { 7 };

T_CASE(what_is_saved_loads_again)
{
	struct tensor_set *s = three(a_data, b_data, "xyz"), *r;

	s->meta = xcalloc(3, sizeof(char *));
	s->meta[0] = xstrdup("format");
	s->meta[1] = xstrdup("pt \x01\"");
	t_eq_int(format_save("f.safetensors", s), RK_OK);
	t_eq_int(format_save("f.safetensors", s), RK_OK);
	t_eq_int(format_load("f.safetensors", &r, NULL), RK_OK);
	t_eq_int(r->n, 4);
	t_eq_str(r->v[2].name, "fc \"1\"\\");
	t_eq_str(r->meta[1], "pt \x01\"");
	t_check(memcmp(tensor_find(r, "fc.weight")->data, a_data, 24) == 0);
	t_check(memcmp(tensor_find(r, "odd")->data, "xyz", 3) == 0);
	tensor_set_free(r);
	tensor_set_free(s);
}

T_CASE(the_header_is_json_padded_and_its_offsets_contiguous)
{
	static const size_t aligns[] = { 8, 64, 4096 };
	struct tensor_set *s = three(a_data, b_data, "xyz");

	for (size_t k = 0; k < RK_ARRAY_LEN(aligns); k++) {
		char *h;
		size_t len;
		uint64_t at = 0;
		format_header(s, aligns[k], &h, &len);
		t_eq_int(len % aligns[k], 0);
		uint64_t n = 0;
		memcpy(&n, h, 8);
		t_eq_int(n, len - 8);
		t_eq_int(h[8], '{');
		json_t *v = json_loadb(h + 8, len - 8, 0, NULL);
		t_check(v != NULL);
		for (size_t i = 0; i < s->n; i++) {
			json_t *o = json_object_get(json_object_get(v,
			    s->v[i].name), "data_offsets");
			t_eq_int(json_integer_value(json_array_get(o, 0)), at);
			at += s->v[i].nbytes;
			t_eq_int(json_integer_value(json_array_get(o, 1)), at);
		}
		json_decref(v);
		free(h);
	}
	tensor_set_free(s);
}

T_CASE(an_empty_set_is_a_file_too)
{
	struct tensor_set *s = tensor_set_new(), *r;

	t_eq_int(format_save("e", s), RK_OK);
	t_eq_int(format_load("e", &r, NULL), RK_OK);
	t_eq_int(r->n, 0);
	tensor_set_free(r);
	tensor_set_free(s);
}

/* Write s to path, and check the size, the digest and every byte. */
static void
round_trip(const char *path, const struct tensor_set *s)
{
	char hex[RK_SHA256_HEX], again[RK_SHA256_HEX], alone[RK_XXH128_HEX];
	char fast[RK_XXH128_HEX], fast_again[RK_XXH128_HEX];
	uint64_t size, seen;
	struct tensor_set *r;
	struct rk_why why = {0};

	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	t_check(fd >= 0);
	t_eq_int(format_write(fd, s, NULL, alone, &size), RK_OK);
	t_eq_int(format_write(fd, s, hex, fast, &size), RK_OK);
	t_check((fcntl(fd, F_GETFL) & O_DIRECT) == 0);
	t_eq_int(rk_digests_of_fd(fd, again, fast_again, &seen), RK_OK);
	t_eq_int(size, seen);
	t_eq_str(hex, again);
	t_eq_str(fast, fast_again);
	t_eq_str(fast, alone);
	close(fd);
	if (format_load(path, &r, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	t_eq_int(r->n, s->n);
	for (size_t i = 0; i < s->n; i++)
		t_check(memcmp(r->v[i].data, s->v[i].data,
		    s->v[i].nbytes) == 0);
	tensor_set_free(r);
	unlink(path);
}

/* A set of n tensors of these sizes, `gap` bytes between them, the first at
 * `shift` bytes behind a page's begin. */
static void
big_round_trip(const char *path, const size_t *sizes, size_t n, size_t gap,
    size_t shift)
{
	struct tensor_set *s = tensor_set_new();
	size_t total = shift, at = shift;
	char name[16];

	for (size_t i = 0; i < n; i++)
		total += sizes[i] + gap;
	unsigned char *p = mmap(NULL, total, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t_check(p != MAP_FAILED);
	for (size_t i = 0; i < total; i++)
		p[i] = (unsigned char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < n; i++) {
		int64_t d = (int64_t)sizes[i];
		snprintf(name, sizeof(name), "t%zu", i);
		t_eq_int(tensor_set_add(s, name, DT_U8, 1, &d, p + at, NULL),
		    RK_OK);
		at += sizes[i] + gap;
	}
	round_trip(path, s);
	tensor_set_free(s);
	munmap(p, total);
}

static void
all_layouts(const char *path)
{
	const size_t one[] = { 12 * MIB };
	const size_t odd[] = { 5 * MIB + 1, 3, 4095, 6 * MIB - 7, 1 };
	const size_t pages[] = { 4096, 4 * MIB, 8 * MIB, 4096 };

	big_round_trip(path, one, 1, 0, 0);
	big_round_trip(path, one, 1, 0, 17);
	big_round_trip(path, odd, 5, 0, 0);
	big_round_trip(path, odd, 5, 64, 0);
	big_round_trip(path, odd, 5, 13, 4);
	big_round_trip(path, pages, 4, 0, 0);
	big_round_trip(path, pages, 4, 4096, 0);
}

T_CASE(big_sets_come_back_byte_by_byte_however_they_lie_in_memory)
{
	all_layouts("f");
}

T_CASE(a_file_system_in_memory_does_as_well)
{
	char path[] = "/dev/shm/rk-format-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		t_skip("no /dev/shm here");
	close(fd);
	all_layouts(path);
}

T_CASE(a_longer_file_is_cut_to_what_was_written)
{
	struct tensor_set *s = three(a_data, b_data, "xyz");
	uint64_t size;
	struct stat st;

	int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	t_check(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	t_eq_int(format_write(fd, s, NULL, NULL, &size), RK_OK);
	t_check(fstat(fd, &st) == 0);
	t_eq_int(st.st_size, size);
	close(fd);
	tensor_set_free(s);
}

/* A file size limit stands in for a full disk: the kernel says no in the same
 * places. */
T_CASE(a_file_that_does_not_fit_leaves_nothing_behind)
{
	struct tensor_set *s = three(a_data, b_data, "xyz");
	struct rlimit lim = { 1000, RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	log_set_level(LOG_L_ERROR + 1);
	t_eq_int(format_save("old", s), RK_OK);
	t_check(setrlimit(RLIMIT_FSIZE, &lim) == 0);
	t_eq_int(format_save("new", s), RK_ENOSPC);
	t_eq_int(format_save("old", s), RK_ENOSPC);
	lim.rlim_cur = RLIM_INFINITY;
	t_check(setrlimit(RLIMIT_FSIZE, &lim) == 0);
	tensor_set_free(s);

	t_check(access("new", F_OK) != 0);
	t_check(access("old", F_OK) == 0);
	t_check(unlink("old") == 0);
	char *cwd = getcwd(NULL, 0);
	t_check(chdir("..") == 0 && rmdir(cwd) == 0);   /* it was empty */
	free(cwd);
}

T_CASE(a_folder_that_is_not_there_is_an_error)
{
	struct tensor_set *s = tensor_set_new();

	log_set_level(LOG_L_ERROR + 1);
	t_eq_int(format_save("no/such/file", s), RK_ENOENT);
	tensor_set_free(s);
}

T_MAIN
