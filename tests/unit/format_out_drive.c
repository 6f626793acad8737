/*
 * Writes what a file of weights has as another format, for tests/interop:
 *
 *	format_out_drive write KIND FILE OUT    its model's tensors as safetensors,
 *	                                        pdparams or pt; names and aliases
 *	                                        stay, and nothing is transposed
 *	format_out_drive state KIND FILE OUT    its optimiser's as pdopt or pt
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rekindle/format.h"
#include "rekindle/format_out.h"
#include "rekindle/format_weights.h"
#include "t.h"

static int
fail(const struct rk_why *why)
{
	fprintf(stderr, "%s\n", rk_why_first(why));
	return 1;
}

static json_t *
value_json(const struct weights_value *v)
{
	switch (v->kind) {
	case WEIGHTS_BOOL:
		return json_boolean(v->i);
	case WEIGHTS_INT:
		return json_integer(v->i);
	case WEIGHTS_FLOAT:
		return json_real(v->f);
	case WEIGHTS_TEXT:
		return json_string(v->text);
	default:
		return json_null();
	}
}

static enum rk_err
read_tensor(const struct format_out_tensor *t, uint64_t from, size_t n,
    void *dst, struct rk_why *why)
{
	return weights_read(t->ctx, from, n, dst, why);
}

/* The tensors of a role; the caller frees. */
static struct format_out_tensor *
choose(const struct weights *w, enum weights_role role, size_t *n)
{
	struct format_out_tensor *v = xcalloc(w->n + 1, sizeof(*v));

	*n = 0;
	for (size_t i = 0; i < w->n; i++) {
		const struct weights_tensor *t = &w->v[i];
		if (t->role != role)
			continue;
		struct format_out_tensor *o = &v[(*n)++];
		*o = (struct format_out_tensor){ .name = t->name, .alias =
		    t->alias, .dtype = t->dtype, .ndim = t->ndim, .read =
		    read_tensor, .ctx = t };
		memcpy(o->d, t->d, sizeof(o->d));
	}
	return v;
}

static enum rk_err
write_kind(const char *kind, const struct format_sink *to,
    const struct format_out_tensor *v, size_t n, struct rk_why *why)
{
	char *meta[] = { (char[]){ "format" }, (char[]){ "pt" }, NULL };

	if (strcmp(kind, "safetensors") == 0)
		return format_out_safetensors(to, v, n, meta, NULL, why);
	if (strcmp(kind, "pdparams") == 0)
		return format_out_paddle(to, v, n, NULL, NULL, why);
	if (strcmp(kind, "pt") == 0)
		return format_out_torch(to, v, n, NULL, why);
	return rk_refuse(why, "no kind %s", kind);
}

/* Adam's state, with the numbers of torch.optim.Adam's group where it is pt. */
static enum rk_err
write_state(const char *kind, const struct format_sink *to,
    const struct weights *w, const struct format_out_tensor *v, size_t n,
    struct rk_why *why)
{
	struct format_paddle_rate rate = { 0, 0 };
	double last;

	if (strcmp(kind, "pdopt") == 0) {
		const bool has = weights_number(w, "LR_Scheduler.last_lr",
		    &rate.last_lr) && weights_number(w,
		    "LR_Scheduler.last_epoch", &last);
		rate.last_epoch = has ? (int64_t)last : 0;
		return format_out_paddle(to, v, n, has ? &rate : NULL, NULL,
		    why);
	}
	struct format_torch_slot *slots = xcalloc(n + 1, sizeof(*slots));
	json_t *group = json_object();
	size_t params = 0;
	for (size_t i = 0; i < n; i++) {
		const struct weights_tensor *t = v[i].ctx;
		slots[i].param = (size_t)atol(t->of != NULL ? t->of : "0");
		slots[i].key = t->slot;
		params = RK_MAX(params, slots[i].param + 1);
	}
	static const char prefix[] = "param_groups.0.";
	for (size_t i = 0; i < w->nvalues; i++) {
		const char *at = strstr(w->values[i].path, prefix);
		const char *key = at != NULL ? at + sizeof(prefix) - 1 : "";
		if (at == NULL || strncmp(key, "params", 6) == 0)
			continue;
		if (strncmp(key, "betas.", 6) != 0) {
			json_object_set_new(group, key,
			    value_json(&w->values[i]));
			continue;
		}
		if (json_object_get(group, "betas") == NULL)
			json_object_set_new(group, "betas", json_array());
		json_array_append_new(json_object_get(group, "betas"),
		    value_json(&w->values[i]));
	}
	enum rk_err rc = format_out_torch_optimizer(to, v, slots, n, params,
	    group, NULL, why);
	json_decref(group);
	free(slots);
	return rc;
}

static int
write_out(const struct weights *w, bool state, const char *kind,
    const char *path)
{
	struct rk_why why = {0};
	size_t n;
	struct format_out_tensor *v = choose(w, state ? WEIGHTS_OPTIMIZER :
	    WEIGHTS_MODEL, &n);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	const struct format_sink to = { format_put_fd, &fd };

	must(fd >= 0);
	enum rk_err rc = state ? write_state(kind, &to, w, v, n, &why) :
	    write_kind(kind, &to, v, n, &why);
	rk_close(&fd);
	free(v);
	const int status = rc == RK_OK ? 0 : fail(&why);
	rk_why_fini(&why);
	return status;
}

static int
drive(const char *const *argv)
{
	struct rk_why why = {0};
	struct weights *w;

	if (weights_open(argv[3], NULL, &w, &why) != RK_OK) {
		const int status = fail(&why);
		rk_why_fini(&why);
		return status;
	}
	const int status = write_out(w, strcmp(argv[1], "state") == 0, argv[2],
	    argv[4]);
	weights_free(w);
	return status;
}

__attribute__((constructor)) static void
drive_main(int argc, char **argv)
{
	if (argc < 2)
		return;
	const int status = argc == 5 ? drive((const char *const *)argv) : 2;
	fflush(stdout);
	_exit(status);
}

T_CASE(what_is_written_is_read_again)
{
	static const float x[] = { 1, 2, 3, 4, 5, 6 };
	static const char *const kinds[] = { "safetensors", "pdparams", "pt" };
	const int64_t shape[] = { 2, 3 };
	struct tensor_set *s = tensor_set_new();
	struct weights *w;

	t_eq_int(tensor_set_add(s, "fc.weight", DT_F32, 2, shape, x, NULL),
	    RK_OK);
	t_eq_int(tensor_set_seal(s, NULL), RK_OK);
	t_eq_int(format_save("a", s), RK_OK);
	tensor_set_free(s);
	for (size_t i = 0; i < RK_ARRAY_LEN(kinds); i++) {
		float got[6];
		const char *const args[] = { "", "write", kinds[i], "a", "b" };
		t_eq_int(drive(args), 0);
		t_eq_int(weights_open("b", NULL, &w, NULL), RK_OK);
		t_eq_int((int64_t)w->n, 1);
		t_eq_int(weights_read_f32(&w->v[0], 0, 6, got, NULL), RK_OK);
		t_check(memcmp(got, x, sizeof(x)) == 0);
		weights_free(w);
	}
}

T_MAIN
