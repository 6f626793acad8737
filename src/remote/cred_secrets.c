/*
 * Secrets of the environment.
 *
 * What a process was started with stays readable in /proc/<pid>/environ, and
 * goes on to whatever it starts.  So secrets are taken out of there at the
 * start: copied, overwritten where they stood, and unset.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "cred.h"

static struct {
	const char *name;
	char *value;            /* NULL: not taken */
} secrets[] = {
	{ "AWS_SECRET_ACCESS_KEY", NULL },
	{ "AWS_SESSION_TOKEN", NULL },
	{ "AWS_SECURITY_TOKEN", NULL },
	{ "AWS_CONTAINER_AUTHORIZATION_TOKEN", NULL },
	{ "OSS_ACCESS_KEY_SECRET", NULL },
	{ "OSS_SESSION_TOKEN", NULL },
	{ "ALIBABA_CLOUD_ACCESS_KEY_SECRET", NULL },
	{ "ALIBABA_CLOUD_SECURITY_TOKEN", NULL },
};

void
remote_hide_secrets(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		log_errno("remote: others may look into our memory");
	for (size_t i = 0; i < RK_ARRAY_LEN(secrets); i++) {
		char *s = getenv(secrets[i].name);
		if (s == NULL)
			continue;
		free(secrets[i].value);
		secrets[i].value = xstrdup(s);
		rk_wipe(s, strlen(s));
		(void)unsetenv(secrets[i].name);
	}
}

const char *
secret_env(const char *name)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(secrets); i++) {
		if (strcmp(secrets[i].name, name) == 0)
			return secrets[i].value;
	}
	return NULL;
}
