// Sealing and opening of records (native/record.h). The ring calls SealRecord for each frame, so that a
// payload goes from the ring to ciphertext without JavaScript.
#pragma once

#include <cstddef>
#include <cstdint>

#include "record.h"
#include "vault/gcm.h"

namespace qkme::vault {

class RecentFrames;

/// A seal key with an IV counter that starts at 0. Exists once per (key, start): the counter is the
/// only thing between us and a repeated IV, so sealers are never copied.
class Sealer {
 public:
  /// `key` is kKeyBytes; it is not kept (OpenSSL keeps its schedule). `recent`: of the vault that owns the sealer, and outlives it.
  Sealer(const uint8_t* key, uint32_t start, RecentFrames* recent = nullptr) : gcm_(key), start_(start), recent_(recent) {}
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  /// Writes SealedBytes(length) bytes. The header goes out with version, start and payload length set.
  /// False if the length is not 1 to kFrameBytesMax, or OpenSSL fails. `out` may not overlap `payload`.
  bool Seal(const RecordHeader& header, const uint8_t* payload, size_t length, uint8_t* out);
  RecentFrames* recent() const { return recent_; }

 private:
  GcmEncryptor gcm_;
  uint32_t start_;
  uint64_t counter_ = 0;
  RecentFrames* recent_;
};

/// Opens `record` into `out` (at least `payload length` bytes). Returns the payload's length, or 0 if
/// the record has a wrong form or does not authenticate; `out` is then wiped.
size_t OpenRecord(GcmDecryptor& gcm, const uint8_t* record, size_t record_length, uint8_t* out);

/// Checks form only (version, lengths). Returns the payload's length or 0.
size_t RecordPayloadBytes(const uint8_t* record, size_t record_length);

// Sealer handles are one table per process, so that a ring needs no vault. JavaScript thread only.

/// @throws VaultError ARENA_FULL, INTERNAL.
uint32_t AddSealer(const uint8_t* key, uint32_t start, RecentFrames* recent = nullptr);
/// False if the handle is not live.
bool DropSealer(uint32_t sealer_handle);
bool SealerExists(uint32_t sealer_handle);
/// Where the plaintext of what it sealed may stay for a moment; nullptr if nowhere, or if the handle is not live.
RecentFrames* RecentOf(uint32_t sealer_handle);

/// Seals one payload under a live sealer. See Sealer::Seal. False also if the handle is not live.
bool SealRecord(uint32_t sealer_handle, const RecordHeader& header, const uint8_t* payload, size_t length,
                uint8_t* out);

}  // namespace qkme::vault
