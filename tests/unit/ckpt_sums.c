/* SHA-256 of checkpoints that get their names when they are there already. */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rekindle/ckpt.h"
#include "t.h"
#include "u_ckpt.h"

#define D10  "step-000000010"
#define D20  "step-000000020"
#define SUMS "c/" D10 "/SHA256SUMS"

static void
named(struct ckpt *c, const char *name)
{
	struct ckpt_info i;

	t_eq_int(ckpt_read(c, name, &i), RK_OK);
	ckpt_info_fini(&i);
}

static void
not_named(struct ckpt *c, const char *name)
{
	struct ckpt_info i;

	t_eq_int(ckpt_read(c, name, &i), RK_ENOENT);
}

T_CASE(a_name_that_is_given_later_comes_with_sha256_of_every_file)
{
	struct ckpt *c = folder();
	struct ckpt_info was = save(c, 10, 0.5), is;
	char hex[RK_SHA256_HEX];

	digests(c, D10, 0, 2);
	t_eq_int(ckpt_name(c, D10, "mine"), RK_OK);
	digests(c, D10, 2, 2);
	t_eq_int(ckpt_read(c, "mine", &is), RK_OK);
	t_eq_str(is.digest, was.digest);
	for (int k = 0; k < is.nfiles; k++) {
		char *path = xasprintf("c/" D10 "/%s", is.files[k].name);
		int fd = open(path, O_RDONLY);
		t_eq_int(rk_sha256_of_fd(fd, hex, NULL), RK_OK);
		t_eq_str(is.files[k].sha256, hex);
		close(fd);
		free(path);
	}
	/* ... which sha256sum checks, checkpoint.json with them. */
	t_eq_int(system("cd c/" D10 " && sha256sum -c --strict SHA256SUMS "
	    ">out && test $(grep -c OK out) = 3"), 0);
	ckpt_info_fini(&was);
	ckpt_info_fini(&is);
	ckpt_close(&c);
}

T_CASE(what_has_sha256_already_gets_its_name_and_no_file_more)
{
	struct ckpt *c = folder();
	struct ckpt_info i = info_at(10);
	struct tensor_set *m = tensors(5, 2);
	struct stat st;

	i.leaves = true;
	t_eq_int(ckpt_save(c, &i, m, m, NULL), RK_OK);
	t_eq_int(ckpt_name(c, D10, "mine"), RK_OK);
	t_check(stat(SUMS, &st) != 0);
	named(c, "mine");
	tensor_set_free(m);
	ckpt_info_fini(&i);
	ckpt_close(&c);
}

T_CASE(what_is_not_what_was_written_gets_no_name)
{
	struct ckpt *c = folder();
	struct stat st;

	saves(c, 1, 10);
	int fd = open("c/" D10 "/optimizer.safetensors", O_RDWR);
	t_check(pwrite(fd, "X", 1, 4200) == 1);
	close(fd);
	log_set_level(LOG_L_ERROR);
	t_eq_int(ckpt_name(c, D10, "mine"), RK_ECORRUPT);
	not_named(c, "mine");
	t_check(stat(SUMS, &st) != 0);
	ckpt_close(&c);
}

T_CASE(a_damaged_file_of_sums_counts_as_not_there_and_is_made_again)
{
	struct ckpt *c = folder();
	struct stat st;
	char b, bad;

	saves(c, 1, 10);
	t_eq_int(ckpt_name(c, D10, "mine"), RK_OK);
	t_check(stat(SUMS, &st) == 0);
	int fd = open(SUMS, O_RDWR);
	log_set_level(LOG_L_ERROR);
	for (off_t at = 0; at < st.st_size; at++) {
		t_check(pread(fd, &b, 1, at) == 1);
		bad = (char)(b ^ 1);
		t_check(pwrite(fd, &bad, 1, at) == 1);
		digests(c, D10, 0, 2);
		t_check(pwrite(fd, &b, 1, at) == 1);
	}
	digests(c, D10, 2, 2);
	t_check(ftruncate(fd, st.st_size - 1) == 0);
	close(fd);
	digests(c, D10, 0, 2);
	t_eq_int(ckpt_name(c, D10, "mine"), RK_OK);
	digests(c, D10, 2, 2);
	ckpt_close(&c);
}

T_CASE(sums_of_another_checkpoint_are_not_taken)
{
	struct ckpt *c = folder();

	saves(c, 2, 10, 20);
	t_eq_int(ckpt_name(c, D20, "twenty"), RK_OK);
	t_eq_int(system("cp c/" D20 "/SHA256SUMS " SUMS), 0);
	log_set_level(LOG_L_ERROR);
	digests(c, D10, 0, 2);
	write_file(SUMS, "");
	digests(c, D10, 0, 2);
	t_check(unlink(SUMS) == 0 && mkdir(SUMS, 0755) == 0);
	digests(c, D10, 0, 2);
	ckpt_close(&c);
}

/* Another process is reading its files, to give it a name. */
static pid_t
held_by_another(void)
{
	int p[2];
	char b;

	t_check(pipe(p) == 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		int fd = open("c/" D10, O_RDONLY | O_DIRECTORY);
		(void)!flock(fd, LOCK_SH);
		(void)!write(p[1], "x", 1);
		pause();
		_exit(0);
	}
	t_check(read(p[0], &b, 1) == 1);
	close(p[0]);
	close(p[1]);
	return pid;
}

T_CASE(what_is_about_to_get_a_name_is_not_deleted_until_that_process_has_ended)
{
	struct ckpt *c = folder();
	int deleted, st;

	saves(c, 3, 10, 20, 30);
	pid_t pid = held_by_another();
	t_eq_int(ckpt_delete(c, D10), RK_EBUSY);
	t_eq_int(ckpt_retain(c, 1, 0, NULL, false, &deleted), RK_OK);
	holds(c, "10 30");
	/* Two may give it names at a time. */
	t_eq_int(ckpt_name(c, D10, "mine"), RK_OK);
	t_eq_int(ckpt_unname(c, "mine"), RK_OK);
	t_check(kill(pid, SIGKILL) == 0 && waitpid(pid, &st, 0) == pid);
	t_eq_int(ckpt_retain(c, 1, 0, NULL, false, &deleted), RK_OK);
	holds(c, "30");
	ckpt_close(&c);
}

T_MAIN
