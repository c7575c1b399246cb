#include "CPNG.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

enum {
  HEAD = 24,            ///< bytes up to the end of width and height
  CHUNK_BYTES = 1 << 23,  ///< of a chunk beside the pixels
  CHUNK_COUNT = 1000    ///< chunks that are kept
};

/// Where a call comes back to when libpng gives up, and why.
typedef struct {
  jmp_buf back;
  char *message;
} failure;

static void fail(png_structp png, png_const_charp text) {
  failure *f = png_get_error_ptr(png);
  strncpy(f->message, text ? text : "", CPNG_MESSAGE - 1);
  f->message[CPNG_MESSAGE - 1] = 0;
  longjmp(f->back, 1);
}

static void ignore(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static uint32_t big_endian(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool cpng_size(const uint8_t *data, size_t count, uint32_t *width, uint32_t *height) {
  static const uint8_t start[16] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R'};
  if (count < HEAD || memcmp(data, start, sizeof start) != 0) return false;
  *width = big_endian(data + 16);
  *height = big_endian(data + 20);
  return true;
}

typedef struct {
  const uint8_t *data;
  size_t left;
} source;

static void pull(png_structp png, png_bytep to, png_size_t count) {
  source *s = png_get_io_ptr(png);
  if (count > s->left) png_error(png, "the file ends early");
  memcpy(to, s->data, count);
  s->data += count;
  s->left -= count;
}

/// Everything that may jump back while pixels are read.
static void decode(png_structp png, png_infop info, uint32_t width, uint32_t height, uint8_t *pixels) {
  png_set_user_limits(png, width, height);
  png_set_chunk_malloc_max(png, CHUNK_BYTES);
  png_set_chunk_cache_max(png, CHUNK_COUNT);
  png_read_info(png, info);
  if (png_get_image_width(png, info) != width || png_get_image_height(png, info) != height)
    png_error(png, "two headers");
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_gray_to_rgb(png);
  png_set_strip_alpha(png);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const size_t row = (size_t)width * 3;
  if (png_get_rowbytes(png, info) != row) png_error(png, "no pixels of three colors");
  for (int pass = 0; pass < passes; pass++)
    for (uint32_t y = 0; y < height; y++) png_read_row(png, pixels + y * row, NULL);
  png_read_end(png, NULL);
}

bool cpng_read(const uint8_t *data, size_t count, uint32_t width, uint32_t height, uint8_t *pixels, char *message) {
  failure f = {.message = strcpy(message, "no memory")};
  source s = {data, count};
  png_structp volatile png = NULL;
  png_infop volatile info = NULL;
  volatile bool done = false;
  if (setjmp(f.back) == 0) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &f, fail, ignore);
    if (png) info = png_create_info_struct(png);
    if (info) {
      png_set_read_fn(png, &s, pull);
      decode(png, info, width, height, pixels);
      done = true;
    }
  }
  png_structp p = png;
  png_infop i = info;
  png_destroy_read_struct(&p, &i, NULL);
  return done;
}

typedef struct {
  cpng_sink sink;
  void *context;
} target;

static void push(png_structp png, png_bytep bytes, png_size_t count) {
  const target *t = png_get_io_ptr(png);
  if (!t->sink(t->context, bytes, count)) png_error(png, "the output cannot be written");
}

static void flush(png_structp png) { (void)png; }

static void encode(png_structp png, png_infop info, uint32_t width, uint32_t height, const uint8_t *pixels) {
  png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(png, 6);
  png_write_info(png, info);
  for (uint32_t y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * width * 3);
  png_write_end(png, info);
}

bool cpng_write(const uint8_t *pixels, uint32_t width, uint32_t height, cpng_sink sink, void *context, char *message) {
  failure f = {.message = strcpy(message, "no memory")};
  target t = {sink, context};
  png_structp volatile png = NULL;
  png_infop volatile info = NULL;
  volatile bool done = false;
  if (setjmp(f.back) == 0) {
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &f, fail, ignore);
    if (png) info = png_create_info_struct(png);
    if (info) {
      png_set_write_fn(png, &t, push, flush);
      encode(png, info, width, height, pixels);
      done = true;
    }
  }
  png_structp p = png;
  png_infop i = info;
  png_destroy_write_struct(&p, &i);
  return done;
}

const char *cpng_version(void) { return png_get_libpng_ver(NULL); }
