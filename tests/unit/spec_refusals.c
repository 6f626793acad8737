/* Every rule that a job can break, with the sentence that says so. */
#include "spec_common.h"

static const struct {
	const char *changes, *path, *words;
} rules[] = {
	/* The top. */
	{ "name: null", "name", "missing" },
	{ "name: a b", "name", "is \"a b\", want 1 to 64 of" },
	{ "name: ../x", "name", "the first no . and no -" },
	{ "name: 7", "name", "want text" },
	{ "priority: 1001", "priority", "is 1001, want an integer -1000 to" },
	{ "hold: maybe", "hold", "want true or false" },
	{ "retries: -1", "retries", "want an integer 0 to 100" },
	{ "resources: {threads: 0}", "resources.threads", "1 to 256" },
	{ "resources: {memory: 3 potatoes}", "resources.memory",
	    "want a size" },
	{ "resources: {memory: 1}", "resources.memory", "1 MiB" },
	{ "labels: [a]", "labels", "is [\"a\"], want an object" },
	{ "labels: {a b: c}", "labels", "has the name \"a b\"" },
	{ "labels: {a: ''}", "labels.a", "is \"\", want 1 to 64 of" },
	{ "labels: {a: x y}", "labels.a", "is \"x y\", want" },
	{ "labels: {v: 1.10}", "labels.v", "in quotes" },
	{ "labels: {v: [1]}", "labels.v", "want text" },
	{ "model: null", "model", "missing" },
	{ "training: null", "training", "missing" },
	{ "data: null", "data", "missing" },
	{ "modle: {}", "modle", "did you mean \"model\"" },
	/* What is of later issues is unknown. */
	{ "trainer: {command: [x]}", "trainer", "not a known field" },
	{ "checkpoint: {pushed: s3://x}", "checkpoint.pushed", "\"push\"" },
	{ "training: {phase: []}", "training.phase", "not a known field" },
	{ "data: {augment: []}", "data.augment", "not a known field" },
	{ "model: {retitle: {}}", "model.retitle", "not a known field" },
	/* The model. */
	{ "model: lenet5", "model", "want an object" },
	{ "training: fast", "training", "is \"fast\", want an object" },
	{ "data: {train: idx}", "data.train", "want an object" },
	{ "model: {arch: resnet51}", "model.arch", "want mlp" },
	{ "model: {arch: layers}", "model.arch", "want mlp" },
	{ "model: {arch: null}", "model.arch", "missing" },
	{ "model: {arch: resnet20, sizes: null, stem: cifar}", "model.stem",
	    "is for resnet18, resnet34, resnet50, resnet101, resnet18_vd, "
	    "resnet34_vd and resnet50_vd, not for resnet20" },
	{ "model: {arch: ResNet20}", "model.arch",
	    "did you mean \"resnet20\"?" },
	{ "model: {arch: resnet21}", "model.arch",
	    "did you mean \"resnet20\"?" },
	{ "model: {arch: null, sizes: null, layers: [conv2D]}", "model.layers[0].type",
	    "did you mean \"conv2d\"?" },
	{ "training: {optimizer: adamW}", "training.optimizer.type",
	    "did you mean \"adamw\"?" },
	{ "training: {schedule: onecycle}", "training.schedule.type",
	    "did you mean \"one_cycle\"?" },
	{ "training: {gradient_accumulation_steps: 4}",
	    "training.gradient_accumulation_steps", "this is written "
	    "micro_batch_size: batch_size divided by it" },
	{ "training: {ema: 0.99}", "training.ema",
	    "is 0.99, want {decay: 0.9999, warmup: false} or some of it" },
	{ "model: {sizes: null}", "model.sizes", "missing" },
	{ "model: {sizes: [5]}", "model.sizes", "has 1 number, want 2 to 64" },
	{ "model: {sizes: 5}", "model.sizes", "want a list of integers" },
	{ "model: {sizes: [4, 1e3, 2]}", "model.sizes[1]",
	    "is 1000.0, want an integer" },
	{ "model: {sizes: [4, 1000000000000, 2]}", "model.sizes[1]",
	    "is 1000000000000, want an integer 1 to 16777216" },
	{ "model: {sizes: [4, 0, 2]}", "model.sizes[1]", "is 0, want" },
	{ "model: {sizes: [784, 16777216, 16777216, 10]}", "model.sizes",
	    "281,488,331,374,602 parameters, more than the limit of "
	    "2,147,483,648" },
	{ "model: {sizes: [4, 1]}", "model.sizes", "needs at least 2" },
	{ "model: {activation: swish}", "model.activation",
	    "relu, gelu, sigmoid or tanh" },
	{ "model: {classes: 3}", "model.classes", "not for mlp, whose last "
	    "size is its classes" },
	{ "model: {arch: lenet5}", "model.sizes",
	    "is for mlp, not for lenet5" },
	{ "model: {arch: lenet5, sizes: null, activation: relu}",
	    "model.activation", "is for mlp" },
	{ "model: {arch: lenet5, sizes: null, classes: 1}", "model.classes",
	    "is 1, want an integer 2 to" },
	{ "model: {outputs: {logits: a}}", "model.outputs",
	    "is for layers, not for mlp" },
	{ "model: {num_classes: 3}", "model.num_classes", "written classes" },
	{ "model: {layers: [relu]}", "model.layers", "give one of them" },
	{ "model: {strict: 1}", "model.strict", "want true or false" },
	/* The warm start. */
	{ "model: {missing: skip}", "model.missing", "want error or init" },
	{ "model: {unexpected: init}", "model.unexpected",
	    "want error or skip" },
	{ "model: {mismatch: {'fc.*': skip}}", "model.mismatch.fc.*",
	    "want error, init or slice" },
	{ "model: {mismatch: 3}", "model.mismatch", "PATTERN: WORD" },
	{ "model: {missing: {'': init}}", "model.missing", "no pattern" },
	{ "model: {minimum: 1.5}", "model.minimum", "want a number 0 to 1" },
	{ "model: {dialect: tensorflow}", "model.dialect", "torchvision" },
	{ "model: {dialect: unsaid}", "model.dialect", "torchvision" },
	{ "model: {rename: {'(a': b}}", "model.rename",
	    "a ( is not closed at byte 3" },
	{ "model: {rename: [{a: '\\1'}]}", "model.rename",
	    "asks for group 1, and the expression has 0" },
	{ "model: {rename: [a]}", "model.rename", "want {EXPRESSION: TEXT}" },
	{ "model: {rename: {a: 3}}", "model.rename", "want a text" },
	{ "model: {grow: fc}", "model.grow", "want a list of at most 64" },
	{ "model: {grow: [3]}", "model.grow", "has 3, want the name" },
	{ "model: {grow: ['']}", "model.grow", "has \"\", want the name" },
	{ "model: {grow: [fc, fc]}", "model.grow", "has \"fc\" twice" },
	{ "model: {grow: {fc: {match: names}}}", "model.grow.fc.match",
	    "want name or index" },
	{ "model: {grow: {fc: {init: random}}}", "model.grow.fc.init",
	    "want default, mean or zero" },
	{ "model: {grow: {fc: {rows: 3}}}", "model.grow.fc.rows",
	    "not a known field" },
	{ "model: {grow: {fc: mean}}", "model.grow.fc", "is \"mean\"" },
	{ "model: {grow: [fc]}", "model.grow", "is for a model that starts "
	    "from model.checkpoint, which the job does not say" },
	{ "model: {checkpoint_classes: [a, b]}", "model.checkpoint_classes",
	    "is for a model that starts" },
	{ "model: {checkpoint_classes: /f}", "model.checkpoint_classes",
	    "is for a model that starts" },
	{ "model: {checkpoint_vocabulary: /f}",
	    "model.checkpoint_vocabulary", "is for a model that starts" },
	{ "training: {warm_start: {plan: 0123456789abcdef0123456789abcdef"
	    "0123456789abcdef0123456789abcdef}}",
	    "training.warm_start.plan", "is for a model that starts" },
	{ "model: {checkpoint_classes: []}", "model.checkpoint_classes",
	    "has 0 names, want 1 to 65536" },
	{ "model: {checkpoint_classes: [a, true]}",
	    "model.checkpoint_classes", "has true, want the name" },
	{ "model: {checkpoint_classes: [a, '']}",
	    "model.checkpoint_classes", "has \"\", want the name" },
	{ "model: {checkpoint_classes: 7}", "model.checkpoint_classes",
	    "want a list of names, or a file" },
	{ "model: {checkpoint_classes: 's3://bucket/'}",
	    "model.checkpoint_classes", "names no object" },
	{ "model: {checkpoint_classes: 'a.txt#b'}",
	    "model.checkpoint_classes", "want a path without #" },
	{ "model: {checkpoint_vocabulary: [a]}",
	    "model.checkpoint_vocabulary", "want text" },
	{ "model: {producer: {paddle: '2.6'}}", "model.producer",
	    "comparisons such as" },
	{ "model: {producer: {paddle: '>=2.6,'}}", "model.producer",
	    "comparisons such as" },
	{ "model: {producer: paddle}", "model.producer", "NAME: VERSIONS" },
	{ "training: {warm_start: {optimizer: some}}",
	    "training.warm_start.optimizer", "none, moments" },
	{ "training: {warm_start: {schedule: keep}}",
	    "training.warm_start.schedule", "restart" },
	{ "training: {warm_start: {plan: abc}}", "training.warm_start.plan",
	    "is no digest of a plan" },
	{ "model: {checkpoint: s3://b}", "model.checkpoint",
	    "names no object: want s3://BUCKET/KEY" },
	{ "model: {checkpoint: 'oss://b/#sha256=" PIN "'}", "model.checkpoint",
	    "names no object" },
	{ "model: {checkpoint: s3://b/x/}", "model.checkpoint",
	    "as a folder does" },
	{ "model: {checkpoint: 's3://b c/x'}", "model.checkpoint",
	    "names the bucket \"b c\"" },
	{ "model: {checkpoint: s3:x}", "model.checkpoint", "names no bucket" },
	{ "model: {checkpoint: 'https:///x'}", "model.checkpoint",
	    "names no host" },
	{ "model: {checkpoint: 'https://a:b@h/x'}", "model.checkpoint",
	    "would be kept and shown" },
	{ "model: {checkpoint: 'https://h?x=/y'}", "model.checkpoint",
	    "names the host \"h?x=\"" },
	{ "model: {checkpoint: 'https://h/a b'}", "model.checkpoint", "%20" },
	{ "model: {checkpoint: 'https://h/x#top'}", "model.checkpoint",
	    "has a # in it" },
	{ "model: {checkpoint: 'https://h/x#sha256=12'}", "model.checkpoint",
	    "not 64 hexadecimal digits" },
	{ "model: {checkpoint: 's3://b/x#sha256='}", "model.checkpoint",
	    "not 64 hexadecimal digits" },
	{ "model: {checkpoint: 's3://b/x#sha256=" PIN "0'}", "model.checkpoint",
	    "not 64 hexadecimal digits" },
	{ "model: {checkpoint: 's3://b/x.tar#member='}", "model.checkpoint",
	    "no name behind it" },
	{ "model: {checkpoint: '/x.tar#member=a&sha256=1'}",
	    "model.checkpoint", "not 64 hexadecimal digits" },
	{ "model: {checkpoint: 'https://h/a b#member=c'}", "model.checkpoint",
	    "%20" },
	{ "model: {checkpoint: 'https://h/a#b#member=c'}", "model.checkpoint",
	    "has a # in it" },
	{ "model: {checkpoint: 's3://b/#member=c'}", "model.checkpoint",
	    "names no object" },
	{ "model: {checkpoint: 'job://j/best#member=c'}", "model.checkpoint",
	    "which is no archive" },
	{ "data: {train: {images: 's3://b/i#member=x'}}", "data.train.images",
	    "only taken as model.checkpoint" },
	{ "model: {checkpoint: model://m}", "model.checkpoint",
	    "model://NAME@ALIAS or model://NAME/N" },
	{ "model: {checkpoint: 'model://m@x#sha256=12'}", "model.checkpoint",
	    "not 64 hexadecimal digits" },
	{ "model: {checkpoint: 'model://m/3#member=a'}", "model.checkpoint",
	    "a version of a model, which is no archive" },
	{ "model: {checkpoint: 'model://m/3', checkpoint_said: s3://b/k}",
	    "model.checkpoint_said", "want model://NAME@ALIAS" },
	{ "model: {checkpoint: 'model://m/3', checkpoint_said: model://k}",
	    "model.checkpoint_said", "model://NAME@ALIAS or model://NAME/N" },
	{ "model: {checkpoint: /f, checkpoint_classes: model://m/3}",
	    "model.checkpoint_classes", "the place of no file" },
	{ "data: {train: {images: model://m/3}}", "data.train.images",
	    "the place of no file" },
	{ "checkpoint: {push: model://m/3}", "checkpoint.push",
	    "where checkpoints cannot be sent" },
	{ "model: {checkpoint: gopher://x}", "model.checkpoint", "gopher" },
	{ "model: {checkpoint: gopher://x}", "model.checkpoint",
	    "https:, http:, s3:, oss:" },
	{ "model: {checkpoint: job://x}", "model.checkpoint",
	    "job://ID/CHECKPOINT" },
	{ "model: {checkpoint: job://x/none}", "model.checkpoint",
	    "want latest, best" },
	{ "model: {checkpoint: ''}", "model.checkpoint", "empty" },
	{ "model: {checkpoint: 3}", "model.checkpoint", "want text" },
	/* The training. */
	{ "training: {epochs: null}", "training.epochs", "missing" },
	{ "training: {epochs: null, steps: 0}", "training.epochs", "missing" },
	{ "training: {epochs: 0}", "training.epochs", "is 0, want" },
	{ "training: {max_epochs: 3}", "training.max_epochs",
	    "written epochs" },
	{ "training: {lr: 3}", "training.lr",
	    "written optimizer: {learning_rate: ...}" },
	{ "training: {learning_rate: 3}", "training.learning_rate",
	    "written optimizer: {learning_rate: ...}" },
	{ "training: {batch_size: 0}", "training.batch_size",
	    "is 0, want an integer 1 to 1048576" },
	{ "training: {batch_size: 64.5}", "training.batch_size", "64.5" },
	{ "training: {bach_size: 4}", "training.bach_size",
	    "did you mean \"batch_size\"" },
	{ "training: {shuffle: 'yes'}", "training.shuffle", "true or false" },
	{ "training: {seed: -1}", "training.seed", "want an integer 0 to" },
	{ "training: {resume_from: a b}", "training.resume_from",
	    "want latest, best, step:N, none" },
	{ "training: {resume_from: 'step:x'}", "training.resume_from",
	    "step:N" },
	{ "training: {gradient_clip_norm: -1}", "training.gradient_clip_norm",
	    "want a number 0 to" },
	{ "training: {log_every: 0}", "training.log_every", "is 0" },
	{ "training: {exact: true}", "training.exact", "prefer or require" },
	{ "training: {arithmetic: quick}", "training.arithmetic",
	    "is \"quick\", want exact or fast" },
	{ "training: {exact: always}", "training.exact",
	    "is \"always\", want prefer or require" },
	{ "training: {warm_start: {learning_rate_scale: 0}}",
	    "training.warm_start.learning_rate_scale", "above 0, at most 1" },
	{ "training: {warm_start: {scale: 1}}", "training.warm_start.scale",
	    "not a known field" },
	{ "training: {loss: huber}", "training.loss.type",
	    "cross_entropy, mse" },
	{ "training: {loss: {beta: 0.1}}", "training.loss.beta",
	    "is for smooth_l1, not for cross_entropy" },
	{ "training: {loss: {type: cross_entropy, class_weights: [0, 0, 0]}}",
	    "training.loss.class_weights", "are 0 for every class" },
	{ "training: {loss: {type: mse, label_smoothing: 0}}",
	    "training.loss.label_smoothing", "is for cross_entropy" },
	{ "training: {loss: {type: cross_entropy, label_smoothing: 1}}",
	    "training.loss.label_smoothing", "from 0 to below 1" },
	/* The optimiser. */
	{ "training: {optimizer: sgd}", "training.optimizer.learning_rate",
	    "sgd has no default" },
	{ "training: {optimizer: {learning_rate: 0.1, momentum: 0.9}}",
	    "training.optimizer.momentum", "not for adam" },
	{ "training: {optimizer: momentum}", "training.optimizer.type",
	    "use sgd with momentum: 0.9" },
	{ "training: {optimizer: nesterov}", "training.optimizer.type",
	    "use sgd with momentum: 0.9, nesterov: true" },
	{ "training: {optimizer: lion}", "training.optimizer.type",
	    "sgd, adam, adamw, rmsprop, adagrad or lamb" },
	{ "training: {optimizer: {type: adam, lr: 1}}",
	    "training.optimizer.lr", "written learning_rate" },
	{ "training: {optimizer: {type: adam, learning_rate: 0}}",
	    "training.optimizer.learning_rate", "above 0" },
	{ "training: {optimizer: {type: sgd, learning_rate: -1}}",
	    "training.optimizer.learning_rate", "above 0" },
	{ "training: {optimizer: {type: adam, learning_rate: fast}}",
	    "training.optimizer.learning_rate", "is \"fast\", want a number" },
	{ "training: {optimizer: {type: adam, momentum: 0.9}}",
	    "training.optimizer.momentum", "is for sgd and rmsprop, not for "
	    "adam" },
	{ "training: {optimizer: {type: rmsprop, betas: [0, 0]}}",
	    "training.optimizer.betas", "is for adam, adamw and lamb" },
	{ "training: {optimizer: {type: adam, betas: [0.9, 1]}}",
	    "training.optimizer.betas[1]", "from 0 to below 1" },
	{ "training: {optimizer: {type: adam, betas: [0.9]}}",
	    "training.optimizer.betas", "want [beta1, beta2]" },
	{ "training: {optimizer: {type: adam, eps: 0}}",
	    "training.optimizer.eps", "above 0" },
	{ "training: {optimizer: {type: adam, weight_decay: -1}}",
	    "training.optimizer.weight_decay", "want a number 0 to 1000" },
	{ "training: {optimizer: {type: sgd, learning_rate: 1, momentum: 1}}",
	    "training.optimizer.momentum", "below 1" },
	{ "training: {optimizer: {type: sgd, learning_rate: 1, "
	    "nesterov: true}}", "training.optimizer.nesterov",
	    "needs momentum above 0" },
	{ "training: {optimizer: {type: sgd, learning_rate: 1, momentum: 0.9, "
	    "dampening: 0.5, nesterov: true}}", "training.optimizer.nesterov",
	    "needs dampening 0" },
	{ "training: {optimizer: {type: rmsprop, alpha: 1}}",
	    "training.optimizer.alpha", "below 1" },
	/* The schedule. */
	{ "training: {schedule: plateau}", "training.schedule.type",
	    "constant, step" },
	{ "training: {schedule: step}", "training.schedule.step_size",
	    "missing (or step_size_epochs)" },
	{ "training: {schedule: {type: step, step_size: 0}}",
	    "training.schedule.step_size", "is 0" },
	{ "training: {schedule: {type: step, step_size: 1, "
	    "step_size_epochs: 1}}", "training.schedule.step_size_epochs",
	    "give one of them" },
	{ "training: {schedule: multistep}", "training.schedule.milestones",
	    "missing (or milestones_epochs)" },
	{ "training: {schedule: {type: multistep, milestones: []}}",
	    "training.schedule.milestones", "has 0 numbers, want 1 to 64" },
	{ "training: {schedule: {type: multistep, milestones: [5, 5]}}",
	    "training.schedule.milestones", "has 5 after 5" },
	{ "training: {schedule: {type: multistep, milestones_epochs: [5, 4]}}",
	    "training.schedule.milestones_epochs", "has 4 after 5" },
	{ "training: {schedule: {type: multistep, milestones: [1], "
	    "milestones_epochs: [1]}}", "training.schedule.milestones_epochs",
	    "give one of them" },
	{ "training: {schedule: {type: step, step_size: 1, gamma: 0}}",
	    "training.schedule.gamma", "above 0" },
	{ "training: {schedule: {type: cosine, gamma: 0.1}}",
	    "training.schedule.gamma", "is for step and multistep" },
	{ "training: {schedule: {type: constant, length: 5}}",
	    "training.schedule.length", "is for cosine, linear, poly" },
	{ "training: {schedule: {type: cosine, length: 5, length_epochs: 5}}",
	    "training.schedule.length_epochs", "give one of them" },
	{ "training: {schedule: {type: cosine, min_learning_rate: 0.1}}",
	    "training.schedule.min_learning_rate",
	    "is 0.1, more than the learning rate's 0.001" },
	{ "training: {schedule: {type: linear, end_factor: 2}}",
	    "training.schedule.end_factor", "0 to 1" },
	{ "training: {schedule: {type: polynomial, power: 0}}",
	    "training.schedule.power", "above 0" },
	{ "training: {schedule: {warmup_steps: 1, warmup_epochs: 1}}",
	    "training.schedule.warmup_epochs", "give one of them" },
	{ "training: {schedule: {on_resume: start}}",
	    "training.schedule.on_resume", "want keep, stretch or restart" },
	{ "training: {schedule: {warmup_start_factor: 2}}",
	    "training.schedule.warmup_start_factor", "0 to 1" },
	/* The data. */
	{ "data: {train: null}", "data.train", "missing" },
	{ "data: {train: {type: parquet}}", "data.train.type",
	    "want idx, csv, cifar, " },
	{ "data: {train: {images: null}}", "data.train.images", "missing" },
	{ "data: {train: {images: ''}}", "data.train.images", "empty" },
	{ "data: {train: {images: 's3://b'}}", "data.train.images",
	    "names no object" },
	{ "data: {train: {labels: 'ftp://b/x'}}", "data.train.labels",
	    "want the path of a file, or an address of s3:, oss:, https: or "
	    "http:" },
	{ "data: {train: {labels: 'job://x/best'}}", "data.train.labels",
	    "want the path of a file, or" },
	{ "data: {train: {images: 'file://other/x'}}", "data.train.images",
	    "names the host \"other\"" },
	{ "data: {validation: {images: 'https://u@h/x'}}",
	    "data.validation.images", "would be kept" },
	{ "data: {train: {path: /x}}", "data.train.path", "is for csv" },
	{ "data: {validation: {type: csv, images: null, labels: null, "
	    "path: /x, label: y}}", "data.validation",
	    "is csv and train is idx" },
	{ "data: {validation_split: 0.1}", "data.validation_split",
	    "give one of them" },
	{ "data: {validation: null, validation_split: 0.95}",
	    "data.validation_split", "0 to 0.9" },
	{ "data: {validation: null, validation_split: 0.1, split_seed: -1}",
	    "data.split_seed", "is -1, want an integer 0 to 90071992547409" },
	{ "data: {split_seed: 3}", "data.split_seed",
	    "is for validation_split" },
	{ "data: {split: {stratify: true}}", "data.split.stratify",
	    "there is no validation_split" },
	{ "data: {validation: null, validation_split: 0.1, split: "
	    "{stratify: 1}}", "data.split.stratify", "want true or false" },
	{ "data: {validation: null, validation_split: 0.1, split: "
	    "{seed: 1}}", "data.split.seed", "not a known field" },
	{ "data: {validation: null, validation_split: 0.1, stratify: true}",
	    "data.stratify", "split: {stratify: ...}" },
	{ "{training: {loss: mse}, data: {validation: null, "
	    "validation_split: 0.1, split: {stratify: true}}}",
	    "data.split.stratify", "the loss mse has no classes" },
	{ "data: {normalize: min_max}", "data.normalize.type",
	    "none, scale or standard" },
	{ "data: {normalize: {type: standard, mean: 0}}",
	    "data.normalize.mean", "is for scale, not for standard" },
	{ "data: {normalize: {mean: [1, 2], std: 1}}", "data.normalize.std",
	    "has 1 number and mean 2" },
	{ "data: {normalize: {std: 0}}", "data.normalize.std", "above 0" },
	{ "data: {normalize: {std: 2e-39}}", "data.normalize.std",
	    "is 2e-39, want a number whose reciprocal is finite as a 32-bit "
	    "float: 3e-39 or more" },
	{ "data: {normalize: {mean: [0, 0.5], std: [1, 1e-300]}}",
	    "data.normalize.std[1]", "is 1e-300, want" },
	{ "data: {normalize: {mean: 500000, std: 1e-33}}",
	    "data.normalize.std", "is 1e-33, and mean 500000: want mean / std "
	    "finite" },
	{ "training: {loss: {class_weights: [1]}}",
	    "training.loss.class_weights", "is [1], want a list of 2 to" },
	{ "data: {normalize: {mean: [0, x]}}", "data.normalize.mean[1]",
	    "is \"x\"" },
	{ "data: {normalize: {mean: []}}", "data.normalize.mean",
	    "has 0 numbers" },
	{ "data: {normalise: none}", "data.normalise",
	    "did you mean \"normalize\"" },
	/* The checkpoints. */
	{ "checkpoint: {push: 3}", "checkpoint.push", "want text" },
	{ "checkpoint: {push: ''}", "checkpoint.push", "empty" },
	{ "checkpoint: {push: /srv/x}", "checkpoint.push",
	    "want s3://BUCKET/PREFIX/, oss://BUCKET/PREFIX/ or file:///FOLDER/" },
	{ "checkpoint: {push: https://h/x}", "checkpoint.push",
	    "can only be read" },
	{ "checkpoint: {push: job://x/best}", "checkpoint.push",
	    "cannot be sent" },
	{ "checkpoint: {push: gcs://b/x}", "checkpoint.push", "gcs" },
	{ "checkpoint: {push: 's3:///x'}", "checkpoint.push", "no bucket" },
	{ "checkpoint: {push: 's3://b/x?y=1'}", "checkpoint.push",
	    "has a ? in it" },
	{ "checkpoint: {push: 's3://b/x#sha256=" PIN "'}", "checkpoint.push",
	    "has a # in it" },
	{ "checkpoint: {push: 'file://far/x'}", "checkpoint.push",
	    "names the host" },
	{ "checkpoint: {require_remote: 1}", "checkpoint.require_remote",
	    "true or false" },
	{ "checkpoint: {every: {steps: 0}}", "checkpoint.every",
	    "want steps, seconds or epochs above 0" },
	{ "checkpoint: {every: {steps: -1}}", "checkpoint.every.steps",
	    "is -1" },
	{ "checkpoint: {every: 500}", "checkpoint.every", "want an object" },
	{ "checkpoint: {keep: {last: 0}}", "checkpoint.keep.last", "is 0" },
	{ "checkpoint: {keep: {metric: val_acc}}", "checkpoint.keep.metric",
	    "val_accuracy, val_loss, loss, val_top5" },
	{ "checkpoint: {keep: {mode: up}}", "checkpoint.keep.mode",
	    "max or min" },
	{ "{data: {validation: null}, checkpoint: {keep: {metric: val_loss}}}",
	    "checkpoint.keep.metric", "there are no validation data" },
	{ "{training: {loss: mse}, checkpoint: {keep: "
	    "{metric: val_accuracy}}}", "checkpoint.keep.metric",
	    "mse has only where its outputs are several" },
	/* Metadata. */
	{ "metadata: text", "metadata", "want an object" },
	{ "metadata: {a: [b]}", "metadata.a", "want text" },
};

T_CASE(each_rule_is_refused_with_its_path_and_sentence)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(rules); i++)
		refused(rules[i].changes, rules[i].path, rules[i].words);
}

static const struct {
	const char *layer, *path, *words;
} layer_rules[] = {
	{ "pool", ".type", "linear, conv2d" },
	{ "{out: 3}", ".type", "missing" },
	{ "3", "", "want an object" },
	{ "linear", ".out", "missing" },
	{ "{type: linear, out: 0}", ".out", "is 0" },
	{ "{type: linear, out: 1000000000000}", ".out", "1 to 16777216" },
	{ "{type: linear, out: 2, kernel: 3}", ".kernel",
	    "is for conv2d, max_pool2d and avg_pool2d, not for linear" },
	{ "{type: linear, out: 2, bias: 1}", ".bias", "true or false" },
	{ "{type: linear, out_features: 2, out: 2}", ".out_features",
	    "written out" },
	{ "{type: linear, out: 2, name: 'a/b'}", ".name", "[A-Za-z0-9._-]" },
	{ "{type: conv2d, out: 2}", ".kernel", "missing" },
	{ "{type: conv2d, out: 2, kernel: [3]}", ".kernel",
	    "[height, width]" },
	{ "{type: conv2d, out: 2, kernel: 0}", ".kernel", "is 0, want an "
	    "integer 1 to 1024" },
	{ "{type: conv2d, out: 2, kernel: 3, stride: 0}", ".stride", "is 0" },
	{ "{type: conv2d, out: 2, kernel: 3, padding: -1}", ".padding",
	    "is -1" },
	{ "{type: max_pool2d, kernel: 2, out: 3}", ".out", "is for linear" },
	{ "{type: max_pool2d, kernel: [4, 2], padding: 2}", ".padding",
	    "is 2, want at most half of the kernel's 2" },
	{ "{type: avg_pool2d, kernel: 3, padding: 2}", ".padding",
	    "at most half of the kernel's 3" },
	{ "{type: batch_norm, eps: 0}", ".eps", "above 0" },
	{ "{type: batch_norm, momentum: 2}", ".momentum", "0 to 1" },
	{ "{type: dropout, p: 1}", ".p", "from 0 to below 1" },
	{ "{type: relu, p: 0.5}", ".p", "is for dropout and attention, not for relu" },
	{ "{type: flatten, depth: 1}", ".depth", "not a known field" },
	{ "{type: linear, out: 2, name: a}", ".name", "names must differ" },
};

T_CASE(each_rule_of_a_layer_is_refused_with_its_path_and_sentence)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(layer_rules); i++) {
		char c[300], path[64];
		snprintf(c, sizeof(c), "model: {arch: null, sizes: null, "
		    "layers: [{type: linear, out: 2, name: a}, %s]}",
		    layer_rules[i].layer);
		snprintf(path, sizeof(path), "model.layers[1]%s",
		    layer_rules[i].path);
		refused(c, path, layer_rules[i].words);
	}
}

T_CASE(a_name_that_is_another_layers_number_is_refused)
{
	refused("model: {arch: null, sizes: null, layers: [{type: linear, "
	    "out: 2, name: \"1\"}, {type: linear, out: 2}]}",
	    "model.layers[1].name", "is \"1\", as is that of model.layers[0]");
}

T_CASE(a_network_that_cannot_learn_is_refused)
{
	refused("model: {arch: null, sizes: null, layers: [flatten, relu]}",
	    "model.layers", "nothing to train");
	refused("model: {arch: null, sizes: null, layers: []}",
	    "model.layers", "has 0 layers, want 1 to 4096");
	refused("model: {arch: null, sizes: null, layers: {type: relu}}",
	    "model.layers", "want a list of layers");
	refused("model: {arch: null, sizes: null, layers: [{type: linear, "
	    "out: 1}]}", "model.layers", "needs at least 2");
	refused("model: {arch: null, sizes: null, input: [1, 2, 3, 4, 5], "
	    "layers: [{type: linear, out: 2}]}", "model.input",
	    "has 5 numbers, want 1 to 4");
}

T_CASE(a_list_of_an_architecture_has_something_in_it)
{
	refused("model: {arch: textcnn, sizes: null, vocabulary: 9, kernels: "
	    "[]}", "model.kernels", "has 0 numbers, want 1 to 16");
	refused("model: {sizes: []}", "model.sizes",
	    "has 0 numbers, want 2 to 64");
}

T_CASE(mse_takes_one_output)
{
	spec_free(job_with("{model: {sizes: [4, 1]}, training: {loss: mse}}"));
}

/* One round trip for the person who wrote it, not one a fault. */
T_CASE(all_faults_of_a_job_are_listed_at_once)
{
	static const char *const paths[] = {
		"name", "model.layers[0].kernel", "model.checkpoint",
		"training.epochs", "training.batch_size",
		"training.optimizer.lr", "data.train.labels",
		"checkpoint.keep.metric", "grow",
	};
	json_t *v = yaml("name: -x\ngrow: 1\n"
	    "model: {layers: [{type: conv2d, out: 2}], checkpoint: 'oss://b'}\n"
	    "training: {batch_size: 0, optimizer: {type: adam, lr: 1}}\n"
	    "data: {train: {type: idx, images: /i}}\n"
	    "checkpoint: {keep: {metric: x}}\n");
	struct rk_why w = {0};
	struct spec *s = NULL;

	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	for (size_t i = 0; i < RK_ARRAY_LEN(paths); i++) {
		bool found = false;
		for (size_t k = 0; k < w.n; k++)
			found |= strcmp(w.v[k].path, paths[i]) == 0;
		if (!found)
			t_fail("no fault at %s", paths[i]);
	}
	rk_why_fini(&w);
	/* Nobody has to listen, and what was heard before stays. */
	t_eq_int(spec_parse(v, &s, NULL), RK_EINVAL);
	rk_refuse(&w, "before");
	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	t_eq_str(w.v[0].message, "before");
	rk_why_fini(&w);
	json_decref(v);
}

T_CASE(faults_between_blocks_are_listed_beside_those_inside_others)
{
	json_t *v = tree_with("{name: '', data: {validation: null}, "
	    "checkpoint: {keep: {metric: val_loss}}}");
	struct rk_why w = {0};
	struct spec *s = NULL;

	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	t_eq_int(w.n, 2);
	t_eq_str(w.v[1].path, "checkpoint.keep.metric");
	rk_why_fini(&w);
	json_decref(v);
}

T_CASE(what_is_no_object_is_refused)
{
	static const char *const texts[] = { "", "3", "[1]", "text", "null" };
	struct rk_why w = {0};
	struct spec *s = NULL;

	for (size_t i = 0; i < RK_ARRAY_LEN(texts); i++) {
		t_eq_int(spec_parse_text(texts[i], strlen(texts[i]), true, &s,
		    &w), RK_EINVAL);
		t_check(w.n > 0 && s == NULL);
		rk_why_fini(&w);
	}
}

T_CASE(absurd_sizes_of_text_are_refused_before_they_are_read)
{
	struct rk_why w = {0};
	struct spec *s = NULL;
	size_t n = SPEC_MAX_BYTES + 1;
	char *big = malloc(n);

	memset(big, ' ', n);
	t_eq_int(spec_parse_text(big, n, true, &s, &w), RK_EINVAL);
	t_has(rk_why_first(&w), "the job is longer than 1 MiB "
	    "(1,048,576 bytes), the most that is taken");
	rk_why_fini(&w);
	free(big);
}

T_CASE(long_lists_are_refused_by_their_length)
{
	json_t *v = tree_with("{}"), *a = json_array();
	struct rk_why w = {0};
	struct spec *s = NULL;

	for (int i = 0; i < 100000; i++)
		json_array_append_new(a, json_integer(0));
	t_eq_int(rkj_set_path(v, "model.sizes", json_incref(a), &w), RK_OK);
	t_eq_int(rkj_set_path(v, "data.normalize.mean", a, &w), RK_OK);
	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	t_eq_int(w.n, 2);
	t_has(w.v[0].message, "has 100000 numbers");
	rk_why_fini(&w);
	json_decref(v);
}

T_CASE(too_many_labels_are_refused)
{
	json_t *v = tree_with("{}"), *o = json_object();
	struct rk_why w = {0};
	struct spec *s = NULL;
	char key[16];

	for (int i = 0; i < 33; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		json_object_set_new(o, key, json_string("v"));
	}
	json_object_set_new(v, "labels", o);
	t_eq_int(spec_parse(v, &s, &w), RK_EINVAL);
	t_eq_str(rk_why_first(&w),
	    "labels: has 33 entries, want at most 32");
	rk_why_fini(&w);
	json_decref(v);
}

T_MAIN
