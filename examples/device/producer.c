/*
 * A complete producer of key for qkme, without libraries: takes key from standard input and writes it as frames into the ring
 * of one link. Run one at each end with the same bytes, as a QKD device would bring them.
 *
 *   cc -O2 -o producer producer.c
 *   ./producer /run/qkme/link-1.sock 1 21000 0 < key.bin      (socket, link, error rate in 1e-6, number of the first frame)
 *
 * It waits for the KME, goes on where the KME knows everything to be stored when the KME was away, and ends when all of its
 * input is stored. The format: docs/ring-format.md. x86-64 and arm64, little endian, Linux.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 3968, BLOCK_FRAMES = 256, KEEP = 2048 };

typedef struct { /* the first page of the region; each line is written by one side */
  _Atomic uint64_t magic; uint32_t version, nslots, stride, slots_off;
  _Atomic uint64_t epoch; uint64_t region_len; uint32_t link, crc; uint8_t pad0[80];
  _Atomic uint64_t head, beat_ns; _Atomic uint32_t pid, state, sleeping, witness_epoch; _Atomic uint64_t witness_seq; uint8_t pad1[88];
  _Atomic uint64_t tail, durable_seq, consumer_beat_ns; _Atomic uint32_t consumer_pid, consumer_state, consumer_sleeping, durable_epoch;
} Control;
typedef struct { _Atomic uint64_t turn; uint8_t pad[56]; uint8_t header[64]; uint8_t payload[]; } Slot;
typedef struct {
  uint32_t magic; uint8_t version, header_bytes; uint16_t flags; uint32_t link, qber_ppm; uint64_t sequence;
  uint8_t block_id[16]; uint64_t time_ns; uint32_t payload_bytes, offset, epoch, crc;
} Header;
_Static_assert(sizeof(Header) == 64 && offsetof(Control, beat_ns) == 0x88 && offsetof(Control, durable_seq) == 0x108, "layout");

typedef struct { Control *control; uint64_t length, position, epoch, sequence, first_number; uint32_t nslots, stride, slots_off; int connection, frames, space; } Ring;
typedef struct { uint8_t bytes[PAYLOAD]; uint32_t length; } Frame;

static Frame *kept;                      /* frames from `durable` on, which may have to be sent again */
static uint64_t durable, sent, taken;    /* numbers of frames: stored at the KME, in the ring, read from input */
static uint32_t last_epoch, link_id, qber;
static uint64_t last_durable_seq;

static uint64_t now_ns(clockid_t clock) { struct timespec t; clock_gettime(clock, &t); return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec; }
static Slot *slot_at(const Ring *r, uint64_t p) { return (Slot *)((uint8_t *)r->control + r->slots_off + (p & (r->nslots - 1)) * (uint64_t)r->stride); }

static uint32_t crc32c(uint32_t c, const void *data, size_t n) { /* Castagnoli, reflected; use the processor's instruction for speed */
  const uint8_t *b = data;
  while (n--) { c ^= *b++; for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82F63B78u : c >> 1; }
  return c;
}

/* Connects and receives the region and both bells. 0: not now. */
static int receive(Ring *r, const char *path) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  struct { char magic[8]; uint32_t link, status; } message;
  union { char bytes[CMSG_SPACE(3 * sizeof(int))]; struct cmsghdr align; } rights;
  struct iovec part = { &message, sizeof message };
  struct msghdr envelope = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = rights.bytes, .msg_controllen = sizeof rights };
  int fds[3];
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  r->connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (connect(r->connection, (struct sockaddr *)&address, sizeof address) != 0) { close(r->connection); return 0; }
  if (recvmsg(r->connection, &envelope, MSG_CMSG_CLOEXEC) != sizeof message || memcmp(message.magic, "QKDPASS1", 8) != 0 || message.status != 0) { close(r->connection); return 0; }
  struct cmsghdr *c = CMSG_FIRSTHDR(&envelope);
  if (c == NULL || c->cmsg_len != CMSG_LEN(sizeof fds)) { close(r->connection); return 0; }
  memcpy(fds, CMSG_DATA(c), sizeof fds);
  struct stat info;
  fstat(fds[0], &info);
  r->length = (uint64_t)info.st_size;
  r->control = mmap(NULL, r->length, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
  close(fds[0]);
  r->frames = fds[1];
  r->space = fds[2];
  if (r->control == MAP_FAILED) { perror("mmap"); exit(1); }
  return 1;
}

/* Sizes are read once. The place is behind the last published slot, or the least free one. */
static void find_place(Ring *r) {
  Control *c = r->control;
  r->nslots = c->nslots; r->stride = c->stride; r->slots_off = c->slots_off;
  if (atomic_load(&c->magic) != 0x31474E4952444B51u || c->version != 1 || c->link != link_id || r->stride < PAYLOAD + 128 ||
      r->slots_off + (uint64_t)r->nslots * r->stride > r->length) { fprintf(stderr, "this is not the ring of link %u\n", link_id); exit(1); }
  uint64_t free_low = UINT64_MAX, published_end = 0;
  for (uint64_t i = 0; i < r->nslots; i++) {
    const uint64_t turn = atomic_load_explicit(&slot_at(r, i)->turn, memory_order_acquire);
    if ((turn & (r->nslots - 1)) == i) { if (turn < free_low) free_low = turn; }
    else if (turn > published_end) published_end = turn;
  }
  r->position = published_end > 0 ? published_end : free_low;
  const uint64_t in_region = atomic_load(&c->epoch);
  r->epoch = (in_region > last_epoch ? in_region : last_epoch) + 1;
  atomic_store_explicit(&c->epoch, r->epoch, memory_order_release); /* before the first frame of it */
  atomic_store(&c->witness_seq, last_durable_seq);                  /* what we know the KME to have: it may have been put back */
  atomic_store(&c->witness_epoch, last_epoch);
  last_epoch = (uint32_t)r->epoch;
  last_durable_seq = 0;
  r->sequence = 1;
  r->first_number = sent = durable; /* everything above goes again, under its old name */
}

/* 0: the ring is full. */
static int publish(Ring *r, uint64_t number) {
  Slot *slot = slot_at(r, r->position);
  if (atomic_load_explicit(&slot->turn, memory_order_acquire) != r->position) return 0;
  const Frame *frame = &kept[number % KEEP];
  const uint64_t block = number / BLOCK_FRAMES;
  Header h = { .magic = 0x46444B51u, .version = 1, .header_bytes = 64, .link = link_id, .qber_ppm = qber, .sequence = r->sequence, .time_ns = now_ns(CLOCK_REALTIME),
               .flags = number % BLOCK_FRAMES == BLOCK_FRAMES - 1, .payload_bytes = frame->length, .offset = (uint32_t)(number % BLOCK_FRAMES) * (PAYLOAD / 32), .epoch = (uint32_t)r->epoch };
  memcpy(h.block_id, &link_id, 4);
  memcpy(h.block_id + 8, &block, 8); /* equal at both ends and for ever: the name is (link, block id, offset) */
  memcpy(slot->payload, frame->bytes, frame->length);
  h.crc = ~crc32c(crc32c(~0u, &h, 60), frame->bytes, frame->length);
  memcpy(slot->header, &h, 64);
  atomic_store_explicit(&slot->turn, r->position + 1, memory_order_release);
  r->position++;
  r->sequence++;
  return 1;
}

/* Once per batch: hint, fence, bell. */
static void ring_bell(Ring *r) {
  const uint64_t one = 1;
  atomic_store_explicit(&r->control->head, r->position, memory_order_relaxed);
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load(&r->control->consumer_sleeping) != 0 && atomic_exchange(&r->control->consumer_sleeping, 0) != 0 && write(r->frames, &one, 8) != 8) perror("bell");
}

/* What the KME has on disk is wiped here. */
static void follow_durable(Ring *r) {
  if (atomic_load_explicit(&r->control->durable_epoch, memory_order_acquire) != (uint32_t)r->epoch) return;
  last_durable_seq = atomic_load_explicit(&r->control->durable_seq, memory_order_acquire);
  const uint64_t upto = r->first_number + last_durable_seq;
  for (; durable < upto && durable < sent; durable++) explicit_bzero(&kept[durable % KEEP], sizeof(Frame));
}

static void beat(Ring *r, uint32_t state) {
  atomic_store(&r->control->pid, (uint32_t)getpid());
  atomic_store(&r->control->state, state);
  atomic_store(&r->control->beat_ns, now_ns(CLOCK_MONOTONIC));
}

static int take_input(void) { /* one frame; 0 at the end */
  Frame *frame = &kept[taken % KEEP];
  const size_t n = fread(frame->bytes, 1, PAYLOAD, stdin);
  frame->length = (uint32_t)n;
  if (n == 0) return 0;
  taken++;
  return 1;
}

int main(int count, char **word) {
  if (count < 3) { fprintf(stderr, "usage: producer SOCKET LINK [ERROR_RATE_PPM [FIRST_FRAME]] < key\n"); return 2; }
  link_id = (uint32_t)strtoul(word[2], NULL, 10);
  qber = count > 3 ? (uint32_t)strtoul(word[3], NULL, 10) : 0xFFFFFFFFu;
  const uint64_t first = count > 4 ? strtoull(word[4], NULL, 10) : 0; /* a real device keeps it on its disk: no number is used for two pieces */
  durable = sent = taken = first;
  kept = mmap(NULL, KEEP * sizeof(Frame), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (kept == MAP_FAILED) { perror("mmap"); return 1; }
  mlock(kept, KEEP * sizeof(Frame)); /* a refusal only means that key may be swapped */
  madvise(kept, KEEP * sizeof(Frame), MADV_DONTDUMP);
  for (int more = 1; more || durable < taken;) {
    Ring ring = { 0 };
    while (!receive(&ring, word[1])) usleep(200000);
    find_place(&ring);
    for (int here = 1; here && (more || durable < taken);) {
      while (more && taken - durable < KEEP && taken - sent < 64) more = take_input();
      while (sent < taken && publish(&ring, sent)) sent++;
      ring_bell(&ring);
      follow_durable(&ring);
      beat(&ring, sent == taken && !more ? 2 : 1);
      struct pollfd line = { ring.connection, POLLIN, 0 };
      here = poll(&line, 1, sent < taken || !more || taken - durable >= KEEP ? 5 : 0) == 0 && atomic_load(&ring.control->consumer_state) != 4;
    }
    beat(&ring, 2);
    munmap(ring.control, ring.length);
    close(ring.connection); close(ring.frames); close(ring.space);
  }
  printf("%llu frames are stored; other key goes on from frame %llu\n", (unsigned long long)(durable - first), (unsigned long long)durable);
  return 0;
}
