/* The configuration: defaults, the file, the flags; what the machine has. */
#include "impl.h"

#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

void
config_init(struct config *c)
{
	const char *dir = getenv("STATE_DIRECTORY");    /* systemd's */

	*c = (struct config){
		.start_timeout = 60, .stall_timeout = 120, .stop_timeout = 60,
		.nice = 10, .retry_base = 1, .retry_max = 300,
		.disk_reserve = 64u << 20, .disk_check = 5,
		.body_limit = 1u << 20, .header_limit = 16u << 10,
		.connections = 1100, .streams = 200,
		.idle_timeout = 30, .heartbeat = 15,
		.keep_events = 1000000, .sweep = 3600,
		.log_max = 64u << 20, .log_files = 4,
		.ship = { .uploads = 2, .parts = 4, .part_size = 16u << 20,
		    .cache = 20ull << 30, .stale_uploads = 86400,
		    .retry_base = 5, .retry_max = 300, .recheck = 3600 },
		.mirror = { .check = 10, .start_wait = 30 },
		.preempt = { .cloud = CLOUD_AUTO, .gcp_notice = 30,
		    .margin = 2, .survived = 60, .acknowledge = ACK_ENDS },
	};
	c->state_dir = xstrdup(dir != NULL && dir[0] == '/' &&
	    strchr(dir, ':') == NULL ? dir : DEFAULT_STATE);
	c->listen = xstrdup(DEFAULT_LISTEN);
	c->socket_mode = xstrdup("0660");
	c->log_level = xstrdup("info");
}

void
config_fini(struct config *c)
{
	free(c->file);
	free(c->state_dir);
	free(c->listen);
	free(c->socket);
	free(c->socket_mode);
	free(c->trainer);
	free(c->log_level);
	json_decref(c->stores);
	json_decref(c->paths);
	free(c->aws_metadata);
	free(c->alibaba_metadata);
	free(c->mirror.prefix);
	free(c->mirror.instance);
	for (int i = 0; i < CLOUD_COUNT; i++)
		free(c->preempt.url[i]);
	free(c->preempt.azure_name);
	*c = (struct config){ 0 };
}

/* --- the file ------------------------------------------------------------ */

/* An object within the file, or an empty one where it is absent. */
static void
section(struct rkj_obj *top, const char *key, struct rkj_obj *o)
{
	static json_t *empty;
	const json_t *v = rkj_any(top, key);
	char *path = rkj_child(top, key);

	if (v == NULL || json_is_null(v)) {
		if (empty == NULL)
			empty = json_object();
		v = empty;
	}
	rkj_open(o, v, path, top->why);
	free(path);
}

static void
seconds(struct rkj_obj *o, const char *key, double *out, double min)
{
	rkj_real(o, key, out, min, 86400, RKJ_OPTIONAL);
}

/* A mirror wants both; one that is there and wrong has been refused. */
static void
check_both(const struct config *c, struct rkj_obj *o)
{
	const json_t *prefix = rkj_any(o, "prefix"),
	    *instance = rkj_any(o, "instance");
	bool has_prefix = c->mirror.prefix != NULL ||
	    (prefix != NULL && !json_is_null(prefix));
	bool has_instance = c->mirror.instance != NULL ||
	    (instance != NULL && !json_is_null(instance));

	if (has_prefix != has_instance)
		rkj_fault(o, has_prefix ? "instance" : "prefix",
		    "is missing; a mirror wants both prefix and instance");
}

/* A folder that jobs may name things in; no dots, as these of a job are not
 * followed either. */
static bool
folder_ok(const json_t *v)
{
	const char *s = json_string_value(v);

	if (s == NULL || s[0] != '/' || strlen(s) > 4000)
		return false;
	for (const char *p = s; (p = strstr(p, "/..")) != NULL; p += 3) {
		if (p[3] == '/' || p[3] == '\0')
			return false;
	}
	return true;
}

static void
read_paths(struct config *c, struct rkj_obj *top)
{
	const json_t *list;
	struct rkj_obj o;
	char shown[80];

	section(top, "paths", &o);
	list = rkj_any(&o, "allow");
	if (list != NULL && !json_is_null(list)) {
		if (!json_is_array(list) || json_array_size(list) > PATHS_MAX)
			rkj_fault(&o, "allow", "is no list of at most %d "
			    "folders", PATHS_MAX);
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *v = json_array_get(list, i);
			if (folder_ok(v))
				continue;
			snprintf(shown, sizeof(shown), "%s", json_is_string(v) ?
			    json_string_value(v) : "no text");
			rkj_fault(&o, "allow", "has \"%s\", want absolute "
			    "paths of folders, without ..", shown);
		}
		json_decref(c->paths);
		c->paths = json_deep_copy(list);
	}
	rkj_close(&o);
}

/* Object stores, and what goes there. */
static void
read_stores(struct config *c, struct rkj_obj *top)
{
	const json_t *list = rkj_any(top, "stores");
	struct rkj_obj o;

	if (list != NULL && !json_is_null(list)) {
		if (!json_is_array(list))
			rkj_fault(top, "stores", "is %s, want a list of stores",
			    json_is_object(list) ? "an object" : "one value");
		json_decref(c->stores);
		c->stores = json_deep_copy(list);
	}
	read_paths(c, top);
	section(top, "ship", &o);
	rkj_int(&o, "uploads", &c->ship.uploads, 1, 16, RKJ_OPTIONAL);
	rkj_int(&o, "parts", &c->ship.parts, 1, 16, RKJ_OPTIONAL);
	rkj_bytes(&o, "part_size", &c->ship.part_size, 5u << 20, 1u << 30,
	    RKJ_OPTIONAL);
	rkj_bytes(&o, "upload_rate", &c->ship.upload_rate, 0, INT64_MAX,
	    RKJ_OPTIONAL);
	rkj_bytes(&o, "download_rate", &c->ship.download_rate, 0, INT64_MAX,
	    RKJ_OPTIONAL);
	rkj_bytes(&o, "cache", &c->ship.cache, 0, INT64_MAX, RKJ_OPTIONAL);
	rkj_real(&o, "stale_uploads", &c->ship.stale_uploads, 60, 31536000,
	    RKJ_OPTIONAL);
	seconds(&o, "retry_base", &c->ship.retry_base, 0.01);
	seconds(&o, "retry_max", &c->ship.retry_max, 0.01);
	rkj_real(&o, "recheck", &c->ship.recheck, 0, 31536000, RKJ_OPTIONAL);
	rkj_close(&o);
	section(top, "mirror", &o);
	rkj_str(&o, "prefix", &c->mirror.prefix, 1024, RKJ_OPTIONAL);
	rkj_str(&o, "instance", &c->mirror.instance, RK_NAME_MAX,
	    RKJ_OPTIONAL);
	check_both(c, &o);
	seconds(&o, "check", &c->mirror.check, 0.1);
	seconds(&o, "start_wait", &c->mirror.start_wait, 0);
	rkj_close(&o);
}

/* Clouds: whose metadata service is asked for a notice, and where it is. */
static void
read_clouds(struct config *c, struct rkj_obj *top)
{
	struct rkj_obj o, u;

	section(top, "preempt", &o);
	rkj_enum(&o, "cloud", &c->preempt.cloud, preempt_cloud_words,
	    RKJ_OPTIONAL);
	seconds(&o, "poll", &c->preempt.poll, 0);
	seconds(&o, "gcp_notice", &c->preempt.gcp_notice, 5);
	seconds(&o, "margin", &c->preempt.margin, 0);
	seconds(&o, "survived", &c->preempt.survived, 1);
	rkj_enum(&o, "acknowledge", &c->preempt.acknowledge, preempt_ack_words,
	    RKJ_OPTIONAL);
	rkj_str(&o, "azure_name", &c->preempt.azure_name, 256, RKJ_OPTIONAL);
	section(&o, "url", &u);
	for (int i = CLOUD_AWS; i < CLOUD_COUNT; i++)
		rkj_str(&u, preempt_cloud_words[i], &c->preempt.url[i], 1024,
		    RKJ_OPTIONAL);
	rkj_close(&u);
	rkj_close(&o);
	section(top, "metadata", &o);
	rkj_str(&o, "aws", &c->aws_metadata, 1024, RKJ_OPTIONAL);
	rkj_str(&o, "alibaba", &c->alibaba_metadata, 1024, RKJ_OPTIONAL);
	rkj_close(&o);
}

static void
read_sections(struct config *c, struct rkj_obj *top)
{
	struct rkj_obj o;

	section(top, "capacity", &o);
	rkj_int(&o, "threads", &c->threads, 1, 4096, RKJ_OPTIONAL);
	rkj_bytes(&o, "memory", &c->memory, 1u << 20, INT64_MAX, RKJ_OPTIONAL);
	rkj_close(&o);
	section(top, "retry", &o);
	seconds(&o, "base", &c->retry_base, 0.01);
	seconds(&o, "max", &c->retry_max, 0.01);
	rkj_close(&o);
	section(top, "disk", &o);
	rkj_bytes(&o, "reserve", &c->disk_reserve, 0, INT64_MAX, RKJ_OPTIONAL);
	seconds(&o, "check", &c->disk_check, 0.1);
	rkj_close(&o);
	section(top, "log", &o);
	rkj_bytes(&o, "max", &c->log_max, 1u << 20, 1ull << 40, RKJ_OPTIONAL);
	rkj_int(&o, "files", &c->log_files, 2, 16, RKJ_OPTIONAL);
	rkj_close(&o);
	section(top, "api", &o);
	rkj_bytes(&o, "body_limit", &c->body_limit, 1024, RKJ_MAX_BYTES,
	    RKJ_OPTIONAL);
	rkj_bytes(&o, "header_limit", &c->header_limit, 4096, 1u << 20,
	    RKJ_OPTIONAL);
	rkj_int(&o, "connections", &c->connections, 8, 100000, RKJ_OPTIONAL);
	rkj_int(&o, "streams", &c->streams, 0, 100000, RKJ_OPTIONAL);
	seconds(&o, "idle_timeout", &c->idle_timeout, 1);
	seconds(&o, "heartbeat", &c->heartbeat, 1);
	rkj_close(&o);
	read_stores(c, top);
	read_clouds(c, top);
	section(top, "history", &o);
	rkj_int(&o, "events", &c->keep_events, 1000, INT64_MAX / 2,
	    RKJ_OPTIONAL);
	seconds(&o, "sweep", &c->sweep, 1);
	rkj_close(&o);
}

/* What a value must be beside its type; the flags come by here too. */
static void
check(const struct config *c, struct rk_why *why)
{
	enum log_level lv;
	struct address a;
	char *end;
	long mode = strtol(c->socket_mode, &end, 8);

	if (c->state_dir[0] == '\0')
		rk_refuse_at(why, "state_dir", "is empty");
	if (!log_level_from_name(c->log_level, &lv))
		rk_refuse_at(why, "log_level", "is \"%s\", want debug, info, "
		    "warn or error", c->log_level);
	if (*end != '\0' || end == c->socket_mode || mode < 0 || mode > 0777)
		rk_refuse_at(why, "socket_mode", "is \"%s\", want an octal "
		    "mode in quotes, such as \"0660\"", c->socket_mode);
	if (c->mirror.instance != NULL && !rk_name_ok(c->mirror.instance))
		rk_refuse_at(why, "mirror.instance", "is \"%s\", want 1 to 64 "
		    "of [A-Za-z0-9._-], the first no . and no -",
		    c->mirror.instance);
	where_check(c, why);
	if (strcmp(c->listen, "none") != 0) {
		struct rk_why w = { 0 };
		if (listen_parse(c->listen, &a, &w) != RK_OK)
			rk_refuse_at(why, "listen", "%s", rk_why_first(&w));
		rk_why_fini(&w);
	} else if (c->socket != NULL && strcmp(c->socket, "none") == 0) {
		rk_refuse_at(why, "listen", "is none, and so is socket: nobody "
		    "could reach the daemon");
	}
}

/* YAML reads 0660 without quotes as a number. */
static void
read_mode(struct config *c, struct rkj_obj *top)
{
	const json_t *v = rkj_any(top, "socket_mode");

	if (json_is_number(v))
		rkj_fault(top, "socket_mode", "is a number, want text in "
		    "quotes, such as \"0660\"");
	else
		rkj_str(top, "socket_mode", &c->socket_mode, 10, RKJ_OPTIONAL);
}

enum rk_err
config_parse(struct config *c, const json_t *tree, struct rk_why *why)
{
	struct rkj_obj o;
	size_t before = why->n;

	rkj_open(&o, tree, "", why);
	rkj_str(&o, "state_dir", &c->state_dir, 4000, RKJ_OPTIONAL);
	rkj_str(&o, "listen", &c->listen, 100, RKJ_OPTIONAL);
	rkj_str(&o, "socket", &c->socket, 4000, RKJ_OPTIONAL);
	read_mode(c, &o);
	rkj_str(&o, "trainer", &c->trainer, 4000, RKJ_OPTIONAL);
	rkj_str(&o, "log_level", &c->log_level, 10, RKJ_OPTIONAL);
	rkj_int(&o, "nice", &c->nice, 0, 19, RKJ_OPTIONAL);
	seconds(&o, "start_timeout", &c->start_timeout, 1);
	seconds(&o, "stall_timeout", &c->stall_timeout, 1);
	seconds(&o, "stop_timeout", &c->stop_timeout, 1);
	if (tree != NULL && json_is_object(tree))
		read_sections(c, &o);
	rkj_close(&o);
	check(c, why);
	return why->n > before ? RK_EINVAL : RK_OK;
}

/* Only blank lines and comments? */
static bool
says_nothing(const char *s)
{
	for (;;) {
		s += strspn(s, " \t\r\n");
		if (*s != '#')
			return *s == '\0';
		s += strcspn(s, "\n");
	}
}

enum rk_err
config_load(struct config *c, const char *path, struct rk_why *why)
{
	char *text = NULL;
	size_t len;
	json_t *tree = NULL;
	enum rk_err rc = rk_read_file(AT_FDCWD, path, CONFIG_MAX,
	    &text, &len);

	if (rc != RK_OK) {
		(void)rk_refuse(why, "cannot be read: %s", rk_strerror(rc));
		return rc;
	}
	if (!says_nothing(text)) {
		rc = rkj_parse_yaml(text, len, &tree, why);
		if (rc == RK_OK)
			rc = config_parse(c, tree, why);
	}
	free(text);
	json_decref(tree);
	return rc;
}

/* --- the flags ----------------------------------------------------------- */

enum { F_STATE = 256, F_LISTEN, F_SOCKET, F_MODE, F_TRAINER, F_THREADS,
	F_NICE, F_MEMORY, F_LOG, F_CONFIG, F_UNDER_SOCKET, F_UNDER_MODE,
	F_GAVE_UP, F_HELP, F_VERSION };

static const struct option flags[] = {
	{ "state-dir", required_argument, NULL, F_STATE },
	{ "listen", required_argument, NULL, F_LISTEN },
	{ "socket", required_argument, NULL, F_SOCKET },
	{ "socket-mode", required_argument, NULL, F_MODE },
	{ "trainer", required_argument, NULL, F_TRAINER },
	{ "threads", required_argument, NULL, F_THREADS },
	{ "nice", required_argument, NULL, F_NICE },
	{ "memory", required_argument, NULL, F_MEMORY },
	{ "log-level", required_argument, NULL, F_LOG },
	{ "config", required_argument, NULL, F_CONFIG },
	{ "default-socket", required_argument, NULL, F_UNDER_SOCKET },
	{ "default-socket-mode", required_argument, NULL, F_UNDER_MODE },
	{ "gave-up", no_argument, NULL, F_GAVE_UP },
	{ "help", no_argument, NULL, F_HELP },
	{ "version", no_argument, NULL, F_VERSION },
	{ NULL, 0, NULL, 0 }
};

/* The field of the file that a flag stands for. */
static const char *
flag_path(int f)
{
	switch (f) {
	case F_STATE:   return "state_dir";
	case F_LISTEN:  return "listen";
	case F_SOCKET:  return "socket";
	case F_MODE:    return "socket_mode";
	case F_UNDER_SOCKET: return "socket";
	case F_UNDER_MODE: return "socket_mode";
	case F_TRAINER: return "trainer";
	case F_THREADS: return "capacity.threads";
	case F_NICE:    return "nice";
	case F_MEMORY:  return "capacity.memory";
	case F_LOG:     return "log_level";
	default:        return NULL;
	}
}

/* `name`: what a person calls it. */
static bool
load_file(struct config *c, const char *path, const char *name)
{
	struct rk_why why = { 0 };
	enum rk_err rc = config_load(c, path, &why);

	free(c->file);
	c->file = xstrdup(name);
	for (size_t i = 0; i < why.n; i++)
		fprintf(stderr, "rekindled: %s: %s%s%s\n", name,
		    why.v[i].path, why.v[i].path[0] ? ": " : "",
		    why.v[i].message);
	if (rc == RK_EROFS)     /* no permission */
		fprintf(stderr, "rekindled: --config names another file\n");
	rk_why_fini(&why);
	return rc == RK_OK;
}

/*
 * The file where none was named.  The unit has systemd read it, as root, and
 * pass it on as a credential: it may be one that nobody else can read.
 */
static bool
load_usual_file(struct config *c)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path = dir == NULL || dir[0] != '/' ? NULL :
	    xasprintf("%s/" CONFIG_CREDENTIAL, dir);
	bool ok = true;

	if (path != NULL && access(path, F_OK) == 0)
		ok = load_file(c, path, CONFIG_FILE);
	else if (access(CONFIG_FILE, F_OK) == 0)
		ok = load_file(c, CONFIG_FILE, CONFIG_FILE);
	free(path);
	return ok;
}

/* Flags are laid over the file as if they had been written there, so that the
 * same checks say the same sentences. */
static bool
apply_flags(struct config *c, const json_t *over)
{
	struct rk_why why = { 0 };
	enum rk_err rc = config_parse(c, over, &why);

	for (size_t i = 0; i < why.n; i++)
		fprintf(stderr, "rekindled: %s: %s\n", why.v[i].path,
		    why.v[i].message);
	rk_why_fini(&why);
	return rc == RK_OK;
}

static json_t *
flag_value(int f, const char *text)
{
	/* Only a number may be anything but text: a directory may be called
	 * 7, or true. */
	return f == F_THREADS || f == F_NICE ? rkj_scalar(text) :
	    json_string(text);
}

/* What ends the program at once. */
static bool
is_question(int f, int *code)
{
	if (f == F_HELP)
		help_print();
	else if (f == F_VERSION)
		puts("rekindled " REKINDLE_VERSION);
	else if (f == F_GAVE_UP)
		gave_up_say();
	else
		return false;
	*code = EXIT_LEFT;
	return true;
}

bool
config_args(struct config *c, int argc, char **argv, int *code)
{
	const char *file = NULL;
	json_t *over = json_object(), *under = json_object();
	bool ok = true;
	int f;

	*code = EXIT_USAGE;
	while (ok && (f = getopt_long(argc, argv, "", flags, NULL)) != -1) {
		if (is_question(f, code)) {
			ok = false;
		} else if (f == F_CONFIG) {
			file = optarg;
		} else if (flag_path(f) != NULL) {
			json_t *v = flag_value(f, optarg);
			ok = v != NULL && rkj_set_path(f == F_UNDER_SOCKET ||
			    f == F_UNDER_MODE ? under : over, flag_path(f), v,
			    NULL) == RK_OK;
		} else {
			fprintf(stderr, "rekindled: --help lists the flags\n");
			ok = false;
		}
	}
	if (ok && optind < argc) {
		fprintf(stderr, "rekindled: \"%s\" is no flag; --help lists "
		    "them\n", argv[optind]);
		ok = false;
	}
	ok = ok && apply_flags(c, under) &&
	    (file != NULL ? load_file(c, file, file) : load_usual_file(c)) &&
	    apply_flags(c, over);
	json_decref(over);
	json_decref(under);
	return ok;
}
