/* What a job means that says little, and what its fields come to. */
#include "spec_common.h"

T_CASE(a_short_job_gets_every_default)
{
	struct spec *s = job_with("{}");
	const struct spec_training *t = &s->training;

	t_eq_str(s->name, "tiny");
	t_eq_int(s->priority, 0);
	t_eq_int(json_object_size(s->labels), 0);
	t_eq_int(json_object_size(s->metadata), 0);
	t_eq_int(s->threads, 0);
	t_eq_int(s->memory, 0);
	t_eq_int(s->hold, false);
	t_eq_int(s->retries, 3);
	t_eq_int(s->model.arch, SPEC_ARCH_mlp);
	t_eq_int(s->model.u.mlp.sizes.n, 3);
	t_eq_int(s->model.u.mlp.sizes.v[1], 3);
	t_eq_int(s->model.u.mlp.activation, 0);
	t_check(s->model.checkpoint == NULL);
	t_eq_int(s->model.strict, true);
	t_eq_str(t->resume_from, "latest");
	t_eq_int(t->epochs, 2);
	t_eq_int(t->steps, 0);
	t_eq_int(t->batch_size, 64);
	t_eq_int(t->drop_last, false);
	t_eq_int(t->shuffle, true);
	t_eq_int(t->seed, 1);
	t_eq_int(t->loss.type, SPEC_CROSS_ENTROPY);
	t_near(t->loss.label_smoothing, 0, 0);
	t_eq_int(t->optim.type, SPEC_ADAM);
	t_near(t->gradient_clip_norm, 0, 0);
	t_near(t->warm_start_lr_scale, 0.2, 0);
	t_eq_int(t->log_every, 50);
	t_eq_int(t->exact, SPEC_EXACT_PREFER);
	t_eq_int(t->schedule.type, SPEC_S_CONSTANT);
	t_eq_int(t->schedule.warmup, 0);
	t_eq_int(s->data.train.type, SPEC_IDX);
	t_eq_str(s->data.train.images, "/d/i");
	t_eq_str(s->data.train.labels, "/d/l");
	t_eq_int(s->data.has_validation, true);
	t_eq_int(s->data.normalize.type, SPEC_NORM_SCALE);
	t_eq_int(s->data.normalize.n, 0);
	t_eq_int(s->checkpoint.every_epochs, 1);
	t_eq_int(s->checkpoint.every_steps, 0);
	t_near(s->checkpoint.every_seconds, 0, 0);
	t_eq_int(s->checkpoint.keep_last, 3);
	t_eq_int(s->checkpoint.keep_best, 1);
	t_eq_str(s->checkpoint.metric, "val_accuracy");
	t_eq_int(s->checkpoint.mode_max, true);
	spec_free(s);
}

/* So that one field can be set in a job that says nothing else of it. */
T_CASE(fields_without_a_type_are_of_the_default_type)
{
	struct spec *s = job_with("training: {loss: {label_smoothing: 0.1}, "
	    "optimizer: {learning_rate: 0.5}}");

	t_eq_int(s->training.loss.type, SPEC_CROSS_ENTROPY);
	t_near(s->training.loss.label_smoothing, 0.1, 0);
	t_eq_int(s->training.optim.type, SPEC_ADAM);
	t_near(s->training.optim.learning_rate, 0.5, 0);
	spec_free(s);
}

T_CASE(optimisers_have_the_defaults_of_pytorch)
{
	struct spec *s = job_with("training: {optimizer: adam}");
	t_near(s->training.optim.learning_rate, 1e-3, 0);
	t_near(s->training.optim.weight_decay, 0, 0);
	t_near(s->training.optim.beta1, 0.9, 0);
	t_near(s->training.optim.beta2, 0.999, 0);
	t_near(s->training.optim.eps, 1e-8, 0);
	spec_free(s);
	s = job_with("training: {optimizer: adamw}");
	t_near(s->training.optim.learning_rate, 1e-3, 0);
	t_near(s->training.optim.weight_decay, 1e-2, 0);
	spec_free(s);
	s = job_with("training: {optimizer: {type: rmsprop}}");
	t_near(s->training.optim.learning_rate, 1e-2, 0);
	t_near(s->training.optim.alpha, 0.99, 0);
	t_near(s->training.optim.momentum, 0, 0);
	t_eq_int(s->training.optim.centered, false);
	spec_free(s);
	s = job_with("training: {optimizer: {type: sgd, learning_rate: 1e-1}}");
	t_near(s->training.optim.learning_rate, 0.1, 0);
	t_near(s->training.optim.momentum, 0, 0);
	t_eq_int(s->training.optim.nesterov, false);
	spec_free(s);
}

T_CASE(every_optimiser_takes_its_own_fields)
{
	struct spec *s = job_with("training: {optimizer: {type: sgd, "
	    "learning_rate: 1, momentum: 0.9, nesterov: true, "
	    "weight_decay: 5e-4}}");
	t_near(s->training.optim.momentum, 0.9, 0);
	t_near(s->training.optim.weight_decay, 5e-4, 0);
	t_check(s->training.optim.nesterov);
	spec_free(s);
	s = job_with("training: {optimizer: {type: adamw, betas: [0.8, 0.99], "
	    "eps: 1e-6}}");
	t_near(s->training.optim.beta1, 0.8, 0);
	t_near(s->training.optim.beta2, 0.99, 0);
	t_near(s->training.optim.eps, 1e-6, 0);
	spec_free(s);
	s = job_with("training: {optimizer: {type: rmsprop, alpha: 0.9, "
	    "momentum: 0.5, centered: true}}");
	t_near(s->training.optim.alpha, 0.9, 0);
	t_check(s->training.optim.centered);
	spec_free(s);
}

T_CASE(the_metric_for_best_follows_from_loss_and_validation_data)
{
	struct spec *s = job_with("training: {loss: mse}");
	t_eq_str(s->checkpoint.metric, "val_loss");
	t_check(!s->checkpoint.mode_max);
	spec_free(s);
	s = job_with("data: {validation: null}");
	t_eq_str(s->checkpoint.metric, "loss");
	t_check(!s->checkpoint.mode_max);
	spec_free(s);
	s = job_with("data: {validation: null, validation_split: 0.1}");
	t_eq_str(s->checkpoint.metric, "val_accuracy");
	t_near(s->data.validation_split, 0.1, 0);
	t_check(s->data.split_seed == 1 && !s->data.split_seed_said);
	t_check(!s->data.stratify && !s->data.stratify_said);
	spec_free(s);
	s = job_with("checkpoint: {keep: {metric: val_loss}}");
	t_check(!s->checkpoint.mode_max);
	spec_free(s);
	s = job_with("checkpoint: {keep: {metric: val_loss, mode: max}}");
	t_check(s->checkpoint.mode_max);
	spec_free(s);
}

T_CASE(saving_by_steps_is_not_saving_by_epochs_as_well)
{
	struct spec *s = job_with("checkpoint: {every: {steps: 500}}");
	t_eq_int(s->checkpoint.every_steps, 500);
	t_eq_int(s->checkpoint.every_epochs, 0);
	spec_free(s);
	s = job_with("checkpoint: {every: {seconds: 0.5, epochs: 2}}");
	t_near(s->checkpoint.every_seconds, 0.5, 0);
	t_eq_int(s->checkpoint.every_epochs, 2);
	spec_free(s);
	s = job_with("checkpoint: {every: {}}");
	t_eq_int(s->checkpoint.every_epochs, 1);
	spec_free(s);
}

T_CASE(layers_are_read_with_their_fields)
{
	struct spec *s = job_with("model: {arch: null, sizes: null, "
	    "input: [1, 28, 28], layers: ["
	    "{type: conv2d, name: c1, out: 8, kernel: 3, padding: [1, 2], "
	    "stride: 2, bias: false}, {type: batch_norm, momentum: 0.2}, relu, "
	    "{type: max_pool2d, kernel: [2, 3]}, {type: avg_pool2d, kernel: 4, "
	    "stride: 1, padding: 2}, {type: dropout, p: 0.1}, flatten, "
	    "{type: linear, out: 10}]}");
	const struct spec_layer *l = s->model.layers;

	t_eq_int(s->model.arch, SPEC_ARCH_LAYERS);
	t_eq_int(s->model.nlayers, 8);
	t_eq_int(s->model.ninput, 3);
	t_eq_str(l[0].name, "c1");
	t_eq_int(l[0].u.conv2d.out, 8);
	t_eq_int(l[0].u.conv2d.kernel[1], 3);
	t_eq_int(l[0].u.conv2d.padding[0], 1);
	t_eq_int(l[0].u.conv2d.padding[1], 2);
	t_eq_int(l[0].u.conv2d.stride[0], 2);
	t_check(!l[0].u.conv2d.bias);
	t_eq_str(l[1].name, "1");
	t_near(l[1].u.batch_norm.momentum, 0.2, 0);
	t_near(l[1].u.batch_norm.eps, 1e-5, 0);
	t_eq_int(l[2].type, SPEC_OP_relu);
	t_eq_int(l[3].u.max_pool2d.stride[0], 2);    /* a pool's stride is its kernel */
	t_eq_int(l[3].u.max_pool2d.stride[1], 3);
	t_eq_int(l[4].u.avg_pool2d.stride[1], 1);
	t_eq_int(l[4].u.avg_pool2d.padding[1], 2);
	t_near(l[5].u.dropout.p, 0.1, 0);
	t_check(l[7].u.linear.bias);
	spec_free(s);
}

T_CASE(lenet5_has_ten_classes_unless_said)
{
	struct spec *s = job_with("model: {arch: lenet5, sizes: null}");
	t_eq_int(s->model.arch, SPEC_ARCH_lenet5);
	t_eq_int(s->model.u.lenet5.classes, 10);
	spec_free(s);
	s = job_with("model: {arch: lenet5, sizes: null, classes: 47}");
	t_eq_int(s->model.u.lenet5.classes, 47);
	spec_free(s);
}

T_CASE(schedules_are_in_steps_or_in_epochs)
{
	struct spec *s = job_with("training: {schedule: {type: step, "
	    "step_size_epochs: 3, gamma: 0.5, warmup_steps: 10, "
	    "warmup_start_factor: 0.1}}");
	const struct spec_schedule *c = &s->training.schedule;
	t_eq_int(c->type, SPEC_S_STEP);
	t_check(c->unit_epochs && !c->warmup_unit_epochs);
	t_eq_int(c->step_size, 3);
	t_near(c->gamma, 0.5, 0);
	t_eq_int(c->warmup, 10);
	t_near(c->warmup_start_factor, 0.1, 0);
	spec_free(s);

	s = job_with("training: {schedule: {type: multistep, "
	    "milestones: [10, 20, 1000], warmup_epochs: 1}}");
	c = &s->training.schedule;
	t_check(!c->unit_epochs && c->warmup_unit_epochs);
	t_eq_int(c->nmilestones, 3);
	t_eq_int(c->milestones[2], 1000);
	t_near(c->gamma, 0.1, 0);
	spec_free(s);

	s = job_with("training: {schedule: {type: polynomial, power: 2, "
	    "length_epochs: 5, min_learning_rate: 1e-5}}");
	c = &s->training.schedule;
	t_check(c->unit_epochs);
	t_eq_int(c->length, 5);
	t_near(c->power, 2, 0);
	t_near(c->min_learning_rate, 1e-5, 0);
	spec_free(s);

	s = job_with("training: {schedule: {type: linear, end_factor: 0.1}}");
	t_near(s->training.schedule.end_factor, 0.1, 0);
	spec_free(s);
	s = job_with("training: {schedule: cosine}");
	t_eq_int(s->training.schedule.type, SPEC_S_COSINE);
	t_eq_int(s->training.schedule.length, 0);
	spec_free(s);
}

T_CASE(csv_is_standardised_and_its_label_is_a_name_or_a_number)
{
	struct spec *s = must_parse(yaml("name: c\n"
	    "model: {arch: mlp, sizes: [4, 2]}\ntraining: {steps: 5}\n"
	    "data: {train: {type: csv, path: /x.csv, label: -1, "
	    "header: false, delimiter: \"\\t\"}}\n"));
	t_eq_int(s->training.epochs, 0);
	t_eq_int(s->training.steps, 5);
	t_eq_int(s->data.normalize.type, SPEC_NORM_STANDARD);
	t_check(s->data.train.label_name == NULL);
	t_eq_int(s->data.train.label_index, -1);
	t_eq_int(s->data.train.header, SPEC_HEADER_NO);
	t_eq_int(s->data.train.delimiter, '\t');
	spec_free(s);
	s = must_parse(yaml("name: c\n"
	    "model: {arch: mlp, sizes: [4, 2]}\ntraining: {steps: 5}\n"
	    "data: {train: {type: csv, path: /x.csv, label: \"3\"}}\n"));
	t_eq_str(s->data.train.label_name, "3");
	t_eq_int(s->data.train.header, SPEC_HEADER_AUTO);
	t_eq_int(s->data.train.delimiter, ',');
	spec_free(s);
}

T_CASE(mean_and_std_are_one_number_or_one_a_channel)
{
	struct spec *s = job_with("data: {normalize: {mean: 0.25}}");
	t_eq_int(s->data.normalize.n, 1);
	t_near(s->data.normalize.mean[0], 0.25, 0);
	t_near(s->data.normalize.std[0], 1, 0);
	spec_free(s);
	s = job_with("data: {normalize: {type: scale, std: [1, 2, 3]}}");
	t_eq_int(s->data.normalize.n, 3);
	t_near(s->data.normalize.mean[2], 0, 0);
	t_near(s->data.normalize.std[2], 3, 0);
	spec_free(s);
}

T_CASE(labels_and_metadata_take_whole_numbers_as_text)
{
	struct spec *s = job_with("{labels: {team: qa/line-7, v: 3, "
	    "gpu: false}, metadata: {year: 2026, day: 2026-10-01, "
	    "free: \"a: b\\nc\", "
	    "gone: null}}");
	t_eq_str(json_string_value(json_object_get(s->labels, "v")), "3");
	t_eq_str(json_string_value(json_object_get(s->labels, "gpu")), "false");
	t_eq_int(json_object_size(s->metadata), 3);
	t_eq_str(json_string_value(json_object_get(s->metadata, "year")),
	    "2026");
	t_eq_str(json_string_value(json_object_get(s->metadata, "day")),
	    "2026-10-01");
	spec_free(s);
}

T_CASE(a_warm_start_is_a_file_an_address_or_a_jobs_checkpoint)
{
	static const char *const good[] = {
		"s3://b/m.safetensors", "oss://b/v3/m.safetensors#sha256=" PIN,
		"https://h/m.safetensors?v=2", "http://127.0.0.1:80/m",
		"s3://b/a key#3", "https://[::1]:443/m#sha256=" PIN,
		"/m/best.safetensors", "file:///m/best.safetensors",
		"file:/m/a.safetensors", "models/a.safetensors",
		"job://01jd0000000000000000000000/best", "job://tiny/step:1200",
		"job://tiny/before-lr-drop", "/m/x.tar#member=a b/m.pdparams",
		"s3://b/x.tar#member=./a/m.pdparams&sha256=" PIN,
		"https://h/x.tar.gz?v=2#member=a%20b", "m/a.pt#sha256=" PIN,
		"model://tiny@production", "model://tiny/3#sha256=" PIN,
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(good); i++) {
		char c[200];
		snprintf(c, sizeof(c), "model: {checkpoint: \"%s\", "
		    "strict: false}", good[i]);
		struct spec *s = job_with(c);
		t_eq_str(s->model.checkpoint, good[i]);
		t_check(!s->model.strict);
		spec_free(s);
	}
}

#define NO_IDX "images: null, labels: null, "

T_CASE(what_a_source_does_not_say_is_filled_in)
{
	struct spec *s = job_with("data: {validation: null, train: {" NO_IDX
	    "type: cifar, path: /x}}");
	const struct spec_source *t = &s->data.train;

	t_check(t->type == SPEC_CIFAR && t->nfiles == 1 && t->classes == 10);
	t_check(t->label == SPEC_LABEL_FINE);
	t_eq_int(s->data.normalize.type, SPEC_NORM_SCALE);
	spec_free(s);
	s = job_with("data: {validation: null, train: {" NO_IDX "type: "
	    "synthetic, shape: [4], samples: 9}}");
	t = &s->data.train;
	t_check(t->type == SPEC_SYNTHETIC && t->classes == 10);
	t_check(t->seed == 1 && t->tokens == 0 && t->samples == 9);
	t_eq_int(s->data.normalize.type, SPEC_NORM_NONE);
	spec_free(s);
	s = job_with("data: {validation: null, train: {" NO_IDX "type: npz, "
	    "path: /x}}");
	t = &s->data.train;
	t_eq_str(t->features, "x");
	t_eq_str(t->labels, "y");
	t_check(t->ndim == 0 && t->vocabulary == 0);
	t_eq_int(s->data.normalize.type, SPEC_NORM_SCALE);
	spec_free(s);
	s = job_with("data: {validation: null, train: {" NO_IDX "type: npz, "
	    "path: /x, vocabulary: 9}}");
	t_eq_int(s->data.normalize.type, SPEC_NORM_NONE);
	spec_free(s);
}

T_CASE(the_files_of_arrays_are_known_and_the_names_in_an_npz_are_none)
{
	struct spec *s = job_with("data: {train: {images: null, type: npy, "
	    "path: 's3://b/x', labels: 's3://b/y'}, validation: {images: "
	    "null, type: npy, path: /x, labels: /y}}");
	struct spec_address v[SPEC_ADDRESSES];
	struct spec_file f[SPEC_FILES];

	t_eq_int(spec_addresses(s, v), 2);
	t_eq_str(v[1].field, "data.train.labels");
	t_eq_int(spec_files(&s->data, f), 4);
	t_eq_str(*f[2].name, "/x");
	spec_free(s);
	s = job_with("data: {validation: null, train: {" NO_IDX "type: npz, "
	    "path: /x.npz}}");
	t_eq_int(spec_files(&s->data, f), 1);
	t_eq_str(f[0].field, "data.train.path");
	spec_free(s);
}

T_CASE(each_file_of_a_list_may_lie_elsewhere)
{
	struct spec *s = job_with("data: {train: {" NO_IDX "type: cifar, path: "
	    "['S3://b/i', /x, 'file:///d/a%20b', 'https://h/y']}, validation: "
	    "{" NO_IDX "type: cifar, path: 'oss://b/l'}}");
	struct spec_address v[SPEC_ADDRESSES];

	t_eq_str(s->data.train.files[2], "/d/a b");
	t_eq_int(spec_addresses(s, v), 3);
	t_eq_str(v[0].field, "data.train.path[0]");
	t_eq_str(v[0].uri, "s3://b/i");
	t_eq_str(v[1].field, "data.train.path[3]");
	t_eq_str(v[2].field, "data.validation.path");
	t_eq_str(v[2].uri, "oss://b/l");
	spec_free(s);
}

T_CASE(data_may_lie_elsewhere)
{
	struct spec *s = job_with("{model: {checkpoint: 'S3://b/m'}, data: "
	    "{train: {images: 'HTTPS://h/i', labels: 'x/oss://b'}, validation: "
	    "{images: 'file:///d/a%20b', labels: 'oss://b/l#sha256=" PIN "'}}"
	    "}");
	struct spec_address v[SPEC_ADDRESSES];
	char sha256[RK_SHA256_HEX], *bare;

	t_eq_str(s->data.train.labels, "x/oss://b");
	t_eq_str(s->data.validation.images, "/d/a b");
	t_eq_int(spec_addresses(s, v), 3);
	t_eq_str(v[0].field, "data.train.images");
	t_eq_str(v[0].uri, "https://h/i");
	t_eq_str(v[1].field, "data.validation.labels");
	t_eq_str(v[2].field, "model.checkpoint");
	t_eq_str(v[2].uri, "s3://b/m");
	bare = spec_address_bare(v[1].uri, sha256);
	t_eq_str(bare, "oss://b/l");
	t_eq_str(sha256, "0123456789abcdef0123456789abcdef0123456789abcdef"
	    "0123456789abcdef");
	free(bare);
	bare = spec_address_bare("s3://b/a#3", sha256);
	t_eq_str(bare, "s3://b/a#3");
	t_eq_str(sha256, "");
	free(bare);
	spec_free(s);
}

T_CASE(the_state_of_an_optimizer_that_is_taken_along_is_beside_a_pdparams)
{
	static const char *const given[][3] = {
		{ "s3://b/v/m.pdparams", "moments", "s3://b/v/m.pdopt" },
		{ "https://h/m.pdparams#sha256=" PIN, "all",
		    "https://h/m.pdopt" },
		{ "s3://b/v/m.pdparams", "none", NULL },
		{ "s3://b/m.tar#member=m.pdparams", "all", NULL },
		{ "https://h/m.pdparams?v=1", "all", NULL },
		{ "/m/m.pdparams", "all", NULL },
		{ "model://m/3#sha256=" PIN, "moments",
		    "model://m/3/optimizer.safetensors" },
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(given); i++) {
		struct spec_address v[SPEC_ADDRESSES];
		char c[240];
		snprintf(c, sizeof(c), "{model: {checkpoint: '%s'}, training: "
		    "{warm_start: {optimizer: %s}}}", given[i][0],
		    given[i][1]);
		struct spec *s = job_with(c);
		const size_t n = spec_addresses(s, v);
		const char *beside = s->training.warm_start.beside;
		t_check((beside == NULL) == (given[i][2] == NULL));
		if (beside != NULL) {
			t_eq_str(beside, given[i][2]);
			/* A version has a record of its own. */
			t_eq_int(n, spec_is_version(given[i][0]) ? 3 : 2);
			t_check(v[1].of == SPEC_ADDRESS_STATE &&
			    v[0].of == SPEC_ADDRESS_MODEL);
			t_eq_str(v[1].field, "training.warm_start.optimizer");
		}
		spec_free(s);
	}
}

T_CASE(checkpoints_are_sent_to_a_prefix_or_nowhere)
{
	static const char *const given[][2] = {
		{ "s3://b", "s3://b/" }, { "s3://b/", "s3://b/" },
		{ "S3://b/team/x", "s3://b/team/x/" },
		{ "oss://b/a b/", "oss://b/a b/" },
		{ "file:///srv/x", "file:///srv/x/" },
		{ "FILE:/srv/x/", "file:///srv/x/" },
		{ "file://localhost/srv", "file:///srv/" },
	};
	for (size_t i = 0; i < RK_ARRAY_LEN(given); i++) {
		char c[200];
		snprintf(c, sizeof(c), "checkpoint: {push: '%s', "
		    "require_remote: true}", given[i][0]);
		struct spec *s = job_with(c);
		t_eq_str(s->checkpoint.push, given[i][1]);
		t_check(s->checkpoint.require_remote);
		spec_free(s);
	}
	struct spec *s = job_with("checkpoint: {push: null}");
	t_check(s->checkpoint.push == NULL);
	t_check(!s->checkpoint.require_remote);
	spec_free(s);
}

T_CASE(memory_that_is_not_said_stays_unsaid)
{
	struct spec *s = job_with("resources: {threads: 2}");
	json_t *v = spec_json(s);

	t_eq_int(s->memory, 0);
	t_check(json_object_get(json_object_get(v, "resources"), "memory") ==
	    NULL);
	json_decref(v);
	spec_free(s);
}

T_CASE(memory_is_bytes_or_text)
{
	struct spec *s = job_with("resources: {memory: 4GiB, threads: 2}");
	t_eq_int(s->memory, 4ll << 30);
	t_eq_int(s->threads, 2);
	spec_free(s);
}

T_CASE(text_may_be_yaml_or_json)
{
	static const char json[] = " \n{\"name\": \"j\", \"model\": {\"arch\": "
	    "\"lenet5\"}, \"training\": {\"epochs\": 1}, \"data\": {\"train\": "
	    "{\"type\": \"idx\", \"images\": \"/i\", \"labels\": \"/l\"}}}";
	struct rk_why w = {0};
	struct spec *s = NULL;

	t_eq_int(spec_parse_text(json, strlen(json), false, &s, &w), RK_OK);
	t_eq_str(s->name, "j");
	spec_free(s);
	t_eq_int(spec_parse_text(json, strlen(json), true, &s, &w), RK_OK);
	spec_free(s);
	t_eq_int(spec_parse_text(MLP, strlen(MLP), false, &s, &w), RK_OK);
	spec_free(s);
	/* What begins as JSON is complained about as JSON. */
	t_eq_int(spec_parse_text("{\"name\": x}", 11, false, &s, &w),
	    RK_EINVAL);
	t_has(rk_why_first(&w), "JSON");
	rk_why_fini(&w);
}

T_MAIN
