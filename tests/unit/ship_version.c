/* Versions of models are fetched by what the registry says of them. */
#include "impl.h"
#include "ship_world.h"

#define FOLDER "bucket/models/d/versions/x/"

static struct {
	struct ship_version is;         /* folder, digest and files are ours */
	enum rk_err rc;
	int asked, lost, whole;
	char file[64], fault[600], name[80], which[80];
} G;

static enum rk_err
version_of(void *ctx, const char *name, const char *which,
    struct ship_version *out, struct rk_why *why)
{
	(void)ctx;
	G.asked++;
	snprintf(G.name, sizeof(G.name), "%s", name);
	snprintf(G.which, sizeof(G.which), "%s", which);
	if (G.rc != RK_OK) {
		rk_refuse(why, G.rc == RK_EBUSY ? "asks the registry" :
		    "defects has no version 9");
		return G.rc;
	}
	*out = G.is;
	out->folder = xstrdup(G.is.folder);
	out->files = xcalloc(G.is.nfiles + 1, sizeof(*out->files));
	memcpy(out->files, G.is.files, G.is.nfiles * sizeof(*out->files));
	return RK_OK;
}

static void
seen(void *ctx, const char *name, const char *which, const char *file,
    const char *fault)
{
	(void)ctx;
	t_eq_str(name, "d");
	t_eq_str(which, "3");
	if (fault != NULL || G.lost == 0)
		snprintf(G.file, sizeof(G.file), "%s", file);
	snprintf(G.fault, sizeof(G.fault), "%s", fault != NULL ? fault : "");
	G.lost += fault != NULL;
	G.whole += fault == NULL;
}

/* A file of the folder, as the record has it. */
static void
add(const char *name)
{
	struct ckpt_file *f;
	char *path = xasprintf(FOLDER "%s", name), *text;
	size_t n;

	G.is.files = xrealloc(G.is.files, (G.is.nfiles + 1) *
	    sizeof(*G.is.files));
	f = &G.is.files[G.is.nfiles++];
	*f = (struct ckpt_file){ 0 };
	snprintf(f->name, sizeof(f->name), "%s", name);
	t_eq_int(rk_read_file(AT_FDCWD, path, 1 << 24, &text, &n), RK_OK);
	f->size = n;
	rk_sha256_of(text, n, f->sha256);
	free(text);
	free(path);
}

/* Version 3 of d: the checkpoint of a job, in shards or not. */
static void
registry(bool shards)
{
	static const char *const whole[] = { "model.safetensors", NULL };
	static const char *const parts[] = { "trained.safetensors",
		"model.safetensors.index.json", NULL };
	const struct ship_registry g = { .version = version_of, .seen = seen };
	const char *const *v = shards ? parts : whole;
	struct ckpt_info i = info_at(300);
	struct tensor_set *m = tensors(300, 4);
	struct ckpt *c;

	s_begin();
	ship_registry_set(S.ship, &g);
	t_eq_int(rk_mkdirs("c", 0755), RK_OK);
	t_eq_int(ckpt_open(&c, "c/checkpoints", false), RK_OK);
	for (int k = 0; shards && k < 2; k++)
		m->v[k].part = CKPT_FROZEN;
	t_eq_int(ckpt_save(c, &i, m, m, NULL), RK_OK);
	t_eq_int(rk_mkdirs("bucket/models/d/versions", 0755), RK_OK);
	t_eq_int(system("cp -r c/checkpoints/step-000000300 " FOLDER), 0);
	for (int k = 0; v[k] != NULL; k++)
		add(v[k]);
	add("checkpoint.json");
	add("optimizer.safetensors");
	if (shards) {
		rk_sha256_of("shards", 6, G.is.digest);
	} else {
		memcpy(G.is.digest, G.is.files[0].sha256, RK_SHA256_HEX);
		snprintf(G.is.model, sizeof(G.is.model), "%s", v[0]);
	}
	G.is.folder = xasprintf("%smodels/d/versions/x/", S.prefix);
	tensor_set_free(m);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

static const char *want_uri;
static char want_why[900], want_hex[RK_SHA256_HEX], want_job[RK_ID];
static enum rk_err want_rc;

static bool
asked_for(struct world *w)
{
	struct fetch_ask a = { .uri = want_uri, .job = want_job,
		.model = true };
	struct rk_why why = {0};

	(void)w;
	want_rc = fetch_want(S.ship, &a, want_hex, &why);
	snprintf(want_why, sizeof(want_why), "%s", rk_why_first(&why));
	rk_why_fini(&why);
	return want_rc != RK_EBUSY;
}

static enum rk_err
fetch(const char *uri)
{
	rk_id_new(want_job);
	want_uri = uri;
	w_until(asked_for, "a fetch");
	return want_rc;
}

static char *
pinned(void)
{
	return xasprintf("model://d/3#sha256=%s", G.is.digest);
}

T_CASE(a_version_is_its_model_and_a_path_behind_it_a_file_of_it)
{
	registry(false);
	char *uri = pinned();
	t_eq_int(fetch(uri), RK_OK);
	t_eq_str(want_hex, G.is.digest);
	t_eq_str(G.name, "d");
	t_eq_str(G.which, "3");
	t_eq_int(fetch("model://d/3/optimizer.safetensors"), RK_OK);
	t_eq_str(want_hex, G.is.files[2].sha256);
	t_eq_str(G.file, "optimizer.safetensors");
	t_eq_int(G.lost, 0);
	t_eq_int(fetch("model://d/3/none.txt"), RK_ENOENT);
	t_has(want_why, "version 3 of d has no none.txt");
	/* What the cache has nobody is asked for. */
	const int asked = G.asked;
	t_eq_int(fetch(uri), RK_OK);
	t_eq_int(G.asked, asked);
	free(uri);
	s_close();
}

T_CASE(a_version_in_shards_is_joined)
{
	char joined[RK_SHA256_HEX];

	registry(true);
	char *from = xasprintf("%scheckpoint.json", G.is.folder);
	char *uri = pinned();           /* by the record's, not the file's */
	t_eq_int(fetch(uri), RK_OK);
	memcpy(joined, want_hex, sizeof(joined));
	t_check(strcmp(joined, G.is.digest) != 0);
	/* As the checkpoint's folder is. */
	t_eq_int(fetch(from), RK_OK);
	t_eq_str(want_hex, joined);
	free(uri);
	free(from);
	s_close();
}

T_CASE(what_the_registry_does_not_know_yet_is_waited_for)
{
	struct rk_why why = {0};

	registry(false);
	struct fetch_ask a = { .uri = "model://d/3", .job = want_job,
		.model = true };
	rk_id_new(want_job);
	G.rc = RK_EBUSY;
	t_eq_int(fetch_want(S.ship, &a, want_hex, &why), RK_EBUSY);
	rk_why_fini(&why);
	for (int i = 0; i < 20; i++)
		w_spin(5);
	t_eq_int(fetch_want(S.ship, &a, want_hex, &why), RK_EBUSY);
	t_has(rk_why_first(&why), "asks the registry");
	rk_why_fini(&why);
	G.rc = RK_OK;
	ship_registry_told(S.ship);
	t_eq_int(fetch("model://d/3"), RK_OK);
	s_close();
}

T_CASE(what_the_registry_has_not_is_refused_with_its_sentence)
{
	registry(false);
	G.rc = RK_ENOENT;
	t_eq_int(fetch("model://d/9"), RK_ENOENT);
	t_has(want_why, "model://d/9: defects has no version 9");
	s_close();
}

T_CASE(an_address_of_another_registry_is_refused)
{
	char hex[RK_SHA256_HEX];

	registry(false);
	rk_sha256_of("x", 1, hex);
	char *uri = xasprintf("model://d/3#sha256=%s", hex);
	t_eq_int(fetch(uri), RK_EINVAL);
	t_has(want_why, "the address says another");
	free(uri);
	s_close();
}

T_CASE(an_object_that_is_gone_is_named_and_told_until_it_is_back)
{
	registry(false);
	t_eq_int(rename(FOLDER "model.safetensors", "away"), 0);
	t_eq_int(fetch("model://d/3"), RK_ENOENT);
	t_has(want_why, "versions/x/model.safetensors");
	t_eq_int(G.lost, 1);
	t_eq_str(G.file, "model.safetensors");
	t_has(G.fault, "versions/x/model.safetensors");
	t_eq_int(rename("away", FOLDER "model.safetensors"), 0);
	t_eq_int(fetch("model://d/3"), RK_OK);
	t_eq_int(G.whole, 1);
	s_close();
}

T_CASE(other_bytes_of_the_same_size_are_refused_and_told)
{
	registry(false);
	s_flip(FOLDER "model.safetensors");
	t_eq_int(fetch("model://d/3"), RK_ECORRUPT);
	t_has(want_why, "its SHA-256 is");
	t_eq_int(G.lost, 1);
	t_eq_int(entries("state/cache/partial"), 0);
	t_eq_int(entries("state/cache/sha256"), 0);
	s_close();
}

T_CASE(a_shard_that_is_gone_is_named)
{
	registry(true);
	t_eq_int(system("rm " FOLDER "frozen-*"), 0);
	t_eq_int(fetch("model://d/3"), RK_ENOENT);
	t_has(want_why, "versions/x/frozen-");
	t_eq_int(G.lost, 1);
	t_has(G.file, "frozen-");
	s_close();
}

T_CASE(a_checkpoint_json_that_was_edited_is_refused)
{
	registry(true);
	char *text = s_read(FOLDER "checkpoint.json");
	char *more = xasprintf("%s ", text);
	s_write(FOLDER "checkpoint.json", more);
	t_eq_int(fetch("model://d/3"), RK_ECORRUPT);
	t_has(want_why, "was registered with");
	t_eq_str(G.file, "checkpoint.json");
	free(text);
	free(more);
	s_close();
}

T_MAIN
