/*
 * ops - what an op is: a row of functions and facts for each, in its file
 * op_NAME.c, which begins with its equations.
 *
 * shape     checks the inputs' shapes and the settings, sets the output's shape
 *           (nn_set_shape), declares parameters and buffers (nn_add_param) and
 *           says what is saved, how much scratch a call needs and its
 *           multiply-adds.  Refuses with both numbers in the sentence, at
 *           nd->path; nd->name is the layer
 * forward   `rows` samples of x to y; allocates nothing
 * backward  from dy to dx[k] and nn_dw(k): each is NULL where nobody wants it,
 *           and is added to or replaced as its flag says
 *
 * To add an op NAME:
 *	ops.def        its row and its fields; jobs can name it now, and the
 *	               programs do not link before there is an nn_op_NAME
 *	op_NAME.c      its equation and nn_op_NAME.  A function of single
 *	               values is a few lines in op_act.c instead.  Images
 *	               are plain for it unless may_block says that it knows
 *	               both layouts, of which nn_is_blocked() tells
 *	src/kernel/    its maths, where no kernel has it: the formula in
 *	               kernel.h, simple loops in plain_*.inc, which are built in
 *	               float and in double, fast ones beside them.  A function
 *	               of single values is a word more in KERNEL_ACT_TABLE, a
 *	               case in each switch of plain_rows.inc and loops_act.inc,
 *	               and of kernel_act_reads_x() if backward wants x
 *	tests          a case in tests/unit/nn_grad_ops.c; what PyTorch calls it
 *	               in tests/numerics/torch_graph.py (and SMOOTH there, if
 *	               its derivative jumps), cases of it in make_goldens.py,
 *	               which then writes the file that train_golden asks for
 *	               each op of the table
 * Random graphs, the schema and the reader of jobs take it from the table.
 */
#ifndef NN_OPS_H
#define NN_OPS_H

#include "program.h"

struct nn_op {
	enum rk_err (*shape)(struct nn_graph *g, struct nn_node *nd,
	    struct rk_why *why);
	nn_run *forward, *backward;
	/* y may lie where x[0] does, and dx[0] where dy does: element i of the
	 * result needs element i of that alone. */
	bool in_place, back_in_place;
	/* y is x[0] with another shape; dx[0] is dy. */
	bool is_view;
	/* Is y x[0] when there is no training?  NULL: it is not. */
	bool (*infer_is_view)(const struct nn_node *nd);
	/* Does it draw in training?  NULL: never. */
	bool (*draws)(const struct nn_node *nd);
	bool saves_for_back;            /* nothing is saved in INFER */
	bool takes_relu;                /* a relu that follows is folded in */
	bool takes_act;                 /* linear: any activation */
	bool takes_rest;                /* batch norm: a sum, an activation */
	/* The gradient of each input of y's shape is dy itself: add. */
	bool passes_dy;
	/*
	 * May it work on blocked images: its inputs that are images, and y, all
	 * of which have one layout?  NULL: never.  Lanes behind the last
	 * channel must come out as 0 where they went in so.
	 */
	bool (*may_block)(const struct nn_graph *g, const struct nn_node *nd);
	bool mixes_layouts;             /* x may have another than y */
	/* What depends on the layouts, once they are known: saved, scratch. */
	void (*settle)(struct nn_graph *g, struct nn_node *nd);
	/* What backward reads: bit k for x[k]; y. */
	unsigned keeps_x;
	bool keeps_y;
	/* How the instruction is computed, "winograd", where there is more than
	 * one way; dx: backward the gradient of x, else those of parameters.
	 * NULL: there is not. */
	const char *(*way)(const struct nn_instr *i, bool dx);
	/* Input k, if given, is of whole numbers; it gets no gradient, and what
	 * it is made of is not trained by it: bit k. */
	unsigned ids, no_dx;
};

/* nn_op_linear and so on. */
#define OP(op, min, max, text) extern const struct nn_op nn_op_##op;
#include "rekindle/ops.def"
extern const struct nn_op *const nn_ops[SPEC_OP_COUNT];
extern const struct nn_op nn_op_reorder;        /* of pass_layout.c */

/* op_loss.c: the loss of a graph whose logits are known, and its
 * instruction. */
enum rk_err nn_loss_shape(struct nn_graph *g, const struct spec_loss *l,
    struct rk_why *why) RK_MUSTCHECK;
nn_run nn_loss_run;

/* Shapes of ops with a window, conv2d and the pools (window.c): fills nd->win
 * but for the channels of the output. */
struct nn_window {
	const int *kernel, *stride, *padding, *dilation;        /* NULL: 1 */
	bool ceil_mode;
};
enum rk_err nn_window_shape(struct nn_graph *g, struct nn_node *nd,
    const struct nn_window *w, struct rk_why *why) RK_MUSTCHECK;
/* Who makes a value, for messages: a layer's name, or "input". */
const char *nn_maker(const struct nn_graph *g, const struct nn_value *v);
/* An op whose y has the shape of x[0]. */
enum rk_err nn_same_shape(struct nn_graph *g, struct nn_node *nd,
    struct rk_why *why) RK_MUSTCHECK;
/* op_conv2d.c: a convolution with such layouts; the caller's. */
struct kernel_conv_plan *nn_conv_plan(const struct nn_graph *g,
    const struct nn_node *nd, enum kernel_layout x, enum kernel_layout y);

/* op_act.c: the function of an activation; false: nd is none. */
bool nn_is_act(const struct nn_op *op);
struct kernel_activation nn_act(const struct nn_node *nd);
/* Is an activation folded into product nd; does its backward read what nd
 * saves, what the activation is taken of, or y? */
bool nn_has_act(const struct nn_node *nd);
bool nn_saves_before(const struct nn_node *nd);
/* What backward of nd itself reads: bit k for x[k]; y. */
unsigned nn_keeps_x(const struct nn_node *nd);
bool nn_keeps_y(const struct nn_node *nd);
/* Does f keep the lanes of no channel at 0, in a blocked image like v? */
bool nn_act_may_block(enum kernel_act f, const struct nn_value *v);

/* For may_block(): its inputs have the shape of y, an image. */
bool nn_one_shape(const struct nn_graph *g, const struct nn_node *nd);
/* An image, channels x height x width, or RK_EINVAL. */
enum rk_err nn_want_image(struct nn_graph *g, struct nn_node *nd,
    struct rk_why *why) RK_MUSTCHECK;

#endif
