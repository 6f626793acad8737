/*
 * Pins: what somebody is about to begin from stays.
 *
 *	.pin-<who> -> step-000001200
 *
 * As a person's name, but nobody sees it: retention and deletion, in whatever
 * process, leave its checkpoint alone.
 */
#include <string.h>
#include <unistd.h>
#include <errno.h>

#include "impl.h"

static bool
pin_name(char out[HIDDEN_MAX], const char *who)
{
	if (who[0] == '\0' || strlen(who) >= CKPT_DIR_MAX - strlen(PIN_PREFIX) ||
	    strchr(who, '/') != NULL)
		return false;
	snprintf(out, HIDDEN_MAX, PIN_PREFIX "%s", who);
	return true;
}

enum rk_err
ckpt_pin(struct ckpt *c, const char *dir, const char *who)
{
	char name[HIDDEN_MAX];

	must_be(c, CKPT_TAG);
	return pin_name(name, who) ? link_to(c, dir, name) : RK_EINVAL;
}

void
ckpt_unpin(struct ckpt *c, const char *who)
{
	char name[HIDDEN_MAX];

	must_be(c, CKPT_TAG);
	if (pin_name(name, who) && unlinkat(c->dirfd, name, 0) != 0 &&
	    errno != ENOENT)
		log_errno("ckpt: cannot take the pin %s/%s", c->path, name);
}

bool
view_pinned(const struct view *w, size_t i)
{
	for (size_t k = 0; k < w->npins; k++) {
		if (strcmp(w->pins[k], w->v[i].dir) == 0)
			return true;
	}
	return false;
}
