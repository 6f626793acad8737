/*
 * image_names - which images a source has and what their labels are, before any
 * is opened: found in a folder of class folders (image_scan.c), in a tar of one
 * (image_tar.c) or written in a list (image_list.c).
 */
#ifndef DATA_IMAGE_NAMES_H
#define DATA_IMAGE_NAMES_H

#include "held.h"

#define IMAGE_PATH_MAX  4096            /* bytes, relative to the source */
#define IMAGE_DEPTH_MAX 16              /* folders in each other */

struct image_names {
	struct strbuf text;             /* the paths, each with its NUL */
	uint64_t *at;                   /* where path i is */
	float *targets;                 /* labels as they are; of a list that
	                                   has several a line the first, or
	                                   -1 */
	size_t n, room;
	char **classes;                 /* names, or NULL: labels are numbers */
	int64_t nclasses;               /* 0: as the labels say */
	int64_t *many_from;             /* several a line, or NULL */
	int32_t *many;
	uint32_t *line;                 /* of a list: where path i is; or
					   NULL */

	/* What was passed over, and the first of it. */
	uint64_t hidden, others, loose, odd;
	uint64_t links, replaced;       /* of a tar: format.h */
	char *first_other, *first_odd;
	/* Of a list: lines of an image that an earlier line has, how many of
	 * them say another label, and the first of them with that earlier
	 * one. */
	uint64_t again, at_odds;
	uint32_t again_line[2];
	int64_t *empty;                 /* classes that have no image */
	size_t nempty;
};
void image_names_fini(struct image_names *v);

static inline const char *
image_path(const struct image_names *v, size_t i)
{
	return v->text.s + v->at[i];
}

/* Add one; RK_EINVAL beyond the limits of data.h. */
enum rk_err image_names_add(struct image_names *v, const char *what,
    const char *folder, const char *name, float target,
    struct rk_why *why) RK_MUSTCHECK;
/* Order those from `first` on by the bytes of their paths. */
void image_names_sort(struct image_names *v, size_t first);

/* .jpg, .jpeg, .jpe, .jfif or .png, in capitals or not.  And is it at the end
 * of these n bytes? */
bool image_is_named(const char *s, size_t n);
/* What others leave behind: names that begin with a point, Thumbs.db, ... */
bool image_is_hidden(const char *name);
/* Can a class be called so?  RK_EINVAL: it is no UTF-8, or too long. */
enum rk_err image_class_ok(const char *what, const char *name,
    struct rk_why *why) RK_MUSTCHECK;

enum rk_err image_scan(const char *path, struct image_names *v,
    struct rk_why *why) RK_MUSTCHECK;
enum rk_err image_list(const char *text, size_t n, const char *what,
    struct image_names *v, struct rk_why *why) RK_MUSTCHECK;
struct format_tar;
enum rk_err image_tar(const struct format_tar *t, const char *path,
    struct image_names *v, struct rk_why *why) RK_MUSTCHECK;

/* One more of n; the first one's path is kept. */
void image_names_pass_over(uint64_t *n, char **first, const char *folder,
    const char *name);
/* What was passed over, as sentences about the set. */
void image_names_remark(const struct image_names *v, struct held *h);

#endif
