/* The block `model`: what is trained, and what it begins from. */
#include <stdlib.h>
#include <string.h>

#include "form.h"

const char *const spec_init_words[] = { "torch", "paddle", "bert", NULL };

static void
check_parameters(const struct spec_arch_mlp *m, struct rkj_obj *o)
{
	char have[RK_HUMAN], most[RK_HUMAN];
	int64_t total = 0;      /* at most 63 * 2^49: does not overflow */

	for (int i = 1; i < m->sizes.n; i++)
		total += m->sizes.v[i - 1] * m->sizes.v[i] + m->sizes.v[i];
	if (total > SPEC_MAX_PARAMS)
		rkj_fault(o, "sizes", "make %s parameters, more than the "
		    "limit of %s", rk_group_digits(have, total),
		    rk_group_digits(most, SPEC_MAX_PARAMS));
}

/* What the address without a part of struct rk_part may be. */
static void
check_bare(const struct rk_part *p, const char *uri, struct rkj_obj *o)
{
	struct rk_why w = {0};
	struct rk_uri u;

	if (rk_uri_parse(&u, p->bare, &w) != RK_OK) {
		rkj_fault(o, "checkpoint", "%s", w.v[0].message);
		rk_why_fini(&w);
		return;
	}
	if (u.kind == RK_URI_OTHER && !spec_is_address(uri))
		rkj_fault(o, "checkpoint", "is an address of scheme %s:, which "
		    "cannot be fetched: want a file, job://ID/CHECKPOINT, "
		    "model://NAME@ALIAS, s3:, oss:, https: or http:", u.scheme);
	else if (u.kind == RK_URI_JOB && strcmp(u.path, "none") == 0)
		rkj_fault(o, "checkpoint", "asks for checkpoint none of a job, "
		    "want latest, best, step:N or a name");
	else if (u.kind == RK_URI_JOB && *rk_part_of(uri) != '\0')
		rkj_fault(o, "checkpoint", "has \"%.16s...\" behind a "
		    "checkpoint of a job, which is no archive, and whose "
		    "digests are known", rk_part_of(uri));
	rk_uri_fini(&u);
}

static void
check_warm_start(char *uri, struct rkj_obj *o)
{
	struct rk_why w = {0};
	struct rk_part p = {0};
	const bool version = spec_is_version(uri);

	if (version ? sp_check_version(uri, &w) != RK_OK :
	    rk_part_parse(&p, uri, &w) != RK_OK || (spec_is_address(uri) &&
	    sp_check_address(uri, &w) != RK_OK))
		rkj_fault(o, "checkpoint", "%s", w.v[0].message);
	else if (version)
		;
	else
		check_bare(&p, uri, o);
	rk_part_fini(&p);
	rk_why_fini(&w);
}

/* What was said where the version of a model now stands; of another checkpoint
 * it is left over from one. */
static void
read_said(struct spec_model *m, struct rkj_obj *o)
{
	struct rk_why w = {0};

	if (!rkj_str(o, "checkpoint_said", &m->said, SP_MAX_PATH,
	    RKJ_OPTIONAL))
		return;
	if (!spec_is_version(m->said))
		rkj_fault(o, "checkpoint_said", "is \"%.*s\", want "
		    "model://NAME@ALIAS", (int)rk_text_fit(m->said, 80),
		    m->said);
	else if (sp_check_version(m->said, &w) != RK_OK)
		rkj_fault(o, "checkpoint_said", "%s", w.v[0].message);
	else if (spec_is_version(m->checkpoint))
		return;
	free(m->said);
	m->said = NULL;
	rk_why_fini(&w);
}

/* "mlp, lenet5 or resnet50", for whoever gives neither arch nor layers. */
static void
want_arch(struct rkj_obj *o)
{
	struct strbuf b = {0};

	for (int i = 1; i < SPEC_ARCH_COUNT; i++)
		sb_addf(&b, "%s%s", i == 1 ? "" : i + 1 < SPEC_ARCH_COUNT ?
		    ", " : " or ", spec_arch_words[i]);
	rkj_fault(o, "arch", "is missing: want %s, or layers instead",
	    sb_str(&b));
	sb_fini(&b);
}

/* arch or layers: sets m->arch; false if neither can be understood. */
static bool
read_arch(struct spec_model *m, struct rkj_obj *o, struct rk_why *why)
{
	const json_t *layers = rkj_any(o, "layers");
	const bool given = rkj_any(o, "arch") != NULL;
	int word;

	/* "layers" is the first word; no job says it. */
	bool named = rkj_enum(o, "arch", &word, spec_arch_words + 1,
	    RKJ_OPTIONAL);
	m->arch = named ? (enum spec_arch)(word + 1) : SPEC_ARCH_LAYERS;
	if (given && layers != NULL)
		rkj_fault(o, "layers", "and arch say the same thing: give one "
		    "of them");
	else if (layers != NULL)
		sp_read_layers(m, layers, why);
	else if (!given && o->v != NULL)
		want_arch(o);
	return named || (layers != NULL && !given);
}

/* bert's tables would be far too large with torch's. */
static enum spec_init
default_init(enum spec_arch a)
{
	return strcmp(spec_families[spec_family_of(a)].word, "bert") == 0 ?
	    SPEC_INIT_BERT : SPEC_INIT_TORCH;
}

/* What the rows of PRESET say of an architecture. */
static void
preset(struct spec_model *m)
{
	(void)m;                        /* where no row has a preset */
#define PRESET(id, family, key, value)                                    \
	if (m->arch == SPEC_ARCH_##id)                                    \
		m->u.family.key = value;
#include "rekindle/archs.def"
}

/* What the rows of VARIANT say: of the variant that the job names, or that an
 * architecture has by itself. */
static void
preset_variant(struct spec_model *m, const struct spec_form *family,
    const struct rkj_obj *o)
{
	const char *said = json_string_value(json_object_get(o->v, "variant"));
	const struct spec_field *f = family->fields;

	(void)m;                        /* where no row has a variant */
	while (f->key != NULL && strcmp(f->key, "variant") != 0)
		f++;
	if (f->key == NULL)
		return;
	int variant = *(const int *)(const void *)((const char *)&m->u +
	    f->at);
	if (said != NULL)
		variant = spec_word(f->words, said);
#define VARIANT(family_, variant_, key, value)                            \
	if (family == &spec_families[SPEC_FAMILY_##family_] &&            \
	    variant == variant_)                                          \
		m->u.family_.key = value;
#include "rekindle/archs.def"
}

static void
read_family(struct spec_model *m, struct rkj_obj *o)
{
	const enum spec_family f = spec_family_of(m->arch);

	memset(&m->u, 0, sizeof(m->u));
	sp_form_defaults(spec_families[f].fields, &m->u);
	preset(m);
	preset_variant(m, &spec_families[f], o);
	sp_form_refuse_others(spec_families, SPEC_FAMILY_COUNT,
	    &spec_families[f], f == SPEC_FAMILY_mlp ?
	    "mlp, whose last size is its classes" : spec_arch_words[m->arch],
	    o);
	sp_form_read(spec_families[f].fields, o, &m->u);
	if (f == SPEC_FAMILY_mlp)
		check_parameters(&m->u.mlp, o);
	sp_ints(o, "input", m->input, &m->ninput, 1, SPEC_MAX_DIMS, 1,
	    SPEC_MAX_WIDTH, RKJ_OPTIONAL);
}

static void
read_output(struct spec_model *m, const char *name, const json_t *v,
    struct rk_why *why)
{
	char *path = xasprintf("model.outputs.%.80s", name);
	const char *layer = json_string_value(v);
	char shown[SP_SHOWN];
	bool found = false;

	for (int i = 0; layer != NULL && i < m->nlayers; i++)
		found |= m->layers[i].name != NULL &&
		    strcmp(m->layers[i].name, layer) == 0;
	if (!rk_name_ok(name))
		rk_refuse_at(why, path, "is no name: want 1 to 64 of "
		    "[A-Za-z0-9._-], the first no . and no -");
	else if (!found)
		rk_refuse_at(why, path, "is %s, want the name of a layer",
		    sp_shown(v, shown));
	else
		m->outputs[m->noutputs++] = (struct spec_output){
			.name = xstrdup(name), .layer = xstrdup(layer) };
	free(path);
}

static void
read_outputs(struct spec_model *m, struct rkj_obj *o, struct rk_why *why)
{
	json_t *v = (json_t *)(uintptr_t)rkj_any(o, "outputs"), *e;
	char shown[SP_SHOWN];
	const char *name;
	bool logits = false;

	if (v == NULL ||
	    !sp_takes(o, "outputs", m->arch == SPEC_ARCH_LAYERS, "layers",
	    spec_arch_words[m->arch]))
		return;
	if (!json_is_object(v) || json_object_size(v) > SPEC_MAX_OUTPUTS) {
		rkj_fault(o, "outputs", "is %s, want at most %d of NAME: LAYER",
		    sp_shown(v, shown), SPEC_MAX_OUTPUTS);
		return;
	}
	json_object_foreach(v, name, e) {
		logits |= strcmp(name, SPEC_LOGITS) == 0;
		read_output(m, name, e, why);
	}
	if (!logits && json_object_size(v) > 0)
		rkj_fault(o, "outputs", "has no " SPEC_LOGITS ", which the "
		    "loss reads");
}

void
sp_read_model(struct spec_model *m, const json_t *v, struct rk_why *why)
{
	struct sp_obj s;
	struct rkj_obj *o = &s.o;
	int word;

	m->strict = true;
	sp_open(&s, v, "model", why);
	if (read_arch(m, o, why)) {
		read_family(m, o);
		read_outputs(m, o, why);
	} else {
		/* Which fields it may have is not known. */
		for (int f = 0; f < SPEC_FAMILY_COUNT; f++)
			for (const struct spec_field *k =
			    spec_families[f].fields; k->key != NULL; k++)
				rkj_any(o, k->key);
		rkj_any(o, "input");
		rkj_any(o, "outputs");
	}
	m->init = default_init(m->arch);
	if (rkj_enum(o, "init", &word, spec_init_words, RKJ_OPTIONAL))
		m->init = (enum spec_init)word;
	if (rkj_str(o, "checkpoint", &m->checkpoint, SP_MAX_PATH, RKJ_OPTIONAL))
		check_warm_start(m->checkpoint, o);
	read_said(m, o);
	rkj_bool(o, "strict", &m->strict, RKJ_OPTIONAL);
	sp_read_warm(&m->warm, o, why);
	sp_close(&s);
}

json_t *
sp_json_model(const struct spec_model *m, bool brief)
{
	const enum spec_family f = spec_family_of(m->arch);
	json_t *o = json_object(), *a;

	if (m->arch != SPEC_ARCH_LAYERS)
		sp_put(o, "arch", json_string(spec_arch_words[m->arch]));
	sp_form_put(spec_families[f].fields, &m->u, brief, o);
	if (m->ninput > 0) {
		a = json_array();
		for (int i = 0; i < m->ninput; i++)
			must(json_array_append_new(a, json_integer(
			    m->input[i])) == 0);
		sp_put(o, "input", a);
	}
	if (m->arch == SPEC_ARCH_LAYERS)
		sp_put(o, "layers", spec_layers_json(m->layers, m->nlayers,
		    brief));
	if (m->noutputs > 0) {
		a = json_object();
		for (int i = 0; i < m->noutputs; i++)
			sp_put(a, m->outputs[i].name, json_string(
			    m->outputs[i].layer));
		sp_put(o, "outputs", a);
	}
	if (!brief || m->init != default_init(m->arch))
		sp_put(o, "init", json_string(spec_init_words[m->init]));
	if (m->checkpoint != NULL)
		sp_put(o, "checkpoint", json_string(m->checkpoint));
	if (m->said != NULL && !brief)
		sp_put(o, "checkpoint_said", json_string(m->said));
	sp_put(o, "strict", json_boolean(m->strict));
	sp_put_warm(o, &m->warm);
	return o;
}

void
sp_free_model(struct spec_model *m)
{
	for (int i = 0; i < m->nlayers; i++)
		spec_layer_free(&m->layers[i]);
	free(m->layers);
	for (int i = 0; i < m->noutputs; i++) {
		free(m->outputs[i].name);
		free(m->outputs[i].layer);
	}
	free(m->checkpoint);
	free(m->said);
	sp_free_warm(&m->warm);
}
