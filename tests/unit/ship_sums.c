/* Checkpoints without SHA-256 leave: it is made on the way, from files that are
 * what was written. */
#include "impl.h"
#include "ship_world.h"

#define DIR100 "step-000000100"

static char *
local_path(const char *job, const char *name)
{
	return xasprintf("%s/jobs/%s/checkpoints/" DIR100 "/%s", S.state, job,
	    name);
}

static void
sha256_of(const char *path, char hex[RK_SHA256_HEX])
{
	int fd = open(path, O_RDONLY);

	t_check(fd >= 0);
	t_eq_int(rk_sha256_of_fd(fd, hex, NULL), RK_OK);
	close(fd);
}

T_CASE(who_lists_a_bucket_sees_the_sha256_that_the_push_made)
{
	struct ckpt_info *v, local;
	char **uris, hex[RK_SHA256_HEX];
	size_t n;

	s_begin();
	char *id = s_job(3);
	s_push(id, 100);
	char *record = s_read(s_path(id, DIR100 "/checkpoint.json"));
	char *note = s_read(s_path(id, DIR100 "/remote.json"));
	t_check(strstr(record, "sha256") == NULL);
	t_eq_int(ckpt_info_parse(record, strlen(record), DIR100, &local, NULL),
	    RK_OK);
	t_eq_int(ship_remote_list(S.ship, id, &v, &uris, &n), RK_OK);
	t_eq_int(n, 1);
	t_eq_int(v[0].nfiles, 2);
	for (int k = 0; k < v[0].nfiles; k++) {
		char *name = xasprintf(DIR100 "/%s", v[0].files[k].name);
		sha256_of(s_path(id, name), hex);
		t_eq_str(v[0].files[k].sha256, hex);
		t_eq_str(v[0].files[k].xxh128, local.files[k].xxh128);
		t_has(note, hex);
		free(name);
	}
	ckpt_info_fini(&local);
	ckpt_list_free(v, n);
	ship_uris_free(uris, n);
	free(record);
	free(note);
	s_close();
}

static bool
is_refused(struct world *w)
{
	json_t *o = ship_durability(S.ship, w->id, DIR100);
	const char *e = json_string_value(json_object_get(o, "error"));
	bool is = e != NULL && strstr(e, "model.safetensors is not what was "
	    "written: its XXH3 digest is another") != NULL;

	json_decref(o);
	return is;
}

T_CASE(a_file_that_is_damaged_here_is_not_sent)
{
	s_prepare();
	S.held_back = true;
	s_open();
	char *id = s_job(3);
	s_save(id, 100);
	char *path = local_path(id, "model.safetensors");
	s_flip(path);
	ship_go(S.ship, 0);
	W.id = id;
	w_until(is_refused, "a refusal");
	t_check(!s_there(id, DIR100));
	/* Whole again, it goes. */
	s_flip(path);
	s_wait(id, DIR100, "verified");
	free(path);
	s_close();
}

/* The worker may still be reading. */
T_CASE(a_push_that_is_cut_off_while_its_files_are_read_leaves_nothing)
{
	s_begin();
	char *id = s_job(3);
	s_close();
	for (int k = 1; k <= 5; k++) {
		s_save(id, k * 100);
		s_open();
		w_spin(k);
		s_close();
	}
	s_open();
	s_wait(id, s_dir(500), "verified");
	s_close();
}

/* --- a model of a folder ------------------------------------------------- */

static enum rk_err
fetch(const char *uri, char hex[RK_SHA256_HEX], struct rk_why *why)
{
	char job[RK_ID];
	struct fetch_ask a = { .uri = uri, .job = job, .model = true };
	enum rk_err rc;

	rk_id_new(job);
	for (int n = 0; n < 1000; n++) {
		rk_why_fini(why);
		*why = (struct rk_why){0};
		rc = fetch_want(S.ship, &a, hex, why);
		if (rc != RK_EBUSY)
			return rc;
		w_spin(5);
	}
	t_fail("%s is not fetched", uri);
	return RK_EBUSY;
}

/* bucket/copy/step-000000100/, as somebody copied it from a machine. */
static char *
copied(const char *id)
{
	const char *const names[] = { "checkpoint.json", "model.safetensors" };

	t_eq_int(rk_mkdirs("bucket/copy/" DIR100, 0755), RK_OK);
	for (size_t k = 0; k < RK_ARRAY_LEN(names); k++) {
		char *from = local_path(id, names[k]), *text = NULL;
		char *to = xasprintf("bucket/copy/" DIR100 "/%s", names[k]);
		size_t len;
		t_eq_int(rk_read_file(AT_FDCWD, from, 1 << 20, &text, &len),
		    RK_OK);
		int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		t_check(fd >= 0 && rk_write_all(fd, text, len) == 0);
		close(fd);
		free(text);
		free(from);
		free(to);
	}
	return xasprintf("%scopy/" DIR100 "/", S.prefix);
}

T_CASE(the_model_of_a_folder_that_was_copied_is_held_against_what_there_is)
{
	char hex[RK_SHA256_HEX], want[RK_SHA256_HEX];
	struct rk_why why = {0};

	s_begin();
	char *id = s_job(3);
	s_save(id, 100);
	char *uri = copied(id);
	sha256_of("bucket/copy/" DIR100 "/model.safetensors", want);
	t_eq_int(fetch(uri, hex, &why), RK_OK);
	t_eq_str(hex, want);
	char *pinned = xasprintf("%s#sha256=%s", uri, want);
	t_eq_int(fetch(pinned, hex, &why), RK_OK);
	pinned[strlen(pinned) - 1] ^= 1;
	t_eq_int(fetch(pinned, hex, &why), RK_ECORRUPT);
	s_flip("bucket/copy/" DIR100 "/model.safetensors");
	free(uri);
	uri = xasprintf("%scopy/" DIR100 "/checkpoint.json", S.prefix);
	t_eq_int(fetch(uri, hex, &why), RK_ECORRUPT);
	t_has(rk_why_first(&why), "its XXH3 digest is another");
	t_eq_int(entries("state/cache/sha256"), 1);
	rk_why_fini(&why);
	free(pinned);
	free(uri);
	s_close();
}

T_CASE(the_model_of_a_pushed_folder_is_known_by_its_note)
{
	char hex[RK_SHA256_HEX];
	struct rk_why why = {0};

	s_begin();
	char *id = s_job(3);
	s_push(id, 100);
	char *uri = xasprintf("%sjobs/%s/checkpoints/" DIR100 "/", S.prefix,
	    id);
	t_eq_int(fetch(uri, hex, &why), RK_OK);
	/* It is in the cache by that digest: the object is not asked for. */
	t_eq_int(remove(s_path(id, DIR100 "/model.safetensors")), 0);
	s_close();
	s_open();
	t_eq_int(fetch(uri, hex, &why), RK_OK);
	char *pinned = xasprintf("%s#sha256=%s", uri, hex);
	pinned[strlen(pinned) - 1] ^= 1;
	t_eq_int(fetch(pinned, hex, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "its model has the digest");
	rk_why_fini(&why);
	free(pinned);
	free(uri);
	s_close();
}

T_MAIN
