// The stream that a hybrid exchange lays over a frame of key (src/hybrid).
#pragma once

#include <cstddef>
#include <cstdint>

#include "record.h"

namespace qkme::vault {

/// Xors the stream of (exchange, frame) onto `bytes`. The stream is AES-256-CTR from counter zero under
/// HKDF-SHA-256(exchange key; salt = link || device block || offset of the frame's name as in its header, 24 bytes;
/// info = "qkme hybrid stream 1"), so that no two frames of an exchange share one. At most kFrameBytesMax bytes.
/// `exchange_key` has kKeyBytes bytes. @throws VaultError INTERNAL; `bytes` are then of no use.
void XorHybridStream(const uint8_t* exchange_key, const RecordHeader& name, uint8_t* bytes, size_t length);

}  // namespace qkme::vault
