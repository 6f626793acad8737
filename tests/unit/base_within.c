/* A path lies in a folder only when it still does with its symlinks followed. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rekindle/base.h"
#include "t.h"

static char *root;

static char *
at(const char *name)
{
	static char path[4][512];
	static unsigned k;
	char *p = path[k++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", root, name);
	return p;
}

static void
make(void)
{
	static const char *const files[] = { "data/x.csv", "data/deep/y.csv",
		"data-other/x.csv", "else/secret" };
	char cwd[400];

	if (root != NULL)
		return;
	must(getcwd(cwd, sizeof(cwd)) != NULL);
	root = xasprintf("%s/within-XXXXXX", cwd);
	must(mkdtemp(root) != NULL);
	for (size_t i = 0; i < RK_ARRAY_LEN(files); i++) {
		char *path = xstrdup(at(files[i]));
		*strrchr(path, '/') = '\0';
		must(rk_mkdirs(path, 0755) == RK_OK);
		free(path);
		FILE *f = fopen(at(files[i]), "w");
		must(f != NULL && fclose(f) == 0);
	}
	must(symlink(at("else"), at("data/out")) == 0);
	must(symlink(at("else/secret"), at("data/secret")) == 0);
	must(symlink(at("data/x.csv"), at("data/again")) == 0);
	must(symlink(at("data/x.csv"), at("else/inwards")) == 0);
	must(symlink(at("else/nothing"), at("data/dangling")) == 0);
	must(symlink("loop", at("data/loop")) == 0);
	must(symlink(at("data"), at("link")) == 0);
}

static bool
in_data(const char *path)
{
	const char *folders[] = { at("nowhere"), at("data") };

	return rk_path_within(path, folders, RK_ARRAY_LEN(folders));
}

T_CASE(what_is_in_a_folder_is_in_it_also_by_way_of_a_link)
{
	static const char *const in[] = { "data", "data/", "data//x.csv",
		"data/deep", "data/deep/y.csv", "data/again", "data/./x.csv",
		"link/x.csv", "link", "data/not/there/yet/", "data/new.csv" };

	make();
	for (size_t i = 0; i < RK_ARRAY_LEN(in); i++)
		if (!in_data(at(in[i])))
			t_fail("%s is not in it", in[i]);
}

T_CASE(what_only_looks_as_if_it_were_is_not)
{
	static const char *const out[] = { "data-other/x.csv", "else/secret",
		"data/out", "data/out/secret", "data/secret", "data/dangling",
		"data/dangling/x", "data/loop", "data/../else/secret",
		"data/..", "data/deep/../x.csv", "dat", "data/out/not/yet",
		"nowhere-else" };

	make();
	for (size_t i = 0; i < RK_ARRAY_LEN(out); i++)
		if (in_data(at(out[i])))
			t_fail("%s is in it", out[i]);
	t_check(!in_data("data/x.csv"));
	t_check(!in_data(""));
	t_check(!in_data("/"));
}

T_CASE(what_lies_beside_a_file_is_read_with_it_so_its_own_folder_counts)
{
	make();
	t_check(!in_data(at("else/inwards")));
}

T_CASE(a_folder_may_be_a_link_the_root_or_still_be_made)
{
	make();
	const char *link[] = { at("link/") };
	t_check(rk_path_within(at("data/x.csv"), link, 1));
	const char *slash[] = { "/" };
	t_check(rk_path_within(at("else/secret"), slash, 1));
	const char *none[] = { at("nowhere") };
	t_check(rk_path_within(at("nowhere/jobs/x"), none, 1));
	t_check(rk_path_within(at("nowhere"), none, 1));
	t_check(!rk_path_within(at("nowhere"), NULL, 0));
}

T_MAIN
