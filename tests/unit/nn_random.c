/*
 * Random graphs, run planned, with what is dead filled with NaN, and with each
 * storage at a place of its own: all that can be seen of a network has the same
 * bytes - logits and named outputs of forward passes of both kinds, the input,
 * the loss, gradients and buffers, over two steps, the second ragged, in parts
 * where the graph has a micro batch.
 *
 * N= says how many graphs (by default 10,000; 1,000 under the sanitizers, and with
 * LONG= twenty times as many), SEED= which is the first; a failure prints its own.
 * The rules of plan.c are counted on the way: each must have been the only reason
 * of a refusal, and each kind of sharing must have been granted.
 */
#include "nn_graphs.h"

#define GRAPHS (RK_SANITIZED ? 1000 : 10000)

static long
from_env(const char *name, long def)
{
	const char *s = getenv(name);

	return s != NULL ? strtol(s, NULL, 0) : def;
}

/* --- a run and all that is seen of it ------------------------------------- */

struct seen {
	uint32_t *v;
	size_t n, room;
	int64_t not_finite;
	size_t end[4096];               /* of each array that was seen */
	int nends;
};

static void
see(struct seen *s, const void *p, size_t n)
{
	const float *f = p;

	while (s->n + n > s->room) {
		s->room = s->room > 0 ? 2 * s->room : 4096;
		s->v = xrealloc(s->v, s->room * sizeof(*s->v));
	}
	memcpy(s->v + s->n, p, n * sizeof(*s->v));
	for (size_t i = 0; i < n; i++)
		s->not_finite += !isfinite(f[i]);
	s->n += n;
	t_check((size_t)s->nends < RK_ARRAY_LEN(s->end));
	s->end[s->nends++] = s->n;
}

/* Rows first to first + rows of a step's data; behind them what may not be
 * read. */
static void
fill_input(const struct graph *r, struct nn *n, int step, int64_t first,
    int64_t rows)
{
	const int64_t width = r->g.vals[0].count;
	const bool ids = nn_input_dtype(n) == NN_I32;

	for (int64_t i = 0; i < nn_micro(n) * width; i++) {
		const uint64_t at = (uint64_t)(first * width + i);
		const bool in = i < rows * width;
		if (ids)
			nn_input_ids(n)[i] = in ? (int32_t)(rk_draw_u32(r->seed,
			    1, (uint32_t)step, at) % GRAPH_IDS) : INT32_MIN;
		else
			nn_input(n)[i] = in ? rk_draw_normal(r->seed, 1,
			    (uint32_t)step, at) : NAN;
	}
}

static void
see_forward(struct graph *r, struct nn *n, int64_t rows, struct seen *s)
{
	int64_t count;

	see(s, nn_output(n), (size_t)(rows * nn_outputs(n)));
	for (int i = 0; i < r->m.noutputs; i++) {
		const float *p = nn_output_named(n, r->m.outputs[i].name,
		    &count);
		t_check(p != NULL);
		see(s, p, (size_t)(rows * count));
	}
	/* The caller's, not to be written to; whole numbers are small floats. */
	see(s, nn_input(n), (size_t)(rows * r->g.vals[0].count));
}

static void
loss_and_backward(struct graph *r, struct nn *n, const struct nn_step *st,
    struct seen *s)
{
	float t[GRAPH_BATCH * GRAPH_VALUE * 4];
	const int64_t outputs = nn_outputs(n);
	int32_t y[GRAPH_BATCH];
	struct nn_result res;

	t_check(outputs <= GRAPH_VALUE * 4);
	for (int64_t i = 0; i < st->rows * outputs; i++)
		t[i] = rk_draw_unit(r->seed, 3, (uint32_t)st->step,
		    (uint64_t)(st->first * outputs + i));
	for (int64_t i = 0; i < st->rows; i++)
		y[i] = (int32_t)(rk_draw_u32(r->seed, 2, (uint32_t)st->step,
		    (uint64_t)(st->first + i)) % (uint32_t)outputs);
	const bool classes = r->loss.type == SPEC_CROSS_ENTROPY && !r->soft;
	nn_loss(n, y, classes ? NULL : t, &res);
	const float sums[] = { (float)res.loss_sum, (float)res.weight,
		(float)res.correct };
	see(s, sums, RK_ARRAY_LEN(sums));
	nn_backward(n);
}

/* A step of so many rows, in parts. */
static void
step(struct graph *r, struct nn *n, int number, int64_t rows, struct seen *s)
{
	const int64_t micro = nn_micro(n);

	nn_zero_grads(n);
	for (int64_t at = 0; at < rows; at += micro) {
		const struct nn_step st = { .rows = RK_MIN(micro, rows - at),
			.first = at, .all = rows, .seed = 5, .step = number };
		fill_input(r, n, number, at, st.rows);
		nn_forward(n, &st, true);
		see_forward(r, n, st.rows, s);
		loss_and_backward(r, n, &st, s);
		/* Outputs can be read until the next forward. */
		see_forward(r, n, st.rows, s);
	}
}

static void
infer(struct graph *r, struct nn *n, struct seen *s)
{
	const int64_t rows = RK_MIN(nn_micro(n), r->ragged);
	const struct nn_step st = { .rows = rows, .all = rows };

	fill_input(r, n, 9, 0, rows);
	nn_forward(n, &st, false);
	see_forward(r, n, rows, s);
}

static void
descend(struct nn *n)
{
	int64_t count;
	float *p = nn_params(n, &count);

	for (int64_t i = 0; i < count; i++)
		p[i] -= 0.01f * nn_grads(n)[i];
}

/* Gradients of what is trained; what is not has none. */
static void
see_gradients(const struct nn *n, struct seen *s)
{
	for (size_t i = 0; i < nn_ntensors(n); i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		if (t->is_buffer)
			continue;
		see(s, t->grad, (size_t)t->count);
		for (int64_t k = 0; !t->trained && k < t->count; k++)
			t_check(t->grad[k] == 0);
	}
}

/* Whatever lies there before it is written must not matter. */
static void
spoil(struct nn *n)
{
	for (size_t i = 0; i < n->arena_floats; i++)
		n->arena[i] = NAN;
	for (size_t i = 0; i < n->scratch_floats; i++)
		n->scratch[i] = NAN;
	for (size_t i = 0; i < nn_ntensors(n); i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		for (int64_t k = 0; t->trained && k < t->count; k++)
			t->grad[k] = NAN;
	}
}

static void
print_graph(const struct graph *r)
{
	json_t *layers = spec_layers_json(r->g.layers, r->g.nlayers,
	    false);
	char *text = rkj_text(layers);

	fprintf(stderr, "SEED=%llu N=1 gives it again; batch %lld, micro %lld, "
	    "ragged %lld, frozen %d, loss %d\n%s\n",
	    (unsigned long long)r->seed, (long long)r->batch,
	    (long long)r->micro, (long long)r->ragged, r->frozen,
	    (int)r->loss.type, text);
	for (int i = 0; i < r->m.noutputs; i++)
		fprintf(stderr, "output %s: %s\n", r->m.outputs[i].name,
		    r->m.outputs[i].layer);
	free(text);
	json_decref(layers);
}

static struct nn *
build(struct graph *r, enum nn_layouts layouts, bool apart, bool poison)
{
	struct nn_want w = graph_want(r);
	struct rk_why why = { 0 };
	struct nn *n;

	w.layouts = layouts;
	w.apart = apart;
	w.poison = poison;
	if (nn_build(&n, &w, &why) != RK_OK) {
		print_graph(r);
		t_fail("%s", rk_why_first(&why));
	}
	nn_init(n, 7);
	return n;
}

static void
run(struct graph *r, struct nn *n, bool spoilt, struct seen *s)
{
	int64_t count;

	s->n = 0;
	s->nends = 0;
	s->not_finite = 0;
	if (spoilt)
		spoil(n);
	step(r, n, 1, r->batch, s);
	see_gradients(n, s);
	descend(n);
	step(r, n, 2, r->ragged, s);
	see_gradients(n, s);
	const float *b = nn_buffers(n, &count);
	see(s, b, (size_t)count);
	infer(r, n, s);
}

/* --- the rules, said a second time ---------------------------------------- */

enum rule {
	GRANTED_VIEW, GRANTED_IN_PLACE, GRANTED_BACKWARD,
	GRANTED_AFTER_A_CHANGE,         /* of a member, before the birth */
	GRANTED_TO_MANY,                /* three members and more */
	DENIED_FIXED,                   /* in place over the caller's input */
	DENIED_READ,                    /* in place over what is still read */
	DENIED_SPOILS,                  /* a change of the new one */
	DENIED_SPOILT,                  /* a change of a member */
	DENIED_BY_ANOTHER,              /* not by the slot that it is made of */
	DENIED_AT_ONCE,                 /* read in the instruction of a change */
	RULES,
	/* What the plan has decided otherwise. */
	WRONGLY_DENIED = RULES, WRONGLY_GRANTED,
	COUNTS
};
static const char *const rule_words[RULES] = {
	"a view is granted", "in place is granted", "a gradient is shared",
	"granted over what was changed before", "granted to three and more",
	"denied: the caller's", "denied: still read", "denied: it would spoil",
	"denied: it would be spoilt", "denied by another member alone",
	"denied: read and changed at once",
};

static bool
changes_before_read(const struct nn_slot *a, const struct nn_slot *b, int from,
    bool *once)
{
	bool any = false, later = false;

	for (int i = 0; i < a->nwrites; i++) {
		any |= a->writes[i] >= from && a->writes[i] <= b->read;
		later |= a->writes[i] >= from && a->writes[i] < b->read;
	}
	*once |= any && !later;
	return any;
}

/* Why `how` must be denied, a bit for each rule, with the members so far. */
static unsigned
reasons(const struct nn_program *p, const struct nn_share *how, bool *once)
{
	const struct nn_slot *v = &p->slots[how->made];
	const struct nn_storage *st =
	    &p->storages[p->slots[how->from].storage];
	unsigned why = 0, by_from = 0;

	for (int i = 0; i < st->nmembers && st->member[i] < how->made; i++) {
		const struct nn_slot *m = &p->slots[st->member[i]];
		unsigned w = 0;
		if (how->how == NN_IN_PLACE && m->fixed)
			w |= 1u << DENIED_FIXED;
		if (how->how == NN_IN_PLACE && m->read > v->born)
			w |= 1u << DENIED_READ;
		if (changes_before_read(v, m, v->born, once))
			w |= 1u << DENIED_SPOILS;
		if (changes_before_read(m, v, v->born, once))
			w |= 1u << DENIED_SPOILT;
		why |= w;
		by_from |= st->member[i] == how->from ? w : 0;
	}
	return why != 0 && by_from == 0 ? why | 1u << DENIED_BY_ANOTHER : why;
}

static void
count_granted(const struct nn_program *p, const struct nn_share *s,
    long count[COUNTS])
{
	const struct nn_slot *v = &p->slots[s->made];
	const struct nn_storage *st = &p->storages[v->storage];
	int before = 0;

	count[s->how == NN_VIEW ? GRANTED_VIEW : GRANTED_IN_PLACE]++;
	count[GRANTED_BACKWARD] += v->born > p->forward;
	for (int i = 0; i < st->nmembers && st->member[i] < s->made; i++) {
		const struct nn_slot *m = &p->slots[st->member[i]];
		before++;
		if (m->nwrites > 0 && m->writes[0] < v->born) {
			count[GRANTED_AFTER_A_CHANGE]++;
			break;
		}
	}
	count[GRANTED_TO_MANY] += before >= 2;
}

static void
count_rules(const struct nn_program *p, long count[COUNTS])
{
	for (int i = 0; i < p->nshares; i++) {
		const struct nn_share *s = &p->shares[i];
		bool once = false;
		/* A slot that has joined another storage asks no more. */
		if (i > 0 && p->shares[i - 1].made == s->made &&
		    p->slots[s->made].storage ==
		    p->slots[p->shares[i - 1].from].storage)
			continue;
		const unsigned why = reasons(p, s, &once);
		if ((why == 0) != (p->slots[s->made].storage ==
		    p->slots[s->from].storage))
			count[why == 0 ? WRONGLY_DENIED : WRONGLY_GRANTED]++;
		if (why == 0)
			count_granted(p, s, count);
		const unsigned kinds = why & ~(1u << DENIED_BY_ANOTHER);
		for (int k = DENIED_FIXED; k <= DENIED_SPOILT; k++)
			count[k] += kinds == 1u << k;
		count[DENIED_BY_ANOTHER] += why != kinds;
		count[DENIED_AT_ONCE] += once && (kinds ==
		    1u << DENIED_SPOILS || kinds == 1u << DENIED_SPOILT);
	}
}

/* --- many of them --------------------------------------------------------- */

struct tally {
	long graphs, rules[COUNTS], ops[SPEC_OP_COUNT], back[SPEC_OP_COUNT];
	long parts, ragged, frozen, constants, tied, masked, self, outputs;
	long folded, products;
	long blocked, copies, sums, acts;       /* graphs that have them */
	long not_finite, near, far;
};

static void
count_graph(struct tally *t, const struct graph *r, const struct nn *n)
{
	t->graphs++;
	t->parts += n->micro < r->batch;
	t->ragged += r->ragged % n->micro != 0;
	t->frozen += r->frozen > 0;
	t->tied += r->tied;
	t->masked += r->masked;
	t->self += r->self;
	t->outputs += r->m.noutputs > 1;
	bool blocked = false, sum = false, act = false, constant = false;
	for (int i = 0; i < n->train.ninstrs; i++) {
		const struct nn_instr *in = &n->train.instrs[i];
		/* The loss; copies in another layout. */
		if (in->nd == NULL || in->nd - n->g.nodes >= n->g.nlayers)
			continue;
		blocked |= nn_y(&n->g, in->nd)->layout == KERNEL_BLOCKED;
		sum |= in->nd->residual;
		constant |= in->back && in->nd->evaluates;
		act |= in->nd->op->takes_rest &&
		    in->nd->act.act != KERNEL_NO_ACT;
		const enum spec_op op = n->g.layers[in->nd -
		    n->g.nodes].type;
		(in->back ? t->back : t->ops)[op]++;
		t->folded += in->back && in->nd->fused;
		t->products += in->back && nn_has_act(in->nd);
	}
	/* What was folded into another runs there. */
	for (int i = 0; i < n->g.nlayers; i++)
		t->ops[n->g.layers[i].type] += n->g.nodes[i].dead;
	t->blocked += blocked;
	t->sums += sum;
	t->constants += constant;
	t->acts += act;
	t->copies += n->g.nnodes > n->g.nlayers;
	count_rules(&n->train, t->rules);
	count_rules(&n->infer, t->rules);
}

static void
same(const struct graph *r, const struct seen *a, const struct seen *b,
    const char *what)
{
	size_t i = 0;

	if (a->n == b->n && memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0)
		return;
	while (i < a->n && i < b->n && a->v[i] == b->v[i])
		i++;
	print_graph(r);
	t_fail("%s: number %zu of %zu differs", what, i, a->n);
}

/*
 * The same in other layouts: other orders of sums, so other last bits, which for
 * most graphs stay below 1e-4 of the largest number of an array.  A relu that
 * turns on such bits, or a batch norm of two numbers that are nearly the same,
 * makes more of them.
 */
static void
count_near(struct tally *t, const struct seen *a, const struct seen *b)
{
	const float *x = (const void *)a->v, *y = (const void *)b->v;
	size_t i = 0;
	bool far = false;

	t_check(a->n == b->n && a->nends == b->nends);
	for (int k = 0; k < a->nends; k++) {
		float most = 1e-3f, off = 0;
		for (; i < a->end[k]; i++) {
			most = fmaxf(most, fabsf(x[i]));
			off = fmaxf(off, fabsf(x[i] - y[i]));
		}
		far |= off > 1e-4f * most;
	}
	t->near += !far;
	t->far += far;
}

static void
check_graph(struct tally *t, struct graph *r, struct seen s[2])
{
	const enum nn_layouts how = r->seed % 3 == 0 ? NN_CHOSEN :
	    r->seed % 3 == 1 ? NN_BLOCKED : NN_MIXED;
	struct nn *n = build(r, NN_PLAIN, false, false);

	run(r, n, false, &s[1]);
	nn_free(n);
	n = build(r, how, true, false);
	run(r, n, false, &s[0]);
	nn_free(n);
	count_near(t, &s[1], &s[0]);
	t->not_finite += s[0].not_finite > 0;
	n = build(r, how, false, false);
	run(r, n, false, &s[1]);
	same(r, &s[0], &s[1], "planned");
	count_graph(t, r, n);
	nn_free(n);
	n = build(r, how, false, true);
	run(r, n, true, &s[1]);
	same(r, &s[0], &s[1], "planned, the dead filled with NaN");
	nn_free(n);
	n = build(r, how, true, true);
	run(r, n, true, &s[1]);
	same(r, &s[0], &s[1], "apart, the dead filled with NaN");
	nn_free(n);
}

static void
check_tally(const struct tally *t, long n)
{
	for (int i = 0; i < RULES; i++) {
		fprintf(stderr, "%-40s %ld\n", rule_words[i], t->rules[i]);
		if (t->rules[i] < n / 1000)
			t_fail("\"%s\" only %ld times in %ld graphs",
			    rule_words[i], t->rules[i], t->graphs);
	}
	t_eq_int(t->rules[WRONGLY_DENIED], 0);
	t_eq_int(t->rules[WRONGLY_GRANTED], 0);
	for (int i = 0; i < SPEC_OP_COUNT; i++) {
		/* A mask has no gradient. */
		const long back = i == SPEC_OP_token_mask ? n : t->back[i] +
		    (i == SPEC_OP_relu ? t->folded : 0);
		if (t->ops[i] < n / 100 || back < n / 200)
			t_fail("%s ran %ld times forward, %ld back",
			    spec_op_words[i], t->ops[i], back);
	}
	fprintf(stderr, "%ld graphs: %ld in parts, %ld ragged, %ld frozen, %ld "
	    "tied, %ld masked, %ld with a value twice, %ld with outputs, %ld "
	    "folded, %ld in linear, %ld not finite\n", t->graphs, t->parts, t->ragged,
	    t->frozen, t->tied, t->masked, t->self, t->outputs, t->folded,
	    t->products, t->not_finite);
	fprintf(stderr, "%ld with a batch norm that evaluates and passes a "
	    "gradient; %ld with blocked images, %ld with copies, %ld and %ld "
	    "with a sum and an activation in a batch norm; %ld as in plain "
	    "layout, %ld not\n", t->constants, t->blocked, t->copies, t->sums,
	    t->acts, t->near, t->far);
	const long least[] = { t->parts, t->ragged, t->frozen, t->tied,
		t->masked, t->self, t->outputs, t->folded, t->products, t->copies,
		t->sums, t->acts, t->constants };
	for (size_t i = 0; i < RK_ARRAY_LEN(least); i++)
		t_check(least[i] >= n / 200);
	/* Two NaN are alike: such a graph shows little. */
	t_check(t->not_finite <= n / 50);
	t_check(t->blocked >= n / 8);
	t_check(t->far <= n / 100);
	t_check(t->graphs >= n - n / 10);
}

T_CASE(random_graphs_give_the_same_bytes_wherever_their_storages_lie)
{
	const long n = from_env("N", getenv("LONG") == NULL ? GRAPHS :
	    20L * GRAPHS);
	const long first = from_env("SEED", 1);
	struct seen s[2] = { 0 };
	struct tally t = { 0 };
	struct graph r;

	for (long i = 0; i < n; i++) {
		if (!graph_make(&r, (uint64_t)(first + i)))
			continue;
		check_graph(&t, &r, s);
		graph_free(&r);
	}
	free(s[0].v);
	free(s[1].v);
	if (n >= 1000)
		check_tally(&t, n);
}

/* --- as text -------------------------------------------------------------- */

/* A chain of version 1 gets flattens, which these graphs do not have. */
static bool
is_v1(const struct graph *r)
{
	for (int i = 0; i < r->g.nlayers; i++)
		if ((int)r->g.layers[i].type >= SPEC_OP_V1 ||
		    r->g.layers[i].ninputs > 0)
			return false;
	return true;
}

/* What a network says of its model, in a job. */
static struct spec *
as_job(struct graph *r)
{
	struct nn_want w = graph_want(r);
	struct rk_why why = { 0 };
	struct spec *s;
	struct nn *n;

	t_check(nn_outline(&n, &w, NULL) == RK_OK);
	json_t *job = json_pack("{s:s, s:o, s:{s:i, s:s}, s:{s:{s:s, s:s, "
	    "s:s}}}", "name", "g", "model", nn_layers(n), "training",
	    "epochs", 1, "loss", "mse", "data", "train", "type", "idx",
	    "images", "/i", "labels", "/l");
	t_check(job != NULL);
	char *text = rkj_text(job);
	if (spec_parse_text(text, strlen(text), false, &s, &why) != RK_OK)
		t_fail("%s: %s", text, rk_why_first(&why));
	free(text);
	json_decref(job);
	nn_free(n);
	return s;
}

static void
digest_of(struct graph *r, const struct spec_model *m, char hex[RK_SHA256_HEX])
{
	struct nn_want w = graph_want(r);
	struct nn *n;

	w.model = m;
	t_check(nn_outline(&n, &w, NULL) == RK_OK);
	nn_digest(n, hex);
	nn_free(n);
}

T_CASE(random_graphs_as_text_are_the_same_programs)
{
	const long n = from_env("N", 1000), first = from_env("SEED", 700001);
	char a[RK_SHA256_HEX], b[RK_SHA256_HEX];
	struct graph r;
	long compared = 0;

	for (long i = 0; i < n; i++) {
		if (!graph_make(&r, (uint64_t)(first + i)))
			continue;
		if (!is_v1(&r)) {
			struct spec *s = as_job(&r);
			digest_of(&r, &r.m, a);
			digest_of(&r, &s->model, b);
			if (strcmp(a, b) != 0) {
				print_graph(&r);
				t_fail("the text is another program");
			}
			spec_free(s);
			compared++;
		}
		graph_free(&r);
	}
	t_check(compared >= n * 9 / 10);
}

/* --- threads -------------------------------------------------------------- */

/* A hash over what is seen of many graphs with so many threads, worked out in
 * a process of its own. */
static uint64_t
hash_with(int threads, long first, long n)
{
	uint64_t h = 0;
	int fd[2], st;

	t_check(pipe(fd) == 0);
	fflush(NULL);
	const pid_t p = fork();
	if (p == 0) {
		struct seen s = { 0 };
		struct graph r;
		t_check(kernel_init(threads) == RK_OK);
		for (long i = 0; i < n; i++) {
			if (!graph_make(&r, (uint64_t)(first + i)))
				continue;
			struct nn *nn = build(&r, NN_MIXED, false, false);
			run(&r, nn, false, &s);
			h = rk_hash64(h, s.v, s.n * sizeof(*s.v));
			nn_free(nn);
			graph_free(&r);
		}
		kernel_fini();
		free(s.v);
		t_check(write(fd[1], &h, sizeof(h)) == sizeof(h));
		exit(0);
	}
	close(fd[1]);
	t_check(read(fd[0], &h, sizeof(h)) == sizeof(h));
	close(fd[0]);
	t_check(waitpid(p, &st, 0) == p && st == 0);
	return h;
}

T_CASE(random_graphs_give_the_same_bytes_with_any_number_of_threads)
{
	const long n = from_env("N", 200), first = from_env("SEED", 500001);
	const uint64_t one = hash_with(1, first, n);

	for (int threads = 2; threads <= 4; threads++)
		t_check(hash_with(threads, first, n) == one);
}

T_MAIN
