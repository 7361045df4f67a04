// The reading side of a ring. Knows nothing of frames' meaning, of Node or of the vault.
#pragma once

#include <algorithm>

#include "ring_scan.h"

namespace qkme {

class RingConsumer {
 public:
  enum class Look { kEmpty, kReady, kCorrupt };

  RingConsumer(const RingView& ring, uint64_t position) : ring_(ring), position_(position) {}

  uint64_t position() const { return position_; }
  const RingView& ring() const { return ring_; }

  /// What stands at the next position. kCorrupt: a turn that no correct producer writes.
  Look Next() const {
    const uint64_t turn = ring_.slot(position_)->turn.load(std::memory_order_acquire);  // C1, pairs with P1
    if (turn == position_ + 1) return Look::kReady;
    return turn == position_ ? Look::kEmpty : Look::kCorrupt;
  }

  const Slot* slot() const { return ring_.slot(position_); }

  /// The next slot is read soon: a quarter of it, 0 to 3, is fetched into the caches. The processor does not do that by itself over the
  /// end of a page, and all of it at once would have to wait for its own first lines.
  void Expect(uint32_t quarter) const {
    const uint8_t* next = reinterpret_cast<const uint8_t*>(ring_.slot(position_ + 1));
    const size_t part = std::min<size_t>(ring_.geometry.stride, kStrideDefault) / 4;
    for (size_t at = quarter * part; at < (quarter + 1) * part; at += 64) __builtin_prefetch(next + at, 0, 2);
  }

  /// Zeroes the slot's header and payload, gives it back and goes on to the next position.
  void Release() {
    Slot* slot = ring_.slot(position_);
    std::memset(slot->header, 0, ring_.geometry.stride - offsetof(Slot, header));
    slot->turn.store(position_ + ring_.geometry.nslots, std::memory_order_release);  // C2, pairs with P2
    position_ += 1;
  }

  /// After a batch: the hint, and the doorbell of a producer that sleeps on a full ring.
  /// True if the producer must be woken (write to its eventfd).
  bool FinishBatch() {
    RingControl* control = ring_.control();
    control->tail.store(position_, std::memory_order_relaxed);
    FullFence();
    return control->producer_sleeping.load(std::memory_order_relaxed) != 0 &&
           control->producer_sleeping.exchange(0, std::memory_order_relaxed) != 0;
  }

  /// Announces sleep. True if the caller may sleep now; false if something came meanwhile (then awake).
  bool TrySleep() {
    RingControl* control = ring_.control();
    control->consumer_sleeping.store(1, std::memory_order_relaxed);
    FullFence();
    if (Next() == Look::kEmpty) return true;
    control->consumer_sleeping.store(0, std::memory_order_relaxed);
    return false;
  }

  void Awake() { ring_.control()->consumer_sleeping.store(0, std::memory_order_relaxed); }

  /// Quarters of the ring that are waiting: 0 (under a half), 2 (half), 3 (three quarters), 4 (full).
  /// Looked up in the turns, so that a lying head cannot move it.
  uint32_t Level() const {
    const uint64_t n = ring_.geometry.nslots;
    if (Published(n - 1)) return 4;
    if (Published(n / 4 * 3 - 1)) return 3;
    return Published(n / 2 - 1) ? 2 : 0;
  }

  /// Frames waiting by the producer's hint, clamped. For display only.
  uint64_t Waiting() const {
    const uint64_t head = ring_.control()->head.load(std::memory_order_relaxed);
    return head < position_ ? 0 : std::min<uint64_t>(head - position_, ring_.geometry.nslots);
  }

  /// Low half of the producer's present epoch.
  uint32_t StaticEpoch() const { return uint32_t(ring_.control()->epoch.load(std::memory_order_acquire)); }  // C3, P3

  /// A new epoch begins: nothing of it is durable yet.
  void AdoptEpoch(uint32_t epoch) {
    ring_.control()->durable_seq.store(0, std::memory_order_relaxed);
    ring_.control()->durable_epoch.store(epoch, std::memory_order_release);  // C4, pairs with P4
  }

  void SetDurable(uint64_t sequence) {
    ring_.control()->durable_seq.store(sequence, std::memory_order_release);  // C5, pairs with P5
  }

 private:
  bool Published(uint64_t ahead) const {
    const uint64_t p = position_ + ahead;
    return ring_.slot(p)->turn.load(std::memory_order_relaxed) == p + 1;
  }

  RingView ring_;
  uint64_t position_;
};

}  // namespace qkme
