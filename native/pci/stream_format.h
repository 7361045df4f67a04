// What goes over a character device that streams (in the manner of Xilinx XDMA): records of a multiple of 64 bytes,
// little endian, one after the other in each direction. docs/device-pci.md, "Character devices".
//
//   device to KME   frame: header 64 (native/frame.h), payload, MAC if any, zeros up to a multiple of 64
//                   state: StateRecord, at least each second, and at the end of each burst
//   KME to device   report: ReportRecord, twice a second and when something became durable
#pragma once

#include <cstddef>
#include <cstdint>

#include "crc32c.h"
#include "frame.h"

namespace qkme::pci {

inline constexpr size_t kRecordAlign = 64;
inline constexpr uint32_t kStateMagic = 0x53444B51;   // "QKDS"
inline constexpr uint32_t kReportMagic = 0x41444B51;  // "QKDA"

/// The producer's line of a ring, as a record.
struct StateRecord {
  uint32_t magic;
  uint8_t version, record_bytes;  ///< 1, 64
  uint16_t state;                 ///< SideState: 1 runs, 2 drained (nothing more for now), 3 fault
  uint32_t link;
  uint32_t epoch;                 ///< low half, of the frames that follow
  uint32_t witness_epoch, zero0;
  uint64_t witness_sequence;
  uint64_t drops;                 ///< frames dropped by the device, ever
  uint8_t zero1[20];
  uint32_t crc;                   ///< CRC32C of bytes 0 to 59
};
static_assert(sizeof(StateRecord) == 64 && offsetof(StateRecord, witness_sequence) == 24 && offsetof(StateRecord, crc) == 60);

/// The consumer's line of a ring, as a record.
struct ReportRecord {
  uint32_t magic;
  uint8_t version, record_bytes;  ///< 1, 64
  uint16_t state;                 ///< SideState of the KME
  uint32_t link;
  uint32_t durable_epoch;
  uint64_t durable_sequence;
  uint64_t beat;                  ///< counts up, one per report
  uint32_t waiting, zero0;        ///< frames in the KME's ring
  uint8_t zero1[20];
  uint32_t crc;
};
static_assert(sizeof(ReportRecord) == 64 && offsetof(ReportRecord, durable_sequence) == 16 && offsetof(ReportRecord, crc) == 60);

/// Sum of a state or report record.
template <class Record>
uint32_t RecordCrc(const Record& record) { return Crc32c(&record, offsetof(Record, crc)); }

/// Bytes that a frame takes in the stream.
inline size_t StreamedBytes(const FrameHeader& header) {
  const size_t bytes = sizeof(FrameHeader) + header.payload_bytes + (header.flags & kFrameMac ? kMacBytes : 0);
  return (bytes + kRecordAlign - 1) / kRecordAlign * kRecordAlign;
}

}  // namespace qkme::pci
