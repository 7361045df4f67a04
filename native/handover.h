// Handing a ring to the device process: the consumer listens on a Unix socket and passes three descriptors
// (SCM_RIGHTS): the region, the eventfd that wakes the consumer ("frames"), the eventfd that wakes the producer
// ("space"). The connection stays open as long as the device lives, so either side sees the other's death at once.
//
// One message: "QKDPASS1", link u32, status u32 (0: three descriptors follow; 1: another device is connected).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace qkme {

/// Closes its descriptor; -1 is none.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  ~OwnedFd() { Reset(); }
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.Take()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept { Reset(); fd_ = other.Take(); return *this; }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Take() { const int fd = fd_; fd_ = -1; return fd; }
  void Reset();

 private:
  int fd_;
};

/// An eventfd, non-blocking. @throws RingError.
OwnedFd MakeEventFd();
/// Adds one. A full counter means that the sleeper is already being woken.
void RingBell(int event_fd);
/// Empties the counter.
void ClearBell(int event_fd);

/// Serves one device at a time from a thread of its own, so that a busy event loop keeps nobody waiting. Takes
/// devices of the same user or root only. Rings `frames` when a device comes or goes.
class HandoverServer {
 public:
  /// @throws RingError if the path is too long, in use by a living consumer, or cannot be bound.
  HandoverServer(const std::string& path, uint32_t link, OwnedFd region, int frames_fd, int space_fd);
  ~HandoverServer();
  HandoverServer(const HandoverServer&) = delete;
  HandoverServer& operator=(const HandoverServer&) = delete;

  bool connected() const { return connected_.load(std::memory_order_acquire); }
  /// Process id of the connected device, as the kernel tells it; 0 if none.
  uint32_t peer_pid() const { return peer_pid_.load(std::memory_order_acquire); }
  /// Devices refused: a second one, or another user; and each try to accept one when no descriptor is left.
  uint32_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  void Run();
  void Accept();
  void Drop();

  std::string path_;
  uint32_t link_;
  OwnedFd region_;
  int frames_fd_, space_fd_;
  OwnedFd listener_, stop_, peer_;
  std::atomic<bool> connected_{false};
  std::atomic<uint32_t> peer_pid_{0}, refused_{0};
  std::thread thread_;
};

/// What a device receives.
struct Handover {
  OwnedFd region, frames, space;
  OwnedFd connection;  ///< hangs up when the consumer dies
  uint32_t link = 0;
};

/// Connects and receives, waiting at most `timeout_ms`. @throws RingError.
Handover ReceiveHandover(const std::string& path, int timeout_ms);
/// True if the other end of a connection is gone.
bool HungUp(int connection_fd);

}  // namespace qkme
