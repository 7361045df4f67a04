// The writing side of a ring: what a device does. Never waits, never overwrites an unread slot.
#pragma once

#include "frame.h"
#include "frame_mac.h"
#include "ring_scan.h"

namespace qkme {

class RingProducer {
 public:
  /// Takes up an attached ring at `position` with a new `epoch`; sequence numbers begin at 1.
  RingProducer(const RingView& ring, uint64_t position, uint64_t epoch) : ring_(ring), position_(position), epoch_(epoch) {
    // P3, pairs with C3: the consumer meets no frame of an epoch that it cannot see in the header.
    ring_.control()->epoch.store(epoch, std::memory_order_release);
  }

  uint64_t position() const { return position_; }
  uint64_t epoch() const { return epoch_; }
  uint64_t next_sequence() const { return sequence_; }
  const RingView& ring() const { return ring_; }

  bool Full() const {
    return ring_.slot(position_)->turn.load(std::memory_order_acquire) != position_;  // P2, pairs with C2
  }

  /// The slot to fill, or null if the ring is full. Nobody else looks at it until Publish.
  Slot* Claim() const { return Full() ? nullptr : ring_.slot(position_); }

  /// Completes header and checksum of a claimed slot whose payload is already in place, and publishes it.
  /// Of `header` the caller sets flags, link, QBER, block id, time, length and offset. The last two arguments
  /// make bad frames for tests: a change of the checksum, and a place behind which the payload is lost (torn).
  void Complete(FrameHeader header, FrameMac* mac, uint32_t crc_flaw = 0, uint32_t torn_at = 0) {
    Slot* slot = ring_.slot(position_);
    header.magic = kFrameMagic;
    header.version = kFrameVersion;
    header.header_bytes = sizeof(FrameHeader);
    header.flags = uint16_t(mac ? header.flags | kFrameMac : header.flags & ~kFrameMac);
    header.sequence = sequence_;
    header.epoch = uint32_t(epoch_);
    header.crc = FrameCrc(header, slot->payload) ^ crc_flaw;
    std::memcpy(slot->header, &header, sizeof header);
    if (mac) mac->Compute(header, slot->payload, slot->payload + header.payload_bytes);
    if (torn_at > 0) std::memset(slot->payload + torn_at, 0, header.payload_bytes - torn_at);
    Publish();
  }

  /// Makes the slot visible as it is. Split from Complete so that tests can publish nonsense.
  void Publish() {
    ring_.slot(position_)->turn.store(position_ + 1, std::memory_order_release);  // P1, pairs with C1
    position_ += 1;
    sequence_ += 1;
  }

  /// Leaves out `count` sequence numbers (frames that were lost before the ring).
  void SkipSequence(uint64_t count) { sequence_ += count; }
  /// Goes back by `count` numbers, as a device does that sends a frame again.
  void RepeatSequence(uint64_t count) { sequence_ = sequence_ > count ? sequence_ - count : 1; }

  /// After a batch: the hint, and the doorbell. True if the consumer must be woken (write to its eventfd).
  bool FinishBatch() {
    RingControl* control = ring_.control();
    control->head.store(position_, std::memory_order_relaxed);
    FullFence();
    return control->consumer_sleeping.load(std::memory_order_relaxed) != 0 &&
           control->consumer_sleeping.exchange(0, std::memory_order_relaxed) != 0;
  }

  /// Announces sleep until a slot is free. True if the caller may sleep now.
  bool TrySleep() {
    RingControl* control = ring_.control();
    control->producer_sleeping.store(1, std::memory_order_relaxed);
    FullFence();
    if (Full()) return true;
    control->producer_sleeping.store(0, std::memory_order_relaxed);
    return false;
  }

  void Awake() { ring_.control()->producer_sleeping.store(0, std::memory_order_relaxed); }

  /// Highest sequence of this epoch that is safe at the KME; everything above it is resent after a crash.
  uint64_t Durable() const {
    const RingControl* control = ring_.control();
    if (control->durable_epoch.load(std::memory_order_acquire) != uint32_t(epoch_)) return 0;  // P4, pairs with C4
    return control->durable_seq.load(std::memory_order_acquire);                               // P5, pairs with C5
  }

  void Beat(SideState state, uint32_t pid) {
    RingControl* control = ring_.control();
    control->producer_pid.store(pid, std::memory_order_relaxed);
    control->producer_state.store(uint32_t(state), std::memory_order_relaxed);
    control->producer_beat_ns.store(MonotonicNs(), std::memory_order_relaxed);
  }

  /// What the device knows to be durable at this KME, kept over regions: the witness of a rolled-back store.
  void SetWitness(uint32_t epoch, uint64_t sequence) {
    ring_.control()->witness_seq.store(sequence, std::memory_order_relaxed);
    ring_.control()->witness_epoch.store(epoch, std::memory_order_relaxed);
  }

  void CountDrops(uint64_t count) { ring_.control()->drops.fetch_add(count, std::memory_order_relaxed); }

 private:
  RingView ring_;
  uint64_t position_;
  uint64_t epoch_;
  uint64_t sequence_ = 1;
};

}  // namespace qkme
