"""JSON Schema, as much of it as our documents use.  Not a test itself.

    faults(doc, schema, v)      # what is wrong with v, as sentences; doc is what a $ref leads into
"""
import json
import re

TYPES = {
    "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str), "boolean": lambda v: isinstance(v, bool), "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool) or isinstance(v, float) and v == int(v),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
SIMPLE = {
    "pattern": lambda w, v: not isinstance(v, str) or re.search(w, v),
    "minLength": lambda w, v: not isinstance(v, str) or len(v) >= w,
    "maxLength": lambda w, v: not isinstance(v, str) or len(v) <= w,
    "minimum": lambda w, v: not TYPES["number"](v) or v >= w,
    "maximum": lambda w, v: not TYPES["number"](v) or v <= w,
    "exclusiveMinimum": lambda w, v: not TYPES["number"](v) or v > w,
    "exclusiveMaximum": lambda w, v: not TYPES["number"](v) or v < w,
    "minItems": lambda w, v: not isinstance(v, list) or len(v) >= w,
    "maxItems": lambda w, v: not isinstance(v, list) or len(v) <= w,
    "maxProperties": lambda w, v: not isinstance(v, dict) or len(v) <= w,
    "enum": lambda w, v: v in w, "const": lambda w, v: v == w,
    "required": lambda w, v: not isinstance(v, dict) or set(w) <= set(v),
    "type": lambda w, v: any(TYPES[t](v) for t in (w if isinstance(w, list) else [w])),
    "format": lambda w, v: w != "date-time" or not isinstance(v, str) or TIME.match(v),
}
WORDS = {"description", "default", "$ref", "properties", "additionalProperties", "items", "anyOf", "oneOf", "title",
         "$schema", "$defs"}


def resolve(doc, schema):
    while "$ref" in schema:
        ref = schema["$ref"]
        assert ref.startswith("#/"), ref
        at = doc
        for part in ref[2:].split("/"):
            assert part in at, f"{ref} leads nowhere"
            at = at[part]
        schema = {**at, **{k: v for k, v in schema.items() if k not in ("$ref", "description")}}
    return schema


def faults(doc, schema, v, at="$"):
    """What is wrong with v, as a list of sentences."""
    schema = resolve(doc, schema)
    out = []
    for word, want in schema.items():
        if word in SIMPLE:
            if not SIMPLE[word](want, v):
                out.append(f"{at}: {word} is {want}, there is {json.dumps(v)[:80]}")
        elif word in ("anyOf", "oneOf"):
            fit = [s for s in want if not faults(doc, s, v, at)]
            if not fit or word == "oneOf" and len(fit) > 1:
                out.append(f"{at}: {len(fit)} of {word} fit {json.dumps(v)[:80]}")
        else:
            assert word in WORDS, f"{at}: the test does not know the word {word}"
    if isinstance(v, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        for k, x in v.items():
            if k in known:
                out += faults(doc, known[k], x, f"{at}.{k}")
            elif more is False:
                out.append(f"{at}: {k} is not documented")
            elif isinstance(more, dict):
                out += faults(doc, more, x, f"{at}.{k}")
    if isinstance(v, list) and "items" in schema:
        for n, x in enumerate(v):
            out += faults(doc, schema["items"], x, f"{at}[{n}]")
    return out
