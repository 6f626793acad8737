/* module: train */
/*
 * Any bytes as a file of features, as it may lie in a run's directory: it is
 * gone on with or begun anew, and what is put into it is there, the rest as it
 * was.  Nothing is found in it by accident: only what its check says.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/train/feature_file.h"

#define SAMPLES 3
#define FLOATS  2

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char folder_path[] = "/tmp/rk-fuzz-XXXXXX";

static void
remove_folder(void)
{
	(void)!rk_remove_tree(AT_FDCWD, folder_path);
}

static int
make_folder(void)
{
	must(mkdtemp(folder_path) != NULL);
	atexit(remove_folder);
	int folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(folder >= 0);
	return folder;
}

/* Which samples are there, with content 1: a bit each. */
static unsigned
found(const struct feature_file *f)
{
	float v[FLOATS];
	unsigned is = 0;

	for (int64_t i = 0; i < SAMPLES; i++)
		is |= (unsigned)feature_file_get(f, i, 1, v) << i;
	return is;
}

static void
check(int folder, const struct feature_key *k)
{
	const float v[FLOATS] = { 1, 2 };
	struct feature_file *f;
	float w[FLOATS];

	must(feature_file_open(&f, folder, "f", k, NULL) == RK_OK);
	const unsigned was = found(f);
	must(feature_file_put(f, 1, 1, v) == RK_OK);
	must(feature_file_get(f, 1, 1, w) && memcmp(v, w, sizeof(v)) == 0);
	must(!feature_file_get(f, 1, 2, w));
	must(found(f) == (was | 2u));
	feature_file_close(f);
	must(feature_file_open(&f, folder, "f", k, NULL) == RK_OK);
	must(found(f) == (was | 2u));
	feature_file_close(f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int folder = -1;
	struct feature_key k = { .samples = SAMPLES, .floats = FLOATS };

	if (folder < 0)
		folder = make_folder();
	memset(k.hex, 'a', sizeof(k.hex) - 1);
	int fd = openat(folder, "f", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && rk_write_all(fd, p, n) == 0 && close(fd) == 0);
	check(folder, &k);
	return 0;
}
