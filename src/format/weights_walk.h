/*
 * weights_walk - the values of a pickle, gone through without recursion: the
 * tensors and values become those of the weights, and what holds tensors
 * becomes a tree of nodes, from which weights_parts.c tells what is what.
 */
#ifndef REKINDLE_FORMAT_WEIGHTS_WALK_H
#define REKINDLE_FORMAT_WEIGHTS_WALK_H

#include "weights_make.h"

/* A dict, list or tuple of the file. */
struct weights_node {
	struct weights_node *parent;    /* NULL: the root */
	const char *key;                /* in its parent; "" of the root */
	const char *path;
	const struct pickle_value *v;
	size_t depth;                   /* 0: the root */
	size_t tensors;                 /* in it, not deeper */
	size_t all;                     /* in it and deeper */
	uint64_t count;                 /* elements of all */
	/* weights_parts.c's: */
	enum weights_role role;         /* of what is in it */
	size_t open;                    /* of `all`, those of WEIGHTS_MODEL */
	bool has_state;                 /* it or what is in it is an
					   optimiser's */
};

struct weights_tree {
	struct weights_node **nodes;    /* in the file's order, root first;
	                                   those that hold no tensor, too */
	size_t n;
	struct weights_node **of;       /* of each tensor of the weights */
	size_t first;                   /* of[0] is of tensor `first` */
	uint64_t strange;               /* keys passed over */
	uint64_t cut;                   /* items of long lists left out */
};

enum rk_err weights_walk(struct weights_gather *g,
    const struct pickle_value *root, struct weights_tree *tree,
    struct rk_why *why) RK_MUSTCHECK;

#endif
