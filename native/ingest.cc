#include "ingest.h"

#include <string.h>

#include <stdexcept>

namespace qkme {
namespace {

const uint8_t* Given(const uint8_t* key) {
  if (key == nullptr) throw std::invalid_argument("a fingerprint key is needed");
  return key;
}

IngestCounter CounterOf(FrameFault fault) {
  switch (fault) {
    case FrameFault::kCrc: return kBadCrc;
    case FrameFault::kMac: return kBadMac;
    case FrameFault::kLink: return kBadLink;
    case FrameFault::kEpoch: return kBadEpoch;
    default: return kBadForm;
  }
}

}  // namespace

Ingest::Ingest(const RingView& ring, uint64_t position, const IngestOptions& options)
    : ring_(ring, position), link_(options.link), ns_per_drain_(options.ns_per_drain), fingerprinter_(Given(options.fingerprint_key)),
      seen_(options.remembered_frames),
      mac_(options.mac_key ? std::make_unique<FrameMac>(options.mac_key) : nullptr),
      own_copy_(options.copy ? nullptr : new uint8_t[kCopyBytes]), copy_(options.copy ? options.copy : own_copy_.get()) {}

Ingest::~Ingest() { explicit_bzero(copy_, kCopyBytes); }

DrainOutcome Ingest::Drain(RecordSink& sink, uint32_t key_slot, uint8_t* out, uint32_t* meta, uint32_t room) {
  DrainOutcome outcome;
  if (quarantine_ != Quarantine::kNone || fault_ != IngestFault::kNone || ticket_count_ == kTicketsMax) return outcome;
  outcome.level = ring_.Level();
  const uint32_t limit = outcome.level >= 2 ? kFramesPerDrain : kFramesPerDrainCalm;
  const uint64_t waiting = ring_.Waiting();
  std::atomic<uint64_t>& high_water = ring_.ring().control()->high_water;
  if (waiting > high_water.load(std::memory_order_relaxed)) high_water.store(waiting, std::memory_order_relaxed);
  const uint64_t until = MonotonicNs() + ns_per_drain_;
  bool stopped = false;
  for (uint32_t taken = 0; taken < limit && outcome.records < room; ++taken) {
    if (taken % 16 == 15 && MonotonicNs() >= until) break;
    const RingConsumer::Look look = ring_.Next();
    if (look == RingConsumer::Look::kEmpty) break;
    stopped = true;
    if (look == RingConsumer::Look::kCorrupt) { Fail(IngestFault::kBadTurn); break; }
    const Fate fate = TakeFrame(sink, key_slot, out + outcome.records * kRecordStride, meta + outcome.records * kMetaNumbers);
    if (fate == Fate::kStop) break;
    ring_.Release();
    outcome.records += fate == Fate::kStored;
    outcome.repeats += fate == Fate::kRepeat;
    outcome.refused += fate == Fate::kRefused;
    if (quarantine_ != Quarantine::kNone) break;
    stopped = false;
  }
  explicit_bzero(copy_, kCopyBytes);
  outcome.wake_producer = ring_.FinishBatch();
  outcome.more = !stopped && !ring_.TrySleep();
  IssueTicket(&outcome);
  return outcome;
}

void Ingest::IssueTicket(DrainOutcome* outcome) {
  outcome->ticket = ticket_next_ - 1;
  if (outcome->records + outcome->repeats + outcome->refused == 0) return;
  outcome->ticket = ticket_next_;
  tickets_[(ticket_first_ + ticket_count_++) % kTicketsMax] = {ticket_next_++, epoch_, drained_sequence_};
}

void Ingest::Acknowledge(uint32_t ticket) {
  while (ticket_count_ > 0 && !SerialAfter(tickets_[ticket_first_].number, ticket)) {
    const Ticket done = tickets_[ticket_first_];
    ticket_first_ = (ticket_first_ + 1) % kTicketsMax;
    ticket_count_ -= 1;
    // A ticket of an epoch that is over says nothing about the present one.
    if (epoch_known_ && done.epoch == epoch_) ring_.SetDurable(done.sequence);
  }
}

void Ingest::Remember(const RecordHeader& header) {
  if (header.link != link_) return;
  seen_.Add(fingerprinter_.Name(header.link, header.device_block, header.offset), header.fingerprint,
            header.payload_bytes >= kReplayBytesMin);
}

bool Ingest::Resume() {
  const bool held = quarantine_ != Quarantine::kNone;
  quarantine_ = Quarantine::kNone;
  bad_in_row_ = 0;
  suspicious_until_ = 0;
  health_.Reset();
  // Without a quarantine of our own (an error rate, an operator) the ring was drained all the time: nothing old waits.
  if (!held || fault_ != IngestFault::kNone) return false;
  DiscardWaiting();
  return ring_.FinishBatch();
}

// At most one ring full, so that a device that goes on writing cannot keep us here. Numbers are followed, so that what was
// discarded is no gap; the device is told with the next ticket that it need not send it again.
void Ingest::DiscardWaiting() {
  for (uint32_t i = 0; i < ring_.ring().geometry.nslots && ring_.Next() == RingConsumer::Look::kReady; ++i) {
    FrameHeader header;
    if (CopyAndCheck(&header) == FrameFault::kNone) {
      FollowEpoch(header);
      if (header.sequence >= expected_) {
        drained_sequence_ = header.sequence;
        expected_ = header.sequence + 1;
      }
    }
    counters_[kDiscardedFrames] += 1;
    ring_.Release();
  }
  explicit_bzero(copy_, kCopyBytes);
}

void Ingest::KeepHeader(const FrameHeader& header) {
  FrameHeader& kept = recent_[recent_count_++ % kRecentHeaders];
  kept = header;
  kept.crc = 0;
}

uint32_t Ingest::RecentHeaders(FrameHeader* to, uint32_t room) const {
  const uint32_t count = uint32_t(std::min<uint64_t>({recent_count_, kRecentHeaders, room}));
  for (uint32_t i = 0; i < count; ++i) to[i] = recent_[(recent_count_ - count + i) % kRecentHeaders];
  return count;
}

// The header is read once, onto the stack; the payload once, into private memory. Everything after that
// looks at the copies only.
FrameFault Ingest::CopyAndCheck(FrameHeader* header) {
  const Slot* slot = ring_.slot();
  CopyOnce(header, slot->header, sizeof *header);
  const FrameFault form = CheckForm(*header, ring_.ring().geometry.Capacity());
  if (form != FrameFault::kNone) return form;
  const bool has_mac = header->flags & kFrameMac;
  ring_.Expect(0);
  CopyOnce(copy_, slot->payload, header->payload_bytes + (has_mac ? kMacBytes : 0));
  if (FrameCrc(*header, copy_) != header->crc) return FrameFault::kCrc;
  // A link with a key takes only frames with a MAC, and one without cannot judge them.
  if (has_mac != (mac_ != nullptr)) return FrameFault::kMac;
  if (mac_ && !mac_->Verify(*header, copy_, copy_ + header->payload_bytes)) return FrameFault::kMac;
  if (header->link != link_) return FrameFault::kLink;
  // Frames of epochs up to the one in the ring's header are good, oldest first: a producer that came back
  // twice while nobody read has left frames of each.
  const uint32_t now = ring_.StaticEpoch();
  if (SerialAfter(header->epoch, now) || (epoch_known_ && SerialAfter(epoch_, header->epoch))) return FrameFault::kEpoch;
  return FrameFault::kNone;
}

Ingest::Fate Ingest::TakeFrame(RecordSink& sink, uint32_t key_slot, uint8_t* out, uint32_t* meta) {
  FrameHeader header;
  const FrameFault fault = CopyAndCheck(&header);
  if (header.header_bytes == sizeof header) KeepHeader(header);
  if (fault != FrameFault::kNone) return RefuseBad(header, fault);
  return Judge(header, sink, key_slot, out, meta);
}

Ingest::Fate Ingest::RefuseBad(const FrameHeader& header, FrameFault fault) {
  counters_[CounterOf(fault)] += 1;
  counters_[kRefusedFrames] += 1;
  ring_.ring().control()->bad_crc.fetch_add(1, std::memory_order_relaxed);
  Report(IncidentKind::kBadFrame, header, uint32_t(fault));
  if (++bad_in_row_ >= kBadInRowMax) Stop(Quarantine::kThreeBad);
  return Fate::kRefused;
}

Ingest::Fate Ingest::Refuse(const FrameHeader& header, IngestCounter counter, IncidentKind kind, uint32_t detail) {
  counters_[counter] += 1;
  counters_[kRefusedFrames] += 1;
  counters_[kRefusedBytes] += header.payload_bytes;
  Report(kind, header, detail);
  return Fate::kRefused;
}

Ingest::Fate Ingest::Judge(const FrameHeader& header, RecordSink& sink, uint32_t key_slot, uint8_t* out, uint32_t* meta) {
  const uint64_t name = fingerprinter_.Name(header.link, header.block_id, header.offset);
  seen_.Expect(name);
  ring_.Expect(1);
  const uint64_t fingerprint = fingerprinter_.Payload(copy_, header.payload_bytes);
  ring_.Expect(2);
  const bool by_payload = header.payload_bytes >= kReplayBytesMin;
  const bool test = header.flags & kFrameTest, aborted = header.flags & kFrameAborted;
  const SeenFrames::Verdict verdict = test || aborted ? SeenFrames::Verdict::kNew : seen_.Judge(name, fingerprint, by_payload);
  if (verdict == SeenFrames::Verdict::kNew && !test && !aborted && !WasAborted(header.block_id)) {
    const Fate fate = SealFrame(header, fingerprint, sink, key_slot, out, meta);
    if (fate == Fate::kStop) return fate;  // the frame stays in the ring, and nothing was noted of it
    if (fate == Fate::kStored) seen_.Add(name, fingerprint, by_payload);
    return fate;
  }
  FollowEpoch(header);
  FollowSequence(header);
  if (test) return Refuse(header, kTestFrames, IncidentKind::kTestData, header.qber_ppm);
  if (aborted && !WasAborted(header.block_id)) std::memcpy(aborted_[aborted_count_++ % kAbortedBlocksMax].data(), header.block_id, 16);
  if (aborted || WasAborted(header.block_id)) return Refuse(header, kAbortedFrames, IncidentKind::kAborted, 0);
  if (verdict == SeenFrames::Verdict::kOtherBytes) {
    Stop(Quarantine::kOtherBytes);
    return Refuse(header, kOtherBytesFrames, IncidentKind::kOtherBytes, 0);
  }
  if (verdict == SeenFrames::Verdict::kReplay) {
    Stop(Quarantine::kReplay);
    return Refuse(header, kReplayFrames, IncidentKind::kReplay, 0);
  }
  counters_[kRepeats] += 1;
  return Fate::kRepeat;
}

Ingest::Fate Ingest::SealFrame(const FrameHeader& header, uint64_t fingerprint, RecordSink& sink, uint32_t key_slot,
                               uint8_t* out, uint32_t* meta) {
  RecordHeader record{};
  record.version = kRecordVersion;
  record.kind = uint8_t(RecordKind::kDevice);
  record.flags = header.flags;
  record.link = header.link;
  std::memcpy(record.device_block, header.block_id, sizeof record.device_block);
  record.offset = header.offset;
  record.payload_bytes = header.payload_bytes;
  record.key_slot = key_slot;
  record.sequence = header.sequence;
  record.fingerprint = fingerprint;
  record.qber_ppm = header.qber_ppm;
  record.device_epoch = header.epoch;
  if (!Healthy(header)) {
    FollowEpoch(header);
    FollowSequence(header);
    const bool quarantined = quarantine_ != Quarantine::kNone;
    return Refuse(header, quarantined ? kStuckFrames : kSuspicious, IncidentKind::kStuck, quarantined ? 2 : 1);
  }
  if (!sink.Seal(record, copy_, header.payload_bytes, out)) {
    Fail(IngestFault::kSealFailed);
    return Fate::kStop;
  }
  FollowEpoch(header);
  FollowSequence(header);
  meta[0] = uint32_t(SealedBytes(header.payload_bytes));
  meta[1] = header.payload_bytes;
  meta[2] = header.flags;
  meta[3] = header.qber_ppm;
  counters_[kAcceptedFrames] += 1;
  counters_[kAcceptedBytes] += header.payload_bytes;
  return Fate::kStored;
}

// A good device crosses a cut-off of 2^-40 about once a day at a record rate. So one such frame is refused and told,
// and only what chance does not do stops the link.
bool Ingest::Healthy(const FrameHeader& header) {
  frames_judged_ += 1;
  ring_.Expect(3);
  const HealthTests::Verdict verdict = health_.Add(copy_, header.payload_bytes);
  if (verdict == HealthTests::Verdict::kGood) return true;
  if (verdict == HealthTests::Verdict::kStuck || frames_judged_ <= suspicious_until_) Stop(Quarantine::kStuck);
  suspicious_until_ = frames_judged_ + kSuspicionFrames;
  return false;
}

void Ingest::FollowEpoch(const FrameHeader& header) {
  bad_in_row_ = 0;
  last_header_ = header;
  if (epoch_known_ && epoch_ == header.epoch) return;
  const RingControl* control = ring_.ring().control();
  if (!epoch_known_ && control->durable_epoch.load(std::memory_order_relaxed) == header.epoch) {
    // This process came back in the middle of an epoch: what was not durable is missing, or will be resent.
    drained_sequence_ = control->durable_seq.load(std::memory_order_relaxed);
  } else {
    drained_sequence_ = 0;
    ring_.AdoptEpoch(header.epoch);
  }
  expected_ = drained_sequence_ + 1;
  if (epoch_known_) {
    counters_[kRestarts] += 1;
    ring_.ring().control()->resync.fetch_add(1, std::memory_order_relaxed);
    Report(IncidentKind::kRestarted, header, epoch_);
  }
  epoch_ = header.epoch;
  epoch_known_ = true;
}

void Ingest::FollowSequence(const FrameHeader& header) {
  if (header.flags & kFrameGap) {
    counters_[kDeviceDropped] += 1;
    Report(IncidentKind::kDeviceDropped, header, 0);
  }
  if (header.sequence < expected_) {
    counters_[kSequenceBack] += 1;
    if (!going_back_) Report(IncidentKind::kSequenceBack, header, uint32_t(expected_));
    going_back_ = true;
    return;
  }
  going_back_ = false;
  if (const uint64_t missing = header.sequence - expected_; missing > 0) {
    counters_[kGaps] += 1;
    counters_[kMissingFrames] += missing;
    ring_.ring().control()->resync.fetch_add(1, std::memory_order_relaxed);
    Report(IncidentKind::kGap, header, uint32_t(std::min<uint64_t>(missing, UINT32_MAX)));
  }
  drained_sequence_ = header.sequence;
  expected_ = header.sequence + 1;
}

bool Ingest::WasAborted(const uint8_t* block_id) const {
  const uint64_t known = std::min<uint64_t>(aborted_count_, kAbortedBlocksMax);
  for (uint64_t i = 0; i < known; ++i) {
    if (std::memcmp(aborted_[i].data(), block_id, 16) == 0) return true;
  }
  return false;
}

void Ingest::Report(IncidentKind kind, const FrameHeader& header, uint32_t detail) {
  if (incident_count_ == kIncidentsMax) {
    counters_[kIncidentsLost] += 1;
    return;
  }
  Incident& to = incidents_[(incident_first_ + incident_count_++) % kIncidentsMax];
  to = {uint32_t(kind), detail, header.epoch, header.offset, header.sequence, {}};
  std::memcpy(to.block_id, header.block_id, sizeof to.block_id);
}

uint32_t Ingest::TakeIncidents(Incident* to, uint32_t room) {
  uint32_t taken = 0;
  for (; taken < room && incident_count_ > 0; ++taken) {
    to[taken] = incidents_[incident_first_];
    incident_first_ = (incident_first_ + 1) % kIncidentsMax;
    incident_count_ -= 1;
  }
  return taken;
}

}  // namespace qkme
