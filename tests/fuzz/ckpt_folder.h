/* A folder of checkpoints that a fuzz target has until it ends. */
#ifndef FUZZ_CKPT_FOLDER_H
#define FUZZ_CKPT_FOLDER_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/ckpt.h"

#define DIR_NAME "step-000000010"

static struct ckpt *the;
static int dir_fd = -1;                 /* of DIR_NAME in it */

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
open_folder(void)
{
	char path[] = "/tmp/rk-fuzz-XXXXXX";

	log_set_level(LOG_L_ERROR);
	must(mkdtemp(path) != NULL);
	must(ckpt_open(&the, path, false) == RK_OK);
	atexit(remove_all);
}

static void
open_dir(void)
{
	char *dir = xasprintf("%s/" DIR_NAME, ckpt_path(the));

	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	must(dir_fd >= 0);
	free(dir);
}

/* Replace a file of the checkpoint. */
static void
put(const char *name, const void *p, size_t n)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	must(fd >= 0 && rk_write_all(fd, p, n) == 0);
	close(fd);
}

#endif
