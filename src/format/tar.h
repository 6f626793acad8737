/*
 * tar - the members of a tar, one behind the other.
 *
 *	struct tar_walk w = { .in = source, .why = why };
 *	while ((rc = tar_next(&w, &m)) == RK_OK && !w.ended)
 *		...
 *	tar_fini(&w);
 */
#ifndef REKINDLE_FORMAT_TAR_H
#define REKINDLE_FORMAT_TAR_H

#include "rekindle/format.h"

enum tar_kind {
	TAR_FILE, TAR_FOLDER, TAR_HARD_LINK, TAR_SYMBOLIC_LINK, TAR_OTHER
};

struct tar_member {
	enum tar_kind kind;
	const char *path, *link;        /* the walk's, until the next member;
	                                   link: of hard links, else "" */
	uint64_t offset, size;          /* of its bytes in the source */
};

struct tar_walk {
	struct format_source *in;
	struct rk_why *why;
	bool ended;
	uint64_t at;                    /* where the source is */
	uint64_t next;                  /* where the next header is */
	uint64_t members;
	/* Said before a header of what comes in it: by pax or GNU. */
	struct strbuf path, link;
	bool has_path, has_link, has_size, is_sparse;
	uint64_t size;
	struct strbuf own_path, own_link;       /* of the member, cleaned */
};

enum rk_err tar_next(struct tar_walk *w, struct tar_member *m) RK_MUSTCHECK;
void tar_fini(struct tar_walk *w);

#endif
