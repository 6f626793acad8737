/* module: train */
/*
 * Any bytes as predictions.state beside some lines: it counts, or all begins
 * anew; what is written then is there, and its own state is gone on from.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/train/results.h"

#define LINES "one\ntwo\nthr"

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
	log_set_level(LOG_L_ERROR + 1);
	must(mkdtemp(folder_path) != NULL);
	atexit(remove_folder);
	int folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(folder >= 0);
	return folder;
}

static void
put(int folder, const char *name, const void *p, size_t n)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);

	must(fd >= 0 && rk_write_all(fd, p, n) == 0);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int folder = -1;
	struct results out;
	json_t *of;
	char *lost;

	if (folder < 0)
		folder = make_folder();
	put(folder, RESULTS_FILE, LINES, strlen(LINES));
	put(folder, RESULTS_STATE, p, n);
	must(results_open(&out, folder, false, &of, &lost) == RK_OK);
	must((of == NULL) == (lost != NULL));
	must(of != NULL || (out.bytes == 0 && out.lines == 0));
	must(out.bytes <= strlen(LINES));
	const uint64_t bytes = out.bytes;
	const int64_t lines = out.lines;
	json_t *own = of != NULL ? json_incref(of) : json_object();
	must(results_add(&out, "more") == RK_OK);
	must(results_commit(&out, own) == RK_OK);
	results_close(&out);
	json_decref(of);
	free(lost);
	must(results_open(&out, folder, false, &of, &lost) == RK_OK);
	must(lost == NULL && json_equal(of, own));
	must(out.bytes == bytes + 5 && out.lines == lines + 1);
	results_close(&out);
	json_decref(of);
	json_decref(own);
	return 0;
}
