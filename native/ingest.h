// From ring slots to sealed records: the only code that reads what a device wrote. A device is untrusted:
// every frame is copied once into private memory, checked on the copy, judged (repeat, replay, stuck), sealed,
// and wiped in both places. Knows nothing of Node; records go out through a RecordSink.
#pragma once

#include <array>
#include <memory>

#include "fingerprint.h"
#include "frame_mac.h"
#include "health.h"
#include "record.h"
#include "ring_consumer.h"
#include "seen_frames.h"

namespace qkme {

/// Why a link is quarantined. The numbers are the contract with src/device/native.ts.
enum class Quarantine : uint32_t { kNone, kOtherBytes, kReplay, kThreeBad, kStuck };

/// Why draining stopped for good.
enum class IngestFault : uint32_t { kNone, kBadTurn, kRegionLost, kSealFailed };

enum class IncidentKind : uint32_t {
  kGap = 1,           ///< detail: frames missing
  kRestarted = 2,     ///< detail: previous epoch
  kBadFrame = 3,      ///< detail: FrameFault; the name is what the frame claims
  kOtherBytes = 4,
  kReplay = 5,
  kStuck = 6,         ///< detail: 1 refused (below a cut-off once), 2 quarantined
  kAborted = 7,       ///< the device took the key block back; what is stored of it is void
  kDeviceDropped = 8, ///< flag 16
  kTestData = 9,      ///< detail: the QBER that the frame tells, in units of 1e-6
  kSequenceBack = 10, ///< detail: expected sequence, low half
};

/// One thing that somebody must hear of. Carries names, never key.
struct Incident {
  uint32_t kind, detail, epoch, offset;
  uint64_t sequence;
  uint8_t block_id[16];
};
static_assert(sizeof(Incident) == 40);

enum IngestCounter : uint32_t {
  kAcceptedFrames, kAcceptedBytes, kRepeats, kRefusedFrames, kRefusedBytes, kBadForm, kBadCrc, kBadMac, kBadLink, kBadEpoch,
  kTestFrames, kAbortedFrames, kGaps, kMissingFrames, kSequenceBack, kRestarts, kSuspicious, kStuckFrames, kOtherBytesFrames,
  kReplayFrames, kDeviceDropped, kIncidentsLost, kDiscardedFrames, kIngestCounters,
};

/// Where sealed records go. `header` has kind, name, sequence, fingerprint, QBER set.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  /// Seals into `out` (kRecordStride bytes). False if it cannot; the frame then stays in the ring.
  virtual bool Seal(const RecordHeader& header, const uint8_t* payload, size_t length, uint8_t* out) = 0;
};

struct IngestOptions {
  uint32_t link = 0;
  uint32_t remembered_frames = 1u << 20;
  const uint8_t* fingerprint_key = nullptr;  ///< Fingerprinter::kKeyBytes
  const uint8_t* mac_key = nullptr;          ///< FrameMac::kKeyBytes; null: frames carry no MAC
  uint64_t ns_per_drain = 2'000'000;
  uint8_t* copy = nullptr;                   ///< kCopyBytes of private memory (locked by the caller); null: the object's own
};

/// What one drain did.
struct DrainOutcome {
  uint32_t records = 0, repeats = 0, refused = 0;
  bool more = false;         ///< frames are waiting; else the consumer has announced sleep
  bool wake_producer = false;
  uint32_t ticket = 0;       ///< for Acknowledge
  uint32_t level = 0;        ///< quarters of the ring that were waiting, RingConsumer::Level
};

class Ingest {
 public:
  static constexpr size_t kCopyBytes = kFramePayloadMax + kMacBytes;
  static constexpr uint32_t kFramesPerDrain = 256;
  static constexpr uint32_t kFramesPerDrainCalm = 128;  ///< below half a ring
  static constexpr uint32_t kTicketsMax = 64;
  static constexpr uint32_t kIncidentsMax = 256;
  static constexpr uint32_t kAbortedBlocksMax = 1024;
  static constexpr uint32_t kBadInRowMax = 3;
  /// Two suspicious frames this close together are no chance (2^-18 at most): stuck.
  static constexpr uint32_t kSuspicionFrames = 1024;
  /// Shorter payloads are equal by chance too often to call them a replay.
  static constexpr uint32_t kReplayBytesMin = 8;
  /// Numbers per record in `meta`: record length, payload bytes, flags, QBER.
  static constexpr uint32_t kMetaNumbers = 4;
  /// Headers of the newest frames that are kept for operators.
  static constexpr uint32_t kRecentHeaders = 16;

  /// @throws std::invalid_argument, std::bad_alloc, std::runtime_error (OpenSSL).
  Ingest(const RingView& ring, uint64_t position, const IngestOptions& options);
  ~Ingest();

  /// Takes up to kFramesPerDrain frames, or as many as fit into ns_per_drain (looked at each 16 frames). `out` has room for `room` records of kRecordStride; `meta` for
  /// room * kMetaNumbers. Takes nothing while quarantined, at a fault, or with kTicketsMax batches not acknowledged.
  DrainOutcome Drain(RecordSink& sink, uint32_t key_slot, uint8_t* out, uint32_t* meta, uint32_t room);
  /// Everything up to this ticket is durable. An old or unknown ticket changes nothing.
  void Acknowledge(uint32_t ticket);
  /// A frame that the store already knows (or has finished), oldest first.
  void Remember(const RecordHeader& header);
  /// Ends a quarantine by an operator's decision. Health state starts anew. What waits in the ring is discarded: it came
  /// while nothing was trusted, and may be more of what the quarantine was for. True if the producer must be woken.
  bool Resume();
  /// The mapping went away under us.
  void Fail(IngestFault fault) { if (fault_ == IngestFault::kNone) fault_ = fault; }

  Quarantine quarantine() const { return quarantine_; }
  IngestFault fault() const { return fault_; }
  uint64_t counter(uint32_t i) const { return counters_[i]; }
  uint32_t incidents() const { return incident_count_; }
  /// Moves up to `room` incidents out, oldest first.
  uint32_t TakeIncidents(Incident* to, uint32_t room);
  RingConsumer& ring() { return ring_; }
  uint32_t epoch() const { return epoch_; }
  uint64_t expected_sequence() const { return expected_; }
  /// Up to here everything of this epoch was drained: what the device is told when it is durable.
  uint64_t drained_sequence() const { return drained_sequence_; }
  /// Copies the newest headers, oldest first, without their checksums: those depend on key. Returns how many.
  uint32_t RecentHeaders(FrameHeader* to, uint32_t room) const;
  const FrameHeader& last_header() const { return last_header_; }

 private:
  enum class Fate { kStored, kRepeat, kRefused, kStop };

  Fate TakeFrame(RecordSink& sink, uint32_t key_slot, uint8_t* out, uint32_t* meta);
  FrameFault CopyAndCheck(FrameHeader* header);
  Fate RefuseBad(const FrameHeader& header, FrameFault fault);
  void DiscardWaiting();
  void KeepHeader(const FrameHeader& header);
  Fate Refuse(const FrameHeader& header, IngestCounter counter, IncidentKind kind, uint32_t detail);
  Fate Judge(const FrameHeader& header, RecordSink& sink, uint32_t key_slot, uint8_t* out, uint32_t* meta);
  Fate SealFrame(const FrameHeader& header, uint64_t fingerprint, RecordSink& sink, uint32_t key_slot, uint8_t* out,
                 uint32_t* meta);
  bool Healthy(const FrameHeader& header);
  void FollowEpoch(const FrameHeader& header);
  void FollowSequence(const FrameHeader& header);
  bool WasAborted(const uint8_t* block_id) const;
  void Report(IncidentKind kind, const FrameHeader& header, uint32_t detail);
  void Stop(Quarantine why) { if (quarantine_ == Quarantine::kNone) quarantine_ = why; }
  void IssueTicket(DrainOutcome* outcome);

  RingConsumer ring_;
  const uint32_t link_;
  const uint64_t ns_per_drain_;
  Fingerprinter fingerprinter_;
  SeenFrames seen_;
  HealthTests health_;
  std::unique_ptr<FrameMac> mac_;
  std::unique_ptr<uint8_t[]> own_copy_;
  uint8_t* copy_;
  FrameHeader last_header_{};
  std::array<FrameHeader, kRecentHeaders> recent_{};
  uint64_t recent_count_ = 0;

  bool epoch_known_ = false;
  uint32_t epoch_ = 0;
  uint64_t expected_ = 1;
  bool going_back_ = false;  // told once per stretch
  uint32_t bad_in_row_ = 0;
  uint64_t suspicious_until_ = 0, frames_judged_ = 0;
  Quarantine quarantine_ = Quarantine::kNone;
  IngestFault fault_ = IngestFault::kNone;
  std::array<uint64_t, kIngestCounters> counters_{};

  struct Ticket { uint32_t number, epoch; uint64_t sequence; };
  std::array<Ticket, kTicketsMax> tickets_{};
  uint32_t ticket_first_ = 0, ticket_count_ = 0, ticket_next_ = 1;
  uint64_t drained_sequence_ = 0;

  std::array<Incident, kIncidentsMax> incidents_{};
  uint32_t incident_first_ = 0, incident_count_ = 0;
  std::array<std::array<uint8_t, 16>, kAbortedBlocksMax> aborted_{};
  uint64_t aborted_count_ = 0;
};

}  // namespace qkme
