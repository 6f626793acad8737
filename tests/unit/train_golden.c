/*
 * What PyTorch computes in double precision, we compute too: every op and every
 * loss, forward, backward and in inference.  tests/numerics/make_goldens.py wrote
 * tests/unit/golden/OP.safetensors and says what lies there; a new op gets its
 * cases in there.
 */
#include "u_step.h"

static char *folder;

/* A case runs in a directory of its own. */
__attribute__((constructor)) static void
find_folder(void)
{
	folder = realpath("tests/unit/golden", NULL);
}

static const char *
meta(const struct tensor_set *s, const char *prefix, const char *key)
{
	char *full = xasprintf("%s%s", prefix, key);
	const char *found = NULL;

	for (char **m = s->meta; m != NULL && *m != NULL; m += 2)
		if (strcmp(m[0], full) == 0)
			found = m[1];
	if (found == NULL)
		u_die("the file does not say %s", full);
	free(full);
	return found;
}

static struct spec *
job_of(const struct tensor_set *s, const char *prefix)
{
	struct rk_why why = {0};
	struct spec *job = NULL;
	char *text = xasprintf("{\"name\": \"golden\", \"model\": %s, "
	    "\"training\": {\"steps\": 1, \"loss\": %s}, \"data\": {\"train\": "
	    "{\"type\": \"idx\", \"images\": \"/none\", \"labels\": "
	    "\"/none\"}}}", meta(s, prefix, "model"), meta(s, prefix, "loss"));

	if (spec_parse_text(text, strlen(text), false, &job, &why) != RK_OK)
		u_die("%s: %s", text, rk_why_text(&why));
	free(text);
	return job;
}

struct golden {
	const struct tensor_set *set;
	const char *prefix, *what;
	double least;                   /* see check() */
	int taken;
};

static double
norm(const float *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)v[i] * v[i];
	return sqrt(sum);
}

/* Of a tensor of PyTorch's. */
static double
norm_of(const struct tensor *t)
{
	const size_t n = tensor_count(t);
	float *v = xmalloc((n + 1) * sizeof(*v));

	u_floats(t, v, (int64_t)n);
	double x = norm(v, n);
	free(v);
	return x;
}

/* Of all gradients together. */
static double
norm_of_gradients(const struct golden *g)
{
	char *want = xasprintf("%sgrad.", g->prefix);
	double sum = 0;

	for (size_t i = 0; i < g->set->n; i++) {
		const struct tensor *t = &g->set->v[i];
		if (strncmp(t->name, want, strlen(want)) == 0)
			sum += norm_of(t) * norm_of(t);
	}
	free(want);
	return sqrt(sum);
}

/*
 * Sums of at most 200 terms of about 1: they err by sqrt(200) roundings of 6e-8
 * at most, and what is divided or taken the exponential of by a few more.  A
 * gradient that comes to nothing is a sum of terms as large as those of others,
 * so that it may err as much: no tensor counts as smaller than a tenth of all
 * gradients.
 */
#define TOLERANCE 3e-6

static void
check(void *ctx, const char *name, int ndim, const int64_t *d, const float *v)
{
	struct golden *g = ctx;
	const struct tensor *t = u_find(g->set, g->prefix, name);
	const size_t n = tensor_count(t);
	float *want = xmalloc((n + 1) * sizeof(*want));
	double off = 0;

	if (t->ndim != ndim || (ndim > 0 && memcmp(t->d, d, (size_t)ndim *
	    sizeof(*d)) != 0))
		t_fail("%s: %s has another shape than PyTorch's", g->what,
		    name);
	u_floats(t, want, (int64_t)n);
	for (size_t i = 0; i < n; i++)
		off += ((double)v[i] - want[i]) * ((double)v[i] - want[i]);
	off = sqrt(off);
	if (!(off <= TOLERANCE * RK_MAX(norm(want, n), g->least)))
		t_fail("%s: %s is off by %.3g of %.3g", g->what, name, off,
		    norm(want, n));
	free(want);
	g->taken++;
}

/* Every result that the file has was computed. */
static void
check_all_taken(const struct golden *g)
{
	const size_t len = strlen(g->prefix);
	int want = 0;

	for (size_t i = 0; i < g->set->n; i++) {
		const char *name = g->set->v[i].name;
		if (strncmp(name, g->prefix, len) != 0)
			continue;
		name += len;
		want += strcmp(name, "input") != 0 &&
		    strcmp(name, "target") != 0 &&
		    strncmp(name, "weight.", 7) != 0;
	}
	t_eq_int(g->taken, want);
}

static void
replay(const char *op)
{
	if (folder == NULL)
		t_fail("run it from the root of the source: it reads "
		    "tests/unit/golden");
	char *path = xasprintf("%s/%s.safetensors", folder, op);
	if (access(path, R_OK) != 0)
		t_fail("there is no %s: tests/numerics/make_goldens.py %s "
		    "writes it", path, op);
	struct tensor_set *s = u_tensors(path);
	int cases = atoi(meta(s, "", "cases"));

	t_check(cases > 0);
	t_check(kernel_init(1) == RK_OK);
	for (int i = 0; i < cases; i++) {
		char prefix[16], weights[24];
		snprintf(prefix, sizeof(prefix), "%d.", i);
		snprintf(weights, sizeof(weights), "%d.weight.", i);
		struct spec *job = job_of(s, prefix);
		struct golden g = { .set = s, .prefix = prefix,
			.what = meta(s, prefix, "what") };
		g.least = norm_of_gradients(&g) / 10;
		u_step(job, s, weights, s, prefix, check, &g);
		check_all_taken(&g);
		spec_free(job);
	}
	kernel_fini();
	tensor_set_free(s);
	free(path);
}

#define OP(op, min, max, text)                                            \
	T_CASE(op##_computes_what_PyTorch_does) { replay(#op); }
#include "rekindle/ops.def"

#define LOSS(loss)                                                        \
	T_CASE(loss_##loss##_computes_what_PyTorch_does)                  \
	{                                                                 \
		replay("loss_" #loss);                                    \
	}
LOSS(cross_entropy)
LOSS(binary_cross_entropy)
LOSS(mse)
LOSS(l1)
LOSS(smooth_l1)

T_MAIN
