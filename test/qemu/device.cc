// A QKD device for the QEMU proof, in a process of the host: it makes a ring in the shared memory that QEMU shows its guest
// as a BAR, and writes frames. With a socket it is also the ivshmem server of that BAR (QEMU docs/specs/ivshmem-spec):
// peer 0 is this process, peer 1 the guest; interrupts go both ways as eventfds.
//
// device <file> <slots> <frames> [<socket>]      one line of JSON per event on stdout; ends when all is durable
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>

#include "ring_producer.h"

using namespace qkme;

namespace {

constexpr uint32_t kLink = 7;
constexpr uint32_t kFramesPerBlock = 16;
constexpr int kPatienceMs = 120'000;

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "device: %s: %s\n", what, strerror(errno));
  exit(1);
}

/// Bytes that look like key and are the same in every run (a xorshift generator).
void FillPayload(uint64_t seed, uint8_t* out, size_t length) {
  uint64_t x = seed * 0x9E3779B97F4A7C15 + 0x1234567;
  for (size_t i = 0; i < length; ++i) {
    x ^= x << 13; x ^= x >> 7; x ^= x << 17;
    out[i] = uint8_t(x >> 32);
  }
}

/// The server's side of one guest with one vector.
struct Doorbells {
  explicit Doorbells(const char* path, int memory) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 1) != 0) Die(path);
    std::puts("{\"event\":\"listening\"}");
    std::fflush(stdout);
    connection = accept(listener, nullptr, nullptr);
    if (connection < 0) Die("accept");
    own = eventfd(0, EFD_NONBLOCK);
    guest = eventfd(0, EFD_NONBLOCK);
    Send(0, -1);        // version of the protocol
    Send(1, -1);        // the guest's number
    Send(-1, memory);   // the shared memory
    Send(0, own);       // vector 0 of peer 0
    Send(1, guest);     // vector 0 of the guest itself
  }
  void Send(int64_t number, int fd) {
    iovec part = {&number, sizeof number};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    if (sendmsg(connection, &message, MSG_NOSIGNAL) != ssize_t(sizeof number)) Die("sendmsg");
  }
  void Interrupt() {
    const uint64_t one = 1;
    if (write(guest, &one, sizeof one) == ssize_t(sizeof one)) sent += 1;
  }
  /// Waits for the guest's doorbell.
  void Await() {
    pollfd watched = {own, POLLIN, 0};
    if (poll(&watched, 1, kPatienceMs) <= 0) { errno = ETIMEDOUT; Die("the guest rings no doorbell"); }
    uint64_t count = 0;
    if (read(own, &count, sizeof count) == ssize_t(sizeof count)) received += count;
  }
  int connection = -1, own = -1, guest = -1;
  uint64_t sent = 0, received = 0;
};

struct Device {
  Device(const char* path, uint32_t nslots) {
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) Die(path);
    void* base = mmap(nullptr, size_t(info.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) Die("mmap");
    view.base = static_cast<uint8_t*>(base);
    memory = fd;
    if (ReadRingHeader(view.base, uint64_t(info.st_size), &view.geometry) == nullptr) return;  // a ring that is there is used
    const RingGeometry geometry{.nslots = nslots, .stride = kStrideDefault, .link = kLink};
    if (GeometryFault(geometry, uint64_t(info.st_size)) != nullptr) { errno = EINVAL; Die("the memory is too short"); }
    FormatRing(view.base, geometry);
    view.geometry = geometry;
  }
  RingView view;
  int memory = -1;
};

void Nap() { usleep(1'000); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const uint64_t frames = strtoull(argv[3], nullptr, 10);
  Device device(argv[1], uint32_t(strtoul(argv[2], nullptr, 10)));
  Doorbells* bells = argc > 4 ? new Doorbells(argv[4], device.memory) : nullptr;
  RingProducer producer(device.view, 0, 1);
  const RingControl* control = device.view.control();
  producer.Beat(SideState::kRun, uint32_t(getpid()));
  uint64_t full = 0;
  const uint64_t deadline = MonotonicNs() + uint64_t{kPatienceMs} * 1'000'000;
  const auto patient = [&] { if (MonotonicNs() > deadline) { errno = ETIMEDOUT; Die("the KME does not go on"); } };
  while (control->consumer_state.load() != uint32_t(SideState::kRun)) { producer.Beat(SideState::kRun, uint32_t(getpid())); patient(); Nap(); }
  for (uint64_t i = 0; i < frames; ++i) {
    // Now and then until the KME sleeps, so that only the interrupt of the next frames wakes it.
    while (bells && i % 64 == 32 && control->consumer_sleeping.load() == 0) { producer.Beat(SideState::kRun, uint32_t(getpid())); patient(); Nap(); }
    Slot* slot;
    while ((slot = producer.Claim()) == nullptr) {
      full += 1;
      if (producer.FinishBatch() && bells) bells->Interrupt();
      producer.Beat(SideState::kRun, uint32_t(getpid()));
      patient();
      if (!bells) Nap();
      else if (producer.TrySleep()) bells->Await();  // nothing but the doorbell goes on from here
    }
    FillPayload(i + 1, slot->payload, kFramePayloadMax);
    FrameHeader header{};
    header.link = kLink;
    header.qber_ppm = 21'000;
    const uint64_t block = i / kFramesPerBlock;
    memcpy(header.block_id, &block, sizeof block);
    header.offset = uint32_t(i % kFramesPerBlock) * (kFramePayloadMax / 32);
    header.payload_bytes = kFramePayloadMax;
    header.flags = i % kFramesPerBlock == kFramesPerBlock - 1 ? kFrameLast : 0;
    producer.Complete(header, nullptr);
    if (i % 8 == 7 && producer.FinishBatch() && bells) bells->Interrupt();
  }
  if (producer.FinishBatch() && bells) bells->Interrupt();
  while (producer.Durable() < frames) { producer.Beat(SideState::kDrained, uint32_t(getpid())); patient(); Nap(); }
  std::printf("{\"event\":\"durable\",\"frames\":%llu,\"full\":%llu,\"interrupts\":%llu,\"doorbells\":%llu}\n", (unsigned long long)frames,
              (unsigned long long)full, bells ? (unsigned long long)bells->sent : 0, bells ? (unsigned long long)bells->received : 0);
  std::fflush(stdout);
  // The guest keeps the connection until it ends; a beat for as long as it lives.
  while (getppid() != 1) { producer.Beat(SideState::kDrained, uint32_t(getpid())); usleep(100'000); }
}
