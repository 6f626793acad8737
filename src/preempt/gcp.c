/*
 * Google Compute Engine.  A hanging GET answers when the value changes; it
 * carries the ETag of the last answer, so that no change is missed between two.
 * Preempted is said without a time: the configuration's gcp_notice counts.  A
 * host's maintenance that ends the machine is said an hour ahead; one that
 * moves it while it runs is nobody's business.
 *
 * Compute Engine documentation, "Spot VMs", "Query VM metadata: wait for
 * change", "Live migration: maintenance-event".
 */
#include <string.h>

#include "clouds.h"

#define HOUR_MS (3600 * 1000)

enum { PREEMPTED, MAINTENANCE };

static bool
says(const char *body, size_t len, const char *word)
{
	while (len > 0 && (body[len - 1] == '\n' || body[len - 1] == ' '))
		len--;
	return len == strlen(word) && memcmp(body, word, len) == 0;
}

static bool
read_gcp(int i, int status, const char *body, size_t len, struct sight *s,
    struct notice *n)
{
	(void)s;
	if (status != 200)
		return status == 404;
	if (i == PREEMPTED && says(body, len, "TRUE")) {
		n->kind = NOTICE_LEAVE;
		n->lead_ms = LEAD_CONFIGURED;
		snprintf(n->text, sizeof(n->text),
		    "Google preempts this instance");
	} else if (i == MAINTENANCE &&
	    says(body, len, "TERMINATE_ON_HOST_MAINTENANCE")) {
		n->kind = NOTICE_LEAVE;
		n->lead_ms = HOUR_MS;
		snprintf(n->text, sizeof(n->text), "Google stops this instance "
		    "for maintenance of its host");
	}
	return len > 0;
}

const struct cloud cloud_gcp = {
	.base = "http://metadata.google.internal",
	.header = "Metadata-Flavor: Google",
	.q = {
		{ "/computeMetadata/v1/instance/preempted", 1000, 0, true },
		{ "/computeMetadata/v1/instance/maintenance-event", 5000, 0,
		    true },
	},
	.read = read_gcp,
};
