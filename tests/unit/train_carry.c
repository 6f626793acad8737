/* What a warm start takes along of an optimizer, out of files of Paddle. */
#include <math.h>

#include "rekindle/format.h"
#include "rekindle/format_out.h"
#include "train_help.h"

#define LAST  "checkpoints/step-000000018/"
#define MODEL "a/" LAST "model.safetensors"
#define CARRY "training.warm_start.optimizer=all"
#define WHOLE "training.warm_start.learning_rate_scale=1"

static struct tensor_set *
load(const char *path)
{
	struct tensor_set *s = NULL;
	struct rk_why why = {0};

	if (format_load(path, &s, &why) != RK_OK)
		t_fail("%s: %s", path, rk_why_first(&why));
	return s;
}

static void
save(const char *path, const struct format_out_tensor *v, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	const struct format_sink to = { format_put_fd, &fd };
	struct rk_why why = {0};

	t_check(fd >= 0);
	if (format_out_paddle(&to, v, n, NULL, NULL, &why) != RK_OK)
		t_fail("%s: %s", path, rk_why_first(&why));
	close(fd);
}

/* A tensor as Paddle has it: linear weights lie the other way round. */
static struct format_out_tensor
turned(const struct tensor *t, char *name, char *alias)
{
	struct format_out_tensor o = { .name = name, .alias = alias,
		.dtype = DT_F32, .ndim = t->ndim, .read = t->ndim == 2 ?
		format_read_transposed : format_read_memory, .ctx = t->data };

	memcpy(o.d, t->d, sizeof(o.d));
	if (t->ndim == 2) {
		o.d[0] = t->d[1];
		o.d[1] = t->d[0];
	}
	return o;
}

static char *
paddles_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return strcmp(dot, ".running_mean") == 0 ? xasprintf("%.*s._mean",
	    (int)(dot - name), name) : strcmp(dot, ".running_var") == 0 ?
	    xasprintf("%.*s._variance", (int)(dot - name), name) :
	    xstrdup(name);
}

/* The parts of the state, by our names and by Paddle's. */
struct slots {
	const char *v[2][2];
	int n;
};
static const struct slots adams = { { { "exp_avg", "moment1" },
	{ "exp_avg_sq", "moment2" } }, 2 };
static const struct slots momentums = { { { "momentum_buffer", "velocity" } },
	1 };

/* Trains a, and writes its last checkpoint as m.pdparams and m.pdopt; beta2_pow
 * NULL: updates are not counted. */
static void
write_as_paddle(const struct slots *slots, float *beta2_pow,
    const char *optimizer)
{
	struct format_out_tensor v[16], s[32];
	size_t n = 0, m = 0;

	write_tiny("job.yaml", TINY_ADAM);
	train_ok("--run-dir", "a", "--set", optimizer, "job.yaml");
	struct tensor_set *model = load(MODEL);
	struct tensor_set *state = load("a/" LAST "optimizer.safetensors");
	for (size_t i = 0; i < model->n; i++) {
		const char *name = model->v[i].name;
		char *alias = xasprintf("parameter_%zu.w_0", i);
		v[n++] = turned(&model->v[i], paddles_name(name), alias);
		for (int k = 0; k < slots->n; k++) {
			char *of = xasprintf("%s.%s", name, slots->v[k][0]);
			const struct tensor *t = tensor_find(state, of);
			if (t != NULL)
				s[m++] = turned(t, xasprintf("%s_%s_0", alias,
				    slots->v[k][1]), NULL);
			free(of);
		}
		if (beta2_pow != NULL)
			s[m++] = (struct format_out_tensor){
				.name = xasprintf("%s_beta2_pow_acc_0", alias),
				.dtype = DT_F32, .ndim = 1, .d = { 1 },
				.read = format_read_memory, .ctx = beta2_pow };
	}
	save("m.pdparams", v, n);
	save("m.pdopt", s, m);
	tensor_set_free(model);
	tensor_set_free(state);
}

static void
write_adam_as_paddle(float beta2_pow)
{
	write_as_paddle(&adams, &beta2_pow, "training.optimizer.type=adam");
}

static void
same_moments(const char *a, const char *b)
{
	struct tensor_set *x = load(a), *y = load(b);

	t_eq_int(x->n, y->n);
	for (size_t i = 0; i < x->n; i++) {
		const struct tensor *t = tensor_find(y, x->v[i].name);
		t_check(t != NULL && t->nbytes == x->v[i].nbytes);
		if (memcmp(t->data, x->v[i].data, t->nbytes) != 0)
			t_fail("%s differs", t->name);
	}
	tensor_set_free(x);
	tensor_set_free(y);
}

T_CASE(moments_of_paddle_train_on_as_those_of_a_checkpoint_of_ours)
{
	write_adam_as_paddle(powf(0.999f, 19));
	train_ok("--run-dir", "b", "--model", MODEL, "--set", CARRY, "--set",
	    WHOLE, "job.yaml");
	file_has("out", "the optimizer's state of 6 tensors is taken along, "
	    "after 18 updates");
	train_ok("--run-dir", "c", "--model", "m.pdparams", "--set", CARRY,
	    "--set", WHOLE, "job.yaml");
	file_has("out", "the optimizer's state of 6 tensors is taken along, "
	    "after 18 updates");
	same_moments("b/" LAST "optimizer.safetensors",
	    "c/" LAST "optimizer.safetensors");
	/* And without them it is another training. */
	train_ok("--run-dir", "d", "--model", "m.pdparams", "--set", WHOLE,
	    "job.yaml");
	t_eq_int(count_in("out", "optimizer's state"), 0);
	struct tensor_set *x = load("c/" LAST "model.safetensors");
	struct tensor_set *y = load("d/" LAST "model.safetensors");
	t_check(memcmp(x->v[0].data, y->v[0].data, x->v[0].nbytes) != 0);
	tensor_set_free(x);
	tensor_set_free(y);
}

T_CASE(a_momentum_whose_updates_are_not_counted_is_not_dampened_as_a_first_one)
{
	static const char sgd[] = "training.optimizer={type: sgd, "
	    "learning_rate: 0.1, momentum: 0.9, dampening: 0.5}";

	write_as_paddle(&momentums, NULL, sgd);
	train_ok("--run-dir", "b", "--model", MODEL, "--set", CARRY, "--set",
	    WHOLE, "--set", sgd, "job.yaml");
	train_ok("--run-dir", "c", "--model", "m.pdparams", "--set", CARRY,
	    "--set", WHOLE, "--set", sgd, "job.yaml");
	same_moments("b/" LAST "optimizer.safetensors",
	    "c/" LAST "optimizer.safetensors");
}

T_CASE(what_is_said_of_a_schedule_that_goes_on_counts_the_steps_before)
{
	static const char goes_on[] = "training.warm_start.schedule=continue";

	write_adam_as_paddle(powf(0.999f, 19));
	train_ok("--run-dir", "b", "--model", "m.pdparams", "--set", CARRY,
	    "--set", "training.schedule={type: cosine, length: 30}",
	    "job.yaml");
	file_has("out", "30 steps after the warm-up are longer than the run "
	    "of 18");
	train_ok("--run-dir", "c", "--model", "m.pdparams", "--set", CARRY,
	    "--set", "training.schedule={type: cosine, length: 30}", "--set",
	    goes_on, "job.yaml");
	t_eq_int(count_in("out", "longer than the run"), 0);
	train_ok("--run-dir", "d", "--model", "m.pdparams", "--set", CARRY,
	    "--set", "training.schedule={type: cosine, length: 50}", "--set",
	    goes_on, "job.yaml");
	file_has("out", "50 steps after the warm-up are longer than the run "
	    "of 36");
}

T_CASE(the_convention_of_paddles_statistics_goes_on_over_a_resume)
{
	write_adam_as_paddle(powf(0.999f, 19));
	train_ok("--run-dir", "whole", "--model", "m.pdparams", "job.yaml");
	file_has("out", "batch norms go on by that convention");
	train_ok("--run-dir", "b", "--model", "m.pdparams", "--set",
	    "training.steps=7", "job.yaml");
	file_has("b/checkpoints/step-000000007/checkpoint.json",
	    "\"running\": \"biased\"");
	train_ok("--run-dir", "b", "--model", "m.pdparams", "job.yaml");
	same_checkpoint("whole/checkpoints/step-000000018",
	    "b/checkpoints/step-000000018");
	/* The file of PyTorch's names ends elsewhere. */
	train_ok("--run-dir", "ours", "--model", MODEL, "job.yaml");
	struct tensor_set *x = load("whole/" LAST "model.safetensors");
	struct tensor_set *y = load("ours/" LAST "model.safetensors");
	const struct tensor *p = tensor_find(x, "bn.running_var");
	const struct tensor *q = tensor_find(y, "bn.running_var");
	t_check(memcmp(p->data, q->data, p->nbytes) != 0);
	tensor_set_free(x);
	tensor_set_free(y);
}

T_CASE(a_power_that_is_0_is_an_assumption_that_is_said)
{
	write_adam_as_paddle(0);
	train_ok("--run-dir", "b", "--model", "m.pdparams", "--set", CARRY,
	    "job.yaml");
	file_has("out", "beta2_pow is 0: it has underflowed");
	file_has("out", "so many that the bias corrections are 1");
}

T_CASE(what_cannot_be_carried_is_skipped_with_the_reason)
{
	write_adam_as_paddle(powf(0.999f, 19));
	train_ok("--run-dir", "b", "--model", "m.pdparams", "--set", CARRY,
	    "--set", "training.optimizer={type: rmsprop}", "job.yaml");
	file_has("out", "skip square_avg: RMSProp of Paddle has its epsilon "
	    "inside the root");
	t_check(unlink("m.pdopt") == 0);
	train_ok("--run-dir", "c", "--model", "m.pdparams", "--set", CARRY,
	    "job.yaml");
	file_has("out", "skip the optimizer's state: m.pdopt: ");
	t_eq_int(train("--run-dir", "d", "--model", "m.pdparams", "--set",
	    "training.warm_start.schedule=continue", "job.yaml"),
	    TRAIN_REFUSED);
	file_has("err", "schedule: is continue, and the file does not say");
	t_eq_int(train("--run-dir", "e", "--model", "m.pdparams", "--set",
	    "training.warm_start.ema=true", "job.yaml"), TRAIN_REFUSED);
	file_has("err", "has no moving average beside its model");
}

T_MAIN
