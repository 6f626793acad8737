/*
 * walk - the files that data.inputs names, one by one: each is itself, and a
 * folder is all pictures below it, by the order of the bytes of their paths.
 *
 * Names that begin with a dot are passed over, and links to folders are not
 * followed.  A folder is listed once, when the walk is opened: its names stay
 * in memory.
 */
#ifndef TRAIN_WALK_H
#define TRAIN_WALK_H

#include "run.h"

#define WALK_MOST ((size_t)1 << 24)     /* pictures of a folder */
#define WALK_DEEP 64                    /* folders in folders */

struct walk_folder {
	bool is;                        /* a folder, and no file */
	struct strbuf names;            /* from it on, one NUL behind each */
	size_t *at;                     /* [n], in order */
	size_t n, room;
};
struct walk {
	struct spec_data *data;         /* borrowed */
	const char *path[SPEC_MAX_USED];        /* where the bytes are */
	struct walk_folder v[SPEC_MAX_USED];
};

/* False: run_fail() has why; a folder that has no pictures is no reason. */
bool walk_open(struct run *r, struct walk *w);
void walk_close(struct walk *w);        /* fine on {0} */
int walk_inputs(const struct walk *w);
/* How many files input i is. */
int64_t walk_files(const struct walk *w, int i);
/* File k of input i: its path, and its name as the job has it; the caller
 * frees both. */
struct walk_file {
	char *path, *name;
};
struct walk_file walk_file(const struct walk *w, int i, int64_t k);
void walk_file_fini(struct walk_file *f);
/* A hash of all names. */
uint64_t walk_listing(const struct walk *w);

#endif
