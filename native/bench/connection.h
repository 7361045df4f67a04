#pragma once
#include "bench/client_tls.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace qkme::bench {

/// One answer that is complete. `body` is valid until the next call on its connection.
struct Answer {
  int status = 0;
  std::string_view body;
};

/// A non-blocking HTTPS connection with at most one request under way. Knows only answers with a Content-Length.
class Connection {
 public:
  enum class State { kClosed, kConnecting, kHandshake, kIdle, kWaiting };

  Connection(const Target& target, int epoll, uint32_t index) : target_(target), epoll_(epoll), index_(index) {}
  ~Connection() { Close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  State state() const { return state_; }
  /// Begins to connect.
  void Open();
  void Close();
  /// Goes on after epoll reported the socket. Errors leave the state kClosed. @returns whether an answer is complete.
  bool Advance(Answer* answer);
  /// Sends a request; only in kIdle. A send that does not fit goes on in Advance.
  void Send(std::string_view request, int64_t due_ns);
  /// Writes what the socket takes now, without reading: for a client that pipelines. @returns bytes taken, -1: closed.
  int64_t Push(std::string_view bytes);
  /// When the request under way was due.
  int64_t due_ns() const { return due_ns_; }

 private:
  void Watch(uint32_t events);
  bool Handshake();
  void Flush();
  bool Read(Answer* answer);
  bool Parse(Answer* answer);

  const Target& target_;
  const int epoll_;
  const uint32_t index_;
  State state_ = State::kClosed;
  int fd_ = -1;
  SSL* ssl_ = nullptr;
  uint32_t watched_ = 0;
  int64_t due_ns_ = 0;
  std::string out_;
  std::string in_;
};

}  // namespace qkme::bench
