/* file:// from inside: jobs that a worker does while the loop goes on. */
#ifndef REMOTE_FILE_H
#define REMOTE_FILE_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "impl.h"

#define FILE_TAG 0x66696c65u

struct file_entries {
	struct file_entry {
		char *key;
		uint64_t size;
		int64_t at_ms;
		char etag[64];
	} *v;
	size_t n, cap;
};

/* The worker sees nothing but this; op and the callbacks are the loop's. */
struct file_job {
	unsigned tag;
	struct file_job *next, **prev;
	struct remote_op *op;           /* NULL: nobody waits any more */
	struct loop *loop;
	void (*work)(struct file_job *j);
	void (*done)(struct file_job *j);       /* on the loop; may be NULL */
	_Atomic bool stop;
	_Atomic uint64_t moved;
	char *path;
	/* what is asked for */
	void *body;
	size_t len, max_len;
	bool if_absent, folders;
	int fd;
	uint64_t size, max;
	char *want_sha256, *want_etag;
	remote_entry_fn *each;
	struct remote_download get;     /* its callbacks alone */
	/* what came of it */
	enum remote_end end;
	bool too_large;
	enum rk_err err;
	struct strbuf error, got;
	char etag[64], sha256[RK_SHA256_HEX];
	int64_t modified_ms;
	int source;                     /* download: the open file */
	struct file_entries list;
};

struct file_job *file_job(struct remote_op *op,
    void (*work)(struct file_job *j), void (*done)(struct file_job *j));
void file_start(struct file_job *j);
/* Work goes on with another step, from a done. */
void file_next(struct file_job *j, void (*work)(struct file_job *j),
    void (*done)(struct file_job *j));
/* The end that errno stands for, with a sentence. */
void file_failed(struct file_job *j, const char *doing);
void file_said(struct file_job *j, enum remote_end end, const char *fmt, ...)
    RK_PRINTF(3, 4);
void file_stat(struct file_job *j, const struct stat *st);
/* A new file that takes the path's place when it is whole. */
struct file_new {
	int dir, fd;
	char *name;
	char tmp[64];
};
bool file_new_open(struct file_job *j, struct file_new *f);
bool file_new_commit(struct file_job *j, struct file_new *f);
void file_new_fini(struct file_new *f);

#endif
