/*
 * torch - what the two forms of PyTorch's files have in common: how a pickle
 * writes a tensor, and storages by their keys.
 */
#ifndef REKINDLE_FORMAT_TORCH_H
#define REKINDLE_FORMAT_TORCH_H

#include "weights_make.h"

struct torch {
	struct weights *w;
	struct pickle pickle;
	bool big;                       /* of all storages */
	/*
	 * The store of a storage, by its key; elements * size is what the
	 * pickle says of its bytes, and that is checked.
	 */
	enum rk_err (*find)(struct torch *t, const struct pickle_value *key,
	    uint64_t elements, size_t size, const struct weights_store **out,
	    struct rk_why *why);
	void *ctx;
};

/* A persistent id, taken apart. */
struct torch_id {
	const struct pickle_row *type;
	const struct pickle_value *key;
	uint64_t elements;              /* of bytes, if it is untyped */
	size_t size;                    /* of an element */
	bool is_view;                   /* old ones: a window of the storage */
	uint64_t view_at, view_elements;
};
enum rk_err torch_id_read(const struct pickle_value *id, struct torch_id *out,
    struct rk_why *why) RK_MUSTCHECK;

/* Its key as a person sees it, "0"; out holds TORCH_KEY bytes. */
#define TORCH_KEY 48
char *torch_key_text(char *out, const struct pickle_value *key);

/* Add what the object has to the weights. */
enum rk_err torch_gather(struct torch *t, const struct pickle_value *object,
    struct rk_why *why) RK_MUSTCHECK;

#endif
