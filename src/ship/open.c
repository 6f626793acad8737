/* The local files of a checkpoint, and where each of them is to be. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "impl.h"

/* Is the folder still what the row is about?  One that was deleted and saved
 * again is another checkpoint, with a row of its own. */
static bool
same_checkpoint(struct push *p)
{
	char *text = NULL;
	size_t len = 0;
	bool same = rk_read_file(p->dirfd, "checkpoint.json", CKPT_JSON_MAX,
	    &text, &len) == RK_OK && len == strlen(p->row.info) &&
	    memcmp(text, p->row.info, len) == 0;

	free(text);
	return same;
}

static bool
open_files(struct push *p, const struct ckpt_info *i)
{
	struct stat st;

	for (int k = 0; k < i->nfiles; k++) {
		p->fd[k] = openat(p->dirfd, i->files[k].name, O_RDONLY |
		    O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (p->fd[k] < 0 || fstat(p->fd[k], &st) != 0 ||
		    !S_ISREG(st.st_mode) ||
		    (uint64_t)st.st_size != i->files[k].size) {
			log_warn("job=%s ship: %s/%s is not there as it was "
			    "written", p->row.job, p->row.dir,
			    i->files[k].name);
			return false;
		}
	}
	return true;
}

/* Files are in the order of checkpoint.json, in the row as here. */
bool
push_open(struct push *p)
{
	char *base = job_folder(p->h, p->row.job);
	char *path = xasprintf("%s/%s", base, p->row.dir);
	struct ckpt_info i = {0};

	p->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	free(path);
	free(base);
	if (p->dirfd < 0) {
		if (errno != ENOENT)
			log_errno("job=%s ship: cannot open %s", p->row.job,
			    p->row.dir);
		return false;
	}
	p->opened = same_checkpoint(p) && row_info(&p->row, &i) &&
	    open_files(p, &i);
	ckpt_info_fini(&i);
	return p->opened;
}

bool
push_sums(struct push *p, sums_done_fn *done)
{
	struct ckpt_info i;
	bool wanted = false;

	if (!row_info(&p->row, &i))
		return false;
	for (int k = 0; k < i.nfiles; k++)
		wanted = wanted || i.files[k].sha256[0] == '\0';
	if (wanted)
		p->sums = sums_start(p->h, p->fd, i.files, i.nfiles, done, p);
	ckpt_info_fini(&i);
	return wanted;
}

/* --- where each file is to be -------------------------------------------- */

static int
by_job(const void *a, const void *b)
{
	return strcmp(a, ((const struct heir *)b)->job);
}

bool
heir_is(const struct ship *h, const struct remote_row *r)
{
	const struct heir *x;

	if (r->epoch == h->epoch)
		return true;
	x = h->nheirs > 0 ? bsearch(r->job, h->heirs, h->nheirs,
	    sizeof(*h->heirs), by_job) : NULL;
	return x != NULL && strcmp(x->uri, r->uri) == 0;
}

/* The address of the same bytes, if a verified checkpoint of the job has them;
 * borrowed from f. */
static const char *
there_already(struct push *p, const struct rows *rows,
    const struct ckpt_file *want, struct rfiles *f)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (!heir_is(p->h, &rows->v[i]))
			continue;
		rfiles_parse(f, rows->v[i].files);
		for (int k = 0; k < f->n; k++) {
			if (f->v[k].size == want->size &&
			    strcmp(f->v[k].sha256, want->sha256) == 0 &&
			    starts_with(f->v[k].uri, p->base))
				return f->v[k].uri;
		}
		rfiles_fini(f);
	}
	return NULL;
}

static void
plan_file(struct push *p, const struct rows *rows, const struct ckpt_file *f)
{
	struct rfiles other = {0};
	const char *uri = there_already(p, rows, f, &other);
	char *own = push_uri(p, f->name);

	p->there[p->files.n] = uri != NULL;
	rfiles_add(&p->files, f->name, f->size, f->sha256, uri != NULL ? uri :
	    own);
	free(own);
	rfiles_fini(&other);
}

bool
push_plan(struct push *p)
{
	struct ckpt_info i;
	struct rows rows;

	rfiles_fini(&p->files);
	memset(p->there, 0, sizeof(p->there));
	if (!row_info(&p->row, &i))
		return false;
	rows_load(p->h, p->row.job, RS_BIT(RS_VERIFIED), &rows);
	for (int k = 0; k < i.nfiles; k++)
		plan_file(p, &rows, &i.files[k]);
	p->row.bytes = i.bytes;
	p->files.names = names_here(p->h, p->row.job, p->row.dir);
	rows_fini(&rows);
	ckpt_info_fini(&i);
	return push_save(p, p->row.state);
}
