/* --export: see export.h and train.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"
#include "summary.h"

#define CKPT_JSON "checkpoint.json"

/* --- the checkpoint ------------------------------------------------------- */

static bool
cannot(struct export *x, const char *reason, const char *because)
{
	return run_fail(x->r, reason, true, "cannot %s %s: %s", x->deed,
	    x->folder, because);
}

static bool
read_info(struct export *x)
{
	char *path = xasprintf("%s/" CKPT_JSON, x->folder), *text = NULL;
	struct rk_why why = {0};
	size_t len;

	enum rk_err rc = rk_read_file(AT_FDCWD, path, CKPT_JSON_MAX, &text,
	    &len);
	bool ok = rc == RK_OK;
	if (rc == RK_ENOENT)
		cannot(x, "gone", "is no folder with a " CKPT_JSON ": want "
		    "that of a checkpoint");
	else if (!ok)
		cannot(x, "io", rk_strerror(rc));
	if (ok && ckpt_info_parse(text, len, NULL, &x->info, &why) != RK_OK)
		ok = cannot(x, "bad_checkpoint", why.n > 0 ?
		    rk_why_first(&why) : "its " CKPT_JSON " is damaged");
	rk_why_fini(&why);
	free(text);
	free(path);
	return ok;
}

/* Mapped, and its digest is the one that it was committed with. */
static bool
check_file(struct export *x, const struct ckpt_file *f)
{
	char *path = xasprintf("%s/%s", x->folder, f->name);
	struct rk_why why = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const enum rk_err rc = fd < 0 ? RK_ENOENT : ckpt_file_sums(fd, f, NULL,
	    &why);

	if (fd < 0)
		run_fail(x->r, "gone", true, "cannot export %s: its %s is not "
		    "there (any more)", x->folder, f->name);
	else if (rc != RK_OK)
		run_fail(x->r, "bad_checkpoint", true, "cannot export %s: %s",
		    x->folder, why.n > 0 ? rk_why_first(&why) :
		    rk_strerror(rc));
	rk_close(&fd);
	rk_why_fini(&why);
	free(path);
	return rc == RK_OK;
}

/* All that the model or the optimizer's state is in; any: there is some. */
static bool
check_files(struct export *x, bool state, bool *any)
{
	bool ok = true;

	*any = false;
	for (int k = 0; k < x->info.nfiles && ok; k++) {
		const struct ckpt_file *f = &x->info.files[k];
		if (state ? strcmp(f->name, CKPT_OPTIM_FILE) != 0 :
		    !ckpt_is_of_model(f))
			continue;
		*any = true;
		ok = check_file(x, f);
	}
	return ok;
}

static bool
load_files(struct export *x, bool state)
{
	char *path = xasprintf("%s/" CKPT_OPTIM_FILE, x->folder);
	struct rk_why why = {0};
	enum rk_err rc = RK_OK;
	bool any;

	bool ok = check_files(x, state, &any);
	if (ok && any)
		rc = state ? format_load(path, &x->optim, &why) :
		    ckpt_load_model(x->folder, &x->info, &x->model, &why);
	if (rc != RK_OK)
		ok = run_fail(x->r, "bad_checkpoint", true, "cannot export "
		    "%s: %s", x->folder, why.n > 0 ? rk_why_first(&why) :
		    rk_strerror(rc));
	rk_why_fini(&why);
	free(path);
	return ok;
}

/* --- the network ---------------------------------------------------------- */

/* The shape of a sample that the checkpoint tells; without it, of checkpoints
 * of format 1, the model's own. */
static void
take_input(struct nn_want *w, const json_t *input)
{
	const json_t *shape = json_object_get(input, "shape");
	const char *dtype = json_string_value(json_object_get(input,
	    "dtype"));
	const size_t n = json_array_size(shape);

	if (n == 0 || n > SPEC_MAX_DIMS || dtype == NULL)
		return;
	w->dtype = strcmp(dtype, "i32") == 0 ? NN_I32 : NN_F32;
	w->ndim = (int)n;
	for (size_t i = 0; i < n; i++)
		w->d[i] = json_integer_value(json_array_get(shape, i));
}

static bool
outline(struct export *x, const struct spec_model *model, struct nn **out)
{
	struct nn_want w = { .model = model, .batch = 1,
		.loss = &x->r->spec->training.loss,
		.memory_limit = UINT64_MAX };
	struct rk_why why = {0};

	take_input(&w, x->info.input);
	enum rk_err rc = nn_outline(out, &w, &why);
	if (rc == RK_EINVAL && w.ndim == 0 && x->info.format == 1 &&
	    (*out = export_guess(x, &w)) != NULL)
		rc = RK_OK;
	if (rc != RK_OK)
		run_fail(x->r, "bad_spec", true, "cannot tell the network of "
		    "%s: %s", x->folder, rk_why_first(&why));
	rk_why_fini(&why);
	return rc == RK_OK;
}

/* PaddleClas makes batch norms as BatchNorm, who builds of layers as
 * BatchNorm1D and BatchNorm2D, by what comes in. */
static enum warm_layer
batch_norm_of(const struct export *x, const struct nn_tensor *t)
{
	const struct spec_model *m = &x->r->spec->model;
	const enum spec_family f = spec_family_of(m->arch);
	const size_t len = (size_t)(strrchr(t->name, '.') - t->name);
	struct nn_layer l;

	if (x->target == WARM_TO_PADDLE &&
	    ((f == SPEC_FAMILY_resnet && m->u.resnet.variant == 1) ||
	    (f == SPEC_FAMILY_mobilenet_v2 && m->u.mobilenet_v2.variant == 1) ||
	    (f == SPEC_FAMILY_mobilenet_v3 && m->u.mobilenet_v3.variant == 1)))
		return WARM_LAYER_BATCH_NORM;
	for (size_t i = 0; i < nn_nlayers(x->r->nn); i++)
		if (nn_layer_at(x->r->nn, i, &l) && strlen(l.name) == len &&
		    strncmp(l.name, t->name, len) == 0)
			return l.ndim >= 3 ? WARM_LAYER_BATCH_NORM2D :
			    WARM_LAYER_BATCH_NORM1D;
	return WARM_LAYER_BATCH_NORM2D;
}

static enum warm_layer
layer_of(const struct export *x, const struct nn_tensor *t)
{
	switch (t->op) {
	case SPEC_OP_linear:
		return WARM_LAYER_LINEAR;
	case SPEC_OP_conv2d:
		return WARM_LAYER_CONV2D;
	case SPEC_OP_embedding:
		return WARM_LAYER_EMBEDDING;
	case SPEC_OP_layer_norm:
		return WARM_LAYER_LAYER_NORM;
	case SPEC_OP_batch_norm:
		return batch_norm_of(x, t);
	default:
		return WARM_LAYER_OTHER;
	}
}

/* --- names ---------------------------------------------------------------- */

/*
 * Networks that the target's own library has, too, under other names: those of
 * this variant.  Others keep the names that they have.
 */
static const struct twin {
	enum spec_family family;
	bool paddle;                    /* the target is */
	int variant;                    /* archs.def */
} twins[] = {
	{ SPEC_FAMILY_resnet, false, 0 },       /* torchvision, timm */
	{ SPEC_FAMILY_bert, false, 0 },         /* Hugging Face */
	{ SPEC_FAMILY_bert, true, 1 },          /* PaddleNLP */
};

static int *
variant_of(struct spec_model *m)
{
	return spec_family_of(m->arch) == SPEC_FAMILY_bert ?
	    &m->u.bert.variant : &m->u.resnet.variant;
}

static bool
same_place(const struct nn_tensor *a, const struct nn_tensor *b)
{
	bool same = a->op == b->op && a->is_buffer == b->is_buffer &&
	    a->ndim == b->ndim;

	for (int i = 0; same && i < a->ndim; i++)
		same = a->d[i] == b->d[i];
	return same;
}

/* The names of the twin, if it is the same network: layer by layer. */
static void
take_names(struct export *x, const struct nn *twin)
{
	const size_t n = nn_ntensors(x->r->nn);
	bool same = nn_ntensors(twin) == n;

	for (size_t i = 0; same && i < n; i++)
		same = same_place(nn_tensor_at(x->r->nn, i),
		    nn_tensor_at(twin, i));
	if (!same)
		return;
	x->names = xcalloc(n + 1, sizeof(*x->names));
	for (size_t i = 0; i < n; i++)
		x->names[i] = xstrdup(nn_tensor_at(twin, i)->name);
}

static bool
name_tensors(struct export *x)
{
	/* A copy that owns nothing of what it points to. */
	struct spec_model m = x->r->spec->model;
	const bool paddle = x->target == WARM_TO_PADDLE;
	struct nn *twin = NULL;

	for (size_t k = 0; k < RK_ARRAY_LEN(twins); k++) {
		if (twins[k].family != spec_family_of(m.arch) ||
		    twins[k].paddle != paddle ||
		    *variant_of(&m) == twins[k].variant)
			continue;
		*variant_of(&m) = twins[k].variant;
		if (!outline(x, &m, &twin))
			return false;
		take_names(x, twin);
		nn_free(twin);
		return true;
	}
	return true;
}

bool
export_list(struct export *x)
{
	if (!outline(x, &x->r->spec->model, &x->r->nn) || !name_tensors(x))
		return false;
	x->nown = nn_ntensors(x->r->nn);
	x->own = xcalloc(x->nown + 1, sizeof(*x->own));
	for (size_t i = 0; i < x->nown; i++) {
		const struct nn_tensor *t = nn_tensor_at(x->r->nn, i);
		struct warm_own *o = &x->own[i];
		*o = (struct warm_own){ .ndim = t->ndim,
			.name = x->names != NULL ? x->names[i] : t->name,
			.layer = layer_of(x, t), .buffer = t->is_buffer };
		memcpy(o->d, t->d, (size_t)t->ndim * sizeof(t->d[0]));
	}
	x->as = warm_export_new(x->target, x->own, x->nown);
	return true;
}

/* --- numbers -------------------------------------------------------------- */

bool
export_tensor(struct export *x, const struct tensor_set *from,
    const char *name, const struct warm_given *g, struct format_out_tensor *to)
{
	const struct tensor *t = from != NULL ? tensor_find(from, name) : NULL;
	const struct warm_own *o = &x->own[g->own];
	bool good = t != NULL && t->dtype == DT_F32 && t->ndim == o->ndim;

	for (int i = 0; good && i < t->ndim; i++)
		good = t->d[i] == o->d[i];
	if (!good)
		return run_fail(x->r, "bad_checkpoint", true, "cannot export "
		    "%s: %s is not there in the shape that the job's network "
		    "has it", x->folder, name);
	*to = (struct format_out_tensor){ .name = g->name, .alias = g->alias,
		.dtype = DT_F32, .ndim = g->ndim, .ctx = t->data,
		.read = g->turned ? format_read_transposed :
		    format_read_memory };
	memcpy(to->d, g->d, sizeof(to->d));
	return true;
}

static bool
model_tensors(struct export *x)
{
	x->out = xcalloc(x->as->n + 1, sizeof(*x->out));
	x->batches = x->info.step;
	for (size_t i = 0; i < x->as->n; i++) {
		const struct warm_given *g = &x->as->v[i];
		struct format_out_tensor *to = &x->out[x->nout++];
		if (g->own < 0)
			*to = (struct format_out_tensor){ .name = g->name,
				.dtype = DT_I64, .ctx = &x->batches,
				.read = format_read_memory };
		else if (!export_tensor(x, x->model, nn_tensor_at(x->r->nn,
		    (size_t)g->own)->name, g, to))
			return false;
	}
	return true;
}

/* --- the file ------------------------------------------------------------- */

static enum rk_err
write_form(const struct export *x, const struct format_sink *to,
    uint64_t *size, struct rk_why *why)
{
	/* What readers of PyTorch's side look for. */
	char key[] = "format", value[4];
	char *const meta[] = { key, value, NULL };

	snprintf(value, sizeof(value), "%s", x->meta != NULL ? x->meta : "pt");

	if (x->whole)
		return format_out_set(to, x->model, size, why);
	switch (x->form) {
	case CKPT_PDPARAMS:
		return format_out_paddle(to, x->out, x->nout, NULL, size, why);
	case CKPT_PDOPT:
		return format_out_paddle(to, x->out, x->nout, &x->rate, size,
		    why);
	case CKPT_PT:
		return format_out_torch(to, x->out, x->nout, size, why);
	case CKPT_OPTIMIZER_PT:
		return format_out_torch_optimizer(to, x->out, x->slots,
		    x->nout, x->params, x->group, size, why);
	default:
		return format_out_safetensors(to, x->out, x->nout, meta, size,
		    why);
	}
}

static bool
write_failed(struct export *x, enum rk_err rc, struct rk_why *why)
{
	run_fail(x->r, rc == RK_EINVAL ? "no_form" : "io", rc == RK_EINVAL,
	    "cannot %s %s: %s", x->deed, x->folder, why->n > 0 ?
	    rk_why_first(why) : rk_strerror(rc));
	rk_why_fini(why);
	return false;
}

/* To standard output, but for the first bytes. */
static enum rk_err
put_rest(void *ctx, const void *p, size_t n, struct rk_why *why)
{
	uint64_t *skip = ctx;
	int fd = STDOUT_FILENO;
	const size_t less = (size_t)RK_MIN(*skip, (uint64_t)n);

	*skip -= less;
	return less == n ? RK_OK : format_put_fd(&fd, (const char *)p + less,
	    n - less, why);
}

/* A line of JSON with its size, then the file, to standard output. */
static bool
put_out(struct export *x)
{
	uint64_t skip = (uint64_t)x->r->o->skip;
	const struct format_sink count = { 0 }, sink = { put_rest, &skip };
	struct rk_why why = {0};
	uint64_t size;

	enum rk_err rc = write_form(x, &count, &size, &why);
	if (rc == RK_OK) {
		printf("{\"bytes\": %llu}\n", (unsigned long long)size);
		if (fflush(stdout) != 0)
			rc = RK_EIO;
	}
	if (rc == RK_OK)
		rc = write_form(x, &sink, NULL, &why);
	return rc == RK_OK || write_failed(x, rc, &why);
}

/* What is written is named: two paths are in play. */
static enum rk_err
put_named(void *ctx, const void *p, size_t n, struct rk_why *why)
{
	struct rk_replacing *f = ctx;
	struct rk_why own = {0};
	const enum rk_err rc = format_put_fd(&f->fd, p, n, &own);

	if (rc != RK_OK)
		rk_refuse(why, "%s %s", f->path, rk_why_first(&own));
	rk_why_fini(&own);
	return rc;
}

static bool
put_file(struct export *x, const char *path)
{
	struct rk_replacing f;
	struct rk_why why = {0};
	uint64_t size = 0;

	enum rk_err rc = rk_replacing_begin(&f, path, RK_REPLACE_OLD,
	    &why);
	if (rc == RK_OK) {
		const struct format_sink sink = { put_named, &f };
		rc = write_form(x, &sink, &size, &why);
		enum rk_err kept = rk_replacing_end(&f, rc == RK_OK, &why);
		rc = rc == RK_OK ? kept : rc;
	}
	if (rc != RK_OK)
		return write_failed(x, rc, &why);
	printf("%s: %zu tensor%s, %llu bytes\n", path, x->nout,
	    rk_s((int64_t)x->nout), (unsigned long long)size);
	return true;
}

bool
export_write(struct export *x)
{
	return x->r->o->out == NULL ? put_out(x) : put_file(x, x->r->o->out);
}

/* --- all ------------------------------------------------------------------ */

bool
export_form(struct export *x)
{
	const char *as = x->r->o->to != NULL ? x->r->o->to : x->r->o->out;
	struct strbuf b = {0};

	x->form = as != NULL ? ckpt_form_of(as) : CKPT_FORMS;
	x->target = x->form == CKPT_PDPARAMS || x->form == CKPT_PDOPT ?
	    WARM_TO_PADDLE : x->form == CKPT_SAFETENSORS ?
	    WARM_TO_SAFETENSORS : WARM_TO_PYTORCH;
	if (x->form != CKPT_FORMS)
		return true;
	for (int k = 0; k < CKPT_FORMS; k++)
		sb_addf(&b, "%s%s", k == 0 ? "" : k + 1 < CKPT_FORMS ? ", " :
		    " or ", ckpt_form_files[k]);
	run_fail(x->r, "bad_spec", true, "%s is not what weights can be "
	    "written as: want %s, or another name that ends so",
	    as != NULL ? as : "that", sb_str(&b));
	sb_fini(&b);
	return false;
}

static bool
export_all(struct export *x)
{
	const bool state = x->form == CKPT_PDOPT ||
	    x->form == CKPT_OPTIMIZER_PT;

	if (!read_info(x) || !export_list(x) || !load_files(x, state))
		return false;
	/* Whoever asks for that file gets the one that shards stand for. */
	x->whole = x->form == CKPT_SAFETENSORS && x->r->o->to != NULL &&
	    ckpt_in_shards(&x->info);
	if (x->whole)
		return export_write(x);
	if (!(state ? export_state(x) : model_tensors(x)))
		return false;
	return export_write(x);
}

void
export_fini(struct export *x)
{
	for (size_t i = 0; x->names != NULL && i < x->nown; i++)
		free(x->names[i]);
	for (size_t i = 0; x->made != NULL && i < x->nout; i++)
		free(x->made[i]);
	free(x->names);
	free(x->made);
	free(x->own);
	free(x->out);
	free(x->counts);
	free(x->unmoved);
	free(x->slots);
	json_decref(x->group);
	warm_export_free(x->as);
	tensor_set_free(x->model);
	tensor_set_free(x->optim);
	ckpt_info_fini(&x->info);
}

/* For who reads standard output. */
static void
print_refusal(const struct run *r)
{
	json_t *o = json_pack("{s:o, s:s}", "refused",
	    js_text(r->fail.message), "reason", r->fail.reason);
	char *text = rkj_text(o);

	puts(text);
	free(text);
	json_decref(o);
}

bool
export_print(struct run *r)
{
	struct export x = { .r = r, .folder = r->o->export,
		.deed = "export" };
	const bool ok = export_form(&x) && export_all(&x);

	if (!ok && r->o->to != NULL)
		print_refusal(r);
	export_fini(&x);
	return ok;
}
