/*
 * pictures FOLDER CLASSES EACH WIDTH HEIGHT - a folder of class folders with so many
 * JPEGs in each (paint.h); no more than PAINTED are different.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "paint.h"

#define PAINTED 64

static void
give_up(const char *path)
{
	fprintf(stderr, "pictures: %s: %s\n", path, strerror(errno));
	exit(1);
}

static void
make_folder(const char *path)
{
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		give_up(path);
}

static void
write_file(const char *path, const struct paint_file *f)
{
	FILE *to = fopen(path, "w");

	if (to == NULL || fwrite(f->p, 1, f->n, to) != f->n ||
	    fclose(to) != 0)
		give_up(path);
}

int
main(int argc, char **argv)
{
	struct paint_file f[PAINTED];

	if (argc != 6) {
		fprintf(stderr, "pictures FOLDER CLASSES EACH WIDTH HEIGHT\n");
		return 2;
	}
	const int classes = atoi(argv[2]), each = atoi(argv[3]);
	const int painted = RK_MIN(classes * each, PAINTED);
	for (int i = 0; i < painted; i++)
		f[i] = paint_jpeg(atoi(argv[4]), atoi(argv[5]), i);
	make_folder(argv[1]);
	for (int c = 0; c < classes; c++) {
		char *folder = xasprintf("%s/class%03d", argv[1], c);
		make_folder(folder);
		for (int i = 0; i < each; i++) {
			char *path = xasprintf("%s/%06d.jpg", folder, i);
			write_file(path, &f[(c * each + i) % painted]);
			free(path);
		}
		free(folder);
	}
	for (int i = 0; i < painted; i++)
		free(f[i].p);
	return 0;
}
