/* What libc needs from below, without WASI: malloc and stdio.  Compile it in beside the handler.

   malloc stays within the module's initial memory.  The libc that zig brings (0.16) asks memory.grow for
   its first byte already and leaves --initial-memory unused; each grow costs the host a system call. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

enum { PAGE = 65536 };
typedef struct head { uint32_t bin, before; } head; /* `before`: bytes between the block's start and this head */
typedef struct hole { struct hole *next; } hole;

extern unsigned char __heap_base;
static uintptr_t at, end;
static hole *holes[128]; /* four sizes per power of two: at most a quarter of a block is lost */

static void *fresh(size_t n) {
  if (!end) at = ((uintptr_t)&__heap_base + 15) & -16u, end = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
  if (n > end - at) {
    size_t pages = (n - (end - at) + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) return NULL;
    end += pages * PAGE;
  }
  at += n;
  return (void *)(at - n);
}

static head *head_of(void *p) { return (head *)((char *)p - 16); }

static void *take(size_t size) {
  if (size > 0x7fff0000) return errno = ENOMEM, NULL;
  uint32_t n = (uint32_t)size + 16 < 64 ? 64 : (uint32_t)size + 16, k = 31 - __builtin_clz(n - 1), step = 1u << (k - 2);
  n = (n + step - 1) & -step;
  uint32_t bin = k * 4 + ((n - 1) >> (k - 2) & 3);
  head *h = (head *)holes[bin];
  if (h) holes[bin] = holes[bin]->next;
  else if (!(h = fresh(n))) return errno = ENOMEM, NULL;
  h->bin = bin, h->before = 0;
  return (char *)h + 16;
}

void *malloc(size_t size) { return take(size); }

void free(void *p) {
  if (!p) return;
  head *h = head_of(p);
  uint32_t bin = h->bin;
  hole *block = (hole *)((char *)h - h->before);
  block->next = holes[bin];
  holes[bin] = block;
}

size_t malloc_usable_size(void *p) {
  head *h = head_of(p);
  return ((size_t)((h->bin & 3) + 5) << ((h->bin >> 2) - 2)) - 16 - h->before;
}

void *calloc(size_t count, size_t size) {
  size_t n;
  void *p = __builtin_mul_overflow(count, size, &n) ? NULL : take(n);
  return p ? memset(p, 0, n) : NULL;
}

void *realloc(void *p, size_t size) {
  size_t had = p ? malloc_usable_size(p) : 0;
  if (p && size <= had) return p;
  void *q = malloc(size);
  if (p && q) memcpy(q, p, had), free(p);
  return q;
}

void *aligned_alloc(size_t align, size_t size) {
  if (align <= 16) return malloc(size);
  char *p = malloc(size + align);
  if (!p) return NULL;
  char *q = (char *)(((uintptr_t)p + align - 1) & -align);
  *head_of(q) = (head){head_of(p)->bin, (uint32_t)(q - p)};
  return q;
}

int posix_memalign(void **out, size_t align, size_t size) {
  return (*out = aligned_alloc(align, size)) ? 0 : ENOMEM;
}

/* ---- printf, assert and perror end up in the task's log: stdout as info, the rest as warn ---- */

__attribute__((import_module("tasq:handler/log@0.1.0"), import_name("log"))) void tasq_stdio_log(uint32_t level, const char *, size_t, const void *, size_t);

typedef struct { const char *ptr; size_t len; } piece;

/* A line at a time, mended in a copy: what is printed may be any bytes. */
static void log_piece(uint32_t level, const char *text, size_t left) {
  static char line[1024];
  while (left) {
    size_t n = left < sizeof line ? left : sizeof line;
    memcpy(line, text, n);
    char *newline = memchr(line, '\n', n);
    if (newline) n = (size_t)(newline - line) + 1;
    size_t shown = newline ? n - 1 : n;
    tasq_utf8_mend(line, shown);
    if (shown) tasq_stdio_log(level, line, shown, NULL, 0);
    text += n, left -= n;
  }
}

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t fd, int32_t pieces, int32_t count, int32_t written) {
  size_t sum = 0;
  for (const piece *p = (const piece *)pieces; count-- > 0; sum += p++->len) log_piece(fd == 1 ? 2 : 3, p->ptr, p->len);
  *(size_t *)written = sum;
  return 0;
}

/* A character device that can't seek, which makes stdio write line by line. */
int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t fd, int32_t out) {
  (void)fd;
  memset((void *)out, 0, 24);
  *(char *)out = 2;
  return 0;
}

int close(int fd) { return (void)fd, 0; }
int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t fd, int64_t by, int32_t from, int32_t out) { return (void)fd, (void)by, (void)from, (void)out, 70; /* ESPIPE */ }
