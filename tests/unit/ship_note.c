/* remote.json, folders' names, and lists of files: what strangers may write. */
#include "impl.h"
#include "t.h"

#define ID "01h455vb4pex5vsknk084sn02q"
#define SHA "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define FILE_TEXT(name, folder) "{\"name\": \"" name "\", \"size\": 3, " \
    "\"sha256\": \"" SHA "\", \"folder\": \"" folder "\"}"
#define NOTE(files, rest) "{\"version\": 1, \"job\": \"" ID "\", " \
    "\"checkpoint\": \"step-000000100\", \"digest\": \"" SHA "\", " \
    "\"epoch\": 3, \"instance\": \"gpu-a\", \"files\": [" files "]" rest "}"

static void
good(const char *text, struct rnote *n)
{
	struct rk_why why = {0};

	if (rnote_parse(text, strlen(text), n, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
}

static void
bad(const char *text, const char *part)
{
	struct rk_why why = {0};
	struct rnote n;

	t_eq_int(rnote_parse(text, strlen(text), &n, &why), RK_ECORRUPT);
	t_has(rk_why_first(&why), part);
	rk_why_fini(&why);
}

T_CASE(a_note_is_read)
{
	struct rnote n;
	struct rfiles f;

	good(NOTE(FILE_TEXT("model.safetensors", "step-000000100-e3") ", "
	    FILE_TEXT("frozen.safetensors", "step-000000050-b2-e1-r2"),
	    ", \"names\": [\"a\", \"step-1\", 7, \"b\"], \"new\": {}"), &n);
	t_eq_str(n.job, ID);
	t_eq_int(n.epoch, 3);
	t_eq_int(n.nfiles, 2);
	t_eq_str(n.names[0], "a");
	t_eq_str(n.names[1], "b");
	t_check(n.names[2] == NULL);
	rnote_files(&n, "s3://b/p/", &f);
	t_eq_str(f.v[1].uri,
	    "s3://b/p/step-000000050-b2-e1-r2/frozen.safetensors");
	rfiles_fini(&f);
	rnote_fini(&n);
}

T_CASE(a_note_that_leads_elsewhere_is_refused)
{
	bad(NOTE(FILE_TEXT("../../secret", "step-000000100"), ""), "name");
	bad(NOTE(FILE_TEXT("m", "../step-000000100"), ""), "folder");
	bad(NOTE(FILE_TEXT("m", "step-000000100/.."), ""), "folder");
	bad(NOTE(FILE_TEXT("m", "other"), ""), "folder");
	bad(NOTE(FILE_TEXT("m", "step-000000100") ", "
	    FILE_TEXT("m", "step-000000100"), ""), "twice");
	bad("[]", "remote.json");
	bad("{}", "version");
	bad("", "remote.json");
}

T_CASE(what_says_the_same_but_for_names_is_ours)
{
	const char *a = NOTE(FILE_TEXT("m", "step-000000100"), "");
	const char *b = NOTE(FILE_TEXT("m", "step-000000100"),
	    ", \"names\": [\"x\"]");
	const char *c = NOTE(FILE_TEXT("n", "step-000000100"), "");

	t_check(rnote_same(a, strlen(a), b));
	t_check(!rnote_same(a, strlen(a), c));
	t_check(!rnote_same("{", 1, a));
}

T_CASE(folders_of_checkpoints_have_one_spelling)
{
	static const char *const ok[] = { "step-000000100",
	    "step-000000100-b2", "step-000000100-e1", "step-000000100-r2",
	    "step-000000100-b12-e345-r67", "step-1234567890" };
	static const char *const no[] = { "step-100", "step-0000000100",
	    "step-000000100-", "step-000000100-b1", "step-000000100-b02",
	    "step-000000100-e0", "step-000000100-r1", "step-000000100-r2-e1",
	    "step-000000100-e1-b2", "step-000000100x", "step-", "",
	    "step-000000100-e99999999999999999999", "step--00000100",
	    "step-000000100-b10001" };
	char dir[CKPT_DIR_MAX];
	int64_t epoch;

	for (size_t i = 0; i < RK_ARRAY_LEN(ok); i++)
		if (!folder_parse(ok[i], dir, &epoch))
			t_fail("%s is refused", ok[i]);
	for (size_t i = 0; i < RK_ARRAY_LEN(no); i++)
		if (folder_parse(no[i], dir, &epoch))
			t_fail("%s is taken", no[i]);
	t_check(folder_parse("step-000000100-b12-e345-r67", dir, &epoch));
	t_eq_str(dir, "step-000000100-b12");
	t_eq_int(epoch, 345);
}

T_CASE(the_name_and_place_of_a_folder_are_taken_apart_again)
{
	char *base = job_base("s3://b/team", ID);
	char *uri = folder_uri(base, "step-000000100-b2", 7, 3);
	char *b = base_of_uri(uri), *p = prefix_of_uri(uri);

	t_eq_str(uri, "s3://b/team/jobs/" ID
	    "/checkpoints/step-000000100-b2-e7-r3/");
	t_eq_str(b, base);
	t_eq_str(p, "s3://b/team/");
	free(p);
	free(b);
	free(uri);
	uri = folder_uri(base, "step-000000100", 0, 1);
	t_has(uri, "/step-000000100/");
	free(uri);
	free(base);
}

T_CASE(a_list_of_files_is_the_same_after_a_round)
{
	struct rfiles f = {0}, g;
	char *names[] = { (char *)(uintptr_t)"a", (char *)(uintptr_t)"b",
	    NULL };

	rfiles_add(&f, "model.safetensors", 1ull << 40, SHA, "s3://b/m");
	rfiles_add(&f, "optimizer.safetensors", 0, SHA, "s3://b/o");
	f.names = names_copy(names);
	char *text = rfiles_text(&f);
	rfiles_parse(&g, text);
	t_eq_int(g.n, 2);
	t_check(g.v[0].size == 1ull << 40);
	t_eq_str(g.v[1].uri, "s3://b/o");
	t_check(names_same(f.names, g.names));
	free(text);
	rfiles_fini(&f);
	rfiles_fini(&g);
	rfiles_parse(&g, "no list");
	t_eq_int(g.n, 0);
	t_check(g.names == NULL);
}

T_MAIN
