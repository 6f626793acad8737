/*
 * ops - the kinds of nodes: a row of functions and facts for each.
 *
 * shape     checks the input's shape and the settings, sets the output's shape,
 *           declares parameters, buffers, what is saved and how much scratch;
 *           refuses with both numbers in the sentence, at nd->path
 * forward   rows samples of x to y; allocates nothing
 * backward  from the gradient of y: adds to those of x (nn_dx) and of the
 *           parameters (nn_dw); may write into the gradient of y
 */
#ifndef NN_OPS_H
#define NN_OPS_H

#include "graph.h"

struct nn_op {
	const char *name;
	enum rk_err (*shape)(struct nn *n, struct nn_node *nd,
	    struct rk_why *why);
	void (*forward)(struct nn *n, struct nn_node *nd);
	void (*backward)(struct nn *n, struct nn_node *nd);
	bool in_place;                  /* y may lie where x does, dx with dy */
	bool is_view;                   /* y is x, with another shape */
	bool takes_relu;                /* a relu that follows is folded in */
	bool keeps_x, keeps_y;          /* backward reads x, reads y */
};

extern const struct nn_op nn_op_linear, nn_op_conv2d, nn_op_max_pool2d,
    nn_op_avg_pool2d, nn_op_batch_norm, nn_op_dropout, nn_op_flatten,
    nn_op_relu, nn_op_gelu, nn_op_sigmoid, nn_op_tanh;

/* The op of a layer's type. */
extern const struct nn_op *const nn_ops[SPEC_L_COUNT];

/* Shapes of ops with a window: conv2d and the pools (window.c).  Fills nd->win
 * but for the channels of the output. */
enum rk_err nn_window_shape(struct nn *n, struct nn_node *nd,
    struct rk_why *why) RK_MUSTCHECK;

#endif
