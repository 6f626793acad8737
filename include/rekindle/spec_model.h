/*
 * spec_model - the network of a job: its architecture, or its layers one by
 * one.  ops.def and archs.def have the fields, spec.h those around them.
 */
#ifndef REKINDLE_SPEC_MODEL_H
#define REKINDLE_SPEC_MODEL_H

#include "rekindle/spec_form.h"
#include "rekindle/spec_warm.h"

#define SPEC_MAX_LAYERS  4096            /* with each `repeat` written out */
#define SPEC_MAX_INPUTS  64             /* of a layer */
#define SPEC_MAX_NESTED  4              /* `repeat` in `repeat` */
#define SPEC_MAX_SIZES   64
/* Parameters a network may have in all; 2^31 floats are 8 GiB, 32 with Adam. */
#define SPEC_MAX_PARAMS  ((int64_t)1 << 31)

enum spec_op {
#define OP(op, min, max, text) SPEC_OP_##op,
#include "rekindle/ops.def"
	SPEC_OP_COUNT
};
#define SPEC_OP_V1 (SPEC_OP_tanh + 1)   /* those before are of version 1 */

/* struct spec_op_linear { int64_t out; bool bias; char *tied; ...}, and so on:
 * the settings of each op, filled from a job with their defaults. */
#define OP(op, min, max, text)                  struct spec_op_##op {
#define INT(op, key, since, def, lo, hi)        int64_t key;
#define REAL(op, key, since, def, lo, hi, ends) double key;
#define BOOL(op, key, since, def)               bool key;
#define PAIR(op, key, since, def, lo, hi)       int key[2];
#define WORD(op, key, since, def, words)        int key;
#define INTS(op, key, since, min, max, lo, hi)  \
	struct { int64_t v[max]; int n; } key;
#define NODE(op, key, since)                    char *key;
#define END(op)                                 char none; };
#include "rekindle/ops.def"
union spec_op_fields {
#define OP(op, min, max, text)                  struct spec_op_##op op;
#include "rekindle/ops.def"
};

enum spec_arch {
	SPEC_ARCH_LAYERS,               /* model.layers: one's own */
#define ARCH(id, word, family) SPEC_ARCH_##id,
#include "rekindle/archs.def"
	SPEC_ARCH_COUNT
};
enum spec_family {
	SPEC_FAMILY_NONE,
#define FAMILY(family) SPEC_FAMILY_##family,
#include "rekindle/archs.def"
	SPEC_FAMILY_COUNT
};
#define FAMILY(family)                          struct spec_arch_##family {
#define INT(op, key, since, def, lo, hi)        int64_t key;
#define REAL(op, key, since, def, lo, hi, ends) double key;
#define BOOL(op, key, since, def)               bool key;
#define WORD(op, key, since, def, words)        int key;
#define INTS(op, key, since, min, max, lo, hi)  \
	struct { int64_t v[max]; int n; } key;
#define END(op)                                 char none; };
#include "rekindle/archs.def"
union spec_arch_fields {
#define FAMILY(family) struct spec_arch_##family family;
#include "rekindle/archs.def"
};

extern const struct spec_form spec_ops[SPEC_OP_COUNT];
extern const struct spec_form spec_families[SPEC_FAMILY_COUNT];
extern const char *const spec_op_words[SPEC_OP_COUNT + 1];
extern const bool spec_op_learns[SPEC_OP_COUNT];        /* it has parameters */
/* [0] is "layers" */
extern const char *const spec_arch_words[SPEC_ARCH_COUNT + 1];
enum spec_family spec_family_of(enum spec_arch a);

/* All fields of an op at their defaults (0 and NULL where there is none). */
void spec_op_defaults(enum spec_op op, union spec_op_fields *u);

/*
 * A layer: an op, its settings and where its inputs come from.  In a job its
 * name is its place in the list, from 0, unless said; layer L of copy i of a
 * group P is called P.i.L, and an input that is asked for there is looked for
 * in the copy first, then in the lists around it.  In a list that has only the
 * ops of version 1 (linear to tanh in ops.def) and no inputs, a flatten
 * NAME.flatten is put before a linear layer NAME where more than rows may come:
 * version 1 had none.  In any other list a linear layer works on the last
 * dimension, and a flatten must be written where that is not meant.  name is 1
 * to SPEC_NAME_MAX characters, no two alike; tensors are called NAME.weight and
 * so on.  inputs are names of layers before it, or "input", what the data give
 * (where no layer is called so); none: the layer before, or the input.
 */
#define SPEC_NAME_MAX 200
#define SPEC_INPUT    "input"
struct spec_layer {
	enum spec_op type;
	char *name;
	char **inputs;
	int ninputs;
	union spec_op_fields u;
	char *path;                     /* in the job, for messages; or NULL */
};
void spec_layer_free(struct spec_layer *l);     /* what it holds, not itself */
/* A list that a program made: where it would be read as one of version 1 and
 * get a flatten that it has not, one of its layers says its input from here on,
 * which is that of before. */
void spec_layers_pin(struct spec_layer *v, int n);

/* `outputs: {NAME: LAYER}`: values that have a name outside.  The loss reads
 * "logits", which is the last layer where it is not said. */
#define SPEC_MAX_OUTPUTS 16
#define SPEC_LOGITS      "logits"
struct spec_output {
	char *name, *layer;
};

enum spec_init { SPEC_INIT_TORCH, SPEC_INIT_PADDLE, SPEC_INIT_BERT };

struct spec_model {
	enum spec_arch arch;
	union spec_arch_fields u;       /* of arch's family */
	int64_t input[SPEC_MAX_DIMS];
	int ninput;                     /* 0: from the data */
	struct spec_layer *layers;      /* of SPEC_ARCH_LAYERS */
	int nlayers;
	struct spec_output outputs[SPEC_MAX_OUTPUTS];
	int noutputs;
	enum spec_init init;
	char *checkpoint;               /* NULL: cold start */
	char *said;                     /* `checkpoint_said`; NULL */
	bool strict;
	struct spec_warm warm;
};
/* A list of layers as it stands in a job's normal form; brief: as a job's
 * digest has it, which fields that a later version adds do not change.  A new
 * reference. */
json_t *spec_layers_json(const struct spec_layer *layers, int n, bool brief);

#endif
