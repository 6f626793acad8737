/*
 * rekindle - the command line over rekindled's REST API.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct cli_command commands[] = {
	{ "submit", 1, 1, "FILE [--set PATH=VALUE]... [--name NAME] [--hold] "
	    "[--hint] [--dry-run] [--watch] [--patience SECONDS]",
	    "queue a job; FILE is YAML or JSON, - for stdin", cmd_submit },
	{ "predict", 2, CLI_WORDS, "MODEL DATA... [-o OUT] "
	    "[--set PATH=VALUE]... [--name NAME] [--hold] [--dry-run] "
	    "[--watch] [--patience SECONDS]",
	    "what a model says of data: files, folders of pictures, addresses",
	    cmd_predict },
	{ "evaluate", 1, CLI_WORDS, "MODEL [DATA...] [--set PATH=VALUE]... "
	    "[--name NAME] [--hold] [--dry-run] [--watch] "
	    "[--patience SECONDS]",
	    "score a model on data with labels", cmd_evaluate },
	{ "plan", 1, 1, "FILE [--set PATH=VALUE]...",
	    "what the warm start of a job would do, tensor by tensor",
	    cmd_plan },
	{ "suggest", 1, 1, "FILE [--set PATH=VALUE]... [--limit N]",
	    "what a job would best begin from, with the lines for it",
	    cmd_suggest },
	{ "list", 0, 0, "[--state STATE,...] [--label KEY=VALUE] [--limit N] "
	    "[--all]", "the jobs, newest first", cmd_list },
	{ "show", 1, 1, "JOB", "all about a job, its warm start too",
	    cmd_show },
	{ "watch", 1, 1, "JOB [--patience SECONDS]",
	    "a live progress line until the job has ended", cmd_watch },
	{ "start", 1, 1, "JOB", "let a held job into the queue", cmd_start },
	{ "pause", 1, 1, "JOB", "save a checkpoint and stop for now",
	    cmd_pause },
	{ "resume", 1, 1, "JOB [--from latest|best|step:N|NAME|none] "
	    "[--set PATH=VALUE]... [--accept data] [--dry-run] [--watch] "
	    "[--patience SECONDS]",
	    "go on, from a checkpoint you name", cmd_resume },
	{ "cancel", 1, 1, "JOB", "stop for good; its checkpoints stay",
	    cmd_cancel },
	{ "retry", 1, 1, "JOB [--watch] [--patience SECONDS]",
	    "queue a failed job again", cmd_retry },
	{ "checkpoint", 1, 1, "JOB [--name NAME]",
	    "save one now; a named one is kept for good", cmd_checkpoint },
	{ "checkpoints", 1, 1, "JOB", "what there is to go on from",
	    cmd_checkpoints },
	{ "export", 2, 2, "JOB FILE [--from latest|best|step:N|NAME] [--force]",
	    "a checkpoint as .safetensors, .pdparams, .pdopt or .pt",
	    cmd_export },
	{ "metrics", 1, 1, "JOB [--split train|validation] [-f] "
	    "[--patience SECONDS]",
	    "loss, accuracy, learning rate by step", cmd_metrics },
	{ "evaluations", 1, 2, "JOB [N|step:N|latest]",
	    "what each evaluation gave; of one, every class",
	    cmd_evaluations },
	{ "plot", 2, 2, "JOB FOLDER",
	    "curves, confusion matrix and reliability as SVG", cmd_plot },
	{ "log", 1, 1, "JOB [-f] [--tail LINES] [--patience SECONDS]",
	    "what its trainer said", cmd_log },
	{ "events", 1, 1, "JOB [-f] [--patience SECONDS]",
	    "what happened to it, and why", cmd_events },
	{ "attempts", 1, 1, "JOB", "each run of its trainer", cmd_attempts },
	{ "delete", 1, 1, "JOB", "remove an ended job and its checkpoints",
	    cmd_delete },
	{ "adopt", 0, 1, "[JOB] [--resume]",
	    "take jobs back from their folders, of which the database has no "
	    "record", cmd_adopt },
	{ "drain", 0, 0, "[--in SECONDS] [--rehearse]",
	    "save every job, and take no work until started anew", cmd_drain },
	{ "weights", 2, CLI_WORDS, "show FILE... [--statistics] "
	    "[--member NAME] [--part PATH] | diff A B | convert FILE --to "
	    "FORMAT [-o OUT] [--arch ARCH] [--job JOB.yaml] [--as-is] [--force]",
	    "what is in files of weights, whoever wrote them; a daemon is asked "
	    "for addresses (s3:, oss:, https:, http:) alone",
	    cmd_weights },
	{ "models", 0, CLI_WORDS, "[--limit N] [--all] | VERB ...",
	    "numbered versions of models, their aliases and where they come "
	    "from", cmd_models },
	{ "status", 0, 0, "", "the daemon: its mirror, its cloud, its uploads",
	    cmd_status },
};

static void
help(FILE *f)
{
	cli_help(f, commands, RK_ARRAY_LEN(commands));
}

static const struct cli_command *
find_command(const char *name)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

enum {
	O_SERVER = 256, O_JSON, O_SET, O_NAME, O_HOLD, O_WATCH, O_STATE,
	O_LABEL, O_LIMIT, O_ALL, O_FROM, O_SPLIT, O_TAIL, O_IN, O_REHEARSE,
	O_PATIENCE, O_VERSION, O_ACCEPT, O_DRY_RUN, O_STATISTICS, O_MEMBER,
	O_PART, O_TO, O_ARCH, O_JOB, O_AS_IS, O_FORCE, O_RESUME, O_ALIAS,
	O_AUTHOR, O_NOTES, O_NOTE, O_IF_BETTER, O_FORMAT, O_METRIC, O_SORT,
	O_NO_OPTIMIZER, O_HINT
};
static const struct option options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, O_VERSION },
	{ "server", required_argument, NULL, O_SERVER },
	{ "json", no_argument, NULL, O_JSON },
	{ "set", required_argument, NULL, O_SET },
	{ "name", required_argument, NULL, O_NAME },
	{ "hold", no_argument, NULL, O_HOLD },
	{ "hint", no_argument, NULL, O_HINT },
	{ "dry-run", no_argument, NULL, O_DRY_RUN },
	{ "watch", no_argument, NULL, O_WATCH },
	{ "state", required_argument, NULL, O_STATE },
	{ "label", required_argument, NULL, O_LABEL },
	{ "limit", required_argument, NULL, O_LIMIT },
	{ "all", no_argument, NULL, O_ALL },
	{ "from", required_argument, NULL, O_FROM },
	{ "accept", required_argument, NULL, O_ACCEPT },
	{ "split", required_argument, NULL, O_SPLIT },
	{ "follow", no_argument, NULL, 'f' },
	{ "tail", required_argument, NULL, O_TAIL },
	{ "in", required_argument, NULL, O_IN },
	{ "rehearse", no_argument, NULL, O_REHEARSE },
	{ "resume", no_argument, NULL, O_RESUME },
	{ "patience", required_argument, NULL, O_PATIENCE },
	{ "statistics", no_argument, NULL, O_STATISTICS },
	{ "member", required_argument, NULL, O_MEMBER },
	{ "part", required_argument, NULL, O_PART },
	{ "to", required_argument, NULL, O_TO },
	{ "output", required_argument, NULL, 'o' },
	{ "arch", required_argument, NULL, O_ARCH },
	{ "job", required_argument, NULL, O_JOB },
	{ "as-is", no_argument, NULL, O_AS_IS },
	{ "force", no_argument, NULL, O_FORCE },
	{ "alias", required_argument, NULL, O_ALIAS },
	{ "author", required_argument, NULL, O_AUTHOR },
	{ "notes", required_argument, NULL, O_NOTES },
	{ "note", required_argument, NULL, O_NOTE },
	{ "if-better", required_argument, NULL, O_IF_BETTER },
	{ "format", required_argument, NULL, O_FORMAT },
	{ "metric", required_argument, NULL, O_METRIC },
	{ "sort", required_argument, NULL, O_SORT },
	{ "no-optimizer", no_argument, NULL, O_NO_OPTIMIZER },
	{ NULL, 0, NULL, 0 }
};

static bool
whole_number(const char *opt, const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text || v < 0) {
		fprintf(stderr, "rekindle: --%s %s: want a whole number\n", opt,
		    text);
		return false;
	}
	*out = v;
	return true;
}

static bool
whole_seconds(const char *opt, const char *text, int64_t min, int64_t max,
    int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	if (errno == 0 && *end == '\0' && end != text && *out >= min &&
	    *out <= max)
		return true;
	fprintf(stderr, "rekindle: --%s \"%s\": want whole seconds, %lld to "
	    "%lld\n", opt, text, (long long)min, (long long)max);
	return false;
}

/* Whether this command's usage names the option (help and the global ones go
 * with all). */
static bool
takes(const struct cli_command *c, int o)
{
	char flag[40];

	if (o == 'h' || o == O_JSON || o == O_SERVER || o == O_VERSION)
		return true;
	if (o == 'f')
		return strstr(c->usage, "[-f]") != NULL;
	if (o == 'o')
		return strstr(c->usage, "[-o OUT]") != NULL;
	for (const struct option *p = options; p->name != NULL; p++) {
		if (p->val != o)
			continue;
		snprintf(flag, sizeof(flag), "--%s", p->name);
		const char *at = strstr(c->usage, flag);
		return at != NULL && strchr(" ]", at[strlen(flag)]) != NULL;
	}
	return false;
}

static void
add_word(const char ***list, int *n, const char *word)
{
	*list = xrealloc(*list, (size_t)(*n + 1) * sizeof(**list));
	(*list)[(*n)++] = word;
}

static bool
take_option(struct cli_args *a, int o, const char *arg, const char **server)
{
	switch (o) {
	case O_SERVER: *server = arg; return true;
	case O_JSON: return a->json = true;
	case O_NAME: a->name = arg; return true;
	case O_HOLD: return a->hold = true;
	case O_HINT: return a->hint = true;
	case O_DRY_RUN: return a->dry_run = true;
	case O_WATCH: return a->watch = true;
	case O_STATE: a->state = arg; return true;
	case O_LABEL:
		a->label = arg;
		add_word(&a->labels, &a->nlabels, arg);
		return true;
	case O_ALL: return a->all = true;
	case O_STATISTICS: return a->statistics = true;
	case O_MEMBER: a->member = arg; return true;
	case O_PART: a->part = arg; return true;
	case O_TO: a->to = arg; return true;
	case 'o': a->out = arg; return true;
	case O_ARCH: a->arch = arg; return true;
	case O_JOB: a->job = arg; return true;
	case O_AS_IS: return a->as_is = true;
	case O_FORCE: return a->force = true;
	case O_FROM: a->from = arg; return true;
	case O_ACCEPT:
		add_word(&a->accept, &a->naccept, arg);
		return true;
	case O_ALIAS: a->alias = arg; return true;
	case O_AUTHOR: a->author = arg; return true;
	case O_NOTES: a->notes = arg; return true;
	case O_NOTE: a->note = arg; return true;
	case O_IF_BETTER: a->if_better = arg; return true;
	case O_FORMAT: a->format = arg; return true;
	case O_METRIC: a->metric = arg; return true;
	case O_SORT: a->sort = arg; return true;
	case O_NO_OPTIMIZER: return a->no_optimizer = true;
	case O_SPLIT: a->split = arg; return true;
	case 'f': return a->follow = true;
	case O_REHEARSE: return a->rehearse = true;
	case O_RESUME: return a->resume = true;
	case O_LIMIT: return whole_number("limit", arg, &a->limit);
	case O_TAIL: return whole_number("tail", arg, &a->tail);
	case O_IN: return whole_seconds("in", arg, 1, 86400, &a->deadline);
	case O_PATIENCE:
		return whole_seconds("patience", arg, 0, 604800, &a->patience);
	case O_SET:
		a->set = xrealloc(a->set,
		    (size_t)(a->nset + 1) * sizeof(char *));
		a->set[a->nset++] = xstrdup(arg);
		return true;
	default:
		return false;
	}
}

/* The next word that is no global option, from i on; argc: there is none. */
static int
word_from(int argc, char **argv, int i)
{
	for (; i < argc && *argv[i] == '-'; i++)
		if (strcmp(argv[i], "--server") == 0)
			i++;
	return RK_MIN(i, argc);
}

/* The command may stand behind global options: find it first.  *words: those
 * that name it. */
static const struct cli_command *
command_of(int argc, char **argv, int *at, int *words)
{
	*words = 1;
	*at = word_from(argc, argv, 1);
	if (*at == argc)
		return NULL;
	const struct cli_command *c = find_command(argv[*at]), *verb = NULL;
	const int next = word_from(argc, argv, *at + 1);
	if (c != NULL && c->fn == cmd_models && next < argc)
		verb = cli_models_verb(argv[next]);
	*words += verb != NULL;
	return verb != NULL ? verb : c;
}

/* Help or a version were asked for, or the words are wrong: an exit code.  -1:
 * there is a command to run. */
static int
read_options(int argc, char **argv, const struct cli_command *c,
    struct cli_args *a, const char **server)
{
	int o;

	while ((o = getopt_long(argc, argv, "hfo:", options, NULL)) != -1) {
		if (o == 'h') {
			if (c != NULL)
				cli_command_help(stdout, c);
			else
				help(stdout);
			return CLI_OK;
		}
		if (o == O_VERSION) {
			printf("rekindle %s\n", REKINDLE_VERSION);
			return CLI_OK;
		}
		if (o == '?' || (c != NULL && !takes(c, o))) {
			if (c != NULL)
				fprintf(stderr, "usage: rekindle %s %s\n",
				    c->name, c->usage);
			return CLI_USAGE;
		}
		if (!take_option(a, o, optarg, server))
			return CLI_USAGE;
	}
	return -1;
}

int
main(int argc, char **argv)
{
	struct cli_args a = { .limit = -1, .tail = -1, .deadline = -1,
		.patience = -1 };
	const char *server = NULL;
	int at, ret, words;
	const struct cli_command *c = command_of(argc, argv, &at, &words);

	signal(SIGPIPE, SIG_DFL);
	if (c == NULL && at < argc && strcmp(argv[at], "help") != 0) {
		fprintf(stderr, "rekindle: no command is called \"%s\"; "
		    "see rekindle --help\n", argv[at]);
		return CLI_USAGE;
	}
	ret = read_options(argc, argv, c, &a, &server);
	if (ret < 0 && c == NULL) {
		help(at < argc ? stdout : stderr);
		ret = at < argc ? CLI_OK : CLI_USAGE;
	}
	/* argv[optind] is the command itself. */
	a.npos = argc - optind - words;
	if (ret < 0 && (a.npos < c->min || a.npos > c->max)) {
		fprintf(stderr, "usage: rekindle %s %s\n", c->name, c->usage);
		ret = CLI_USAGE;
	}
	if (ret < 0) {
		for (int i = 0; i < a.npos; i++)
			a.pos[i] = argv[optind + words + i];
		if (a.watch || a.follow || c->fn == cmd_watch)
			cli_patience_set(a.patience >= 0 ? a.patience :
			    CLI_PATIENCE_S, a.patience >= 0);
		ret = cli_server_set(server) ? (int)c->fn(&a) : CLI_USAGE;
	}
	for (int i = 0; i < a.nset; i++)
		free(a.set[i]);
	free(a.set);
	free(a.accept);
	free(a.labels);
	return ret;
}
