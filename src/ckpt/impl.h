/* What the parts of ckpt share. */
#ifndef REKINDLE_CKPT_IMPL_H
#define REKINDLE_CKPT_IMPL_H

#include <sys/types.h>

#include "rekindle/ckpt.h"

#define CKPT_TAG       0x434b5054u
#define CKPT_JSON      "checkpoint.json"
#define CKPT_SUMS      "SHA256SUMS"
#define CKPT_BRANCHES  "branch.json"
#define CKPT_LOCK      ".lock"
#define TMP_PREFIX     ".tmp-"
#define DEL_PREFIX     ".del-"
#define BAD_PREFIX     "bad-"
#define LATE_PREFIX    "late-"
#define PIN_PREFIX     ".pin-"
#define MAX_BRANCHES   10000
#define CKPT_INDEX_MAX ((size_t)64 << 20)

struct ckpt {
	unsigned tag;
	char *path;
	int dirfd;
	int lockfd;             /* of the one writer; -1 for readers */
	struct {                /* a shared file that was found good */
		char name[64];
		dev_t dev;
		ino_t ino;
	} known;
	struct ckpt_file summed;        /* one whose SHA-256 was made */
};

/* --- names (name.c) ------------------------------------------------------- */

/* "step-000001200" or "step-000001500-b2" and back; only that very spelling. */
void dir_text(char out[CKPT_DIR_MAX], int64_t step, int branch);
bool dir_parse(const char *name, int64_t *step, int *branch);
/* May a person give this name?  Those that mean something else here may not. */
bool person_name_ok(const char *name);
/* prefix + name + some random digits, for what is not to be seen. */
#define HIDDEN_MAX (CKPT_DIR_MAX + 32)
void hidden_name(char out[HIDDEN_MAX], const char *prefix, const char *name);

/* --- checkpoint.json (info.c) --------------------------------------------- */

/* The text of the file, which the caller frees; its digest goes into i. */
char *info_text(struct ckpt_info *i);
bool has_file(const struct ckpt_info *i, const char *name);

/* --- what there is (view.c) ----------------------------------------------- */

/* Where each branch began: from[b] for branch b, "" where it began with
 * nothing; from[0] and from[1] are always "". */
struct branches {
	int current;
	bool lost;              /* branch.json is there and no good */
	char (*from)[CKPT_DIR_MAX];
};
void branches_init(struct branches *b);         /* one branch */
void branches_read(struct ckpt *c, struct branches *b);
enum rk_err branches_write(struct ckpt *c, const struct branches *b)
    RK_MUSTCHECK;
/* Make `next`, which is larger, the current one. */
void branches_extend(struct branches *b, int next, const char *from);
void branches_fini(struct branches *b);

/* A step-* folder that is no checkpoint, and why not; or one that gave an
 * error of the disk or of permissions, which is no word on what it holds. */
struct broken {
	char dir[CKPT_DIR_MAX];
	char *reason;
	bool unreadable;
	bool newer;             /* of a later version: unreadable, too */
};

/* A moment's sight of a folder, or of infos from elsewhere (among.c). */
struct view {
	struct branches br;
	struct ckpt_info *v;    /* by branch, then step */
	size_t n;
	struct broken *broken;
	size_t nbroken;
	char (*pins)[CKPT_DIR_MAX];     /* folders that are pinned */
	size_t npins;
};
/* pin.c: is somebody about to begin from entry i? */
bool view_pinned(const struct view *w, size_t i);
enum rk_err view_open(struct ckpt *c, struct view *w) RK_MUSTCHECK;
void view_fini(struct view *w);
/* Take entry i out; it is the caller's if out is not NULL. */
void view_take(struct view *w, size_t i, struct ckpt_info *out);

/* checkpoint.json of a folder, without names.  RK_ENOENT when there is no such
 * folder, RK_ECORRUPT with a sentence; RK_EIO, RK_EROFS with one: it cannot be
 * read; RK_EINVAL with one: a newer rekindle wrote it. */
enum rk_err read_dir_info(struct ckpt *c, const char *dir,
    struct ckpt_info *out, struct rk_why *why) RK_MUSTCHECK;
bool is_unreadable(int e);
bool dir_exists(struct ckpt *c, const char *dir);
/* The names of i->dir, which has none yet. */
enum rk_err read_names(struct ckpt *c, struct ckpt_info *i) RK_MUSTCHECK;
/* For qsort() of infos: by branch, then step. */
int by_place(const void *a, const void *b);

/* --- choosing (select.c) -------------------------------------------------- */

/* Places in w->v, or -1. */
long view_find(const struct view *w, const char *dir);
long view_latest(const struct view *w);
/* One of a later version that comes behind view_latest() on the current branch,
 * so that who goes on from that would lose what it has; NULL: there is none. */
const struct broken *view_newer(const struct view *w);
long view_best(const struct view *w, const char *metric, bool mode_max);
bool metric_of(const struct ckpt_info *i, const char *metric, double *out);

/* Does the selector mean one checkpoint, whatever state it is in? */
bool selects_one(const char *selector);
/* The one selected.  RK_ENOENT, RK_ECORRUPT, RK_EINVAL with a sentence. */
enum rk_err view_select(const struct view *w, const char *selector,
    const char *metric, bool mode_max, size_t *at, struct rk_why *why)
    RK_MUSTCHECK;

/* Which retention keeps: an array that the caller frees (retain.c). */
bool *view_keep(const struct view *w, int64_t last, int64_t best,
    const char *metric, bool mode_max);

/* Is the file what checkpoint.json says?  RK_ECORRUPT with a sentence
 * (load.c). */
enum rk_err verify_file(int dirfd, const struct ckpt_file *f,
    struct rk_why *why) RK_MUSTCHECK;
/* Its file, opened to be read; the errors are verify_file()'s, and leave -1. */
enum rk_err open_file(int dirfd, const struct ckpt_file *f, int *fd,
    struct rk_why *why) RK_MUSTCHECK;

/* --- SHA-256 that checkpoint.json does without (sums.c) -------------------- */

/* Those that SHA256SUMS of the folder fd has, into i->files. */
void read_sums(int fd, struct ckpt_info *i);
/* Make SHA256SUMS, durably, where a file is without: reads those whole.  dirfd:
 * of dir.  RK_ECORRUPT: one is not what was written.  A failure is logged. */
enum rk_err make_sums(struct ckpt *c, const char *dir, int dirfd)
    RK_MUSTCHECK;
/* The folder, open.  Until fd is closed, by whatever end of the process, no
 * process deletes it (flock on the folder, where there are locks);
 * RK_ENOENT. */
enum rk_err hold_dir(struct ckpt *c, const char *dir, int *fd) RK_MUSTCHECK;
bool is_held(struct ckpt *c, const char *dir);  /* by whomever */

/* left.c: was something set aside that the current branch goes back to? */
bool asides_any(struct ckpt *c, const struct branches *br);

/* --- writing (save.c, shards.c) ------------------------------------------- */

/* A checkpoint that is written. */
struct save {
	struct ckpt *c;
	struct ckpt_info *info;
	char tmp[HIDDEN_MAX];           /* the folder while it is written */
	int fd;                         /* of it */
	char link[HIDDEN_MAX];          /* the name to come, or "" */
};
/* One more file of it. */
enum rk_err save_set(struct save *s, const char *name,
    const struct tensor_set *set, bool sha256) RK_MUSTCHECK;
enum rk_err save_text(struct save *s, const char *name, const char *text,
    bool sha256) RK_MUSTCHECK;
bool is_to_share(const struct tensor_set *model);
enum rk_err save_shards(struct save *s, const struct tensor_set *model,
    bool sha256) RK_MUSTCHECK;

/* --- files that checkpoints share (share.c) ------------------------------- */

/* A file that has failed its digest, with all links to it. */
struct bad_copy {
	bool is;
	dev_t dev;
	ino_t ino;
};
/* A link, in the folder fd and under its name, of one that another checkpoint
 * has and that is good; bad: gets one that is not. */
bool shared_link(struct ckpt *c, int fd, const struct ckpt_file *f,
    struct bad_copy *bad);
/* The one in the folder fd is known to be good. */
void shared_is_good(struct ckpt *c, int dirfd, const struct ckpt_file *f);
/* It takes the place of each link to the bad one; how many. */
size_t shared_mend(struct ckpt *c, int fd, const struct ckpt_file *f,
    const struct bad_copy *bad);
/* Damaged shards of a checkpoint out of copies that others here have; false:
 * none was mended. */
bool shared_repair(struct ckpt *c, const struct ckpt_info *i);

/* --- changing (change.c) -------------------------------------------------- */

/* Nobody else changes names or deletes while this is held; RK_EBUSY after a
 * while. */
enum rk_err lock_changes(struct ckpt *c) RK_MUSTCHECK;
void unlock_changes(struct ckpt *c);

/* One that is there and its new name, durably; RK_ENOENT. */
enum rk_err link_to(struct ckpt *c, const char *dir, const char *name)
    RK_MUSTCHECK;
/* A symlink under a hidden name, to be renamed into place. */
enum rk_err make_link(struct ckpt *c, const char *dir, const char *name,
    char tmp[HIDDEN_MAX]) RK_MUSTCHECK;
enum rk_err place_link(struct ckpt *c, const char *tmp, const char *name)
    RK_MUSTCHECK;

/* Out of sight at once, by a rename to `hidden`, which the caller removes. */
enum rk_err hide(struct ckpt *c, const char *dir, char hidden[HIDDEN_MAX])
    RK_MUSTCHECK;

/* Undo a commit that could not be made to stay. */
void take_back(struct ckpt *c, const char *dir);
enum rk_err sync_dir(struct ckpt *c) RK_MUSTCHECK;

/* Rename dir to prefix-dir, or prefix-dir-2, ...; `as` is where it went.
 * Durable. */
enum rk_err set_aside(struct ckpt *c, const char *prefix, const char *dir,
    char as[HIDDEN_MAX]) RK_MUSTCHECK;

#endif
