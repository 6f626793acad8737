/* What --help says. */
#include <string.h>

#include "cli.h"

void
cli_help(FILE *f, const struct cli_command *commands, size_t n)
{
	fprintf(f, "rekindle %s - jobs of a rekindled\n\n"
	    "usage: rekindle [--server WHERE] COMMAND [options]\n\n",
	    REKINDLE_VERSION);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "  %-12s %s\n", commands[i].name, commands[i].what);
	fprintf(f, "\n"
	    "JOB is an id, the beginning of one that no other has, or a name.\n"
	    "--json prints what the daemon said; COMMAND --help says more.\n\n"
	    "The daemon is found by --server (a URL, or a socket's path),\n"
	    "REKINDLE_SERVER, rekindled.sock under REKINDLE_STATE_DIR,\n"
	    "/run/rekindle/rekindled.sock, or http://127.0.0.1:7450.\n\n"
	    "exit status: 0 done; 1 the daemon refused or could not; 2 wrong\n"
	    "usage or a job file that cannot be read; 3 no daemon reached;\n"
	    "4 no such job or model.  Of what was watched (submit, resume and retry\n"
	    "--watch, watch): 5 it failed or was cancelled; 6 it waits for a\n"
	    "person: paused, held, too large for the machine, from a bucket\n"
	    "with a store or a path that the configuration does not let it\n"
	    "have (store_not_allowed, path_not_allowed), or its data\n"
	    "(data_changed), checkpoints (checkpoints_missing), arithmetic\n"
	    "(arithmetic_changed) or the model that it learns from\n"
	    "(ancestor_missing) are not what they were; 7 the machine was\n"
	    "drained or preempted: the job is saved, and goes on with the next\n"
	    "daemon.  A job that waits for what passes by itself is watched on,\n"
	    "and a daemon that is restarted is waited for, --patience long.\n");
}

static void
help_of_models(FILE *f)
{
	fprintf(f, "\n");
	for (size_t i = 0; i < cli_nmodels_verbs; i++)
		fprintf(f, "  %-16s %s\n", cli_models_verbs[i].name,
		    cli_models_verbs[i].what);
	fprintf(f, "\nA version is NAME/N, NAME@ALIAS, or NAME for the newest; "
	    "model:// may stand before\nit.  `rekindle models VERB --help` "
	    "says more.\n");
}

void
cli_command_help(FILE *f, const struct cli_command *c)
{
	fprintf(f, "usage: rekindle %s%s%s\n\n%s\n", c->name, *c->usage != '\0' ?
	    " " : "", c->usage, c->what);
	if (strcmp(c->name, "models") == 0)
		help_of_models(f);
	if (strstr(c->usage, "--set") != NULL)
		fprintf(f, "\n--set PATH=VALUE changes a field, as "
		    "training.epochs=3; it may be repeated.\n");
	if (strstr(c->usage, "MODEL") != NULL)
		fprintf(f, "\nMODEL is model://NAME@ALIAS, model://NAME/N, "
		    "job://JOB/CHECKPOINT, the folder of a\ncheckpoint, a file "
		    "of weights or its address; of the last two --set says "
		    "what the\nnetwork is (model.arch=resnet50, "
		    "model.classes=10) and, where it matters, how samples\nare "
		    "prepared.  A job is queued, which goes on where it was "
		    "after whatever ends its\ntrainer.  --watch waits for it "
		    "and prints what it found; with --json that is the\n"
		    "report, and what is watched goes to standard error.\n");
	if (strcmp(c->name, "predict") == 0)
		fprintf(f, "-o OUT waits, too, and writes the predictions "
		    "there, a line of JSON a sample; - for\nstandard "
		    "output.\n");
	if (strcmp(c->name, "evaluate") == 0)
		fprintf(f, "DATA takes the place of the path of what the "
		    "model's own job was scored on, whose form\nit has; "
		    "--set data.validation.FIELD=VALUE says anything else.  "
		    "Without both it is\nthose data themselves.\n");
	if (strstr(c->usage, "--dry-run") != NULL)
		fprintf(f, "\n--dry-run queues nothing: the daemon does all "
		    "that comes before the first step,\nreading the data "
		    "included, and says what it would refuse.%s\n",
		    strcmp(c->name, "resume") != 0 ? "" : "  Of a resume it "
		    "is the job\nas it would begin anew: no checkpoint is "
		    "looked into.");
	if (strstr(c->usage, "--hint") != NULL)
		fprintf(f, "\n--hint says in a line, once the job is queued, "
		    "what a job that begins cold would\nbetter begin from, as "
		    "it is said on a terminal.\n");
	if (strcmp(c->name, "suggest") == 0)
		fprintf(f, "\nThe versions of models and the jobs of the daemon "
		    "are planned as the warm start of\nthe job, and those that "
		    "would give it most are named first: the share of its\n"
		    "parameters, why no more, and what to write into the job. "
		    " --limit N (10): so many.\n");
	if (strstr(c->usage, "--as-is") != NULL)
		fprintf(f, "\nconvert --to safetensors, pdparams or pt writes "
		    "FILE's model as that, beside it\nor to OUT.  With --arch "
		    "(a name, or \"{arch: resnet50, classes: 10}\") or the job "
		    "of\n--job names and layout become those of the framework; "
		    "without, names stay, and\nweights of linear layers are "
		    "turned where the file tells which they are, or it is\n"
		    "refused (--as-is: left as they lie).\n");
	if (strstr(c->usage, "--statistics") != NULL)
		fprintf(f, "\n--statistics adds least, largest, mean, "
		    "deviation, counts of NaN and of\ninfinities, and the "
		    "SHA-256 of each tensor.  --member NAME is the file in a "
		    "tar,\n--part PATH what is taken for the model in a file "
		    "of several objects.\nrekindle-train reads the files, in "
		    "a process that may open and reach nothing else.\nA "
		    "FILE may be an address (s3:, oss:, https:, http:), which "
		    "the daemon fetches as a\njob's model; of convert and "
		    "diff the file then comes here, into $TMPDIR or "
		    "/var/tmp.\n"
		    "Exit status of show: 1 where a file could not be read, "
		    "the others are shown;\nof diff: 1 where the files "
		    "differ, 2 where one could not be read;\nof convert: 1 "
		    "where it could not be done.\n");
	if (strstr(c->usage, "--force") != NULL)
		fprintf(f, "\nA file that is there already stays%s, and the exit "
		    "status is 1;\n--force replaces it.\n",
		    strstr(c->usage, "[-o OUT]") != NULL ?
		    " where -o does not name it" : "");
	if (strstr(c->usage, "--patience") != NULL)
		fprintf(f, "\n--patience SECONDS is how long to wait for a "
		    "daemon that is away\nor not ready (%d; 0: not at all)%s."
		    "\n", CLI_PATIENCE_S, strstr(c->usage, "[-f]") != NULL ?
		    ", while following" : ", while watching");
	if (strcmp(c->name, "adopt") == 0)
		fprintf(f, "\nWhere the database was lost, or is an older copy, "
		    "the folders of jobs that it does\nnot know are named by "
		    "`rekindle status` and the log.  JOB (an id, or a name) is "
		    "taken\nback, or all of them: what had ended has ended, the "
		    "others are paused.  --resume lets\nthem go on at once, "
		    "each from the newest checkpoint in its folder.  Exit "
		    "status 1:\nsome could not be taken back.\n");
	if (strstr(c->usage, "--accept") != NULL)
		fprintf(f, "\n--from none begins anew.  --accept data goes on "
		    "although the data has changed\nsince the checkpoint was "
		    "taken.\n");
	fprintf(f, "\n--json prints JSON.  --server WHERE says which "
	    "daemon.\n");
}
