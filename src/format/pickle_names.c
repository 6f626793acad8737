/*
 * The names of Python that a pickle of weights may ask for, and the sentence
 * for all others.  A name does nothing: what a call of one becomes is
 * pickle_call.c's.
 */
#include <string.h>

#include "pickle.h"

#define BOTH (PICKLE_TORCH | PICKLE_PADDLE)

static const struct pickle_row rows[] = {
	/* Python's own, by the names of 3 and of 2. */
	{ "builtins", "tuple", PN_TUPLE, BOTH },
	{ "__builtin__", "tuple", PN_TUPLE, BOTH },
	{ "builtins", "list", PN_LIST, BOTH },
	{ "__builtin__", "list", PN_LIST, BOTH },
	{ "builtins", "set", PN_SET, BOTH },
	{ "__builtin__", "set", PN_SET, BOTH },
	{ "builtins", "frozenset", PN_SET, BOTH },
	{ "__builtin__", "frozenset", PN_SET, BOTH },
	{ "builtins", "dict", PN_DICT, BOTH },
	{ "__builtin__", "dict", PN_DICT, BOTH },
	{ "builtins", "bytes", PN_BYTES, BOTH },
	{ "__builtin__", "bytes", PN_BYTES, BOTH },
	{ "builtins", "bytearray", PN_BYTEARRAY, BOTH },
	{ "__builtin__", "bytearray", PN_BYTEARRAY, BOTH },
	{ "_codecs", "encode", PN_ENCODE, BOTH },
	{ "builtins", "complex", PN_COMPLEX, BOTH },
	{ "__builtin__", "complex", PN_COMPLEX, BOTH },
	{ "builtins", "int", PN_INT, BOTH },
	{ "__builtin__", "int", PN_INT, BOTH },
	{ "__builtin__", "long", PN_INT, BOTH },
	{ "builtins", "float", PN_FLOAT, BOTH },
	{ "__builtin__", "float", PN_FLOAT, BOTH },
	{ "builtins", "bool", PN_BOOL, BOTH },
	{ "__builtin__", "bool", PN_BOOL, BOTH },
	{ "builtins", "str", PN_STR, BOTH },
	{ "__builtin__", "str", PN_STR, BOTH },
	{ "__builtin__", "unicode", PN_STR, BOTH },
	{ "builtins", "object", PN_OBJECT, BOTH },
	{ "__builtin__", "object", PN_OBJECT, BOTH },
	{ "builtins", "slice", PN_SLICE, BOTH },
	{ "copyreg", "_reconstructor", PN_RECONSTRUCTOR, BOTH },
	{ "copy_reg", "_reconstructor", PN_RECONSTRUCTOR, BOTH },
	{ "collections", "OrderedDict", PN_ORDERED_DICT, BOTH },
	{ "collections", "Counter", PN_COUNTER, BOTH },
	{ "collections", "defaultdict", PN_DEFAULT_DICT, BOTH },
	{ "argparse", "Namespace", PN_NAMESPACE, BOTH },
	{ "types", "SimpleNamespace", PN_NAMESPACE, BOTH },
	{ "pathlib", "PosixPath", PN_PATH, BOTH },
	{ "pathlib", "PurePosixPath", PN_PATH, BOTH },
	{ "pathlib", "WindowsPath", PN_PATH, BOTH },
	{ "pathlib", "PureWindowsPath", PN_PATH, BOTH },
	{ "datetime", "datetime", PN_DATETIME, BOTH },
	{ "datetime", "date", PN_DATETIME, BOTH },
	{ "datetime", "timedelta", PN_DATETIME, BOTH },

	/* numpy's, by the names of 1 and of 2. */
	{ "numpy.core.multiarray", "_reconstruct", PN_ND_RECONSTRUCT, BOTH },
	{ "numpy._core.multiarray", "_reconstruct", PN_ND_RECONSTRUCT, BOTH },
	{ "numpy.core.multiarray", "scalar", PN_ND_SCALAR, BOTH },
	{ "numpy._core.multiarray", "scalar", PN_ND_SCALAR, BOTH },
	{ "numpy.core.numeric", "_frombuffer", PN_ND_FROM_BUFFER, BOTH },
	{ "numpy._core.numeric", "_frombuffer", PN_ND_FROM_BUFFER, BOTH },
	{ "numpy", "ndarray", PN_NDARRAY, BOTH },
	{ "numpy", "dtype", PN_ND_DTYPE, BOTH },
	{ "numpy", "bool_", PN_ND_TYPE, BOTH },
	{ "numpy", "int32", PN_ND_TYPE, BOTH },
	{ "numpy", "int64", PN_ND_TYPE, BOTH },
	{ "numpy", "float16", PN_ND_TYPE, BOTH },
	{ "numpy", "float32", PN_ND_TYPE, BOTH },
	{ "numpy", "float64", PN_ND_TYPE, BOTH },

	/* torch's. */
	{ "torch._utils", "_rebuild_tensor", PN_TENSOR, PICKLE_TORCH },
	{ "torch._utils", "_rebuild_tensor_v2", PN_TENSOR_V2, PICKLE_TORCH },
	{ "torch._utils", "_rebuild_tensor_v3", PN_TENSOR_V3, PICKLE_TORCH },
	{ "torch._utils", "_rebuild_parameter", PN_PARAMETER, PICKLE_TORCH },
	{ "torch._utils", "_rebuild_parameter_with_state",
	    PN_PARAMETER_STATE, PICKLE_TORCH },
	{ "torch._utils", "_rebuild_sparse_tensor", PN_SPARSE, PICKLE_TORCH },
	{ "torch._utils", "_rebuild_sparse_csr_tensor", PN_SPARSE,
	    PICKLE_TORCH },
	{ "torch._utils", "_rebuild_qtensor", PN_QTENSOR, PICKLE_TORCH },
	{ "torch._utils", "_rebuild_meta_tensor_no_storage", PN_META,
	    PICKLE_TORCH },
	{ "torch._utils", "_rebuild_wrapper_subclass", PN_WRAPPER,
	    PICKLE_TORCH },
	{ "torch._utils", "_rebuild_device_tensor_from_numpy",
	    PN_FROM_NUMPY, PICKLE_TORCH },
	{ "torch._tensor", "_rebuild_from_type_v2", PN_FROM_TYPE_V2,
	    PICKLE_TORCH },
	{ "torch.nn.parameter", "Parameter", PN_PARAMETER_CLASS,
	    PICKLE_TORCH },
	{ "torch.nn.parameter", "Buffer", PN_PARAMETER_CLASS, PICKLE_TORCH },
	{ "torch.torch_version", "TorchVersion", PN_STR, PICKLE_TORCH },
	{ "torch", "Tensor", PN_TENSOR_CLASS, PICKLE_TORCH },
	{ "torch", "Size", PN_SIZE, PICKLE_TORCH },
	{ "torch", "device", PN_DEVICE, PICKLE_TORCH },
	{ "torch.serialization", "_get_layout", PN_LAYOUT, PICKLE_TORCH },
	{ "torch", "per_tensor_affine", PN_QSCHEME, PICKLE_TORCH },
	{ "torch", "per_channel_affine", PN_QSCHEME, PICKLE_TORCH },
	{ "torch", "FloatStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "DoubleStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "HalfStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "BFloat16Storage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "LongStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "IntStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "ShortStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "CharStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "ByteStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "BoolStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "ComplexFloatStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "ComplexDoubleStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "QInt8Storage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "QUInt8Storage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "QInt32Storage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "QUInt4x2Storage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "QUInt2x4Storage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "UntypedStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.storage", "UntypedStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "FloatStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "DoubleStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "HalfStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "BFloat16Storage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "LongStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "IntStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "ShortStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "CharStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "ByteStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch.cuda", "BoolStorage", PN_STORAGE, PICKLE_TORCH },
	{ "torch", "float32", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float64", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float16", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "bfloat16", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "int64", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "int32", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "int16", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "int8", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "uint8", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "uint16", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "uint32", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "uint64", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "bool", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "complex32", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "complex64", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "complex128", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "qint8", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "quint8", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "qint32", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float8_e4m3fn", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float8_e4m3fnuz", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float8_e5m2", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float8_e5m2fnuz", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float8_e8m0fnu", PN_DTYPE, PICKLE_TORCH },
	{ "torch", "float4_e2m1fn_x2", PN_DTYPE, PICKLE_TORCH },
};

static bool
same(const char *word, const void *p, size_t n)
{
	return strlen(word) == n && memcmp(word, p, n) == 0;
}

const struct pickle_row *
pickle_name_find(const void *module, size_t mlen, const void *name,
    size_t nlen, unsigned who)
{
	for (size_t i = 0; i < RK_ARRAY_LEN(rows); i++) {
		if ((rows[i].who & who) != 0 && same(rows[i].name, name, nlen)
		    && same(rows[i].module, module, mlen))
			return &rows[i];
	}
	return NULL;
}

/* Modules with which a pickle runs programs or opens files: nobody has them in
 * weights by mistake. */
static bool
is_hostile(const void *module, size_t n)
{
	static const char *const modules[] = {
		"os", "posix", "nt", "sys", "subprocess", "builtins",
		"__builtin__", "commands", "shutil", "socket", "runpy", "pty",
		"importlib", "ctypes", "pickle", "_pickle", "code", "io",
		"codecs", "_codecs", "webbrowser", "operator", "_operator",
		"functools", "popen2", "platform", "timeit", "bdb", "pdb",
		"urllib.request", "http.client", "multiprocessing",
		"numpy.testing._private.utils", "torch.hub",
	};

	for (size_t i = 0; i < RK_ARRAY_LEN(modules); i++)
		if (same(modules[i], module, n))
			return true;
	return false;
}

enum rk_err
pickle_name_refuse(const void *module, size_t mlen, const void *name,
    size_t nlen, struct rk_why *why)
{
	const int m = (int)RK_MIN(mlen, (size_t)80);
	const int n = (int)RK_MIN(nlen, (size_t)80);

	if (is_hostile(module, mlen))
		return rk_refuse(why, "the file asks for %.*s.%.*s; nothing was "
		    "run: it is no file of weights", m, (const char *)module,
		    n, (const char *)name);
	return rk_refuse(why, "the file asks for %.*s.%.*s; nothing was run: it "
	    "has objects of a program beside weights; save it again with the "
	    "weights alone, as torch.save(model.state_dict(), ...) does", m,
	    (const char *)module, n, (const char *)name);
}
