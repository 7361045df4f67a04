// The ring between a QKD device (producer) and the KME (consumer): memory layout and the rules that both
// sides keep. docs/ring-format.md shows it as a picture and tells how to write a producer.
//
// One producer, one consumer, a power of two of slots. Who owns a slot is written in the slot itself (turn
// words after D. Vyukov's bounded queue), so nothing shared is counted and a crash leaves at most one
// unpublished slot. For position p = 0, 1, 2, …, slot p mod n:
//   turn == p      free: the producer may write it
//   turn == p + 1  published: the consumer may read it
//   turn == p + n  free again, for position p + n
// A turn never goes back, so both sides find their positions again from the turns alone (ring_scan.h).
//
// Orders, each with its partner:
//   P1 producer: store-release turn = p + 1   pairs with  C1 consumer: load-acquire turn
//   C2 consumer: store-release turn = p + n   pairs with  P2 producer: load-acquire turn
//   P3 producer: store-release epoch before its first frame; C3 load-acquire epoch
//   C4 consumer: store-release durable_epoch after durable_seq = 0; P4 load-acquire durable_epoch
//   C5 consumer: store-release durable_seq; P5 load-acquire durable_seq
//   Sleep: the sleeper stores sleeping = 1, full fence, looks at the turn once more, only then sleeps; the
//   other side stores the turn, full fence, looks at sleeping. One of the two sees the other's store.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qkme {

static_assert(std::endian::native == std::endian::little, "the ring is little endian");
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free,
              "shared words must be plain words");

inline constexpr uint64_t kRingMagic = 0x31474E4952444B51;  // "QKDRING1"
inline constexpr uint32_t kRingVersion = 1;
inline constexpr uint32_t kSlotsOffset = 4096;
inline constexpr uint32_t kSlotHeadBytes = 128;  // turn line and frame header
inline constexpr uint32_t kStrideDefault = 4096;
inline constexpr uint32_t kStrideMax = 1u << 16;
inline constexpr uint32_t kSlotsMin = 8;
inline constexpr uint32_t kSlotsMax = 1u << 18;

/// What a side says of itself.
enum class SideState : uint32_t { kAbsent = 0, kRun = 1, kDrained = 2, kFault = 3, kRetired = 4 };

/// First page of the region. Each line is written by one side only.
struct RingControl {
  // 0x000 static: written once by whoever made the region, except `epoch`.
  std::atomic<uint64_t> magic;
  uint32_t version, nslots, stride, slots_off;
  std::atomic<uint64_t> epoch;  ///< generation of the producer; only the producer writes it
  uint64_t region_len;
  uint32_t link, crc;  ///< crc: CRC32C of bytes 0..43 with the epoch taken as 0
  uint8_t pad0[80];
  // 0x080 producer line
  std::atomic<uint64_t> head;              ///< hint: position of the next frame
  std::atomic<uint64_t> producer_beat_ns;  ///< CLOCK_MONOTONIC
  std::atomic<uint32_t> producer_pid, producer_state, producer_sleeping;
  std::atomic<uint32_t> witness_epoch;  ///< what the device knows to be durable, over all regions:
  std::atomic<uint64_t> witness_seq;    ///< a store that is behind it was rolled back
  uint8_t pad1[88];
  // 0x100 consumer line
  std::atomic<uint64_t> tail;  ///< hint: position of the next frame to read
  std::atomic<uint64_t> durable_seq;
  std::atomic<uint64_t> consumer_beat_ns;
  std::atomic<uint32_t> consumer_pid, consumer_state, consumer_sleeping;
  std::atomic<uint32_t> durable_epoch;  ///< low half of the epoch that durable_seq belongs to
  uint8_t pad2[88];
  // 0x180 counters
  std::atomic<uint64_t> drops;       ///< producer: frames dropped because the ring was full
  std::atomic<uint64_t> bad_crc;     ///< consumer
  std::atomic<uint64_t> resync;      ///< consumer: sequence gaps and new epochs
  std::atomic<uint64_t> high_water;  ///< consumer: most frames ever waiting
};

#define QKME_AT(field, where) static_assert(offsetof(RingControl, field) == (where))
QKME_AT(magic, 0x000); QKME_AT(version, 0x008); QKME_AT(nslots, 0x00C); QKME_AT(stride, 0x010);
QKME_AT(slots_off, 0x014); QKME_AT(epoch, 0x018); QKME_AT(region_len, 0x020); QKME_AT(link, 0x028);
QKME_AT(crc, 0x02C);
QKME_AT(head, 0x080); QKME_AT(producer_beat_ns, 0x088); QKME_AT(producer_pid, 0x090);
QKME_AT(producer_state, 0x094); QKME_AT(producer_sleeping, 0x098); QKME_AT(witness_epoch, 0x09C);
QKME_AT(witness_seq, 0x0A0);
QKME_AT(tail, 0x100); QKME_AT(durable_seq, 0x108); QKME_AT(consumer_beat_ns, 0x110);
QKME_AT(consumer_pid, 0x118); QKME_AT(consumer_state, 0x11C); QKME_AT(consumer_sleeping, 0x120);
QKME_AT(durable_epoch, 0x124);
QKME_AT(drops, 0x180); QKME_AT(bad_crc, 0x188); QKME_AT(resync, 0x190); QKME_AT(high_water, 0x198);
#undef QKME_AT
static_assert(sizeof(RingControl) <= kSlotsOffset);

/// One slot: its turn on a line of its own, the frame header, the payload (and MAC).
struct Slot {
  std::atomic<uint64_t> turn;
  uint8_t pad[56];
  uint8_t header[64];
  uint8_t payload[];  // stride - 128 bytes
};
static_assert(offsetof(Slot, turn) == 0 && offsetof(Slot, header) == 64 && offsetof(Slot, payload) == kSlotHeadBytes);

/// Sizes of a region, read from it once and checked; never read from shared memory again.
struct RingGeometry {
  uint32_t nslots = 0, stride = 0, slots_off = kSlotsOffset, link = 0;
  uint32_t Capacity() const { return stride - kSlotHeadBytes; }
  uint64_t RegionBytes() const { return slots_off + uint64_t{nslots} * stride; }
};

/// A mapped region with checked geometry. Does not own the mapping (region.h does).
struct RingView {
  uint8_t* base = nullptr;
  RingGeometry geometry;
  RingControl* control() const { return reinterpret_cast<RingControl*>(base); }
  Slot* slot(uint64_t position) const {
    return reinterpret_cast<Slot*>(base + geometry.slots_off + (position & (geometry.nslots - 1)) * uint64_t{geometry.stride});
  }
};

/// Copies out of memory that the other side may change at any time. The barrier keeps the compiler from
/// reading the source a second time in place of the copy.
inline void CopyOnce(void* to, const void* from, size_t length) {
  std::memcpy(to, from, length);
  asm volatile("" ::: "memory");
}

/// The full fence of the sleep rule above. ThreadSanitizer does not model fences, and what they order here
/// are atomics only, so nothing is hidden from it.
inline void FullFence() {
#if defined(__SANITIZE_THREAD__)
  static std::atomic<uint32_t> word{0};
  word.fetch_add(0, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// Null if the geometry can be used for a region of `region_bytes`, else what is wrong with it.
inline const char* GeometryFault(const RingGeometry& g, uint64_t region_bytes) {
  if (g.nslots < kSlotsMin || g.nslots > kSlotsMax || !std::has_single_bit(g.nslots)) return "number of slots must be a power of two from 8 to 262144";
  if (g.stride % 64 != 0 || g.stride <= kSlotHeadBytes || g.stride > kStrideMax) return "stride must be a multiple of 64 from 192 to 65536";
  if (g.slots_off < sizeof(RingControl) || g.slots_off % 64 != 0 || g.slots_off > 1u << 20) return "offset of the slots must be a multiple of 64 behind the control page";
  if (g.RegionBytes() > region_bytes) return "region is shorter than its slots";
  return nullptr;
}

/// Writes a fresh region into zeroed memory: turns, static line, and the magic last.
void FormatRing(uint8_t* base, const RingGeometry& geometry);

/// Reads and checks the static line of foreign memory. Null if good (then `*geometry` is set), else what is wrong.
const char* ReadRingHeader(const uint8_t* base, uint64_t region_bytes, RingGeometry* geometry);

/// CLOCK_MONOTONIC in nanoseconds, the time of both heartbeats.
uint64_t MonotonicNs();

}  // namespace qkme
