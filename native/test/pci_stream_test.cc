// Character devices that stream: cutting the stream into records, the reading thread, its end.
#include "pci/stream.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "pci/stream_parser.h"
#include "ring_fixture.h"

using namespace qkme;
using namespace qkme::pci;
using namespace qkme::test;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes Frame(uint64_t sequence, uint32_t epoch, uint64_t seed, uint32_t length = kFramePayloadMax) {
  FrameHeader header = HeaderFor(seed, 0, length);
  header.magic = kFrameMagic;
  header.version = kFrameVersion;
  header.header_bytes = sizeof header;
  header.sequence = sequence;
  header.epoch = epoch;
  Bytes bytes(StreamedBytes(header));
  FillPayload(seed, bytes.data() + sizeof header, length);
  header.crc = FrameCrc(header, bytes.data() + sizeof header);
  memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Bytes State(SideState state, uint32_t link = kLink) {
  StateRecord record = {};
  record.magic = kStateMagic;
  record.version = 1;
  record.record_bytes = sizeof record;
  record.state = uint16_t(state);
  record.link = link;
  record.witness_epoch = 3;
  record.witness_sequence = 77;
  record.drops = 5;
  record.crc = RecordCrc(record);
  Bytes bytes(sizeof record);
  memcpy(bytes.data(), &record, sizeof record);
  return bytes;
}

Bytes operator+(Bytes a, const Bytes& b) { a.insert(a.end(), b.begin(), b.end()); return a; }

struct Parsed { uint32_t frames = 0, sound = 0, states = 0, damage = 0; size_t lost = 0; };

/// Feeds a stream in pieces of `piece` bytes.
Parsed Parse(const Bytes& stream, size_t piece) {
  Bytes buffer(64 * 1024);
  StreamParser parser(kLink, buffer.data(), buffer.size());
  Parsed parsed;
  StreamItem item;
  for (size_t at = 0; at < stream.size(); at += piece) {
    const size_t length = std::min({piece, stream.size() - at});
    memcpy(parser.room(), stream.data() + at, length);
    parser.Filled(length);
    while (parser.Next(&item)) {
      parsed.frames += item.kind == StreamItem::Kind::kFrame;
      parsed.sound += item.sound;
      parsed.states += item.kind == StreamItem::Kind::kState;
      parsed.damage += item.kind == StreamItem::Kind::kDamage;
      parsed.lost += item.lost_bytes;
    }
    parser.Compact();
  }
  return parsed;
}

struct Folder {
  Folder() { char form[] = "/tmp/qkme-stream-XXXXXX"; path = mkdtemp(form); }
  ~Folder() { (void)!system(("rm -rf " + path).c_str()); }
  std::string Fifo(const char* name) const { const std::string at = path + "/" + name; mkfifo(at.c_str(), 0600); return at; }
  std::string path;
};

/// A ring of this process and a stream that writes into it.
struct Reading {
  explicit Reading(const StreamOptions& options, uint32_t nslots = 64)
      : region(Region::CreateMemfd({.nslots = nslots, .stride = 4096, .link = kLink})), frames(MakeEventFd()), space(MakeEventFd()),
        stream(std::make_unique<DeviceStream>(options, OwnedFd(region->ShareFd()), OwnedFd(fcntl(frames.get(), F_DUPFD_CLOEXEC, 0)),
                                              OwnedFd(fcntl(space.get(), F_DUPFD_CLOEXEC, 0)))),
        side(region->view()) {}
  /// Drains until `done` frames were taken, or 20 s.
  bool Take(uint32_t done) {
    for (int i = 0; i < 20'000 && taken < done; ++i) {
      const DrainOutcome outcome = side.Drain();
      taken += outcome.records + outcome.repeats + outcome.refused;
      if (outcome.wake_producer) RingBell(space.get());
      side.ingest.Acknowledge(outcome.ticket);
      if (taken < done) usleep(1'000);
    }
    return taken == done;
  }
  bool Until(StreamNumber which, uint64_t value) {
    for (int i = 0; i < 20'000 && stream->number(which) < value; ++i) usleep(1'000);
    return stream->number(which) >= value;
  }
  RingControl* control() const { return region->view().control(); }
  std::unique_ptr<Region> region;
  OwnedFd frames, space;
  std::unique_ptr<DeviceStream> stream;
  Side side;
  uint32_t taken = 0;
};

void WriteAll(int fd, const Bytes& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t length = write(fd, bytes.data() + at, bytes.size() - at);
    if (length <= 0) return;
    at += size_t(length);
  }
}

}  // namespace

TEST("a stream is cut into the same records, whatever the pieces it comes in") {
  const Bytes stream = State(SideState::kRun) + Frame(1, 1, 1) + Frame(2, 1, 2, 1) + Frame(3, 1, 3, 100) + State(SideState::kDrained) + Frame(4, 1, 4);
  for (size_t piece : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{4097}, stream.size()}) {
    const Parsed parsed = Parse(stream, piece);
    CHECK(parsed.frames == 4 && parsed.sound == 4 && parsed.states == 2 && parsed.damage == 0);
  }
}

TEST("bytes that are no record are passed over and told once; what follows is found again") {
  Bytes noise(640);
  FillPayload(9, noise.data(), noise.size());
  const Parsed parsed = Parse(Frame(1, 1, 1) + noise + Frame(2, 1, 2), 777);
  CHECK(parsed.frames == 2 && parsed.sound == 2 && parsed.damage == 1 && parsed.lost == 640);
  Bytes torn = Frame(2, 1, 2);
  torn.resize(2048);  // the device died in the middle of a frame and came back
  const Parsed after = Parse(Frame(1, 1, 1) + torn + Frame(3, 1, 3) + Frame(4, 1, 4), 4096);
  CHECK(after.frames >= 2 && after.sound >= 2);
  CHECK(Parse(State(SideState::kRun, kLink + 1), 64).states == 0);  // of another link
}

TEST("damage without end is told in stretches") {
  Bytes noise(64 * 1024);
  FillPayload(11, noise.data(), noise.size());
  const Parsed parsed = Parse(noise, 1024);
  CHECK(parsed.damage == 16 && parsed.lost == noise.size() && parsed.frames == 0);
}

TEST("one bit changed anywhere gives no sound frame that was not sent") {
  const Bytes frame = Frame(7, 1, 7, 200);
  for (size_t bit = 0; bit < (64 + 200) * 8; ++bit) {
    Bytes changed = frame;
    changed[bit / 8] ^= uint8_t(1 << bit % 8);
    CHECK(Parse(changed, changed.size()).sound == 0);
  }
}

TEST("frames go from the node into the ring as the device made them, and its state into the control page") {
  Folder folder;
  Reading reading({.data_path = folder.Fifo("c2h"), .event_path = "", .report_path = "", .link = kLink});
  const OwnedFd device(open((folder.path + "/c2h").c_str(), O_WRONLY));
  WriteAll(device.get(), Frame(1, 4, 1) + Frame(2, 4, 2) + State(SideState::kDrained));
  CHECK(reading.Take(2) && reading.Until(kStreamStates, 1));
  CHECK(reading.side.sink.kept.size() == 2 && reading.side.sink.kept[1].header.device_epoch == 4);
  uint8_t expected[kFramePayloadMax];
  FillPayload(2, expected, sizeof expected);
  CHECK(memcmp(reading.side.sink.kept[1].payload.data(), expected, sizeof expected) == 0);
  CHECK(reading.control()->producer_state.load() == uint32_t(SideState::kDrained) && reading.control()->witness_seq.load() == 77 && reading.control()->drops.load() == 5);
  WriteAll(device.get(), Frame(1, 5, 3));  // the device started anew
  CHECK(reading.Take(3) && uint32_t(reading.control()->epoch.load()) == 5 && reading.side.ingest.counter(kRestarts) == 1);
}

TEST("a damaged frame is refused by the ring, and may not move its epoch") {
  Folder folder;
  Reading reading({.data_path = folder.Fifo("c2h"), .event_path = "", .report_path = "", .link = kLink});
  const OwnedFd device(open((folder.path + "/c2h").c_str(), O_WRONLY));
  Bytes damaged = Frame(2, 0x70000000, 2), noise(128);
  damaged[1000] ^= 1;
  WriteAll(device.get(), Frame(1, 1, 1) + damaged + Frame(3, 1, 3) + noise + Frame(4, 1, 4));
  CHECK(reading.Take(5));  // three good ones, the damaged one, one for the noise
  CHECK(reading.side.sink.kept.size() == 3 && reading.control()->epoch.load() == 1);
  CHECK(reading.side.ingest.counter(kBadCrc) == 1 && reading.side.ingest.counter(kBadForm) == 1);
  CHECK(reading.stream->number(kStreamLostBytes) == 128 && reading.stream->number(kStreamBadRecords) == 1);
}

TEST("a full ring stops the reading, and nothing is lost") {
  Folder folder;
  Reading reading({.data_path = folder.Fifo("c2h"), .event_path = "", .report_path = "", .link = kLink}, 8);
  const OwnedFd device(open((folder.path + "/c2h").c_str(), O_WRONLY));
  std::thread writer([&] { for (uint64_t i = 1; i <= 200; ++i) WriteAll(device.get(), Frame(i, 1, i)); });
  CHECK(reading.Until(kStreamFrames, 8));
  const bool all = reading.Take(200);
  writer.join();
  CHECK(all && reading.side.sink.kept.size() == 200 && reading.side.ingest.counter(kGaps) == 0);
}

TEST("with an events node nothing is read before the card's word, and then until it says that it is drained") {
  Folder folder;
  Reading reading({.data_path = folder.Fifo("c2h"), .event_path = folder.Fifo("events"), .report_path = "", .link = kLink});
  const OwnedFd device(open((folder.path + "/c2h").c_str(), O_RDWR)), events(open((folder.path + "/events").c_str(), O_RDWR));
  WriteAll(device.get(), Frame(1, 1, 1));
  usleep(50'000);
  CHECK(reading.stream->number(kStreamReads) == 0);
  const uint32_t one = 1;
  CHECK(write(events.get(), &one, 4) == 4 && reading.Take(1));
  WriteAll(device.get(), Frame(2, 1, 2) + State(SideState::kDrained));
  CHECK(reading.Take(2) && reading.Until(kStreamStates, 1) && reading.stream->number(kStreamEvents) == 1);
  CHECK(write(events.get(), &one, 4) == 4 && reading.Until(kStreamEvents, 2));
}

TEST("an events node that ends is a device that is away: the thread waits, and goes on when it comes back") {
  Folder folder;
  Reading reading({.data_path = folder.Fifo("c2h"), .event_path = folder.Fifo("events"), .report_path = "", .link = kLink});
  const OwnedFd device(open((folder.path + "/c2h").c_str(), O_RDWR));
  OwnedFd(open((folder.path + "/events").c_str(), O_WRONLY)).Reset();
  const auto away = [&] { return reading.control()->producer_state.load() == uint32_t(SideState::kAbsent); };
  for (int i = 0; i < 10'000 && !away(); ++i) usleep(1'000);
  CHECK(away() && reading.stream->failure().empty() && reading.stream->number(kStreamReads) == 0);
  const OwnedFd events(open((folder.path + "/events").c_str(), O_RDWR));
  const uint32_t one = 1;
  WriteAll(device.get(), Frame(1, 1, 1));
  CHECK(write(events.get(), &one, 4) == 4 && reading.Take(1));
}

TEST("what is durable is reported, and again when it changes") {
  Folder folder;
  const std::string path = folder.Fifo("h2c");
  const OwnedFd device_in(open(path.c_str(), O_RDWR));
  Reading reading({.data_path = folder.Fifo("c2h"), .event_path = "", .report_path = path, .link = kLink});
  const OwnedFd device(open((folder.path + "/c2h").c_str(), O_WRONLY));
  ReportRecord record;
  const auto next = [&] { return read(device_in.get(), &record, sizeof record) == ssize_t(sizeof record) && record.crc == RecordCrc(record); };
  CHECK(next() && record.magic == kReportMagic && record.link == kLink && record.durable_sequence == 0 && record.beat == 1);
  WriteAll(device.get(), Frame(1, 9, 1));
  CHECK(reading.Take(1));
  for (int i = 0; i < 100 && record.durable_sequence != 1; ++i) CHECK(next());
  CHECK(record.durable_sequence == 1 && record.durable_epoch == 9);
}

TEST("the threads end in the middle of a blocking read, again and again, and the device counts as away") {
  Folder folder;
  const std::string path = folder.Fifo("c2h");
  const OwnedFd device(open(path.c_str(), O_RDWR));
  for (int i = 0; i < 30; ++i) {
    Reading reading({.data_path = path, .event_path = "", .report_path = "", .link = kLink});
    if (i % 2 == 0) CHECK(reading.Until(kStreamReads, 1));
    reading.stream.reset();
    CHECK(reading.control()->producer_state.load() == uint32_t(SideState::kAbsent));
  }
}

TEST("a writer that leaves is a device that is away; it comes back, and half a frame of before means nothing") {
  Folder folder;
  Reading reading({.data_path = folder.Fifo("c2h"), .event_path = "", .report_path = "", .link = kLink});
  {
    const OwnedFd device(open((folder.path + "/c2h").c_str(), O_WRONLY));
    Bytes half = Frame(2, 1, 2);
    half.resize(1000);
    WriteAll(device.get(), Frame(1, 1, 1) + half);
    CHECK(reading.Take(1));
  }
  for (int i = 0; i < 10'000 && reading.control()->producer_state.load() != uint32_t(SideState::kAbsent); ++i) usleep(1'000);
  CHECK(reading.control()->producer_state.load() == uint32_t(SideState::kAbsent));
  const OwnedFd device(open((folder.path + "/c2h").c_str(), O_WRONLY));
  WriteAll(device.get(), Frame(1, 2, 3));
  CHECK(reading.Take(2) && reading.side.sink.kept.size() == 2 && reading.stream->number(kStreamLostBytes) == 0);
}

TEST("a node that cannot be opened or read is told with its name") {
  Folder folder;
  THROWS(Reading({.data_path = folder.path + "/none", .event_path = "", .report_path = "", .link = kLink}), "none: cannot open: No such file");
  Reading reading({.data_path = folder.path, .event_path = "", .report_path = "", .link = kLink});  // a folder opens, and cannot be read
  for (int i = 0; i < 10'000 && reading.stream->failure().empty(); ++i) usleep(1'000);
  CHECK(reading.stream->failure() == folder.path + ": cannot read: Is a directory");
  CHECK(reading.control()->producer_state.load() == uint32_t(SideState::kFault));
}

TEST_MAIN()
