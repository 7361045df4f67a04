#include "bench/connection.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace qkme::bench {
namespace {

constexpr size_t kReadBytes = 65536;

bool IsTransient(SSL* ssl, int result) {
  const int error = SSL_get_error(ssl, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/// Value of Content-Length in a head, -1 if there is none.
int64_t ContentLength(std::string_view head) {
  constexpr std::string_view kName = "\r\ncontent-length:";
  const auto lower = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  const auto at = std::search(head.begin(), head.end(), kName.begin(), kName.end(), lower);
  return at == head.end() ? -1 : std::strtoll(&*at + kName.size(), nullptr, 10);
}

}  // namespace

void Connection::Open() {
  Close();
  ERR_clear_error();
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return;
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int result = connect(fd_, reinterpret_cast<const sockaddr*>(&target_.address), sizeof target_.address);
  if (result != 0 && errno != EINPROGRESS) return Close();
  ssl_ = SSL_new(target_.tls.get());
  if (ssl_ == nullptr) return Close();
  SSL_set_fd(ssl_, fd_);
  SSL_set_connect_state(ssl_);
  state_ = State::kConnecting;
  Watch(EPOLLOUT);
}

void Connection::Close() {
  if (ssl_ != nullptr) SSL_free(ssl_);
  if (fd_ >= 0) close(fd_);
  ssl_ = nullptr;
  fd_ = -1;
  watched_ = 0;
  out_.clear();
  in_.clear();
  state_ = State::kClosed;
}

void Connection::Watch(uint32_t events) {
  if (events == watched_) return;
  epoll_event event{};
  event.events = events;
  event.data.u32 = index_;
  epoll_ctl(epoll_, watched_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd_, &event);
  watched_ = events;
}

bool Connection::Advance(Answer* answer) {
  ERR_clear_error();
  if (state_ == State::kConnecting || state_ == State::kHandshake) return Handshake();
  if (state_ == State::kClosed) return false;
  if (!out_.empty()) Flush();
  return state_ != State::kClosed && Read(answer);
}

bool Connection::Handshake() {
  state_ = State::kHandshake;
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    state_ = State::kIdle;
    Watch(EPOLLIN);
  } else if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_WRITE) {
    Watch(EPOLLOUT);
  } else if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) {
    Watch(EPOLLIN);
  } else {
    Close();
  }
  return false;
}

void Connection::Send(std::string_view request, int64_t due_ns) {
  due_ns_ = due_ns;
  state_ = State::kWaiting;
  in_.clear();
  out_.assign(request);
  ERR_clear_error();
  Flush();
}

void Connection::Flush() {
  const int written = SSL_write(ssl_, out_.data(), static_cast<int>(out_.size()));
  if (written > 0) {
    out_.erase(0, static_cast<size_t>(written));
  } else if (!IsTransient(ssl_, written)) {
    return Close();
  }
  Watch(out_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

int64_t Connection::Push(std::string_view bytes) {
  ERR_clear_error();
  const int written = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  if (written > 0) return written;
  if (IsTransient(ssl_, written)) return 0;
  Close();
  return -1;
}

bool Connection::Read(Answer* answer) {
  for (;;) {
    const size_t before = in_.size();
    in_.resize(before + kReadBytes);
    const int got = SSL_read(ssl_, in_.data() + before, kReadBytes);
    in_.resize(before + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got > 0) {
      if (Parse(answer)) return true;
      if (state_ == State::kClosed) return false;
      continue;
    }
    // In kIdle this was a session ticket or the peer's end of the connection.
    if (!IsTransient(ssl_, got)) Close();
    return false;
  }
}

bool Connection::Parse(Answer* answer) {
  if (state_ != State::kWaiting) {
    Close();  // Nobody asked.
    return false;
  }
  const size_t end = in_.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const std::string_view head(in_.data(), end + 2);
  const int64_t length = std::max<int64_t>(0, ContentLength(head));
  if (in_.size() < end + 4 + static_cast<size_t>(length)) return false;
  answer->status = head.size() > 12 ? std::atoi(in_.c_str() + 9) : 0;
  answer->body = std::string_view(in_).substr(end + 4, static_cast<size_t>(length));
  state_ = State::kIdle;
  return true;
}

}  // namespace qkme::bench
