/*
 * warm_export - how a model of ours is called and lies in a file of another
 * framework.
 *
 * A pure function from the list of the model's tensors (names, shapes, of which
 * layer each is) and a target to what the file has:
 *
 *	                 safetensors, PyTorch          Paddle
 *	statistics of    running_mean, running_var     _mean, _variance
 *	  a batch norm   and num_batches_tracked,
 *	                 which a strict
 *	                 load_state_dict asks for
 *	weight of a      [out,in]                      [in,out]
 *	  linear layer
 *	second name      none                          that of the parameter:
 *	                                               linear_0.w_0
 *
 * All else keeps its name and lies as it is; numbers stay what they are, also
 * those of running variances, whose convention the frameworks do not share
 * (warm.h).  A layer is turned by what it is, never by its shape.  Tensors of a
 * layer are side by side, layers in the model's order, so that parameters are
 * in the order of the model's own.
 *
 * Paddle's second names, by which .pdopt files go, count the layers of each
 * class in the order in which a program makes them:
 *
 *	linear_N        w_0 weight, b_0 bias
 *	conv2d_N        the same
 *	batch_normX_N   w_0 weight, b_0 bias, w_1 mean, w_2 variance, where X is
 *	                nothing, 1d or 2d by the class (BatchNorm, BatchNorm2D)
 *	layer_norm_N    w_0 weight, b_0 bias
 *	embedding_N     w_0 weight
 *
 * That order is the model's, but for the shortcuts of paddle.vision's ResNets
 * (`downsample`), which are made before the block that they are of.  What is of
 * no such layer has no second name.  Programs that name their parameters
 * themselves (PaddleClas' MobileNetV2) have others: they take the model all the
 * same, which goes by first names, but not a .pdopt.
 */
#ifndef REKINDLE_WARM_EXPORT_H
#define REKINDLE_WARM_EXPORT_H

#include "rekindle/warm.h"

enum warm_target { WARM_TO_SAFETENSORS, WARM_TO_PYTORCH, WARM_TO_PADDLE };
extern const char *const warm_target_words[];   /* ends with NULL */

/* What a layer is, in Paddle's words for it. */
enum warm_layer {
	WARM_LAYER_OTHER, WARM_LAYER_LINEAR, WARM_LAYER_CONV2D,
	WARM_LAYER_BATCH_NORM, WARM_LAYER_BATCH_NORM1D,
	WARM_LAYER_BATCH_NORM2D, WARM_LAYER_LAYER_NORM, WARM_LAYER_EMBEDDING,
	WARM_LAYERS
};
extern const char *const warm_layer_words[WARM_LAYERS + 1];
bool warm_layer_is_batch_norm(enum warm_layer l);

/* A tensor of the model; its layer is called what stands before the last
 * dot. */
struct warm_own {
	const char *name;
	int ndim;
	int64_t d[TENSOR_MAX_DIMS];
	enum warm_layer layer;
	bool buffer;                    /* no parameter */
};

/* A tensor of the file. */
struct warm_given {
	char *name;
	char *alias;                    /* Paddle's second name; NULL */
	int64_t own;                    /* number in the model's list; -1: it is
	                                   a num_batches_tracked, one I64 */
	bool turned;                    /* the transpose of ours */
	int ndim;                       /* the shape there */
	int64_t d[TENSOR_MAX_DIMS];
};
struct warm_export {
	struct warm_given *v;
	size_t n;
};

/* Borrows nothing; the caller's, until warm_export_free(). */
struct warm_export *warm_export_new(enum warm_target to,
    const struct warm_own *v, size_t n);
void warm_export_free(struct warm_export *e);   /* NULL is fine */

/*
 * Is a tensor of a file the weight of a linear layer, as far as its names tell
 * by themselves?  Paddle's second name says of which class the layer is;
 * recurrent layers' weights are called so (weight_ih_l0), and lie alike in both
 * frameworks.  What is no matrix is none.
 */
enum warm_told { WARM_TOLD_NOTHING, WARM_TOLD_LINEAR, WARM_TOLD_OTHER };
enum warm_told warm_told(const char *name, const char *alias, int ndim);

/*
 * Paddle's state dicts have each tensor of a recurrent layer twice: as
 * PyTorch's have it, "rnn.weight_ih_l1_reverse", and by its cell,
 * "rnn.1.cell_bw.weight_ih".  The second of the first, the caller's; both:
 * there is a backward direction, too.  NULL: it is no such name.
 */
char *warm_recurrent_twin(const char *name, bool both);

/*
 * Paddle's word for a part of an optimiser's state that PyTorch, and so we,
 * call `slot` ("exp_avg": "moment1"); NULL: it has none that means the same.
 * Its accumulators are called PARAMETER_WORD_0.
 */
const char *warm_paddle_slot(const char *slot);

#endif
