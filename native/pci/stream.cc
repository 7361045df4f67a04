#include "pci/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <system_error>

#include "pci/stream_parser.h"
#include "ring_scan.h"

namespace qkme::pci {
namespace {

constexpr int kRetryMs = 100, kReportMs = 500, kLookMs = 50;

[[noreturn]] void Throw(const std::string& where, const std::string& what) { throw RingError("device node " + where + ": " + what); }

// A blocking read of a driver ends by a signal whose handler does nothing. Node and libuv use no real-time signals.
int StopSignal() {
  static const int signal = [] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigemptyset(&action.sa_mask);  // no SA_RESTART: the read returns EINTR
    sigaction(SIGRTMAX - 3, &action, nullptr);
    return SIGRTMAX - 3;
  }();
  return signal;
}

OwnedFd OpenNode(const std::string& path, int flags) {
  OwnedFd fd(open(path.c_str(), flags | O_CLOEXEC));
  if (!fd) Throw(path, std::string("cannot open: ") + strerror(errno));
  return fd;
}

}  // namespace

/// Everything that the threads touch, so that one which cannot be ended keeps what it uses.
struct DeviceStream::Core {
  Core(const StreamOptions& o, OwnedFd region_fd, OwnedFd frames_fd, OwnedFd space_fd)
      : options(o), region(Region::AttachFd(region_fd.Take(), o.data_path)), frames(std::move(frames_fd)), space(std::move(space_fd)),
        stop(MakeEventFd()), buffer(kBufferBytes, true), parser(o.link, buffer.data(), kBufferBytes) {
    // A FIFO without a writer is opened at once this way; the reads themselves block.
    data = OpenNode(o.data_path, O_RDONLY | O_NONBLOCK);
    fcntl(data.get(), F_SETFL, fcntl(data.get(), F_GETFL) & ~O_NONBLOCK);
    if (!o.event_path.empty()) events = OpenNode(o.event_path, O_RDONLY | O_NONBLOCK);
    if (!o.report_path.empty()) reports = OpenNode(o.report_path, O_WRONLY | O_NONBLOCK);
    const auto places = ScanRing(region->view());
    if (!places) Throw(o.data_path, "its ring is damaged");
    producer = std::make_unique<RingProducer>(region->view(), places->write, region->view().control()->epoch.load(std::memory_order_acquire));
    Say(SideState::kDrained);
  }

  RingControl* control() const { return region->view().control(); }
  void Say(SideState state) {
    control()->producer_pid.store(uint32_t(getpid()), std::memory_order_relaxed);
    control()->producer_state.store(uint32_t(state), std::memory_order_relaxed);
    control()->producer_beat_ns.store(MonotonicNs(), std::memory_order_relaxed);
  }
  bool stopping() const { return stop_asked.load(std::memory_order_acquire); }
  void Count(StreamNumber which, uint64_t by = 1) { numbers[which].fetch_add(by, std::memory_order_relaxed); }
  void Fail(const std::string& why) {
    { std::lock_guard<std::mutex> lock(mutex); if (failure.empty()) failure = why; }
    Say(SideState::kFault);
    RingBell(frames.get());
  }
  /// Waits for `fd`, for the stop, or for `ms`. True if `fd` is ready.
  bool Wait(int fd, int ms) const {
    pollfd watched[2] = {{stop.get(), POLLIN, 0}, {fd, POLLIN, 0}};
    poll(watched, fd >= 0 ? 2 : 1, ms);
    return fd >= 0 && watched[1].revents != 0;
  }

  ssize_t ReadSome();
  bool Publish(const StreamItem& item);
  void Follow(const StreamItem& item);
  void Deliver();

  const StreamOptions options;
  std::unique_ptr<Region> region;
  OwnedFd frames, space, stop, data, events, reports;
  vault::LockedRegion buffer;
  StreamParser parser;
  std::unique_ptr<RingProducer> producer;
  std::atomic<bool> stop_asked{false}, reader_done{false}, reporter_done{false}, sends_states{false}, drained{true};
  std::array<std::atomic<uint64_t>, kStreamNumbers> numbers{};
  mutable std::mutex mutex;
  std::string failure;
};

// One slot, when there is one. False: stopped.
bool DeviceStream::Core::Publish(const StreamItem& item) {
  Slot* slot;
  while ((slot = producer->Claim()) == nullptr) {
    if (producer->FinishBatch()) RingBell(frames.get());
    if (stopping()) return false;
    if (producer->TrySleep() && Wait(space.get(), kReportMs)) ClearBell(space.get());
    producer->Awake();
  }
  // The capacity of a ring of ours holds every frame that has its form.
  memset(slot->header, 0, sizeof slot->header);
  if (item.kind == StreamItem::Kind::kFrame) {
    // P3: an epoch is announced before its first frame. Only a frame whose sum is right may move it.
    if (item.sound && SerialAfter(item.header.epoch, uint32_t(control()->epoch.load(std::memory_order_relaxed)))) {
      control()->epoch.store(item.header.epoch, std::memory_order_release);
    }
    memcpy(slot->header, &item.header, sizeof item.header);
    memcpy(slot->payload, item.payload, item.payload_bytes);
    Count(kStreamFrames);
    Count(kStreamBytes, item.header.payload_bytes);
  } else {
    Count(kStreamBadRecords);  // an empty header is a bad frame: told, and three in a row quarantine the link
  }
  producer->Publish();
  return true;
}

void DeviceStream::Core::Follow(const StreamItem& item) {
  Count(kStreamStates);
  sends_states.store(true, std::memory_order_relaxed);
  drained.store(item.state.state == uint16_t(SideState::kDrained), std::memory_order_relaxed);
  producer->SetWitness(item.state.witness_epoch, item.state.witness_sequence);
  control()->drops.store(item.state.drops, std::memory_order_relaxed);
  const uint32_t state = item.state.state;
  Say(state >= 1 && state <= 3 ? SideState(state) : SideState::kFault);
}

// Everything complete in the buffer goes into the ring.
void DeviceStream::Core::Deliver() {
  StreamItem item;
  while (parser.Next(&item)) {
    if (item.lost_bytes > 0) Count(kStreamLostBytes, item.lost_bytes);
    if (item.kind == StreamItem::Kind::kState) { Follow(item); continue; }
    if (item.kind == StreamItem::Kind::kFrame && item.sound) {
      drained.store(false, std::memory_order_relaxed);
      Say(SideState::kRun);
    }
    if (!Publish(item)) return;
  }
  parser.Compact();
  if (producer->FinishBatch()) RingBell(frames.get());
}

ssize_t DeviceStream::Core::ReadSome() {
  // With an events node the read waits for the card's word, so that the thread can be stopped without a signal.
  if (events && drained.load(std::memory_order_relaxed)) {
    if (!Wait(events.get(), -1)) { errno = EINTR; return -1; }
    uint32_t count = 0;
    // Its end is the device's, as that of the data is: 0.
    if (const ssize_t length = read(events.get(), &count, sizeof count); length <= 0) return length;
    Count(kStreamEvents);
    drained.store(false, std::memory_order_relaxed);
  }
  Count(kStreamReads);
  return read(data.get(), parser.room(), parser.room_bytes());
}

void DeviceStream::Read(std::shared_ptr<Core> core) {
  while (!core->stopping()) {
    const ssize_t length = core->ReadSome();
    if (core->stopping()) break;
    if (length > 0) {
      core->parser.Filled(size_t(length));
      core->Deliver();
    } else if (length == 0) {  // nobody writes: a FIFO whose writer left, a card without an image
      core->parser.Forget();
      core->drained.store(true, std::memory_order_relaxed);
      core->Say(SideState::kAbsent);
      core->Wait(-1, kRetryMs);
    } else if (errno == EAGAIN) {  // a driver that does not wait by itself
      core->Wait(core->data.get(), kRetryMs);
    } else if (errno != EINTR) {
      core->Fail(core->options.data_path + ": cannot read: " + strerror(errno));
      break;
    }
  }
  core->reader_done.store(true, std::memory_order_release);
}

void DeviceStream::Report(std::shared_ptr<Core> core) {
  ReportRecord record = {};
  record.magic = kReportMagic;
  record.version = 1;
  record.record_bytes = sizeof record;
  record.link = core->options.link;
  uint64_t said_ns = 0;
  while (!core->stopping()) {
    const RingControl* control = core->control();
    const uint32_t epoch = control->durable_epoch.load(std::memory_order_acquire);
    const uint64_t sequence = control->durable_seq.load(std::memory_order_acquire);
    const uint64_t now = MonotonicNs();
    if (epoch != record.durable_epoch || sequence != record.durable_sequence || now - said_ns >= uint64_t{kReportMs} * 1'000'000) {
      record.state = uint16_t(control->consumer_state.load(std::memory_order_relaxed));
      record.durable_epoch = epoch;
      record.durable_sequence = sequence;
      record.beat += 1;
      const uint64_t head = control->head.load(std::memory_order_relaxed), tail = control->tail.load(std::memory_order_relaxed);
      record.waiting = uint32_t(head > tail ? head - tail : 0);
      record.crc = RecordCrc(record);
      const ssize_t written = write(core->reports.get(), &record, sizeof record);
      if (written == ssize_t(sizeof record)) core->Count(kStreamReports);
      else if (written >= 0 || (errno != EAGAIN && errno != EINTR)) {
        core->Fail(core->options.report_path + ": cannot write: " + (written < 0 ? strerror(errno) : "only part of a report was taken"));
        break;
      }
      said_ns = now;
    }
    core->Wait(-1, kLookMs);
  }
  core->reporter_done.store(true, std::memory_order_release);
}

DeviceStream::DeviceStream(const StreamOptions& options, OwnedFd region, OwnedFd frames, OwnedFd space)
    : core_(std::make_shared<Core>(options, std::move(region), std::move(frames), std::move(space))) {
  StopSignal();
  try {
    reader_ = std::thread(Read, core_);
    if (core_->reports) reporter_ = std::thread(Report, core_);
  } catch (const std::system_error& e) {
    Stop();
    Throw(options.data_path, std::string("cannot start a thread: ") + e.what() + "; raise the limit on processes (TasksMax in the systemd unit)");
  }
}

DeviceStream::~DeviceStream() { Stop(); }

void DeviceStream::Stop() {
  core_->stop_asked.store(true, std::memory_order_release);
  RingBell(core_->stop.get());
  const auto end = [](std::thread& thread, const std::atomic<bool>& done) {
    if (!thread.joinable()) return;
    // Again and again: the signal may come just before the call that it is to end.
    for (int waited = 0; !done.load(std::memory_order_acquire) && waited < kStopWaitMs; ++waited) {
      pthread_kill(thread.native_handle(), StopSignal());
      usleep(1'000);
    }
    if (done.load(std::memory_order_acquire)) thread.join();
    else thread.detach();
  };
  end(reader_, core_->reader_done);
  end(reporter_, core_->reporter_done);
  core_->Say(SideState::kAbsent);
}

uint64_t DeviceStream::number(StreamNumber which) const { return core_->numbers[which].load(std::memory_order_relaxed); }
bool DeviceStream::locked() const { return core_->buffer.locked(); }

std::string DeviceStream::failure() const {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->failure;
}

void DeviceStream::Tick() {
  RingControl* control = core_->control();
  const bool there = control->producer_state.load(std::memory_order_relaxed) != uint32_t(SideState::kAbsent);
  if (there && !core_->sends_states.load(std::memory_order_relaxed)) control->producer_beat_ns.store(MonotonicNs(), std::memory_order_relaxed);
}

}  // namespace qkme::pci
