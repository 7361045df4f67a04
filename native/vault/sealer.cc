#include "vault/sealer.h"

#include <openssl/crypto.h>

#include <cstring>
#include <memory>

#include "vault/handles.h"

namespace qkme::vault {
namespace {

constexpr uint32_t kSealersMax = 4096;

HandleTable<Sealer, HandleKind::kSealer>& Sealers() {
  static HandleTable<Sealer, HandleKind::kSealer> table(kSealersMax);
  return table;
}

}  // namespace

bool Sealer::Seal(const RecordHeader& header, const uint8_t* payload, size_t length, uint8_t* out) {
  // 2^64 records would take 10^11 years here, but a wrapped counter would repeat an IV.
  if (length == 0 || length > kFrameBytesMax || counter_ == UINT64_MAX) return false;
  RecordHeader stored = header;
  stored.version = kRecordVersion;
  stored.start = start_;
  stored.payload_bytes = static_cast<uint32_t>(length);
  std::memcpy(out, &stored, kRecordHeaderBytes);
  uint8_t* const iv = out + kRecordHeaderBytes;
  std::memcpy(iv, &start_, sizeof start_);
  std::memcpy(iv + sizeof start_, &counter_, sizeof counter_);
  ++counter_;  // Before the cipher runs: an IV is spent even if sealing fails half-way.
  uint8_t* const body = iv + kRecordIvBytes;
  return gcm_.Seal(iv, out, kRecordHeaderBytes, payload, length, body, body + length);
}

size_t RecordPayloadBytes(const uint8_t* record, size_t record_length) {
  if (record_length <= SealedBytes(0) || record_length > SealedBytes(kFrameBytesMax)) return 0;
  RecordHeader header;
  std::memcpy(&header, record, sizeof header);
  if (header.version != kRecordVersion || SealedBytes(header.payload_bytes) != record_length) return 0;
  return header.payload_bytes;
}

size_t OpenRecord(GcmDecryptor& gcm, const uint8_t* record, size_t record_length, uint8_t* out) {
  const size_t length = RecordPayloadBytes(record, record_length);
  if (length == 0) return 0;
  const uint8_t* const iv = record + kRecordHeaderBytes;
  const uint8_t* const body = iv + kRecordIvBytes;
  return gcm.Open(iv, record, kRecordHeaderBytes, body, length, body + length, out) ? length : 0;
}

uint32_t AddSealer(const uint8_t* key, uint32_t start, RecentFrames* recent) {
  return Sealers().Add(std::make_unique<Sealer>(key, start, recent));
}

bool DropSealer(uint32_t sealer_handle) { return Sealers().Remove(sealer_handle) != nullptr; }

bool SealerExists(uint32_t sealer_handle) { return Sealers().Find(sealer_handle) != nullptr; }

RecentFrames* RecentOf(uint32_t sealer_handle) {
  Sealer* const sealer = Sealers().Find(sealer_handle);
  return sealer == nullptr ? nullptr : sealer->recent();
}

bool SealRecord(uint32_t sealer_handle, const RecordHeader& header, const uint8_t* payload, size_t length,
                uint8_t* out) {
  Sealer* const sealer = Sealers().Find(sealer_handle);
  return sealer != nullptr && sealer->Seal(header, payload, length, out);
}

}  // namespace qkme::vault
