/* The command line of rekindle-train. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "rekindle/spec.h"
#include "rekindle/text.h"
#include "rekindle/train.h"

#define MAX_THREADS 256
#define PROFILE_MAX 100000              /* steps */
#define SAMPLES_MAX 4096

const char train_usage[] =
    "usage: rekindle-train [options] JOB.yaml [INPUT...]\n"
    "       rekindle-train --data JOB.yaml --samples N OUT.png\n"
    "       rekindle-train --inspect [--statistics] [--table] FILE...\n"
    "\n"
    "Trains the job to its end, with checkpoints on the way; run again, it\n"
    "goes on from the newest one.  A job that was edited meanwhile is refused\n"
    "where that changes what the checkpoint means, or makes the learning rate\n"
    "leap (training.schedule.on_resume says keep, stretch or restart).\n"
    "\n"
    "  --run-dir DIR     where checkpoints/, metrics.jsonl and plan.json go;\n"
    "                    ./NAME.run unless said\n"
    "  --from SELECTOR   instead of training.resume_from: latest, best,\n"
    "                    step:N, a checkpoint's name, or none\n"
    "  --file ADDRESS=PATH\n"
    "                    where the bytes of an address in the job are: of a\n"
    "                    data file or model.checkpoint; may be repeated.  With\n"
    "                    --inspect and --convert: of what is called ADDRESS\n"
    "  --model PATH      the file that model.checkpoint stands for\n"
    "  --accept data     go on although the data has changed since the\n"
    "                    checkpoint was taken\n"
    "  --known STEP      there has been a checkpoint at this step: without one\n"
    "                    that can be used, do not begin anew\n"
    "  --sha256          checkpoints leave this machine: their files have SHA-256\n"
    "                    digests, too\n"
    "  --threads N       instead of resources.threads; 0: all it may use\n"
    "  --memory BYTES    what a job may have that says no resources.memory;\n"
    "                    all of the machine's unless said\n"
    "  --set PATH=VALUE  override a field of the job; may be repeated\n"
    "  --summary         print network, data, memory and arithmetic as JSON\n"
    "                    and end; needs no data where the job gives the\n"
    "                    network's input (model.input, model.sizes)\n"
    "  --summary --yaml  print the model with all its layers written out, as\n"
    "                    a job may have it\n"
    "  --plan            print the plan of the warm start, a line a tensor, and\n"
    "                    end; with 3 where it would be refused\n"
    "  --check           do all that comes before the first step, print as JSON\n"
    "                    whether the job would be refused, and end\n"
    "  --suggest FILE    say which of the candidates in a JSON file the job would\n"
    "                    best begin from, as JSON, and end; reads no weights\n"
    "  --profile[=STEPS] train 10 steps, or so many, after 2 of warm-up, and print\n"
    "                    where their time went, by layer and by kind of op;\n"
    "                    keeps nothing\n"
    "  --json            with --profile and --plan: print JSON; with --evaluate:\n"
    "                    also each class, the confusion matrix and the calibration\n"
    "  --trace FILE      with --profile: write what each thread did when, for\n"
    "                    chrome://tracing and ui.perfetto.dev\n"
    "  --evaluate FILE   score a model file or a checkpoint's folder on the job's\n"
    "                    validation data, or where it has none on data.train,\n"
    "                    print that as JSON and end\n"
    "  --logits OUT.npy  with --evaluate: write what the network gives for each\n"
    "                    sample, [samples, outputs] as 32-bit floats\n"
    "  --predict FILE    print what a model file or a checkpoint's folder predicts, a\n"
    "                    line of JSON each: for the files behind JOB.yaml, or\n"
    "                    without any for what --evaluate would score\n"
    "  --export CHECKPOINT\n"
    "                    write a checkpoint's folder as a file of another framework,\n"
    "                    by the name of the file behind JOB.yaml: .pdparams (its\n"
    "                    optimizer: .pdopt), .pt (optimizer.pt), .safetensors\n"
    "  --convert FILE OUT [JOB.yaml]\n"
    "                    write anyone's file of weights as another framework's;\n"
    "                    rekindle weights convert --help says more; the exit\n"
    "                    code is 1 where it cannot be done\n"
    "  --data-set KEY=VALUE\n"
    "                    with --evaluate and --predict: a field of the source that is\n"
    "                    taken in place of the validation data (path=FILE, ...);\n"
    "                    what is not said is as in data.train; may be repeated\n"
    "  --plot FOLDER     with --evaluate: draw the confusion matrix and the\n"
    "                    reliability as SVG; alone: these and the curves of the\n"
    "                    run in --run-dir\n"
    "  --make-vocabulary JOB.yaml --size N [--kind words|wordpiece] [OUT]\n"
    "                    write a vocabulary of the texts that the job trains on\n"
    "                    (not of those that validate), of at most N tokens,\n"
    "                    to OUT or where the job looks for it, and end\n"
    "  --data JOB.yaml --samples N OUT.png\n"
    "                    write a picture of the first N samples as the network\n"
    "                    will see them, with their labels, and end\n"
    "  --inspect FILE... print as JSON what files of weights have in them, whoever\n"
    "                    wrote them (safetensors, PyTorch's, Paddle's, npz): their\n"
    "                    tensors, numbers, parts and notes, and end; they are read\n"
    "                    in a process of its own that may open and reach nothing\n"
    "  --table           with --inspect: print it for people\n"
    "  --diff            with --inspect: compare two files, tensor by tensor; the\n"
    "                    exit code is 1 where they are not equal, 2 where one\n"
    "                    cannot be read\n"
    "  --statistics      with --inspect: also least, largest, mean, deviation,\n"
    "                    count of NaN and of infinities, and SHA-256 of each tensor\n"
    "  --member NAME     with --inspect: the file of that name in a tar\n"
    "  --part PATH       with --inspect: what to take for the model in a file of\n"
    "                    several objects (\"ema\"; \"\" takes all)\n"
    "  --wire            speak the daemon's protocol at file descriptor 3\n"
    "  --job ID --attempt N\n"
    "                    what checkpoints and metrics say they belong to\n"
    "  --version, --help\n"
    "\n"
    "environment: REKINDLE_SIMD=plain or avx2 keeps our loops from instructions\n"
    "that the CPU has (avx512: takes all), REKINDLE_GEMM=own, openblas or onednn says\n"
    "who computes matrix products; bytes of results are others then\n"
    "\n"
    "SIGTERM, SIGINT and SIGHUP commit a checkpoint and end; a second one, half\n"
    "a second later or more, ends at once.\n"
    "\n"
    "exit: 0 finished, or stopped with a checkpoint; 1 failed; 2 wrong usage;\n"
    "3 the job, its data or its model are wrong and trying again cannot help;\n"
    "4 a person decides: the checkpoints are gone or damaged (--from none begins\n"
    "anew), the data has changed (--accept data goes on), or the arithmetic has\n"
    "and training.exact is require (--set training.exact=prefer goes on)\n";

enum {
	OPT_RUN_DIR = 256, OPT_FROM, OPT_FILE, OPT_MODEL, OPT_THREADS, OPT_SET,
	OPT_MEMORY, OPT_WIRE, OPT_JOB, OPT_ATTEMPT, OPT_ACCEPT, OPT_KNOWN,
	OPT_SUMMARY, OPT_YAML, OPT_PLAN, OPT_CHECK, OPT_EVALUATE, OPT_LOGITS, OPT_PROFILE,
	OPT_JSON, OPT_TRACE, OPT_SHA256, OPT_VOCABULARY, OPT_SIZE, OPT_KIND,
	OPT_PREDICT, OPT_DATA_SET, OPT_PLOT, OPT_DATA, OPT_SAMPLES,
	OPT_INSPECT, OPT_DIFF, OPT_STATISTICS, OPT_TABLE, OPT_MEMBER, OPT_PART,
	OPT_EXPORT, OPT_TO, OPT_SKIP, OPT_CONVERT, OPT_ARCH, OPT_AS_IS,
	OPT_SUGGEST,
	OPT_HELP, OPT_VERSION
};
static const struct option options[] = {
	{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "file", required_argument, NULL, OPT_FILE },
	{ "model", required_argument, NULL, OPT_MODEL },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "set", required_argument, NULL, OPT_SET },
	{ "wire", no_argument, NULL, OPT_WIRE },
	{ "job", required_argument, NULL, OPT_JOB },
	{ "attempt", required_argument, NULL, OPT_ATTEMPT },
	{ "accept", required_argument, NULL, OPT_ACCEPT },
	{ "known", required_argument, NULL, OPT_KNOWN },
	{ "sha256", no_argument, NULL, OPT_SHA256 },
	{ "summary", no_argument, NULL, OPT_SUMMARY },
	{ "yaml", no_argument, NULL, OPT_YAML },
	{ "plan", no_argument, NULL, OPT_PLAN },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "suggest", required_argument, NULL, OPT_SUGGEST },
	{ "evaluate", required_argument, NULL, OPT_EVALUATE },
	{ "logits", required_argument, NULL, OPT_LOGITS },
	{ "profile", optional_argument, NULL, OPT_PROFILE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "predict", required_argument, NULL, OPT_PREDICT },
	{ "data-set", required_argument, NULL, OPT_DATA_SET },
	{ "plot", required_argument, NULL, OPT_PLOT },
	{ "make-vocabulary", no_argument, NULL, OPT_VOCABULARY },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "kind", required_argument, NULL, OPT_KIND },
	{ "export", required_argument, NULL, OPT_EXPORT },
	{ "to", required_argument, NULL, OPT_TO },
	{ "skip", required_argument, NULL, OPT_SKIP },
	{ "convert", required_argument, NULL, OPT_CONVERT },
	{ "arch", required_argument, NULL, OPT_ARCH },
	{ "as-is", no_argument, NULL, OPT_AS_IS },
	{ "data", required_argument, NULL, OPT_DATA },
	{ "samples", required_argument, NULL, OPT_SAMPLES },
	{ "inspect", no_argument, NULL, OPT_INSPECT },
	{ "diff", no_argument, NULL, OPT_DIFF },
	{ "statistics", no_argument, NULL, OPT_STATISTICS },
	{ "table", no_argument, NULL, OPT_TABLE },
	{ "member", required_argument, NULL, OPT_MEMBER },
	{ "part", required_argument, NULL, OPT_PART },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static enum rk_err
number(int64_t *out, const char *name, const char *text, int64_t min,
    int64_t max, struct rk_why *why)
{
	char *end;

	long long v = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || v < min || v > max)
		return rk_refuse(why, "--%s is \"%s\", want %lld to %lld", name,
		    text, (long long)min, (long long)max);
	*out = v;
	return RK_OK;
}

/* TEXT=VALUE, one of many. */
static enum rk_err
pair(const char ***v, int *n, char *arg, const char *name, const char *want,
    struct rk_why *why)
{
	const char *eq = strchr(arg, '=');

	if (eq == NULL || eq == arg)
		return rk_refuse(why, "--%s is \"%s\", want %s", name, arg,
		    want);
	*v = xrealloc(*v, (size_t)(*n + 1) * sizeof(**v));
	(*v)[(*n)++] = arg;
	return RK_OK;
}

static enum rk_err
take(struct train_options *o, int c, char *arg, struct rk_why *why)
{
	struct spec_select sel;

	switch (c) {
	case OPT_RUN_DIR:
		o->run_dir = arg;
		break;
	case OPT_FROM:
		o->from = arg;
		return spec_select_parse(arg, &sel, why);
	case OPT_MODEL:
		o->model = arg;
		break;
	case OPT_THREADS:
		return number(&o->threads, "threads", arg, 0, MAX_THREADS, why);
	case OPT_MEMORY:
		return number(&o->memory, "memory", arg, 1, INT64_MAX, why);
	case OPT_SET:
		return pair(&o->set, &o->nset, arg, "set", "PATH=VALUE", why);
	case OPT_FILE:
		return pair(&o->file, &o->nfile, arg, "file", "ADDRESS=PATH",
		    why);
	case OPT_JOB:
		if (!rk_id_ok(arg))
			return rk_refuse(why, "--job is \"%s\", want an id",
			    arg);
		o->job_id = arg;
		break;
	case OPT_ATTEMPT:
		return number(&o->attempt, "attempt", arg, 1, INT32_MAX, why);
	case OPT_ACCEPT:
		if (strcmp(arg, "data") != 0)
			return rk_refuse(why, "--accept is \"%s\", want data",
			    arg);
		o->accept_data = true;
		break;
	case OPT_KNOWN:
		return number(&o->known, "known", arg, 0, INT64_MAX, why);
	case OPT_SHA256:
		o->sha256 = true;
		break;
	case OPT_WIRE:
		o->wire = true;
		break;
	case OPT_SUMMARY:
		o->summary = true;
		break;
	case OPT_YAML:
		o->yaml = true;
		break;
	case OPT_PLAN:
		o->plan = true;
		break;
	case OPT_CHECK:
		o->check = true;
		break;
	case OPT_SUGGEST:
		o->suggest = arg;
		break;
	case OPT_EVALUATE:
		o->evaluate = arg;
		break;
	case OPT_PREDICT:
		o->predict = arg;
		break;
	case OPT_DATA_SET:
		return pair(&o->data_set, &o->ndata_set, arg, "data-set",
		    "KEY=VALUE", why);
	case OPT_PLOT:
		o->plot = arg;
		break;
	case OPT_LOGITS:
		o->logits = arg;
		break;
	case OPT_PROFILE:
		o->profile = -1;
		if (arg != NULL)
			return number(&o->profile, "profile", arg, 1,
			    PROFILE_MAX, why);
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_TRACE:
		o->trace = arg;
		break;
	case OPT_VOCABULARY:
		o->vocabulary = true;
		break;
	case OPT_SIZE:
		return number(&o->size, "size", arg, TEXT_LEAST_SIZE,
		    TEXT_MAX_TOKENS, why);
	case OPT_KIND:
		if (strcmp(arg, "words") != 0 && strcmp(arg, "wordpiece") != 0)
			return rk_refuse(why, "--kind is \"%s\", want words or "
			    "wordpiece", arg);
		o->kind = arg;
		break;
	case OPT_EXPORT:
		o->export = arg;
		break;
	case OPT_TO:
		o->to = arg;
		break;
	case OPT_CONVERT:
		o->convert = arg;
		break;
	case OPT_ARCH:
		o->arch = arg;
		break;
	case OPT_AS_IS:
		o->as_is = true;
		break;
	case OPT_SKIP:
		return number(&o->skip, "skip", arg, 0, INT64_MAX, why);
	case OPT_DATA:
		o->job = arg;
		break;
	case OPT_SAMPLES:
		return number(&o->samples, "samples", arg, 1, SAMPLES_MAX,
		    why);
	case OPT_INSPECT:
		o->inspect = true;
		break;
	case OPT_DIFF:
		o->diff = true;
		break;
	case OPT_STATISTICS:
		o->statistics = true;
		break;
	case OPT_TABLE:
		o->table = true;
		break;
	case OPT_MEMBER:
		o->member = arg;
		break;
	case OPT_PART:
		o->part = arg;
		break;
	case OPT_HELP:
		o->help = true;
		break;
	case OPT_VERSION:
		o->version = true;
		break;
	}
	return RK_OK;
}

/* What goes with what. */
static enum rk_err
check_together(const struct train_options *o, struct rk_why *why)
{
	const bool scores = o->evaluate != NULL || o->predict != NULL;
	const bool alone = o->plot != NULL && o->evaluate == NULL;

	if (o->summary + o->plan + o->check + (o->evaluate != NULL) +
	    (o->profile != 0) + (o->predict != NULL) + alone +
	    (o->export != NULL) + (o->suggest != NULL) > 1)
		return rk_refuse(why, "two of --summary, --plan, --check, "
		    "--suggest, --evaluate, --predict, --export, --profile and "
		    "--plot together");
	if ((o->to != NULL && o->export == NULL) ||
	    (o->skip > 0 && o->to == NULL))
		return rk_refuse(why, o->to == NULL ? "--skip without --to" :
		    "--to without --export");
	if (o->export != NULL && (o->to != NULL) == (o->out != NULL))
		return rk_refuse(why, o->to != NULL ? "--to goes to standard "
		    "output, and a file is named as well" : "--export wants "
		    "the name of a file behind the job's");
	if (o->trace != NULL && o->profile == 0)
		return rk_refuse(why, "--trace without --profile");
	if (o->json && o->profile == 0 && o->evaluate == NULL && !o->plan)
		return rk_refuse(why, "--json without --profile, --evaluate or "
		    "--plan");
	if (scores && o->model != NULL)
		return rk_refuse(why, "%s and --model together: the file "
		    "behind %s is the model", o->predict != NULL ?
		    "--predict" : "--evaluate", o->predict != NULL ?
		    "--predict" : "--evaluate");
	if (o->logits != NULL && o->evaluate == NULL)
		return rk_refuse(why, "--logits without --evaluate");
	if (o->ndata_set > 0 && !scores)
		return rk_refuse(why, "--data-set without --evaluate or "
		    "--predict");
	if (o->yaml && !o->summary)
		return rk_refuse(why, "--yaml without --summary");
	if (o->vocabulary != (o->size > 0) || (o->kind != NULL &&
	    !o->vocabulary))
		return rk_refuse(why, o->vocabulary ?
		    "--make-vocabulary without --size" :
		    "--size or --kind without --make-vocabulary");
	if (o->vocabulary && (o->summary || o->plan || o->check || o->wire || scores ||
	    o->profile != 0 || o->plot != NULL || o->export != NULL))
		return rk_refuse(why, "--make-vocabulary with something else "
		    "to do");
	return RK_OK;
}

/* --data, --samples and the picture belong together. */
static enum rk_err
take_samples(struct train_options *o, int rest, const char *sheet,
    struct rk_why *why)
{
	if (o->job == NULL)
		return rk_refuse(why, "--samples without --data JOB.yaml");
	if (o->samples == 0)
		return rk_refuse(why, "--data without --samples N");
	if (o->summary || o->plan || o->check || o->evaluate != NULL ||
	    o->profile != 0 || o->export != NULL ||
	    o->predict != NULL || o->plot != NULL || o->vocabulary)
		return rk_refuse(why, "--samples with something else to do");
	if (rest != 1)
		return rk_refuse(why, rest == 0 ? "no OUT.png given" :
		    "more than one OUT.png given");
	o->sheet = sheet;
	return RK_OK;
}

/* Files of weights, and no job. */
static enum rk_err
take_files(struct train_options *o, int n, char **files, struct rk_why *why)
{
	if (o->summary || o->plan || o->check || o->evaluate != NULL ||
	    o->profile != 0 || o->predict != NULL || o->plot != NULL ||
	    o->vocabulary || o->samples > 0 || o->job != NULL ||
	    o->export != NULL || o->convert != NULL)
		return rk_refuse(why, "--inspect with something else to do");
	if (n == 0)
		return rk_refuse(why, "no file to inspect given");
	if (o->diff && (n != 2 || o->statistics))
		return rk_refuse(why, "--diff wants two files, and no "
		    "--statistics");
	o->input = files;
	o->ninput = n;
	return RK_OK;
}

/* A file of weights, where it goes, and perhaps the job whose network it is
 * of. */
static enum rk_err
take_convert(struct train_options *o, int n, char **words, struct rk_why *why)
{
	if (o->summary || o->plan || o->check || o->evaluate != NULL ||
	    o->profile != 0 || o->predict != NULL || o->plot != NULL ||
	    o->vocabulary || o->samples > 0 || o->job != NULL ||
	    o->export != NULL || o->diff || o->statistics || o->table)
		return rk_refuse(why, "--convert with something else to do");
	if (n < 1 || n > 2)
		return rk_refuse(why, n < 1 ? "--convert FILE without OUT" :
		    "--convert FILE OUT JOB.yaml: and what else?");
	o->out = words[0];
	o->job = n == 2 ? words[1] : NULL;
	if ((o->job != NULL) + (o->arch != NULL) + o->as_is > 1)
		return rk_refuse(why, "two of a job, --arch and --as-is "
		    "together");
	return RK_OK;
}

enum rk_err
train_options_parse(struct train_options *o, int argc, char **argv,
    struct rk_why *why)
{
	int c;

	*o = (struct train_options){ .threads = -1,
		.known = -1 };
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == ':')
			return rk_refuse(why, "%s wants a value",
			    argv[optind - 1]);
		if (c == '?')
			return rk_refuse(why, "unknown option %s",
			    argv[optind - 1]);
		if (take(o, c, optarg, why) != RK_OK)
			return RK_EINVAL;
	}
	if (o->help || o->version)
		return RK_OK;
	if (o->inspect)
		return take_files(o, argc - optind, argv + optind, why);
	if (o->convert != NULL)
		return take_convert(o, argc - optind, argv + optind, why);
	if (o->arch != NULL || o->as_is)
		return rk_refuse(why, "--arch or --as-is without --convert");
	if (o->diff || o->statistics || o->table || o->member != NULL ||
	    o->part != NULL)
		return rk_refuse(why, "--diff, --statistics, --table, --member "
		    "or --part without --inspect");
	if (o->job != NULL || o->samples > 0)
		return take_samples(o, argc - optind, argv[optind], why);
	if (argc == optind)
		return rk_refuse(why, "no job file given");
	/* What is written may have a place behind the job's file. */
	if ((o->vocabulary || o->export != NULL) && argc - optind == 2)
		o->out = argv[--argc];
	if (argc - optind > 1 && o->predict == NULL)
		return rk_refuse(why, "more than one job file given: %s and %s",
		    argv[optind], argv[optind + 1]);
	if (check_together(o, why) != RK_OK)
		return RK_EINVAL;
	o->job = argv[optind];
	o->input = argv + optind + 1;
	o->ninput = argc - optind - 1;
	/* It is opened as that is. */
	if (o->predict != NULL)
		o->evaluate = o->predict;
	return RK_OK;
}

void
train_options_fini(struct train_options *o)
{
	free(o->set);
	free(o->data_set);
	free(o->file);
	*o = (struct train_options){0};
}
