#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "region.h"

namespace qkme {
namespace {

constexpr int kDescriptors = 3;
constexpr int kAcceptAgainMs = 100;
struct Message {
  char magic[8];
  uint32_t link, status;
};
constexpr char kMagic[9] = "QKDPASS1";

[[noreturn]] void Throw(const std::string& path, const std::string& what) { throw RingError("ring socket " + path + ": " + what); }

sockaddr_un Address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) Throw(path, "the path must have 1 to 107 bytes; use a shorter folder");
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

OwnedFd MakeSocket(const std::string& path) {
  OwnedFd made(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!made) Throw(path, std::string("cannot make a socket: ") + strerror(errno));
  return made;
}

bool Send(int connection, const Message& message, const int* fds, size_t count) {
  iovec part = {const_cast<Message*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kDescriptors)] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (count > 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(rights), fds, sizeof(int) * count);
  }
  return sendmsg(connection, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == ssize_t(sizeof message);
}

// Every descriptor that came is owned, whatever the message says, so that none leaks.
size_t Receive(int connection, Message* message, OwnedFd* to) {
  iovec part = {message, sizeof *message};
  // Alignment leaves room for one descriptor more than is wanted, and the kernel fills what room there is.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kDescriptors)];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t length = recvmsg(connection, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  size_t count = 0;
  for (cmsghdr* c = length < 0 ? nullptr : CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < here; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      OwnedFd came(fd);
      if (count < kDescriptors) to[count] = std::move(came);
      count += 1;
    }
  }
  if (length != ssize_t(sizeof *message) || memcmp(message->magic, kMagic, 8) != 0) message->status = UINT32_MAX;
  return count;
}

}  // namespace

void OwnedFd::Reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

OwnedFd MakeEventFd() {
  OwnedFd made(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!made) throw RingError(std::string("cannot make an eventfd: ") + strerror(errno));
  return made;
}

void RingBell(int event_fd) {
  const uint64_t one = 1;
  while (write(event_fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

void ClearBell(int event_fd) {
  uint64_t count;
  while (read(event_fd, &count, sizeof count) < 0 && errno == EINTR) {}
}

HandoverServer::HandoverServer(const std::string& path, uint32_t link, OwnedFd region, int frames_fd, int space_fd)
    : path_(path), link_(link), region_(std::move(region)), frames_fd_(frames_fd), space_fd_(space_fd),
      listener_(MakeSocket(path)), stop_(MakeEventFd()) {
  const sockaddr_un address = Address(path);
  const sockaddr* at = reinterpret_cast<const sockaddr*>(&address);
  struct stat info;
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) Throw(path, "something that is not a socket is there; remove it");
    OwnedFd probe = MakeSocket(path);
    // Never waits: one whose queue is full, because it was stopped, is alive too.
    fcntl(probe.get(), F_SETFL, O_NONBLOCK);
    if (connect(probe.get(), at, sizeof address) == 0 || errno == EAGAIN) Throw(path, "another process serves this ring; stop it first");
    unlink(path.c_str());  // left over from a consumer that was killed
  }
  // On Linux the mode of the socket's file is the descriptor's at bind: no moment in which others may connect.
  fchmod(listener_.get(), 0600);
  if (bind(listener_.get(), at, sizeof address) != 0 || listen(listener_.get(), 4) != 0) {
    Throw(path, std::string("cannot listen: ") + strerror(errno));
  }
  thread_ = std::thread([this] { Run(); });
}

HandoverServer::~HandoverServer() {
  RingBell(stop_.get());
  thread_.join();
  unlink(path_.c_str());
}

void HandoverServer::Run() {
  for (;;) {
    pollfd watched[3] = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}, {peer_.get(), POLLIN, 0}};
    if (poll(watched, peer_ ? 3 : 2, -1) < 0 && errno != EINTR) return;
    if (watched[0].revents) return;
    // A device has nothing to say on this socket: whatever comes is its end, or nonsense.
    if (peer_ && watched[2].revents) Drop();
    if (watched[1].revents) Accept();
  }
}

void HandoverServer::Accept() {
  OwnedFd device(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!device) {
    // Out of descriptors: the device stays in the queue, and asking again at once would keep a processor busy.
    refused_.fetch_add(1, std::memory_order_relaxed);
    pollfd stopped = {stop_.get(), POLLIN, 0};
    poll(&stopped, 1, kAcceptAgainMs);
    return;
  }
  ucred who = {};
  socklen_t length = sizeof who;
  const bool known = getsockopt(device.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) == 0;
  Message message = {{}, link_, 0};
  memcpy(message.magic, kMagic, 8);
  if (!known || (who.uid != geteuid() && who.uid != 0) || peer_) {
    message.status = 1;
    Send(device.get(), message, nullptr, 0);
    refused_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const int fds[kDescriptors] = {region_.get(), frames_fd_, space_fd_};
  // Before the message goes out, so that a device that has it is known here.
  peer_ = std::move(device);
  peer_pid_.store(uint32_t(who.pid), std::memory_order_release);
  connected_.store(true, std::memory_order_release);
  if (!Send(peer_.get(), message, fds, kDescriptors)) return Drop();
  RingBell(frames_fd_);
}

void HandoverServer::Drop() {
  peer_.Reset();
  connected_.store(false, std::memory_order_release);
  peer_pid_.store(0, std::memory_order_release);
  RingBell(frames_fd_);
}

Handover ReceiveHandover(const std::string& path, int timeout_ms) {
  const sockaddr_un address = Address(path);
  Handover got;
  got.connection = MakeSocket(path);
  // A KME that was stopped accepts nobody: connecting waits no longer than the answer may take.
  const timeval patience = {timeout_ms / 1'000, timeout_ms % 1'000 * 1'000};
  setsockopt(got.connection.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(got.connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    Throw(path, std::string("nobody serves a ring here (") + strerror(errno) + "); start the KME first");
  }
  pollfd watched = {got.connection.get(), POLLIN, 0};
  if (poll(&watched, 1, timeout_ms) <= 0) Throw(path, "the KME does not answer");
  Message message = {};
  OwnedFd fds[kDescriptors];
  const size_t count = Receive(got.connection.get(), &message, fds);
  if (message.status == 1) Throw(path, "another device is connected, or this user may not connect");
  if (message.status != 0 || count != kDescriptors) Throw(path, "what answers here does not serve rings");
  got.link = message.link;
  got.region = std::move(fds[0]);
  got.frames = std::move(fds[1]);
  got.space = std::move(fds[2]);
  return got;
}

bool HungUp(int connection_fd) {
  pollfd watched = {connection_fd, POLLIN, 0};
  return poll(&watched, 1, 0) > 0;
}

}  // namespace qkme
