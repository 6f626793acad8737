/*
 * Which images there are and what their labels mean: of lists, of folders and of
 * tars, before an image is opened.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_names.h"
#include "rekindle/format.h"
#include "t.h"

static void
is(const struct image_names *v, size_t i, const char *path, double target)
{
	t_check(i < v->n);
	t_eq_str(image_path(v, i), path);
	t_near(v->targets[i], target, 0);
}

/* --- lists ---------------------------------------------------------------- */

static struct image_names
list(const char *text)
{
	struct image_names v = { 0 };
	struct rk_why why = { 0 };

	if (image_list(text, strlen(text), "l", &v, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return v;
}

static void
refused(const char *text, const char *words)
{
	struct image_names v = { 0 };
	struct rk_why why = { 0 };

	t_eq_int(image_list(text, strlen(text), "l", &v, &why), RK_EINVAL);
	t_has(rk_why_first(&why), words);
	rk_why_fini(&why);
	image_names_fini(&v);
}

T_CASE(paths_of_a_list_are_quoted_or_end_at_a_tab_an_ending_or_a_blank)
{
	struct image_names v = list("\xef\xbb\xbf" "cats/a b.jpg 3\r\n\n"
	    "./d//c.PNG\t1\n\"odd \"\"x\"\" 7\" 2.5\nplain -1");

	t_eq_int((int64_t)v.n, 4);
	is(&v, 0, "cats/a b.jpg", 3);
	is(&v, 1, "d/c.PNG", 1);
	is(&v, 2, "odd \"x\" 7", 2.5);
	is(&v, 3, "plain", -1);
	t_eq_int(v.line[3], 5);
	t_check(v.classes == NULL && v.many_from == NULL);
	image_names_fini(&v);
}

T_CASE(names_are_classes_in_the_order_of_their_bytes)
{
	struct image_names v = list("a.jpg tabby\nb.jpg \"Maine Coon\"\n"
	    "c.jpg 7\nd.jpg tabby\n");

	t_eq_int(v.nclasses, 3);
	t_eq_str(v.classes[0], "7");
	t_eq_str(v.classes[1], "Maine Coon");
	is(&v, 0, "a.jpg", 2);
	is(&v, 1, "b.jpg", 1);
	is(&v, 2, "c.jpg", 0);
	is(&v, 3, "d.jpg", 2);
	image_names_fini(&v);
}

T_CASE(several_labels_are_each_once_and_in_order)
{
	struct image_names v = list("a.jpg 4, 1,4\nb.jpg\nc.jpg 0\n");

	t_check(v.many_from != NULL);
	t_eq_int(v.nclasses, 5);
	t_eq_int(v.many_from[1], 2);
	t_eq_int(v.many_from[2], 2);
	t_eq_int(v.many_from[3], 3);
	t_eq_int(v.many[0], 1);
	t_eq_int(v.many[1], 4);
	t_eq_int(v.many[2], 0);
	is(&v, 0, "a.jpg", 1);
	is(&v, 1, "b.jpg", -1);
	image_names_fini(&v);
}

T_CASE(a_list_that_cannot_be_meant_is_refused_by_its_line)
{
	refused("", "has no line with an image");
	refused("a.jpg 1\n../b.jpg 1\n", "line 2: \"../b.jpg\" leaves the");
	refused("/b.jpg 1\n", "line 1: \"/b.jpg\" is absolute");
	refused("\"./\" 1\n", "is no path");
	refused("a.jpg 1\nb.jpg\n", "line 2: has no label");
	refused("a.jpg \"\"\n", "line 1: has a label with nothing in its quotes");
	refused("a.jpg 1 2\nb.jpg 1.5\n", "line 2: the label is 1.5");
	refused("\"a.jpg 1\n", "line 1: a double quote is not closed");
}

/* --- folders -------------------------------------------------------------- */

static void
make(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	t_check(fd >= 0);
	rk_close(&fd);
}

T_CASE(classes_and_images_of_a_folder_are_in_the_order_of_their_bytes)
{
	struct image_names v = { 0 };
	struct rk_why why = { 0 };

	for (const char *const *d = (const char *const []){ "in", "in/b",
	    "in/a b", "in/a", "in/a/z", NULL }; *d != NULL; d++)
		t_eq_int(mkdir(*d, 0700), 0);
	make("in/a/2.jpg");
	make("in/a/1.jpg");
	make("in/a/z/0.PNG");
	make("in/a/z/notes.txt");
	make("in/a b/1.jpeg");
	make("in/.hidden");
	t_eq_int(image_scan("in", &v, &why), RK_OK);
	t_eq_int(v.nclasses, 3);
	t_eq_str(v.classes[1], "a b");
	t_eq_int((int64_t)v.n, 4);
	is(&v, 0, "a/1.jpg", 0);
	is(&v, 1, "a/2.jpg", 0);
	is(&v, 2, "a/z/0.PNG", 0);
	is(&v, 3, "a b/1.jpeg", 1);
	t_eq_int((int64_t)v.hidden, 1);
	t_eq_str(v.first_other, "a/z/notes.txt");
	t_eq_int((int64_t)v.nempty, 1);
	t_eq_int(v.empty[0], 2);
	image_names_fini(&v);
}

T_CASE(a_link_to_a_folder_around_it_is_refused)
{
	struct image_names v = { 0 };
	struct rk_why why = { 0 };

	t_eq_int(mkdir("loop", 0700), 0);
	t_eq_int(mkdir("loop/a", 0700), 0);
	make("loop/a/1.jpg");
	t_eq_int(symlink("..", "loop/a/again"), 0);
	t_eq_int(image_scan("loop", &v, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "a/again is a link to a folder that it is in");
	rk_why_fini(&why);
	image_names_fini(&v);
}

T_CASE(a_folder_that_is_too_deep_is_refused)
{
	struct image_names v = { 0 };
	struct rk_why why = { 0 };
	struct strbuf path = { 0 };

	sb_adds(&path, "deep");
	for (int i = 0; i <= IMAGE_DEPTH_MAX + 1; i++) {
		t_eq_int(mkdir(sb_str(&path), 0700), 0);
		sb_adds(&path, "/f");
	}
	t_eq_int(image_scan("deep", &v, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "is more than 16 folders deep");
	rk_why_fini(&why);
	image_names_fini(&v);
	sb_fini(&path);
}

/* --- tars ----------------------------------------------------------------- */

/* Of files with these paths, which are sorted. */
static struct image_names
tar(const char *const *paths, size_t n)
{
	struct format_tar_file files[16];
	const struct format_tar t = { .files = files, .n = n };
	struct image_names v = { 0 };
	struct rk_why why = { 0 };

	for (size_t i = 0; i < n; i++)
		files[i] = (struct format_tar_file){ paths[i], 0, 1 };
	if (image_tar(&t, "t", &v, &why) != RK_OK)
		t_fail("%s", rk_why_first(&why));
	return v;
}

T_CASE(a_tar_has_the_order_of_the_folder_that_it_was_made_of)
{
	static const char *const paths[] = { "a b/1.jpeg", "a/1.jpg",
		"a/2.jpg", "a/notes.txt", "a/z/.x.png", "a/z/0.PNG",
		"loose.jpg" };
	struct image_names v = tar(paths, RK_ARRAY_LEN(paths));

	t_eq_int(v.nclasses, 2);
	t_eq_str(v.classes[0], "a");
	t_eq_str(v.classes[1], "a b");
	t_eq_int((int64_t)v.n, 4);
	is(&v, 0, "a/1.jpg", 0);
	is(&v, 1, "a/2.jpg", 0);
	is(&v, 2, "a/z/0.PNG", 0);
	is(&v, 3, "a b/1.jpeg", 1);
	image_names_fini(&v);
}

T_CASE(a_folder_around_all_class_folders_of_a_tar_is_no_class)
{
	static const char *const paths[] = { "in/a/1.jpg", "in/b/1.jpg",
		"in/b/s/2.jpg", "in/labels.txt" };
	struct image_names v = tar(paths, RK_ARRAY_LEN(paths));

	t_eq_int(v.nclasses, 2);
	t_eq_str(v.classes[0], "a");
	is(&v, 0, "in/a/1.jpg", 0);
	is(&v, 2, "in/b/s/2.jpg", 1);
	image_names_fini(&v);
}

T_CASE(of_two_folders_in_a_tar_each_is_a_class_whatever_is_in_them)
{
	static const char *const paths[] = { "a/s/1.jpg", "a/s/2.jpg",
		"b/s/1.jpg" };
	struct image_names v = tar(paths, RK_ARRAY_LEN(paths));

	t_eq_int(v.nclasses, 2);
	t_eq_str(v.classes[0], "a");
	t_eq_str(v.classes[1], "b");
	is(&v, 1, "a/s/2.jpg", 0);
	is(&v, 2, "b/s/1.jpg", 1);
	image_names_fini(&v);
}

T_CASE(a_tar_without_class_folders_is_refused)
{
	static const struct format_tar_file files[] = { { "a.jpg", 0, 1 },
		{ "b/notes.txt", 0, 1 } };
	const struct format_tar t = { .files = files, .n = 2 };
	struct image_names v = { 0 };
	struct rk_why why = { 0 };

	t_eq_int(image_tar(&t, "t", &v, &why), RK_EINVAL);
	t_has(rk_why_first(&why), "has 2 files and no image in a class folder");
	rk_why_fini(&why);
	image_names_fini(&v);
}

T_MAIN
