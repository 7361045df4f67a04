// The byte stream of a character device, in pieces of any size; and the static line of a ring in foreign memory.
#include <algorithm>

#include "fuzz/fuzz.h"
#include "pci/stream_parser.h"
#include "test/ring_fixture.h"

using namespace qkme;
using namespace qkme::fuzz;
using namespace qkme::pci;
using qkme::test::FillPayload;
using qkme::test::HeaderFor;
using qkme::test::kLink;

namespace {

constexpr size_t kBufferBytes = 16 * 1024;

void Check(const StreamItem& item, const Bytes& buffer, size_t* seen) {
  if (item.kind == StreamItem::Kind::kDamage) {
    Must(item.lost_bytes > 0, "damage has a length");
    *seen += item.lost_bytes;
    return;
  }
  if (item.kind == StreamItem::Kind::kState) {
    Must(item.state.link == kLink && item.state.crc == RecordCrc(item.state), "a state has its sum");
    *seen += sizeof item.state;
    return;
  }
  Must(item.payload >= buffer.data() && item.payload + item.payload_bytes <= buffer.data() + buffer.size(), "a payload lies in the buffer");
  Must(item.header.payload_bytes >= 1 && item.header.payload_bytes <= kFramePayloadMax, "a payload has its length");
  Must(item.sound == (FrameCrc(item.header, item.payload) == item.header.crc), "sound says whether the sum is right");
  *seen += StreamedBytes(item.header);
}

void Stream(Input& input) {
  Bytes buffer(kBufferBytes);
  StreamParser parser(kLink, buffer.data(), buffer.size());
  StreamItem item;
  size_t seen = 0, given = 0;
  while (!input.empty()) {
    const size_t piece = std::min<size_t>(1 + input.U8() * 8u, parser.room_bytes());
    Must(piece > 0, "there is always room after Compact");
    const size_t length = input.Take(parser.room(), piece);
    parser.Filled(length);
    given += length;
    while (parser.Next(&item)) Check(item, buffer, &seen);
    parser.Compact();
    Must(seen <= given, "nothing comes out that did not go in");
  }
}

void Header(Input& input) {
  alignas(64) uint8_t page[4096] = {};
  const uint64_t region_bytes = sizeof page + input.U32() % (1u << 28);
  input.Take(page, sizeof page);
  // Half of the inputs get the magic number and the sum right, so that the sizes behind them are looked at.
  if (input.U8() & 1) {
    std::memcpy(page, &kRingMagic, sizeof kRingMagic);
    uint8_t covered[44];
    std::memcpy(covered, page, sizeof covered);
    std::memset(covered + offsetof(RingControl, epoch), 0, 8);
    const uint32_t crc = Crc32c(covered, sizeof covered);
    std::memcpy(page + offsetof(RingControl, crc), &crc, sizeof crc);
  }
  RingGeometry geometry;
  if (ReadRingHeader(page, region_bytes, &geometry) != nullptr) return;
  Must(GeometryFault(geometry, region_bytes) == nullptr && geometry.RegionBytes() <= region_bytes, "a geometry that is taken fits");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  if (input.U8() & 1) Header(input);
  else Stream(input);
  return 0;
}

std::vector<Bytes> qkme::fuzz::Seeds() {
  Bytes stream = {0};
  for (uint64_t n = 0; n < 3; ++n) {
    FrameHeader header = HeaderFor(n, 0, uint32_t(1 + 90 * n));
    header.magic = kFrameMagic;
    header.version = kFrameVersion;
    header.header_bytes = sizeof header;
    header.sequence = n + 1;
    header.epoch = 1;
    Bytes record(StreamedBytes(header));
    FillPayload(n, record.data() + sizeof header, header.payload_bytes);
    header.crc = FrameCrc(header, record.data() + sizeof header);
    std::memcpy(record.data(), &header, sizeof header);
    // The pieces' sizes stand between them: so a record is a piece of its own.
    stream.push_back(uint8_t((record.size() - 1) / 8 + 1));
    stream.insert(stream.end(), record.begin(), record.end());
  }
  StateRecord state{};
  state.magic = kStateMagic;
  state.version = 1;
  state.record_bytes = sizeof state;
  state.link = kLink;
  state.crc = RecordCrc(state);
  Bytes states = {0, 8};
  const auto* const bytes = reinterpret_cast<const uint8_t*>(&state);
  for (int i = 0; i < 4; ++i) states.insert(states.end(), bytes, bytes + sizeof state);
  qkme::test::Memory memory(16);
  Bytes header = {1, 0, 0, 2, 0};
  header.insert(header.end(), memory.base, memory.base + 4096);
  header.push_back(1);
  return {stream, states, header};
}
