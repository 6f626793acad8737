/* module: ckpt */
/*
 * Any bytes as SHA256SUMS of a good checkpoint: read with digests of 64 digits
 * or with none, and never refused.  Unless the first byte is !, the text gets a
 * line of checkpoint.json and a right last line, without which a fuzzer would not
 * get far.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct ckpt *the;
static int dir_fd = -1;
static char digest[RK_SHA256_HEX];      /* of checkpoint.json */

static void
remove_all(void)
{
	char *path = xstrdup(ckpt_path(the));

	ckpt_close(&the);
	close(dir_fd);
	(void)!rk_remove_tree(AT_FDCWD, path);
	free(path);
}

static void
set_up(void)
{
	static const float x[1];
	const int64_t d = 1;
	char path[] = "/tmp/rk-fuzz-XXXXXX";
	struct ckpt_info i = { .step = 10 };
	struct tensor_set *s = tensor_set_new();

	log_set_level(LOG_L_ERROR);
	must(mkdtemp(path) != NULL);
	must(ckpt_open(&the, path, false) == RK_OK);
	must(tensor_set_add(s, "w", DT_F32, 1, &d, x, NULL) == RK_OK);
	must(ckpt_save(the, &i, s, s, NULL) == RK_OK);
	memcpy(digest, i.digest, sizeof(digest));
	char *dir = xasprintf("%s/%s", path, i.dir);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	free(dir);
	tensor_set_free(s);
	ckpt_info_fini(&i);
	atexit(remove_all);
}

static void
put(const void *p, size_t n)
{
	int fd = openat(dir_fd, "SHA256SUMS", O_WRONLY | O_CREAT | O_TRUNC,
	    0644);

	must(fd >= 0 && rk_write_all(fd, p, n) == 0);
	close(fd);
}

static void
put_whole(const void *p, size_t n)
{
	char check[RK_SHA256_HEX];
	struct strbuf b = { 0 };

	sb_add(&b, p, n);
	sb_addf(&b, "\n%s  checkpoint.json\n", digest);
	rk_sha256_of(b.s, b.len, check);
	sb_addf(&b, "# %s\n", check);
	put(b.s, b.len);
	sb_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct ckpt_info i;

	if (n == 0 || n > 65536)
		return 0;
	if (the == NULL)
		set_up();
	if (p[0] == '!')
		put(p + 1, n - 1);
	else
		put_whole(p, n);
	must(ckpt_read(the, "step-000000010", &i) == RK_OK);
	for (int k = 0; k < i.nfiles; k++) {
		const char *hex = i.files[k].sha256;
		must(hex[0] == '\0' || (strlen(hex) == RK_SHA256_HEX - 1 &&
		    strspn(hex, "0123456789abcdef") == RK_SHA256_HEX - 1));
	}
	ckpt_info_fini(&i);
	return 0;
}
