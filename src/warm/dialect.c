/*
 * Names of the frameworks' networks.
 *
 * A rule turns a name of a dialect into one that all dialects have in common:
 *
 *	from  the name: '#' stands for digits, '*' at the end for all that
 *	      follows
 *	to    what it becomes: {1} the first number, {2+1} the second and
 *	      one, {1:2} of a stage {1} and a block {2} of it the block's number
 *	      in all stages, {1#2} how many of the parts 0 and 1 the block {1}
 *	      has, this being its part 2, {n+1} how many blocks there are with
 *	      such parts, and one; '*' what followed
 *
 * The first rule that fits counts.  What none fits keeps its name.  Then, in
 * all dialects, a last word _mean, _variance, gamma or beta becomes
 * running_mean, running_var, weight or bias.
 *
 * Sources, for names and nothing else: torchvision/models/resnet.py,
 * timm/models/ resnet.py, paddle/vision/models/resnet.py (torchvision's names)
 * and mobilenetv3.py, PaddleClas
 * ppcls/arch/backbone/legendary_models/resnet.py, transformers
 * modeling_resnet.py and modeling_bert.py, PaddleNLP
 * paddlenlp/transformers/{bert,ernie}/modeling.py.
 */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

#define MOST_NUMBERS 4

/* --- tables --------------------------------------------------------------- */

/* In common: stem.N.{conv,bn}, block.N.{convK,bnK,short.conv,short.bn},
 * head. */
static const struct warm_rule torchvision[] = {
	{ "conv1.*", "stem.0.conv.*" },
	{ "bn1.*", "stem.0.bn.*" },
	{ "layer#.#.conv#.*", "block.{1:2}.conv{3}.*" },
	{ "layer#.#.bn#.*", "block.{1:2}.bn{3}.*" },
	{ "layer#.#.downsample.0.*", "block.{1:2}.short.conv.*" },
	{ "layer#.#.downsample.1.*", "block.{1:2}.short.bn.*" },
	{ "fc.*", "head.*" },
};
/* resnet18d and its like: three convolutions first, a pool before a
 * shortcut. */
static const struct warm_rule timm_d[] = {
	{ "conv1.0.*", "stem.0.conv.*" },
	{ "conv1.1.*", "stem.0.bn.*" },
	{ "conv1.3.*", "stem.1.conv.*" },
	{ "conv1.4.*", "stem.1.bn.*" },
	{ "conv1.6.*", "stem.2.conv.*" },
	{ "bn1.*", "stem.2.bn.*" },
	{ "layer#.#.conv#.*", "block.{1:2}.conv{3}.*" },
	{ "layer#.#.bn#.*", "block.{1:2}.bn{3}.*" },
	{ "layer#.#.downsample.1.*", "block.{1:2}.short.conv.*" },
	{ "layer#.#.downsample.2.*", "block.{1:2}.short.bn.*" },
	{ "fc.*", "head.*" },
};
static const struct warm_rule paddleclas[] = {
	{ "stem.#.conv.*", "stem.{1}.conv.*" },
	{ "stem.#.bn.*", "stem.{1}.bn.*" },
	{ "blocks.#.conv#.conv.*", "block.{1}.conv{2+1}.*" },
	{ "blocks.#.conv#.bn.*", "block.{1}.bn{2+1}.*" },
	{ "blocks.#.short.conv.*", "block.{1}.short.conv.*" },
	{ "blocks.#.short.bn.*", "block.{1}.short.bn.*" },
	{ "fc.*", "head.*" },
};
#define RESNET "encoder.stages.#.layers.#."
static const struct warm_rule huggingface[] = {
	{ "embedder.embedder.convolution.*", "stem.0.conv.*" },
	{ "embedder.embedder.normalization.*", "stem.0.bn.*" },
	{ RESNET "layer.#.convolution.*", "block.{1:2}.conv{3+1}.*" },
	{ RESNET "layer.#.normalization.*", "block.{1:2}.bn{3+1}.*" },
	{ RESNET "shortcut.convolution.*", "block.{1:2}.short.conv.*" },
	{ RESNET "shortcut.normalization.*", "block.{1:2}.short.bn.*" },
	{ "classifier.1.*", "head.*" },
	{ "embeddings.LayerNorm.*", "embeddings.norm.*" },
	{ "encoder.layer.#.attention.self.query.*", "text.{1}.query.*" },
	{ "encoder.layer.#.attention.self.key.*", "text.{1}.key.*" },
	{ "encoder.layer.#.attention.self.value.*", "text.{1}.value.*" },
	{ "encoder.layer.#.attention.output.dense.*", "text.{1}.attended.*" },
	{ "encoder.layer.#.attention.output.LayerNorm.*", "text.{1}.norm1.*" },
	{ "encoder.layer.#.intermediate.dense.*", "text.{1}.wide.*" },
	{ "encoder.layer.#.output.dense.*", "text.{1}.narrow.*" },
	{ "encoder.layer.#.output.LayerNorm.*", "text.{1}.norm2.*" },
};
static const struct warm_rule paddlenlp[] = {
	{ "embeddings.layer_norm.*", "embeddings.norm.*" },
	{ "encoder.layers.#.self_attn.q_proj.*", "text.{1}.query.*" },
	{ "encoder.layers.#.self_attn.k_proj.*", "text.{1}.key.*" },
	{ "encoder.layers.#.self_attn.v_proj.*", "text.{1}.value.*" },
	{ "encoder.layers.#.self_attn.out_proj.*", "text.{1}.attended.*" },
	{ "encoder.layers.#.norm1.*", "text.{1}.norm1.*" },
	{ "encoder.layers.#.linear1.*", "text.{1}.wide.*" },
	{ "encoder.layers.#.linear2.*", "text.{1}.narrow.*" },
	{ "encoder.layers.#.norm2.*", "text.{1}.norm2.*" },
};

/* mobilenet_v3 of paddle.vision, by torchvision's names, which count those
 * parts that a block has. */
static const struct warm_rule paddles_v3[] = {
	{ "conv.#.*", "features.0.{1}.*" },
	{ "blocks.#.expand_conv.#.*", "features.{1+1}.block.{1#0}.{2}.*" },
	{ "blocks.#.bottleneck_conv.#.*", "features.{1+1}.block.{1#1}.{2}.*" },
	{ "blocks.#.mid_se.fc#.*", "features.{1+1}.block.{1#2}.fc{2}.*" },
	{ "blocks.#.linear_conv.#.*", "features.{1+1}.block.{1#3}.{2}.*" },
	{ "lastconv.#.*", "features.{n+1}.{1}.*" },
};

static const char *const none[] = { NULL };
static const char *const hugging[] = { "resnet.", "bert.", "ernie.", NULL };
static const char *const texts[] = { "bert.", "ernie.", NULL };

/* In the order in which they are tried: of two that fit equally well and load
 * the same, the first is named. */
#define ROWS(rules) rules, RK_ARRAY_LEN(rules)
const struct warm_table warm_tables[] = {
	{ SPEC_DIALECT_TORCHVISION, WARM_PYTORCH, ROWS(torchvision), none },
	{ SPEC_DIALECT_TIMM, WARM_PYTORCH, ROWS(torchvision), none },
	{ SPEC_DIALECT_TIMM, WARM_PYTORCH, ROWS(timm_d), none },
	{ SPEC_DIALECT_HUGGINGFACE, WARM_PYTORCH, ROWS(huggingface), hugging },
	{ SPEC_DIALECT_PADDLECLAS, WARM_PADDLE, ROWS(paddleclas), none },
	{ SPEC_DIALECT_PADDLENLP, WARM_PADDLE, ROWS(paddlenlp), texts },
	{ SPEC_DIALECT_PADDLE, WARM_PADDLE, ROWS(torchvision), none },
	{ SPEC_DIALECT_PADDLE, WARM_PADDLE, ROWS(paddles_v3), none },
	{ SPEC_DIALECT_PADDLE, WARM_PADDLE, NULL, 0, none },
	{ SPEC_DIALECT_REKINDLE, WARM_UNKNOWN, NULL, 0, none },
	{ SPEC_DIALECT_PYTORCH, WARM_PYTORCH, NULL, 0, none },
};
const size_t warm_ntables = RK_ARRAY_LEN(warm_tables);

const char *const warm_prefixes[] = {
	"module.", "_orig_mod.", "model.", "backbone.", "net.", NULL
};

/* --- a rule --------------------------------------------------------------- */

struct caught {
	int64_t number[MOST_NUMBERS];
	int n;
	const char *rest;
};

static const char *
digits(const char *s, int64_t *out)
{
	const char *p = s;

	for (*out = 0; *p >= '0' && *p <= '9' && p - s < 6; p++)
		*out = 10 * *out + (*p - '0');
	return p > s && !(*p >= '0' && *p <= '9') ? p : NULL;
}

static bool
matches(const char *from, const char *name, struct caught *c)
{
	c->n = 0;
	for (; *from != '\0'; from++) {
		if (*from == '*') {
			c->rest = name;
			return *name != '\0';
		}
		if (*from == '#') {
			name = digits(name, &c->number[c->n++]);
			if (name == NULL)
				return false;
		} else if (*from != *name++) {
			return false;
		}
	}
	return *name == '\0';
}

/*
 * The blocks of each stage that a list of names has.  Stages are numbered from
 * 0 or from 1; the blocks of all stages before one are counted by the highest
 * number that each has.  Of a block with parts that it may lack, those that it
 * has.
 */
#define MOST_STAGES 64
struct stages {
	int64_t blocks[MOST_STAGES];
	unsigned parts[MOST_STAGES];    /* 1u << of each */
	int64_t n;                      /* blocks with parts */
};

static int64_t
flat(const struct stages *s, int64_t stage, int64_t block)
{
	for (int64_t i = 0; i < RK_MIN(stage, MOST_STAGES); i++)
		block += s->blocks[i];
	return block;
}

/* The parts of a block before this one. */
static int64_t
rank(const struct stages *s, int64_t block, int part)
{
	return block < MOST_STAGES ? __builtin_popcount(s->parts[block] &
	    ((1u << part) - 1)) : part;
}

static void
write_name(struct strbuf *b, const char *to, const struct caught *c,
    const struct stages *s)
{
	for (; *to != '\0'; to++) {
		if (*to == '*') {
			sb_adds(b, c->rest);
			continue;
		}
		if (*to != '{') {
			sb_addc(b, *to);
			continue;
		}
		int64_t n = to[1] == 'n' ? s->n : c->number[to[1] - '1'];
		if (to[2] == '+')
			n += to[3] - '0';
		else if (to[2] == ':')
			n = flat(s, n, c->number[to[3] - '1']);
		else if (to[2] == '#')
			n = rank(s, n, to[3] - '0');
		sb_addf(b, "%lld", (long long)n);
		to = strchr(to, '}');
	}
}

static const struct warm_rule *
rule_for(const struct warm_table *t, const char *name, struct caught *c)
{
	for (size_t k = 0; k < t->nrules; k++)
		if (matches(t->rules[k].from, name, c))
			return &t->rules[k];
	return NULL;
}

/* --- a list of names ------------------------------------------------------ */

static const char *
without(const char *name, const char *prefix)
{
	const size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 && name[n] != '\0' ? name + n :
	    name;
}

static const char *
bare(const struct warm_table *t, const char *name, const char *off)
{
	const char *s = without(name, off);

	for (size_t k = 0; t->prefixes[k] != NULL; k++) {
		const char *shorter = without(s, t->prefixes[k]);
		if (shorter != s)
			return shorter;
	}
	return s;
}

static void
count_blocks(const struct warm_table *t, const char *const *names, size_t n,
    const char *off, struct stages *s)
{
	struct caught c;

	*s = (struct stages){0};
	for (size_t i = 0; i < n; i++) {
		const struct warm_rule *r = rule_for(t, bare(t, names[i], off),
		    &c);
		if (r == NULL || c.number[0] >= MOST_STAGES)
			continue;
		const char *part = strstr(r->to, "{1#");
		if (strstr(r->to, "{1:2}") != NULL) {
			int64_t *most = &s->blocks[c.number[0]];
			*most = RK_MAX(*most, c.number[1] + 1);
		} else if (part != NULL) {
			s->parts[c.number[0]] |= 1u << (part[3] - '0');
			s->n = RK_MAX(s->n, c.number[0] + 1);
		}
	}
}

/* The last word of a name by one of ours, in place of it. */
static void
common_word(struct strbuf *b)
{
	static const char *const words[][2] = {
		{ "_mean", "running_mean" }, { "_variance", "running_var" },
		{ "gamma", "weight" }, { "beta", "bias" },
	};
	const char *dot = b->len > 0 ? strrchr(b->s, '.') : NULL;

	for (size_t k = 0; dot != NULL && k < RK_ARRAY_LEN(words); k++) {
		if (strcmp(dot + 1, words[k][0]) != 0)
			continue;
		const size_t keep = (size_t)(dot + 1 - b->s);
		char *start = xstrndup(b->s, keep);
		sb_reset(b);
		sb_addf(b, "%s%s", start, words[k][1]);
		free(start);
		return;
	}
}

char **
warm_canonical(const struct warm_table *t, const char *const *names, size_t n,
    const char *off, size_t *told)
{
	char **out = xcalloc(n + 1, sizeof(*out));
	struct stages s;
	struct caught c;

	*told = 0;
	count_blocks(t, names, n, off, &s);
	for (size_t i = 0; i < n; i++) {
		const char *name = bare(t, names[i], off);
		const struct warm_rule *r = rule_for(t, name, &c);
		struct strbuf b = {0};
		if (r != NULL) {
			write_name(&b, r->to, &c, &s);
			++*told;
		} else {
			sb_adds(&b, name);
		}
		common_word(&b);
		out[i] = sb_detach(&b);
	}
	return out;
}

void
warm_names_free(char **names, size_t n)
{
	for (size_t i = 0; names != NULL && i < n; i++)
		free(names[i]);
	free(names);
}
