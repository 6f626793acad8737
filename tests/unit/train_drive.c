/*
 * A network's graph and one of its steps, for the tests in tests/numerics:
 *
 *	train_drive --graph JOB SHAPE           SHAPE: 3,32,32 or 16:i32
 *	train_drive --step JOB WEIGHTS BATCH OUT THREADS
 *
 * --graph prints {"layers": [...], "tensors": [...], ...}: the job's network as a
 * flat list of layers, and its tensors.  --step computes inference and one training
 * step, see u_step.h, and writes the results to OUT; all are safetensors files.
 */
#include "u_step.h"

static struct spec *
load_job(const char *path)
{
	struct spec *s = NULL;
	struct rk_why why = {0};

	if (spec_load(path, &s, &why) != RK_OK)
		u_die("%s: %s", path, rk_why_text(&why));
	return s;
}

/* --- the step ------------------------------------------------------------- */

struct results {
	struct tensor_set *set;
	void **kept;                    /* the data of its tensors */
};

static void
keep(void *ctx, const char *name, int ndim, const int64_t *d, const float *v)
{
	struct results *r = ctx;
	struct rk_why why = {0};
	size_t count = 1;

	for (int i = 0; i < ndim; i++)
		count *= (size_t)d[i];
	float *copy = xmalloc((count + 1) * sizeof(*copy));
	memcpy(copy, v, count * sizeof(*copy));
	r->kept = xrealloc(r->kept, (r->set->n + 1) * sizeof(*r->kept));
	r->kept[r->set->n] = copy;
	if (tensor_set_add(r->set, name, DT_F32, ndim, d, copy, &why) != RK_OK)
		u_die("%s: %s", name, rk_why_first(&why));
}

static void
step(const char *job, const char *weights, const char *batch, const char *out,
    int threads)
{
	struct spec *s = load_job(job);
	struct tensor_set *w = u_tensors(weights), *b = u_tensors(batch);
	struct results r = { .set = tensor_set_new() };

	if (kernel_init(threads) != RK_OK)
		u_die("no team of %d threads", threads);
	u_step(s, w, "", b, "", keep, &r);
	if (format_save(out, r.set) != RK_OK)
		u_die("cannot write %s", out);
	for (size_t i = 0; i < r.set->n; i++)
		free(r.kept[i]);
	free(r.kept);
	tensor_set_free(r.set);
	tensor_set_free(w);
	tensor_set_free(b);
	spec_free(s);
	kernel_fini();
}

/* --- the graph ------------------------------------------------------------ */

static json_t *
tensors_json(const struct nn *n)
{
	json_t *v = json_array();

	for (size_t i = 0; i < nn_ntensors(n); i++) {
		const struct nn_tensor *t = nn_tensor_at(n, i);
		json_t *shape = json_array();
		for (int k = 0; k < t->ndim; k++)
			must(json_array_append_new(shape,
			    json_integer(t->d[k])) == 0);
		must(json_array_append_new(v, json_pack("{s:s, s:b, s:o}",
		    "name", t->name, "buffer", t->is_buffer, "shape", shape))
		    == 0);
	}
	return v;
}

static int
read_shape(const char *text, int64_t d[SPEC_MAX_DIMS])
{
	int ndim = 0;

	while (ndim < SPEC_MAX_DIMS) {
		char *end;
		d[ndim++] = strtoll(text, &end, 10);
		if (*end != ',')
			break;
		text = end + 1;
	}
	return ndim;
}

static void
graph(const char *job, const char *shape)
{
	struct spec *s = load_job(job);
	int64_t d[SPEC_MAX_DIMS];
	int ndim = read_shape(shape, d);
	struct nn *n = u_network(s, true, strstr(shape, ":i32") != NULL ?
	    NN_I32 : NN_F32, ndim, d, 1);
	json_t *o = nn_layers(n);

	must(json_object_set_new(o, "tensors", tensors_json(n)) == 0);
	char *text = rkj_pretty(o);
	puts(text);
	free(text);
	json_decref(o);
	nn_free(n);
	spec_free(s);
}

/* What begins with -- is not the name of a case. */
__attribute__((constructor)) static void
drive_main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--graph") == 0)
		graph(argv[2], argv[3]);
	else if (argc == 7 && strcmp(argv[1], "--step") == 0)
		step(argv[2], argv[3], argv[4], argv[5], atoi(argv[6]));
	else
		return;
	fflush(stdout);
	_exit(0);
}

/* --- the driver itself ---------------------------------------------------- */

static void
write_set(const char *path, size_t n, const struct tensor *v)
{
	struct tensor_set *s = tensor_set_new();
	struct rk_why why = {0};

	for (size_t i = 0; i < n; i++)
		t_check(tensor_set_add(s, v[i].name, v[i].dtype, v[i].ndim,
		    v[i].d, v[i].data, &why) == RK_OK);
	t_check(format_save(path, s) == RK_OK);
	tensor_set_free(s);
}

/* Logits 0 of 2 classes: the loss is ln 2, and the gradient of a logit 1/2, less
 * 1 where it is the row's class; both rows are of class 1. */
T_CASE(a_step_of_a_known_network_has_the_known_loss_and_gradients)
{
	static const float zero[4], x[4] = { 1, 2, 3, 4 };
	static const int32_t y[2] = { 1, 1 };
	static char a[] = "a.weight", b[] = "a.bias", i[] = "input",
	    t[] = "target";
	float mean, g[2];
	FILE *f = fopen("job", "we");

	t_check(f != NULL && fputs("name: j\nmodel: {layers: [{type: "
	    "linear, name: a, out: 2}]}\ntraining: {steps: 1}\ndata: {train: "
	    "{type: csv, path: /none, label: y}}\n", f) >= 0 && fclose(f) == 0);
	write_set("w", 2, (const struct tensor[]){
	    { .name = a, .dtype = DT_F32, .ndim = 2, .d = { 2, 2 },
	    .data = zero },
	    { .name = b, .dtype = DT_F32, .ndim = 1, .d = { 2 },
	    .data = zero } });
	write_set("b", 2, (const struct tensor[]){
	    { .name = i, .dtype = DT_F32, .ndim = 2, .d = { 2, 2 },
	    .data = x },
	    { .name = t, .dtype = DT_I32, .ndim = 1, .d = { 2 },
	    .data = y } });
	step("job", "w", "b", "out", 1);
	struct tensor_set *out = u_tensors("out");
	u_floats(u_find(out, "", "loss"), &mean, 1);
	t_near(mean, log(2), 1e-7);     /* a float below 1 errs by 6e-8 */
	u_floats(u_find(out, "", "grad.a.bias"), g, 2);
	t_near(g[0], 0.5, 1e-7);
	t_near(g[1], -0.5, 1e-7);
	tensor_set_free(out);
}

T_MAIN
