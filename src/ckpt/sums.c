/*
 * SHA-256 of files whose checkpoint.json does without it.
 *
 *	step-000001200/SHA256SUMS       as sha256sum(1) writes and checks it
 *
 *	<64 digits>  model.safetensors
 *	<64 digits>  optimizer.safetensors
 *	<64 digits>  checkpoint.json
 *	# <SHA-256 of the lines above>
 *
 * It is made when the checkpoint gets a name.  The line of checkpoint.json ties
 * it to what it stands beside, the last one (which sha256sum takes for a
 * remark) shows a flipped bit: where either is wrong, it counts as not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "impl.h"

#define HEX_DIGITS ((size_t)RK_SHA256_HEX - 1)
#define SUMS_MAX   (16u << 10)

/* --- the text ------------------------------------------------------------- */

static char *
sums_text(const struct ckpt_info *i)
{
	char check[RK_SHA256_HEX];
	struct strbuf b = {0};

	for (int k = 0; k < i->nfiles; k++)
		sb_addf(&b, "%s  %s\n", i->files[k].sha256, i->files[k].name);
	sb_addf(&b, "%s  " CKPT_JSON "\n", i->digest);
	rk_sha256_of(b.s, b.len, check);
	sb_addf(&b, "# %s\n", check);
	return sb_detach(&b);
}

/* The digits before "  name\n" in lines of that form, or NULL. */
static const char *
sum_of(const char *lines, const char *name)
{
	char *behind = xasprintf("  %s\n", name);
	const size_t n = strlen(behind);
	const char *at = lines;

	while (at != NULL && (strspn(at, "0123456789abcdef") != HEX_DIGITS ||
	    strncmp(at + HEX_DIGITS, behind, n) != 0)) {
		at = strchr(at, '\n');
		at = at != NULL ? at + 1 : NULL;
	}
	free(behind);
	return at;
}

/* Is it as it was written, beside this checkpoint.json? */
static bool
sums_good(const char *text, const struct ckpt_info *i)
{
	char check[RK_SHA256_HEX];
	const char *last = strstr(text, "# ");
	const char *own = sum_of(text, CKPT_JSON);

	if (last == NULL || own == NULL ||
	    memcmp(own, i->digest, HEX_DIGITS) != 0)
		return false;
	rk_sha256_of(text, (size_t)(last - text), check);
	last += 2;
	return strncmp(last, check, HEX_DIGITS) == 0 &&
	    strcmp(last + HEX_DIGITS, "\n") == 0;
}

static bool
any_without(const struct ckpt_info *i)
{
	for (int k = 0; k < i->nfiles; k++) {
		if (i->files[k].sha256[0] == '\0')
			return true;
	}
	return false;
}

void
read_sums(int fd, struct ckpt_info *i)
{
	char *text = NULL;
	size_t len;

	if (!any_without(i) ||
	    rk_read_file(fd, CKPT_SUMS, SUMS_MAX, &text, &len) != RK_OK)
		return;
	bool good = strlen(text) == len && sums_good(text, i);
	if (!good)
		log_warn("ckpt: " CKPT_SUMS " of %s is damaged and passed over",
		    i->dir);
	for (int k = 0; good && k < i->nfiles; k++) {
		struct ckpt_file *f = &i->files[k];
		const char *hex = sum_of(text, f->name);
		if (f->sha256[0] == '\0' && hex != NULL)
			snprintf(f->sha256, sizeof(f->sha256), "%.*s",
			    (int)HEX_DIGITS, hex);
	}
	free(text);
}

/* --- making it ------------------------------------------------------------ */

static enum rk_err
sum_file(int dirfd, struct ckpt_file *f, struct rk_why *why)
{
	char hex[RK_SHA256_HEX];
	int fd;
	enum rk_err rc = open_file(dirfd, f, &fd, why);

	if (rc == RK_OK)
		rc = ckpt_file_sums(fd, f, hex, why);
	rk_close(&fd);
	if (rc == RK_OK)
		memcpy(f->sha256, hex, sizeof(hex));
	return rc;
}

static enum rk_err
sum_all(int dirfd, struct ckpt_info *i, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	for (int k = 0; k < i->nfiles && rc == RK_OK; k++) {
		if (i->files[k].sha256[0] == '\0')
			rc = sum_file(dirfd, &i->files[k], why);
	}
	if (rc != RK_OK)
		return rc;
	char *text = sums_text(i);
	rc = rk_replace_file(dirfd, CKPT_SUMS, text, strlen(text));
	free(text);
	return rc;
}

enum rk_err
make_sums(struct ckpt *c, const char *dir, int dirfd)
{
	struct rk_why why = {0};
	struct ckpt_info i;
	enum rk_err rc = read_dir_info(c, dir, &i, &why);

	if (rc == RK_OK && any_without(&i))
		rc = sum_all(dirfd, &i, &why);
	if (rc == RK_ECORRUPT && !dir_exists(c, dir))
		rc = RK_ENOENT;
	if (rc != RK_OK && rc != RK_ENOENT)
		log_warn("ckpt: no SHA-256 of %s/%s: %s", c->path, dir,
		    why.n > 0 ? rk_why_first(&why) : rk_strerror(rc));
	ckpt_info_fini(&i);
	rk_why_fini(&why);
	return rc;
}

/* --- held meanwhile ------------------------------------------------------- */

enum rk_err
hold_dir(struct ckpt *c, const char *dir, int *fd)
{
	int64_t step;
	int branch;

	*fd = -1;
	if (!dir_parse(dir, &step, &branch))
		return RK_ENOENT;
	enum rk_err rc = lock_changes(c);
	if (rc != RK_OK)
		return rc;
	*fd = openat(c->dirfd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (*fd < 0)
		rc = rk_from_errno(errno);
	else
		(void)flock(*fd, LOCK_SH | LOCK_NB);
	unlock_changes(c);
	return rc;
}

bool
is_held(struct ckpt *c, const char *dir)
{
	int fd = openat(c->dirfd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 &&
	    errno == EWOULDBLOCK;

	rk_close(&fd);
	return held;
}
