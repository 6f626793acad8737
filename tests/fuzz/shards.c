/* module: format */
/*
 * Any bytes as the index of a model in several files, beside three files a, b and c:
 * of two tensors, of one, and of none that can be read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int
make_file(int folder, const char *name, const char *header, size_t data)
{
	const size_t len = strlen(header);
	char bytes[512] = { (char)len };

	must(len < 128 && 8 + len + data <= sizeof(bytes));
	memcpy(bytes + 8, header, len);
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && rk_write_all(fd, bytes, 8 + len + data) == 0);
	return close(fd);
}

#define U8(from, to) "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[" \
	from "," to "]}"

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
	int folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atexit(remove_folder);
	must(folder >= 0);
	(void)!make_file(folder, "a", "{\"x\":" U8("0", "1") ",\"y\":"
	    U8("1", "2") "}", 2);
	(void)!make_file(folder, "b", "{\"z\":" U8("0", "1") "}", 1);
	(void)!make_file(folder, "c", "{\"w\":", 0);
	return folder;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int folder = -1;
	struct weights_how how = WEIGHTS_HOW;
	struct rk_why why = {0};
	struct weights *w;

	if (folder < 0)
		folder = make_folder();
	how.fd = memfd_create("index", MFD_CLOEXEC);
	how.folder = folder;
	must(how.fd >= 0 && rk_write_all(how.fd, p, n) == 0);
	enum rk_err rc = weights_open("index.json", &how, &w, &why);
	must(close(how.fd) == 0);
	fuzz_weights(rc, w, &why);
	return 0;
}
