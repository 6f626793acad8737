#!/usr/bin/python3
"""
Writes tests/unit/image_golden.h: small files of every kind that tests/unit/image_*.c
decode, and what PIL makes of them and of a pattern.  Needs Debian's python3-pil, the
tests do not.

    /usr/bin/python3 tests/golden/images.py > tests/unit/image_golden.h
    /usr/bin/python3 tests/golden/images.py corpus tests/fuzz/corpus

The second way writes the same files where the fuzz targets look for them.

The pattern has pixel (x, y) of channel c = (7 x^2 + 5 x y + 3 y + 67 c (x + 1)) mod 256
there as here: neighbours differ, and so do channels.  Pixels are compared by their SHA-256.
"""
import hashlib
import io
import os
import struct
import sys
import zlib

import PIL
from PIL import Image, ImageEnhance, ImageOps

W, H = 37, 29


def pattern(w, h, channels):
    p = bytes((7 * x * x + 5 * x * y + 3 * y + 67 * c * (x + 1)) % 256
              for y in range(h) for x in range(w) for c in range(channels))
    return Image.frombytes({1: "L", 3: "RGB", 4: "CMYK"}[channels], (w, h), p)


def smooth(w, h):
    """A picture that JPEG has something to do with."""
    return pattern(w, h, 3).resize((3 * w, 3 * h), Image.BICUBIC).resize((w, h), Image.BILINEAR)


def saved(im, form, **how):
    b = io.BytesIO()
    im.save(b, form, **how)
    return b.getvalue()


def exif(orientation, big=False):
    order = ">" if big else "<"
    body = struct.pack(order + "HI", 42, 8) + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1,
                                                        orientation, 0, 0)
    return (b"MM" if big else b"II") + body


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(w, h, bits, colour, rows, interlace=0, more=b""):
    """A PNG of rows of packed samples, without filters; rows of each pass where it is
    interlaced."""
    raw = b"".join(b"\0" + r for r in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, bits, colour, 0, 0,
                                                            interlace)) +
            more + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def adam7(im):
    w, h = im.size
    p, rows = im.load(), []
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                           (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(y0, h, dy):
            row = b"".join(bytes(p[x, y]) for x in range(x0, w, dx))
            if row:
                rows.append(row)
    return rows


def deep(w, h, channels):
    """16 bits; and what is to become of them."""
    v = [(257 * ((7 * i) % 256) + 37 * i) % 65536 for i in range(w * h * channels)]
    each = w * channels
    rows = [struct.pack(">%dH" % each, *v[i * each:(i + 1) * each]) for i in range(h)]
    return rows, bytes((x + 128) // 257 for x in v)


def greys(bits):
    """Packed greys of fewer bits than 8, W x H, and their bytes."""
    most, rows, out = 2 ** bits - 1, [], b""
    for y in range(H):
        v = [(x * 3 + y) % (most + 1) for x in range(W)]
        text = "".join(format(k, "0%db" % bits) for k in v)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
        out += bytes(k * 255 // most for k in v)
    return rows, out


def files():
    """(name, bytes, picture as PIL has it: RGB or L)"""
    im, grey = smooth(W, H), smooth(W, H).convert("L")
    opened = lambda b: Image.open(io.BytesIO(b))
    rgb = lambda b: opened(b).convert("RGB")

    for name, sub in (("444", 0), ("422", 1), ("420", 2)):
        b = saved(im, "JPEG", quality=90, subsampling=sub)
        yield "jpeg_" + name, b, rgb(b)
    b = saved(grey, "JPEG", quality=90)
    yield "jpeg_grey", b, opened(b)
    b = saved(im, "JPEG", quality=90, progressive=True)
    yield "jpeg_progressive", b, rgb(b)
    b = saved(grey, "JPEG", quality=90, progressive=True)
    yield "jpeg_progressive_grey", b, opened(b)
    b = saved(smooth(W, H).convert("CMYK"), "JPEG", quality=90)
    yield "jpeg_cmyk", b, rgb(b)
    b = saved(im, "JPEG", quality=5)
    yield "jpeg_coarse", b, rgb(b)
    b = saved(smooth(150, 110), "JPEG", quality=60)
    yield "jpeg_large", b, rgb(b)
    b = saved(smooth(1, 1), "JPEG")
    yield "jpeg_1x1", b, rgb(b)
    small = smooth(11, 7)
    for k in range(1, 9):
        b = saved(small, "JPEG", quality=95, exif=b"Exif\0\0" + exif(k, k % 2 == 0))
        yield "jpeg_turned_%d" % k, b, ImageOps.exif_transpose(opened(b)).convert("RGB")

    plain = pattern(W, H, 3)
    b = saved(plain, "PNG")
    yield "png_rgb", b, plain
    b = saved(pattern(W, H, 1), "PNG")
    yield "png_grey", b, pattern(W, H, 1)
    clear = plain.copy()
    clear.putalpha(pattern(W, H, 1))
    yield "png_rgba", saved(clear, "PNG"), plain
    la = pattern(W, H, 1).convert("LA")
    yield "png_grey_alpha", saved(la, "PNG"), pattern(W, H, 1)
    palette = plain.quantize(40)
    yield "png_palette", saved(palette, "PNG"), palette.convert("RGB")
    b = saved(palette, "PNG", transparency=bytes(range(40)))
    yield "png_palette_alpha", b, rgb(b)
    few = plain.quantize(4)
    b = saved(few, "PNG", bits=2)
    yield "png_palette_2", b, few.convert("RGB")
    for bits in (1, 2, 4):
        rows, out = greys(bits)
        yield "png_grey_%d" % bits, png(W, H, bits, 0, rows), Image.frombytes("L", (W, H), out)
    rows, out = deep(W, H, 1)
    yield "png_grey_16", png(W, H, 16, 0, rows), Image.frombytes("L", (W, H), out)
    rows, out = deep(W, H, 3)
    yield "png_rgb_16", png(W, H, 16, 2, rows), Image.frombytes("RGB", (W, H), out)
    yield "png_interlaced", png(W, H, 8, 2, adam7(plain), 1), plain
    b = saved(small, "PNG", exif=exif(6))
    yield "png_turned_6", b, ImageOps.exif_transpose(opened(b))


def digest(im):
    return hashlib.sha256(im.tobytes()).hexdigest()


def show_bytes(name, b):
    print("static const uint8_t %s[] = {" % name)
    line = "\t"
    for v in b:
        if len(line) + len("%d," % v) > 76:
            print(line)
            line = "\t"
        line += "%d," % v
    print(line + "\n};")


def show_files():
    table = []
    for name, b, im in files():
        show_bytes("file_" + name, b)
        table.append('\t{ "%s", file_%s, sizeof(file_%s), %d, %d, %d,\n\t    "%s" },' % (
            name, name, name, im.size[0], im.size[1], len(im.getbands()), digest(im)))
    print("static const struct golden_file {\n\tconst char *name;\n\tconst uint8_t *p;\n\tsize_t n;\n"
          "\tint64_t w, h;\n\tint channels;\n\tconst char *sha256;\n} golden_files[] = {")
    print("\n".join(table) + "\n};")


def show_resized():
    print("static const struct golden_size {\n\tint channels;\n\tint64_t w, h;\n"
          "\tconst char *sha256;\n} golden_sizes[] = {")
    for channels in (1, 3):
        im = pattern(W, H, channels)
        for w, h in ((16, 16), (37, 10), (10, 29), (80, 50), (80, 10), (1, 1), (36, 28), (38, 30),
                     (37, 29), (2, 200)):
            print('\t{ %d, %d, %d,\n\t    "%s" },' % (channels, w, h,
                                                  digest(im.resize((w, h), Image.BILINEAR))))
    print("};")


def show_boxes():
    """Parts whose edges are fractions of pixels."""
    print("static const struct golden_box {\n\tint channels;\n\tdouble x, y, w, h;\n"
          "\tint64_t to_w, to_h;\n\tconst char *sha256;\n} golden_boxes[] = {")
    for channels in (1, 3):
        im = pattern(W, H, channels)
        for x, y, w, h, to_w, to_h in ((0, 0, 36.25, 28.5, 9, 7), (0.75, 0.5, 36.25, 28.5, 16, 14),
                                       (0.5, 0, 36, 29, 18, 29), (5.875, 3.25, 12.5, 20, 40, 3),
                                       (36.5, 28.5, 0.5, 0.5, 2, 2), (0, 0, 37, 28.125, 37, 10)):
            made = im.resize((to_w, to_h), Image.BILINEAR, box=(x, y, x + w, y + h))
            print('\t{ %d, %.9g, %.9g, %.9g, %.9g, %d, %d,\n\t    "%s" },' % (
                channels, x, y, w, h, to_w, to_h, digest(made)))
    print("};")


def show_drafts():
    """Parts of a large JPEG, decoded smaller as draft() does and resized by the exact box."""
    b = saved(smooth(150, 110), "JPEG", quality=60)
    print("/* jpeg_large */\nstatic const struct golden_draft {\n\tint64_t x, y, w, h;\n"
          "\tint shrink;\n\tint64_t to_w, to_h;\n\tconst char *sha256;\n} golden_drafts[] = {")
    for x, y, w, h, s, to_w, to_h in ((0, 0, 150, 110, 2, 32, 27), (0, 0, 150, 110, 4, 18, 13),
                                      (0, 0, 150, 110, 8, 9, 6), (3, 5, 131, 93, 2, 30, 20),
                                      (3, 5, 131, 93, 4, 16, 11), (17, 0, 133, 109, 8, 7, 5)):
        im = Image.open(io.BytesIO(b))
        im.draft("RGB", (150 // s, 110 // s))
        assert im.size == (-(-150 // s), -(-110 // s))
        left, top = x // s, y // s
        im = im.convert("RGB").crop((left, top, -(-(x + w) // s), -(-(y + h) // s)))
        box = (x / s - left, y / s - top, (x + w) / s - left, (y + h) / s - top)
        print('\t{ %d, %d, %d, %d, %d, %d, %d,\n\t    "%s" },' % (
            x, y, w, h, s, to_w, to_h, digest(im.resize((to_w, to_h), Image.BILINEAR, box=box))))
    print("};")


def hue(im, by):
    h, s, v = im.convert("HSV").split()
    h = h.point([(x + by) % 256 for x in range(256)])
    return Image.merge("HSV", (h, s, v)).convert("RGB")


def show_colours():
    print("static const struct golden_colour {\n\tconst char *what;\n\tint channels;\n\tfloat f;\n"
          "\tconst char *sha256;\n} golden_colours[] = {")
    for what, make in (("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast),
                       ("saturation", ImageEnhance.Color)):
        for channels in (1, 3):
            im = pattern(W, H, channels)
            for f in (0.0, 0.25, 1.0, 1.75, 6.5):
                print('\t{ "%s", %d, %#.9gf,\n\t    "%s" },' % (what, channels, f,
                                                          digest(make(im).enhance(f))))
    for f in (-0.5, -0.125, 0.0625, 0.5):
        by = int(f * 255) % 256
        print('\t{ "hue", 3, %#.9gf,\n\t    "%s" },' % (f, digest(hue(pattern(W, H, 3), by))))
    print("};")


def show_turned():
    """All pixels: sines of another library may put one of them elsewhere."""
    im = smooth(24, 18).convert("L")
    show_bytes("turned_from", im.tobytes())
    table = []
    for k, (degrees, how) in enumerate(((10, 0), (-33.5, 0), (170, 0), (10, 1), (-33.5, 1))):
        out = im.rotate(degrees, (Image.NEAREST, Image.BILINEAR)[how], fillcolor=200)
        show_bytes("turned_%d" % k, out.tobytes())
        table.append("\t{ %.9g, %s, turned_%d }," % (degrees, ("false", "true")[how], k))
    print("static const struct golden_turn {\n\tdouble degrees;\n\tbool bilinear;\n"
          "\tconst uint8_t *pixels;\n} golden_turns[] = {\n" + "\n".join(table) + "\n};")


def corpus(folder):
    for name, b, _ in files():
        kind, rest = name.split("_", 1)
        os.makedirs("%s/%s" % (folder, kind), exist_ok=True)
        for suffix, part in (("", b), ("_cut", b[:len(b) * 2 // 3])):
            open("%s/%s/%s%s" % (folder, kind, rest, suffix), "wb").write(part)


if len(sys.argv) == 3 and sys.argv[1] == "corpus":
    corpus(sys.argv[2])
else:
    print("/* Written by tests/golden/images.py; see there. */\n/* PIL %s */" % PIL.__version__)
    show_files()
    show_resized()
    show_boxes()
    show_drafts()
    show_colours()
    show_turned()
