/* What went wrong: the names of errors, and faults kept for a person. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/base.h"

const char *
rk_strerror(enum rk_err e)
{
	switch (e) {
	case RK_OK:        return "ok";
	case RK_EINVAL:    return "input refused";
	case RK_EIO:       return "input/output error";
	case RK_ENOSPC:    return "no space left";
	case RK_EROFS:     return "read-only or not permitted";
	case RK_ENOMEM:    return "out of memory";
	case RK_ENOENT:    return "not found";
	case RK_EEXIST:    return "exists already";
	case RK_EBUSY:     return "in use";
	case RK_ECONFLICT: return "not possible in this state";
	case RK_ECORRUPT:  return "corrupt";
	case RK_ETIMEDOUT: return "timed out";
	case RK_ELIMIT:    return "over the limit";
	case RK_EGONE:     return "removed, or replaced by another file";
	}
	return "unknown error";
}

enum rk_err
rk_from_errno(int e)
{
	switch (e) {
	case 0:
		return RK_OK;
	case ENOSPC:
	case EDQUOT:
		return RK_ENOSPC;
	case EROFS:
	case EACCES:
	case EPERM:
		return RK_EROFS;
	case ENOMEM:
		return RK_ENOMEM;
	case ENOENT:
	case ENOTDIR:
		return RK_ENOENT;
	case EEXIST:
		return RK_EEXIST;
	case EBUSY:
	case ETXTBSY:
	case ENOTEMPTY:
	case EAGAIN:
		return RK_EBUSY;
	case ETIMEDOUT:
		return RK_ETIMEDOUT;
	case EFBIG:
	case ENAMETOOLONG:
	case EMFILE:
	case ENFILE:
		return RK_ELIMIT;
	default:
		return RK_EIO;
	}
}

void
rk_must_failed(const char *cond, const char *file, int line)
{
	log_error("bug: %s:%d: must(%s) does not hold; stopping here, so that "
	    "we are restarted from what is on disk", file, line, cond);
	abort();
}

/*
 * One block a fault: "path\0path: message\0".  `path` points to its start and
 * owns it, `message` points into the line; so the line needs no other place.
 */
static void
why_add(struct rk_why *why, const char *path, const char *fmt, va_list ap)
{
	if (why->n == RK_WHY_MAX) {
		why->more++;
		return;
	}
	struct strbuf b = {0};
	size_t n = strlen(path);
	sb_add(&b, path, n + 1);
	if (n > 0) {
		sb_adds(&b, path);
		sb_adds(&b, ": ");
	}
	size_t at = b.len;
	sb_vaddf(&b, fmt, ap);

	why->v = xrealloc(why->v, (why->n + 1) * sizeof(*why->v));
	struct rk_fault *f = &why->v[why->n++];
	f->path = sb_detach(&b);
	f->message = f->path + at;
	/* They go into logs and into JSON, and quote what came from outside. */
	rk_text_clean(f->path);
	if (n > 0)
		rk_text_clean(f->path + n + 1);
	else
		rk_text_clean(f->message);
}

enum rk_err
rk_refuse(struct rk_why *why, const char *fmt, ...)
{
	va_list ap;

	if (why != NULL) {
		va_start(ap, fmt);
		why_add(why, "", fmt, ap);
		va_end(ap);
	}
	return RK_EINVAL;
}

enum rk_err
rk_refuse_at(struct rk_why *why, const char *path, const char *fmt, ...)
{
	va_list ap;

	if (why != NULL) {
		va_start(ap, fmt);
		why_add(why, path != NULL ? path : "", fmt, ap);
		va_end(ap);
	}
	return RK_EINVAL;
}

void
rk_why_fini(struct rk_why *why)
{
	for (size_t i = 0; i < why->n; i++)
		free(why->v[i].path);
	free(why->v);
	*why = (struct rk_why){0};
}

static const char *
fault_line(const struct rk_fault *f)
{
	return f->path[0] != '\0' ? f->path + strlen(f->path) + 1 : f->message;
}

const char *
rk_why_first(const struct rk_why *why)
{
	return why->n > 0 ? fault_line(&why->v[0]) : "no reason given";
}

enum rk_err
rk_why_end(struct rk_why *own, struct rk_why *why)
{
	enum rk_err rc = RK_OK;

	if (own->n > 0)
		rc = rk_refuse(why, "%s", rk_why_first(own));
	rk_why_fini(own);
	return rc;
}

char *
rk_why_text(const struct rk_why *why)
{
	struct strbuf b = {0};

	sb_adds(&b, rk_why_first(why));
	for (size_t i = 1; i < why->n; i++) {
		sb_adds(&b, "; ");
		sb_adds(&b, fault_line(&why->v[i]));
	}
	if (why->more > 0)
		sb_addf(&b, "; and %zu more", why->more);
	return sb_detach(&b);
}
