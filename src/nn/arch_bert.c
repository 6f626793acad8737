/*
 * bert: Devlin et al. 2018 (arXiv 1810.04805), an encoder of tokens [T] with
 * the norm behind each sum, and a head on the first token.  Tokens equal to
 * padding_index are no keys of the attention.  Tokens are of segment 0, or,
 * where the separator is known, of as many as there are separators before.
 *
 *	huggingface  names of Hugging Face's BertForSequenceClassification
 *	paddlenlp    those of PaddleNLP's; ERNIE's begin with ernie.
 *
 * Without a pooler the head reads what the encoder gives for the first token;
 * with classes 0 the output is the pooler's or the encoder's [T, hidden].
 */
#include "builder.h"

enum { HUGGINGFACE, PADDLENLP };        /* variant, as archs.def has it */
enum { GELU, RELU };                    /* activation */
/* ops.def */
enum { INDEX_INPUT, INDEX_POSITION, INDEX_ZERO, INDEX_SEGMENT };

static const struct bert_names {
	const char *norm;               /* of the embeddings */
	const char *layer;              /* with its number */
	const char *query, *key, *value, *attended, *norm1;
	const char *wide, *narrow, *norm2;
} names[] = {
	[HUGGINGFACE] = { "LayerNorm", "encoder.layer",
		"attention.self.query", "attention.self.key",
		"attention.self.value", "attention.output.dense",
		"attention.output.LayerNorm", "intermediate.dense",
		"output.dense", "output.LayerNorm" },
	[PADDLENLP] = { "layer_norm", "encoder.layers", "self_attn.q_proj",
		"self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj",
		"norm1", "linear1", "linear2", "norm2" },
};

struct bert {
	struct nn_builder *b;
	const struct spec_arch_bert *a;
	const struct bert_names *n;
	const char *prefix;             /* "bert" */
};

static int
drop(const struct bert *k, int x, const char *name, const char *part)
{
	if (k->a->dropout == 0)
		return x;
	return nn_b_dropout(k->b, x, k->a->dropout, "%s%s", name, part);
}

static int
norm(const struct bert *k, int x, const char *name, const char *part)
{
	x = nn_b_op(k->b, layer_norm, x, "%s%s", name, part);
	nn_b_at(k->b, x)->u.layer_norm.eps = k->a->eps;
	return x;
}

static int
table(const struct bert *k, const char *what, int64_t rows, int index)
{
	const int i = nn_b_op(k->b, embedding, B_INPUT,
	    "%s.embeddings.%s_embeddings", k->prefix, what);
	struct spec_op_embedding *e = &nn_b_at(k->b, i)->u.embedding;

	nn_b_blame(k->b, i, "model.%s", index == INDEX_INPUT ? "vocabulary" :
	    index == INDEX_POSITION ? "positions" : "token_types");
	e->rows = rows;
	e->width = k->a->hidden;
	e->index = index;
	if (index == INDEX_INPUT && k->a->padding_index < rows)
		e->padding_index = k->a->padding_index;
	if (index == INDEX_SEGMENT)
		e->separator = k->a->separator;
	return i;
}

/* The sum of the tables, each framework's in its order. */
static int
embed(const struct bert *k)
{
	const struct spec_arch_bert *a = k->a;
	char name[48];
	int in[3], n = 0;

	in[n++] = table(k, "word", a->vocabulary, INDEX_INPUT);
	in[n++] = table(k, "position", a->positions, INDEX_POSITION);
	if (a->token_types > 0)
		in[n++] = table(k, "token_type", a->token_types,
		    a->separator >= 0 ? INDEX_SEGMENT : INDEX_ZERO);
	if (n == 3 && a->variant == HUGGINGFACE) {
		const int position = in[1];
		in[1] = in[2];
		in[2] = position;
	}
	snprintf(name, sizeof(name), "%s.embeddings.", k->prefix);
	int x = nn_b_layer(k->b, SPEC_OP_add, n, in, "%sadd", name);
	x = norm(k, x, name, k->n->norm);
	return drop(k, x, name, "dropout");
}

static int
attend(const struct bert *k, int x, int mask, const char *name)
{
	const int64_t D = k->a->hidden;
	const int query = nn_b_linear(k->b, x, D, "%s%s", name, k->n->query);
	const int key = nn_b_linear(k->b, x, D, "%s%s", name, k->n->key);
	const int value = nn_b_linear(k->b, x, D, "%s%s", name, k->n->value);
	int y = nn_b_layer(k->b, SPEC_OP_attention, 4, (const int[]){ query,
	    key, value, mask }, "%sattention", name);

	nn_b_blame(k->b, y, "model.heads");
	nn_b_at(k->b, y)->u.attention.heads = k->a->heads;
	nn_b_at(k->b, y)->u.attention.p = k->a->dropout;
	y = nn_b_linear(k->b, y, D, "%s%s", name, k->n->attended);
	y = drop(k, y, name, "dropout1");
	y = nn_b_add(k->b, y, x, "%sadd1", name);
	return norm(k, y, name, k->n->norm1);
}

static int
feed_forward(const struct bert *k, int x, const char *name)
{
	const enum spec_op act = k->a->activation == GELU ? SPEC_OP_gelu :
	    SPEC_OP_relu;
	int y = nn_b_linear(k->b, x, k->a->intermediate, "%s%s", name,
	    k->n->wide);

	y = nn_b_layer(k->b, act, 1, &y, "%s%s", name, spec_op_words[act]);
	y = nn_b_linear(k->b, y, k->a->hidden, "%s%s", name, k->n->narrow);
	y = drop(k, y, name, "dropout2");
	y = nn_b_add(k->b, y, x, "%sadd2", name);
	return norm(k, y, name, k->n->norm2);
}

static void
head(const struct bert *k, int x)
{
	const struct spec_arch_bert *a = k->a;

	if (!a->pooler && a->classes == 0)
		return;
	x = nn_b_op(k->b, slice, x, "first_token");
	nn_b_at(k->b, x)->u.slice.end = 1;
	x = nn_b_op(k->b, flatten, x, "first");
	if (a->pooler) {
		x = nn_b_linear(k->b, x, a->hidden, "%s.pooler.dense",
		    k->prefix);
		x = nn_b_op(k->b, tanh, x, "%s.pooler.tanh", k->prefix);
	}
	if (a->classes > 0) {
		x = drop(k, x, "", "dropout");
		(void)nn_b_linear(k->b, x, a->classes, "classifier");
	}
}

void
nn_arch_bert(struct nn_builder *b, const struct spec_model *m)
{
	const struct spec_arch_bert *a = &m->u.bert;
	const struct bert k = { .b = b, .a = a, .n = &names[a->variant],
		.prefix = m->arch == SPEC_ARCH_ernie_3_0_nano_zh ? "ernie" :
		"bert" };
	const int mask = nn_b_op(b, token_mask, B_INPUT, "mask");
	char name[64];

	nn_b_at(b, mask)->u.token_mask.padding_index = a->padding_index;
	int x = embed(&k);
	for (int i = 0; i < a->depth; i++) {
		snprintf(name, sizeof(name), "%s.%s.%d.", k.prefix, k.n->layer,
		    i);
		x = attend(&k, x, mask, name);
		x = feed_forward(&k, x, name);
	}
	head(&k, x);
}
